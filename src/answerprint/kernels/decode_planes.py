"""Stored code values to R'G'B' floats: the compiled loops of `media/planes.py`.

A stored plane comes as one row of memory and the distance between its lines, since lines may be padded.
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
def decode_plane(codes: Array, stride: int, out: Array, zero: np.float32, step: np.float32) -> None:
    """Codes of one plane to floats: (code - zero) * step.

    Args:
        codes: flat memory of the plane, uint8, uint16 or float32.
        stride: samples from one line to the next.
        out: float32 (H, W), filled.
        zero: code of the value 0.
        step: value of one code.
    """
    height, width = out.shape
    for i in range(height):
        line = codes[i * stride : i * stride + width]
        to = out[i]
        for x in range(width):
            to[x] = (np.float32(line[x]) - zero) * step


@_compiled
def _double(c: Array, out: Array, a: np.float32, b: np.float32) -> None:
    """Interpolates a line to twice its samples; see `siting._up_once`."""
    half, width = c.shape[0], out.shape[0]
    a1, b1 = np.float32(1) - a, np.float32(1) - b
    out[0] = c[0]
    if half > 1:
        out[1] = c[0] * b1 + c[1] * b
    inner = c[1 : half - 1]
    before = c[0 : half - 2]
    after = c[2:half]
    to = out[2:]
    for j in range(inner.shape[0]):
        to[2 * j] = inner[j] * a1 + before[j] * a
        to[2 * j + 1] = inner[j] * b1 + after[j] * b
    if half > 1:
        out[2 * half - 2] = c[half - 1] * a1 + c[half - 2] * a
    if width % 2 == 0:
        out[width - 1] = c[half - 1]


@_compiled
def _mix_lines(
    codes: Array, stride: int, lines: Array, weights: Array, out: Array, zero: np.float32, step: np.float32
) -> None:
    """One line of chroma between the stored lines, as numbers around 0."""
    width = out.shape[0]
    if lines.shape[0] == 1:
        line = codes[lines[0] * stride : lines[0] * stride + width]
        for x in range(width):
            out[x] = (np.float32(line[x]) - zero) * step
        return
    first = codes[lines[0] * stride : lines[0] * stride + width]
    second = codes[lines[1] * stride : lines[1] * stride + width]
    w0, w1 = weights[0] * step, weights[1] * step
    for x in range(width):
        out[x] = (np.float32(first[x]) - zero) * w0 + (np.float32(second[x]) - zero) * w1
    for tap in range(2, lines.shape[0]):
        line = codes[lines[tap] * stride : lines[tap] * stride + width]
        w = weights[tap] * step
        for x in range(width):
            out[x] += (np.float32(line[x]) - zero) * w


@_compiled
def _luma_width(c: Array, half: Array, full: Array, shift: int, a: np.float32, b: np.float32) -> Array:
    """A chroma line at luma's width."""
    if shift == 0:
        return c
    if shift == 1:
        _double(c, full, a, b)
    else:
        _double(c, half, a, b)
        _double(half, full, a, b)
    return full


@_compiled
def decode_ycbcr(
    y: Array, y_stride: int, u: Array, v: Array, u_stride: int, v_stride: int, out: Array, lines: Array, weights: Array,
    shift: int, a: np.float32, b: np.float32, matrix: Array,
    y_zero: np.float32, y_step: np.float32, c_zero: np.float32, c_step: np.float32,
) -> None:  # fmt: skip
    """Y'CbCr codes to R'G'B', chroma interpolated.

    Args:
        y, u, v: flat memory of the planes, each with the samples from one of its lines to the next.
        out: float32 (3, H, W), filled.
        lines, weights: for each line of luma the chroma lines that it is mixed of, (H, taps).
        shift: log2 of luma samples per chroma sample, horizontally.
        a, b: weights of the neighbor for even and for odd samples in each doubling of the width.
        matrix: float32 (3, 2), how much of Cb and Cr is added to Y for R, G and B.
        y_zero, y_step, c_zero, c_step: code of the value 0 and value of one code, of luma and chroma.
    """
    _, height, width = out.shape
    narrow = (width + (1 << shift) - 1) >> shift
    row = np.empty((6, width), dtype=np.float32)
    half = (width + 1) >> 1
    ru, rv, gu, gv, bu, bv = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1], matrix[2, 0], matrix[2, 1]
    for i in range(height):
        _mix_lines(u, u_stride, lines[i], weights[i], row[0, :narrow], c_zero, c_step)
        _mix_lines(v, v_stride, lines[i], weights[i], row[1, :narrow], c_zero, c_step)
        cb = _luma_width(row[0, :narrow], row[2, :half], row[3], shift, a, b)
        cr = _luma_width(row[1, :narrow], row[2, :half], row[4], shift, a, b)
        line = y[i * y_stride : i * y_stride + width]
        red, green, blue = out[0, i], out[1, i], out[2, i]
        for x in range(width):
            luma = (np.float32(line[x]) - y_zero) * y_step
            red[x] = luma + ru * cb[x] + rv * cr[x]
            green[x] = luma + gu * cb[x] + gv * cr[x]
            blue[x] = luma + bu * cb[x] + bv * cr[x]
