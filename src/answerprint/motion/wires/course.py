"""Courses: paths through a picture, points (N, 2), x and y in pixels, and the picture laid out straight along them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

Array = NDArray[np.float32]
Points = NDArray[np.float64]
Size = tuple[int, int]  # height and width of a picture

_BEYOND = 8.0  # pixels that a course goes on outside the picture


def lengths(points: Points) -> Points:
    """Distance (N,) along a course from its first point."""
    return np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))))


def resample(points: Points, count: int) -> Points:
    """A course as `count` points, evenly spaced along it."""
    along = lengths(points)
    at = np.linspace(0, along[-1], count)
    return np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=1)


def dense(points: Points, step: float = 1.0) -> Points:
    """A smooth course through a few points, `step` pixels apart."""
    points = _apart(points)
    count = max(3, round(lengths(points)[-1] / step) + 1)
    if len(points) < 3:
        return resample(points, count)
    along = lengths(points)
    curve = CubicSpline(along, points, bc_type="natural")(np.linspace(0, along[-1], 4 * count))
    return resample(curve, count)


def _apart(points: Points) -> Points:
    """The points without those that stand on the one before."""
    separate = np.concatenate(([True], np.hypot(*np.diff(points, axis=0).T) > 1e-6))
    return np.asarray(points[separate], np.float64)


def normals(points: Points) -> Points:
    """Directions (N, 2) across a course, of length 1: to the right of someone who walks along it in the picture."""
    ahead = np.gradient(points, axis=0)
    ahead /= np.maximum(np.hypot(ahead[:, 0], ahead[:, 1]), 1e-9)[:, None]
    return np.stack((-ahead[:, 1], ahead[:, 0]), axis=1)


def extended(points: Points, before: float, after: float) -> Points:
    """A dense course that goes on beyond its ends by so many pixels, as its outer parts run."""
    back = min(len(points) - 1, max(16, len(points) // 4))
    parts = []
    for end, inner, far in ((points[0], points[back], before), (points[-1], points[-1 - back], after)):
        ahead = (end - inner) / max(float(np.hypot(*(end - inner))), 1e-9)
        parts.append(end + np.arange(1, int(far) + 1)[:, None] * ahead)
    return np.concatenate((parts[0][::-1], points, parts[1]))


def inside(points: Points, size: Size, margin: float = _BEYOND) -> NDArray[np.bool_]:
    """Which points (N,) lie in a picture, or no farther outside than the margin."""
    x, y = points.T
    result: NDArray[np.bool_] = (x > -margin) & (y > -margin) & (x < size[1] - 1 + margin) & (y < size[0] - 1 + margin)
    return result


def leaves(point: Points, size: Size, near: float) -> bool:
    """Whether a point lies outside a picture, or as near as that to its border."""
    x, y = point
    return bool(min(x, y, size[1] - 1 - x, size[0] - 1 - y) < near)


def straighten(picture: Array, points: Points, offsets: Sequence[float] | Points, how: int = cv2.INTER_LINEAR) -> Array:
    """The picture along a course, laid out straight.

    Args:
        picture: (H, W, C) float32.
        points: (N, 2).
        offsets: (M,) pixels beside the course, along its normals.
        how: interpolation as OpenCV names it.

    Returns:
        (M, N, C); what lies outside the picture repeats its border.
    """
    across = np.asarray(offsets, np.float64)[:, None, None]
    at = (points[None] + across * normals(points)[None]).astype(np.float32)
    parts = []
    for start in range(0, at.shape[1], 32000):  # OpenCV takes no larger picture
        piece = at[:, start : start + 32000]
        x, y = np.ascontiguousarray(piece[..., 0]), np.ascontiguousarray(piece[..., 1])
        strip = cv2.remap(picture, x, y, how, borderMode=cv2.BORDER_REPLICATE)
        parts.append(strip.reshape(*x.shape, -1))
    return np.concatenate(parts, axis=1)


def nearest(points: Points, places: Points) -> Points:
    """The point (K, 2) of a dense course that lies nearest to each place (K, 2), between its points too."""
    _, number = cKDTree(points).query(places)
    number = np.clip(number, 1, len(points) - 2)
    ahead = points[number + 1] - points[number - 1]
    share = ((places - points[number]) * ahead).sum(axis=1) / np.maximum((ahead * ahead).sum(axis=1), 1e-12)
    return np.asarray(points[number] + np.clip(share, -0.5, 0.5)[:, None] * ahead)
