"""Restores what a coder and rounding took from 8-bit 4:2:0 footage: a small network over seven frames as stored.

Planes go in as they were decoded, not as R'G'B': luma folded 2 x 2 beside chroma, so all is at the size of chroma, and
with them the step of the coder's quantizer at every place of every frame: it differs from block to block tenfold and
from picture to picture twofold, and says which of them is to be believed. What is around a pixel and what its neighbors
in time have there is told as differences, in steps of the quantizer. What comes out is the difference to the master,
for luma and for chroma at every pixel, and no larger than rounding and that step allow: limit * tanh(x). Residual
blocks without bias or normalization, as in nets/denoise.py; the neighbors have been laid onto the frame along their
motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.inference import weights
from answerprint.nets._blocks import ResidualBlock, faint
from answerprint.settings import Settings

ROUNDING = 0.5  # of a code
FAR = 4.0  # steps of the quantizer beyond which a difference is that of the picture, or of motion that was missed
FROM_STEP = 0.5  # largest part of a step that a pixel may be off


class Config(Settings):
    """Everything needed to build the network again."""

    width: int = Field(32, ge=1, description="Channels, at half the picture's size.")
    blocks: int = Field(6, ge=1, description="Residual blocks.")
    radius: int = Field(3, ge=0, description="Neighbor frames that are seen on each side.")


class Decoder(nn.Module):
    """Stored planes in, the difference of Y', Cb, Cr to the master out, in codes of 8 bits, both folded 2 x 2."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        frames = 2 * config.radius + 1
        self.stem = nn.Conv2d(7 * frames + 7, config.width, 3, padding=1, bias=False)
        # Every other block looks twice as far: blocks of 8 x 8 and 16 x 16 pixels are seen whole.
        self.blocks = nn.Sequential(*(ResidualBlock(config.width, 1 + i % 2) for i in range(config.blocks)))
        self.head = nn.Conv2d(config.width, 12, 3, padding=1, bias=False)
        faint(self.head, 0.1)

    def forward(self, planes: Tensor, step: Tensor, steps: Tensor) -> Tensor:
        """The difference to the master.

        Args:
            planes: (B, 6 T, H/2, W/2) from `folded`.
            step: (B, 1, H/2, W/2), of the quantizer in codes, mean over the shot; 0 where it is not known.
            steps: (B, T, H/2, W/2), the same of every block of every frame, the frame's own first.

        Returns:
            (B, 12, H/2, W/2): for Y', Cb, Cr in codes; chroma beside the decoder's own. `unfold` spreads it.
        """
        frames = len(steps[0])
        size = planes.shape[-2:]
        luma = planes[:, : 4 * frames].reshape(-1, frames, 4, *size)
        chroma = planes[:, 4 * frames :].reshape(-1, frames, 2, *size)
        each = torch.cat((luma, chroma), dim=2)
        own, others = each[:, 0], each[:, 1:]
        # In steps of the quantizer: what is looked for is about as large as these, and small beside the picture.
        unit = 255 / (step + 1)
        around = own - F.avg_pool2d(own, 5, 1, 2, count_include_pad=False)
        beside = (others - own[:, None]).flatten(1, 2)
        differences = (torch.cat((around, beside), dim=1) * unit).clamp(-FAR, FAR)
        quantizers = torch.cat((torch.log2((steps + 1) / (step + 1)), torch.log2(step + 1)), dim=1) / 4
        x = self.head(self.blocks(self.stem(torch.cat((4 * own - 2, differences, quantizers), dim=1))))
        # In parts of the limit: the same weights serve fine and coarse quantizers.
        # Not of the block's own step: what is only predicted has that of its neighbor, and errors from elsewhere.
        out: Tensor = (ROUNDING + FROM_STEP * step) * torch.tanh(x.float())
        return out


def fold(luma: Tensor, chroma: Tensor) -> Tensor:
    """Input of the network, (B, 6 T, H/2, W/2) in 0..1.

    Args:
        luma: (B, T, H, W) codes of 8 bits, the frame itself first; even sizes.
        chroma: (B, 2 T, H/2, W/2), Cb and Cr of each frame.
    """
    return torch.cat((F.pixel_unshuffle(luma.float(), 2), chroma.float()), dim=1) / 255


def unfold(output: Tensor) -> Tensor:
    """(B, 12, H/2, W/2) of the network as (B, 3, H, W): Y', Cb, Cr."""
    return F.pixel_shuffle(output, 2)


def stack(frames: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
    """Luma (T, H, W) and chroma (2 T, H/2, W/2) of frames that are given as Y, Cb, Cr."""
    luma = torch.stack([planes[0] for planes in frames])
    return luma, torch.stack([plane for planes in frames for plane in planes[1:3]])


def load(path: Path | None = None) -> Decoder:
    """The network with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    return weights.network("bitdepth", Config, Decoder, path)
