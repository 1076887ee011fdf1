"""TOFlow: the paper's network for bringing coded video back, seven frames in, the middle one out.

Task-oriented flow (Xue, Chen, Wu, Wei and Freeman 2019), as "Decoding consumer-grade video" (Eder) uses its denoising
form: a SpyNet-type pyramid (Ranjan and Black 2017) finds the flow from the middle frame to every neighbor, the
neighbors are warped onto it, and an image processing network makes the result of all of them. Both are shown neighbors
as differences to the middle frame, which a first layer could do as well; learned that way it takes a fraction of the
steps (on noise, 180 steps took the error to 0.76 of what it was, where frames as they are left it at 1.00).
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.inference import weights
from answerprint.nets._blocks import faint
from answerprint.settings import Settings


class Config(Settings):
    """Everything needed to build the network again; the defaults are the paper's."""

    frames: int = Field(7, ge=1, description="Frames that are seen, the middle one is made.")
    levels: int = Field(4, ge=1, description="Levels of the pyramid of flow.")
    flow_widths: tuple[int, ...] = Field((32, 64, 32, 16), description="Channels inside a level of flow.")
    width: int = Field(64, ge=1, description="Channels of the image processing network.")


class Level(nn.Module):
    """One level of SpyNet: both frames and the flow so far in, what to add to that flow out."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        ends = (8, *widths, 2)
        convolutions = [nn.Conv2d(a, b, 7, padding=3) for a, b in itertools.pairwise(ends)]
        for layer in convolutions:
            # The usual beginning makes what is seen smaller from layer to layer, until biases alone decide.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        faint(convolutions[-1], 0.05)  # next to no flow
        self.layers = nn.ModuleList(convolutions)

    def forward(self, middle: Tensor, warped: Tensor, flow: Tensor) -> Tensor:
        x = torch.cat((middle - 0.5, warped - middle, flow), dim=1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


class TOFlow(nn.Module):
    """Frames (B, 3 T, H, W) in 0..1 in, the middle one restored out; sizes are multiples of `multiple`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.multiple = 2 ** (config.levels - 1)
        self.levels = nn.ModuleList(Level(config.flow_widths) for _ in range(config.levels))
        width = config.width
        self.processing = nn.Sequential(
            nn.Conv2d(3 * config.frames, width, 9, padding=4),
            nn.ReLU(),
            nn.Conv2d(width, width, 9, padding=4),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, 3, 1),
        )
        faint(self.processing[-1], 0.05)  # the middle frame as it is

    def forward(self, frames: Tensor, whole: bool = False) -> Tensor:
        """The middle frame restored; with `whole`, in its place among its neighbors as flow laid them onto it."""
        frames = frames.view(len(frames), -1, 3, *frames.shape[-2:])
        batch, length = frames.shape[:2]
        place = length // 2
        middle = frames[:, place]
        others = torch.cat((frames[:, :place], frames[:, place + 1 :]), dim=1).flatten(0, 1)
        aligned = warp(others, self.flow(middle.repeat_interleave(length - 1, dim=0), others))
        parts = [*aligned.view(batch, length - 1, *aligned.shape[1:]).unbind(1)]
        parts.insert(place, middle)
        # The processing network gives what is to be added: the middle frame itself need not be learned.
        inputs = [part - (0.5 if index == place else middle) for index, part in enumerate(parts)]
        out: Tensor = middle + self.processing(torch.cat(inputs, dim=1))
        return torch.cat((*parts[:place], out, *parts[place + 1 :]), dim=1) if whole else out

    def flow(self, middle: Tensor, other: Tensor) -> Tensor:
        """Flow in pixels by which `other` must be looked up to lie on `middle`, (B, 2, H, W), coarse to fine."""
        pyramid = [(middle, other)]
        for _ in self.levels[1:]:
            pyramid.append((F.avg_pool2d(pyramid[-1][0], 2), F.avg_pool2d(pyramid[-1][1], 2)))
        vectors = torch.zeros_like(pyramid[-1][0][:, :2])
        for index, (level, (a, b)) in enumerate(zip(self.levels, reversed(pyramid), strict=True)):
            if index:
                vectors = 2 * F.interpolate(vectors, scale_factor=2, mode="bilinear", align_corners=False)
            vectors = vectors + level(a, warp(b, vectors), vectors)
        return vectors


def warp(pictures: Tensor, flow: Tensor) -> Tensor:
    """`pictures` (B, C, H, W) looked up where `flow` (B, 2, H, W; x, y in pixels) points; borders go on."""
    height, width = pictures.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    column = (x + flow[:, 0]) * 2 / max(width - 1, 1) - 1
    row = (y + flow[:, 1]) * 2 / max(height - 1, 1) - 1
    grid = torch.stack((column, row), dim=-1).to(pictures.dtype)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=True)


def load(path: Path | None = None) -> TOFlow:
    """TOFlow with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    kept = weights.load("toflow", path)
    network = TOFlow(Config.of(kept.config, "Config"))
    weights.fill(network, kept)
    return network
