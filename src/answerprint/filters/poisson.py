"""The smoothest continuation of known values into a region (Laplace's equation with the rim as boundary).

With the difference of two pictures along a rim as values, what it adds to one of them is Poisson image editing (Perez,
Gangnet and Blake 2003): the gradients of the one, the rim of the other.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.kernels.membrane import relax

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SWEEPS = 24  # after push and pull the rest error is under 1 % of the rim's range in holes of 200 pixels
_OMEGA = np.float32(1.7)
_WEIGHT = 1e-4  # of a coarse cell below which nothing in it is known


def membrane(values: Array, known: Mask) -> Array:
    """Values continued harmonically into what is not known; 0 where nothing is.

    Args:
        values: (H, W) or (H, W, C).
        known: (H, W).

    Returns:
        the shape of `values`, which is unchanged where known.
    """
    if known.all():
        return values
    if not known.any():
        return np.zeros_like(values)
    planes = values[..., None] if values.ndim == 2 else values
    result = planes.astype(np.float32, copy=True)
    rows, columns = _reach(~known)
    part = np.ascontiguousarray(result[rows, columns])
    inside = np.ascontiguousarray(known[rows, columns])
    if not inside.any():
        part, inside, (rows, columns) = result, known, (slice(None), slice(None))
    part[~inside] = 0
    part = _push_pull(part, inside.astype(np.float32))
    relax(part, ~inside, _SWEEPS, _OMEGA)
    result[rows, columns] = part
    return result[..., 0] if values.ndim == 2 else result


def _reach(unknown: Mask) -> tuple[slice, slice]:
    """The part of the picture that decides: the box of what is unknown, half its size wider on every side."""
    spans = []
    for axis in (1, 0):
        where = np.flatnonzero(unknown.any(axis))
        first, last = int(where[0]), int(where[-1]) + 1
        more = max(4, (last - first) // 2)
        spans.append(slice(max(first - more, 0), last + more))
    return spans[0], spans[1]


def _push_pull(values: Array, weight: Array) -> Array:
    """First guess: means of what is known over ever larger cells (Gortler et al. 1996), (H, W, C)."""
    height, width = weight.shape
    if min(height, width) <= 2 or weight.min() >= 1:
        mean = (values * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), _WEIGHT)
        return np.where(weight[..., None] > 0, values, mean.astype(np.float32))
    size = ((width + 1) // 2, (height + 1) // 2)
    small = _resize(values * weight[..., None], size, cv2.INTER_AREA)
    share = np.asarray(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), np.float32)
    coarse = _push_pull((small / np.maximum(share, np.float32(_WEIGHT))[..., None]).astype(np.float32), _seen(share))
    above = _resize(coarse, (width, height), cv2.INTER_LINEAR)
    part = weight[..., None]
    return np.asarray(part * values + (1 - part) * above, np.float32)


def _seen(share: Array) -> Array:
    """Weight of coarse cells by the share of them that is known."""
    return np.where(share > _WEIGHT, np.minimum(2 * share, 1), 0).astype(np.float32)


def _resize(planes: Array, size: tuple[int, int], how: int) -> Array:
    """The planes (H, W, C) at another size (width, height); OpenCV takes four at once."""
    parts = [cv2.resize(planes[..., at : at + 4], size, interpolation=how) for at in range(0, planes.shape[2], 4)]
    return np.dstack(parts).astype(np.float32, copy=False)
