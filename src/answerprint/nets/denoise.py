"""The denoiser: a small residual U-Net that is told the noise of every pixel and sees neighbor frames stage by stage.

The picture and its noise map are folded 2x2 into channels (FFDNet, Zhang, Zuo and Zhang 2018), worked on by residual
blocks without bias or normalization at three sizes (DRUNet, Zhang et al. 2021), and the noise found is taken away from
the picture. Neighbors in time enter each stage as a part of their channels (temporal shift, Lin et al. 2019;
bidirectional streaming, Qi et al. 2022): nothing is warped, the stages align by themselves, and a frame without
neighbors gets no such term, so that a still is the case of one frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.settings import Settings


class Config(Settings):
    """Everything needed to build the network again."""

    widths: tuple[int, ...] = Field((64, 96, 192), description="Channels at 1/2, 1/4, 1/8 of the picture's size.")
    blocks: tuple[int, ...] = Field(
        (1, 2, 4), description="Residual blocks of each stage going down; the last is the bottom."
    )
    temporal: bool = Field(False, description="Whether neighbor frames are inputs.")
    share: int = Field(4, ge=1, description="One channel in this many is shown to the neighbors.")


class Block(nn.Module):
    """Two 3x3 convolutions around a rectifier, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        # Begin near the identity: without normalization a stack of full-size branches would not train at 1e-3.
        with torch.no_grad():
            self.second.weight.mul_(0.2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out


class Stage(nn.Module):
    """The blocks at one size; where the network is temporal, what the neighbors show is added in front of them."""

    def __init__(self, width: int, blocks: int, shown: int) -> None:
        super().__init__()
        self.shown = shown
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.neighbors: nn.Conv2d | None = None
        if shown:
            self.neighbors = nn.Conv2d(2 * shown, width, 3, padding=1, bias=False)
            nn.init.zeros_(
                self.neighbors.weight
            )  # the still network, exactly, until training finds a use for neighbors

    def forward(self, x: Tensor, before: Tensor | None = None, after: Tensor | None = None) -> Tensor:
        """`before`, `after`: (B, shown, h, w) channels of the neighbor frames at this stage, zeros where none is."""
        if self.neighbors is not None and before is not None and after is not None:
            x = x + self.neighbors(torch.cat((before, after), dim=1))
        out: Tensor = self.blocks(x)
        return out


@dataclass
class Working:
    """A frame on its way through the network: what the next stage works on and what later stages will need."""

    x: Tensor
    skips: tuple[Tensor, ...]
    noisy: Tensor


class Denoiser(nn.Module):
    """Noisy pictures and their noise in, clean pictures out; sizes are multiples of `self.multiple`."""

    multiple = 8

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths, counts = config.widths, config.blocks
        self.stem = nn.Conv2d(25, widths[0], 3, padding=1, bias=False)
        sizes = [*range(len(widths)), *range(len(widths) - 2, -1, -1)]
        self.stages = nn.ModuleList(
            Stage(widths[i], counts[i], widths[i] // config.share if config.temporal else 0) for i in sizes
        )
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2, bias=False) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1, bias=False) for a, b in reversed([*itertools.pairwise(widths)]))
        self.head = nn.Conv2d(widths[0], 12, 3, padding=1, bias=False)
        with torch.no_grad():
            self.head.weight.mul_(0.1)

    @property
    def radius(self) -> int:
        """How many frames on each side can have a say in a frame."""
        return len(self.stages) if self.config.temporal else 0

    def forward(self, noisy: Tensor, sigma: Tensor, correlation: Tensor) -> Tensor:
        """Takes the noise away.

        Args:
            noisy: (B, 3, H, W) stills or (B, T, 3, H, W) sequences, nominal range 0..1.
            sigma: standard deviation of the noise, the shape of `noisy`; 1 marks a pixel that says nothing.
            correlation: reach of the noise in pixels over 4, 0 for white noise, 1 channel, the shape of `noisy` else.
        """
        frames = noisy.shape[1] if noisy.ndim == 5 else 1
        work = self.enter(*(plane.flatten(0, -4) for plane in (noisy, sigma, correlation)))
        for index in range(len(self.stages)):
            before, after = self._shown(index, work.x, frames)
            work = self.advance(index, work, before, after)
        return self.leave(work).reshape(noisy.shape)

    def enter(self, noisy: Tensor, sigma: Tensor, correlation: Tensor) -> Working:
        """Frames (B, 3, H, W) with their noise, made ready for the first stage."""
        folded = F.pixel_unshuffle(torch.cat((noisy, sigma), dim=1), 2)
        reach = F.avg_pool2d(correlation, 2)
        return Working(self.stem(torch.cat((folded, reach), dim=1)), (), noisy)

    def advance(self, index: int, work: Working, before: Tensor | None, after: Tensor | None) -> Working:
        """One stage, and the change of size that follows it."""
        x = self.stages[index](work.x, before, after)
        bottom = len(self.down)
        if index < bottom:
            return Working(self.down[index](x), (*work.skips, x), work.noisy)
        if index < len(self.stages) - 1:
            x = F.pixel_shuffle(self.up[index - bottom](x), 2) + work.skips[-1]
            return Working(x, work.skips[:-1], work.noisy)
        return Working(x, (), work.noisy)

    def leave(self, work: Working) -> Tensor:
        """The picture without the noise found; the last subtraction is in float32 whatever the network ran in."""
        noise = F.pixel_shuffle(self.head(work.x), 2)
        return work.noisy.float() - noise.float()

    def stream(self, frames: Iterator[Working]) -> Iterator[Working]:
        """Frames that `enter` made ready, one after the other, through all stages; each is worked on once.

        Stage k sees frame t when frame t + 1 has come out of stage k - 1, so a frame leaves `radius` frames late.
        """
        for index in range(len(self.stages)):
            frames = self._stage(index, frames)
        return frames

    def _stage(self, index: int, frames: Iterator[Working]) -> Iterator[Working]:
        shown = getattr(self.stages[index], "shown", 0)
        if not shown:
            yield from (self.advance(index, work, None, None) for work in frames)
            return
        before: Tensor | None = None
        current: Working | None = None
        for coming in frames:
            if current is not None:
                yield self._between(index, current, before, coming.x[:, :shown])
                before = current.x[:, :shown]
            current = coming
        if current is not None:
            yield self._between(index, current, before, None)

    def _between(self, index: int, work: Working, before: Tensor | None, after: Tensor | None) -> Working:
        nothing = torch.zeros_like(work.x[:, : getattr(self.stages[index], "shown", 0)])
        return self.advance(index, work, nothing if before is None else before, nothing if after is None else after)

    def _shown(self, index: int, x: Tensor, frames: int) -> tuple[Tensor | None, Tensor | None]:
        """What each of (B * frames) sees of the one before and the one after it; zeros past the ends."""
        shown = getattr(self.stages[index], "shown", 0)
        if not shown or frames == 1:
            return None, None
        part = x[:, :shown].reshape(-1, frames, shown, *x.shape[-2:])
        nothing = torch.zeros_like(part[:, :1])
        before = torch.cat((nothing, part[:, :-1]), dim=1)
        after = torch.cat((part[:, 1:], nothing), dim=1)
        return before.flatten(0, 1), after.flatten(0, 1)
