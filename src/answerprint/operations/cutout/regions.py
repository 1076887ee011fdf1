"""Color histograms of target and background, per cell of the picture and of the whole.

A level set needs to know how much more a pixel looks like the inside than like the outside. Means (Chan and Vese 2001)
say that for two flat tones; here histograms do (region competition with densities, Kim et al. 2005), kept per cell of
the picture so that they follow uneven light and clutter (the local classifiers of Bai et al. 2009, laid on a bilateral
grid as in Maerki et al. 2016), and once for the whole picture, to fall back on where a cell knows nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from answerprint.color.bins import BINS
from answerprint.kernels.regions import count, slice_chance, smooth_bins, splat

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


class Regions:
    """Histograms of inside and outside of a contour, and the chance of a pixel by them.

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
        """Scales down what neighborhoods learned, to `share` of its weight."""
        self.near[:, self._used] *= np.float32(share)
        self._stale = True

    def anchor(self, colors: Picture, inside: Array, outside: Array) -> None:
        """Adds a key frame to the whole, which is never forgotten: what was learned on the way may be wrong.

        The arguments are those of `learn`.
        """
        count(colors, inside, outside, self.whole)
        self._stale = True

    def learn(self, colors: Picture, inside: Array, outside: Array, corner: tuple[int, int] = (0, 0)) -> None:
        """Adds a picture, or a part of one.

        Args:
            colors: (H, W, 3) from `features`.
            inside: (H, W) weight of each pixel as part of the target, 0..1.
            outside: (H, W) weight of each pixel as part of the background, 0..1.
            corner: row and column of the part's first pixel.
        """
        splat(colors, inside, outside, corner[0], corner[1], self.near, self._used, self.cell)
        self._stale = True

    def ask(self, colors: Picture, where: npt.NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> Array:
        """The chance (H, W) in 0..1 that each pixel belongs to the target; 0.5 outside `where`.

        Args:
            colors: (H, W, 3) from `features`, of a picture or a part of one.
            where: (H, W) bool, the pixels that are asked about.
            corner: row and column of the part's first pixel.
        """
        self.rebuild()
        result = np.full(colors.shape[:2], 0.5, np.float32)
        trust = np.float32(self.trust)
        slice_chance(
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

    def rebuild(self) -> None:
        """Rebuilds the smoothed histograms after `learn`. `ask` does it when needed."""
        if not self._stale:
            return
        if self._used.any():
            self._soft_near[:, self._used] = _smooth(self.near[:, self._used])
            self._masses[:, self._used] = self.near[:, self._used].sum((2, 3, 4))
        self._soft_whole = _smooth(self.whole)
        self._stale = False

    def likeness(self, colors: Picture, mask: npt.NDArray[np.bool_]) -> float:
        """Likeness of a mask's (H, W) pixels to the key frames' target, 0..1: mean chance by the whole."""
        if not mask.any():
            return 0.0
        self.rebuild()
        inside, outside = (one / max(float(one.sum()), 1e-6) for one in self._soft_whole)
        chance = (inside + 1e-5) / (inside + outside + 2e-5)
        bins = colors[mask] >> 4
        return float(chance[bins[:, 0], bins[:, 1], bins[:, 2]].mean())


def odds(chance: Array) -> Array:
    """Log odds of a chance in 0..1, of the same shape, limited to 1 in 100."""
    limited = chance.clip(0.01, 0.99)
    result: Array = np.log(limited / (1 - limited))
    return result


def _smooth(counts: Array) -> Array:
    """Counts spread to the neighboring bins: 1 2 1 along each color axis."""
    result = counts.copy()
    flat = result.reshape(-1, BINS, BINS, BINS)
    smooth_bins(flat, flat.reshape(len(flat), -1).max(1) > 0)
    return result
