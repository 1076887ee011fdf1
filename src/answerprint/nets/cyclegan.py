"""The paper's CycleGAN for denoising: two generators with six residual blocks, noisy to clean and back, and two judges.

Application of AI in the processing and production of animated images (Fig. 4 and 5; Zhu, Park, Isola and Efros 2017).
Batch normalization stands in the place of CycleGAN's instance normalization, whose answer depends on what else is in
the picture, so that tiles of a large picture would differ in brightness.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from answerprint.nets.gan import Discriminator, growing, layer
from answerprint.settings import Settings


class Config(Settings):
    """Everything needed to build a generator again."""

    width: int = Field(32, ge=4, description="Channels at the picture's size; doubled with each halving of it.")
    blocks: int = Field(6, ge=1, description="Residual blocks in the middle.")


class Residual(nn.Module):
    """Two convolutions added to their input, against the degradation of deep networks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.layers = nn.Sequential(layer(width, width), last, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class Generator(nn.Module):
    """Pictures of one kind (B, 3, H, W) in, of the other out; sizes are multiples of `multiple`."""

    multiple = 4

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.before = layer(3, width, 7)
        self.inside = nn.Sequential(
            layer(width, 2 * width, 3, 2),
            layer(2 * width, 4 * width, 3, 2),
            *(Residual(4 * width) for _ in range(config.blocks)),
            growing(4 * width, 2 * width),
            growing(2 * width, width),
        )
        self.after = nn.Conv2d(width, 3, 7, padding=3)

    def forward(self, picture: Tensor) -> Tensor:
        return picture.float() + self.change(picture)

    def change(self, picture: Tensor) -> Tensor:
        """What is to be added to the pictures."""
        features = self.before(picture)
        out: Tensor = self.after(features + self.inside(features)).float()
        return out


class Generators(nn.Module):
    """Noisy to clean and clean to noisy."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.cleaner, self.spoiler = Generator(config), Generator(config)

    def forward(self, noisy: Tensor, clean: Tensor) -> tuple[Tensor, ...]:
        """Cleaned, spoiled; noisy and clean after the round trip; clean and noisy that should have been kept."""
        cleaned, spoiled = self.cleaner(noisy), self.spoiler(clean)
        back = self.spoiler(cleaned), self.cleaner(spoiled)
        return cleaned, spoiled, *back, self.cleaner(clean), self.spoiler(noisy)


class Discriminators(nn.Module):
    """One judge of clean pictures, one of noisy ones."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.clean, self.noisy = Discriminator(width), Discriminator(width)

    def forward(self, clean: Tensor, noisy: Tensor) -> tuple[Tensor, Tensor]:
        return self.clean(clean), self.noisy(noisy)
