"""Networks that clean one picture at a time and are not told its noise: the paper's three, and other people's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from answerprint import nets
from answerprint.errors import WeightsError
from answerprint.inference import engine, weights

PAPER = ("gan", "densenet", "cyclegan")


def load(name: str, path: Path | None = None) -> nn.Module:
    """One of the paper's networks with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    network: nn.Module = nets.load(name).load(path)
    return network


def read(path: Path) -> nn.Module:
    """The network in a file: one of the paper's in our own form, else whatever spandrel makes of it.

    Raises:
        WeightsError: it cannot be read or trusted, is another kind of network, or gives pictures of another size.
    """
    name = weights.kind(path)
    if name is not None:
        if name not in PAPER:
            raise WeightsError(f"{path}: weights of '{name}', which takes no noise away")
        return load(name, path)
    network = weights.foreign(path)
    if network.scale != 1:
        raise WeightsError(f"{path}: makes pictures {network.scale} times as large; only networks that keep the size")
    return network


def cleaner(network: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function from a picture (3, H, W) of any size to the same without its noise.

    Such networks learned on pictures in 0..1: values outside are not shown to them, and stay.
    """
    run = engine.ready(network, device)
    multiple, least = int(getattr(network, "multiple", 1)), int(getattr(network, "least", 1))

    def clean(picture: Tensor) -> Tensor:
        clamped = picture.clamp(0, 1)
        restored = engine.tiled(run, [clamped[None]], multiple=multiple, least=least)[0].to(picture.device)
        return picture + (restored - clamped)

    return clean
