"""Global color transfer: Reinhard, Ashikhmin, Gooch and Shirley 2001, "Color Transfer between Images"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_RATIO = 3.0  # a flat shot must not explode, and a flat reference not erase the picture


@dataclass(frozen=True, eq=False)
class ColorStatistics:
    """Mean and standard deviation of each channel, (3,) each; the first channel is lightness."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, colors: Tensor) -> ColorStatistics:
        """The statistics of colors (n, 3)."""
        return cls(colors.mean(0), colors.std(0, correction=0))


@dataclass(frozen=True, eq=False)
class GlobalTransfer:
    """Gives every channel the mean and the deviation of a reference.

    Attributes:
        source_mean, reference_mean: (3,).
        ratio: (3,), deviation of the reference over that of the source, 0..3, that of lightness 1/3..3.
    """

    source_mean: Tensor
    ratio: Tensor
    reference_mean: Tensor

    @classmethod
    def between(cls, source: ColorStatistics, reference: ColorStatistics) -> GlobalTransfer:
        """The transfer that gives the source the statistics of the reference."""
        ratio = (reference.deviation / source.deviation.clamp_min(1e-6)).clamp(0.0, LARGEST_RATIO)
        ratio = torch.cat([ratio[:1].clamp_min(1 / LARGEST_RATIO), ratio[1:]])
        return cls(source.mean, ratio, reference.mean)

    def apply(self, values: Tensor) -> Tensor:
        """Equations 10 and 11 on (..., 3, H, W), in the space of the statistics."""
        mean, ratio, target = (
            vector.to(values).view(3, 1, 1) for vector in (self.source_mean, self.ratio, self.reference_mean)
        )
        return (values - mean) * ratio + target
