"""Trains super-resolution: photographs, and the same blurred, decimated and made noisy by kernels drawn at random.

Kernels are Gaussian, as wide across as down or not, and the network is told them with a small error, because they are
estimated where it is used. The loss is the absolute error of R'G'B' (EDSR, Lim et al. 2017).
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint import arrays
from answerprint.color import spaces
from answerprint.filters import inverse
from answerprint.filters.inverse import Blur
from answerprint.nets.upscale import WIDTHS, Config, Generator, enlarge, fit_components, upscaled
from answerprint.train.data import Library
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation

SHIPS = "generator"
SLOW = True  # beside the exact inverse there is little to learn in 24 steps
TINY = {"width": 8, "blocks": 2, "crop": 16}


class Params(Training):
    """Options of the run."""

    steps: int = Field(40_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(16, ge=1, description="Crops a step.")
    crop: int = Field(48, ge=8, description="Side of a crop of low resolution in pixels.")
    scale: int = Field(4, ge=2, le=4, description="Factor.")
    width: int = Field(48, ge=1, description="Channels.")
    blocks: int = Field(8, ge=1, description="Residual blocks.")
    noise: float = Field(15.0, ge=0, le=100, description="Highest deviation of noise, in codes of 8 bits.")
    noise_share: float = Field(0.5, ge=0, le=1, description="Share of crops with noise.")
    uneven: float = Field(0.3, ge=0, le=1, description="Share of crops whose blur is not as wide across as down.")
    told_error: float = Field(0.1, ge=0, le=1, description="Deviation of the width that is told, in pixels.")
    squared: bool = Field(False, description="The squared error, in the last part of a training.")
    validation_samples: int = Field(24, ge=1, description="Pictures of a validation.")
    scales: tuple[float, ...] = Field((1.0, 0.5), description="Sizes at which each picture is used.")


def weights_name(params: Params) -> str:
    """Name of the weights: by factor and size."""
    fast = Config(scale=params.scale).width > params.width
    return f"upscale{params.scale}" + ("-fast" if fast else "")


def networks(params: Params) -> Networks:
    net = Generator(Config(scale=params.scale, width=params.width, blocks=params.blocks))
    fit_components(net, np.random.default_rng(0))
    return {"generator": net}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    rows = [_sample(params, rng, data) for _ in range(params.batch)]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    net = nets["generator"]
    plain = cast(Generator, getattr(net, "module", net))
    told = batch["told"].tolist()
    scale = plain.config.scale
    conditions = plain.condition([Blur(scale, across, down) for across, down, _ in told], [one[2] for one in told])
    change = net(plain.planes(batch["low"], batch["enlarged"]), conditions)
    error = batch["lack"] - change
    update("generator", error.square().mean() if bool(batch["squared"][0]) else error.abs().mean())


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB of luma over eight widths, on pictures not trained on: the network told the truth, and without it."""
    net = cast(Generator, nets["generator"])
    device = next(net.parameters()).device
    low_width, high_width = (0.45 * params.scale, 0.8 * params.scale)
    figures: dict[str, list[float]] = {"psnr": [], "exact": []}
    for number in range(params.validation_samples):
        rng = np.random.default_rng(number)
        clip = data.clips[number % len(data.clips)]
        size = 4 * params.crop // params.scale * params.scale
        picture = _high(Library((clip,)).crop(rng, size)).to(device)
        blur = Blur(params.scale, *([low_width + (high_width - low_width) * (number % 8) / 7] * 2))
        low = _coded(inverse.lower(picture[None], blur))
        for name, result in (("psnr", upscaled(net, low, blur, 0)), ("exact", enlarge(low, blur, 0))):
            figures[name].append(_decibels(result[0], picture, params.scale))
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    return Validation(means["psnr"], means | {"gain": means["psnr"] - means["exact"]})


# ---- samples


def _sample(params: Params, rng: np.random.Generator, data: Library) -> dict[str, Tensor]:
    scale = params.scale
    picture = _high(data.crop(rng, params.crop * scale))
    # Pixels at multiples of a fortieth: banks of filters are kept and found again.
    across, down = (round(rng.uniform(*WIDTHS[scale]) * 20) / 20 for _ in range(2))
    blur = Blur(scale, across, down if rng.random() < params.uneven else across)
    sigma = round(rng.uniform(0, params.noise)) / 255 if rng.random() < params.noise_share else 0.0
    low = inverse.lower(picture[None], blur)
    low = low + torch.from_numpy(rng.standard_normal(low.shape, np.float32)) * sigma
    if rng.random() < 0.5:
        low = _coded(low)
    told = _told(blur, params.told_error, rng)
    large = enlarge(low, told, sigma)
    folded, true = (F.pixel_unshuffle(each, scale)[0] for each in (large, picture[None]))
    return {
        "low": low[0],
        "enlarged": folded,
        "lack": true - folded,
        "told": torch.tensor((told.across, told.down, sigma), dtype=torch.float64),
        "squared": torch.tensor(params.squared),
    }


def _told(blur: Blur, error: float, rng: np.random.Generator) -> Blur:
    """The blur as it may be estimated: half of the time with an error."""
    low, high = WIDTHS[blur.scale]
    off = rng.normal(0, error, 2) if rng.random() < 0.5 else np.zeros(2)
    if blur.across == blur.down:
        off[1] = off[0]
    widths = [
        float(np.clip(round((w + o) * 20) / 20, low, high)) for w, o in zip((blur.across, blur.down), off, strict=True)
    ]
    return Blur(blur.scale, *widths)


def _high(piece: Any) -> Tensor:
    return arrays.from_codes(piece[0])


def _coded(low: Tensor) -> Tensor:
    """Rounded to codes of 8 bits."""
    return (low.clamp(0, 1) * 255).round() / 255


def _decibels(result: Tensor, truth: Tensor, border: int) -> float:
    luma = [spaces.luma(each.clamp(0, 1))[..., border:-border, border:-border] for each in (result, truth)]
    return -10 * float(torch.log10((luma[0] - luma[1]).square().mean().clamp_min(1e-9)))
