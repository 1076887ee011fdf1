"""R'G'B' floats to code values, dithered or taken from a source: the compiled loops of `media/planes.py`.

Arguments that several of them share:

    new, old, compare       float32 (3, H, W) to encode, and what the source's codes decode to; only where `compare` is
                            true are they compared, else every pixel counts as changed
    codes, stride, reuse    the source's codes as one row of memory and the samples from one of its lines to the next;
                            where `reuse` is true, samples to which no changed pixel contributes are copied from it
    zero, scale             code of the value 0, and codes per 1.0
    top, seed, dither       the highest code; seed of the dither; whether changed samples are dithered
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from answerprint.kernels import CACHE

Array = NDArray[Any]

# One pass, line by line; without the GIL, so that decoding, work and encoding overlap.
_compiled = functools.partial(numba.njit, cache=CACHE, nogil=True, error_model="numpy")


@_compiled
def _triangular_noise(x: np.uint32) -> np.float32:
    """Triangular noise in -1..1 from an integer (hash: C. Wellons, lowbias32; the two halves of its bits are added)."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    x = np.uint32(x ^ (x >> np.uint32(16)))
    both = np.int32(x & np.uint32(0xFFFF)) + np.int32(x >> np.uint32(16))
    return np.float32(both - np.int32(0xFFFF)) * np.float32(1 / 65536)


@_compiled
def _round(
    values: Array, changed: Array, out: Array, codes: Array, reuse: bool,
    zero: np.float32, scale: np.float32, top: np.float32, start: np.uint32, dither: bool,
) -> None:  # fmt: skip
    """Rounds one line of numbers to codes; where codes are reused or dithered, `values` are overwritten on the way."""
    width = out.shape[0]
    base = zero + np.float32(0.5)
    if not dither and not reuse:
        for x in range(width):
            # Written so that NaN goes to 0.
            code = values[x] * scale + base
            code = code if code > np.float32(0) else np.float32(0)
            code = code if code < top else top
            out[x] = np.int32(code)
        return
    if dither:
        for x in range(width):
            noise = _triangular_noise(np.uint32(start + np.uint32(x)))
            values[x] = values[x] * scale + base + (noise if changed[x] else np.float32(0))
    else:
        for x in range(width):
            values[x] = values[x] * scale + base
    for x in range(width):
        code = values[x] if values[x] > np.float32(0) else np.float32(0)
        code = code if code < top else top
        out[x] = np.int32(code) if changed[x] or not reuse else np.int32(codes[x])


@_compiled
def _compare(new: Array, old: Array, i: int, changed: Array) -> None:
    """Marks in `changed`, (W,), the pixels of line `i` that differ."""
    width = changed.shape[0]
    r, g, b = new[0, i], new[1, i], new[2, i]
    r0, g0, b0 = old[0, i], old[1, i], old[2, i]
    for x in range(width):
        changed[x] = (r[x] != r0[x]) | (g[x] != g0[x]) | (b[x] != b0[x])


@_compiled
def encode_plane(
    new: Array, old: Array, compare: bool, channel: int, out: Array, codes: Array, stride: int, reuse: bool,
    zero: np.float32, scale: np.float32, plane: int, top: np.float32, seed: np.uint32, dither: bool,
) -> None:  # fmt: skip
    """One channel of R'G'B' to `out`, (H, W) of codes, which is plane number `plane` of the picture."""
    height, width = out.shape
    changed = np.ones(width, dtype=np.uint8)
    values = np.empty(width, dtype=np.float32)
    for i in range(height):
        if compare:
            _compare(new, old, i, changed)
        values[:] = new[channel, i]
        start = np.uint32(seed + np.uint32((plane * height + i) * width))
        _round(values, changed, out[i], codes[i * stride : i * stride + width], reuse, zero, scale, top, start, dither)


@_compiled
def _halve(x: Array, width: int, out: Array, parts: Array, taps: Array, a: np.float32) -> None:
    """Filters a line to half its samples; x holds it from index 2 on, with two places free on each side.

    See `siting._down_once`.
    """
    x[0], x[1] = x[2], x[2]
    x[width + 2], x[width + 3] = x[width + 1], x[width + 1]
    t0, t1, t2, t3, t4 = taps[0], taps[1], taps[2], taps[3], taps[4]
    half = out.shape[0]
    # Even and odd samples apart first: five taps two samples apart would be gathered one by one.
    even, odd = parts[0], parts[1]
    for j in range(half + 1):
        even[j], odd[j] = x[2 * j], x[2 * j + 1]
    even[half + 1] = x[2 * half + 2]
    next_even, next_odd, last_even = even[1:], odd[1:], even[2:]
    for j in range(half):
        out[j] = t0 * even[j] + t1 * odd[j] + t2 * next_even[j] + t3 * next_odd[j] + t4 * last_even[j]
    if width % 2 and a != 0:
        if half > 1:
            out[half - 1] = (x[width + 1] - a * out[half - 2]) / (np.float32(1) - a)
        else:
            out[0] = x[2]


@_compiled
def _halve_mask(m: Array, width: int, out: Array) -> None:
    """Marks chroma as changed where one of the pixels that it is made of changed; m is laid out as in `_halve`."""
    m[0], m[1] = 0, 0
    m[width + 2], m[width + 3] = 0, 0
    for j in range(out.shape[0]):
        out[j] = m[2 * j] | m[2 * j + 1] | m[2 * j + 2] | m[2 * j + 3] | m[2 * j + 4]
    if width % 2 and out.shape[0] > 1:
        # The odd last sample also leans on the one before it.
        out[out.shape[0] - 1] |= out[out.shape[0] - 2]


@_compiled
def _chroma_width(
    x: Array, spare: Array, parts: Array, width: int, out: Array, shift: int, taps: Array, a: np.float32
) -> None:
    """A line of full-width chroma (from index 2 on) at its own width."""
    if shift == 0:
        out[:] = x[2 : width + 2]
    elif shift == 1:
        _halve(x, width, out, parts, taps, a)
    else:
        half = (width + 1) >> 1
        _halve(x, width, spare[2 : half + 2], parts, taps, a)
        _halve(spare, half, out, parts, taps, a)


@_compiled
def _chroma_width_mask(m: Array, spare: Array, width: int, out: Array, shift: int) -> None:
    """The mask of a line (from index 2 on) at chroma's width."""
    if shift == 0:
        out[:] = m[2 : width + 2]
    elif shift == 1:
        _halve_mask(m, width, out)
    else:
        half = (width + 1) >> 1
        _halve_mask(m, width, spare[2 : half + 2])
        _halve_mask(spare, half, out)


@_compiled
def encode_luma(
    new: Array, old: Array, compare: bool, y: Array, u: Array, v: Array,
    y_codes: Array, y_stride: int, u_codes: Array, u_stride: int, v_codes: Array, v_stride: int, reuse: bool,
    gray: bool, buffered: bool, shift: int, taps: Array, a: np.float32, chroma: Array, changed: Array, matrix: Array,
    y_zero: np.float32, y_scale: np.float32, c_zero: np.float32, c_scale: np.float32,
    top: np.float32, seed: np.uint32, dither: bool,
) -> None:  # fmt: skip
    """Luma codes; and those of chroma, unless it is sampled vertically too: then it is left for `encode_chroma`.

    Args:
        y, u, v: codes, filled; u and v are untouched where `gray` or `buffered`.
        gray: there is no chroma.
        buffered: all lines of chroma, at its own width, are left in `chroma` for `encode_chroma`.
        shift: log2 of luma samples per chroma sample, horizontally.
        taps, a: the filter of each halving of the width, and the weight that its last odd sample takes.
        chroma: float32 (2, H or 1, chroma's width), filled.
        changed: uint8 (H or 1, chroma's width), filled where `compare`.
        matrix: float32 (3, 3), Y, Cb and Cr from R, G and B.
    """
    height, width = y.shape
    narrow = chroma.shape[2]
    row = np.empty((4, width + 4), dtype=np.float32)
    parts = np.empty((2, width // 2 + 3), dtype=np.float32)
    marks = np.ones((2, width + 4), dtype=np.uint8)
    luma, mark = row[0, 2 : width + 2], marks[0, 2 : width + 2]
    cb, cr = row[1, 2 : width + 2], row[2, 2 : width + 2]
    m = matrix
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = (
        m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2], m[2, 0], m[2, 1], m[2, 2]
    )  # fmt: skip
    for i in range(height):
        if compare:
            _compare(new, old, i, mark)
        red, green, blue = new[0, i], new[1, i], new[2, i]
        for x in range(width):
            r, g, b = red[x], green[x], blue[x]
            luma[x] = m00 * r + m01 * g + m02 * b
            cb[x] = m10 * r + m11 * g + m12 * b
            cr[x] = m20 * r + m21 * g + m22 * b
        start = np.uint32(seed + np.uint32(i * width))
        line = y_codes[i * y_stride : i * y_stride + width]
        _round(luma, mark, y[i], line, reuse, y_zero, y_scale, top, start, dither)
        if gray:
            continue
        at = i if buffered else 0
        _chroma_width(row[1], row[3], parts, width, chroma[0, at], shift, taps, a)
        _chroma_width(row[2], row[3], parts, width, chroma[1, at], shift, taps, a)
        if compare:
            _chroma_width_mask(marks[0], marks[1], width, changed[at], shift)
        if not buffered:
            line = u_codes[i * u_stride : i * u_stride + narrow]
            start = np.uint32(seed + np.uint32((height + i) * width))
            _round(chroma[0, 0], changed[0], u[i], line, reuse, c_zero, c_scale, top, start, dither)
            line = v_codes[i * v_stride : i * v_stride + narrow]
            start = np.uint32(seed + np.uint32((2 * height + i) * width))
            _round(chroma[1, 0], changed[0], v[i], line, reuse, c_zero, c_scale, top, start, dither)


@_compiled
def encode_chroma(
    chroma: Array, changed: Array, lines: Array, weights: Array, out: Array, codes: Array, stride: int, reuse: bool,
    zero: np.float32, scale: np.float32, plane: int, top: np.float32, seed: np.uint32, dither: bool,
) -> None:  # fmt: skip
    """Codes of one chroma plane that `encode_luma` left at luma's height.

    Args:
        chroma, changed: (H, chroma's width), as `encode_luma` fills them.
        lines, weights: for each line of `out` the lines of `chroma` that it is mixed of, (chroma's height, taps).
    """
    height, width = out.shape
    values = np.empty(width, dtype=np.float32)
    mark = np.empty(width, dtype=np.uint8)
    for i in range(height):
        values[:] = 0
        mark[:] = 0
        for tap in range(lines.shape[1]):
            weight, line, line_mark = weights[i, tap], chroma[lines[i, tap]], changed[lines[i, tap]]
            if weight != 0:
                for x in range(width):
                    values[x] += weight * line[x]
                    mark[x] |= line_mark[x]
        start = np.uint32(seed + np.uint32((plane * chroma.shape[0] + i) * width))
        _round(values, mark, out[i], codes[i * stride : i * stride + width], reuse, zero, scale, top, start, dither)
