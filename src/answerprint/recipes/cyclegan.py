"""Trains the paper's CycleGAN: noisy and clean pictures of different things, no pairs.

Noise, optimizer, batches and stopping are those of the paper (recipes/gan.py); judges by least squares (Mao et al.
2017), cycles weighted 10 and identities 5 (Zhu et al. 2017). Short runs learn next to nothing that way: the cleaner
gives weak noise back as it is, for that keeps every cycle. `--pairs 2` raises its PSNR against the clean picture as
well; that is no longer unsupervised.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from answerprint.nets.cyclegan import Config, Discriminators, Generators, draw_chance
from answerprint.recipes import gan
from answerprint.train.data import Library
from answerprint.train.losses import decibels
from answerprint.train.recipe import Batch, Networks, Update, Validation


class Params(gan.Paper):
    """Options of the run."""

    width: int = Field(32, ge=4, description="Channels of the generators at the picture's size.")
    blocks: int = Field(6, ge=1, description="Residual blocks of a generator.")
    judge_width: int = Field(48, ge=4, description="Channels of the discriminators at half the picture's size.")
    pairs: float = Field(0.0, ge=0, description="Weight of the decibels to the clean picture; 0 never shows pairs.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of channels that a discriminator does without.")


SHIPS = "generators.cleaner"
TINY = {"width": 8, "blocks": 1}
CYCLE, IDENTITY = 10.0, 5.0
COARSE = 8  # pixels over which noise averages out


def networks(params: Params) -> Networks:
    config = Config(width=params.width, blocks=params.blocks)
    return {"generators": Generators(config), "discriminators": Discriminators(params.judge_width, params.dropout)}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    """Clean pictures, and others made noisy: without pairs the networks never see the two sides of one picture."""
    clean, other = gan.batch(params, rng, data)["clean"], gan.batch(params, rng, data)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    batch_planes = {"clean": clean, "noisy": other["noisy"].clamp(0, 1)}
    batch_planes |= {"one": draw_chance(clean, generator), "two": draw_chance(clean, generator)}
    return batch_planes | ({"truth": other["clean"], "pairs": torch.tensor(params.pairs)} if params.pairs else {})


def step(nets: Networks, batch: Batch, update: Update) -> None:
    noisy, clean = batch["noisy"], batch["clean"]
    cleaned, noised, noisy_again, clean_again, identity = nets["generators"](noisy, clean, batch["one"], batch["two"])
    judge = nets["discriminators"]
    real, fake = judge(clean, noisy, cleaned.detach(), noised.detach())
    update("discriminators", (real - 1).square().mean() + fake.square().mean())
    judged = (judge(clean, noisy, cleaned, noised)[1] - 1).square().mean()
    # The way back from a cleaned picture ends in another draw of noise: the two are alike in what is larger than noise.
    cycle = F.l1_loss(F.avg_pool2d(noisy_again, COARSE), F.avg_pool2d(noisy, COARSE)) + F.l1_loss(clean_again, clean)
    loss = judged + CYCLE * cycle + IDENTITY * F.l1_loss(identity, clean)
    if "truth" in batch:
        loss = loss + batch["pairs"] * decibels(cleaned, batch["truth"])
    update("generators", loss)


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    generators: torch.nn.Module = nets["generators"]
    return gan.validate_cleaner(generators.get_submodule("cleaner"), params, data)
