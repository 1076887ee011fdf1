"""Which frames stand for a shot, and how far its light moves from the start to the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from answerprint import arrays
from answerprint.color import spaces, style
from answerprint.frame import Frame
from answerprint.motion import flow
from answerprint.operations.look import sampling

_FOLLOWED = 30_000  # pixels of a frame that light is followed on
_MATCHED = 0.25  # share of a picture that flow must match
_DRIFTS = 6.0  # CIELAB units of movement from which on a shot gets keys


def representative(candidates: Sequence[Frame], count: int, seed: int) -> list[int]:
    """Indices of `count` frames that stand for all: medoids of color histograms (NCST, section 3.3)."""
    histograms = torch.stack([style.color_histogram(lab_colors(frame, seed)) for frame in candidates])
    return style.medoids(histograms, count)


def lab_colors(frame: Frame, seed: int = 0) -> Tensor:
    """Up to `sampling.COLORS` CIELAB colors of a frame, (n, 3)."""
    return style.to_lab(style.colors(arrays.finite(frame.pixels), sampling.COLORS, seed))


def lightness_deviation(frame: Frame) -> float:
    """Standard deviation of L*."""
    return float(lab_colors(frame)[:, 0].std(correction=0))


def measure(candidates: Sequence[Frame], seed: int) -> tuple[float, bool]:
    """Distance of the light of the last third from that of the first, and whether it moves there steadily.

    Args:
        candidates: frames spread through the shot, in order.
        seed: of the drawing of pixels.

    Returns:
        CIELAB units; whether it is a drift that keys can follow.
    """
    if len(candidates) < 3:
        return 0.0, False
    steps = _light_steps(candidates, seed)
    path = torch.cat([torch.zeros(1, 3), steps.cumsum(0)])
    third = max(1, len(path) // 3)
    distance = float((path[-third:].mean(0) - path[:third].mean(0)).norm())
    return distance, distance > _DRIFTS and distance > 0.5 * float(steps.norm(dim=1).sum())


def _light_steps(candidates: Sequence[Frame], seed: int) -> Tensor:
    """Change of the light from each frame to the next, CIELAB, (n - 1, 3).

    Measured on what both show, matched by flow: a camera that turns to other things changes the mean color, not the
    light, and a grade that followed it would change the color of things. Of the mean where too little is matched.
    """
    pictures = sampling.shrink(candidates, _FOLLOWED)
    planes = [sampling.gray_codes(picture) for picture in pictures]
    colors = [arrays.to_image(spaces.rgb_to_lab(picture)) for picture in pictures]
    means = [lab_colors(frame, seed).mean(0) for frame in candidates]
    steps = []
    for i in range(len(pictures) - 1):
        forth, back = flow.flow(planes[i], planes[i + 1]), flow.flow(planes[i + 1], planes[i])
        matched = flow.confidence(forth, back) > sampling.TRUSTED
        change = (flow.warp(colors[i + 1], forth) - colors[i])[matched]
        steps.append(torch.from_numpy(np.median(change, 0)) if matched.mean() > _MATCHED else means[i + 1] - means[i])
    return torch.stack(steps)


def key_count(drift: float) -> int:
    """Number of keys, 2 to 5, for a drift in CIELAB units."""
    return min(2 + int(drift / 8), 5)
