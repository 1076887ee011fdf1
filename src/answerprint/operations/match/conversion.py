"""R'G'B' to the space of the transfer and back, on all cores of a CPU."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch
from torch import Tensor

from answerprint.color import fused, spaces
from answerprint.color.program import Program, lab_program, rgb_program

Space = Literal["lab", "lalphabeta"]

# Values in a piece: torch gives work up to this size to one thread, and all that a piece needs stays in its cache.
_PIECE = 32768


def to_space(pixels: Tensor, space: Space) -> Tensor:
    """Display-encoded R'G'B' (3, H, W) in CIELAB or Ruderman's l-alpha-beta."""
    if space == "lab":
        return _by_program(lab_program(), pixels) if pixels.device.type == "cpu" else spaces.rgb_to_lab(pixels)
    return _in_pieces(spaces.rgb_to_lalphabeta, pixels)


def from_space(values: Tensor, space: Space) -> Tensor:
    """The inverse of `to_space`."""
    if space == "lab":
        return _by_program(rgb_program(), values) if values.device.type == "cpu" else spaces.lab_to_rgb(values)
    return _in_pieces(spaces.lalphabeta_to_rgb, values)


def _by_program(program: Program, pixels: Tensor) -> Tensor:
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return fused.run(program, pixels, pool=pool)


def _in_pieces(convert: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """A pointwise function of (3, H, W), piece by piece: at once it takes about twice as long on a CPU (1080p)."""
    if pixels.device.type != "cpu" or pixels.numel() <= _PIECE:
        return convert(pixels)
    pieces = torch.split(pixels.reshape(3, 1, -1), _PIECE // 3, 2)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return torch.cat(list(pool.map(convert, pieces)), 2).view(pixels.shape)
