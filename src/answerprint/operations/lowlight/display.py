"""HDR and linear pictures as an SDR display shows their diffuse range, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from answerprint.color import display, spaces

# Diffuse white: 203 cd/m2 (BT.2408), and 75 percent of the HLG signal.
_PQ_WHITE = display.WHITE / 10_000
_HLG_WHITE = float(spaces.decode(torch.tensor([0.75]), "arib-std-b67"))


def as_displayed(pixels: Tensor, transfer: str) -> Tensor:
    """HDR and linear pictures (3, H, W) as their diffuse range, 0..1, looks on an SDR display; others unchanged."""
    light = _light(pixels, transfer)
    return pixels if light is None else spaces.encode(light.clamp(min=0), "iec61966-2-1")


def _light(pixels: Tensor, transfer: str) -> Tensor | None:
    """Linear light with diffuse white at 1; None for SDR."""
    if transfer == "linear":
        return pixels
    if transfer == "smpte2084":
        return spaces.decode(pixels, transfer) / _PQ_WHITE
    if transfer == "arib-std-b67":
        return spaces.decode(pixels, transfer) / _HLG_WHITE
    return None


def as_coded(picture: Tensor, transfer: str) -> Tensor:
    """The inverse of `as_displayed`: pictures (3, H, W) in the encoding of `transfer`."""
    white = {"linear": 1.0, "smpte2084": _PQ_WHITE, "arib-std-b67": _HLG_WHITE}.get(transfer)
    if white is None:
        return picture
    light = spaces.decode(picture, "iec61966-2-1") * white
    return light if transfer == "linear" else spaces.encode(light, transfer)


def display_luma(picture: Tensor) -> Tensor:
    """Luma (H, W) in 0..1 of a picture (3, H, W).

    Highlights of HDR count as white, or a lamp would make a night bright.
    """
    return spaces.luma(picture.clamp(0, 1))[0]
