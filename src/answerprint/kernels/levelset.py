"""Steps of a level set: one on the whole picture, or many in a narrow band around the contour.

phi is a signed distance in pixels, above 0 inside; arrays are float32.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from answerprint.kernels import CACHE

_quick = partial(njit, nogil=True, cache=CACHE, fastmath=True, error_model="numpy")


@_quick(inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _bend(above: Any, level: Any, below: Any, at: int) -> Any:
    """Curvature of the level line through a pixel, held to 1 per pixel, and the slopes along x and y.

    Args:
        above: a row of phi with a pixel more at either end.
        level: the row below it.
        below: the one below that.
        at: which pixel of `level`, not counting the first.
    """
    half, quarter, one = np.float32(0.5), np.float32(0.25), np.float32(1)
    left, here, right = level[at], level[at + 1], level[at + 2]
    up, down = above[at + 1], below[at + 1]
    px, py = (right - left) * half, (down - up) * half
    pxx, pyy = right - 2 * here + left, down - 2 * here + up
    pxy = (below[at + 2] - below[at] - above[at + 2] + above[at]) * quarter
    square = px * px + py * py
    bend = (pxx * py * py - 2 * px * py * pxy + pyy * px * px) / (square * np.sqrt(square) + np.float32(1e-8))
    return min(max(bend, -one), one), px, py


@_quick()  # type: ignore[untyped-decorator, unused-ignore]
def full_step(framed: Any, force: Any, step: Any, epsilon: Any) -> Any:
    """One step of equation 2 on every pixel.

    Args:
        framed: (H + 2, W + 2) phi with its edge repeated once.
        force: (H, W) drive of the regions.
        step: length of the step.
        epsilon: half-width of the Heaviside function's derivative in pixels.

    Returns:
        (H, W) phi after the step.
    """
    result = np.empty_like(force)
    for y in range(force.shape[0]):
        above, level, below = framed[y], framed[y + 1], framed[y + 2]
        for x in range(force.shape[1]):
            here = level[x + 1]
            bend, _, _ = _bend(above, level, below, x)
            theta = epsilon / (np.float32(np.pi) * (epsilon * epsilon + here * here))
            result[y, x] = here + step * theta * (bend + force[y, x])
    return result


# The diffusion rate of the double-well potential (Li et al. 2010, equation 16), sin(2 pi s) / (2 pi s) for slopes s to
# 1, as a polynomial of s squared: smooth, and without a root to draw. Within 1e-5.
_RATE = tuple(
    np.float32(one)
    for one in np.polynomial.Chebyshev.interpolate(lambda squared: np.sinc(2 * np.sqrt(squared)), 6, domain=[0, 1])
    .convert(kind=np.polynomial.Polynomial)
    .coef
)


@_quick(inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _rate(along: Any, across: Any) -> Any:
    """Slopes go to 1 or 0."""
    squared = along * along + across * across
    low, high = min(squared, np.float32(1)), max(squared, np.float32(1))
    a, b, c, d, e, f, g = _RATE
    rate = a + low * (b + low * (c + low * (d + low * (e + low * (f + low * g)))))
    return np.float32(1) - np.float32(1) / np.sqrt(high) if squared >= np.float32(1) else rate


_ARCTAN = tuple(np.float32(one) for one in (0.9998660, -0.3302995, 0.1801410, -0.0851330, 0.0208351))


@_quick(inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _arctan(x: Any) -> Any:
    """Within 1e-5 (Abramowitz and Stegun, 4.4.49)."""
    size, one = abs(x), np.float32(1)
    part = min(size, one) / max(size, one)
    square = part * part
    a, b, c, d, e = _ARCTAN
    angle = part * (a + square * (b + square * (c + square * (d + square * e))))
    wide = np.float32(np.pi / 2) - angle if size > one else angle
    return -wide if x < 0 else wide


@_quick()  # type: ignore[untyped-decorator, unused-ignore]
def band_steps(framed: Any, band: Any, force: Any, pull: Any, goal: Any, numbers: Any, count: int) -> None:
    """Takes `count` steps on the pixels of the band, in place; the others stay.

    They are taken in runs along the rows, without a branch, so that a processor works on several pixels at once.

    Args:
        framed: (H + 2, W + 2) phi with its edge repeated once.
        band: the pixels by their index in the flat (H, W), in order.
        force: (H, W).
        pull: (H, W), towards `goal`.
        goal: (H, W).
        numbers: weights of length and distance, epsilon, step and half-width of the band.
        count: of steps.
    """
    height, width = force.shape
    new = np.empty(len(band), np.float32)
    first = np.empty(len(band) + 1, np.int64)
    runs = 0
    for place in range(len(band)):
        if place == 0 or band[place] != band[place - 1] + 1 or band[place] % width == 0:
            first[runs] = place
            runs += 1
    first[runs] = len(band)
    for _ in range(count):
        for run in range(runs):
            start, stop = first[run], first[run + 1]
            y, x = band[start] // width, band[start] % width
            end = x + stop - start
            rows = framed[y, x : end + 2], framed[y + 1, x : end + 2], framed[y + 2, x : end + 2]
            _run_step(rows, force[y, x:end], pull[y, x:end], goal[y, x:end], numbers, new[start:stop])
        for run in range(runs):
            start, stop = first[run], first[run + 1]
            y, x = band[start] // width, band[start] % width
            framed[y + 1, x + 1 : x + 1 + stop - start] = new[start:stop]
        framed[0], framed[height + 1] = framed[1], framed[height]
        framed[:, 0], framed[:, width + 1] = framed[:, 1], framed[:, width]


@_quick()  # type: ignore[untyped-decorator, unused-ignore]
def _run_step(rows: Any, force: Any, pull: Any, goal: Any, numbers: Any, new: Any) -> None:
    """Fills `new` (N,) with one step on a run of N pixels of a row; `rows` are the three around it, N + 2 each."""
    above, level, below = rows
    length, distance, epsilon, step, limit = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] + 1
    half, quarter, one = np.float32(0.5), np.float32(0.25), np.float32(1)
    for at in range(len(new)):
        bend, px, py = _bend(above, level, below, at)
        here = level[at + 1]
        # What flows over the four sides of the pixel; the slope along a side is the mean of both its pixels'.
        e, w, s, n = level[at + 2] - here, here - level[at], below[at + 1] - here, here - above[at + 1]
        ey = (below[at + 2] - above[at + 2]) * quarter + py * half
        wy = (below[at] - above[at]) * quarter + py * half
        sx = (below[at + 2] - below[at]) * quarter + px * half
        nx = (above[at + 2] - above[at]) * quarter + px * half
        flow = _rate(e, ey) * e - _rate(w, wy) * w + _rate(s, sx) * s - _rate(n, nx) * n
        theta = epsilon / (np.float32(np.pi) * (epsilon * epsilon + here * here))
        shape = half + _arctan(here / epsilon) * np.float32(1 / np.pi)
        drive = length * bend + force[at] + pull[at] * (goal[at] - shape)
        # No step moves the contour by more than about a pixel: a pixel that shouts is no more right.
        drive = min(max(drive, -one), one)
        value = here + step * (distance * flow + theta * drive)
        new[at] = min(max(value, -limit), limit)
