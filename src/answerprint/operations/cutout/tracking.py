"""The contour through a shot: solved at key frames, carried along the flow both ways between them, blended.

Every frame is a level set (`levelset.py`) whose evidence is what inside and outside looked like in the frames before it
(`regions.py`), whose prior shape is the last contour carried along the flow and trusted as far as the flow is. Between
two key frames the contour comes from both; each counts by how near its key is and by how well it reached the other key.
What the background behind a target looks like is told by frames farther off (`plate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.color.bins import features
from answerprint.motion import flow, layers
from answerprint.motion.layers import View, Window, recut
from answerprint.motion.lines import Line, drawn, follow
from answerprint.motion.plate import Plate, Plates
from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.regions import Regions, odds

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How a contour is carried.

    Attributes:
        weights: of the level set.
        iterations: of the level set per frame.
        search: how far from the carried contour the new one may lie, in pixels.
        near: what a frame's neighborhood histograms still count in the next.
        rounds: of learning and moving at a key frame.
        wide: side of a histogram's cell in pixels at a key frame, where the shape is rough.
        small: root of a target's pixels below which its key frame is solved at twice its size.
        soft: how much the doubtful pixels of a key frame teach as what they look like, not as where they are.
        still: what going along with the target counts at a key frame.
        hue: what color counts there.
        given: what the rough shape counts there.
        deep: what it counts farther inside than it may be off, for every such distance.
        side: long side of the pictures by which it is told what moves with the target at a key frame.
        pixels: of the window around the target; where it would hold more, the pictures are made smaller.
        cell: side of a histogram's cell in pixels of the picture.
        carried: what a pixel of distance from the carried contour counts, in log odds, where the key does not fit.
        memory: what a pixel of distance from the key frame's own contour, laid on, counts where it fits.
        color: what color counts.
        least: share of that where color told the frame before badly.
        picture: what resembling a layer's picture counts.
        motion: what moving like a layer counts.
        lean: log odds by which doubt goes in the target's favor beside a key: what is lost there is hardly found again.
        leaning: frames after which that is a third.
        judge: what color counts between the contours of two keys.
        plate: what differing from the clean plate counts.
        key_plate: share of that at a key frame.
        judge_plate: times that between the contours of two keys, where they have nothing in common.
    """

    weights: levelset.Weights = field(
        default_factory=lambda: levelset.Weights(mu=0.0, evidence=1.0, prior=0.2, length=0.15)
    )
    iterations: int = 20
    search: float = 24.0
    near: float = 0.75
    rounds: int = 4
    wide: int = 48
    small: float = 100.0
    soft: float = 0.5
    still: float = 1.0
    hue: float = 1.0
    given: float = 0.5
    deep: float = 1.0
    side: int = 432
    pixels: int = 90_000
    cell: int = 32
    carried: float = 0.25
    memory: float = 2.0
    color: float = 1.5
    least: float = 0.4
    picture: float = 0.8
    motion: float = 1.0
    lean: float = 0.7
    leaning: float = 6.0
    judge: float = 1.0
    plate: float = 1.0
    key_plate: float = 0.7
    judge_plate: float = 6.0


@dataclass(frozen=True)
class State:
    """A solved frame: the contour of its areas, how sure it is (0..1), and what is too thin for a contour."""

    phi: Array
    confidence: float
    lines: tuple[Line, ...] = ()

    def planes(self) -> Array:
        """(1 or 2, H, W) signed distances: of the areas and, where there are any, of the thin parts."""
        if not self.lines:
            return self.phi[None]
        return np.stack((self.phi, drawn(self.lines, self.phi.shape[0], self.phi.shape[1])))


_FAR = 64.0  # background farther from the contour than this says nothing about it
_MARGIN = 80
_DOUBT = 0.1  # error of a contour that was not carried at all
_APART = 4.0  # pixels between two contours up to which their mean is a contour
_ALIKE = 0.95  # overlap of two contours from which on they are one
_CUT_PIXELS = 100_000  # of the picture that GrabCut works on
_CUTS = 10  # that it makes, each after learning the colors anew
_SURE = 2.0  # log odds by the clean plate that GrabCut may not go against
_HARDLY = 0.5  # log odds against a pixel from which on it begins as background there
_LEAST_OF_BOX = 0.05  # share of a box that a target in it fills at least
_ROOM = 16  # pixels that a target may move before its window follows
_THREADS = 2  # for what does not wait for the rest of a frame


def grown(picture: Picture, foreground: Mask, background: Mask, how: Settings) -> Mask:
    """A rough shape from strokes alone: what looks like the foreground strokes and hangs together with them."""
    colors = features(picture)
    height, width = foreground.shape
    regions = Regions((height, width), how.wide)
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


def boxed(
    picture: Picture,
    box: Mask,
    slack: float,
    how: Settings,
    foreground: Mask,
    background: Mask,
    plate: Plate | None = None,
) -> Mask:
    """The rough shape of what a box holds, by GrabCut (Rother, Kolmogorov and Blake 2004, OpenCV's).

    What the clean plate is sure of either way is given to it beforehand: colors alone cannot tell a target from
    background that the box holds too.

    Args:
        picture: (H, W, 3) uint8.
        box: (H, W) the box.
        slack: how far inside the box the target's border may be, in pixels.
        how: the settings.
        foreground: (H, W) what is known to be the target.
        background: (H, W) what is known not to be.
        plate: the frame's clean plate; None does without.

    Returns:
        (H, W); the box where nothing in it stands out.
    """
    prior = levelset.signed_distance(box)
    part = _box(prior > -_FAR, _MARGIN)
    codes, rough = np.ascontiguousarray(picture[part]), np.ascontiguousarray(prior[part])
    behind = np.zeros_like(rough)
    if plate is not None and how.plate:
        window, inset = Window.of(part), min(slack, 0.5 * float(prior.max()))
        behind = how.plate * plate.odds(View.of(codes), window, rough, plate.away(rough > inset, window))
    labels = np.where(behind < -_HARDLY, cv2.GC_PR_BGD, cv2.GC_PR_FGD).astype(np.uint8)
    labels[behind > _SURE] = cv2.GC_FGD
    labels[(behind < -_SURE) | (rough <= 0)] = cv2.GC_BGD
    labels[foreground[part]], labels[background[part]] = cv2.GC_FGD, cv2.GC_BGD
    found = np.zeros_like(box)
    found[part] = _cut(codes, labels)
    return found if found.sum() > _LEAST_OF_BOX * box.sum() else box


def _cut(picture: Picture, labels: npt.NDArray[np.uint8]) -> Mask:
    """GrabCut from labels, on a picture made smaller where it is large: its time grows faster than the picture."""
    height, width = labels.shape
    shrink = max(1.0, float(np.sqrt(height * width / _CUT_PIXELS)))
    small = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    codes = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    marks = cv2.resize(labels, small, interpolation=cv2.INTER_NEAREST)
    if not (marks % 2).any() or (marks % 2).all():
        return np.asarray(labels % 2 > 0)  # nothing to tell apart
    cv2.setRNGSeed(1)  # it begins with k-means, which draws; the same frame must give the same shape
    cv2.grabCut(codes, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), _CUTS, cv2.GC_INIT_WITH_MASK)
    target = (marks % 2).astype(np.float32)
    return np.asarray(cv2.resize(target, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)


def solve_key(
    picture: Picture,
    prior: Array,
    slack: float,
    how: Settings,
    foreground: Mask | None = None,
    background: Mask | None = None,
    beside: Sequence[Picture] = (),
    plate: Plate | None = None,
) -> tuple[State, Array]:
    """The contour of a key frame from its rough shape, and the evidence (H, W) in -1..1 that it followed last.

    Args:
        picture: (H, W, 3) uint8.
        prior: (H, W) signed distance of the rough shape.
        slack: how far off the rough shape may be, in pixels.
        how: the settings.
        foreground: (H, W) what is known to be the target.
        background: (H, W) what is known not to be.
        beside: frames some way off, by which it is told what moves with the target.
        plate: the frame's clean plate; None does without.
    """
    if 0 < (prior > 0).sum() < how.small**2:
        return _solved_larger(picture, prior, slack, how, foreground, background, beside, plate)
    box = _box(prior > -slack, _MARGIN)
    colors, rough = features(picture[box]), np.ascontiguousarray(prior[box])
    # The rough shape is right deep inside and far outside; in between it is a guess.
    inside = (rough / max(slack, 1.0)).clip(0.05, 1) * (rough > 0)
    outside = (((-rough / max(slack, 1.0)) - 0.2).clip(0, 1) * (rough > -_FAR)).astype(np.float32)
    phi, allowed = rough, rough > -slack
    chance, still = np.full(rough.shape, 0.5, np.float32), np.zeros(rough.shape, np.float32)
    evidence = still
    apart = _Apart(picture, beside, how)
    view, window = View.of(np.ascontiguousarray(picture[box])), Window.of(box)
    inset = np.float32(min(slack, 0.5 * float(prior.max())))
    plated = still
    for turn in range(how.rounds):
        regions = Regions(rough.shape, how.wide * (2 if turn == 0 else 1), trust=6.0)
        regions.learn(colors, inside.astype(np.float32), outside)
        regions.anchor(colors, inside.astype(np.float32), outside)
        chance = regions.ask(colors, rough > -slack - 2)
        if beside and how.still and turn < 2:
            known = prior - inset if turn == 0 else _placed(phi, box, prior.shape)
            still = how.still * apart.told(known)[box]
        if plate is not None and how.plate and turn < 2:
            away = plate.away((rough - inset if turn == 0 else phi) > 0, window)
            plated = how.plate * how.key_plate * plate.odds(view, window, rough, away)
        if turn == 0 and slack >= 1:
            rough = phi = placed(rough, (1 / (1 + np.exp(-odds(chance) - still - plated))).astype(np.float32), slack)
        likely = how.hue * odds(chance) + still + plated + _given(rough, slack, how)
        evidence = cv2.GaussianBlur(np.tanh(likely / 2).astype(np.float32), (0, 0), 0.8)
        evidence[~allowed] = -1
        if foreground is not None and background is not None:
            evidence[foreground[box]], evidence[background[box]] = 1, -1
        weights = replace(how.weights, prior=0.75 * how.weights.prior)
        phi = _moved(phi, evidence, rough, None, weights, how.iterations * 2, 2, colors)
        if turn:
            phi = levelset.signed_distance(layers.pieces(phi > 0, phi > 0))
        inside, outside = _shares(phi)
        # What doubtful pixels teach is shared: a key frame must not talk itself into its own errors.
        inside = inside * (1 - how.soft + how.soft * chance)
        outside = np.maximum(outside, how.soft * (1 - chance) * (phi > 0))
    told = np.full(prior.shape, -1, np.float32)
    told[box] = evidence
    return State(_placed(phi, box, prior.shape), _certainty(phi, chance)), told


def _solved_larger(
    picture: Picture,
    prior: Array,
    slack: float,
    how: Settings,
    foreground: Mask | None,
    background: Mask | None,
    beside: Sequence[Picture],
    plate: Plate | None,
) -> tuple[State, Array]:
    """`solve_key` at twice the size: of a small target a neighborhood of colors would hold all of it."""
    height, width = prior.shape

    def doubled(plane: npt.NDArray[Any], between: int = cv2.INTER_CUBIC) -> npt.NDArray[Any]:
        return np.asarray(cv2.resize(plane, (2 * width, 2 * height), interpolation=between))

    def marked(mask: Mask | None) -> Mask | None:
        return None if mask is None else doubled(mask.astype(np.uint8), cv2.INTER_NEAREST) > 0

    state, told = solve_key(
        doubled(picture),
        levelset.signed_distance(doubled(prior, cv2.INTER_LINEAR) > 0),
        2 * slack,
        replace(how, small=0.0),
        marked(foreground),
        marked(background),
        [doubled(other) for other in beside],
        None if plate is None else replace(plate, scale=plate.scale / 2),
    )
    phi, evidence = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in (state.phi, told))
    return replace(state, phi=levelset.signed_distance(phi > 0)), np.asarray(evidence, np.float32)


def _given(rough: Array, slack: float, how: Settings) -> Array:
    """Log odds by the rough shape: a guess as deep as it may be off, surer farther in."""
    depth = rough / max(slack, 1.0)
    return (how.given * depth.clip(-1, 1) + how.deep * (depth - 1).clip(0, 2)).astype(np.float32)


class _Apart:
    """How much each pixel of a key frame goes with the target, by all frames beside it."""

    def __init__(self, picture: Picture, beside: Sequence[Picture], how: Settings) -> None:
        self._scale = max(1.0, max(picture.shape) / how.side)
        self._key = View.of(_thinned(picture, self._scale))
        self._others = [layers.Other.of(self._key, View.of(_thinned(other, self._scale))) for other in beside]

    def told(self, phi: Array) -> Array:
        """(H, W) in misfits, above 0 for what goes along, by the contour so far."""
        small = _scaled_to(phi, self._scale)
        if not (small > 0).any():
            return np.zeros_like(phi)
        told = [layers.told_apart(self._key, other, small) for other in self._others]
        result: Array = cv2.resize(np.mean(told, axis=0), phi.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return result


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
    first: int,
    numbers: Sequence[int],
    key: State,
    how: Settings,
    others: dict[int, State] | None = None,
    plates: Plates | None = None,
) -> Iterator[tuple[int, State]]:
    """The contour of a key frame carried to the frames `numbers`, one after the other.

    Args:
        pictures: gives a frame.
        first: the key frame's number.
        numbers: in the order they are reached, each beside the one before.
        key: the key frame, solved.
        how: the settings.
        others: other key frames, for what target and background look like as a whole.
        plates: the clean plates of the shot; None does without.
    """
    shape = (key.phi.shape[0], key.phi.shape[1])
    lines, most = key.lines, sum(len(line.points) for line in key.lines)
    if not (key.phi > 0).any():
        for number in numbers:
            lines = follow(pictures(number), lines) if lines else ()
            yield number, State(key.phi, _still_seen(lines, most) if most else 0.0, lines)
        return
    scale = _scale(key.phi, how)
    with ThreadPoolExecutor(_THREADS) as beside:
        view = View.of(_thinned(pictures(first), scale))
        held = _Held(view, _scaled_to(key.phi, scale), how, scale, beside, plates)
        for at, anchor in {first: key, **(others or {})}.items():
            colors = features(_thinned(pictures(at), scale))
            held.regions.anchor(colors, *_shares(_scaled_to(anchor.phi, scale)))
        sure, alike = key.confidence, held.likeness()
        full = key.phi
        ready = ((picture, beside.submit(_thinned, picture, scale)) for picture in map(pictures, numbers))
        for number, ((picture, thinned), after) in zip(numbers, _paired(ready), strict=True):
            followed = beside.submit(follow, picture, lines, full > 0)
            seen = held.step(number, thinned.result(), None if after is None else after[1], number > first)
            sure = sure**0.75 * min(1.0, seen / 0.45) ** 0.25
            phi = held.whole()
            full = cv2.resize(phi, shape[::-1], interpolation=cv2.INTER_CUBIC) * np.float32(scale) if scale > 1 else phi
            # Looking right is not being right: doubt grows with every frame away from the key. Colors followed frame
            # by frame go along with a contour that is lost; those of the keys do not.
            drift = min(1.0, held.likeness() / max(alike, 1e-3)) ** 2
            lines = followed.result()
            yield number, State(full, sure * drift * _still_seen(lines, most) * 0.96 ** abs(number - first), lines)


def _paired(items: Iterator[T]) -> Iterator[tuple[T, T | None]]:
    """Each with the one after it."""
    here = next(items, None)
    while here is not None:
        after = next(items, None)
        yield here, after
        here = after


def _still_seen(lines: Sequence[Line], most: int) -> float:
    """Doubt (1 none) by what of the key's thin parts, `most` pixels long, is lost."""
    seen = sum(len(line.points) for line in lines if not line.missed)
    return 0.5 + 0.5 * min(1.0, seen / most) if most else 1.0


def _scale(phi: Array, how: Settings) -> float:
    """How much smaller the pictures are made to carry a contour: not at all where the target is small."""
    box = _box(phi > 0, round(how.search) + _ROOM)
    sides = [float(side.stop - side.start) for side in box]
    return max(1.0, float(np.sqrt(sides[0] * sides[1] / how.pixels)))


class _Held:
    """What is held from frame to frame: the last frame's contour, colors, background, and the key.

    All but the key is held in a window around the target, which follows it. What does not wait for the rest of a frame
    is worked out beside it.
    """

    def __init__(
        self, view: View, phi: Array, how: Settings, scale: float, beside: ThreadPoolExecutor, plates: Plates | None
    ) -> None:
        self.how, self.scale, self.codes, self._beside, self.plates = how, scale, view.codes, beside, plates
        self.size = (phi.shape[0], phi.shape[1])
        self.window = self._window(phi > 0, Window(0, 0, 0, 0))
        box = self.window.box
        self.view, self.phi = View.of(view.codes[box]), np.ascontiguousarray(phi[box])
        self.regions = Regions(self.size, max(4, round(how.cell / scale)))
        self.memory = layers.Memory(view, phi, self.window)
        self.behind = layers.Behind.of(self.view, self.phi)
        self.telling: Array | None = None
        self._gone = 0  # frames from the key
        self._ahead: tuple[Window, Future[tuple[View, Array]]] | None = None

    def whole(self) -> Array:
        """The contour in the whole picture."""
        result = np.full(self.size, layers.OUTSIDE, np.float32)
        result[self.window.box] = self.phi
        return result

    def likeness(self) -> float:
        """How much what is inside the contour looks like the key frames' target."""
        return self.regions.likeness(self.view.colors, self.phi > 0)

    def _window(self, mask: Mask, now: Window) -> Window:
        """The window for a target: the one there is, as long as the target is not near its border."""
        found = layers.around(mask, 0)
        if found is None:
            return now
        down, across = found
        box = (
            slice(down.start + now.top, down.stop + now.top),
            slice(across.start + now.left, across.stop + now.left),
        )
        reach = round(self.how.search / self.scale)
        if now.holds(Window.around(box, reach, self.size)):
            return now
        return Window.around(box, reach + round(_ROOM / self.scale), self.size)

    def _follow(self) -> None:
        """Moves the window where the target nears its border."""
        old, new = self.window, self._window(self.phi > 0, self.window)
        if new == old:
            return
        self.window = new
        self.view = View.of(self.codes[new.box])
        self.phi = levelset.signed_distance(recut(self.phi, old, new, layers.OUTSIDE) > 0)
        self.memory.within(new)
        self.behind = self.behind.within(old, new).seen(self.view, self.phi)
        if self.telling is not None:
            self.telling = recut(self.telling, old, new)

    def step(self, number: int, codes: Picture, following: Future[Picture] | None, forward: bool) -> float:
        """Goes on to the next frame; says how surely the target was seen.

        Args:
            number: of the frame.
            codes: the frame.
            following: the one that is reached after it, if there is one.
            forward: whether the frame lies after the one before.
        """
        how, self._gone = self.how, self._gone + 1
        self._follow()
        window, before, phi = self.window, self.view, self.phi
        corner = (window.top, window.left)
        learned = self._beside.submit(self._learn, before, phi, corner)
        ahead = self._ahead[1] if self._ahead is not None and self._ahead[0] == window else None
        present, back = _looked(codes[window.box], before) if ahead is None else ahead.result()
        self.codes, self._ahead = codes, None
        moved = layers.motions(before, present, phi, back)
        carried = flow.warp(phi, moved.target, layers.OUTSIDE)
        behind = self.behind.moved(moved.background)
        if not (carried > 0).any():
            self.view, self.phi, self.telling = present, np.full_like(phi, layers.OUTSIDE), learned.result()
            self.behind = behind
            return 0.0
        laid = self._beside.submit(self.memory.laid_on, present, moved.target)
        plated = self._beside.submit(self._plated, number, present, carried, moved, forward)
        telling = flow.warp(learned.result(), moved.target)
        told = how.picture * layers.by_picture(present, before, carried, moved, behind)
        told += how.motion * layers.by_motion(present, before, back, moved)
        kept, trust = laid.result()
        if following is not None:
            self._ahead = window, self._beside.submit(_looked, following.result()[window.box], present)
        shape = ((1 - trust) * carried.clip(-8, 8) + trust * kept.clip(-8, 8)).astype(np.float32)
        near = _near(shape > 0, how.search / self.scale)
        chance = self.regions.ask(present.colors, near, corner)
        likely = how.carried * (1 - trust) * carried.clip(-8, 8) + how.memory * trust * 3 * np.tanh(kept / 3)
        likely += told + np.float32(how.lean * np.exp(-self._gone / how.leaning))
        likely += how.color * (how.least + (1 - how.least) * telling) * odds(chance)
        likely += how.plate * plated.result()
        new = self._solved(likely, shape, near, present)
        self.behind = behind.seen(present, new)
        self.view, self.phi, self.telling = present, new, _telling(new, chance)
        edge = np.abs(new) < 3
        flowing = float(trust[edge].mean()) if edge.any() else 0.0
        return _certainty(new, chance) * (0.5 + 0.5 * flowing)

    def _plated(self, number: int, present: View, carried: Array, moved: layers.Motion, forward: bool) -> Array:
        """Log odds by the clean plate."""
        if self.plates is None or not self.how.plate:
            return np.zeros_like(carried)
        back = (moved.whole - moved.background)[carried > 0].mean(0)
        plate = Plate(self.plates, number, self.scale)
        return plate.odds(present, self.window, carried, -back if forward else back)

    def _learn(self, before: View, phi: Array, corner: tuple[int, int]) -> Array:
        """Learns the colors of the frame before; gives how far those known till then told its two sides."""
        telling = self.telling
        if telling is None:
            near = _near(phi > 0, self.how.search / self.scale)
            telling = _telling(phi, self.regions.ask(before.colors, near, corner))
        self.regions.fade(self.how.near)
        self.regions.learn(before.colors, *_shares(phi), corner)
        self.regions.settle()
        return telling

    def _solved(self, likely: Array, shape: Array, near: Mask, present: View) -> Array:
        box = _box(near, 4)
        evidence = cv2.GaussianBlur(np.tanh(likely[box] / 2).astype(np.float32), (0, 0), 0.7)
        evidence[~near[box]] = -1
        begun, prior = levelset.signed_distance(evidence > 0), np.ascontiguousarray(shape[box])
        new = _moved(begun, evidence, prior, None, self.how.weights, self.how.iterations, 1, present.colors[box])
        kept = np.zeros(shape.shape, bool)
        kept[box] = layers.pieces(new > 0, prior > 0)
        return levelset.signed_distance(kept)


def _looked(codes: Picture, before: View) -> tuple[View, Array]:
    """A frame made ready, and the flow from it to the one before."""
    present = View.of(codes)
    return present, flow.flow(present.gray, before.gray, "medium")


def _telling(phi: Array, chance: Array) -> Array:
    """How far (H, W) color tells the two sides of a contour near by, 0 for not at all, 1 for without an error.

    The color confidence of Bai et al. 2009 (equation 2): by histograms that had not seen the frame.
    """
    side = (41, 41)
    weight = (np.exp(-((phi / 6) ** 2)) * (np.abs(phi) < 14)).astype(np.float32)
    wrong = cv2.blur(weight * np.abs((phi > 0) - chance), side) / np.maximum(cv2.blur(weight, side), 1e-4)
    result: Array = (1 - 2 * wrong).clip(0, 1).astype(np.float32)
    return result


def _near(mask: Mask, reach: float) -> Mask:
    side = 2 * max(1, round(reach)) + 1
    wide: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return wide


def _thinned(picture: Picture, scale: float) -> Picture:
    if scale == 1:
        return picture
    size = (max(1, round(picture.shape[1] / scale)), max(1, round(picture.shape[0] / scale)))
    result: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return result


def _scaled_to(phi: Array, scale: float) -> Array:
    if scale == 1:
        return phi
    size = (max(1, round(phi.shape[1] / scale)), max(1, round(phi.shape[0] / scale)))
    share = cv2.resize((phi > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return levelset.signed_distance(share > 0.5)


def palette(keys: Sequence[tuple[Picture, State]]) -> Regions:
    """What target and background look like in key frames, as a whole."""
    regions = Regions((1, 1))  # it learns no neighborhoods
    for codes, state in keys:
        regions.anchor(features(codes), *_shares(state.phi))
    return regions


def blend(
    first: State,
    second: State,
    nearness: float,
    arrived: tuple[float, float],
    picture: Picture | None = None,
    looks: Regions | None = None,
    how: Settings | None = None,
    plate: Plate | None = None,
) -> State:
    """Two contours of one frame, carried there from the keys on both its sides.

    A contour errs the more, the farther it was carried, by as much as it was off when it reached the other key: that is
    known. Distances are averaged where the two are a few pixels apart; farther apart a mean of both shapes is neither,
    and the surer one decides, with what the picture looks like there.

    Args:
        first: carried from the key before.
        second: carried from the key after.
        nearness: 1 at the first's key, 0 at the second's.
        arrived: the overlap of each with the other's key when it got there.
        picture: (H, W, 3) uint8, the frame; None leaves its colors out.
        looks: what the key frames look like (`palette`).
        how: the settings.
        plate: the frame's clean plate; None does without.
    """
    agree = overlap(first.phi > 0, second.phi > 0)
    a, b = _worth(first, 1 - nearness, arrived[0]), _worth(second, nearness, arrived[1])
    sharp = 1 + 4 * (1 - agree)
    share = a**sharp / (a**sharp + b**sharp)
    phi = share * first.phi.clip(-_APART, _APART) + (1 - share) * second.phi.clip(-_APART, _APART)
    sure = share * first.confidence + (1 - share) * second.confidence
    if picture is not None and looks is not None and how is not None and agree < _ALIKE:
        phi = _judged(phi, first.phi, second.phi, share, picture, looks, how, plate)
    lines = first.lines if nearness >= 0.5 else second.lines
    return State(levelset.signed_distance(phi > 0), sure * (0.4 + 0.6 * agree), lines)


def _worth(state: State, distance: float, arrived: float) -> float:
    """What a contour counts that was carried so far (0..1) of the way to the other key, by what arrived there."""
    return (state.confidence**3 + 1e-9) * (_DOUBT + arrived) / (_DOUBT + distance * (1 - arrived))


def _judged(
    mean: Array,
    first: Array,
    second: Array,
    share: float,
    picture: Picture,
    looks: Regions,
    how: Settings,
    plate: Plate | None,
) -> Array:
    """Where one contour holds a pixel and the other does not, color speaks along with the trust in either.

    So does the clean plate, the more the less the two have in common: where a target passed behind something, each may
    hold a part of it.
    """
    either = (first > 0) | (second > 0)
    box = _box(either, _MARGIN // 2)
    colors, a, b = features(picture[box]), first[box] > 0, second[box] > 0
    regions = Regions((a.shape[0], a.shape[1]), how.cell)
    regions.whole = looks.whole
    both, neither = np.minimum(first[box], second[box]), np.maximum(first[box], second[box])
    regions.learn(colors, _shares(both)[0], _shares(neither)[1])
    doubtful = a != b
    chance = regions.ask(colors, _near(doubtful, 2))
    vote = float(np.clip(np.log(share / max(1 - share, 1e-6)), -4, 4))
    likely = np.where(a, vote, -vote) + how.judge * odds(chance)
    if plate is not None and how.plate:
        view = View.of(np.ascontiguousarray(picture[box]))
        lead = (first if share > 0.5 else second)[box]
        told = plate.odds(view, Window.of(box), np.maximum(first, second)[box], plate.away(lead > 0, Window.of(box)))
        likely += how.plate * how.judge_plate * (1 - overlap(a, b)) ** 2 * told
    evidence = np.where(doubtful, np.tanh(likely / 2), np.where(a, 1, -1)).astype(np.float32)
    evidence = cv2.GaussianBlur(evidence, (0, 0), 0.7)
    begun = levelset.signed_distance(layers.pieces(evidence > 0, either[box]))
    result = mean.copy()
    new = _moved(begun, evidence, mean[box], None, how.weights, how.iterations, 1, colors)
    result[box] = np.where(_near(doubtful, 1), new, mean[box])
    return result


def overlap(a: Mask, b: Mask) -> float:
    """Intersection over union; 1 for two empty masks."""
    union = int((a | b).sum())
    return 1.0 if union == 0 else int((a & b).sum()) / union


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


def _box(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The box of a mask with a margin; all of the picture for an empty one."""
    return layers.around(mask, margin) or (slice(0, mask.shape[0]), slice(0, mask.shape[1]))


def _placed(part: Array, box: tuple[slice, slice], shape: tuple[int, ...]) -> Array:
    result = np.full(shape, -1e3, np.float32)
    result[box] = part
    return result
