"""The paper's standard GAN for denoising: a convolutional generator with batch normalization, and a discriminator.

Application of AI in the processing and production of animated images (section "AI", after Goodfellow et al. 2014). The
paper generates from random noise; to restore a picture the noisy picture stands in its place (conditional GAN, Isola et
al. 2017), and what is generated is the noise to take away.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from torch import Tensor, nn

from answerprint.inference import weights
from answerprint.settings import Settings


class Config(Settings):
    """Everything needed to build the generator again."""

    width: int = Field(48, ge=4, description="Channels at the picture's size; twice as many at half of it.")
    depth: int = Field(5, ge=1, description="Layers at half size.")


def layer(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalization, rectifier."""
    convolution = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.ReLU())


def growing(inside: int, outside: int) -> nn.Sequential:
    """Twice the size: transposed convolution, batch normalization, rectifier."""
    convolution = nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.ReLU())


class Generator(nn.Module):
    """Noisy pictures (B, 3, H, W) in, clean ones out; sizes are multiples of `multiple`."""

    multiple = 2

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.before = nn.Sequential(layer(3, width), layer(width, width))
        middle = [layer(2 * width, 2 * width) for _ in range(config.depth)]
        self.inside = nn.Sequential(layer(width, 2 * width, stride=2), *middle, growing(2 * width, width))
        self.after = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, noisy: Tensor) -> Tensor:
        return noisy.float() + self.change(noisy)

    def change(self, noisy: Tensor) -> Tensor:
        """The change to add to the noisy pictures, (B, 3, H, W)."""
        features = self.before(noisy)
        out: Tensor = -self.after(features + self.inside(features)).float()
        return out


class Discriminator(nn.Module):
    """Says of every patch of 22 x 22 pixels whether it is a real clean picture (logits); dropout as in the paper."""

    def __init__(self, width: int = 48, dropout: float = 0.5, channels: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(dropout),
            nn.Conv2d(2 * width, 1, 4, 1, 1),
        )

    def forward(self, picture: Tensor) -> Tensor:
        out: Tensor = self.layers(picture)
        return out


def load(path: Path | None = None) -> Generator:
    """The generator with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    return weights.network("gan", Config, Generator, path)
