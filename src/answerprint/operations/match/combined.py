"""The fused transfer of `match`: local color from k-nearest neighbors with the global one, detail carried over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from answerprint.color.reinhard import GlobalTransfer
from answerprint.filters import classical
from answerprint.operations.match.neighborhoods import window_radius
from answerprint.operations.match.neighbors import NeighborRegression

_AGREEMENT = 12.0  # deviation of the neighbors' colors, in CIELAB units, at which they are trusted by half
_NEARNESS = 15.0  # distance of the nearest neighborhood (5 units of L in each of nine pixels) at which likewise
_BASE_EPSILON = 4.0  # variance, in CIELAB units squared, under which a texture is detail and not base
_SMOOTH_EPSILON = 4.0
STRIP = 360  # lines worked on at a time


@dataclass(frozen=True, eq=False)
class CombinedTransfer:
    """Local and global transfer in one; the formula stands in the docstring of `match`.

    Attributes:
        regression: L in a 3x3 neighborhood to a, b and to the local deviations of L, a, b in the reference.
        reinhard: the global transfer, in CIELAB.
        local: how much local color is fused with the global one, 0..1.
        protect_luma: whether L stays as it is.
    """

    regression: NeighborRegression
    reinhard: GlobalTransfer
    local: float
    protect_luma: bool

    def apply(self, source: Tensor) -> Tensor:
        """The transfer on CIELAB (3, H, W).

        A pixel depends on no more than two windows around it, so after the search the picture is worked on in strips:
        at UHD the windows' means of a whole picture would take gigabytes.
        """
        lightness = source[:1] if self.protect_luma else self.reinhard.apply(source)[:1]
        predicted, variance, nearest = (
            plane.to(source.device) for plane in self.regression.predict(lightness[0], spread=2)
        )
        trust = (1 / (1 + variance / _AGREEMENT**2) / (1 + (nearest / _NEARNESS) ** 2))[None]
        height, radius = source.shape[1], window_radius(source.shape[1])
        result = torch.empty_like(source)
        for start in range(0, height, STRIP):
            stop = min(start + STRIP, height)
            first, last = max(start - 2 * radius, 0), min(stop + 2 * radius, height)
            rows = slice(first, last)
            strip = self._fuse(source[:, rows], lightness[:, rows], predicted[:, rows], trust[:, rows], radius)
            result[:, start:stop] = strip[:, start - first : stop - first]
        return result

    def _fuse(self, source: Tensor, lightness: Tensor, predicted: Tensor, trust: Tensor, radius: int) -> Tensor:
        """A strip (3, h, W) of the result.

        Args:
            source: (3, h, W).
            lightness: L of the result, (1, h, W).
            predicted: a, b and local deviations of L, a, b, (5, h, W).
            trust: of the prediction, 0..1, (1, h, W).
            radius: of the windows, in pixels.
        """
        base = classical.guided(source, source[:1], radius, _BASE_EPSILON)
        fused = self.reinhard.apply(base)
        smooth = classical.guided(torch.cat([trust * predicted[:2], trust]), lightness, radius, _SMOOTH_EPSILON)
        fused[1:] += self.local * (smooth[:2] - smooth[2:].clamp(0, 1) * fused[1:])

        own, theirs = classical.local_deviation(source, radius), predicted[2:5]
        ratio = self.reinhard.ratio.to(source).view(3, 1, 1)
        weight = torch.where(ratio > 1, theirs, own) / (theirs + own).clamp_min(1e-6)
        return fused + (1 + (ratio - 1) * weight) * (source - base)
