"""The contour through a shot: solved at key frames, carried along the flow both ways between them, blended.

Every frame is a level set (`levelset.py`) whose evidence is what inside and outside looked like in the frames before it
(`regions.py`), whose prior shape is the last contour carried along the flow and trusted as far as the flow is. Between
two key frames the contour comes from both; the two signed distances are blended by nearness and confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.imgproc import flow, levelset
from answerprint.imgproc.regions import Regions, by_motion, features, joined, odds

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
        rounds: of learning and moving at a key frame.
        cell: side of a histogram's cell in pixels.
        wide: the same at a key frame, where the shape is rough.
        soft: how much the doubtful pixels of a key frame teach as what they look like, not as where they are.
        motion: what moving otherwise than the background counts beside color.
        tight: pixels over which the carried shape gets sure, where the flow is trusted.
        loose: what is added to that where it is not.
        reach: how far the target as a whole may shift in a frame, in pixels.
    """

    weights: levelset.Weights = field(
        default_factory=lambda: levelset.Weights(mu=0.0, evidence=1.0, prior=0.2, length=0.15)
    )
    iterations: int = 20
    search: float = 24.0
    near: float = 0.75
    rounds: int = 4
    cell: int = 24
    wide: int = 64
    soft: float = 0.5
    motion: float = 0.2
    tight: float = 4.0
    loose: float = 8.0
    reach: int = 64


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
    regions.anchor(colors, foreground.astype(np.float32), outside)
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
    vectors: Array | None = None,
) -> State:
    """The contour of a key frame from its rough shape.

    Args:
        picture: (H, W, 3) uint8.
        prior: (H, W) signed distance of the rough shape.
        slack: how far off the rough shape may be, in pixels.
        how: the settings.
        foreground: (H, W) what is known to be the target.
        background: (H, W) what is known not to be.
        vectors: (H, W, 2) flow to a frame beside it, if there is one.
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
        regions = Regions(rough.shape, how.wide * (2 if number == 0 else 1), trust=6.0)
        regions.learn(colors, inside.astype(np.float32), outside)
        regions.anchor(colors, inside.astype(np.float32), outside)
        where = rough > -slack - 2
        chance = regions.ask(colors, where)
        if vectors is not None and how.motion:
            chance = joined(chance, by_motion(vectors[box], inside, outside), how.motion)
        if number == 0 and slack >= 1:
            rough = placed(rough, chance, slack)
            phi = rough
        evidence = _evidence(chance)
        evidence[~allowed] = -1
        if foreground is not None and background is not None:
            evidence[foreground[box]], evidence[background[box]] = 1, -1
        weights = replace(how.weights, prior=0.75 * how.weights.prior)
        start = phi if number else rough
        phi = _moved(start, evidence, rough, None, weights, how.iterations * 2, 2, colors)
        inside, outside = _shares(phi)
        # What doubtful pixels teach is shared: a key frame must not talk itself into its own errors.
        inside = inside * (1 - how.soft + how.soft * chance)
        outside = np.maximum(outside, how.soft * (1 - chance) * (phi > 0))
    return State(_placed(phi, box, prior.shape), _certainty(phi, chance))


def placed(shape: Array, chance: Array, slack: float) -> Array:
    """A rough shape moved and scaled to where it covers most of the target and least of the background.

    Args:
        shape: (H, W) signed distance of the shape.
        chance: (H, W) that a pixel belongs to the target.
        slack: how far it may move or shrink, in pixels.

    Returns:
        (H, W) signed distance of the placed shape.
    """
    step = max(1, round(slack / 6))
    size = (max(2, shape.shape[1] // step), max(2, shape.shape[0] // step))
    worth = cv2.resize(2 * chance - 1, size, interpolation=cv2.INTER_AREA)
    reach = max(1, round(slack / step))
    padded = cv2.copyMakeBorder(worth, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=-1)
    there = cv2.resize((shape > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # The chance was learned where the shape lies and speaks for that place: only a clear gain moves it.
    given = float((there * worth).sum())
    best = (given + max(abs(given), 0.4 * float(there.sum())), 0.0, 1.0, 0, 0)
    for scale in (0.9, 1.0, 1.1):
        scaled = _scaled(shape, scale)
        for inset in (0.0, 0.33 * slack, 0.66 * slack):
            mask = cv2.resize((scaled > inset).astype(np.float32), size, interpolation=cv2.INTER_AREA)
            scores = cv2.matchTemplate(padded, mask, cv2.TM_CCORR)
            y, x = divmod(int(scores.argmax()), scores.shape[1])
            if scores[y, x] > best[0]:
                best = (float(scores[y, x]), inset, scale, x - reach, y - reach)
    _, inset, scale, x, y = best
    turn = np.array([[1, 0, x * step], [0, 1, y * step]], np.float32)
    moved = cv2.warpAffine(
        _scaled(shape, scale) - np.float32(inset), turn, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    # A shape that would vanish, or find nothing to stand on, stays as it was given.
    return levelset.signed_distance(moved > 0) if (moved > 0).sum() > 0.2 * (shape > 0).sum() else shape


def _scaled(shape: Array, scale: float) -> Array:
    """A signed distance with its shape scaled about its middle."""
    rows, columns = np.nonzero(shape > 0)
    if scale == 1.0 or not len(rows):
        return shape
    turn = cv2.getRotationMatrix2D((float(columns.mean()), float(rows.mean())), 0, scale)
    result: Array = cv2.warpAffine(shape, turn, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE) * np.float32(scale)
    return result


def carry(
    pictures: Callable[[int], Picture],
    flows: Callable[[int, int], tuple[Array, Array]],
    first: int,
    numbers: Sequence[int],
    key: State,
    how: Settings,
    others: dict[int, State] | None = None,
) -> Iterator[tuple[int, State]]:
    """The contour of a key frame carried to the frames `numbers`, one after the other.

    Args:
        pictures: gives a frame.
        flows: gives the flow from a frame to another beside it, and back.
        first: the key frame's number.
        numbers: in the order they are reached, each beside the one before.
        key: the key frame, solved.
        how: the settings.
        others: other key frames, for what target and background look like as a whole.
    """
    before, state = first, key
    picture = pictures(first)
    regions = Regions(picture.shape[:2], how.cell)
    for at, anchor in {first: key, **(others or {})}.items():
        inside, outside = _shares(anchor.phi)
        regions.anchor(features(pictures(at)), inside, outside)
    sure = key.confidence
    for number in numbers:
        back, there = flows(number, before)
        regions.fade(how.near)
        _learn(regions, picture, state.phi, there)
        present = pictures(number)
        phi, seen = _step((picture, present), state.phi, back, there, regions, how)
        sure = sure**0.75 * min(1.0, seen / 0.45) ** 0.25
        # Looking right is not being right: doubt grows with every frame away from the key.
        state, before, picture = State(phi, sure * 0.96 ** abs(number - first)), number, present
        yield number, state


def _step(
    pictures: tuple[Picture, Picture], phi: Array, back: Array, there: Array, regions: Regions, how: Settings
) -> tuple[Array, float]:
    """The contour of a frame from the one beside it; pictures: before, present; back: flow from present to before."""
    before, picture = pictures
    back = _with_object(before, picture, phi, back, how)
    carried = flow.warp(phi, back, -how.search)
    if not (carried > 0).any():
        return np.full_like(phi, -1e3), 0.0
    box = _box(carried > -how.search, phi.shape, 8)
    carried = levelset.signed_distance(carried[box] > 0)
    trust = _trust(back, there, box)
    colors = np.zeros((*phi.shape, 3), np.uint8)
    colors[box] = features(picture[box])
    where = np.zeros(phi.shape, bool)
    where[box] = np.abs(carried) < how.search
    chance = regions.ask(colors, where)[box]
    if how.motion:
        chance = joined(chance, by_motion(back[box], *_shares(carried)), how.motion)
    # What the carried shape says of a pixel: sure far from its contour, and nearer to it the better the flow is.
    likely = odds(chance) + carried / (how.tight + how.loose * (1 - trust))
    evidence = cv2.GaussianBlur(np.tanh(likely / 2), (0, 0), 0.8)
    evidence[carried <= -how.search] = -1
    evidence[carried >= how.search] = 1
    begun = levelset.signed_distance(evidence > 0)
    moved = _moved(begun, evidence, carried, 0.3 + 0.7 * trust, how.weights, how.iterations, 1, colors[box])
    edge = np.abs(moved) < 3
    flowing = float(trust[edge].mean()) if edge.any() else 0.0
    return _placed(moved, box, phi.shape), _certainty(moved, chance) * (0.5 + 0.5 * flowing)


def _trust(back: Array, there: Array, box: tuple[slice, slice]) -> Array:
    """The flow's confidence in a box, worked out in little more than the box."""
    margin = 64
    top, left = max(0, box[0].start - margin), max(0, box[1].start - margin)
    wide = slice(top, box[0].stop + margin), slice(left, box[1].stop + margin)
    trust = flow.confidence(np.ascontiguousarray(back[wide]), np.ascontiguousarray(there[wide]))
    return trust[box[0].start - top : box[0].stop - top, box[1].start - left : box[1].stop - left]


def _with_object(before: Picture, picture: Picture, phi: Array, back: Array, how: Settings) -> Array:
    """The flow, with the target's own shift where that explains the picture better.

    Dense flow follows a fast background into a small target. The target as a whole is looked for in the next frame by
    its masked difference (template matching), and each pixel takes what fits its surroundings.
    """
    mask = phi > 0
    box = _box(mask, phi.shape, 2)
    reach = how.reach
    # Half size is enough for a shift that flow and contour refine.
    small, now = (cv2.resize(one, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for one in (before, picture))
    held = cv2.resize(mask.astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA)
    rows, columns = (slice(side.start // 2, max(side.stop // 2, side.start // 2 + 1)) for side in box)
    template, weight = small[rows, columns].astype(np.float32), held[rows, columns]
    if min(template.shape[:2]) < 4 or weight.sum() < 8:
        return back
    half = reach // 2
    padded = cv2.copyMakeBorder(now, half, half, half, half, cv2.BORDER_REPLICATE).astype(np.float32)
    window = padded[rows.start : rows.stop + 2 * half, columns.start : columns.stop + 2 * half]
    score = cv2.matchTemplate(window, template, cv2.TM_SQDIFF, mask=np.repeat(weight[..., None], 3, 2))
    y, x = divmod(int(score.argmin()), score.shape[1])
    shift = np.array([half - x, half - y], np.float32) * 2
    own = np.empty_like(back)
    own[:] = shift
    wide = _box(mask, phi.shape, reach + 8)
    present = picture[wide].astype(np.float32)
    errors = []
    for vectors in (back, own):
        laid = _sampled(before, vectors, wide)
        errors.append(cv2.blur(np.abs(laid - present).sum(2), (9, 9)))
    result = back.copy()
    better = errors[1] < 0.8 * errors[0] - 4
    result[wide][better] = shift
    return result


def _sampled(image: Picture, vectors: Array, box: tuple[slice, slice]) -> Array:
    """`image` where the vectors of a box point, (h, w, 3) float32."""
    y, x = np.mgrid[box[0], box[1]].astype(np.float32)
    part = vectors[box]
    result: Array = cv2.remap(
        image, x + part[..., 0], y + part[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    return result


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


def _learn(regions: Regions, picture: Picture, phi: Array, moved: Array | None) -> None:
    colors = np.zeros((*phi.shape, 3), np.uint8)
    wide = _box(phi > -_FAR, phi.shape, 0)
    colors[wide] = features(picture[wide])
    regions.learn(colors, *_shares(phi), moved)


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
    picture: Picture | None = None,
) -> Array:
    planes = None if picture is None or not weights.mu else _planes(picture)
    moved = levelset.evolve(phi, planes, weights, iterations, evidence, prior, trust, levels)
    return levelset.signed_distance(moved > 0)


def _planes(colors: Picture) -> Array:
    """Color and texture as the means of equation 2 take them: L, a, b and the deviation of L near by."""
    lab = colors.astype(np.float32)
    light = lab[..., 0]
    mean = cv2.blur(light, (7, 7))
    texture = np.sqrt(np.maximum(cv2.blur(light * light, (7, 7)) - mean * mean, 0))
    return np.stack([light, lab[..., 1], lab[..., 2], texture])


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
