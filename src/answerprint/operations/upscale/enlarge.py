"""A picture two or four times as large: by the exact inverse of its blur, and a network for what is left."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from answerprint.filters.inverse import Blur
from answerprint.inference import engine, weights
from answerprint.nets import upscale as nets
from answerprint.operations.upscale.params import Findings, Params

Enlarge = Callable[[Tensor], Tensor]
_TILE, _OVERLAP = 384, 32  # pixels of the source
_CLOSE = 1.05  # times as large: no network is needed for less


class _Ready(NamedTuple):
    net: nets.Generator
    run: engine.Run


def factor_for(ratio: float) -> int:
    """By how much pictures are enlarged before they are brought to their size: 1, 2 or 4."""
    if ratio <= _CLOSE:
        return 1
    return 2 if ratio <= 2.2 else 4


def network_name(factor: int, params: Params) -> str:
    """Name of the weights of a factor."""
    return f"upscale{factor}" + ("-fast" if params.quality == "fast" else "")


def enlarger(factor: int, params: Params, findings: Findings, device: torch.device) -> Enlarge:
    """Enlarges pictures (3, H, W) by a factor of 2 or 4, by what was found of a shot.

    Raises:
        WeightsError: the weights are missing, or cannot be trusted.
    """
    net, run = _network(network_name(factor, params), params.weights, device)
    low, high = nets.WIDTHS[factor]
    across, down = (
        min(max(round(width * factor * 40) / 40, low), high)
        for width in (findings.softness_across, findings.softness_down)
    )
    blur, sigma = Blur(factor, across, down), round(findings.noise * 4) / 4 / 255
    conditions = net.condition([blur], [sigma])

    def enlarge(picture: Tensor) -> Tensor:
        planes = picture[None].cpu()
        large = nets.enlarge(planes, blur, sigma)
        inputs = net.planes(planes, F.pixel_unshuffle(large, factor))
        change = engine.tiled(
            lambda part: run(part, conditions), [inputs], multiple=1, tile=_TILE, overlap=_OVERLAP
        ).cpu()
        return (large + F.pixel_shuffle(change, factor))[0]

    return enlarge


def _network(name: str, path: Path | None, device: torch.device) -> _Ready:
    return _kept(name)(path, device)


@cache
def _kept(name: str) -> Callable[[Path | None, torch.device], _Ready]:
    return weights.cached(name, lambda path, device: _ready(name, path, device))


def _ready(name: str, path: Path | None, device: torch.device) -> _Ready:
    net = nets.load(name, path).eval().requires_grad_(False)
    return _Ready(net, engine.ready(net, device))
