"""Trains the paper's CycleGAN: noisy and clean pictures of different things, no pairs.

Noise, optimizer, batches and stopping are those of the paper (recipes/gan.py); judges by least squares (Mao et al.
2017), cycles weighted 10 and identities 5 (Zhu et al. 2017). Short runs learn next to nothing that way: the cleaner
gives weak noise back as it is, for that keeps every cycle. `--pairs 2` holds it to the clean picture as well, as the
standard GAN is; that is no longer unsupervised. With `--no-judged` pairs are all that teaches the cleaner, a third of
the work; a whole run goes on from there (`--begin-with`).
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.errors import TrainingError
from answerprint.nets.cyclegan import Config, Discriminators, Generators, drawn
from answerprint.recipes import gan
from answerprint.train.data import Library
from answerprint.train.loop import Batch, Networks, Update, Validation


class Params(gan.Paper):
    """All that this run can be told."""

    width: int = Field(32, ge=4, description="Channels of the generators at the picture's size.")
    blocks: int = Field(6, ge=1, description="Residual blocks of a generator.")
    judge_width: int = Field(48, ge=4, description="Channels of the discriminators at half the picture's size.")
    pairs: float = Field(0.0, ge=0, description="Weight of likeness to the clean picture; 0 never shows pairs.")
    judged: bool = Field(True, description="Whether judges and cycles have a say; without them pairs are needed.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of channels that a discriminator does without.")


SHIPS = "generators.cleaner"
CYCLE, IDENTITY = 10.0, 5.0
FINE = 1e-6  # mean squared error, at 60 dB, from which on less matters little
COARSE = 8  # pixels over which noise averages out


def networks(params: Params) -> Networks:
    generators = Generators(Config(width=params.width, blocks=params.blocks))
    if not params.judged:
        if not params.pairs:
            raise TrainingError("cyclegan: without judges only pairs are left to learn from: give --pairs 2")
        generators.spoiler.requires_grad_(False)
        return {"generators": generators}
    return {"generators": generators, "discriminators": Discriminators(params.judge_width, params.dropout)}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    """Clean pictures, and others made noisy: without pairs the networks never see the two sides of one picture."""
    if not params.judged:
        paired = gan.batch(params, rng, data)
        noisy, truth = paired["noisy"].clamp(0, 1), paired["clean"]
        return {"noisy": noisy, "clean": truth, "truth": truth, "pairs": torch.tensor(params.pairs)}
    clean, other = gan.batch(params, rng, data)["clean"], gan.batch(params, rng, data)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    made = {"clean": clean, "noisy": other["noisy"].clamp(0, 1)}
    made |= {"one": drawn(clean, generator), "two": drawn(clean, generator)}
    return made | ({"truth": other["clean"], "pairs": torch.tensor(params.pairs)} if params.pairs else {})


def step(nets: Networks, batch: Batch, update: Update) -> None:
    noisy, clean = batch["noisy"], batch["clean"]
    if "one" not in batch:
        cleaned, kept = nets["generators"](noisy, clean)
        update("generators", _unlike(cleaned, batch) + IDENTITY * F.l1_loss(kept, clean))
        return
    cleaned, spoiled, noisy_again, clean_again, kept = nets["generators"](noisy, clean, batch["one"], batch["two"])
    judge = nets["discriminators"]
    real, fake = judge(clean, noisy, cleaned.detach(), spoiled.detach())
    update("discriminators", (real - 1).square().mean() + fake.square().mean())
    judged = (judge(clean, noisy, cleaned, spoiled)[1] - 1).square().mean()
    # The way back from a cleaned picture ends in another draw of noise: the two are alike in what is larger than noise.
    cycle = F.l1_loss(F.avg_pool2d(noisy_again, COARSE), F.avg_pool2d(noisy, COARSE)) + F.l1_loss(clean_again, clean)
    loss = judged + CYCLE * cycle + IDENTITY * F.l1_loss(kept, clean)
    if "truth" in batch:
        loss = loss + _unlike(cleaned, batch)
    update("generators", loss)


def _unlike(cleaned: Tensor, batch: Batch) -> Tensor:
    """How far cleaned pictures are from the truth, as the mean of decibels: weak noise counts as much as strong."""
    error = (cleaned - batch["truth"]).square().mean(dim=(1, 2, 3))
    return batch["pairs"] * (error + FINE).log().mean()


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    generators: torch.nn.Module = nets["generators"]
    return gan.validated(generators.get_submodule("cleaner"), params, data)
