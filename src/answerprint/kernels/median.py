"""Median over a large square window by a sliding histogram (Huang, Yang and Tang 1979)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from answerprint.kernels import CACHE


@njit(cache=CACHE, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def slide(codes: Any, result: Any, start: int, stop: int, radius: int) -> None:
    """Fills rows [start, stop) of `result` with the median; a pointer into the histogram follows it along the row.

    Args:
        codes: uint16 (H + 2 radius, W + 2 radius), padded.
        result: uint16 (H, W).
    """
    side = 2 * radius + 1
    rank = side * side // 2  # how many codes lie below the median, at most
    fine = np.zeros(65536, np.int32)
    coarse = np.zeros(256, np.int32)
    for y in range(start, stop):
        fine[:] = 0
        coarse[:] = 0
        for i in range(side):
            for j in range(side):
                code = codes[y + i, j]
                fine[code] += 1
                coarse[code >> 8] += 1
        for x in range(result.shape[1]):
            if x > 0:
                for i in range(side):
                    code = codes[y + i, x - 1]
                    fine[code] -= 1
                    coarse[code >> 8] -= 1
                    code = codes[y + i, x + side - 1]
                    fine[code] += 1
                    coarse[code >> 8] += 1
            below = 0
            byte = 0
            while below + coarse[byte] <= rank:
                below += coarse[byte]
                byte += 1
            code_at = byte << 8
            while below + fine[code_at] <= rank:
                below += fine[code_at]
                code_at += 1
            result[y, x] = code_at
