"""Color histograms per cell of a picture and of the whole: counted, smoothed, asked.

Colors are (H, W, 3) uint8 codes, 16 to a bin; histograms (..., BINS, BINS, BINS) float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from answerprint.kernels import CACHE

_FEW = 60.0  # pixels of a cell under which their number says nothing of the size


@njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator, unused-ignore]
def smooth_bins(cells: Any, used: Any) -> None:
    """Spreads counts to the neighboring bins, in place: 1 2 1 along each color axis.

    Args:
        cells: (N, BINS, BINS, BINS).
        used: (N,) whether a histogram holds anything; the others are not looked at.
    """
    bins = cells.shape[1]
    line = np.zeros(bins + 2, np.float32)
    for cell in range(cells.shape[0]):
        if not used[cell]:
            continue
        grid = cells[cell]
        for axis in range(3):
            for i in range(bins):
                for j in range(bins):
                    for k in range(bins):
                        if axis == 0:
                            line[k + 1] = grid[k, i, j]
                        elif axis == 1:
                            line[k + 1] = grid[i, k, j]
                        else:
                            line[k + 1] = grid[i, j, k]
                    for k in range(bins):
                        value = 0.25 * line[k] + 0.5 * line[k + 1] + 0.25 * line[k + 2]
                        if axis == 0:
                            grid[k, i, j] = value
                        elif axis == 1:
                            grid[i, k, j] = value
                        else:
                            grid[i, j, k] = value


@njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator, unused-ignore]
def count(colors: Any, inside: Any, outside: Any, whole: Any) -> None:
    """Adds a picture to the histograms of the whole.

    Args:
        colors: (H, W, 3).
        inside: (H, W) weight of each pixel as part of the target, 0..1.
        outside: (H, W) weight of each pixel as part of the background, 0..1.
        whole: (2, BINS, BINS, BINS) to add to: inside, outside.
    """
    height, width = inside.shape
    for y in range(height):
        for x in range(width):
            i, j, k = colors[y, x, 0] >> 4, colors[y, x, 1] >> 4, colors[y, x, 2] >> 4
            whole[0, i, j, k] += inside[y, x]
            whole[1, i, j, k] += outside[y, x]


@njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator, unused-ignore]
def splat(
    colors: Any, inside: Any, outside: Any, first_row: int, first_column: int, near: Any, used: Any, cell: int
) -> None:
    """Adds a part of a picture to the histograms of the four cells around each pixel, by nearness.

    Args:
        colors: (H, W, 3).
        inside: (H, W) weight of each pixel as part of the target, 0..1.
        outside: (H, W) weight of each pixel as part of the background, 0..1.
        first_row: row of the part's first pixel in the picture.
        first_column: its column.
        near: (2, rows, columns, BINS, BINS, BINS) to add to: inside, outside.
        used: (rows, columns) bool, set for cells that hold anything.
        cell: side of a cell in pixels.
    """
    height, width = inside.shape
    for y in range(height):
        for x in range(width):
            a, b = inside[y, x], outside[y, x]
            if a == 0 and b == 0:
                continue
            row, column = (y + first_row) / cell, (x + first_column) / cell
            top, left = int(row), int(column)
            fy, fx = np.float32(row - top), np.float32(column - left)
            i, j, k = colors[y, x, 0] >> 4, colors[y, x, 1] >> 4, colors[y, x, 2] >> 4
            for dy in range(2):
                wy = fy if dy else 1 - fy
                for dx in range(2):
                    weight = wy * (fx if dx else 1 - fx)
                    used[top + dy, left + dx] = True
                    near[0, top + dy, left + dx, i, j, k] += weight * a
                    near[1, top + dy, left + dx, i, j, k] += weight * b


@njit(nogil=True, cache=CACHE)  # type: ignore[untyped-decorator, unused-ignore]
def slice_chance(
    colors: Any,
    where: Any,
    first_row: int,
    first_column: int,
    near: Any,
    masses: Any,
    whole: Any,
    cell: int,
    trust: Any,
    result: Any,
) -> None:
    """Fills in the chance that each pixel belongs to the target, by its cells and by the whole picture.

    Args:
        colors: (H, W, 3).
        where: (H, W) bool, pixels to fill.
        first_row: row of the part's first pixel in the picture.
        first_column: its column.
        near: (2, rows, columns, BINS, BINS, BINS) smoothed histograms of the cells: inside, outside.
        masses: (2, rows, columns) sums of the cells' histograms.
        whole: (2, BINS, BINS, BINS) smoothed histograms of the whole.
        cell: side of a cell in pixels.
        trust: pixels of its own that a cell needs to outweigh the whole picture.
        result: (H, W) to fill, 0..1.
    """
    last = whole.shape[1] - 1.001
    wholes = whole.reshape(2, -1).sum(1)
    wholes_in, wholes_out = max(wholes[0], np.float32(1e-6)), max(wholes[1], np.float32(1e-6))
    at = np.zeros(3, np.int64)
    part = np.zeros(3, np.float32)
    for y in range(colors.shape[0]):
        row = (y + first_row) / cell
        top = int(row)
        fy = np.float32(row - top)
        for x in range(colors.shape[1]):
            if not where[y, x]:
                continue
            column = (x + first_column) / cell
            left = int(column)
            fx = np.float32(column - left)
            for axis in range(3):
                place = (np.float32(colors[y, x, axis]) - 7.5) / 16
                place = min(max(place, np.float32(0)), np.float32(last))
                at[axis] = int(place)
                part[axis] = place - at[axis]
            g_in = np.float32(0)
            g_out = np.float32(0)
            n_in = np.float32(0)
            n_out = np.float32(0)
            m_in = np.float32(_FEW)
            m_out = np.float32(_FEW)
            for dy in range(2):
                wy = fy if dy else 1 - fy
                for dx in range(2):
                    weight = wy * (fx if dx else 1 - fx)
                    m_in += weight * masses[0, top + dy, left + dx]
                    m_out += weight * masses[1, top + dy, left + dx]
            for di in range(2):
                wi = part[0] if di else 1 - part[0]
                for dj in range(2):
                    wj = wi * (part[1] if dj else 1 - part[1])
                    for dk in range(2):
                        w = wj * (part[2] if dk else 1 - part[2])
                        if w == 0:
                            continue
                        i, j, k = at[0] + di, at[1] + dj, at[2] + dk
                        g_in += w * whole[0, i, j, k]
                        g_out += w * whole[1, i, j, k]
                        for dy in range(2):
                            wy = w * (fy if dy else 1 - fy)
                            for dx in range(2):
                                weight = wy * (fx if dx else 1 - fx)
                                n_in += weight * near[0, top + dy, left + dx, i, j, k]
                                n_out += weight * near[1, top + dy, left + dx, i, j, k]
            # A large background must not outvote a small target, or its thin parts, by its size; but how much of either
            # lies near by does say something. So half the way from numbers to densities.
            even = np.sqrt(np.sqrt(m_out / m_in))
            n_in, n_out = n_in * even, n_out / even
            d_in, d_out = g_in / wholes_in, g_out / wholes_out
            chance = (d_in + np.float32(1e-5)) / (d_in + d_out + np.float32(2e-5))
            result[y, x] = (n_in + trust * chance) / (n_in + n_out + trust)
