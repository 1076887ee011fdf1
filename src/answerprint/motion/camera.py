"""The camera's motion: the dominant motion of a dense flow field, as a homography fitted by RANSAC."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_STILL = 0.35  # pixels of dominant motion under which a camera counts as static


@dataclass(frozen=True)
class Camera:
    """The dominant motion from one frame to another.

    Attributes:
        matrix: (3, 3) homography, takes points of the first frame to the second.
        support: share of the picture that moves so, 0..1.
        moving: whether it is more than nothing.
    """

    matrix: Matrix
    support: float
    moving: bool


STATIC = Camera(np.eye(3), 1.0, False)


def dominant_motion(vectors: Array, valid: npt.NDArray[np.bool_] | None = None) -> Camera:
    """The dominant motion of a flow field (H, W, 2): a homography through RANSAC over a grid of its vectors.

    Args:
        vectors: (H, W, 2) in pixels.
        valid: (H, W), which of them count; all where None.
    """
    height, width = vectors.shape[:2]
    step = max(1, min(height, width) // 30)
    y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    x, y = x.ravel(), y.ravel()
    if valid is not None:
        x, y = x[valid[y, x]], y[valid[y, x]]
    points = np.stack([x, y], 1).astype(np.float32)
    targets = points + vectors[y, x]
    if len(points) < 8:
        return STATIC
    cv2.setRNGSeed(1)  # RANSAC draws; the same frames must give the same camera
    matrix, inliers = cv2.findHomography(points, targets, cv2.RANSAC, 1.0, maxIters=500)
    if matrix is None or not np.isfinite(matrix).all():
        return STATIC
    shift = np.linalg.norm(displacement(matrix, (height, width)), axis=2)
    return Camera(matrix, float(inliers.mean()), bool(np.median(shift) > _STILL))


def displacement(matrix: Matrix, shape: tuple[int, int]) -> Array:
    """The flow field (H, W, 2) in pixels of a homography (3, 3), for a picture of `shape` (H, W)."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    across, down, scale = (row[0] * x + row[1] * y + row[2] for row in matrix)
    result: Array = np.stack([across / scale - x, down / scale - y], 2).astype(np.float32)
    return result
