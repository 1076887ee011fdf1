"""What a coder and rounding took from 8-bit 4:2:0 footage, estimated by a small network from three frames as stored.

Planes go in as they were decoded, not as R'G'B': luma folded 2 x 2 beside chroma, so all is at the size of chroma, and
with them the step of the coder's quantizer. What comes out is the difference to the master, for luma and for chroma at
every pixel, and no larger than rounding and that step allow: limit * tanh(raw / limit). Residual blocks without bias or
normalization, as in nets/denoise.py; the neighbors are seen as they are, unaligned.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.nets import weights
from answerprint.nets.blocks import ResidualBlock
from answerprint.settings import Settings

ROUNDING = 0.5  # of a code
FROM_STEP = 0.5  # largest part of a step that a pixel may be off


class Config(Settings):
    """Everything needed to build the network again."""

    width: int = Field(32, ge=1, description="Channels, at half the picture's size.")
    blocks: int = Field(6, ge=1, description="Residual blocks.")
    radius: int = Field(1, ge=0, description="Neighbor frames that are seen on each side.")


class Decoder(nn.Module):
    """Stored planes in, the difference of Y', Cb, Cr to the master out, in codes of 8 bits; even sizes."""

    multiple = 2

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        frames = 2 * config.radius + 1
        self.stem = nn.Conv2d(6 * frames + 1, config.width, 3, padding=1, bias=False)
        # Every other block looks twice as far: blocks of 8 x 8 and 16 x 16 pixels are seen whole.
        self.blocks = nn.Sequential(*(ResidualBlock(config.width, 1 + i % 2) for i in range(config.blocks)))
        self.head = nn.Conv2d(config.width, 12, 3, padding=1, bias=False)
        with torch.no_grad():
            self.head.weight.mul_(0.05)

    def forward(self, luma: Tensor, chroma: Tensor, step: Tensor) -> Tensor:
        """The difference to the master.

        Args:
            luma: (B, T, H, W) in codes over 255, the frame itself in the middle of T = 2 radius + 1.
            chroma: (B, 2 T, H/2, W/2), Cb and Cr of each frame, in codes over 255.
            step: (B, 1, 1, 1), of the quantizer in codes; 0 where it is not known.

        Returns:
            (B, 3, H, W): for Y', Cb, Cr in codes; chroma beside linear interpolation.
        """
        folded = torch.cat((F.pixel_unshuffle(luma, 2), chroma), dim=1) - 0.5
        told = (torch.log2(step + 1) / 8).expand(-1, 1, *chroma.shape[-2:])
        x = self.head(self.blocks(self.stem(torch.cat((folded, told), dim=1))))
        limit = ROUNDING + FROM_STEP * step
        raw = 255 * F.pixel_shuffle(x, 2).float()
        out: Tensor = limit * torch.tanh(raw / limit)
        return out


def load(path: Path | None = None) -> Decoder:
    """The network with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    kept = weights.load("bitdepth", path)
    network = Decoder(Config.of(kept.config, "Config"))
    weights.fill(network, kept)
    return network
