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
_FITTING = 0.25  # log odds per misfit by which one motion explains a pixel better than the other
_FOR = 1.0  # log odds of moving otherwise than the background: other things do, too
_AGAINST = 2.5  # log odds of moving with the background


@dataclass(frozen=True)
class View:
    """A frame with the planes that comparing needs.

    Attributes:
        codes: (H, W, 3) uint8 R'G'B'.
        gray: (H, W) uint8.
        soft: (H, W, 3) the codes, smoothed, float32 0..255.
        detail: (H, W) mean gradient of the smoothed codes, per pixel.
        colors: (H, W, 3) uint8 from `color.bins.features`.
    """

    codes: Picture
    gray: Picture
    soft: Array
    detail: Array
    colors: Picture

    @classmethod
    def of(cls, codes: Picture) -> View:
        """The view of a picture (H, W, 3) uint8 R'G'B'."""
        soft = cv2.GaussianBlur(codes, (0, 0), 0.6)
        slopes = (np.abs(cv2.Sobel(soft, cv2.CV_16S, *axes)).astype(np.float32) for axes in ((1, 0), (0, 1)))
        steep = cv2.magnitude(*(cv2.transform(one, np.full((1, 3), 1 / 24, np.float32)) for one in slopes))
        gray = cv2.cvtColor(codes, cv2.COLOR_RGB2GRAY)
        return cls(codes, gray, soft.astype(np.float32), cv2.blur(steep, (3, 3)), features(codes))


@dataclass(frozen=True)
class CropWindow:
    """A part of a picture: rows from `top` to `bottom`, columns from `left` to `right`, their ends not included."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def box(self) -> tuple[slice, slice]:
        """Its rows and columns as slices of the picture."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @classmethod
    def of(cls, box: tuple[slice, slice]) -> CropWindow:
        """The window of a box within the picture."""
        return cls(box[0].start, box[1].start, box[0].stop, box[1].stop)

    @classmethod
    def around(cls, box: tuple[slice, slice], margin: int, shape: tuple[int, int]) -> CropWindow:
        """The window that holds a box and a margin, where the picture goes that far; its sides lie on a grid of 16."""
        low = [max(0, (int(side.start) - margin) // 16 * 16) for side in box]
        high = [min(size, -(-(int(side.stop) + margin) // 16) * 16) for side, size in zip(box, shape, strict=True)]
        return cls(low[0], low[1], high[0], high[1])

    def holds(self, other: CropWindow) -> bool:
        """Whether the other window lies within this one."""
        near = self.top <= other.top and self.left <= other.left
        return near and self.bottom >= other.bottom and self.right >= other.right


def rewindow(plane: Array, old: CropWindow, new: CropWindow, border: float | None = None) -> Array:
    """Re-windows a plane (H, W) or (H, W, C) from `old` to `new`, padded with `border`, or its own edge for None."""
    below, right = max(0, new.bottom - old.bottom), max(0, new.right - old.right)
    above, left = max(0, old.top - new.top), max(0, old.left - new.left)
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    wide = cv2.copyMakeBorder(plane, above, below, left, right, mode, value=0 if border is None else border)
    top, first = new.top - (old.top - above), new.left - (old.left - left)
    return np.ascontiguousarray(wide[top : top + new.shape[0], first : first + new.shape[1]])


def misfit(view: View, other: Array) -> Array:
    """Misfit (H, W) of a warped picture (H, W, 3), float32 0..255, to a view; about 1 where it is another thing.

    Absolute difference over what noise and a flow that errs by a pixel would make of it, over 5 x 5 pixels.
    """
    away = cv2.absdiff(view.soft, other)
    total: Array = cv2.transform(away, np.full((1, 3), 1 / 3, np.float32)) / (5 + 0.7 * view.detail)
    result: Array = cv2.blur(np.minimum(total, 2.5 * _MOST), (5, 5))
    return result


def spread(vectors: Array, weight: Array) -> Array:
    """Vectors (H, W, 2) extended to where their weight (H, W), 0..1, is small: push-pull over a pyramid."""
    planes = np.dstack([vectors * weight[..., None], weight]).astype(np.float32)
    levels = [planes]
    while min(levels[-1].shape[:2]) >= 4 and len(levels) < 7:
        levels.append(cv2.pyrDown(levels[-1]))
    result: Array = (levels[-1][..., :2] / np.maximum(levels[-1][..., 2:], 1e-6)).astype(np.float32)
    for level in levels[-2::-1]:
        above = cv2.pyrUp(result, dstsize=(level.shape[1], level.shape[0]))
        result = ((level[..., :2] + 0.02 * above) / (level[..., 2:] + 0.02)).astype(np.float32)
    return result


def reverse_flow(forward: Array, weight: Array) -> tuple[Array, Array]:
    """The flow (H, W, 2) back from where forward vectors (H, W, 2) lead, and its weight (H, W) there, 0..1."""
    height, width = weight.shape
    rows, columns = np.nonzero(weight > 1e-5)
    vectors, weights = forward[rows, columns], weight[rows, columns]
    x = np.rint(columns + vectors[:, 0]).astype(np.int64)
    y = np.rint(rows + vectors[:, 1]).astype(np.int64)
    there = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    index, vectors, weights = (y * width + x)[there], vectors[there], weights[there]

    def landing_sum(values: Any) -> Any:
        return np.bincount(index, values, height * width).reshape(height, width).astype(np.float32)

    total = landing_sum(weights)
    back = np.dstack([-landing_sum(weights * vectors[:, 0]), -landing_sum(weights * vectors[:, 1])])
    return back / np.maximum(total, 1e-9)[..., None], np.minimum(total, 1)


@dataclass(frozen=True)
class LayerMotion:
    """Flow (H, W, 2) of both layers of a frame to the frame before.

    Attributes:
        target: flow of the target's pixels.
        background: flow of the background.
        whole: affine flow of the target as a whole.
    """

    target: Array
    background: Array
    whole: Array


def layer_motion(before: View, present: View, phi: Array, back: Array) -> LayerMotion:
    """The motion of both layers from a frame to the one before.

    Args:
        before: the frame whose target is known.
        present: the frame beside it.
        phi: (H, W) of the frame before.
        back: dense flow from the present frame to the one before.
    """
    matrix = _affine_motion(before, present, phi, back)
    height, width = phi.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    whole = _affine_flow(matrix, x, y)
    rest = residual_flow(flow.warp(before.gray, whole), present.gray, flow.warp(phi, whole, OUTSIDE))
    target = whole if rest is None else _affine_flow(matrix, x + rest[..., 0], y + rest[..., 1]) + rest
    outside = (-flow.warp(phi, target, OUTSIDE) / 2 - 0.5).clip(0, 1)
    fits = np.exp(-misfit(present, flow.warp(before.soft, back)))
    return LayerMotion(target, spread(back, (outside * (0.02 + fits) + 1e-6).astype(np.float32)), whole)


def _affine_flow(matrix: Array, x: Array, y: Array) -> Array:
    """Displacements (..., 2) of the points x and y by an affine motion (2, 3)."""
    across, down = (row[0] * x + row[1] * y + row[2] for row in matrix)
    result: Array = np.dstack([across - x, down - y]).astype(np.float32)
    return result


def residual_flow(warped_frame: Picture, present: Picture, phi: Array) -> Array | None:
    """Flow (H, W, 2) left inside the target after the affine warp, spread outward; None for specks.

    Args:
        warped_frame: (H, W) gray, warped onto the present frame.
        present: (H, W) gray.
        phi: (H, W) of the target in `warped_frame`.
    """
    box = bounding_box(phi > 0, 12)
    if box is None or min(box[0].stop - box[0].start, box[1].stop - box[1].start) <= _LEAST:
        return None
    first, second = np.ascontiguousarray(warped_frame[box]), np.ascontiguousarray(present[box])
    forward, back = flow.flow(first, second, "medium"), flow.flow(second, first, "medium")
    near = np.ascontiguousarray(phi[box])
    weight = ((near / _DEEP).clip(0, 1) ** 2 + 0.003) * (near > 0) * (0.02 + flow.confidence(forward, back))
    result = np.zeros((*phi.shape, 2), np.float32)
    result[box] = spread(*reverse_flow(forward, weight.astype(np.float32)))
    return result


def _affine_motion(before: View, present: View, phi: Array, back: Array) -> Array:
    """The affine motion (2, 3) that takes the present target's points to the frame before."""
    target = flow.warp(phi, back, OUTSIDE) > 0
    shifts = [np.median(back[target], axis=0)] if target.any() else []
    shift = _shift(before.codes, present.codes, phi > 0)
    if shift is not None:
        shifts = [shift] if shifts and float(np.abs(shifts[0] - shift).max()) < 1.5 else [shift, *shifts]
    if not shifts:
        return np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    matrices = [_align(before.gray, present.gray, phi, one) for one in shifts]
    return matrices[0] if len(matrices) == 1 else min(matrices, key=lambda one: _cost(before, present, phi, one))


def _cost(before: View, present: View, phi: Array, matrix: Array) -> float:
    """Mean misfit of the target under an affine motion."""
    height, width = phi.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    vectors = _affine_flow(matrix, x, y)
    there = flow.warp(phi, vectors, OUTSIDE) > 0
    return float(misfit(present, flow.warp(before.soft, vectors))[there].mean()) if there.any() else 1e9


def _shift(before: Picture, present: Picture, mask: Mask, reach: int = 32) -> Array | None:
    """The target's shift as a whole, by template matching under its mask: dense flow loses small, fast things."""
    box = bounding_box(mask, 1)
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


def _align(before: Picture, present: Picture, phi: Array, shift: Array) -> Array:
    """The affine motion near a shift under which the target's pixels correlate best; the shift itself in doubt."""
    plain = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    # The rim is left out, where the target is wide enough: it is mixed with the background.
    mask = (phi > min(1.0, float(phi.max()) / 3)).astype(np.uint8) * 255
    source = bounding_box(mask > 0, 6)
    if source is None:
        return plain
    height, width = phi.shape
    top, left = max(0, int(source[0].start - shift[1]) - 4), max(0, int(source[1].start - shift[0]) - 4)
    bottom = min(height, int(source[0].stop - shift[1]) + 4)
    right = min(width, int(source[1].stop - shift[0]) + 4)
    if bottom - top < 12 or right - left < 12:
        return plain
    shrink = max(1, int(((bottom - top) * (right - left) / 6000) ** 0.5))
    template, image = _shrink(present[top:bottom, left:right], shrink), _shrink(before[source], shrink)
    image_mask = cv2.resize(mask[source], image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    corner = np.array([source[1].start, source[0].start], np.float32)
    start = np.hstack([np.eye(2), ((np.array([left, top]) + shift - corner) / shrink)[:, None]]).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 1e-3)
    try:
        _, matrix = cv2.findTransformECC(template, image, start, cv2.MOTION_AFFINE, stop, image_mask, 3)
    except cv2.error:  # pictures that do not correlate
        return plain
    if not np.isfinite(matrix).all() or float(np.abs(matrix[:, :2] - np.eye(2)).max()) > 0.25:
        return plain
    offset = matrix[:, 2] * shrink + corner - matrix[:, :2] @ np.array([left, top], np.float32)
    return np.hstack([matrix[:, :2], offset[:, None]]).astype(np.float32)


def _shrink(picture: Picture, shrink: int) -> Picture:
    if shrink == 1:
        return np.ascontiguousarray(picture)
    result: Picture = cv2.resize(picture, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    return result


def motion_evidence(present: View, before: View, back: Array, motion: LayerMotion) -> Array:
    """Log odds (H, W) that a pixel belongs to the target by the way it moves.

    What moves with the background where the target as a whole does not is background; what does not, may be the target.

    Args:
        present: the frame.
        before: the frame beside it.
        back: dense flow from the present frame to the one before.
        motion: both layers' motion.
    """
    agreement = np.exp(-0.7 * misfit(present, flow.warp(before.soft, back)))
    noise = 1 + 0.01 * _squared_length(motion.background)
    alike = np.exp(-_squared_length(back - motion.background) / (2 * noise))
    apart = 1 - np.exp(-_squared_length(motion.whole - motion.background) / (4 * noise))
    flowing = agreement * (_FOR * (1 - alike) - _AGAINST * alike)
    as_whole = misfit(present, flow.warp(before.soft, motion.whole))
    fitting = misfit(present, flow.warp(before.soft, motion.background)) - as_whole
    total = apart * (flowing + _FITTING * fitting.clip(-_MOST, _MOST))
    result: Array = cv2.blur(total.astype(np.float32), (7, 7))
    return result


def _squared_length(vectors: Array) -> Array:
    result: Array = vectors[..., 0] ** 2 + vectors[..., 1] ** 2
    return result


@dataclass(frozen=True)
class DistantFrame:
    """A frame some way off a key frame, with the flow (H, W, 2) there and back."""

    view: View
    there: Array
    back: Array

    @classmethod
    def of(cls, key: View, view: View) -> DistantFrame:
        """The frame `view`, with its flow from and to the key frame."""
        return cls(view, flow.flow(key.gray, view.gray, "medium"), flow.flow(view.gray, key.gray, "medium"))


def target_motion_evidence(key: View, beside: DistantFrame, phi: Array) -> Array:
    """Evidence (H, W) in misfits, above 0 where a key frame's pixel moves with the target to another frame.

    Args:
        key: the frame whose target is known, roughly.
        beside: a frame some way off.
        phi: (H, W) of the key frame.
    """
    other, there, back = beside.view, beside.there, beside.back
    matrix = cv2.invertAffineTransform(_affine_motion(key, other, phi, back)).astype(np.float32)
    height, width = phi.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    target = _affine_flow(matrix, x, y)
    rest = residual_flow(flow.warp(other.gray, target), key.gray, phi)
    if rest is not None:
        target = _affine_flow(matrix, x + rest[..., 0], y + rest[..., 1]) + rest
    fits = np.exp(-misfit(key, flow.warp(other.soft, there))) * flow.confidence(there, back)
    outside = (-phi / 2 - 0.5).clip(0, 1) * (0.02 + fits) + 1e-6
    background = spread(there, outside.astype(np.float32))
    gain = misfit(key, flow.warp(other.soft, background)) - misfit(key, flow.warp(other.soft, target))
    result: Array = gain.clip(-_MOST, _MOST)
    return result


@dataclass
class Background:
    """Background model: colors (H, W, 3), float32 0..255, and how well each is known (H, W) in 0..1."""

    colors: Array
    known: Array

    @classmethod
    def of(cls, view: View, phi: Array) -> Background:
        """The background of a frame whose target is phi (H, W)."""
        return cls(view.soft, _background_share(phi))

    def rewindowed(self, old: CropWindow, new: CropWindow) -> Background:
        """The model over another window of the picture."""
        return Background(rewindow(self.colors, old, new), rewindow(self.known, old, new, 0.0))

    def warped(self, vectors: Array) -> Background:
        """The model warped by vectors (H, W, 2)."""
        return Background(flow.warp(self.colors, vectors), flow.warp(self.known, vectors, 0.0))

    def updated(self, view: View, phi: Array) -> Background:
        """The model blended with this frame's background pixels, those outside phi (H, W); the rest fades."""
        now = _background_share(phi)
        return Background(
            now[..., None] * view.soft + (1 - now[..., None]) * self.colors, np.maximum(now, 0.97 * self.known)
        )


def _background_share(phi: Array) -> Array:
    """Share (H, W) of the background in each pixel, 0 up to a pixel outside the contour."""
    result: Array = (-phi / 1.5 - 0.5).clip(0, 1).astype(np.float32)
    return result


def appearance_evidence(
    present: View, before: View, carried: Array, motion: LayerMotion, background: Background
) -> Array:
    """Log odds (H, W) that a pixel belongs to the target by which layer's picture it resembles.

    Args:
        present: the frame.
        before: the frame beside it.
        carried: (H, W) the signed distance of the target, carried to the present frame.
        motion: both layers' motion.
        background: its model, warped onto the present frame.
    """
    front = (carried + 0.5).clip(0, 1)
    own, other = misfit(present, flow.warp(before.soft, motion.target)), misfit(present, background.colors)
    known = background.known
    # A picture that no frame showed yet is no witness: then only what speaks against the other layer counts.
    gain = front * known * (other - own) + front * (1 - known) * np.minimum(0, 0.6 - own)
    result: Array = (gain + (1 - front) * known * (other - 1)).clip(-_MOST, _MOST).astype(np.float32)
    return result


class KeyMemory:
    """The key frame's target warped onto each frame in turn: its picture and shape, without what came between.

    Args:
        key: the key frame, all of it.
        phi: (H, W) of the key frame.
        window: the part of the picture that the frames to come show.
    """

    def __init__(self, key: View, phi: Array, window: CropWindow) -> None:
        self._key, self._phi, self._window = key, phi, window
        self._vectors = np.zeros((*window.shape, 2), np.float32)

    def move_window(self, new: CropWindow) -> None:
        """Goes on in another window of the picture."""
        self._vectors, self._window = rewindow(self._vectors, self._window, new), new

    def warp_onto(self, present: View, target: Array) -> tuple[Array, Array]:
        """The key's signed distance (H, W) on the present frame, and how far to trust it there (H, W) in 0..1.

        Args:
            present: the frame after the last one asked for, in the window.
            target: (H, W, 2) the motion of the target to there.
        """
        corner = np.array([self._window.left, self._window.top], np.float32)
        vectors = flow.warp(self._vectors, target) + target
        there = vectors + corner
        rest = residual_flow(flow.warp(self._key.gray, there), present.gray, flow.warp(self._phi, there, OUTSIDE))
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


def bounding_box(mask: Mask, margin: int) -> tuple[slice, slice] | None:
    """The box (rows, columns) of a mask (H, W) with a margin in pixels, within the picture; None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return (
        slice(max(0, int(rows[0]) - margin), min(mask.shape[0], int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(mask.shape[1], int(columns[-1]) + 1 + margin)),
    )


def remove_stray_pieces(mask: Mask, before: Mask) -> Mask:
    """A mask (H, W) without pieces that stand where nothing stood before, without specks and pinholes."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return mask
    sizes = facts[:, cv2.CC_STAT_AREA]
    keep = np.bincount(labels.ravel(), before.ravel(), count) > 0.3 * sizes
    keep &= sizes >= max(8, 0.003 * mask.sum())
    keep[0] = False
    cleaned_mask = keep[labels] if keep.any() else mask
    _, labels, facts, _ = cv2.connectedComponentsWithStats((~cleaned_mask).astype(np.uint8))
    small = facts[:, cv2.CC_STAT_AREA] < max(6, 0.002 * cleaned_mask.sum())
    small[0] = False
    result: Mask = cleaned_mask | small[labels]
    return result
