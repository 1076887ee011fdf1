"""The deinterlacer: a small U-Net over five fields that makes the lines the middle one lacks, and nothing else.

It works at the size of a field, four pixels of a line folded into channels, so that a frame costs as little as its
lines allow. Each missing pixel is mixed from the lines beside it in time (what stands still is woven back as it is) and
the lines above and below, by a share that the network gives, plus the detail it sees there. Only the missing lines are
made, as in Zhu et al. 2017 (real-time deep video deinterlacing). The field that is kept is always told as the top one;
a bottom field is turned upside down.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.nets import weights
from answerprint.settings import Settings

FOLD = 4


class Config(Settings):
    """Everything needed to build the network again."""

    widths: tuple[int, ...] = Field((32, 48, 64), description="Channels at 1, 1/2, 1/4 of the folded field's size.")
    down: tuple[int, ...] = Field((1, 1, 1), description="Convolutions of each stage going down.")
    up: tuple[int, ...] = Field((1, 1), description="Convolutions of each stage going up, from the largest size.")


class Stage(nn.Module):
    """Convolutions at one size, each rectified and added to its input."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(count))
        # Begin near the identity: without normalization a stack of full-size branches would not train at this rate.
        with torch.no_grad():
            for step in self.steps:
                step.get_parameter("weight").mul_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = x + F.relu(step(x))
        return x


class Deinterlacer(nn.Module):
    """Five fields in, the missing lines of the middle one out; heights and widths are multiples of `self.multiple`."""

    multiple = 16
    outputs = FOLD + FOLD + 2

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(5 * FOLD + 6, widths[0], 3, padding=1)
        self.falls = nn.ModuleList(Stage(width, count) for width, count in zip(widths, config.down, strict=True))
        self.rises = nn.ModuleList(Stage(width, count) for width, count in zip(widths[:-1], config.up, strict=True))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in itertools.pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in itertools.pairwise(widths))
        self.head = nn.Conv2d(widths[0], self.outputs, 3, padding=1)
        with torch.no_grad():
            self.head.weight.mul_(0.1)

    def forward(self, field: Tensor, before: Tensor, after: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
        """Makes the lines below those of `field`.

        Args:
            field: (B, 3, h, w) R'G'B', the lines 0, 2, ... of a picture.
            before: lines 1, 3, ... one field earlier.
            after: lines 1, 3, ... one field later.
            earlier: lines 0, 2, ... two fields earlier.
            later: lines 0, 2, ... two fields later.

        Returns:
            (B, 3, h, w): lines 1, 3, ... at the moment of `field`.
        """
        center, *others = (_split(part) for part in (field, before, after, earlier, later))
        brightness = torch.cat([center[0], *(other[0] for other in others)], dim=1)
        color = torch.cat([center[1], others[0][1], others[1][1]], dim=1)
        told = torch.cat((_fold(brightness) - 0.5, F.avg_pool2d(color, (1, FOLD))), dim=1)
        share, detail, tint = self._look(told).float().split((FOLD, FOLD, 2), dim=1)
        in_time = (before + after) * 0.5
        in_space = (field + torch.cat((field[..., 1:, :], field[..., -1:, :]), dim=2)) * 0.5
        mixed = in_space + _unfold(torch.sigmoid(share)) * (in_time - in_space)
        return mixed + _joined(_unfold(detail), F.interpolate(tint, scale_factor=(1.0, float(FOLD))))

    def _look(self, told: Tensor) -> Tensor:
        x = F.relu(self.stem(told))
        kept: list[Tensor] = []
        for index, fall in enumerate(self.falls):
            x = fall(x)
            if index < len(self.shrink):
                kept.append(x)
                x = F.relu(self.shrink[index](x))
        for index in reversed(range(len(self.rises))):
            x = self.rises[index](F.relu(F.pixel_shuffle(self.grow[index](x), 2) + kept[index]))
        out: Tensor = self.head(x)
        return out


def _split(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness (B, 1, h, w) and two color differences (B, 2, h, w), after YCgCo (Malvar and Sullivan 2003)."""
    red, green, blue = picture[:, :1], picture[:, 1:2], picture[:, 2:]
    brightness = (red + blue) * 0.25 + green * 0.5
    return brightness, torch.cat((red - brightness, blue - brightness), dim=1)


def _joined(brightness: Tensor, color: Tensor) -> Tensor:
    """R'G'B' again of what `_split` gives."""
    red, blue = color[:, :1], color[:, 1:]
    return brightness + torch.cat((red, (red + blue) * -0.5, blue), dim=1)


def _fold(lines: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C * FOLD, h, w / FOLD)."""
    batch, channels, height, width = lines.shape
    folded = lines.reshape(batch, channels, height, width // FOLD, FOLD).permute(0, 1, 4, 2, 3)
    return folded.reshape(batch, channels * FOLD, height, width // FOLD)


def _unfold(folded: Tensor) -> Tensor:
    """(B, FOLD, h, w / FOLD) to (B, 1, h, w)."""
    batch, _, height, width = folded.shape
    return folded.permute(0, 2, 3, 1).reshape(batch, 1, height, width * FOLD)


def fields(pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `Deinterlacer.forward` wants, of the pictures (..., H, W) of five successive moments, H even."""
    earlier, before, center, after, later = pictures
    return (
        center[..., 0::2, :],
        before[..., 1::2, :],
        after[..., 1::2, :],
        earlier[..., 0::2, :],
        later[..., 0::2, :],
    )


def load(path: Path | None = None) -> Deinterlacer:
    """The deinterlacer with trained weights: those at `path`, else a user's own, else those that ship."""
    kept = weights.load("deinterlace", path)
    network = Deinterlacer(Config.of(kept.config, "Config"))
    weights.fill(network, kept)
    return network
