"""Trains the paper's DenseNet on pairs of noisy and clean pictures.

Noise, optimizer, batches and stopping are those of the paper (recipes/gan.py); the loss is the squared difference.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from torch.nn import functional as F

from answerprint.nets.densenet import Config, DenseNet
from answerprint.recipes import gan
from answerprint.train.data import Library
from answerprint.train.recipe import Batch, Networks, Update, Validation


class Params(gan.Paper):
    """Options of the run."""

    growth: int = Field(24, ge=4, description="Channels that each layer of a dense block adds.")
    layers: int = Field(4, ge=1, description="Layers of a dense block.")


SHIPS = "densenet"
TINY = {"growth": 4, "layers": 2}


def networks(params: Params) -> Networks:
    return {"densenet": DenseNet(Config(growth=params.growth, layers=params.layers))}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    return gan.batch(params, rng, data)


def step(nets: Networks, batch: Batch, update: Update) -> None:
    update("densenet", F.mse_loss(nets["densenet"](batch["noisy"]), batch["clean"]))


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    return gan.validate_cleaner(nets[SHIPS], params, data)
