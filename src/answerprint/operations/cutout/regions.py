"""What target and background look like, near by and as a whole: color histograms that know where they were learned.

A level set needs to know how much more a pixel looks like the inside than like the outside. Means (Chan and Vese 2001)
say that for two flat tones; here histograms do (region competition with densities, Kim et al. 2005), kept per cell of
the picture so that they follow uneven light and clutter (the local classifiers of Bai et al. 2009, laid on a bilateral
grid as in Maerki et al. 2016), and once for the whole picture, to fall back on where a cell knows nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from answerprint.color.bins import BINS

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

_FEW = 60.0  # pixels of a cell under which their number says nothing of the size


class Regions:
    """Histograms of inside and outside.

    Args:
        shape: (H, W) of the pictures.
        cell: side of a cell in pixels.
        trust: pixels of its own that a cell needs to outweigh the whole picture.
    """

    def __init__(self, shape: tuple[int, int], cell: int = 32, trust: float = 30.0) -> None:
        self.cell, self.trust = cell, trust
        rows, columns = (-(-side // cell) + 1 for side in shape)
        self.near = np.zeros((2, rows, columns, BINS, BINS, BINS), np.float32)
        self.whole = np.zeros((2, BINS, BINS, BINS), np.float32)
        self._used = np.zeros((rows, columns), np.bool_)  # cells that learned anything: the others are not looked at
        self._soft_near, self._soft_whole = np.zeros_like(self.near), self.whole
        self._masses = np.zeros((2, rows, columns), np.float32)
        self._stale = True

    def fade(self, share: float) -> None:
        """Forgets: what neighborhoods learned counts so much less."""
        self.near[:, self._used] *= np.float32(share)
        self._stale = True

    def anchor(self, colors: Picture, inside: Array, outside: Array) -> None:
        """Adds a key frame to the whole, which is never forgotten: what was learned on the way may be wrong."""
        _count(colors, inside, outside, self.whole)
        self._stale = True

    def learn(self, colors: Picture, inside: Array, outside: Array, corner: tuple[int, int] = (0, 0)) -> None:
        """Adds a picture, or a part of one.

        Args:
            colors: (H, W, 3) from `features`.
            inside: (H, W) weight of each pixel as part of the target, 0..1.
            outside: (H, W) weight of each pixel as part of the background, 0..1.
            corner: row and column of the part's first pixel.
        """
        _splat(colors, inside, outside, corner[0], corner[1], self.near, self._used, self.cell)
        self._stale = True

    def ask(self, colors: Picture, where: npt.NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> Array:
        """The chance in 0..1 that each pixel belongs to the target; 0.5 outside `where`."""
        self.settle()
        result = np.full(colors.shape[:2], 0.5, np.float32)
        trust = np.float32(self.trust)
        _slice(
            colors,
            where,
            corner[0],
            corner[1],
            self._soft_near,
            self._masses,
            self._soft_whole,
            self.cell,
            trust,
            result,
        )
        return result

    def settle(self) -> None:
        """Brings what is asked up to what was learned; asking does it too, but then it has to be waited for."""
        if not self._stale:
            return
        if self._used.any():
            self._soft_near[:, self._used] = _soften(self.near[:, self._used])
            self._masses[:, self._used] = self.near[:, self._used].sum((2, 3, 4))
        self._soft_whole = _soften(self.whole)
        self._stale = False

    def likeness(self, colors: Picture, mask: npt.NDArray[np.bool_]) -> float:
        """How much the pixels of a mask look like the target of the key frames: mean chance by the whole alone."""
        if not mask.any():
            return 0.0
        self.settle()
        inside, outside = (one / max(float(one.sum()), 1e-6) for one in self._soft_whole)
        chance = (inside + 1e-5) / (inside + outside + 2e-5)
        bins = colors[mask] >> 4
        return float(chance[bins[:, 0], bins[:, 1], bins[:, 2]].mean())


def odds(chance: Array) -> Array:
    """Log odds of a chance, held to 1 in 100."""
    kept = chance.clip(0.01, 0.99)
    result: Array = np.log(kept / (1 - kept))
    return result


def _soften(counts: Array) -> Array:
    """Counts spread to the neighboring bins: 1 2 1 along each color axis."""
    result = counts.copy()
    flat = result.reshape(-1, BINS, BINS, BINS)
    _spread(flat, flat.reshape(len(flat), -1).max(1) > 0)
    return result


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _spread(cells: Any, used: Any) -> None:
    line = np.zeros(BINS + 2, np.float32)
    for cell in range(cells.shape[0]):
        if not used[cell]:
            continue
        grid = cells[cell]
        for axis in range(3):
            for i in range(BINS):
                for j in range(BINS):
                    for k in range(BINS):
                        if axis == 0:
                            line[k + 1] = grid[k, i, j]
                        elif axis == 1:
                            line[k + 1] = grid[i, k, j]
                        else:
                            line[k + 1] = grid[i, j, k]
                    for k in range(BINS):
                        value = 0.25 * line[k] + 0.5 * line[k + 1] + 0.25 * line[k + 2]
                        if axis == 0:
                            grid[k, i, j] = value
                        elif axis == 1:
                            grid[i, k, j] = value
                        else:
                            grid[i, j, k] = value


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _count(colors: Any, inside: Any, outside: Any, whole: Any) -> None:
    height, width = inside.shape
    for y in range(height):
        for x in range(width):
            i, j, k = colors[y, x, 0] >> 4, colors[y, x, 1] >> 4, colors[y, x, 2] >> 4
            whole[0, i, j, k] += inside[y, x]
            whole[1, i, j, k] += outside[y, x]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _splat(
    colors: Any, inside: Any, outside: Any, first_row: int, first_column: int, near: Any, used: Any, cell: int
) -> None:
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


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _slice(
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
                place = min(max(place, np.float32(0)), np.float32(BINS - 1.001))
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
