"""Resampling of a part of a picture to a part of another, exact to fractions of a pixel.

Each axis is a sparse table of weights, so a span may begin and end between pixels (710.85 samples of active picture),
and what is mapped lies exactly where it should: centers of pixels are at half integers, the first at 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

Array = NDArray[np.float64]
_RADIUS = 2  # of the kernel, in samples


@dataclass(frozen=True)
class Span:
    """A part of an axis: from `start`, `length` samples long, in fractions of a sample."""

    start: float
    length: float


@dataclass(frozen=True)
class Axis:
    """How one axis is mapped: `source` of `size` samples to `target` of `out` samples; 0 outside the target.

    Attributes:
        size: samples before.
        source: the part of them that is shown; the samples at its ends stand in for those beyond.
        out: samples after.
        target: where that part goes to.
    """

    size: int
    source: Span
    out: int
    target: Span


def resample(planes: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Planes (C, H, W) mapped by the cubic of Keys 1981 (a = -0.5), which is widened where the picture gets smaller.

    A Lanczos kernel is a little sharper, and rings half as much again at edges.

    Returns:
        (C, rows.out, columns.out), float32.
    """
    down, across = table(rows), table(columns)
    data = planes.detach().cpu().numpy().astype(np.float32, copy=False)
    result = np.empty((len(data), rows.out, columns.out), np.float32)
    for number, plane in enumerate(data):
        # The smaller product first.
        if rows.out * columns.size <= columns.out * rows.size:
            result[number] = (across @ (down @ plane).T).T
        else:
            result[number] = down @ (across @ plane.T).T
    return torch.from_numpy(result).to(planes.device)


@lru_cache(maxsize=16)
def table(axis: Axis) -> Any:
    """The weights, sparse (out, size); the sum of each line is 1 inside the target and 0 outside."""
    step = axis.source.length / axis.target.length
    places = np.arange(axis.out) + 0.5
    inside = (places > axis.target.start) & (places < axis.target.start + axis.target.length)
    centers = (places - axis.target.start) * step + axis.source.start - 0.5
    wide = max(step, 1.0)
    taps = 2 * math.ceil(_RADIUS * wide)
    first = np.floor(centers).astype(int) - taps // 2 + 1
    index = first[:, None] + np.arange(taps)
    weights = keys((index - centers[:, None]) / wide)
    weights *= (inside / weights.sum(1))[:, None]
    low = math.ceil(axis.source.start - 1e-9)
    high = math.floor(axis.source.start + axis.source.length + 1e-9) - 1
    index = index.clip(max(low, 0), min(max(high, low), axis.size - 1))
    lines = np.repeat(np.arange(axis.out), taps)
    full = sparse.coo_array((weights.ravel(), (lines, index.ravel())), shape=(axis.out, axis.size))
    return full.tocsr().astype(np.float32)


def keys(x: Array) -> Array:
    """The cubic convolution kernel of Keys 1981, a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
