"""Where something moves: three-frame difference (AEPR section 3.1) with the camera and the light taken out, and depth.

The paper's detector is two difference images of neighboring frames, thresholded and joined by a logical AND; it is
"susceptible to noise and brightness fluctuations". So before the difference is taken the neighbors are laid on the
present frame by the dominant motion (a homography, fitted to dense flow by RANSAC), gain and offset between them are
estimated and removed, and the threshold follows the noise (or Otsu 1979). A region is then believed as far as its depth
changes.

Pictures are (H, W, 3) uint8 R'G'B'; masks (H, W) bool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.motion import flow

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]
Threshold = Literal["noise", "otsu"]

_STILL = 0.35  # pixels of dominant motion under which a camera counts as static
_SIGMAS = 5.0  # a difference of so many deviations of the noise is motion
_QUIET = 0.008  # and at least this part of full scale: 8-bit codes flicker by one


@dataclass(frozen=True)
class Camera:
    """The dominant motion from one frame to another.

    Attributes:
        matrix: 3 x 3, takes points of the first frame to the second.
        support: share of the picture that moves so.
        moving: whether it is more than nothing.
    """

    matrix: Matrix
    support: float
    moving: bool


STATIC = Camera(np.eye(3), 1.0, False)


def camera(vectors: Array) -> Camera:
    """The dominant motion of a flow field: a homography through RANSAC over a grid of its vectors."""
    height, width = vectors.shape[:2]
    step = max(1, min(height, width) // 30)
    y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    points = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
    moved = points + vectors[y.ravel(), x.ravel()]
    if len(points) < 8:
        return STATIC
    cv2.setRNGSeed(1)  # RANSAC draws; the same frames must give the same camera
    matrix, used = cv2.findHomography(points, moved, cv2.RANSAC, 1.0, maxIters=500)
    if matrix is None or not np.isfinite(matrix).all():
        return STATIC
    shift = np.linalg.norm(displacement(matrix, (height, width)), axis=2)
    return Camera(matrix, float(used.mean()), bool(np.median(shift) > _STILL))


def displacement(matrix: Matrix, shape: tuple[int, int]) -> Array:
    """The flow field (H, W, 2) of a homography."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    across, down, scale = (row[0] * x + row[1] * y + row[2] for row in matrix)
    result: Array = np.stack([across / scale - x, down / scale - y], 2).astype(np.float32)
    return result


def laid_on(present: Array, other: Array, seen: Camera) -> tuple[Array, Mask]:
    """`other` as the present frame's camera and light would have it, and where it shows anything.

    Args:
        present: (H, W) gray in 0..1.
        other: (H, W) gray in 0..1.
        seen: the camera from the present frame to the other.
    """
    valid = np.ones(present.shape, bool)
    if seen.moving:
        vectors = displacement(seen.matrix, (present.shape[0], present.shape[1]))
        y, x = np.mgrid[0 : present.shape[0], 0 : present.shape[1]]
        x, y = x + vectors[..., 0], y + vectors[..., 1]
        valid = (x >= 0) & (y >= 0) & (x <= present.shape[1] - 1) & (y <= present.shape[0] - 1)
        other = flow.warp(other, vectors)
    gain, offset = light(other[valid], present[valid]) if valid.any() else (1.0, 0.0)
    return (gain * other + offset).astype(np.float32), valid


def light(other: Array, present: Array) -> tuple[float, float]:
    """Gain and offset that bring `other` to `present`: least squares, three rounds without what does not fit."""
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


def threshold(difference: Array, how: Threshold) -> float:
    """The difference above which something moved.

    Args:
        difference: absolute differences in 0..1.
        how: "noise": 5 deviations of the noise, which the median tells; "otsu": between two heaps (Otsu 1979).
    """
    if how == "noise":
        return max(_SIGMAS * 1.4826 * float(np.median(difference)), _QUIET)
    codes = (difference * 255).clip(0, 255).astype(np.uint8)
    return max(float(cv2.threshold(codes, 0, 255, cv2.THRESH_OTSU)[0]) / 255, _QUIET)


def difference(present: Picture, other: Picture, seen: Camera) -> Array:
    """Absolute difference (H, W) in 0..1, the largest over R, G and B, 0 where the other frame shows nothing."""
    result = np.zeros(present.shape[:2], np.float32)
    for channel in range(3):
        here, there = _plane(present, channel), _plane(other, channel)
        laid, valid = laid_on(here, there, seen)
        result = np.maximum(result, np.abs(here - laid) * valid)
    return result


def _plane(picture: Picture, channel: int) -> Array:
    result: Array = cv2.GaussianBlur(picture[..., channel].astype(np.float32) / 255, (0, 0), 0.8)
    return result


def moved(differences: list[Array], how: Threshold, level: float = 0.0) -> tuple[Mask, float]:
    """Where all difference images say motion (the AND of two for three frames), and the mean threshold.

    Args:
        differences: one or two difference images of a frame with its neighbors.
        how: see `threshold`.
        level: a fixed threshold in 0..1; 0 finds one.
    """
    levels = [level or threshold(one, how) for one in differences]
    masks = [one > at for one, at in zip(differences, levels, strict=True)]
    return np.logical_and.reduce(masks), float(np.mean(levels))


def filled(mask: Mask, changes: list[Array]) -> Mask:
    """A difference shows the rim of a flat thing; what moves with it by our own cue, and touches it, is added."""
    moving = np.minimum.reduce(changes) > 0.5
    count, labels = cv2.connectedComponents(moving.astype(np.uint8))
    hits = np.bincount(labels.ravel(), mask.ravel(), count)
    sizes = np.bincount(labels.ravel(), minlength=count)
    keep = hits > 0.03 * sizes
    keep[0] = False
    result: Mask = mask | keep[labels]
    return result


def cleaned(mask: Mask) -> Mask:
    """A region out of scattered pixels: specks dropped, gaps closed, holes filled, small pieces dropped."""
    size = max(3, round(min(mask.shape) / 60) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
    pixels = cv2.medianBlur(mask.astype(np.uint8) * 255, 3)
    pixels = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, wide)
    pixels = cv2.morphologyEx(pixels, cv2.MORPH_OPEN, disc)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    result = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(result, outlines, -1, 1, cv2.FILLED)
    return _large(result)


def _large(mask: Picture) -> Mask:
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


def parallax(vectors: Array, seen: Camera) -> Array:
    """Motion that the camera does not account for, (H, W) in pixels.

    A relative cue only: a thing at another depth than the bulk of the scene, or a thing that moves by itself.
    """
    rest = vectors - (displacement(seen.matrix, vectors.shape[:2]) if seen.moving else 0)
    result: Array = np.hypot(rest[..., 0], rest[..., 1]).astype(np.float32)
    return result


def focus(gray: Picture) -> Array:
    """How sharp the picture is around each pixel, (H, W): mean of |Laplacian| over mean gradient, 0..1."""
    image = gray.astype(np.float32)
    size = (max(3, min(gray.shape) // 24 | 1),) * 2
    detail = cv2.blur(np.abs(cv2.Laplacian(image, cv2.CV_32F)), size)
    slope = cv2.blur(np.abs(cv2.Sobel(image, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(image, cv2.CV_32F, 0, 1)), size)
    result: Array = (detail / (detail + slope + 8)).astype(np.float32)
    return result


def own_cue(vectors: Array, seen: Camera, gray: Picture) -> Array:
    """The relative depth change of our own, (H, W) in 0..1: parallax above its noise, half out of focus."""
    rest = parallax(vectors, seen)
    noise = max(3 * float(np.median(rest)), 0.5)
    sharp = focus(gray)
    level = max(float(np.median(sharp)), 1e-3)
    return ((rest / noise - 0.5).clip(0, 1) * (0.5 + 0.5 * (sharp / level).clip(0, 1))).astype(np.float32)


def depth_change(present: Array, other: Array, back: Array, step: float = 0.0) -> tuple[Array, Mask]:
    """How far depth changed from a neighboring frame, (H, W) in 0..1, and where it is known.

    The neighbor is laid on by the flow and brought to the same scale (a monocular depth has none of its own), so what
    remains changed its distance against the rest of the scene. NaN, infinity and 0 are unknown.

    Args:
        present: (H, W) depth of the present frame.
        other: (H, W) depth of a neighbor.
        back: flow from the present frame to the neighbor.
        step: of the codes that depth was stored in; a change of two of them is none, codecs make that.
    """
    known = np.isfinite(present) & (present > 0) & (flow.warp(_known(other), back, 0.0) > 0.99)
    if not known.any():
        return np.zeros(present.shape, np.float32), known
    laid = flow.warp(np.where(_known(other) > 0, other, 0).astype(np.float32), back)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Any = np.where(known, np.log(np.maximum(present, 1e-9)) - np.log(np.maximum(laid, 1e-9)), 0)
    ratio = np.abs(ratio - np.median(ratio[known]))
    noise: Any = max(4 * float(np.median(ratio[known])), 2e-3) + 2 * step / np.where(known, present, 1)
    return np.where(known, (ratio / noise - 0.5).clip(0, 1), 0).astype(np.float32), known


def _known(depth: Array) -> Array:
    return (np.isfinite(depth) & (depth > 0)).astype(np.float32)


def checked(region: Mask, change: Array, known: Mask | None, influence: float) -> tuple[Mask, float]:
    """The pieces of a region whose depth changes enough, and the share of the region that is kept.

    Args:
        region: from the difference.
        change: (H, W) in 0..1.
        known: where depth is known; a piece of unknown depth is kept.
        influence: 0 keeps all; 1 keeps a piece only if depth changes over at least half of it.
    """
    count, labels = cv2.connectedComponents(region.astype(np.uint8))
    if influence <= 0 or count < 2:
        return region, 1.0
    told = np.ones(region.shape, np.float32) if known is None else known.astype(np.float32)
    size = np.bincount(labels.ravel(), told.ravel(), count)
    changing = np.bincount(labels.ravel(), ((change > 0.5) * told).ravel(), count)
    keep = np.where(size > 0, changing / np.maximum(size, 1), 1) >= 0.5 * influence
    keep[0] = False
    result: Mask = keep[labels]
    return result, float(result.sum() / max(region.sum(), 1))
