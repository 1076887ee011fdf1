"""Light as a display shows it, from any encoding and back: for HDR, SDR and linear pictures.

Light is relative to diffuse white: 1 is 203 cd/m2 in HDR (BT.2408), and the white of SDR.
"""

from __future__ import annotations

import torch
from torch import Tensor

from answerprint.color import spaces

HDR = ("linear", "smpte2084", "arib-std-b67")
WHITE = 203.0  # cd/m2 of diffuse white (BT.2408)
_PEAK, _SYSTEM_GAMMA = 1000.0, 1.2  # of an HLG display (BT.2100, table 5)
_KNEE = 0.75  # light from which on highlights are rolled off, where they would not fit
_SDR = "iec61966-2-1"


def light(pixels: Tensor, transfer: str) -> Tensor:
    """Light as displayed, of encoded pixels (..., 3, H, W), of the same shape, 1 at diffuse white."""
    if transfer == "linear":
        return pixels
    if transfer == "smpte2084":
        return spaces.decode(pixels, transfer) * (10000 / WHITE)
    if transfer == "arib-std-b67":
        scene = spaces.decode(pixels, transfer)
        luminance = spaces.luma(scene, "bt2020nc").clamp_min(1e-6)
        return scene * luminance ** (_SYSTEM_GAMMA - 1) * (_PEAK / WHITE)
    return spaces.decode(pixels, _SDR)


def encode(display_light: Tensor, transfer: str) -> Tensor:
    """Light as displayed, (..., 3, H, W), encoded: the inverse of `light`; SDR rolls highlights off."""
    if transfer == "linear":
        return display_light
    if transfer == "smpte2084":
        return spaces.encode((display_light * (WHITE / 10000)).clamp(0, 1), transfer)
    if transfer == "arib-std-b67":
        display = (display_light * (WHITE / _PEAK)).clamp(0, 1)
        luminance = spaces.luma(display, "bt2020nc").clamp_min(1e-6)
        return spaces.encode(display * luminance ** (1 / _SYSTEM_GAMMA - 1), transfer)
    if float(torch.nan_to_num(display_light).max()) > 1:
        over = ((display_light - _KNEE) / (1 - _KNEE)).clamp_min(0)
        display_light = torch.where(display_light > _KNEE, _KNEE + (1 - _KNEE) * over / (1 + over), display_light)
    return spaces.encode(display_light.clamp(0, 1), _SDR)


def on_sdr(pixels: Tensor, transfer: str, primaries: str) -> Tensor:
    """HDR and linear pixels (..., 3, H, W) as an sRGB display shows them, encoded so; all others as they are."""
    if transfer not in HDR:
        return pixels
    shown = light(pixels, transfer)
    if primaries != "bt709" and primaries in spaces.PRIMARIES:
        shown = spaces.xyz_to_rgb(spaces.rgb_to_xyz(shown, primaries), "bt709")
    return encode(shown, _SDR)
