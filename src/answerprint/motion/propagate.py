"""Pixels of other frames for a hole: flow is composed from frame to frame, and a frame is sampled once, where it ends.

For every pixel of a hole the flow is followed forward and backward until a frame shows the place. Such a candidate is
one picture of the surroundings of the hole: it is aligned with what the present frame shows around the hole, its light
is matched there, and how well it fits there says how far to trust it. Flow is composed and not pixels, so nothing is
resampled twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.filters.poisson import membrane
from answerprint.motion import flow
from answerprint.motion.complete import grow

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Box:
    """A part of a picture: lines [top, bottom), columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Lines and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    @property
    def corner(self) -> Array:
        """Left and top."""
        return np.array([self.left, self.top], np.float32)

    @classmethod
    def around(cls, mask: Mask, margin: int) -> Box:
        """The box of a mask (H, W) that is not empty, `margin` pixels wider on every side where there are as many."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        height, width = mask.shape
        return cls(
            max(int(rows[0]) - margin, 0),
            min(int(rows[-1]) + 1 + margin, height),
            max(int(columns[0]) - margin, 0),
            min(int(columns[-1]) + 1 + margin, width),
        )


class Scene(Protocol):
    """A shot as propagation looks at it. Pictures may be larger than the fields of flow."""

    @property
    def count(self) -> int:
        """Frames."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""

    @property
    def field(self) -> tuple[int, int]:
        """Height and width of the fields of flow."""

    def picture(self, number: int, box: Box) -> Array:
        """Part of a frame, (h, w, 3)."""

    def unknown(self, number: int, box: Box) -> Mask:
        """What of it is no background, (h, w)."""

    def flow(self, number: int, step: int, box: Box) -> Array:
        """Part of the flow (h, w, 2) from a frame to the one before (step -1) or after (1), in pixels of the field."""


@dataclass(frozen=True)
class Candidate:
    """A part of the present frame as another frame shows it.

    Attributes:
        number: of the other frame.
        picture: (h, w, 3), aligned and in the light of the present frame.
        shown: (h, w), pixels of the hole that it brings.
        visible: (h, w), all pixels of the part that it shows.
        doubt: (h, w), what speaks against it: flow that does not come home, misfit around the hole.
        cost: (h, w), the same, and how far away the frame is: the lower the better.
    """

    number: int
    picture: Array
    shown: Mask
    visible: Mask
    doubt: Array
    cost: Array


@dataclass(frozen=True)
class Reach:
    """How far candidates are sought, and what speaks against one.

    The weights are the best of those tried on six clips beside those of the bench (benchmarks/inpaint.py tells which).

    Attributes:
        frames: from the present frame on.
        count: candidates of each direction.
        margin: pixels around the hole, of the field of flow, that candidates are fitted to.
        away: weight of a flow that does not come home, for each frame on the way.
        misfit: weight of the difference around the hole.
        distance: weight of a frame of distance.
        repeat: whether frames that show nothing new are candidates, too.
    """

    frames: int = 60
    count: int = 12
    margin: int = 24
    away: float = 0.3
    misfit: float = 20.0
    distance: float = 0.05
    repeat: bool = False


_VISIBLE = 0.01  # share of a pixel that a mask may cover
_RIM = 8  # pixels around the hole, of the field of flow, whose misfit counts
_BAND = 16  # pixels around the hole whose structure alignment needs
_SHIFT = 3.0  # pixels at the most that alignment moves a candidate
_HOME = 0.5  # pixels within which alignment must come home
_ODD = 0.08  # difference (of full scale) from which on it is no matter of light
_ENOUGH, _MANY = 200, 4000  # pixels that exposure is judged by: at least, and about at most
_BETTER = 0.8  # of the usual difference must be left, or another exposure is none
_SHADE = 0.7  # share of the difference in light that is taken over


def candidates(scene: Scene, number: int, hole: Mask, reach: Reach) -> tuple[Box, Iterator[Candidate]]:
    """The box around the hole in pixels of the picture, and what other frames show there, nearest first.

    Args:
        scene: the shot.
        number: of the present frame.
        hole: (H, W) of the picture, not empty.
        reach: limits and weights.
    """
    full, grid = _around(scene, hole, reach.margin)
    present = _Present(scene, number, full, hole[full.slices])
    return full, _both_ways(present, grid, reach)


def neighbor(scene: Scene, number: int, step: int, hole: Mask) -> tuple[Box, Array]:
    """The box around a hole (H, W) that is not empty, and the next (step 1) or last frame (-1) as it looks there."""
    full, grid = _around(scene, hole, _RIM)
    places, _ = _step(scene, number, step, grid.places())
    return full, _View(scene, number + step, grid.enlarged(places, full.size)).sample()


def _around(scene: Scene, hole: Mask, margin: int) -> tuple[Box, _Grid]:
    """The box around a hole in pixels of the picture, and in the field of flow."""
    scale = scene.size[0] / scene.field[0], scene.size[1] / scene.field[1]
    small = hole if scene.field == scene.size else shrink(hole, scene.field)
    box = Box.around(small, margin)
    full = Box(
        round(box.top * scale[0]), round(box.bottom * scale[0]), round(box.left * scale[1]), round(box.right * scale[1])
    )
    return full, _Grid(box, small[box.slices], scale)


@dataclass(frozen=True)
class _Grid:
    """The box in the field of flow, the hole (h, w) in it, and how much larger pictures are (down, across)."""

    box: Box
    hole: Mask
    scale: tuple[float, float]

    def places(self) -> Array:
        """Where every pixel is, x then y, (h, w, 2)."""
        y, x = np.mgrid[self.box.slices]
        return np.dstack([x, y]).astype(np.float32)

    def enlarged(self, places: Array, size: tuple[int, int]) -> Array:
        """Places in pixels of the picture, for a part of that (width, height)."""
        if self.scale == (1.0, 1.0):
            return places
        down, across = self.scale
        # Pixel centers: x of the large picture is (x + 0.5) * scale - 0.5 of the small one's.
        large = (places + np.float32(0.5)) * np.array([across, down], np.float32) - np.float32(0.5)
        return np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_LINEAR), np.float32)


class _Present:
    """The present frame around its hole."""

    def __init__(self, scene: Scene, number: int, box: Box, hole: Mask) -> None:
        self.scene, self.number, self.box, self.hole = scene, number, box, hole
        self.picture = scene.picture(number, box)
        self.unknown = scene.unknown(number, box)
        self.left = {-1: hole.copy(), 1: hole.copy()}


def _both_ways(present: _Present, grid: _Grid, reach: Reach) -> Iterator[Candidate]:
    for step in (-1, 1):
        yield from _one_way(present, grid, step, reach)


def _one_way(present: _Present, grid: _Grid, step: int, reach: Reach) -> Iterator[Candidate]:
    scene, left = present.scene, present.hole.copy()
    places, cost = grid.places(), np.zeros(grid.hole.shape, np.float32)
    gone = np.zeros(grid.hole.shape, bool)
    other, taken = present.number, 0
    while 0 <= other + step < scene.count and abs(other + step - present.number) <= reach.frames:
        places, away = _step(scene, other, step, places)
        cost = cost + away
        x, y = places[..., 0], places[..., 1]
        gone |= (x < 0) | (y < 0) | (x > scene.field[1] - 1) | (y > scene.field[0] - 1)
        other += step
        if (gone | ~grid.hole).all():
            return
        candidate = _candidate(present, grid, other, (places, gone, cost), left, reach)
        if candidate is None:
            continue
        yield candidate
        if not reach.repeat:
            left &= ~candidate.shown
        taken += 1
        if taken == reach.count or not left.any():
            return


def _step(scene: Scene, number: int, step: int, places: Array) -> tuple[Array, Array]:
    """Where places (h, w, 2) of a frame are in the next, and by how much (h, w, 0..5) they do not come home."""
    box = _box_of(places, scene.field, 1)
    vectors = _at(scene.flow(number, step, box), places - box.corner)
    places = places + vectors
    box = _box_of(places, scene.field, 1)
    home = _at(scene.flow(number + step, -step, box), places - box.corner)
    away = np.linalg.norm(vectors + home, axis=2) / (0.5 + 0.05 * np.linalg.norm(vectors, axis=2))
    return places, np.minimum(away, 5).astype(np.float32)


def _candidate(
    present: _Present, grid: _Grid, other: int, path: tuple[Array, Mask, Array], left: Mask, reach: Reach
) -> Candidate | None:
    """What frame `other` shows, None where it shows nothing new."""
    width, height = present.box.size
    places, gone, cost = path
    full = grid.enlarged(places, (width, height))
    if full is not places:
        gone = np.asarray(cv2.resize(gone.astype(np.uint8), (width, height)) > 0)
        cost = np.asarray(cv2.resize(cost, (width, height)), np.float32)
    view = _View(present.scene, other, full)
    visible = ~gone & view.visible()
    shown = left & visible
    if not shown.any():
        return None
    picture = _exposed(present, _aligned(present, view, visible, grid.scale), visible)
    picture, misfit = _lit(present, picture, visible, grid.scale)
    doubt = np.float32(reach.away) * cost + np.float32(reach.misfit) * misfit
    far = np.float32(reach.distance * abs(other - present.number))
    return Candidate(other, picture, shown, visible, doubt, doubt + far)


class _View:
    """Another frame around where a part of the present one lies in it: only that much of it is read."""

    def __init__(self, scene: Scene, number: int, places: Array) -> None:
        box = _box_of(places, scene.size, 4 + int(_SHIFT * 4))
        self.places = places - box.corner
        self.frame = scene.picture(number, box)
        self._unknown = scene.unknown(number, box)

    def visible(self) -> Mask:
        """Where no mask covers it, (h, w)."""
        covered = _at(self._unknown.astype(np.float32), self.places)
        return np.asarray(covered < _VISIBLE)

    def sample(self, shift: Array | None = None) -> Array:
        """The frame (h, w, 3) as it looks from the present one, moved by a shift (h, w, 2)."""
        return _at(self.frame, self.places if shift is None else self.places + shift, cv2.INTER_CUBIC)


def _aligned(present: _Present, view: _View, visible: Mask, scale: tuple[float, float]) -> Array:
    """The candidate moved to fit what the present frame shows around the hole."""
    picture = view.sample()
    width = scale[0]
    known = visible & ~present.unknown
    if (known & grow(present.hole, round(_BAND * width))).sum() < 30:
        return picture
    # In the hole both are the candidate: nothing pulls there, and the flow of the rim is continued.
    patched = np.where(present.unknown[..., None], picture, present.picture)
    first, second = gray(patched), gray(picture)
    there, back = flow.flow(first, second, "medium"), flow.flow(second, first, "medium")
    home = np.linalg.norm(there + flow.warp(back, there), axis=2) < _HOME
    near = np.linalg.norm(there, axis=2) < _SHIFT * width
    good = known & home & near & ~grow(present.unknown, round(2 * width))
    return view.sample(membrane(there, good)) if good.any() else picture


def _exposed(present: _Present, picture: Array, visible: Mask) -> Array:
    """The candidate in the exposure of the present frame: a gain and an offset for each channel, where they differ."""
    known = visible & ~present.unknown
    if known.sum() < _ENOUGH:
        return picture
    thin = max(1, int(known.sum()) // _MANY)
    theirs, ours = picture[known][::thin], present.picture[known][::thin]
    result = picture.copy()
    for channel in range(3):
        x, y = theirs[:, channel].astype(np.float64), ours[:, channel].astype(np.float64)
        gain, offset = _robust_line(x, y)
        before, after = np.median(np.abs(y - x)), np.median(np.abs(y - gain * x - offset))
        if after < _BETTER * before:
            result[..., channel] = np.float32(gain) * picture[..., channel] + np.float32(offset)
    return result


def _robust_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Gain and offset of y = gain x + offset, by least squares whose weights fall with the error."""
    weight = np.ones_like(x)
    gain, offset = 1.0, 0.0
    for _ in range(4):
        total = weight.sum()
        mean_x, mean_y = (weight * x).sum() / total, (weight * y).sum() / total
        spread = (weight * (x - mean_x) ** 2).sum() / total
        if spread < 1e-8:
            return 1.0, mean_y - mean_x
        gain = float(np.clip((weight * (x - mean_x) * (y - mean_y)).sum() / total / spread, 0.25, 4.0))
        offset = float(mean_y - gain * mean_x)
        error = np.abs(y - gain * x - offset)
        weight = 1 / (1 + (error / (2 * np.median(error) + 1e-4)) ** 2)
    return gain, offset


def _lit(present: _Present, picture: Array, visible: Mask, scale: tuple[float, float]) -> tuple[Array, Array]:
    """The candidate in the light of the present frame, and how far it is from it around the hole, (h, w)."""
    rim = visible & ~present.unknown & grow(present.hole, round(_RIM * scale[0]))
    if rim.sum() <= 10:
        return picture, np.full(rim.shape, 0.1, np.float32)
    # What is removed must not be blurred into the rim.
    counts = (visible & ~present.unknown).astype(np.float32)
    difference = (present.picture - picture) * counts[..., None]
    share = np.maximum(cv2.GaussianBlur(counts, (0, 0), scale[0]), 0.1)
    size = np.abs(cv2.GaussianBlur(difference, (0, 0), scale[0])).mean(2) / share
    weight = np.exp(-((size / np.float32(_ODD)) ** 2)).astype(np.float32)
    spread = membrane(np.dstack([np.minimum(size, 0.3), difference * weight[..., None], weight]), rim)
    shade = spread[..., 1:4] / np.maximum(spread[..., 4:], 0.05)
    return (picture + np.float32(_SHADE) * shade).astype(np.float32), spread[..., 0]


def _box_of(places: Array, size: tuple[int, int], margin: int) -> Box:
    """The part of a picture (height, width) that places (h, w, 2) lie in, `margin` pixels wider."""
    x, y = places[..., 0].clip(0, size[1] - 1), places[..., 1].clip(0, size[0] - 1)
    return Box(
        max(int(y.min()) - margin, 0),
        min(int(y.max()) + 2 + margin, size[0]),
        max(int(x.min()) - margin, 0),
        min(int(x.max()) + 2 + margin, size[1]),
    )


def _at(planes: NDArray[np.floating], places: Array, how: int = cv2.INTER_LINEAR) -> Array:
    """Values at places (h, w, 2); the border is repeated."""
    return np.asarray(
        cv2.remap(planes, places[..., 0], places[..., 1], how, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def gray(picture: Array) -> Picture:
    """Luma of a picture (h, w, 3) in 8 bits, as flow is sought on."""
    codes = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(codes, cv2.COLOR_RGB2GRAY), np.uint8)


def shrink(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask at another size (height, width): all that it touches."""
    small = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small > 0)


def mix(hole: Mask, options: list[Candidate], sharpness: float) -> tuple[Array, Mask]:
    """The candidates as one picture (h, w, 3), and what of the hole they cover, (h, w).

    Args:
        hole: (h, w) in its box.
        options: candidates.
        sharpness: how much the best outweighs the others.
    """
    total = np.zeros((*hole.shape, 3), np.float32)
    weight = np.zeros(hole.shape, np.float32)
    if options:
        least = np.min([np.where(one.shown, one.cost, np.inf) for one in options], 0)
        for one in options:
            behind = np.clip(np.where(one.shown, one.cost - np.where(one.shown, least, 0), 50), 0, 50)
            share = np.where(one.shown, np.exp(-np.float32(sharpness) * behind), 0).astype(np.float32)
            total += share[..., None] * one.picture
            weight += share
    mean = total / np.maximum(weight, np.float32(1e-9))[..., None]
    return mean.astype(np.float32), (weight > 0) & hole
