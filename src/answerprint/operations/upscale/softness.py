"""How soft the pictures of a shot are: the estimate of many pieces of several frames, taken together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color import spaces
from answerprint.inference import weights
from answerprint.nets import softness as nets

FRAMES = 8  # of a shot that are looked at
_PIECE, _PIECES = 64, 4  # pixels along a side, and how many of a frame: those with most detail
# Told a blur that is too wide, the inverse rings; one too narrow leaves the picture a little soft.
_CAUTION = 0.5
_LEAST, _SHARP = 16, 0.3  # pixels along a side of a picture that says nothing, and what is taken to be sharp

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Softness:
    """The blur of a shot's pictures.

    Attributes:
        across: its deviation along lines, in pixels.
        down: the same from line to line.
        unsure: how far these may be off.
        noise: deviation of the noise, in codes of 8 bits.
    """

    across: float
    down: float
    unsure: float
    noise: float


def estimate(pictures: Iterable[Tensor], device: torch.device) -> Softness:
    """The blur of pictures (3, H, W) of a shot, as narrow as it can be believed to be where that is not sure."""
    pieces = [piece for picture in pictures for piece in _pieces(picture)]
    if not pieces or pieces[0].shape[-1] < _LEAST:
        return Softness(_SHARP, _SHARP, _SHARP, 0.0)
    net = _network(None, device)
    with torch.inference_mode():
        stack = torch.stack(pieces).to(device)
        found = nets.both_ways(net, stack)
        for _ in range(nets.CORRECTIONS):
            found = nets.corrected(net, stack, found)
    rows = found.double().cpu().numpy()
    trust = np.exp(-rows[:, 3])
    middle = [_median(column, trust) for column in rows[:, :3].T]
    effective = trust.sum() ** 2 / (trust**2).sum()
    spread = [
        1.2533 * 1.4826 * _median(np.abs(column - center), trust) / max(effective, 1) ** 0.5
        for column, center in zip(rows[:, :2].T, middle, strict=False)
    ]
    unsure = float(np.mean(spread)) + 0.02
    across, down = (float(np.clip(value - _CAUTION * unsure, nets.NARROWEST, nets.WIDEST)) for value in middle[:2])
    return Softness(round(across, 3), round(down, 3), round(unsure, 3), round(max(float(middle[2]) * 15, 0.0), 2))


def _pieces(picture: Tensor) -> list[Tensor]:
    """The pieces of a picture with most detail; the whole picture where it is small."""
    height, width = picture.shape[-2:]
    if min(height, width) < 2 * _PIECE:
        side = min(height, width, _PIECE)
        return [picture[:, (height - side) // 2 :, (width - side) // 2 :][:, :side, :side]]
    luma = spaces.luma(picture)[0]
    energy = (luma[1:, :-1] - luma[:-1, :-1]).square() + (luma[:-1, 1:] - luma[:-1, :-1]).square()
    rows, columns = (height - 1) // _PIECE, (width - 1) // _PIECE
    cells = energy[: rows * _PIECE, : columns * _PIECE].reshape(rows, _PIECE, columns, _PIECE).mean((1, 3)).flatten()
    best = cells.argsort(descending=True)[:_PIECES].tolist()
    return [
        picture[:, top : top + _PIECE, left : left + _PIECE]
        for top, left in ((cell // columns * _PIECE, cell % columns * _PIECE) for cell in best)
    ]


def _median(values: Array, weight: Array) -> float:
    """The weighted median."""
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


_network = weights.cached("softness", lambda path, device: nets.load(path).eval().requires_grad_(False).to(device))
