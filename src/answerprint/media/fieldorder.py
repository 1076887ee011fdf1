"""Field order measured on pictures, to check what a container claims.

The measure is that of FFmpeg's idet filter (Niedermayer 2012): of two successive frames, lines of one field are woven
with lines of the other; fields taken close in time comb less than fields taken far apart.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from answerprint.frame import FieldOrder

_PROGRESSIVE = 1.5  # a progressive frame combs this much less than two frames woven together
_INTERLACED = 1.3  # fields in the wrong order comb this much more than in the right one
_NOISE = 0.25  # mean change between frames, in 8-bit code values, under which nothing moves
_COLUMNS = 480


def measure(runs: Iterable[list[NDArray[np.generic]]], bits: int) -> FieldOrder:
    """The field order that most of the pictures have.

    Args:
        runs: runs of successive luma planes (h, w), each from one place of the clip.
        bits: bits per sample, 0 for float planes of nominal range 0..1.

    Returns:
        "unknown" where nothing moves or the pictures do not agree (telecine, mixed material).
    """
    scale = 255.0 if bits == 0 else 2.0 ** (8 - bits)
    votes: Counter[FieldOrder] = Counter()
    for run in runs:
        lines = [_columns(plane) * np.float32(scale) for plane in run]
        votes.update(compare(a, b) for a, b in itertools.pairwise(lines))
    del votes["unknown"]
    if not votes:
        return "unknown"
    winner, count = votes.most_common(1)[0]
    return winner if count > 0.6 * votes.total() else "unknown"


def compare(a: NDArray[np.float32], b: NDArray[np.float32]) -> FieldOrder:
    """The field order that two successive luma planes (h, w), float32 in 8-bit code values, show."""
    if a.shape != b.shape or a.shape[0] < 8 or float(np.abs(a - b).mean()) < _NOISE:
        return "unknown"
    within = _comb(a, a)
    top_first, bottom_first = _comb(b, a), _comb(a, b)
    # The noise and texture that any weave has says nothing of time.
    floor = 0.9 * min(within, top_first, bottom_first)
    within, top_first, bottom_first = (value - floor for value in (within, top_first, bottom_first))
    if min(top_first, bottom_first) > _PROGRESSIVE * within:
        return "progressive"
    if bottom_first > _INTERLACED * top_first:
        return "tff"
    return "bff" if top_first > _INTERLACED * bottom_first else "unknown"


def _comb(top: NDArray[np.float32], bottom: NDArray[np.float32]) -> float:
    """Mean second difference down the columns of one picture's top field woven with another's bottom field."""
    rows = min(top.shape[0], bottom.shape[0]) // 2
    upper, lower = top[0 : 2 * rows : 2], bottom[1 : 2 * rows : 2]
    return float(np.abs(upper[:-1] - 2 * lower[:-1] + upper[1:]).mean())


def _columns(plane: NDArray[np.generic]) -> NDArray[np.float32]:
    """Up to twice `_COLUMNS` evenly spaced columns of a plane (h, w), of an even number of lines."""
    step = max(plane.shape[1] // _COLUMNS, 1)
    columns: NDArray[np.float32] = plane[: plane.shape[0] // 2 * 2, ::step].astype(np.float32)
    return columns
