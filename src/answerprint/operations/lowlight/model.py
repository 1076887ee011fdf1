"""The models that enhance a small picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from answerprint.color import spaces
from answerprint.inference import engine, weights
from answerprint.nets import mbllen
from answerprint.operations.lowlight import exposure
from answerprint.operations.lowlight.display import display_luma
from answerprint.operations.lowlight.params import Params

Enhance = Callable[[Tensor], Tensor]

_TARGET = 0.45  # mean luma that the classical model aims at, at the most


def load_model(params: Params, device: torch.device) -> Enhance:
    """The function that enhances a small picture (3, h, w), 0..1, to one of the same shape and range.

    Raises:
        WeightsError: the weights of MBLLEN cannot be read.
    """
    if params.model == "illumination":
        return _brighten
    network = _network(params.weights, device)
    return lambda picture: engine.tiled(network, [picture.clamp(0, 1)[None]], multiple=1)[0].cpu().clamp(0, 1)


_network = weights.cached("mbllen", lambda path, device: engine.ready(mbllen.load(path), device))


def _brighten(picture: Tensor) -> Tensor:
    # A night stays darker than a dusk.
    target = min(_TARGET, 0.1 + 2.2 * float(display_luma(picture).mean()))
    return exposure.brighten(picture, target, spaces.LUMA_709)
