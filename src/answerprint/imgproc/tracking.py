"""The contour through a shot: solved at key frames, carried along the flow both ways between them, blended.

Every frame is a level set (`levelset.py`) whose evidence is what inside and outside looked like in the frames before it
(`regions.py`), whose prior shape is the last contour carried along the flow and trusted as far as the flow is. Between
two key frames the contour comes from both; the two signed distances are blended by nearness and confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.imgproc import flow, levelset
from answerprint.imgproc.regions import Regions, features

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """How a contour is carried.

    Attributes:
        weights: of the level set.
        iterations: of the level set per frame.
        search: how far from the carried contour the new one may lie, in pixels.
        near: what a frame's neighborhood histograms still count in the next.
        whole: what the histograms of the whole still count in the next.
        rounds: of learning and moving at a key frame.
        cell: side of a histogram's cell in pixels.
    """

    weights: levelset.Weights = levelset.Weights(mu=0.0, evidence=1.0, prior=0.6, length=0.15, epsilon=1.5, band=6.0)
    iterations: int = 20
    search: float = 14.0
    near: float = 0.75
    whole: float = 0.95
    rounds: int = 4
    cell: int = 32


@dataclass(frozen=True)
class State:
    """A solved frame: its contour, and how sure it is (0..1)."""

    phi: Array
    confidence: float


_FAR = 64.0  # background farther from the contour than this says nothing about it
_MARGIN = 80


def grown(picture: Picture, foreground: Mask, background: Mask, how: Settings) -> Mask:
    """A rough shape from strokes alone: what looks like the foreground strokes and hangs together with them."""
    colors = features(picture)
    height, width = foreground.shape
    regions = Regions((height, width), how.cell * 3)
    outside = background.astype(np.float32)
    if not background.any():
        # The border of the picture is the best guess of what is not the target.
        rim = max(1, min(height, width) // 40)
        outside[:rim] = outside[-rim:] = outside[:, :rim] = outside[:, -rim:] = 1
        outside[foreground] = 0
    regions.learn(colors, foreground.astype(np.float32), outside)
    chance = cv2.GaussianBlur(regions.ask(colors, np.ones_like(foreground)), (0, 0), 2)
    likely = ((chance > 0.5) | foreground) & ~background
    _, labels = cv2.connectedComponents(likely.astype(np.uint8))
    touched = np.unique(labels[foreground])
    result: Mask = np.isin(labels, touched[touched > 0])
    return result


def solve_key(
    picture: Picture,
    prior: Array,
    slack: float,
    how: Settings,
    foreground: Mask | None = None,
    background: Mask | None = None,
) -> State:
    """The contour of a key frame from its rough shape.

    Args:
        picture: (H, W, 3) uint8.
        prior: (H, W) signed distance of the rough shape.
        slack: how far off the rough shape may be, in pixels.
        how: the settings.
        foreground: (H, W) what is known to be the target.
        background: (H, W) what is known not to be.
    """
    box = _box(prior > -slack, prior.shape, _MARGIN)
    colors, rough = features(picture[box]), np.ascontiguousarray(prior[box])
    # The rough shape is right deep inside and far outside; in between it is a guess.
    inside = (rough / max(slack, 1.0)).clip(0.05, 1) * (rough > 0)
    outside = (((-rough / max(slack, 1.0)) - 0.2).clip(0, 1) * (rough > -_FAR)).astype(np.float32)
    phi = rough
    allowed = rough > -slack
    chance = np.full(rough.shape, 0.5, np.float32)
    for number in range(how.rounds):
        regions = Regions(rough.shape, how.cell * (2 if number == 0 else 1))
        regions.learn(colors, inside.astype(np.float32), outside)
        where = rough > -slack - 2
        chance = regions.ask(colors, where)
        evidence = _evidence(chance)
        evidence[~allowed] = -1
        if foreground is not None and background is not None:
            evidence[foreground[box]], evidence[background[box]] = 1, -1
        weights = replace(how.weights, prior=0.15)
        start = phi if number else rough
        phi = _moved(start, evidence, rough, None, weights, how.iterations * 2, 2)
        inside, outside = _shares(phi)
    return State(_placed(phi, box, prior.shape), _certainty(phi, chance))


def carry(
    pictures: Callable[[int], Picture],
    flows: Callable[[int, int], tuple[Array, Array]],
    first: int,
    numbers: Sequence[int],
    key: State,
    how: Settings,
) -> Iterator[tuple[int, State]]:
    """The contour of a key frame carried to the frames `numbers`, one after the other.

    Args:
        pictures: gives a frame.
        flows: gives the flow from a frame to another beside it, and back.
        first: the key frame's number.
        numbers: in the order they are reached, each beside the one before.
        key: the key frame, solved.
        how: the settings.
    """
    before, state = first, key
    picture = pictures(first)
    regions = Regions(picture.shape[:2], how.cell)
    _learn(regions, features(picture), state.phi)
    sure = key.confidence
    for number in numbers:
        picture = pictures(number)
        back, there = flows(number, before)
        phi, confidence = _step(picture, state.phi, back, there, regions, how)
        # Doubt only grows on the way from a key.
        sure = min(sure, 1.0) * (0.9 + 0.1 * confidence) * min(1.0, 0.5 + 0.5 * confidence / max(key.confidence, 0.1))
        state = State(phi, sure)
        before = number
        yield number, state


def _step(
    picture: Picture, phi: Array, back: Array, there: Array, regions: Regions, how: Settings
) -> tuple[Array, float]:
    carried = flow.warp(phi, back)
    if not (carried > 0).any():
        return np.full_like(phi, -1e3), 0.0
    box = _box(carried > -how.search, phi.shape, 8)
    carried = levelset.signed_distance(carried[box] > 0)
    trust = flow.confidence(back, there)[box]
    colors = np.zeros((*phi.shape, 3), np.uint8)
    colors[box] = features(picture[box])
    where = np.zeros(phi.shape, bool)
    where[box] = np.abs(carried) < how.search
    chance = regions.ask(colors, where)[box]
    evidence = _evidence(chance)
    evidence[carried <= -how.search] = -1
    evidence[carried >= how.search] = 1
    moved = _moved(carried, evidence, carried, 0.3 + 0.7 * trust, how.weights, how.iterations, 1)
    result = _placed(moved, box, phi.shape)
    regions.fade(how.near, how.whole)
    full = np.zeros((*phi.shape, 3), np.uint8)
    wide = _box(result > -_FAR, phi.shape, 0)
    full[wide] = features(picture[wide])
    _learn(regions, full, result)
    edge = np.abs(moved) < 3
    flowing = float(trust[edge].mean()) if edge.any() else 0.0
    return result, _certainty(moved, chance) * (0.5 + 0.5 * flowing)


def blend(first: State, second: State, nearness: float) -> State:
    """Two contours of one frame: nearness is 1 at the first's key and 0 at the second's."""
    a = nearness * first.confidence + 1e-6
    b = (1 - nearness) * second.confidence + 1e-6
    phi = (a * first.phi.clip(-8, 8) + b * second.phi.clip(-8, 8)) / (a + b)
    agree = overlap(first.phi > 0, second.phi > 0)
    sure = max(a / (a + b) * first.confidence + b / (a + b) * second.confidence, 0.0)
    return State(phi.astype(np.float32), sure * (0.4 + 0.6 * agree))


def overlap(a: Mask, b: Mask) -> float:
    """Intersection over union; 1 for two empty masks."""
    union = int((a | b).sum())
    return 1.0 if union == 0 else int((a & b).sum()) / union


def _learn(regions: Regions, colors: Picture, phi: Array) -> None:
    inside, outside = _shares(phi)
    regions.learn(colors, inside, outside)


def _shares(phi: Array) -> tuple[Array, Array]:
    inside = (phi + 0.25).clip(0, 1).astype(np.float32)
    outside = ((-phi - 0.25).clip(0, 1) * (phi > -_FAR)).astype(np.float32)
    return inside, outside


def _evidence(chance: Array) -> Array:
    result: Array = cv2.GaussianBlur(2 * chance - 1, (0, 0), 0.8)
    return result


def _moved(
    phi: Array,
    evidence: Array,
    prior: Array,
    trust: Array | None,
    weights: levelset.Weights,
    iterations: int,
    levels: int,
) -> Array:
    moved = levelset.evolve(phi, None, weights, iterations, evidence, prior, trust, levels)
    return levelset.signed_distance(moved > 0)


def _certainty(phi: Array, chance: Array) -> float:
    """How clearly the two sides of the contour differ: mean of |2 p - 1| of the right sign in a band of 4 pixels."""
    edge = np.abs(phi) < 4
    if not edge.any():
        return 0.0
    right = np.where(phi > 0, 2 * chance - 1, 1 - 2 * chance)
    return float(right[edge].clip(0, 1).mean())


def _box(mask: Mask, shape: tuple[int, ...], margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return slice(0, shape[0]), slice(0, shape[1])
    return (
        slice(max(0, int(rows[0]) - margin), min(shape[0], int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(shape[1], int(columns[-1]) + 1 + margin)),
    )


def _placed(part: Array, box: tuple[slice, slice], shape: tuple[int, ...]) -> Array:
    result = np.full(shape, -1e3, np.float32)
    result[box] = part
    return result
