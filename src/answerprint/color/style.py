"""How far one picture's colors are from another's: sliced Wasserstein distance, structure (SSIM), NCST's losses.

Pure functions of tensors, differentiable in the pictures. NCST is "Neural-based Color Style Transfer for Video
Retouching" (Jiang, Chen, Zhang, Wang and Wen 2023); its equations 1 to 6 are here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from answerprint.color import spaces

# ---- sliced Wasserstein distance


def directions(count: int, seed: int = 0) -> Tensor:
    """Unit vectors spread over the half sphere, (count, 3): the three axes first, then random ones."""
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(max(count - 3, 0), 3, generator=generator)
    vectors = torch.cat([torch.eye(3), random / random.norm(dim=1, keepdim=True).clamp_min(1e-6)])
    return vectors[:count]


def quantiles(colors: Tensor, directions: Tensor, count: int) -> Tensor:
    """Colors (n, 3) projected on directions (k, 3), as `count` quantiles each: (k, count), rising."""
    rows = _sort_rows(directions.to(colors) @ colors.T)
    if rows.shape[1] == count:
        return rows
    place = (torch.arange(count, device=rows.device, dtype=rows.dtype) + 0.5) / count * rows.shape[1] - 0.5
    below = place.floor().clamp(0, rows.shape[1] - 1).long()
    above = (below + 1).clamp(max=rows.shape[1] - 1)
    share = (place - below).clamp(0, 1)
    return rows[:, below] * (1 - share) + rows[:, above] * share


def _sort_rows(rows: Tensor) -> Tensor:
    if rows.requires_grad or rows.device.type != "cpu":
        return rows.sort(dim=1).values
    # More than ten times as fast, as no order is kept.
    return torch.from_numpy(np.sort(rows.numpy(), 1))


def sliced_wasserstein(first: Tensor, second: Tensor, projections: int = 64, power: int = 2, seed: int = 0) -> Tensor:
    """Sliced Wasserstein distance (Bonneel, Rabin, Peyre and Pfister 2015) of two sets of colors.

    Args:
        first: (n, 3), CIELAB as a rule: the result then is in its units (about 1 is just noticeable).
        second: (m, 3); the numbers may differ.
        projections: directions that the colors are projected on.
        power: 1 for the mean distance, 2 for its root mean square.
        seed: of the directions.

    Returns:
        A scalar, differentiable.
    """
    axes = directions(projections, seed)
    count = min(len(first), len(second))
    gap = (quantiles(first, axes, count) - quantiles(second, axes, count)).abs()
    return gap.mean() if power == 1 else (gap.square().mean() + 1e-12).sqrt()


def colors(pixels: Tensor, count: int, seed: int = 0, weight: Tensor | None = None) -> Tensor:
    """Up to `count` finite pixels of a picture (3, H, W), drawn at random: (n, 3).

    Args:
        pixels: (3, H, W).
        count: at most.
        seed: of the drawing.
        weight: (1, H, W); only pixels with more than half of its largest value are drawn, where it holds anything.
    """
    flat = pixels.reshape(3, -1).T
    keep = torch.isfinite(flat).all(1)
    if weight is not None and bool((weight > 0).any()):
        keep &= weight.reshape(-1) > 0.5 * weight.max()
    flat = flat[keep]
    if len(flat) <= count:
        return flat
    sample = np.random.default_rng(seed).choice(len(flat), count, replace=False)
    return flat[torch.from_numpy(np.sort(sample)).to(flat.device)]


def to_lab(flat: Tensor) -> Tensor:
    """Display-encoded colors (n, 3) to CIELAB (n, 3)."""
    return spaces.rgb_to_lab(flat.T[:, None]).squeeze(1).T


def matched_error(first: Tensor, second: Tensor, count: int = 384, seed: int = 0) -> float:
    """Mean CIEDE2000 between CIELAB colors (n, 3) and (m, 3), each paired with its partner in the best assignment.

    Args:
        first, second: CIELAB colors.
        count: how many of each are drawn; an assignment costs the cube of it.
        seed: of the drawing.
    """
    generator = np.random.default_rng(seed)
    count = min(count, len(first), len(second))
    a, b = (x[torch.from_numpy(generator.choice(len(x), count, replace=False))].double() for x in (first, second))
    rows, columns = linear_sum_assignment(torch.cdist(a, b).numpy())
    paired = spaces.delta_e_2000(a[torch.from_numpy(rows)].T[:, None], b[torch.from_numpy(columns)].T[:, None])
    return float(paired.mean())


# ---- structure


def structure(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM of planes (N, 1, H, W) (Wang, Bovik, Sheikh and Simoncelli 2004), a scalar with gradients.

    Planes shorter than 11 pixels are compared by one window that holds them whole.
    """
    height, width = first.shape[-2:]
    both = torch.cat([first, second, first * first, second * second, first * second], 1)
    blurred = _blur(both, min(height, 11), min(width, 11))
    mean_a, mean_b, aa, bb, ab = blurred.unbind(1)
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (aa - mean_a**2 + bb - mean_b**2 + c2)
    return (above / below).mean()


def _blur(planes: Tensor, height: int, width: int) -> Tensor:
    count = planes.shape[1]
    for length, axis in ((height, 0), (width, 1)):
        x = torch.arange(length, dtype=planes.dtype, device=planes.device) - (length - 1) / 2
        window = torch.exp(-x.square() / (2 * 1.5**2))
        shape = (count, 1, length, 1) if axis == 0 else (count, 1, 1, length)
        kernel = (window / window.sum()).view(1, 1, *shape[2:]).expand(shape)
        planes = F.conv2d(planes, kernel, groups=count)
    return planes


# ---- NCST, equations 1 to 6


@dataclass(frozen=True)
class LossWeights:
    """Weights of equation 6; the paper does not print its own."""

    style: float = 1.0
    content: float = 0.2
    color: float = 1.0


def style_loss(stylized: Sequence[Tensor], style: Sequence[Tensor]) -> Tensor:
    """Equation 1: distance of mean and deviation of the feature maps of each layer, each (N, C, H, W)."""
    parts = []
    for ours, theirs in zip(stylized, style, strict=True):
        for measure in (_mean, _deviation):
            parts.append(_length(measure(ours) - measure(theirs)))
    return torch.stack(parts).sum(0).mean()


def content_loss(stylized: Sequence[Tensor], content: Sequence[Tensor]) -> Tensor:
    """Equation 2: distance of the feature maps of the last layer, each (N, C, H, W).

    The paper prints F^s for the content and F^c for the stylized picture there, the other way round than in equation 1,
    and calls it a loss of the content: it is taken so. It is divided by the size of the map, so that its weight holds
    for all sizes.
    """
    ours, theirs = stylized[-1], content[-1]
    return ((ours - theirs).square().mean((1, 2, 3)) + 1e-12).sqrt().mean()


def histogram(pixels: Tensor, bins: int = 64) -> Tensor:
    """Differentiable histogram of (N, 3, H, W) over 0..1, shape (N, 3, bins): each value is shared by the two bins next
    to it (a triangular kernel), values outside count in the end bins. Counts, not shares."""
    place = pixels.flatten(2).clamp(0, 1) * (bins - 1)
    below = place.detach().floor().clamp(max=bins - 2)
    share = place - below
    counts = pixels.new_zeros(*pixels.shape[:2], bins)
    counts = counts.scatter_add(2, below.long(), 1 - share)
    return counts.scatter_add(2, below.long() + 1, share)


def histogram_loss(stylized: Tensor, style: Tensor, bins: int = 64) -> Tensor:
    """Equations 3 to 5: Kullback-Leibler divergence of the histograms of each channel, of pictures (N, 3, H, W)."""
    epsilon = 1e-6
    ours, theirs = (_shares(histogram(picture, bins), epsilon) for picture in (stylized, style))
    return (theirs * torch.log(theirs / (ours + epsilon))).sum((1, 2)).mean()


def _shares(counts: Tensor, epsilon: float) -> Tensor:
    """Equations 4 and 5."""
    return (counts + epsilon) / (counts.sum(-1, keepdim=True) + epsilon)


def total_loss(style: Tensor, content: Tensor, color: Tensor, weights: LossWeights) -> Tensor:
    """Equation 6."""
    return weights.style * style + weights.content * content + weights.color * color


def _mean(features: Tensor) -> Tensor:
    return features.mean((2, 3))


def _deviation(features: Tensor) -> Tensor:
    return (features.var((2, 3), correction=0) + 1e-6).sqrt()


def _length(difference: Tensor) -> Tensor:
    # Per root of the number of channels, so that deep layers do not outweigh the others.
    return (difference.square().sum(1) + 1e-12).sqrt() / math.sqrt(difference.shape[1])


# ---- representative frames


def medoids(histograms: Tensor, count: int) -> list[int]:
    """Indices of `count` histograms (n, bins) that stand for all, rising: k-medoids in the Hellinger distance.

    Begins with the histogram nearest to all, then always the one that helps most (BUILD), then swaps while that helps
    (Kaufman and Rousseeuw 1990).
    """
    roots = (histograms / histograms.sum(1, keepdim=True).clamp_min(1e-12)).sqrt()
    distance = torch.cdist(roots.double(), roots.double())
    centers: list[int] = []
    nearest = torch.full((len(roots),), math.inf, dtype=torch.float64)
    for _ in range(min(count, len(roots))):
        cost = torch.minimum(distance, nearest).sum(1)
        cost[centers] = math.inf
        centers.append(int(cost.argmin()))
        nearest = torch.minimum(nearest, distance[centers[-1]])
    improved = True
    while improved:
        improved = False
        for place in range(len(centers)):
            others = centers[:place] + centers[place + 1 :]
            rest = distance[others].amin(0) if others else torch.full_like(nearest, math.inf)
            cost = torch.minimum(distance, rest).sum(1)
            cost[others] = math.inf
            best = int(cost.argmin())
            if float(cost[best]) < float(cost[centers[place]]) - 1e-9:
                centers[place], improved = best, True
    return sorted(centers)


def color_histogram(lab: Tensor, bins: int = 8) -> Tensor:
    """Counts of CIELAB colors (n, 3) in cells of 12.5 units of L and 25 of a and b, (bins^3,)."""
    low, span = lab.new_tensor([0.0, -100.0, -100.0]), lab.new_tensor([100.0, 200.0, 200.0])
    cell = ((lab - low) / span * bins).floor().clamp(0, bins - 1).long()
    return torch.bincount(cell @ cell.new_tensor([bins * bins, bins, 1]), minlength=bins**3).to(lab.dtype)
