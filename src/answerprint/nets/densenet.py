"""The paper's DenseNet for denoising: dense blocks, each layer fed by all before it, joined by transitions.

Application of AI in the processing and production of animated images (section "AI"; Huang, Liu, van der Maaten and
Weinberger 2017): batch normalization, rectifier and convolution in a layer; 1x1 convolutions and a halving of size
between blocks.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from answerprint.inference import weights
from answerprint.settings import Settings


class Config(Settings):
    """Everything needed to build the network again."""

    growth: int = Field(24, ge=4, description="Channels that each layer adds.")
    layers: int = Field(4, ge=1, description="Layers of a dense block.")
    width: int = Field(48, ge=4, description="Channels between blocks.")


class DenseBlock(nn.Module):
    """Layers that each see the input and all that the layers before them gave."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        widths = [width + i * config.growth for i in range(config.layers)]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, config.growth, 3, padding=1, bias=False)
            )
            for channels in widths
        )
        self.width = width + config.layers * config.growth

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


def _transition(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(inside), nn.ReLU(), nn.Conv2d(inside, outside, 1, bias=False))


class DenseNet(nn.Module):
    """Noisy pictures (B, 3, H, W) in, clean ones out; sizes are multiples of `multiple`."""

    multiple = 2

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.first, self.second = DenseBlock(width, config), DenseBlock(width, config)
        self.down = nn.Sequential(_transition(self.first.width, width), nn.AvgPool2d(2))
        self.up = nn.Sequential(_transition(self.second.width, width), nn.ConvTranspose2d(width, width, 2, 2))
        self.third = DenseBlock(2 * width, config)
        self.across = _transition(self.first.width, width)
        self.head = nn.Sequential(_transition(self.third.width, width), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, noisy: Tensor) -> Tensor:
        return noisy.float() + self.change(noisy)

    def change(self, noisy: Tensor) -> Tensor:
        """The change to add to the noisy pictures, (B, 3, H, W)."""
        full = self.first(self.stem(noisy))
        half = self.up(self.second(self.down(full)))
        out: Tensor = -self.head(self.third(torch.cat((self.across(full), half), dim=1))).float()
        return out


def load(path: Path | None = None) -> DenseNet:
    """The network with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    return weights.network("densenet", Config, DenseNet, path)
