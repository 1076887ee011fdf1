"""Agreement and shift of two pictures, whatever the grade of either.

A grade changes levels and colors, but edges stay where they are: all here looks at how strong the edges of luma are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_FLAT = 1e-4  # deviation of edges under which a picture has none


def edges(luma: Plane) -> Plane:
    """Edge strength (H, W) of a luma plane (H, W): the root of the gradient, so that a few strong ones do not rule."""
    x, y = (cv2.Sobel(np.ascontiguousarray(luma, np.float32), cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    strength: Plane = np.sqrt(np.hypot(x, y))
    return strength


def agreement(first: Plane, second: Plane) -> float:
    """Correlation of two edge pictures (H, W), -1..1; 1 where one of them is flat: nothing speaks against it."""
    if min(first.std(), second.std()) < _FLAT:
        return 1.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def agreements(first: Sequence[Plane], second: Sequence[Plane]) -> NDArray[np.float64]:
    """`agreement` of each of `first` with each of `second`, (n, m)."""
    rows, columns = (_normalize(planes) for planes in (first, second))
    result: NDArray[np.float64] = rows @ columns.T
    return result


def _normalize(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """The planes as rows (n, H W) of mean 0 and length 1."""
    flat = np.stack([plane.ravel() for plane in planes]).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    length: NDArray[np.float64] = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.maximum(length, _FLAT)


def shift(first: Plane, second: Plane) -> tuple[float, float]:
    """Shift (x, y) of `second` against `first` in pixels, to the right and down, from two edge pictures (H, W).

    Phase correlation (Kuglin and Hines 1975); good to about a tenth of a pixel where the pictures show the same.
    """
    window: Any = cv2.createHanningWindow((first.shape[1], first.shape[0]), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(first - first.mean(), second - second.mean(), window)
    return float(x), float(y)
