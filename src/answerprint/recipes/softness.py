"""Trains the estimate of a picture's blur: photographs blurred, decimated and made noisy by known amounts.

Predictor and corrector learn together: the corrector from estimates that are off by a random error, and from the
predictor's own. The loss is the likelihood of the width under a Laplace density whose spread is estimated, too, so that
a flat sky says that it does not know.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from answerprint import arrays
from answerprint.filters import inverse
from answerprint.filters.inverse import Blur
from answerprint.nets.softness import NARROWEST, STEP, WIDEST, Config, Estimator, both_ways, corrected
from answerprint.train.data import Library
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation

SHIPS = "estimator"
SLOW = True  # widths of so few pictures are guessed
TINY = {"width": 8, "crop": 16}


class Params(Training):
    """Options of the run."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(16, ge=1, description="Crops a step.")
    crop: int = Field(64, ge=16, description="Side of a crop of low resolution in pixels.")
    factors: tuple[int, ...] = Field((2, 4), description="Factors of the decimation.")
    width: int = Field(32, ge=1, description="Channels.")
    noise: float = Field(15.0, ge=0, le=100, description="Highest deviation of noise, in codes of 8 bits.")
    noise_share: float = Field(0.5, ge=0, le=1, description="Share of crops with noise.")
    uneven: float = Field(0.4, ge=0, le=1, description="Share of crops whose blur is not as wide across as down.")
    validation_samples: int = Field(48, ge=1, description="Pictures of a validation.")
    scales: tuple[float, ...] = Field((0.5,), description="Sizes at which each picture is used.")


def networks(params: Params) -> Networks:
    return {"estimator": Estimator(Config(width=params.width))}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    rows = [_sample(params, rng, data) for _ in range(params.batch)]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    net = cast(Estimator, getattr(nets["estimator"], "module", nets["estimator"]))
    low, truth = batch["low"], batch["truth"]
    first = both_ways(net, low)
    with torch.no_grad():
        # Seven corrections follow each other where it is used: it must not run away from the truth.
        again = corrected(net, low, first.detach())
        later = torch.where(batch["later"][:, None], again, first.detach())
    start = torch.where(batch["own"][:, None], later, batch["start"])
    second = corrected(net, low, start)
    update("estimator", _loss(first, truth) + _loss(second, truth))


def _loss(estimate: Tensor, truth: Tensor) -> Tensor:
    """Negative log density of the widths, and the error of the noise."""
    error = (estimate[:, :2] - truth[:, :2]).abs()
    spread = estimate[:, 3:4]
    return (error * torch.exp(-spread) + spread).mean() + (estimate[:, 2] - truth[:, 2]).abs().mean()


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """Mean error of widths, in pixels of a picture four times as large: predicted, and after each correction."""
    net = cast(Estimator, nets["estimator"])
    device = next(net.parameters()).device
    errors: list[list[float]] = []
    for number in range(params.validation_samples):
        rng = np.random.default_rng(number)
        clip = data.clips[number % len(data.clips)]
        width = 0.45 + 0.35 * (number % 8) / 7
        low, _ = _lowered(Library((clip,)), rng, params, (width, width), 0.0)
        estimate = both_ways(net, low[None].to(device))
        row = []
        for turn in range(5):
            row.append(4 * float((estimate[0, :2] - width).abs().mean()))
            estimate = corrected(net, low[None].to(device), estimate) if turn < 4 else estimate
        errors.append(row)
    means = np.mean(errors, axis=0)
    return Validation(-float(means[-1]), {f"error {turn}": float(value) for turn, value in enumerate(means)})


# ---- samples


def _sample(params: Params, rng: np.random.Generator, data: Library) -> dict[str, Tensor]:
    # Twice as fine as the corrector knows them.
    across, down = (round(width * 2 * STEP) / (2 * STEP) for width in rng.uniform(NARROWEST, WIDEST, 2).tolist())
    sigma = rng.uniform(0, params.noise) / 255 if rng.random() < params.noise_share else 0.0
    widths = (across, down if rng.random() < params.uneven else across)
    low, truth = _lowered(data, rng, params, widths, sigma)
    off = rng.normal(0, rng.uniform(0.02, 0.2), 2)
    start = truth + torch.tensor((*off, rng.normal(0, 0.1), 0), dtype=torch.float32)
    return {
        "low": low,
        "truth": truth,
        "start": start,
        "own": torch.tensor(rng.random() < 0.7),
        "later": torch.tensor(rng.random() < 0.6),
    }


def _lowered(
    data: Library, rng: np.random.Generator, params: Params, widths: tuple[float, float], sigma: float
) -> tuple[Tensor, Tensor]:
    """A crop (3, H, W) of low resolution in codes of 8 bits, and the truth (4): widths, noise, 0."""
    factor = int(rng.choice(params.factors))
    picture = arrays.from_codes(data.crop(rng, params.crop * factor)[0])
    low = inverse.lower(picture, Blur(factor, factor * widths[0], factor * widths[1]))
    low = low + torch.from_numpy(rng.standard_normal(low.shape, np.float32)) * sigma
    truth = torch.tensor((*widths, sigma * 17, 0), dtype=torch.float32)
    return (low.clamp(0, 1) * 255).round() / 255, truth
