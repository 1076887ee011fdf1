"""Trains the paper's standard GAN to take Gaussian and salt-and-pepper noise out of pictures.

Adam at 2e-4 going down, batches of 64, L2 regularization, dropout of 0.5 in the discriminator, early stopping, 100
epochs of the paper's 31,000 pictures: the defaults below. A small machine finishes with `--steps 3000 --batch 8`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.nets.gan import Config, Discriminator, Generator
from answerprint.train import degrade
from answerprint.train.data import Library, to_pictures
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation


class Paper(Training):
    """Settings of the paper for all three of its networks."""

    steps: int = Field(48_400, ge=1, description="Length of the schedule in steps: 100 epochs of 31,000 pictures.")
    rate: float = Field(2e-4, gt=0, le=1, description="Highest learning rate.")
    final_rate: float = Field(0.0, ge=0, le=1, description="Learning rate at the end, as a share of the highest.")
    warm_up: int = Field(0, ge=0, description="Steps over which the learning rate rises from 0.")
    optimizer: Literal["adamw", "adam"] = Field("adam", description="AdamW, or Adam with L2 regularization.")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Momenta of the optimizer.")
    weight_decay: float = Field(1e-5, ge=0, le=1, description="L2 regularization.")
    validate_every: int = Field(4840, ge=1, description="Steps between validations: 10 epochs.")
    patience: int = Field(3, ge=0, description="Validations without progress before stopping early; 0 = never.")
    batch: int = Field(64, ge=1, description="Crops a step.")
    crop: int = Field(64, ge=32, multiple_of=8, description="Side of a crop in pixels.")
    validation_samples: int = Field(32, ge=1, description="Crops of a validation.")
    scales: tuple[float, ...] = Field((0.5, 0.75), description="Sizes at which each clip is used.")


class Params(Paper):
    """Options of the run."""

    width: int = Field(48, ge=4, description="Channels of the generator at the picture's size.")
    depth: int = Field(5, ge=1, description="Layers of the generator at half size.")


SHIPS = "generator"
TINY = {"width": 8, "depth": 1}
FIDELITY = 100.0  # weight of likeness to the clean picture beside the judge's word (Isola et al. 2017)
OUTLIERS = 10.0  # and of the squared difference in it: salt and pepper are few pixels that are far off


def networks(params: Params) -> Networks:
    return {"generator": Generator(Config(width=params.width, depth=params.depth)), "discriminator": Discriminator()}


def batch(params: Paper, rng: np.random.Generator, data: Library) -> Batch:
    clean = torch.stack([to_pictures(data.crop(rng, params.crop))[0] for _ in range(params.batch)])
    noisy = torch.stack([spoil(picture, rng) for picture in clean])
    return {"clean": clean, "noisy": noisy}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    cleaned = nets["generator"](batch["noisy"])
    real, fake = nets["discriminator"](batch["clean"]), nets["discriminator"](cleaned.detach())
    update("discriminator", F.softplus(-real).mean() + F.softplus(fake).mean())
    judged = F.softplus(-nets["discriminator"](cleaned)).mean()
    update("generator", judged + FIDELITY * likeness(cleaned, batch["clean"]))


def likeness(output: Tensor, clean: Tensor) -> Tensor:
    """How far pictures are from the clean ones: absolute differences, and squared ones for outliers."""
    return F.l1_loss(output, clean) + OUTLIERS * F.mse_loss(output, clean)


def spoil(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """The paper's noise: Gaussian of deviation 0.01 to 0.05, or salt and pepper of density 0.01 to 0.05."""
    if rng.random() < 0.5:
        return degrade.gaussian(picture, rng.uniform(0.01, 0.05), rng)
    return degrade.salt_and_pepper(picture, rng.uniform(0.01, 0.05), rng)[0]


def validate(nets: Networks, params: Paper, data: Library) -> Validation:
    """PSNR in dB under the paper's noise at its middle strength, on clips not trained on."""
    return validate_cleaner(nets[SHIPS], params, data)


def validate_cleaner(cleaner: torch.nn.Module, params: Paper, data: Library) -> Validation:
    """The same for any network from noisy to clean."""
    rng = np.random.default_rng(0)
    device = next(cleaner.parameters()).device
    clean = torch.stack([to_pictures(data.crop(rng, 96))[0] for _ in range(params.validation_samples)])
    kinds = {
        "psnr gaussian": degrade.gaussian(clean, 0.03, rng),
        "psnr salt and pepper": degrade.salt_and_pepper(clean, 0.03, rng)[0],
    }
    figures, rows = {}, []
    for name, noisy in kinds.items():
        cleaned = torch.cat([cleaner(part.to(device)).float().cpu() for part in torch.split(noisy, 8)])
        error = (cleaned.clamp(0, 1) - clean).square().flatten(1).mean(dim=1)
        figures[name] = float((-10 * error.log10()).mean())
        rows += [noisy[:8], cleaned[:8]]
    return Validation(sum(figures.values()) / 2, figures, [*rows, clean[:8]])
