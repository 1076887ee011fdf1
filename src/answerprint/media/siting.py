"""Chroma siting: the resampling of subsampled chroma to luma's grid and back.

Chroma of 4:2:2, 4:2:0, 4:1:1 and 4:1:0 is interpolated linearly between its sites. What leads back is the dual of that
interpolator (the LeGall 5/3 low pass for co-sited chroma; D. Le Gall and A. Tabatabai 1988, "Sub-band coding of
digital images using symmetric short kernel filters"), so that down(up(chroma)) is the chroma itself: decoding and
encoding alone changes no code value.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from answerprint.errors import MediaError

Array = NDArray[Any]

# Horizontal and vertical place of a chroma sample among the luma samples it stands for: 0 first, 0.5 middle, 1 last.
SITES = {
    "left": (0.0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.5, 0.0),
    "bottomleft": (0.0, 1.0),
    "bottom": (0.5, 1.0),
}


def chroma_site(siting: str) -> tuple[float, float]:
    """Horizontal and vertical phase of a chroma sample location, 0..1 (see `SITES`).

    Raises:
        MediaError: the location is not known.
    """
    try:
        return SITES[siting]
    except KeyError:
        raise MediaError(f"chroma siting '{siting}' is not known; known: {', '.join(SITES)}") from None


def dual_filter(phase: float) -> list[float]:
    """Weights of luma positions 2j-2 .. 2j+2 that undo linear interpolation from chroma sited at 2j + phase.

    With x[2j] = (1-a) c[j] + a c[j-1] and x[2j+1] = (1-b) c[j] + b c[j+1], the four weights that give c[j] back leave
    one freedom, spent on the least gain of noise. Co-sited chroma (a = 0) allows the five of LeGall and Tabatabai.
    """
    a, b = phase / 2, (1 - phase) / 2
    if a == 0:
        return [-1 / 8, 2 / 8, 6 / 8, 2 / 8, -1 / 8]
    left, right = a / (1 - b), b / (1 - a)
    first, second = 1 - a - left * b, 1 - b - right * a
    scaled = first / (1 + left**2), second / (1 + right**2)
    total = scaled[0] * first + scaled[1] * second
    beta, gamma = scaled[0] / total, scaled[1] / total
    return [0.0, -left * beta, beta, gamma, -right * gamma]


@functools.lru_cache(maxsize=64)
def upsampling_lines(size: int, shift: int, phase: float, interlaced: bool) -> tuple[Array, Array]:
    """The lines of chroma that each line of luma is mixed of, with their weights.

    Args:
        size: lines of luma.
        shift: log2 of luma lines per chroma line.
        phase: vertical phase of the chroma site, 0..1.
        interlaced: the lines of each field are interpolated within it, where a chroma line stands for two.

    Returns:
        Line numbers, int64, and weights, float32, each (size, taps).
    """
    return _taps(_up_matrix(size, shift, phase, interlaced and shift == 1 and size > 1))


@functools.lru_cache(maxsize=64)
def downsampling_lines(size: int, shift: int, phase: float, interlaced: bool) -> tuple[Array, Array]:
    """The lines of luma that each line of chroma is mixed of: undoes `upsampling_lines`, with the same arguments.

    Returns:
        Line numbers, int64, and weights, float32, each (lines of chroma, taps).
    """
    return _taps(_down_matrix(size, shift, phase, interlaced and shift == 1 and size > 1))


def _up_once(size: int, phase: float) -> Any:
    """Sparse (size, ceil(size / 2)): linear interpolation; the edge samples stand in for those beyond."""
    half, a, b = -(-size // 2), phase / 2, (1 - phase) / 2
    full = sparse.lil_array((size, half))
    for x in range(size):
        j = x // 2
        near, weight = (max(j - 1, 0), a) if x % 2 == 0 else (min(j + 1, half - 1), b)
        full[x, j] += 1 - weight
        full[x, near] += weight
    return full.tocsr()


def _down_once(size: int, phase: float) -> Any:
    """Sparse (ceil(size / 2), size), with `_down_once @ _up_once` the identity."""
    half, a = -(-size // 2), phase / 2
    full = sparse.lil_array((half, size))
    for j in range(half):
        if j and a and 2 * j + 1 == size:
            # The last chroma sample stands for one line only: solved from it and from the sample before.
            for x in full.rows[j - 1]:
                full[j, x] = full[j - 1, x] * (-a / (1 - a))
            full[j, size - 1] += 1 / (1 - a)
            continue
        for tap, weight in enumerate(dual_filter(phase)):
            full[j, min(max(2 * j - 2 + tap, 0), size - 1)] += weight
    return full.tocsr()


def _stages(size: int, shift: int) -> list[int]:
    """The sizes on the way down: [1080, 540] for a factor of 4."""
    return [-(-size >> step) for step in range(shift)]


def _interleave(top: Any, bottom: Any, rows: int, columns: int) -> Any:
    """The sparse tables of the top and the bottom field as one (rows, columns), line about line."""
    full = sparse.lil_array((rows, columns))
    full[0::2, 0::2] = top
    full[1::2, 1::2] = bottom
    return full.tocsr()


@functools.lru_cache(maxsize=64)
def _up_matrix(size: int, shift: int, phase: float, interlaced: bool) -> Any:
    """Sparse (size, chroma size)."""
    if interlaced:
        # Chroma line k lies at luma line 2k + phase of the frame (ISO/IEC 13818-2, 6.1.1.8); here in lines of a field.
        top, bottom = -(-size // 2), size // 2
        tables = _up_once(top, phase / 2), _up_once(bottom, (1 + phase) / 2)
        return _interleave(*tables, size, tables[0].shape[1] + tables[1].shape[1])
    table = sparse.eye_array(size, format="csr")
    for stage in _stages(size, shift):
        table = table @ _up_once(stage, phase)
    return table


@functools.lru_cache(maxsize=64)
def _down_matrix(size: int, shift: int, phase: float, interlaced: bool) -> Any:
    """Sparse (chroma size, size)."""
    if interlaced:
        top, bottom = -(-size // 2), size // 2
        tables = _down_once(top, phase / 2), _down_once(bottom, (1 + phase) / 2)
        return _interleave(*tables, tables[0].shape[0] + tables[1].shape[0], size)
    table = sparse.eye_array(size, format="csr")
    for stage in _stages(size, shift):
        table = _down_once(stage, phase) @ table
    return table


def _taps(table: Any) -> tuple[Array, Array]:
    """A sparse table as (rows, taps) of line numbers and weights, filled up with weight 0."""
    table.sum_duplicates()
    table.eliminate_zeros()
    counts = np.diff(table.indptr)
    lines = np.zeros((table.shape[0], max(int(counts.max()), 1)), dtype=np.int64)
    weights = np.zeros(lines.shape, dtype=np.float32)
    for row in range(table.shape[0]):
        part = slice(table.indptr[row], table.indptr[row + 1])
        lines[row, : counts[row]], weights[row, : counts[row]] = table.indices[part], table.data[part]
        lines[row, counts[row] :] = lines[row, 0]
    return lines, weights
