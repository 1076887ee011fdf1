"""Histograms of a plane and the tone mappings that are made from them."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def equalizing_curve(planes: list[Tensor], points: int = 65) -> list[float]:
    """The curve that spreads the values of all planes evenly over 0..1 (their cumulative distribution).

    Args:
        planes: any shapes; values outside 0..1 are counted at its ends, not-a-number is not counted.
        points: at how many places the curve is given.

    Returns:
        What the inputs 0, 1 / (points - 1), ..., 1 become; rising, from 0 to 1. Without any variety in the
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
    """Sends values through a curve given at equal steps over 0..1, with straight lines between.

    Below 0 and above 1 the curve goes on in parallel to the identity, so sub-blacks and super-whites are kept.
    """
    heights = torch.tensor(curve, dtype=plane.dtype, device=plane.device)
    steps = len(curve) - 1
    inside = plane.clamp(0, 1)
    place = inside * steps
    left = place.floor().clamp(max=steps - 1).long()
    return torch.lerp(heights[left], heights[left + 1], place - left) + (plane - inside)


def clahe(plane: Tensor, clip: float, tiles: int) -> Tensor:
    """Contrast-limited adaptive histogram equalization (Zuiderveld 1994) at 16 bits.

    Args:
        plane: (H, W); 0..1 is equalized, what lies outside is carried along as in `apply_curve`.
        clip: how often a value may occur, as a multiple of the mean; 1 does next to nothing, 40 equalizes nearly
            fully.
        tiles: the picture is cut into tiles x tiles parts.
    """
    inside = plane.clamp(0, 1)
    codes = np.rint(inside.detach().cpu().numpy().astype(np.float64) * 65535).astype(np.uint16)
    height, width = codes.shape
    # Tiles of less than 8 pixels hold no histogram worth the name.
    grid = (max(1, min(tiles, width // 8)), max(1, min(tiles, height // 8)))
    result = cv2.createCLAHE(clipLimit=clip, tileGridSize=grid).apply(codes)
    mapped = torch.from_numpy(result.astype(np.float32) / 65535).to(plane.device)
    return mapped + (plane - inside)
