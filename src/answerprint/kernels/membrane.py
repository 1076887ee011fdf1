"""Laplace's equation inside a region: the compiled loop of `filters/poisson.py`."""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from answerprint.kernels import CACHE

_compiled = functools.partial(numba.njit, cache=CACHE, nogil=True, error_model="numpy")


@_compiled
def relax(values: NDArray[Any], unknown: NDArray[Any], sweeps: int, omega: np.float32) -> None:
    """Successive over-relaxation, red and black in turns; what lies outside the picture does not count.

    Args:
        values: (H, W, C) float32, changed in place where unknown.
        unknown: (H, W) bool.
        sweeps: over the picture.
        omega: over-relaxation, 1..2.
    """
    height, width, channels = values.shape
    for turn in range(2 * sweeps):
        for y in range(height):
            for x in range((y + turn) % 2, width, 2):
                if not unknown[y, x]:
                    continue
                for c in range(channels):
                    total, count = np.float32(0), np.float32(0)
                    if y > 0:
                        total += values[y - 1, x, c]
                        count += np.float32(1)
                    if y + 1 < height:
                        total += values[y + 1, x, c]
                        count += np.float32(1)
                    if x > 0:
                        total += values[y, x - 1, c]
                        count += np.float32(1)
                    if x + 1 < width:
                        total += values[y, x + 1, c]
                        count += np.float32(1)
                    values[y, x, c] += omega * (total / count - values[y, x, c])
