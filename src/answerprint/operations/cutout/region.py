"""Regions where something moves: three-frame difference (AEPR section 3.1), camera and light taken out, and depth.

The paper's detector is two difference images of neighboring frames, thresholded and joined by a logical AND; it is
"susceptible to noise and brightness fluctuations". So before the difference is taken the neighbors are warped onto the
present frame by the camera's motion, gain and offset between them are estimated and removed, and the threshold follows
the noise (or Otsu 1979). A region is then believed as far as its depth changes.

Pictures are (H, W, 3) uint8 R'G'B'; masks (H, W) bool.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.motion import flow
from answerprint.motion.camera import Camera, displacement

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
ThresholdMethod = Literal["noise", "otsu"]

_SIGMAS = 5.0  # a difference of so many deviations of the noise is motion
_QUIET = 0.008  # and at least this part of full scale: 8-bit codes flicker by one


def align(present: Array, other: Array, camera: Camera) -> tuple[Array, Mask]:
    """Warps `other` onto the present frame and brings it to its light; also returns where (H, W) it shows anything.

    Args:
        present: (H, W) gray in 0..1.
        other: (H, W) gray in 0..1.
        camera: from the present frame to the other.
    """
    valid = np.ones(present.shape, bool)
    if camera.moving:
        vectors = displacement(camera.matrix, (present.shape[0], present.shape[1]))
        y, x = np.mgrid[0 : present.shape[0], 0 : present.shape[1]]
        x, y = x + vectors[..., 0], y + vectors[..., 1]
        valid = (x >= 0) & (y >= 0) & (x <= present.shape[1] - 1) & (y <= present.shape[0] - 1)
        other = flow.warp(other, vectors)
    gain, offset = light_change(other[valid], present[valid]) if valid.any() else (1.0, 0.0)
    return (gain * other + offset).astype(np.float32), valid


def light_change(other: Array, present: Array) -> tuple[float, float]:
    """Gain and offset that bring the values of `other` to `present`, both in 0..1 and of one shape.

    Least squares, three rounds without what does not fit.
    """
    step = max(1, other.size // 20_000)
    x, y = other.ravel()[::step].astype(np.float64), present.ravel()[::step].astype(np.float64)
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(3):
        away = np.abs(gain * x + offset - y)
        fits = away <= max(2.5 * float(np.median(away)), 2 / 255)
        spread = float(x[fits].std())
        if spread < 0.01:  # a flat picture tells offset, not gain
            return 1.0, float(np.median(y - x))
        gain = float(np.cov(x[fits], y[fits])[0, 1] / spread**2 * (fits.sum() - 1) / fits.sum())
        gain = min(max(gain, 0.2), 5.0)
        offset = float((y[fits] - gain * x[fits]).mean())
    return gain, offset


def threshold(difference: Array, method: ThresholdMethod) -> float:
    """The difference, 0..1, above which something moved.

    Args:
        difference: (H, W) absolute differences in 0..1.
        method: "noise": 5 deviations of the noise, by the median; "otsu": between two heaps (Otsu 1979).
    """
    if method == "noise":
        return max(_SIGMAS * 1.4826 * float(np.median(difference)), _QUIET)
    codes = (difference * 255).clip(0, 255).astype(np.uint8)
    return max(float(cv2.threshold(codes, 0, 255, cv2.THRESH_OTSU)[0]) / 255, _QUIET)


def difference(present: Picture, other: Picture, camera: Camera) -> Array:
    """Absolute difference (H, W) in 0..1, the largest over R, G and B, 0 where the other frame shows nothing."""
    result = np.zeros(present.shape[:2], np.float32)
    for channel in range(3):
        here, there = _channel(present, channel), _channel(other, channel)
        aligned_plane, valid = align(here, there, camera)
        result = np.maximum(result, np.abs(here - aligned_plane) * valid)
    return result


def _channel(picture: Picture, channel: int) -> Array:
    """A channel (H, W) in 0..1, smoothed."""
    result: Array = cv2.GaussianBlur(picture[..., channel].astype(np.float32) / 255, (0, 0), 0.8)
    return result


def motion_mask(differences: list[Array], method: ThresholdMethod, level: float = 0.0) -> tuple[Mask, float]:
    """The mask (H, W) where all difference images say motion (AND of two for three frames), and the mean threshold.

    Args:
        differences: one or two difference images (H, W) in 0..1 of a frame with its neighbors.
        method: see `threshold`.
        level: a fixed threshold in 0..1; 0 finds one.
    """
    levels = [level or threshold(one, method) for one in differences]
    masks = [one > at for one, at in zip(differences, levels, strict=True)]
    return np.logical_and.reduce(masks), float(np.mean(levels))


def fill(mask: Mask, changes: list[Array]) -> Mask:
    """Adds to a mask (H, W) what moves by the depth cue (H, W) of every neighbor and touches it.

    A difference shows only the rim of a flat thing.
    """
    moving = np.minimum.reduce(changes) > 0.5
    count, labels = cv2.connectedComponents(moving.astype(np.uint8))
    hits = np.bincount(labels.ravel(), mask.ravel(), count)
    sizes = np.bincount(labels.ravel(), minlength=count)
    keep = hits > 0.03 * sizes
    keep[0] = False
    result: Mask = mask | keep[labels]
    return result


def clean(mask: Mask) -> Mask:
    """A region (H, W) out of scattered pixels (H, W): no specks, gaps, holes or small pieces."""
    size = max(3, round(min(mask.shape) / 60) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
    pixels = cv2.medianBlur(mask.astype(np.uint8) * 255, 3)
    pixels = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, wide)
    pixels = cv2.morphologyEx(pixels, cv2.MORPH_OPEN, disc)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    result = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(result, outlines, -1, 1, cv2.FILLED)
    return _large_pieces(result)


def _large_pieces(mask: Picture) -> Mask:
    """Pieces of at least a fifth of the largest and a twenty-thousandth of the picture."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[:, cv2.CC_STAT_AREA]
    if count < 2:
        return np.zeros(mask.shape, bool)
    least = max(0.2 * areas[1:].max(), mask.size / 20_000, 4)
    keep = areas >= least
    keep[0] = False
    result: Mask = keep[labels]
    return result


def parallax(vectors: Array, camera: Camera) -> Array:
    """Motion (H, W) in pixels that the camera does not account for, from flow vectors (H, W, 2).

    A relative cue only: a thing at another depth than the bulk of the scene, or a thing that moves by itself.
    """
    rest = vectors - (displacement(camera.matrix, vectors.shape[:2]) if camera.moving else 0)
    result: Array = np.hypot(rest[..., 0], rest[..., 1]).astype(np.float32)
    return result


def focus(gray: Picture) -> Array:
    """Sharpness (H, W) around each pixel of a gray picture (H, W), 0..1: mean of |Laplacian| over mean gradient."""
    image = gray.astype(np.float32)
    size = (max(3, min(gray.shape) // 24 | 1),) * 2
    detail = cv2.blur(np.abs(cv2.Laplacian(image, cv2.CV_32F)), size)
    slope = cv2.blur(np.abs(cv2.Sobel(image, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(image, cv2.CV_32F, 0, 1)), size)
    result: Array = (detail / (detail + slope + 8)).astype(np.float32)
    return result


def depth_cue(vectors: Array, camera: Camera, gray: Picture) -> Array:
    """Relative depth change (H, W) in 0..1 without a depth source: parallax above its noise, half out of focus.

    Args:
        vectors: (H, W, 2) flow from the frame to a neighbor.
        camera: from the frame to that neighbor.
        gray: (H, W) the frame.
    """
    rest = parallax(vectors, camera)
    noise = max(3 * float(np.median(rest)), 0.5)
    sharp = focus(gray)
    level = max(float(np.median(sharp)), 1e-3)
    return ((rest / noise - 0.5).clip(0, 1) * (0.5 + 0.5 * (sharp / level).clip(0, 1))).astype(np.float32)


def depth_change(present: Array, other: Array, back: Array, step: float = 0.0) -> tuple[Array, Mask]:
    """Change of depth (H, W) in 0..1 from a neighboring frame, and where (H, W) it is known.

    The neighbor is warped by the flow and brought to the same scale (a monocular depth has none of its own), so what
    remains changed its distance against the rest of the scene. NaN, infinity and 0 are unknown.

    Args:
        present: (H, W) depth of the present frame.
        other: (H, W) depth of a neighbor.
        back: (H, W, 2) flow from the present frame to the neighbor.
        step: of the codes that depth was stored in; a change of two of them is none, codecs make that.
    """
    known = np.isfinite(present) & (present > 0) & (flow.warp(_known_depth(other), back, 0.0) > 0.99)
    if not known.any():
        return np.zeros(present.shape, np.float32), known
    there = flow.warp(np.where(_known_depth(other) > 0, other, 0).astype(np.float32), back)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Any = np.where(known, np.log(np.maximum(present, 1e-9)) - np.log(np.maximum(there, 1e-9)), 0)
    ratio = np.abs(ratio - np.median(ratio[known]))
    noise: Any = max(4 * float(np.median(ratio[known])), 2e-3) + 2 * step / np.where(known, present, 1)
    return np.where(known, (ratio / noise - 0.5).clip(0, 1), 0).astype(np.float32), known


def _known_depth(depth: Array) -> Array:
    return (np.isfinite(depth) & (depth > 0)).astype(np.float32)


def check_depth(region: Mask, change: Array, known: Mask | None, influence: float) -> tuple[Mask, float]:
    """The pieces of a region whose depth changes enough, and their share of the region.

    Args:
        region: (H, W) from the difference.
        change: (H, W) of depth, in 0..1.
        known: (H, W) where depth is known, None for everywhere; a piece of unknown depth stays.
        influence: at 0 all stay; at 1 a piece stays only if depth changes over at least half of it.
    """
    count, labels = cv2.connectedComponents(region.astype(np.uint8))
    if influence <= 0 or count < 2:
        return region, 1.0
    weight = np.ones(region.shape, np.float32) if known is None else known.astype(np.float32)
    size = np.bincount(labels.ravel(), weight.ravel(), count)
    changing = np.bincount(labels.ravel(), ((change > 0.5) * weight).ravel(), count)
    keep = np.where(size > 0, changing / np.maximum(size, 1), 1) >= 0.5 * influence
    keep[0] = False
    result: Mask = keep[labels]
    return result, float(result.sum() / max(region.sum(), 1))
