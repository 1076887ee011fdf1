"""Frames of a shot laid onto one of them along their motion: less noise before anything else is done about it.

Each neighbor is brought to the present frame by optical flow and counts where the two agree up to the noise, as in
Buades and Lisani 2019 (video denoising by combining patch search and aligned averages); what moved otherwise, was
hidden or changed its light does not agree and does not count. The noise that is left is known at every pixel, so what
comes after can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from answerprint import arrays
from answerprint.color import spaces
from answerprint.motion import flow

_WIDTH = 0.7  # of the blur under which frames are compared, in pixels
_BOX = 9  # pixels across which they are
_STRICT = 0.3  # deviations of the noise that a disagreement may have beyond what noise makes of it
_ALLOWED = 0.003  # and this besides: rounding and interpolation
_LEAST = 0.05  # weights under which a neighbor does not count at all
_PIXEL = 1 / (4 * np.pi)  # square of the width that a white pixel has, as a Gaussian's


class NoisyFrame:
    """A frame with the noise of every pixel.

    Attributes:
        pixels: (3, H, W).
        sigma: standard deviation of the noise, (3, H, W), float16: five frames of it are kept; 1 marks a pixel that
            says nothing.
    """

    def __init__(self, pixels: Tensor, sigma: Tensor) -> None:
        self.pixels = pixels.cpu()
        self.sigma = sigma.cpu().half()

    @cached_property
    def blurred(self) -> Tensor:
        """(3, H, W), float16."""
        planes = self.pixels.nan_to_num().numpy()
        return torch.stack([torch.from_numpy(arrays.gaussian(plane, _WIDTH)).half() for plane in planes])

    @cached_property
    def gray(self) -> npt.NDArray[np.uint8]:
        """Gray codes (h, w) for motion search, at half size for large pictures."""
        gray = spaces.luma(self.blurred.float())[0].clamp(0, 1).numpy()
        if gray.size > flow.LARGE:
            gray = arrays.rescale(gray, 0.5)
        return np.round(gray * 255).astype(np.uint8)

    @cached_property
    def silent(self) -> Tensor | None:
        """Pixels without information (sigma of 1, or not finite), (3, H, W) bool; None where there are none."""
        mask = (self.sigma >= 1) | ~torch.isfinite(self.pixels)
        return mask if bool(mask.any()) else None


def merge(frame: NoisyFrame, neighbors: Sequence[NoisyFrame], reach: float = 0.0) -> tuple[Tensor, Tensor]:
    """The frame with its neighbors laid onto it, and the noise that is left, each (3, H, W).

    Args:
        frame: the frame.
        neighbors: others of the same shot and size.
        reach: pixels over which the noise hangs together; 0 for white noise.
    """
    sigma = frame.sigma.float()
    if not neighbors:
        return frame.pixels, sigma
    weight = torch.ones(1, 1, 1) if frame.silent is None else (~frame.silent).float()
    total, square = frame.pixels.nan_to_num() * weight, weight
    sigma_known = sigma.masked_fill(sigma >= 1, 0)
    noise = _boxed(sigma_known.square().mean(0))
    for other in neighbors:
        vectors = _vectors(frame, other)
        share = _agreement(frame, other, vectors, noise, reach)
        if other.silent is not None:
            share = share * _heard(other.silent, vectors)
        total = total + share * _warp_onto(other.pixels.nan_to_num(), vectors, cv2.INTER_CUBIC)
        weight = weight + share
        square = square + share * share
    merged = total / weight.clamp_min(_LEAST)
    # A pixel that says nothing has the noise of its neighbors in time, which is that of the shot.
    sigma_merged = (
        torch.where(sigma < 1, sigma, sigma_known.amax(dim=(1, 2), keepdim=True))
        * square.sqrt()
        / weight.clamp_min(_LEAST)
    )
    if frame.silent is None:
        return merged, sigma_merged
    alone = weight < _LEAST
    return torch.where(alone, frame.pixels, merged), torch.where(alone, sigma, sigma_merged)


def _vectors(frame: NoisyFrame, other: NoisyFrame) -> flow.Array:
    """From each pixel of the frame to where it is in the other one, (H, W, 2)."""
    height, width = frame.pixels.shape[-2:]
    return flow.resized(flow.flow(frame.gray, other.gray, "medium"), width, height)


def _warp_onto(planes: Tensor, vectors: flow.Array, how: int) -> Tensor:
    warped = [flow.warp(plane, vectors, how=how) for plane in planes.float().numpy()]
    return torch.stack([torch.from_numpy(plane) for plane in warped])


def _heard(silent: Tensor, vectors: flow.Array) -> Tensor:
    """1 where all that a moved pixel is made of says something, 0 elsewhere."""
    spread = F.max_pool2d(silent.float()[None], 5, 1, 2)[0]
    return (_warp_onto(spread, vectors, cv2.INTER_NEAREST) == 0).float()


def _agreement(frame: NoisyFrame, other: NoisyFrame, vectors: flow.Array, noise: Tensor, reach: float) -> Tensor:
    """How much the other frame, moved, shows the same, (1, H, W) in 0..1; `noise`: its variance around each pixel."""
    apart = _boxed((_warp_onto(other.blurred, vectors, cv2.INTER_LINEAR) - frame.blurred).square().mean(0))
    grain = _PIXEL + reach * reach
    # Nine tenths of what noise makes of the difference: interpolation takes some of it.
    floor = 0.9 * 2 * noise * grain / (grain + _WIDTH * _WIDTH)
    share = torch.exp(-(apart - floor).clamp_min(0) / (_STRICT * noise.sqrt() + _ALLOWED).square())
    return torch.where(share < _LEAST, 0.0, share)


def _boxed(plane: Tensor) -> Tensor:
    """Mean over the box around each pixel, (H, W) to (1, H, W)."""
    return torch.from_numpy(cv2.blur(plane.numpy(), (_BOX, _BOX), borderType=cv2.BORDER_REFLECT))[None]
