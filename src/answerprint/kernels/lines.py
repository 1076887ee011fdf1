"""Missing lines of a field, made from the lines around them in space and time (see fields/weave.py)."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from answerprint.kernels import CACHE

# Reach of the search for edges: 2 * REACH pixels sideways from the line above to the line below.
REACH = 4
MARGIN = REACH + 2
# A slant is believed where the lines differ by this much over five pixels, and it leaves less than this part of it.
_CONTRAST = np.float32(0.5)
_CLEAR = np.float32(0.4)

# Weights of bwdif (FFmpeg's `vf_bwdif`, after the BBC's Weston 3-field filter, patent GB 2163316, 1986), of 2**13: low
# frequencies from this field, high ones from the fields beside it, and the plain vertical filter of this field alone.
_LOW = (np.float32(4309 / 8192), np.float32(213 / 8192))
_HIGH = (np.float32(5570 / 32768), np.float32(3801 / 32768), np.float32(1016 / 32768))
_PLAIN = (np.float32(5077 / 8192), np.float32(981 / 8192))
_HALF = np.float32(0.5)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TINY = np.float32(1e-9)


@numba.njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator]
def _mirror(row: int, height: int) -> int:
    """A row outside the picture becomes the nearest row of the same parity, mirrored at the border."""
    while row < 0 or row >= height:
        row = -row if row < 0 else 2 * (height - 1) - row
        if height == 2 and (row < 0 or row > 1):
            row = row & 1
    return row


@numba.njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator]
def _edges(above: Any, below: Any, shift: Any, cost: Any, wide: Any) -> None:
    """For every pixel between two padded lines the sideways shift along which they agree best.

    0 unless the lines differ and a slant agrees far better: textures have false directions, contours true ones.
    """
    width = shift.size
    for x in range(width):
        shift[x] = 0
    for step in range(2 * REACH + 1):
        # 0, 1, -1, 2, -2, ...: the shortest first.
        k = 0 if step == 0 else (step + 1) // 2 * (1 if step % 2 else -1)
        first, second = above[REACH + k :], below[REACH - k :]
        for x in range(width + 4):
            wide[x] = abs(first[x] - second[x])
        for x in range(width):
            total = wide[x] + wide[x + 1] + wide[x + 2] + wide[x + 3] + wide[x + 4]
            better = total < cost[x]
            if step == 0:
                cost[x] = total * _CLEAR if total > _CONTRAST else _ZERO
            else:
                shift[x] = k if better else shift[x]
                cost[x] = total if better else cost[x]


@numba.njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator]
def _in_space(up: Any, down: Any, up3: Any, down3: Any, shift: Any, result: Any) -> None:
    """A line from the two above and the two below it, along `shift`."""
    width = result.size
    last = width - 1
    for x in range(width):
        result[x] = _PLAIN[0] * (up[x] + down[x]) - _PLAIN[1] * (up3[x] + down3[x])
    for x in range(width):
        k = shift[x]
        if k != 0:
            left, right = min(max(x - k, 0), last), min(max(x + k, 0), last)
            left3, right3 = min(max(x - 3 * k, 0), last), min(max(x + 3 * k, 0), last)
            slanted = _PLAIN[0] * (up[right] + down[left]) - _PLAIN[1] * (up3[right3] + down3[left3])
            # A true edge passes between the lines; anything outside them is a false direction.
            result[x] = min(max(slanted, min(up[x], down[x])), max(up[x], down[x]))


@numba.njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator]
def _difference(line: Any, line2: Any, other: Any, other2: Any, worst: Any) -> None:
    """Raises `worst` to the mean difference of two pairs of lines."""
    for x in range(worst.size):
        worst[x] = max(worst[x], (abs(other[x] - line[x]) + abs(other2[x] - line2[x])) * _HALF)


@numba.njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator]
def _bounds(up: Any, down: Any, over: Any, under: Any, both: Any, limit: Any, bound: Any) -> None:
    """Turns the largest difference in time into how far a pixel may be from the mean of its neighbors in time."""
    scale = _ONE / max(limit, _TINY)
    for x in range(bound.size):
        left = max(bound[x] - limit, _ZERO)
        p, q = over[x] * _HALF - up[x], under[x] * _HALF - down[x]
        r, s = both[x] * _HALF - up[x], both[x] * _HALF - down[x]
        wider = max(min(min(s, r), max(p, q)), -max(max(s, r), min(p, q)))
        # What space says widens the bound only as far as the change in time stands clear of the noise.
        bound[x] = max(left, wider * min(_ONE, left * scale))


@numba.njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator]
def fill_rows(
    out: Any,
    before: Any,
    after: Any,
    earlier: Any,
    later: Any,
    bright: Any,
    start: int,
    stop: int,
    space: bool,
    limit: Any,
) -> None:
    """Fills rows start, start + 2, ... of `out` (C, H, W) from its other rows and from the fields beside it.

    Short loops over few lines each: compilers vectorize no loop over twenty.

    Args:
        out: (C, H, W) float32.
        before: picture that holds the field just before, as the other three (C, H, W).
        after: the field just after.
        earlier: the field two before.
        later: the field two after.
        bright: brightness of `out`, (H, W + 2 MARGIN).
        start: first row to fill.
        stop: row to stop before.
        space: whether only the rows of `out` are read.
        limit: difference in time that counts as none.
    """
    channels, height, width = out.shape
    shift = np.zeros(width, np.int32)
    cost, wide = np.zeros(width, np.float32), np.zeros(width + 4, np.float32)
    result, fine = np.zeros(width, np.float32), np.zeros(width, np.float32)
    both, change, bound = np.zeros(width, np.float32), np.zeros(width, np.float32), np.zeros(width, np.float32)
    over, under = np.zeros(width, np.float32), np.zeros(width, np.float32)
    for y in range(start, stop, 2):
        a, b = _mirror(y - 1, height), _mirror(y + 1, height)
        a3, b3 = _mirror(y - 3, height), _mirror(y + 3, height)
        a2, b2 = _mirror(y - 2, height), _mirror(y + 2, height)
        a4, b4 = _mirror(y - 4, height), _mirror(y + 4, height)
        _edges(bright[a], bright[b], shift, cost, wide)
        for c in range(channels):
            up, down, up3, down3, row = out[c, a], out[c, b], out[c, a3], out[c, b3], out[c, y]
            _in_space(up, down, up3, down3, shift, result)
            if space:
                row[:] = result
                continue
            was, will = before[c, y], after[c, y]
            for x in range(width):
                both[x] = was[x] + will[x]
            for x in range(width):
                change[x] = abs(was[x] - will[x])
            for x in range(width):
                bound[x] = change[x] * _HALF
            _difference(up, down, earlier[c, a], earlier[c, b], bound)
            _difference(up, down, later[c, a], later[c, b], bound)
            was, will = before[c, a2], after[c, a2]
            for x in range(width):
                over[x] = was[x] + will[x]
            was, will = before[c, b2], after[c, b2]
            for x in range(width):
                under[x] = was[x] + will[x]
            _bounds(up, down, over, under, both, limit, bound)
            was, will, was_4, will_4 = before[c, a4], after[c, a4], before[c, b4], after[c, b4]
            for x in range(width):
                fine[x] = _HIGH[2] * (was[x] + will[x] + was_4[x] + will_4[x])
            for x in range(width):
                fine[x] += _HIGH[0] * both[x] - _HIGH[1] * (over[x] + under[x])
            for x in range(width):
                fine[x] += _LOW[0] * (up[x] + down[x]) - _LOW[1] * (up3[x] + down3[x])
            for x in range(width):
                result[x] = fine[x] if abs(up[x] - down[x]) > change[x] else result[x]
            for x in range(width):
                row[x] = min(max(result[x], both[x] * _HALF - bound[x]), both[x] * _HALF + bound[x])
