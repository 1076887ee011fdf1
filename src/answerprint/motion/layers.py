"""A frame as two layers: the target in front, the background behind, each with a motion of its own.

Dense flow is smooth across the contour: it drags background along behind a target and leaves the target's rim behind.
So each layer's motion is taken where its pixels are known and spread from there (push-pull, Gortler et al. 1996): the
target's is the affine motion that lays the whole of it on the next frame (enhanced correlation, Evangelidis and
Psarakis 2008) plus the flow that is left inside, the background's the flow outside. Where the two differ, a pixel tells
by the way it moves, and by which layer's picture it resembles, what it belongs to (layers: Wang and Adelson 1994).

Vectors are (H, W, 2), x then y, in pixels, and point from the present frame to the other: what warps the other onto the
present (`flow.warp`). phi is a signed distance, above 0 inside the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.color.bins import features
from answerprint.motion import flow

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

OUTSIDE = -30.0  # signed distance of what the picture does not show
_DEEP = 3.0  # pixels inside the contour from which flow is the target's alone
_MOST = 2.4  # of a pixel's misfit
_LEAST = 16  # pixels a side that dense flow needs


@dataclass(frozen=True)
class View:
    """A frame made ready: codes (H, W, 3), gray (H, W), smoothed colors, their gradient, bins of color."""

    codes: Picture
    gray: Picture
    soft: Array
    detail: Array
    colors: Picture

    @classmethod
    def of(cls, codes: Picture) -> View:
        soft = cv2.GaussianBlur(codes, (0, 0), 0.6)
        slopes = (np.abs(cv2.Sobel(soft, cv2.CV_16S, *axes)).astype(np.float32) for axes in ((1, 0), (0, 1)))
        steep = cv2.magnitude(*(cv2.transform(one, np.full((1, 3), 1 / 24, np.float32)) for one in slopes))
        gray = cv2.cvtColor(codes, cv2.COLOR_RGB2GRAY)
        return cls(codes, gray, soft.astype(np.float32), cv2.blur(steep, (3, 3)), features(codes))


@dataclass(frozen=True)
class Window:
    """A part of a picture: the rows from `top` and columns from `left` on."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def box(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @classmethod
    def of(cls, box: tuple[slice, slice]) -> Window:
        """The window of a box within the picture."""
        return cls(box[0].start, box[1].start, box[0].stop, box[1].stop)

    @classmethod
    def around(cls, box: tuple[slice, slice], margin: int, shape: tuple[int, int]) -> Window:
        """The window that holds a box and a margin, where the picture goes that far; its sides lie on a grid of 16."""
        low = [max(0, (int(side.start) - margin) // 16 * 16) for side in box]
        high = [min(size, -(-(int(side.stop) + margin) // 16) * 16) for side, size in zip(box, shape, strict=True)]
        return cls(low[0], low[1], high[0], high[1])

    def holds(self, other: Window) -> bool:
        near = self.top <= other.top and self.left <= other.left
        return near and self.bottom >= other.bottom and self.right >= other.right


def recut(plane: Array, old: Window, new: Window, border: float | None = None) -> Array:
    """What a plane over one window is over another; where it says nothing, `border`, or its own edge for None."""
    below, right = max(0, new.bottom - old.bottom), max(0, new.right - old.right)
    above, left = max(0, old.top - new.top), max(0, old.left - new.left)
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    wide = cv2.copyMakeBorder(plane, above, below, left, right, mode, value=0 if border is None else border)
    top, first = new.top - (old.top - above), new.left - (old.left - left)
    return np.ascontiguousarray(wide[top : top + new.shape[0], first : first + new.shape[1]])


def misfit(view: View, other: Array) -> Array:
    """How far (H, W) another picture (H, W, 3), laid on a view, is from it; about 1 where it is another thing.

    Absolute difference over what noise and a flow that errs by a pixel would make of it, over 5 x 5 pixels.
    """
    away = cv2.absdiff(view.soft, other)
    total: Array = cv2.transform(away, np.full((1, 3), 1 / 3, np.float32)) / (5 + 0.7 * view.detail)
    result: Array = cv2.blur(np.minimum(total, 2.5 * _MOST), (5, 5))
    return result


def spread(vectors: Array, weight: Array) -> Array:
    """Vectors carried on to where nothing is known: push-pull over a pyramid."""
    stacked = np.dstack([vectors * weight[..., None], weight]).astype(np.float32)
    levels = [stacked]
    while min(levels[-1].shape[:2]) >= 4 and len(levels) < 7:
        levels.append(cv2.pyrDown(levels[-1]))
    result: Array = (levels[-1][..., :2] / np.maximum(levels[-1][..., 2:], 1e-6)).astype(np.float32)
    for level in levels[-2::-1]:
        above = cv2.pyrUp(result, dstsize=(level.shape[1], level.shape[0]))
        result = ((level[..., :2] + 0.02 * above) / (level[..., 2:] + 0.02)).astype(np.float32)
    return result


def landed(forward: Array, weight: Array) -> tuple[Array, Array]:
    """Vectors back, from where forward vectors lead, and their weight there."""
    height, width = weight.shape
    rows, columns = np.nonzero(weight > 1e-5)
    vectors, worth = forward[rows, columns], weight[rows, columns]
    x = np.rint(columns + vectors[:, 0]).astype(np.int64)
    y = np.rint(rows + vectors[:, 1]).astype(np.int64)
    there = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    index, vectors, worth = (y * width + x)[there], vectors[there], worth[there]

    def heap(values: Any) -> Any:
        return np.bincount(index, values, height * width).reshape(height, width).astype(np.float32)

    total = heap(worth)
    back = np.dstack([-heap(worth * vectors[:, 0]), -heap(worth * vectors[:, 1])])
    return back / np.maximum(total, 1e-9)[..., None], np.minimum(total, 1)


@dataclass(frozen=True)
class Motion:
    """Where both layers of a frame were before: the target's pixels, the background's, and the target as a whole."""

    target: Array
    background: Array
    whole: Array


def motions(before: View, present: View, phi: Array, back: Array) -> Motion:
    """The motion of both layers.

    Args:
        before: the frame whose target is known.
        present: the frame beside it.
        phi: (H, W) of the frame before.
        back: dense flow from the present frame to the one before.
    """
    matrix = _whole(before, present, phi, back)
    height, width = phi.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    whole = _moved(matrix, x, y)
    rest = inner(flow.warp(before.gray, whole), present.gray, flow.warp(phi, whole, OUTSIDE))
    target = whole if rest is None else _moved(matrix, x + rest[..., 0], y + rest[..., 1]) + rest
    outside = (-flow.warp(phi, target, OUTSIDE) / 2 - 0.5).clip(0, 1)
    fits = np.exp(-misfit(present, flow.warp(before.soft, back)))
    return Motion(target, spread(back, (outside * (0.02 + fits) + 1e-6).astype(np.float32)), whole)


def _moved(matrix: Array, x: Array, y: Array) -> Array:
    """Displacements of an affine motion."""
    across, down = (row[0] * x + row[1] * y + row[2] for row in matrix)
    result: Array = np.dstack([across - x, down - y]).astype(np.float32)
    return result


def inner(laid: Picture, present: Picture, phi: Array) -> Array | None:
    """What a picture laid on the present frame is still off inside the target, spread outward; None for specks.

    Args:
        laid: (H, W) gray.
        present: (H, W) gray.
        phi: (H, W) of the target in `laid`.
    """
    box = around(phi > 0, 12)
    if box is None or min(box[0].stop - box[0].start, box[1].stop - box[1].start) <= _LEAST:
        return None
    first, second = np.ascontiguousarray(laid[box]), np.ascontiguousarray(present[box])
    forward, back = flow.flow(first, second, "medium"), flow.flow(second, first, "medium")
    near = np.ascontiguousarray(phi[box])
    weight = ((near / _DEEP).clip(0, 1) ** 2 + 0.003) * (near > 0) * (0.02 + flow.confidence(forward, back))
    result = np.zeros((*phi.shape, 2), np.float32)
    result[box] = spread(*landed(forward, weight.astype(np.float32)))
    return result


def _whole(before: View, present: View, phi: Array, back: Array) -> Array:
    """The affine motion (2, 3) that takes the present target's points to the frame before."""
    carried = flow.warp(phi, back, OUTSIDE) > 0
    shifts = [np.median(back[carried], axis=0)] if carried.any() else []
    shift = _shift(before.codes, present.codes, phi > 0)
    if shift is not None:
        shifts = [shift] if shifts and float(np.abs(shifts[0] - shift).max()) < 1.5 else [shift, *shifts]
    if not shifts:
        return np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    found = [_aligned(before.gray, present.gray, phi, one) for one in shifts]
    return found[0] if len(found) == 1 else min(found, key=lambda one: _cost(before, present, phi, one))


def _cost(before: View, present: View, phi: Array, matrix: Array) -> float:
    height, width = phi.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    vectors = _moved(matrix, x, y)
    there = flow.warp(phi, vectors, OUTSIDE) > 0
    return float(misfit(present, flow.warp(before.soft, vectors))[there].mean()) if there.any() else 1e9


def _shift(before: Picture, present: Picture, mask: Mask, reach: int = 32) -> Array | None:
    """The target's shift as a whole, by template matching under its mask: dense flow loses small, fast things."""
    box = around(mask, 1)
    if box is None or mask.sum() < 8 or min(box[0].stop - box[0].start, box[1].stop - box[1].start) < 3:
        return None
    shrink = max(1, int((mask.sum() / 800) ** 0.5))
    padded = cv2.copyMakeBorder(present, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    window = padded[box[0].start : box[0].stop + 2 * reach, box[1].start : box[1].stop + 2 * reach]
    template, weight = before[box], mask[box].astype(np.float32)
    if shrink > 1:
        window, template, weight = (
            cv2.resize(one, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
            for one in (window, template, weight)
        )
    score = cv2.matchTemplate(
        window.astype(np.float32), template.astype(np.float32), cv2.TM_SQDIFF, mask=np.repeat(weight[..., None], 3, 2)
    )
    y, x = divmod(int(score.argmin()), score.shape[1])
    return np.array([reach - x * shrink, reach - y * shrink], np.float32)


def _aligned(before: Picture, present: Picture, phi: Array, shift: Array) -> Array:
    """The affine motion near a shift under which the target's pixels correlate best; the shift itself in doubt."""
    plain = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    # The rim is left out, where the target is wide enough: it is mixed with the background.
    mask = (phi > min(1.0, float(phi.max()) / 3)).astype(np.uint8) * 255
    source = around(mask > 0, 6)
    if source is None:
        return plain
    height, width = phi.shape
    top, left = max(0, int(source[0].start - shift[1]) - 4), max(0, int(source[1].start - shift[0]) - 4)
    bottom = min(height, int(source[0].stop - shift[1]) + 4)
    right = min(width, int(source[1].stop - shift[0]) + 4)
    if bottom - top < 12 or right - left < 12:
        return plain
    shrink = max(1, int(((bottom - top) * (right - left) / 6000) ** 0.5))
    wanted, given = _thin(present[top:bottom, left:right], shrink), _thin(before[source], shrink)
    used = cv2.resize(mask[source], given.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    corner = np.array([source[1].start, source[0].start], np.float32)
    start = np.hstack([np.eye(2), ((np.array([left, top]) + shift - corner) / shrink)[:, None]]).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 1e-3)
    try:
        _, found = cv2.findTransformECC(wanted, given, start, cv2.MOTION_AFFINE, stop, used, 3)
    except cv2.error:  # it tells so that pictures do not correlate
        return plain
    if not np.isfinite(found).all() or float(np.abs(found[:, :2] - np.eye(2)).max()) > 0.25:
        return plain
    offset = found[:, 2] * shrink + corner - found[:, :2] @ np.array([left, top], np.float32)
    return np.hstack([found[:, :2], offset[:, None]]).astype(np.float32)


def _thin(picture: Picture, shrink: int) -> Picture:
    if shrink == 1:
        return np.ascontiguousarray(picture)
    result: Picture = cv2.resize(picture, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    return result


def by_motion(present: View, before: View, back: Array, moved: Motion, against: float = 2.5) -> Array:
    """Log odds (H, W) that a pixel belongs to the target by the way it moves.

    What moves with the background where the target as a whole does not is background; what does not, may be the target.

    Args:
        present: the frame.
        before: the frame beside it.
        back: dense flow from the present frame to the one before.
        moved: both layers' motion.
        against: log odds of moving with the background.
    """
    spared = np.exp(-0.7 * misfit(present, flow.warp(before.soft, back)))
    noise = 1 + 0.01 * _squared(moved.background)
    alike = np.exp(-_squared(back - moved.background) / (2 * noise))
    apart = 1 - np.exp(-_squared(moved.whole - moved.background) / (4 * noise))
    flowing = spared * (FOR * (1 - alike) - against * alike)
    as_whole = misfit(present, flow.warp(before.soft, moved.whole))
    fitting = misfit(present, flow.warp(before.soft, moved.background)) - as_whole
    total = apart * (flowing + FITTING * fitting.clip(-_MOST, _MOST))
    result: Array = cv2.blur(total.astype(np.float32), (7, 7))
    return result


def _squared(vectors: Array) -> Array:
    result: Array = vectors[..., 0] ** 2 + vectors[..., 1] ** 2
    return result


FITTING = 0.25  # log odds per misfit by which one motion explains a pixel better than the other
FOR = 1.0  # log odds of moving otherwise than the background: other things do, too


@dataclass(frozen=True)
class Other:
    """A frame some way off a key frame, with the flow there and back."""

    view: View
    there: Array
    back: Array

    @classmethod
    def of(cls, key: View, view: View) -> Other:
        return cls(view, flow.flow(key.gray, view.gray, "medium"), flow.flow(view.gray, key.gray, "medium"))


def told_apart(key: View, beside: Other, phi: Array) -> Array:
    """How much better (H, W) a key frame's pixels fit the target's motion to another frame than the background's.

    In misfits: above 0 where a pixel goes with the target.

    Args:
        key: the frame whose target is known, roughly.
        beside: a frame some way off.
        phi: (H, W) of the key frame.
    """
    other, there, back = beside.view, beside.there, beside.back
    matrix = cv2.invertAffineTransform(_whole(key, other, phi, back)).astype(np.float32)
    height, width = phi.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    target = _moved(matrix, x, y)
    rest = inner(flow.warp(other.gray, target), key.gray, phi)
    if rest is not None:
        target = _moved(matrix, x + rest[..., 0], y + rest[..., 1]) + rest
    fits = np.exp(-misfit(key, flow.warp(other.soft, there))) * flow.confidence(there, back)
    outside = (-phi / 2 - 0.5).clip(0, 1) * (0.02 + fits) + 1e-6
    background = spread(there, outside.astype(np.float32))
    gain = misfit(key, flow.warp(other.soft, background)) - misfit(key, flow.warp(other.soft, target))
    result: Array = gain.clip(-_MOST, _MOST)
    return result


@dataclass
class Behind:
    """The background as far as it was seen: colors (H, W, 3), and how well each is known (H, W) in 0..1."""

    colors: Array
    known: Array

    @classmethod
    def of(cls, view: View, phi: Array) -> Behind:
        return cls(view.soft, _away(phi))

    def within(self, old: Window, new: Window) -> Behind:
        return Behind(recut(self.colors, old, new), recut(self.known, old, new, 0.0))

    def moved(self, vectors: Array) -> Behind:
        return Behind(flow.warp(self.colors, vectors), flow.warp(self.known, vectors, 0.0))

    def seen(self, view: View, phi: Array) -> Behind:
        """With what a frame shows of it; the rest fades."""
        now = _away(phi)
        return Behind(
            now[..., None] * view.soft + (1 - now[..., None]) * self.colors, np.maximum(now, 0.97 * self.known)
        )


def _away(phi: Array) -> Array:
    result: Array = (-phi / 1.5 - 0.5).clip(0, 1).astype(np.float32)
    return result


def by_picture(present: View, before: View, carried: Array, moved: Motion, behind: Behind) -> Array:
    """Log odds (H, W) that a pixel belongs to the target by which layer's picture it resembles.

    Args:
        present: the frame.
        before: the frame beside it.
        carried: (H, W) the signed distance of the target, carried to the present frame.
        moved: both layers' motion.
        behind: the background, carried to the present frame.
    """
    front = (carried + 0.5).clip(0, 1)
    own, other = misfit(present, flow.warp(before.soft, moved.target)), misfit(present, behind.colors)
    known = behind.known
    # A picture that nobody saw yet is no witness: then only what speaks against the other layer counts.
    gain = front * known * (other - own) + front * (1 - known) * np.minimum(0, 0.6 - own)
    result: Array = (gain + (1 - front) * known * (other - 1)).clip(-_MOST, _MOST).astype(np.float32)
    return result


class Memory:
    """The key frame's target laid on each frame in turn: what it looked like and its shape, without the way there.

    Args:
        key: the key frame, all of it.
        phi: (H, W) of the key frame.
        window: the part of the picture that the frames to come are seen in.
    """

    def __init__(self, key: View, phi: Array, window: Window) -> None:
        self._key, self._phi, self._window = key, phi, window
        self._vectors = np.zeros((*window.shape, 2), np.float32)

    def within(self, new: Window) -> None:
        """Goes on in another part of the picture."""
        self._vectors, self._window = recut(self._vectors, self._window, new), new

    def laid_on(self, present: View, target: Array) -> tuple[Array, Array]:
        """The key's signed distance on the present frame, and how far to trust it there in 0..1.

        Args:
            present: the frame after the last one asked for, in the window.
            target: the motion of the target from there.
        """
        corner = np.array([self._window.left, self._window.top], np.float32)
        vectors = flow.warp(self._vectors, target) + target
        there = vectors + corner
        rest = inner(flow.warp(self._key.gray, there), present.gray, flow.warp(self._phi, there, OUTSIDE))
        if rest is not None:
            rest = rest.clip(-6, 6)
            vectors = (flow.warp(vectors, rest) + rest).astype(np.float32)
            there = vectors + corner
        self._vectors = vectors
        phi: Array = flow.warp(self._phi, there, OUTSIDE)
        inside = (phi > 0).astype(np.float32)
        fits = np.exp(-0.7 * misfit(present, flow.warp(self._key.soft, there))) * inside
        side = (25, 25)
        trust = cv2.blur(fits, side) / np.maximum(cv2.blur(inside, side), 1e-3)
        return phi, ((trust - 0.3) / 0.4).clip(0, 1)


def around(mask: Mask, margin: int) -> tuple[slice, slice] | None:
    """The box of a mask with a margin, within the picture; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return (
        slice(max(0, int(rows[0]) - margin), min(mask.shape[0], int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(mask.shape[1], int(columns[-1]) + 1 + margin)),
    )


def pieces(mask: Mask, before: Mask) -> Mask:
    """A mask without pieces that stand where nothing stood before, without specks and pinholes."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return mask
    sizes = facts[:, cv2.CC_STAT_AREA]
    keep = np.bincount(labels.ravel(), before.ravel(), count) > 0.3 * sizes
    keep &= sizes >= max(8, 0.003 * mask.sum())
    keep[0] = False
    kept = keep[labels] if keep.any() else mask
    _, labels, facts, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8))
    small = facts[:, cv2.CC_STAT_AREA] < max(6, 0.002 * kept.sum())
    small[0] = False
    result: Mask = kept | small[labels]
    return result
