"""A picture two or four times as large: by the exact inverse of its blur, and a network for what is left."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from answerprint.errors import WeightsError
from answerprint.filters import inverse
from answerprint.filters.inverse import Blur
from answerprint.inference import engine, weights
from answerprint.nets import upscale as nets
from answerprint.operations.upscale.params import Findings, Params

_TILE, _OVERLAP = 384, 32  # pixels of the source
_CLOSE, _TWICE = 1.05, 2.2  # times as large, up to which no network is needed, and one that doubles


# Pixels of blur up to which a picture is sharp, and from which it is soft. What is sharp was not made by a lens alone
# (graphics, sharpened video): undoing a blur rings there. What is soft has true detail beyond its own values.
_SHARP, _SOFT = 0.3, 0.45


class _Ready(NamedTuple):
    net: nets.Generator
    run: engine.Run


class Enlarger(NamedTuple):
    """Makes pictures larger by a whole factor: (3, H, W) to (3, factor * H, factor * W)."""

    factor: int
    enlarge: Callable[[Tensor], Tensor]


def needs_network(ratio: float, params: Params) -> bool:
    """Whether pictures that become so many times as large go through a network."""
    return params.quality != "plain" and ratio > _CLOSE


def enlarger(ratio: float, params: Params, findings: Findings, device: torch.device) -> Enlarger:
    """The enlargement for pictures that become `ratio` times as large, by what was found of a shot.

    Raises:
        WeightsError: the weights are missing, or cannot be trusted.
    """
    if isinstance(params.model, Path):
        return _foreign(params.model, device)
    factor = 2 if ratio <= _TWICE else 4
    return Enlarger(factor, _ours(factor, params, findings, device))


def network_name(factor: int, params: Params) -> str:
    """Name of the weights of a factor."""
    return f"upscale{factor}" + ("-fast" if params.quality == "fast" else "")


def _ours(factor: int, params: Params, findings: Findings, device: torch.device) -> Callable[[Tensor], Tensor]:
    net, run = _kept(network_name(factor, params))(None, device)
    low, high = nets.WIDTHS[factor]
    across, down = (
        min(max(round(width * factor * 40) / 40, low), high)
        for width in (findings.softness_across, findings.softness_down)
    )
    blur, sigma = Blur(factor, across, down), round(findings.noise * 4) / 4 / 255
    conditions = net.condition([blur], [sigma])
    widest = max(findings.softness_across, findings.softness_down)
    calm = min(max((_SOFT - widest) / (_SOFT - _SHARP), 0.0), 1.0)

    def enlarge(picture: Tensor) -> Tensor:
        planes = picture[None].cpu()
        large = nets.enlarge(planes, blur, sigma)
        inputs = net.planes(planes, F.pixel_unshuffle(large, factor))
        change = engine.tiled(
            lambda part: run(part, conditions), [inputs], multiple=1, tile=_TILE, overlap=_OVERLAP
        ).cpu()
        result = (large + F.pixel_shuffle(change, factor))[0]
        return result if calm == 0 else torch.lerp(result, _without_ringing(result, picture.cpu(), factor), calm)

    return enlarge


def _without_ringing(large: Tensor, picture: Tensor, factor: int) -> Tensor:
    """An enlarged picture that goes no further beyond its source around each place than bicubic enlargement does."""
    around = inverse.mirrored(picture[None], 1)
    plain = inverse.cubic(picture[None], factor)[0]
    highest, lowest = F.max_pool2d(around, 3, 1)[0], -F.max_pool2d(-around, 3, 1)[0]
    upper, lower = (each.repeat_interleave(factor, 1).repeat_interleave(factor, 2) for each in (highest, lowest))
    return torch.minimum(torch.maximum(large, torch.minimum(lower, plain)), torch.maximum(upper, plain))


@cache
def _kept(name: str) -> Callable[[Path | None, torch.device], _Ready]:
    return weights.cached(name, lambda path, device: _ready(name, path, device))


def _ready(name: str, path: Path | None, device: torch.device) -> _Ready:
    net = nets.load(name, path).eval().requires_grad_(False)
    return _Ready(net, engine.ready(net, device))


def _foreign(path: Path, device: torch.device) -> Enlarger:
    """Someone else's network: it is given pictures of 0..1, and knows nothing of the shot."""
    network = weights.foreign(path)
    scale: Any = network.scale
    factor = int(scale)
    if factor < 2:
        raise WeightsError(f"{path}: keeps the size of pictures; upscale takes networks that make them larger")
    run = engine.ready(network, device)
    multiple, least = int(getattr(network, "multiple", 1)), int(getattr(network, "least", 1))

    def folded(part: Tensor) -> Tensor:
        return F.pixel_unshuffle(run(part), factor)

    def enlarge(picture: Tensor) -> Tensor:
        planes = engine.tiled(
            folded, [picture[None].clamp(0, 1)], multiple=multiple, least=least, tile=_TILE, overlap=_OVERLAP
        )
        return F.pixel_shuffle(planes, factor)[0].cpu()

    return Enlarger(factor, enlarge)
