"""Enhancement of a small picture, and the color that a curve alone cannot carry over (AEPR, section 3.3).

The small picture has no noise: its pixels are means.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint.filters import classical

# What must stay visible is this many pixels wide in the small picture: less is told apart from nothing.
_DISTINCT = 4
# The small picture keeps at least this many pixels on its shorter side.
_LEAST = 48


def downsampling_ratio(height: int, width: int, smallest: float) -> int:
    """Downsampling ratio by which the smallest thing of interest can still be told apart (AEPR 3.3, figure 5).

    Args:
        height: of the large picture.
        width: of the large picture.
        smallest: size of that thing in pixels of the large picture.
    """
    visible = int(smallest / _DISTINCT)
    return max(1, min(visible, min(height, width) // _LEAST))


def downsample(pixels: Tensor, ratio: int) -> Tensor:
    """The picture (3, h, w) of which every pixel is the mean of ratio x ratio; NaN and -inf count as 0, +inf as 1.

    Args:
        pixels: (3, H, W).
        ratio: of the sizes.
    """
    height, width = pixels.shape[-2:]
    whole = torch.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0) if not bool(pixels.isfinite().all()) else pixels
    if ratio == 1:
        return whole
    size = (-(-width // ratio), -(-height // ratio))
    planes = [cv2.resize(plane.cpu().numpy(), size, interpolation=cv2.INTER_AREA) for plane in whole]
    return torch.from_numpy(np.stack(planes))


def brighten(picture: Tensor, target: float, weights: tuple[float, float, float], own: float = 0.7) -> Tensor:
    """A picture (3, H, W) in even light: divided by a power of its illumination.

    The illumination is that of LIME (Guo, Li and Ling 2017, equations 2 and 3).

    Illumination is the largest channel, smoothed by a guided filter so that it keeps the edges of things. Divided by
    it alone, channels keep their ratio, and what was dark comes out far more colored than it is by daylight; divided
    by each channel's own light, as a tone curve does, it comes out faded. In between lies what was lit. The power is
    chosen so that the mean luma is `target`, and never so that the picture gets darker.

    Args:
        picture: (3, H, W), small, 0..1.
        target: mean luma of the result, where that can be had.
        weights: luma weights of R', G', B'.
        own: share (of the exponent) that a channel's own light has in its illumination.
    """
    inside = picture.clamp(0, 1)
    light = inside.amax(dim=0, keepdim=True)
    radius = max(min(picture.shape[-2:]) // 12, 1)
    smooth = classical.guided(light, light, radius, 0.01) if min(picture.shape[-2:]) > 2 * radius + 1 else light
    # Never below the pixel itself, or its color would burn out; never nothing, or noise would be all there is.
    illumination = torch.maximum(smooth, light).clamp(min=0.01, max=1)
    illumination = illumination * (inside / light.clamp(min=0.004)).clamp(0.05, 1) ** own
    luma = torch.tensor(weights).view(3, 1, 1)
    low, high = 0.0, 0.9
    for _ in range(12):
        power = (low + high) / 2
        mean = float(((picture / illumination**power).clamp(0, 1) * luma).sum(dim=0).mean())
        low, high = (power, high) if mean < target else (low, power)
    return (picture / illumination ** ((low + high) / 2)).clamp(0, 1)


def color_compensation(
    reference: Tensor,
    picture: Tensor,
    weights: tuple[float, float, float],
    width: float = 1.0,
    limit: float = 0.15,
) -> Tensor:
    """Color level compensation (AEPR 3.3, step 5): the color that the mapped picture lacks of the enhanced one.

    Only color is carried over: how bright anything is, the curve alone decides. That kept nearer to bright originals
    than compensating brightness too, makes no halos, and cannot pump.

    Args:
        reference: the enhanced small picture, (3, h, w).
        picture: the small picture under the curve, (3, h, w).
        weights: luma weights of R', G', B'.
        width: of the smoothing in pixels of the small picture; the compensation is one of color level, not of detail.
        limit: largest compensation.

    Returns:
        (3, h, w), to be added to the mapped picture, upsampled.
    """
    difference = reference - picture
    difference = difference - (difference * torch.tensor(weights).view(3, 1, 1)).sum(dim=0, keepdim=True)
    return classical.gaussian(difference, width).clamp(-limit, limit)
