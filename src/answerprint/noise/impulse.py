"""Impulse noise (salt and pepper, dropouts, dead pixels): found where a pixel stands alone at an end of the range.

A pixel is an impulse where a channel is at an end of its range and far from even those of its eight neighbors that are
most like it: rank-ordered absolute differences (Garnett, Huegerich, Chui and He 2005), which spare highlights and thin
lines, since those have neighbors like themselves. Channels help each other: what is far in their mean, less noisy than
each alone, is an impulse in all of them, and where one channel was hit another that is at its end was hit too, near as
that may be to what was there.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

ENDS = (0.02, 0.98)
FAR = 0.15  # on average over the neighbors looked at
AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def find(pixels: Tensor, sigma: float = 0.0, neighbors: int = 2) -> Tensor:
    """Where impulses are: bool, the shape of `pixels` (3, H, W).

    Args:
        pixels: the picture.
        sigma: deviation of the other noise there is; what it could have done itself is no impulse.
        neighbors: how many like itself prove a pixel innocent: 2 spare lines, 4 find impulses that touch each other.
    """
    low, high = pixels <= ENDS[0], pixels >= ENDS[1]
    ends = low | high
    grown = F.pad(pixels[None], (1, 1, 1, 1), mode="replicate")[0]
    far = max(FAR, 4 * sigma)
    hit = torch.zeros_like(ends)
    channel, row, column = torch.nonzero(ends, as_tuple=True)
    here = pixels[channel, row, column]
    hit[channel, row, column] = _alone(
        ((grown[channel, row + 1 + y, column + 1 + x] - here).abs() for y, x in AROUND), neighbors, far
    )
    row, column = torch.nonzero(low.all(dim=0) | high.all(dim=0), as_tuple=True)
    here = pixels[:, row, column]
    hit[:, row, column] |= _alone(
        ((grown[:, row + 1 + y, column + 1 + x] - here).abs().mean(dim=0) for y, x in AROUND),
        neighbors,
        far / len(pixels) ** 0.5,
    )
    return ends & hit.any(dim=0)


def _alone(apart: Iterable[Tensor], neighbors: int, far: float) -> Tensor:
    """Whether pixels are far from those of their neighbors that are most like them, by their distances (N,)."""
    return torch.stack(list(apart)).sort(dim=0).values[:neighbors].mean(dim=0) > far


def is_crowded(pixels: Tensor) -> bool:
    """Whether impulses are so many that they hide each other: black, white and neither lie side by side all over.

    Lines, letters and highlights have plain places around them, and a picture of two values has nothing between.
    """
    low, high = pixels <= ENDS[0], pixels >= ENDS[1]
    good = _around(~(low | high)) > 1.5 / 25
    return bool(((_around(low) > 0) & (_around(high) > 0) & good).float().mean() > 0.5)


def find_crowded(pixels: Tensor) -> Tensor:
    """Where impulses are among very many: what is at an end and far from the mean of all around it that is not.

    See `find`; lines of one pixel at an end of the range are not spared.
    """
    ends = (pixels <= ENDS[0]) | (pixels >= ENDS[1])
    share = _around(~ends)
    mean = _around(pixels.masked_fill(ends, 0)) / share.clamp(min=0.02)
    return ends & (share > 1.5 / 25) & ((pixels - mean).abs() > FAR)


def _around(planes: Tensor) -> Tensor:
    """Mean over 5x5 pixels, what lies outside counting as 0."""
    return F.avg_pool2d(planes.float()[None], 5, 1, 2)[0]


def mend(pixels: Tensor, hit: Tensor) -> Tensor:
    """Puts the mean of the good neighbors (5x5) in place of what was hit.

    Args:
        pixels: (..., 3, H, W).
        hit: bool, the same, or with one channel for all three.
    """
    good = (~hit).to(pixels.dtype).expand_as(pixels)
    flat = [plane.reshape(-1, 1, *pixels.shape[-2:]) for plane in (pixels * good, good)]
    total, weight = (F.avg_pool2d(plane, 5, 1, 2) for plane in flat)
    filled = (total / weight.clamp(min=0.02)).reshape(pixels.shape)
    return torch.where(hit.expand_as(pixels), filled, pixels)
