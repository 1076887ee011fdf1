"""Trains MBLLEN: crops of photographs and clips made dark by a gamma curve with photon noise, and lifted again.

As Lv, Lu, Wu and Lim (2018) train it: gamma and Poisson noise of peak 200; loss = structure (1 - SSIM at two scales) +
region (L1, the darkest 40 percent of the pixels counted four times, their equation 5) + perceptual (distance of
features, where `perceptual` is above 0: the encoder that ships stands in for VGG-19). The defaults give a network of a
size that a CPU trains and runs; the paper's is `--branches 10 --features 32 --inner 8 --kernel 5 --perceptual 1`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.color import style
from answerprint.nets.look import Encoder, shipped_encoder
from answerprint.nets.mbllen import MBLLEN, Config
from answerprint.train import degrade
from answerprint.train.data import Library, to_pictures
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation


class Params(Training):
    """Options of the run."""

    steps: int = Field(8_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(2e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(4, ge=1, description="Crops a step.")
    crop: int = Field(64, ge=32, description="Side of a crop in pixels.")
    gamma: tuple[float, float] = Field((1.2, 4.0), description="Range of the gamma that makes a crop dark.")
    peak: float = Field(200.0, gt=0, description="Photons of a white pixel: fewer are noisier.")
    dark_weight: float = Field(4.0, ge=0, description="How much more the darkest 40 percent count.")
    perceptual: float = Field(0.0, ge=0, description="Weight of the distance of features.")
    branches: int = Field(5, ge=1, description="Layers of feature extraction, each with its branch.")
    features: int = Field(16, ge=1, description="Channels of a feature layer.")
    inner: int = Field(8, ge=1, description="Channels at the ends of a branch.")
    kernel: int = Field(3, ge=1, le=9, description="Side of the kernels in a branch, odd.")
    validation_samples: int = Field(24, ge=1, description="Crops of a validation.")
    # The network sees small pictures: a crop must hold much of one, for what is dark is told by what is around it.
    scales: tuple[float, ...] = Field((0.15, 0.25), description="Sizes at which each clip is used.")


SHIPS = "mbllen"
TINY = {"branches": 2, "features": 8, "inner": 4}


def networks(params: Params) -> Networks:
    config = Config(branches=params.branches, features=params.features, inner=params.inner, kernel=params.kernel)
    return {"mbllen": MBLLEN(config)}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    bright = torch.stack([to_pictures(data.crop(rng, params.crop))[0] for _ in range(params.batch)])
    dark = torch.stack([_darkened(picture, params, rng) for picture in bright])
    weights = torch.tensor([params.dark_weight, params.perceptual])
    return {"bright": bright, "dark": dark, "weights": weights}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    dark_weight, perceptual = (float(weight) for weight in batch["weights"])
    lifted, bright = nets["mbllen"](batch["dark"]).float(), batch["bright"]
    loss = structure_loss(lifted, bright) + region_loss(lifted, bright, batch["dark"], dark_weight)
    if perceptual:
        loss = loss + perceptual * perceptual_loss(lifted, bright)
    update("mbllen", loss)


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB at gamma 2 and 3, on crops of clips not trained on."""
    rng = np.random.default_rng(0)
    device = next(nets["mbllen"].parameters()).device
    bright = torch.stack([to_pictures(data.crop(rng, params.crop))[0] for _ in range(params.validation_samples)])
    figures: dict[str, float] = {}
    rows = []
    for gamma in (2.0, 3.0):
        dark = torch.stack([degrade.darken(picture, gamma, rng, peak=params.peak) for picture in bright])
        lifted = torch.cat([nets["mbllen"](part.to(device)).cpu() for part in torch.split(dark, 8)]).clamp(0, 1)
        error = (lifted - bright).square().flatten(1).mean(dim=1)
        figures[f"psnr gamma {gamma:g}"] = float((-10 * error.log10()).mean())
        rows += [dark[:8], lifted[:8]]
    return Validation(sum(figures.values()) / 2, figures, [*rows, bright[:8]])


def structure_loss(lifted: Tensor, bright: Tensor) -> Tensor:
    """1 - SSIM, the mean of full and half size (equation 3 and its multi-scale form)."""
    losses = []
    for scale in (1, 2):
        a, b = (F.avg_pool2d(x, scale) if scale > 1 else x for x in (lifted, bright))
        losses.append(1 - style.structure(a.flatten(0, 1)[:, None], b.flatten(0, 1)[:, None]))
    return torch.stack(losses).mean()


def region_loss(lifted: Tensor, bright: Tensor, dark: Tensor, weight: float) -> Tensor:
    """w_L * mean |error| over the darkest 40 percent + mean |error| over the rest (equation 5)."""
    luma = dark.mean(dim=1).flatten(1)
    border = luma.kthvalue(max(int(0.4 * luma.shape[1]), 1), dim=1).values
    low = (luma <= border[:, None]).view(-1, 1, *dark.shape[-2:]).expand_as(lifted)
    error = (lifted - bright).abs()
    count = low.sum().clamp(min=1)
    rest = (~low).sum().clamp(min=1)
    result: Tensor = weight * (error * low).sum() / count + (error * ~low).sum() / rest
    return result


def perceptual_loss(lifted: Tensor, bright: Tensor) -> Tensor:
    """Mean squared distance of the deepest features (equation 4)."""
    encoder = _encoder().to(lifted.device)
    result: Tensor = F.mse_loss(encoder(lifted)[-1], encoder(bright)[-1])
    return result


@cache
def _encoder() -> Encoder:
    return shipped_encoder()


def _darkened(picture: Tensor, params: Params, rng: np.random.Generator) -> Tensor:
    return degrade.darken(picture, rng.uniform(*params.gamma), rng, peak=params.peak)
