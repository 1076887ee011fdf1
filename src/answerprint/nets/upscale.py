"""Super-resolution by the exact inverse of the blur, and a network at low resolution for what is left.

The picture is enlarged and made consistent with what it came from (filters/inverse.py): that alone undoes most of a
known blur. Residual blocks see it beside the picture, folded to low resolution, and add what it lacks. Conditions enter
as in the paper ("SFTconcat" blocks: SFT, convolution, SFT, convolution; Wang et al. 2018): the kernel, as principal
components, and the noise scale and shift whole channels; maps of classes, by 1x1 convolutions, do so place by place.
The two are kept apart: the part of the kernel, which is constant over a shot, can be folded into the convolutions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.filters import inverse
from answerprint.filters.inverse import Blur
from answerprint.inference import weights
from answerprint.nets._blocks import faint
from answerprint.settings import Settings

CLASSES = (
    "sky",
    "water",
    "grass",
    "mountain",
    "building",
    "plant",
    "animal",
    "person",
    "face",
    "text",
    "road",
    "other",
)
CODE = 10  # principal components of a kernel
WIDTHS = {2: (0.2, 2.0), 3: (0.2, 3.0), 4: (0.2, 4.0)}  # of the blur in pixels of the large picture, by factor
_DETAIL = 8.0  # what the enlarged picture adds is small beside the picture


class Config(Settings):
    """Everything needed to build the network again."""

    scale: int = Field(4, ge=2, le=4, description="Factor.")
    width: int = Field(48, ge=1, description="Channels.")
    blocks: int = Field(8, ge=1, description="Residual blocks.")
    maps: int = Field(32, ge=0, description="Channels on the side of the classes; 0 takes no classes.")


class Modulation(nn.Module):
    """SFT: scales and shifts channels, by the conditions of the whole picture and by maps of classes."""

    def __init__(self, width: int, maps: int) -> None:
        super().__init__()
        self.whole = nn.Linear(32, 2 * width)
        self.local = nn.Conv2d(maps, 2 * width, 1) if maps else None
        for layer in (self.whole, self.local):
            if layer is not None:
                faint(layer, 0.0)

    def forward(self, x: Tensor, conditions: Tensor, maps: Tensor | None) -> Tensor:
        """x (B, C, H, W) with conditions (B, 32) and maps (B, M, H, W)."""
        change = self.whole(conditions)[..., None, None]
        if self.local is not None and maps is not None:
            change = change + self.local(maps)
        gain, offset = change.chunk(2, dim=1)
        result: Tensor = x * (1 + gain) + offset
        return result


class Block(nn.Module):
    """SFT, convolution, SFT, convolution, added to its input."""

    def __init__(self, width: int, maps: int) -> None:
        super().__init__()
        self.before, self.between = Modulation(width, maps), Modulation(width, maps)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        faint(self.second, 0.2)

    def forward(self, x: Tensor, conditions: Tensor, maps: Tensor | None) -> Tensor:
        inner = F.relu(self.first(self.before(x, conditions, maps)))
        out: Tensor = x + self.second(self.between(inner, conditions, maps))
        return out


class Generator(nn.Module):
    """What an enlarged picture lacks, folded s x s."""

    mean: Tensor
    components: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        planes = 3 * config.scale**2
        self.stem = nn.Conv2d(3 + planes, config.width, 3, padding=1)
        self.conditions = nn.Sequential(nn.Linear(CODE + 1, 64), nn.ReLU(), nn.Linear(64, 32))
        self.classes = nn.Conv2d(len(CLASSES), config.maps, 1) if config.maps else None
        # Classes are coarse: every other block takes them.
        self.blocks = nn.ModuleList(
            Block(config.width, config.maps if number % 2 else 0) for number in range(config.blocks)
        )
        self.head = nn.Conv2d(config.width, planes, 3, padding=1)
        faint(self.head, 0.05)
        self.register_buffer("mean", torch.zeros(2 * inverse.RADIUS + 1, 2 * inverse.RADIUS + 1))
        self.register_buffer("components", torch.zeros(CODE, (2 * inverse.RADIUS + 1) ** 2))

    def planes(self, low: Tensor, enlarged: Tensor) -> Tensor:
        """Input of the network, (B, 3 + 3 s s, H, W); made outside of it, where sums are exact.

        Args:
            low: (B, 3, H, W) in 0..1.
            enlarged: the same enlarged, folded: (B, 3 s s, H, W).
        """
        detail = (enlarged - low.repeat_interleave(self.config.scale**2, dim=1)) * _DETAIL
        return torch.cat((low - 0.5, detail), dim=1)

    def forward(self, planes: Tensor, conditions: Tensor, classes: Tensor | None = None) -> Tensor:
        """What to add to the enlarged picture.

        Args:
            planes: from `planes`.
            conditions: (B, 11, 1, 1) from `condition`.
            classes: (B, 12, H, W), shares of the classes.

        Returns:
            (B, 3 s s, H, W), to be unfolded by `pixel_shuffle`.
        """
        state = self.conditions(conditions.flatten(1))
        maps = None if classes is None or self.classes is None else F.relu(self.classes(classes))
        x = self.stem(planes)
        for block in self.blocks:
            x = block(x, state, maps)
        out: Tensor = self.head(x).float() / _DETAIL
        return out

    def condition(self, blurs: list[Blur], sigmas: list[float]) -> Tensor:
        """The conditions (B, 11, 1, 1) of blurs and of noise of these deviations."""
        kernels = torch.stack([kernel(blur) for blur in blurs]).to(self.mean) - self.mean
        codes = kernels.flatten(1) @ self.components.T
        noise = torch.tensor(sigmas, dtype=codes.dtype, device=codes.device)[:, None] * (255 / 15)
        return torch.cat((codes, noise), dim=1)[..., None, None]


def kernel(blur: Blur) -> Tensor:
    """The Gaussian of a blur, (21, 21) of sum 1."""
    axis = torch.arange(-inverse.RADIUS, inverse.RADIUS + 1, dtype=torch.float64)
    down, across = (torch.exp(-0.5 * (axis / max(width, 1e-3)) ** 2) for width in (blur.down, blur.across))
    return torch.outer(down / down.sum(), across / across.sum()).float()


def fit_components(net: Generator, rng: np.random.Generator, count: int = 4000) -> None:
    """Fits the principal components of kernels, scaled so that codes have a deviation of 1 (IKC, Gu et al. 2019)."""
    low, high = WIDTHS[net.config.scale]
    kernels: list[NDArray[Any]] = []
    for _ in range(count):
        across = rng.uniform(low, high)
        down = across if rng.random() < 0.7 else rng.uniform(low, high)
        kernels.append(kernel(Blur(net.config.scale, across, down)).numpy().ravel())
    data = np.stack(kernels).astype(np.float64)
    mean = data.mean(0)
    _, sizes, axes = np.linalg.svd(data - mean, full_matrices=False)
    scaled = axes[:CODE] / (sizes[:CODE, None] / np.sqrt(count))
    net.mean.copy_(torch.from_numpy(mean).reshape(net.mean.shape))
    net.components.copy_(torch.from_numpy(scaled))


def enlarge(low: Tensor, blur: Blur, sigma: float) -> Tensor:
    """The exact part: a picture (B, 3, H, W) enlarged and made consistent, (B, 3, s H, s W)."""
    alpha = inverse.alpha_of(sigma, blur.scale)
    return inverse.enlarge(low, blur, alpha)


def upscaled(net: Generator, low: Tensor, blur: Blur, sigma: float, classes: Tensor | None = None) -> Tensor:
    """A picture (B, 3, H, W) at `blur.scale` times its size, for noise of deviation `sigma`."""
    large = enlarge(low, blur, sigma)
    conditions = net.condition([blur], [sigma]).expand(len(low), -1, -1, -1)
    change = net(net.planes(low, F.pixel_unshuffle(large, blur.scale)), conditions, classes)
    return large + F.pixel_shuffle(change, blur.scale)


def load(name: str = "upscale4", path: Path | None = None) -> Generator:
    """The network with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    return weights.network(name, Config, Generator, path)
