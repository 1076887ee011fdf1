"""The paper's CycleGAN for denoising: two generators with six residual blocks, noisy to clean and back, and two judges.

Application of AI in the processing and production of animated images (Fig. 4 and 5; Zhu, Park, Isola and Efros 2017).
Batch normalization stands in the place of CycleGAN's instance normalization, whose answer depends on what else is in
the picture, so that tiles of a large picture would differ in brightness. The generator that makes noise is given chance
to make it of (augmented CycleGAN, Almahairi et al. 2018): a picture has one clean side but many noisy ones, and without
it the cleaner had to hide in its result where the noise was, for the other to put it back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.inference import weights
from answerprint.nets._blocks import faint
from answerprint.nets.gan import Discriminator, growing, layer
from answerprint.settings import Settings


class Config(Settings):
    """Everything needed to build a generator again."""

    width: int = Field(32, ge=4, description="Channels at the picture's size; doubled with each halving of it.")
    blocks: int = Field(6, ge=1, description="Residual blocks in the middle.")
    chance: int = Field(0, ge=0, description="Channels of chance beside the picture's three, to make noise of.")


class Residual(nn.Module):
    """Two convolutions added to their input, against the degradation of deep networks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.layers = nn.Sequential(layer(width, width), last, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class CycleGenerator(nn.Module):
    """Pictures of one kind (B, 3, H, W) in, of the other out; sizes are multiples of `multiple`."""

    multiple = 4

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.before = layer(3 + config.chance, width, 7)
        _see_detail(self.before)
        self.inside = nn.Sequential(
            layer(width, 2 * width, 3, 2),
            layer(2 * width, 4 * width, 3, 2),
            *(Residual(4 * width) for _ in range(config.blocks)),
            growing(4 * width, 2 * width),
            growing(2 * width, width),
        )
        self.after = nn.Conv2d(width, 3, 7, padding=3)
        # Begin near the identity: while pictures are far off, judges learn to tell them by that alone.
        faint(self.after, 0.1)

    def forward(self, picture: Tensor) -> Tensor:
        return picture.float() + self.change(picture)

    def change(self, picture: Tensor) -> Tensor:
        """The change to add to the pictures, (B, 3, H, W)."""
        features = self.before(picture)
        out: Tensor = self.after(features + self.inside(features)).float()
        return out


def _see_detail(first: nn.Module) -> None:
    """Two thirds of the first filters begin blind to what is larger than three pixels.

    Noise of the paper's strength is a tenth of what pictures vary by: filters drawn at random hardly see it, and
    normalization makes the picture that they see no smaller. (0.6 dB of Gaussian noise after the same 300 steps.)
    """
    with torch.no_grad():
        filters = first.get_parameter("0.weight")
        seeing = filters[: 2 * len(filters) // 3]
        seeing -= F.avg_pool2d(seeing, 3, 1, 1)


class Generators(nn.Module):
    """Noisy to clean and clean to noisy.

    Chance is a channel that is one number all over a picture, for which noise it will have, then for every pixel one
    that is 0 but in few places and three of unit deviation.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.cleaner = CycleGenerator(config)
        self.spoiler = CycleGenerator(config.model_copy(update={"chance": CHANCE}))

    def forward(self, noisy: Tensor, clean: Tensor, *chance: Tensor) -> tuple[Tensor, ...]:
        """Cleaned, spoiled; noisy and clean after the round trip; clean that should have been kept.

        Args:
            noisy: (B, 3, H, W).
            clean: (B, 3, H, W), of other things.
            chance: two of (B, CHANCE, H, W), from `drawn`.
        """
        spoiled = self.spoil(clean, chance[0])
        # In one batch: normalized each on its own, noisy and clean pictures would lose what tells them apart.
        cleaned, clean_again, identity = self.cleaner(torch.cat((noisy, spoiled, clean))).chunk(3)
        return cleaned, spoiled, self.spoil(cleaned, chance[1]), clean_again, identity

    def spoil(self, clean: Tensor, chance: Tensor) -> Tensor:
        """Pictures with noise made of chance."""
        noisy: Tensor = clean.float() + self.spoiler.change(torch.cat((clean, chance), dim=1))
        bounded: Tensor = Bounded.apply(noisy)  # type: ignore[no-untyped-call]  # torch says nothing of its type
        return bounded


class Bounded(torch.autograd.Function):
    """Values brought into 0..1; those outside still learn to come back, but not to go on."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        ctx.save_for_backward(value)
        return value.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (value,) = ctx.saved_tensors
        outward = ((value > 1) & (gradient < 0)) | ((value < 0) & (gradient > 0))
        return gradient.masked_fill(outward, 0)


CHANCE = 5
RARE = 0.06  # share of pixels in which the rare channel is not 0, but 1/2 to 1 or -1 to -1/2


def draw_chance(like: Tensor, generator: torch.Generator) -> Tensor:
    """Chance for pictures (B, 3, H, W): (B, CHANCE, H, W)."""
    count, _, height, width = like.shape
    kind = torch.rand(count, 1, 1, 1, generator=generator).expand(-1, 1, height, width)
    rank = 2 * torch.rand(count, 1, height, width, generator=generator) - 1
    # Of a uniform draw a network learns only slowly to take the outermost few percent: rare events are drawn as such.
    rare = rank.sign() * (1 - rank.abs() / (2 * RARE)) * (rank.abs() < RARE)
    return torch.cat((kind, rare, torch.randn(count, CHANCE - 2, height, width, generator=generator)), dim=1)


class Discriminators(nn.Module):
    """One judge of clean pictures, one of noisy ones."""

    def __init__(self, width: int = 48, dropout: float = 0.5) -> None:
        super().__init__()
        self.clean, self.noisy = (Discriminator(width, dropout, channels=9) for _ in range(2))

    def forward(self, clean: Tensor, noisy: Tensor, cleaned: Tensor, spoiled: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of real and of generated pictures, each of both kinds.

        Real and made go in together: batch normalization would take from a batch of one sort how strong its noise is.
        """
        count = len(clean)
        of_clean = self.clean(_with_detail(torch.cat((clean, cleaned))))
        of_noisy = self.noisy(_with_detail(torch.cat((noisy, spoiled))))
        return torch.cat((of_clean[:count], of_noisy[:count])), torch.cat((of_clean[count:], of_noisy[count:]))


def _with_detail(picture: Tensor) -> Tensor:
    """Beside a picture, how each pixel differs from those around it, and the square of that: (B, 9, H, W).

    Noise is told by its energy, which convolutions and rectifiers learn only slowly.
    """
    around = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), "reflect"), 3, 1)
    detail = 9 / 8 * (picture - around)
    return torch.cat((picture, detail, 10 * detail.square()), dim=1)


def load(path: Path | None = None) -> CycleGenerator:
    """The generator with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    return weights.network("cyclegan", Config, CycleGenerator, path)
