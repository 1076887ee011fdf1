"""MBLLEN: lifts pictures taken in little light by many branches, one at each depth of a stack of features.

Multi-branch low-light enhancement network (Lv, Lu, Wu and Lim 2018), as AEPR section 3.3 uses it. The feature
extraction module (FEM) is a stack of convolutions; every layer of it feeds an enhancement module (EM) of its own, a
small network that gives a picture; the fusion module (FM) weighs all those pictures, and the dark one itself, into the
result by a 1x1 convolution. Convolutions keep the size, so pictures of any size go in.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.inference import weights
from answerprint.settings import Settings


class Config(Settings):
    """Everything needed to build the network again; the defaults are the paper's."""

    branches: int = Field(10, ge=1, description="Layers of feature extraction, each with a branch of enhancement.")
    features: int = Field(32, ge=1, description="Channels of a feature layer.")
    inner: int = Field(8, ge=1, description="Channels at the ends of a branch; twice as many in its middle.")
    kernel: int = Field(5, ge=1, description="Side of the kernels in a branch, odd.")


class Enhancement(nn.Module):
    """One branch: features to a picture through convolutions that widen and narrow again."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        inner, wide = config.inner, 2 * config.inner
        self.first = nn.Conv2d(config.features, inner, 3, padding=1)
        widths = (inner, wide, wide, wide, inner, 3)
        self.rest = nn.ModuleList(
            nn.Conv2d(a, b, config.kernel, padding=config.kernel // 2) for a, b in itertools.pairwise(widths)
        )

    def forward(self, features: Tensor) -> Tensor:
        x = F.relu(self.first(features))
        for layer in self.rest[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.rest[-1](x)
        return out


class MBLLEN(nn.Module):
    """Dark pictures (B, 3, H, W) in 0..1 in, enhanced ones out, of any size, not clipped."""

    multiple = 1

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        ends = [3, *([config.features] * config.branches)]
        self.extraction = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(ends))
        self.enhancement = nn.ModuleList(Enhancement(config) for _ in range(config.branches))
        self.fusion = nn.Conv2d(3 * config.branches + 3, 3, 1)
        with torch.no_grad():
            # Begin as the dark picture and what the branches make of it, each with a small say.
            self.fusion.weight.zero_()
            self.fusion.bias.zero_()  # type: ignore[union-attr, unused-ignore]
            for channel in range(3):
                self.fusion.weight[channel, channel] = 1.0
                self.fusion.weight[channel, 3 + channel :: 3] = 1.0 / config.branches

    def forward(self, dark: Tensor) -> Tensor:
        x, pictures = dark, [dark]
        for extract, enhance in zip(self.extraction, self.enhancement, strict=True):
            x = F.relu(extract(x))
            pictures.append(enhance(x))
        out: Tensor = self.fusion(torch.cat(pictures, dim=1))
        return out


def load(path: Path | None = None) -> MBLLEN:
    """MBLLEN with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    return weights.network("mbllen", Config, MBLLEN, path)
