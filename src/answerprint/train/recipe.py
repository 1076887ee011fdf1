"""The contract of a recipe, which trains one network.

A recipe is a module of `recipes/` with

    class Params(Training): ...                       # every hyper-parameter, on the first screen
    def networks(params) -> dict[str, nn.Module]      # {"generator": ..., "discriminator": ...}
    def batch(params, rng, data) -> dict[str, Tensor] # data: the training clips
    def step(nets, batch, update) -> None             # update("generator", loss): backward, clip, optimizer step, log
    def validate(nets, params, data) -> Validation    # optional; with the averaged weights, on the validation clips

All that is random in step n is drawn from (seed, rank, n), so the number of the step is the whole random state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from answerprint.train.data import Library
from answerprint.train.params import Training

Batch = dict[str, Tensor]
Networks = dict[str, nn.Module]
Update = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class Validation:
    """Result of a recipe on the validation clips.

    Attributes:
        score: higher is better; early stopping and the best weights go by it.
        figures: named numbers for the log.
        rows: pictures for the sheet, each row (N, 3, H, W) in 0..1.
    """

    score: float
    figures: dict[str, float] = field(default_factory=dict)
    rows: Sequence[Tensor] = ()


class Recipe(Protocol):
    """A module of `recipes/`.

    Optional: `validate(nets, params, data) -> Validation`, with the averaged weights on the validation clips; `SHIPS`,
    the network that is exported ("generator"), or a part of one ("generators.cleaner"); `weights_name(params) -> str`,
    where one recipe trains several; `TINY`, options of the smallest run, for tests; `SLOW`, whether tests do not expect
    it to learn in 24 steps.
    """

    __name__: str
    Params: type[Training]

    def networks(self, params: Any) -> Networks: ...

    def batch(self, params: Any, rng: np.random.Generator, data: Library) -> Batch: ...

    def step(self, nets: Networks, batch: Batch, update: Update) -> None: ...


def recipe_name(recipe: Recipe) -> str:
    """Name of the recipe, as its file has it."""
    return recipe.__name__.rpartition(".")[2]


def shipped_network(recipe: Recipe, networks: Networks) -> str:
    """Name of the network that a recipe exports: "generator", or "generators.cleaner", a part of one."""
    return getattr(recipe, "SHIPS", next(iter(networks)))
