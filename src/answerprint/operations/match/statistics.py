"""Mean and deviation per channel of the frames of a shot or a reference."""

from __future__ import annotations

import torch
from torch import Tensor

from answerprint.color.reinhard import ColorStatistics
from answerprint.frame import Frame
from answerprint.operations.match.conversion import Space, to_space
from answerprint.operations.match.reference import usable

_PIXELS_PER_FRAME = 500_000  # that a mean is taken over: more changes no digit that matters


def subsample(frame: Frame) -> Frame:
    """Only the pixels that statistics look at, so that the frames of a whole sample fit in memory at any size."""
    stride = _stride(frame)

    def thin(plane: Tensor | None) -> Tensor | None:
        return None if plane is None else plane[:, ::stride, ::stride].clone()

    pixels = frame.pixels[:, ::stride, ::stride].clone()
    return Frame(pixels, frame.time, frame.color, alpha=thin(frame.alpha), matte=thin(frame.matte))


def measure(frames: list[Frame], space: Space, device: torch.device) -> ColorStatistics:
    """Mean and standard deviation per channel over all usable pixels, rounded to six digits, float64.

    Weighted by the matte where any frame has one that holds something.
    """
    total, first, second = 0.0, torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    has_matte = any(frame.matte is not None and bool((frame.matte > 0).any()) for frame in frames)
    for frame in frames:
        weight = usable(frame).double()
        if has_matte and frame.matte is not None:
            weight = weight * frame.matte[0]
        stride = _stride(frame)
        weight = weight[::stride, ::stride].to(device)
        pixels = torch.nan_to_num(frame.pixels[:, ::stride, ::stride].to(device), nan=0.0, posinf=0.0, neginf=0.0)
        values = to_space(pixels, space).double()
        total += float(weight.sum())
        first += (values * weight).sum((1, 2)).cpu()
        second += (values.square() * weight).sum((1, 2)).cpu()
    total = max(total, 1e-9)
    mean = first / total
    deviation = (second / total - mean.square()).clamp_min(0).sqrt()
    return ColorStatistics(_rounded(mean), _rounded(deviation))


def _stride(frame: Frame) -> int:
    """Subsampling step for statistics, across and down."""
    return max(1, int((frame.height * frame.width / _PIXELS_PER_FRAME) ** 0.5))


def _rounded(values: Tensor) -> Tensor:
    # Six digits are what a person can read; the render uses what is written, so nothing is lost by it.
    return torch.tensor([round(float(value), 6) for value in values], dtype=torch.float64)
