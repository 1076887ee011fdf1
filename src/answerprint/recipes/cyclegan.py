"""Trains the paper's CycleGAN: noisy and clean pictures of different things, no pairs.

Noise, optimizer, batches and stopping are those of the paper (recipes/gan.py); judges by least squares (Mao et al.
2017), cycles weighted 10 and identities 5 (Zhu et al. 2017).
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from answerprint.nets.cyclegan import Config, Discriminators, Generators
from answerprint.recipes import gan
from answerprint.train.data import Library
from answerprint.train.loop import Batch, Networks, Update, Validation


class Params(gan.Paper):
    """All that this run can be told."""

    width: int = Field(32, ge=4, description="Channels of the generators at the picture's size.")
    blocks: int = Field(6, ge=1, description="Residual blocks of a generator.")


SHIPS = "generators.cleaner"
CYCLE, IDENTITY = 10.0, 5.0


def networks(params: Params) -> Networks:
    config = Config(width=params.width, blocks=params.blocks)
    return {"generators": Generators(config), "discriminators": Discriminators(params.width)}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    """Clean pictures, and others made noisy: the network never sees the two sides of one picture."""
    return {"clean": gan.batch(params, rng, data)["clean"], "noisy": gan.batch(params, rng, data)["noisy"]}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    noisy, clean = batch["noisy"], batch["clean"]
    cleaned, spoiled, noisy_again, clean_again, clean_kept, noisy_kept = nets["generators"](noisy, clean)
    judge = nets["discriminators"]
    real, fake = torch.cat(judge(clean, noisy)), torch.cat(judge(cleaned.detach(), spoiled.detach()))
    update("discriminators", (real - 1).square().mean() + fake.square().mean())
    judged = (torch.cat(judge(cleaned, spoiled)) - 1).square().mean()
    cycle = F.l1_loss(noisy_again, noisy) + F.l1_loss(clean_again, clean)
    identity = F.l1_loss(clean_kept, clean) + F.l1_loss(noisy_kept, noisy)
    update("generators", judged + CYCLE * cycle + IDENTITY * identity)


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    generators: torch.nn.Module = nets["generators"]
    return gan.validated(generators.get_submodule("cleaner"), params, data)
