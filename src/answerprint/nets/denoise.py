"""The denoiser: a small residual U-Net that is told the noise of every pixel and sees neighbor frames stage by stage.

The picture and its noise map are folded 2x2 into channels (FFDNet, Zhang, Zuo and Zhang 2018), worked on by residual
blocks without bias or normalization at three sizes (DRUNet, Zhang et al. 2021), and the noise found is taken away from
the picture. Neighbors in time enter each stage as a part of their channels (temporal shift, Lin et al. 2019;
bidirectional streaming, Qi et al. 2022): nothing is warped, the stages align by themselves, and a frame without
neighbors gets no such term, so that a still is the case of one frame. The weights by which neighbors enter a stage
begin at zero: a temporal network starts as the still one that it is trained from (recipes/denoise.py).

`Streamed` works on each frame once, in tiles (inference/streaming.py). One frame depends on as many frames to each side
as there are stages: five as it ships. `Denoiser.change` gives the change alone; the engine adds it to the picture in
float32, so that a bf16 back end does not round the picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.inference import engine, streaming, weights
from answerprint.nets._blocks import ResidualBlock, faint
from answerprint.settings import Settings


class Config(Settings):
    """Everything needed to build the network again."""

    widths: tuple[int, ...] = Field((64, 96, 192), description="Channels at 1/2, 1/4, 1/8 of the picture's size.")
    blocks: tuple[int, ...] = Field(
        (1, 2, 4), description="Residual blocks of each stage going down; the last is the bottom."
    )
    temporal: bool = Field(False, description="Whether neighbor frames are inputs.")
    share: int = Field(4, ge=1, description="One channel in this many is shown to the neighbors.")


class TemporalStage(nn.Module):
    """The blocks at one size; where the network is temporal, channels of the neighbors are added before them."""

    def __init__(self, width: int, blocks: int, shared: int) -> None:
        super().__init__()
        self.shared = shared
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.neighbors: nn.Conv2d | None = None
        if shared:
            self.neighbors = nn.Conv2d(2 * shared, width, 3, padding=1, bias=False)
            nn.init.zeros_(
                self.neighbors.weight
            )  # the still network, exactly, until training finds a use for neighbors

    def forward(self, x: Tensor, before: Tensor | None = None, after: Tensor | None = None) -> Tensor:
        """`before`, `after`: (B, shared, h, w) channels of the neighbor frames at this stage, zeros where none is."""
        if self.neighbors is not None and before is not None and after is not None:
            x = x + self.neighbors(torch.cat((before, after), dim=1))
        out: Tensor = self.blocks(x)
        return out


class Denoiser(nn.Module):
    """Noisy pictures and their noise in, clean pictures out; sizes are multiples of `self.multiple`."""

    multiple = 8

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths, counts = config.widths, config.blocks
        self.stem = nn.Conv2d(25, widths[0], 3, padding=1, bias=False)
        sizes = [*range(len(widths)), *range(len(widths) - 2, -1, -1)]
        self.shared = [widths[i] // config.share if config.temporal else 0 for i in sizes]
        self.stages = nn.ModuleList(
            TemporalStage(widths[i], counts[i], shared) for i, shared in zip(sizes, self.shared, strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2, bias=False) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1, bias=False) for a, b in reversed([*itertools.pairwise(widths)]))
        self.head = nn.Conv2d(widths[0], 12, 3, padding=1, bias=False)
        faint(self.head, 0.1)

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
        return noisy.float() + self.change(noisy, sigma, correlation)

    def change(self, noisy: Tensor, sigma: Tensor, correlation: Tensor) -> Tensor:
        """The change to add to the noisy pictures, of their shape, see `forward`: the negative of the noise."""
        frames = noisy.shape[1] if noisy.ndim == 5 else 1
        x, skips = self.enter(noisy.flatten(0, -4), sigma.flatten(0, -4), correlation.flatten(0, -4)), []
        for index, stage in enumerate(self.stages):
            y = stage(x, *self._neighbor_channels(index, x, frames))
            if index < len(self.down):
                skips.append(y)
                x = self.down[index](y)
            elif index < len(self.stages) - 1:
                x = self.grow(index, y, skips.pop())
        return self.leave(y).reshape(noisy.shape)

    def enter(self, noisy: Tensor, sigma: Tensor, correlation: Tensor) -> Tensor:
        """Frames (B, 3, H, W) with their noise, folded and made ready for the first stage."""
        folded = F.pixel_unshuffle(torch.cat((noisy, sigma), dim=1), 2)
        out: Tensor = self.stem(torch.cat((folded, F.avg_pool2d(correlation, 2)), dim=1))
        return out

    def grow(self, index: int, y: Tensor, skip: Tensor) -> Tensor:
        """Features of a stage on the way up, (B, C, h, w), at twice the size, plus the skip connection of that size."""
        return F.pixel_shuffle(self.up[index - len(self.down)](y), 2) + skip

    def leave(self, y: Tensor) -> Tensor:
        """The change that the last stage calls for, at the picture's size, float32."""
        return -F.pixel_shuffle(self.head(y), 2).float()

    def _neighbor_channels(self, index: int, x: Tensor, frames: int) -> tuple[Tensor | None, Tensor | None]:
        """Channels (B * frames, shared, h, w) of the frames before and after each one; zeros past the ends."""
        shared = self.shared[index]
        if not shared or frames == 1:
            return None, None
        part = x[:, :shared].reshape(-1, frames, shared, *x.shape[-2:])
        nothing = torch.zeros_like(part[:, :1])
        before = torch.cat((nothing, part[:, :-1]), dim=1)
        after = torch.cat((part[:, 1:], nothing), dim=1)
        return before.flatten(0, 1), after.flatten(0, 1)


@dataclass(frozen=True)
class FrameFeatures:
    """A frame on its way through the network.

    Attributes:
        noisy: the picture (B, 3, H, W).
        x: features that the next stage takes, (B, C, h, w).
        skips: features that later stages take.
    """

    noisy: Tensor
    x: Tensor
    skips: tuple[Tensor, ...] = ()


@dataclass
class StageState:
    """Features of the pending frame, and shared channels (B, shared, h, w) of the previous one."""

    current: FrameFeatures | None = None
    before: Tensor | None = None


@dataclass
class DenoiserState:
    """The state of the network within a shot, stage by stage."""

    stages: list[StageState]

    def tensors(self) -> list[Tensor]:
        """All tensors of the state, in a fixed order."""
        tensors_in_order: list[Tensor] = []
        for stage in self.stages:
            if stage.current is not None:
                tensors_in_order += [stage.current.noisy, stage.current.x, *stage.current.skips]
            if stage.before is not None:
                tensors_in_order.append(stage.before)
        return tensors_in_order

    def filled(self, tensors: Iterator[Tensor]) -> DenoiserState:
        """The same with other tensors in place of `tensors()`."""
        stages = []
        for stage in self.stages:
            current = stage.current
            if current is not None:
                noisy, x = next(tensors), next(tensors)
                current = FrameFeatures(noisy, x, tuple(next(tensors) for _ in current.skips))
            stages.append(StageState(current, None if stage.before is None else next(tensors)))
        return DenoiserState(stages)


class Streamed:
    """A denoiser run on one frame after the other; each frame goes through each stage once.

    Stage k works on frame t when frame t + 1 has come out of stage k - 1, so a frame leaves `radius` frames late.
    """

    def __init__(self, network: Denoiser, device: torch.device, backend: engine.Backend | None = None) -> None:
        self.network = network
        self.device = device
        self.enter = self._ready(network.enter, backend)
        self.stages = [self._ready(self._stage(index), backend) for index in range(len(network.stages))]
        self.down = [self._ready(down, backend) for down in network.down]

    def frames(self, frames: Iterator[tuple[Tensor, ...]], tile: int = streaming.TILE) -> Iterator[Tensor]:
        """Clean frames (1, 3, H, W) of any size for (noisy, sigma, correlation), see `Denoiser.forward`.

        Pictures longer or wider than `tile` are worked on in tiles, so that memory does not grow with them.
        """
        return streaming.frames(self, frames, multiple=self.network.multiple, tile=tile)

    def fresh(self) -> DenoiserState:
        """The state before the first frame."""
        return DenoiserState([StageState() for _ in self.stages])

    def push(self, memory: DenoiserState, planes: Sequence[Tensor]) -> Tensor | None:
        """Takes the next frame (B, 3, H, W) with its noise; returns the one that is finished with it, if any."""
        noisy, sigma, reach = planes
        return self._feed(0, memory, FrameFeatures(noisy, self.enter(noisy, sigma, reach)))

    def finish(self, memory: DenoiserState) -> Iterator[Tensor]:
        """The frames that were still on their way when the shot ended."""
        for index, stage in enumerate(memory.stages):
            last, stage.current = stage.current, None
            if last is not None:
                frame_out = self._feed(index + 1, memory, self._advance(index, last, (stage.before, None)))
                if frame_out is not None:
                    yield frame_out

    def _ready(self, work: Callable[..., Tensor], backend: engine.Backend | None) -> engine.Run:
        return engine.ready(engine.Part(self.network, work), self.device, backend)

    def _stage(self, index: int) -> Callable[..., Tensor]:
        """Stage `index`, and on the way up the change of size after it, or the end."""
        network = self.network
        last, bottom = len(network.stages) - 1, len(network.down)

        def work(x: Tensor, *others: Tensor) -> Tensor:
            skip, neighbors = (others[:1], others[1:]) if bottom <= index < last else ((), others)
            y: Tensor = network.stages[index](x, *neighbors)
            if index == last:
                return network.leave(y)
            return network.grow(index, y, *skip) if skip else y

        return work

    def _feed(self, index: int, memory: DenoiserState, coming: FrameFeatures) -> Tensor | None:
        """Hands a frame to stage `index`, and the frame that it releases to the stages after it."""
        if index == len(self.stages):
            return coming.x
        shared, stage = self.network.shared[index], memory.stages[index]
        if not shared:
            return self._feed(index + 1, memory, self._advance(index, coming, ()))
        current, stage.current = stage.current, coming
        if current is None:
            return None
        frame_out = self._advance(index, current, (stage.before, coming.x[:, :shared]))
        # A copy: a view would keep the whole of the frame that has gone on.
        stage.before = current.x[:, :shared].clone()
        return self._feed(index + 1, memory, frame_out)

    def _advance(self, index: int, frame: FrameFeatures, neighbors: tuple[Tensor | None, ...]) -> FrameFeatures:
        zeros = torch.zeros_like(frame.x[:, : self.network.shared[index]])
        features_beside = [zeros if neighbor is None else neighbor for neighbor in neighbors]
        if index < len(self.down):
            y = self.stages[index](frame.x, *features_beside)
            return FrameFeatures(frame.noisy, self.down[index](y), (*frame.skips, y))
        if index == len(self.stages) - 1:
            return FrameFeatures(
                frame.noisy, frame.noisy.to(self.device).float() + self.stages[index](frame.x, *features_beside)
            )
        return FrameFeatures(
            frame.noisy, self.stages[index](frame.x, frame.skips[-1], *features_beside), frame.skips[:-1]
        )


def load(path: Path | None = None) -> Denoiser:
    """The denoiser with trained weights: those at `path`, else a user's own, else those that ship."""
    return weights.network("denoise", Config, Denoiser, path)
