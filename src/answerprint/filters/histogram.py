"""Histograms of a plane and the tone mappings that are made from them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad


def equalizing_curve(planes: list[Tensor], points: int = 65) -> list[float]:
    """Outputs of the curve that spreads the values of all planes evenly over 0..1 (their cumulative distribution).

    Args:
        planes: any shapes; values outside 0..1 are counted at its ends, not-a-number is not counted.
        points: number of the curve.

    Returns:
        Outputs for the inputs 0, 1 / (points - 1), ..., 1; rising, from 0 to 1. Without any variety in the
        planes, the straight line.
    """
    bins = 4096
    counts = torch.zeros(bins, dtype=torch.float64)
    for plane in planes:
        values = plane[torch.isfinite(plane)].clamp(0, 1).cpu()
        counts += torch.histc(values, bins=bins, min=0, max=1).double()
    straight = np.linspace(0, 1, points)
    total = float(counts.sum())
    if total == 0 or float(counts.max()) == total:
        return [float(value) for value in straight]
    # Half of a bin counts as below it: black and white bars then do not push each other out of range.
    below = torch.cumsum(counts, 0) - counts / 2
    centers = (np.arange(bins) + 0.5) / bins
    curve = np.interp(straight, centers, (below / total).numpy())
    curve[0], curve[-1] = 0, 1
    return [float(value) for value in np.maximum.accumulate(curve)]


def apply_curve(plane: Tensor, curve: list[float]) -> Tensor:
    """Values, of any shape, through a curve given at equal steps over 0..1, with straight lines between.

    Below 0 and above 1 the curve goes on in parallel to the identity, so sub-blacks and super-whites are kept.
    """
    heights = torch.tensor(curve, dtype=plane.dtype, device=plane.device)
    steps = len(curve) - 1
    inside = plane.clamp(0, 1)
    place = inside * steps
    left = place.floor().clamp(max=steps - 1).long()
    return torch.lerp(heights[left], heights[left + 1], place - left) + (plane - inside)


def clahe(plane: Tensor, clip: float, tiles: int) -> Tensor:
    """Contrast-limited adaptive histogram equalization (Zuiderveld 1994), continuous in the values.

    Each tile has a histogram of 256 steps, clipped, the excess spread evenly; its cumulative curve, straight between
    the steps, maps the value. A pixel takes the curves of the four tile centers around it by bilinear weights. Values
    are never quantized, so no bit is lost (OpenCV at 16 bits has steps so fine that its clip limit means nothing).

    Args:
        plane: (H, W), finite; 0..1 is equalized, what lies outside is carried along as in `apply_curve`.
        clip: how often a value may occur, as a multiple of the mean; 1 does next to nothing, 40 equalizes nearly
            fully.
        tiles: the picture is cut into tiles x tiles parts.
    """
    height, width = plane.shape
    # Tiles of less than 8 pixels hold no histogram worth the name.
    rows, columns = max(1, min(tiles, height // 8)), max(1, min(tiles, width // 8))
    inside = plane.clamp(0, 1)
    curves = _tile_curves(inside, rows, columns, clip)
    # Three-way linear interpolation in the stack of curves: value, row, column.
    points = curves.shape[0]
    grid = torch.empty(1, 1, height, width, 3, device=plane.device)
    grid[..., 0] = (torch.arange(width, device=plane.device) * 2 + 1) / width - 1
    grid[..., 1] = ((torch.arange(height, device=plane.device) * 2 + 1) / height - 1)[:, None]
    grid[..., 2] = (inside * (2 * (points - 1)) + 1) / points - 1
    mapped = grid_sample(curves[None, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return mapped[0, 0, 0] + (plane - inside)


_STEPS = 256


def _tile_curves(plane: Tensor, rows: int, columns: int, clip: float) -> Tensor:
    """The mapping curves of the tiles, outputs for the inputs 0, 1/256, ..., 1: (257, rows, columns)."""
    height, width = plane.shape
    row = torch.arange(height, device=plane.device) * rows // height
    column = torch.arange(width, device=plane.device) * columns // width
    step = (plane * _STEPS).long().clamp(max=_STEPS - 1)
    place = (row[:, None] * columns + column) * _STEPS + step
    counts = torch.bincount(place.flatten(), minlength=rows * columns * _STEPS).float().view(-1, _STEPS)
    limit = clip * counts.mean(1, keepdim=True)
    clipped = torch.minimum(counts, limit)
    even = clipped + (counts - clipped).sum(1, keepdim=True) / _STEPS
    curves = pad(torch.cumsum(even / even.sum(1, keepdim=True), 1), (1, 0))
    return curves.T.reshape(_STEPS + 1, rows, columns).contiguous()
