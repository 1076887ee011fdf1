"""Color emotion: how warm, how heavy and how active people find a color, and the moods that ask for it.

Ou, Luo, Woodcock and Wright 2004, "A study of colour emotion and colour preference. Part I: Colour emotions for single
colours" (Color Research and Application 29, 232-240), let British and Chinese observers judge colors and fitted
formulas in CIELAB to it. Part II (29, 292-298) finds that a combination of colors is felt as the mean of its colors;
so is a picture here, as by Solli and Lenz 2011, "Color emotions for multi-colored images". What people feel at a film
comes from far more than its colors: this measures the colors' part only.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from answerprint.errors import SettingsError
from answerprint.text import decode, parse, read_file

SCALES = ("warm", "heavy", "active")
# Deviation of each scale over 188 photographs of landscapes, towns, animals and plants: it makes the three comparable.
SPREAD = (0.37, 0.82, 0.32)


@dataclass(frozen=True)
class Mood:
    """The goal of a word on the three scales, and its source."""

    warm: float
    heavy: float
    active: float
    source: str

    @property
    def target(self) -> tuple[float, float, float]:
        return self.warm, self.heavy, self.active


def warm(lab: Tensor) -> Tensor:
    """Warm (above 0) or cool, of CIELAB (..., 3): -0.5 + 0.02 C^1.07 cos(h - 50 degrees)."""
    chroma, hue = _chroma(lab), torch.atan2(lab[..., 2], lab[..., 1])
    return -0.5 + 0.02 * chroma**1.07 * torch.cos(hue - torch.deg2rad(torch.tensor(50.0)))


def heavy(lab: Tensor) -> Tensor:
    """Heavy (above 0) or light, of CIELAB (..., 3): -2.1 + 0.05 (100 - L)."""
    return -2.1 + 0.05 * (100 - lab[..., 0])


def active(lab: Tensor) -> Tensor:
    """Active (above 0) or passive, of CIELAB (..., 3): -1.1 + 0.03 (C^2 + (L - 50)^2)^0.5."""
    return -1.1 + 0.03 * (_chroma(lab).square() + (lab[..., 0] - 50).square()).clamp_min(1e-12).sqrt()


def emotion(lab: Tensor) -> Tensor:
    """The three scales of a picture, (..., 3): the mean over its colors (..., n, 3)."""
    return torch.stack([scale(lab).mean(-1) for scale in (warm, heavy, active)], -1)


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Distance (...) of two emotions (..., 3), in deviations of photographs."""
    return ((first - second) / torch.tensor(SPREAD)).square().mean(-1).clamp_min(1e-12).sqrt()


def _chroma(lab: Tensor) -> Tensor:
    return lab[..., 1:].square().sum(-1).clamp_min(1e-12).sqrt()


# ---- moods


def moods(path: Path | None = None) -> dict[str, Mood]:
    """The table of moods that ships, and a user's own words over it.

    Raises:
        SettingsError: the file cannot be read, or an entry is wrong.
    """
    shipped = resources.files("answerprint.color").joinpath("moods.toml").read_text(encoding="utf-8")
    shipped_moods = _read(tomllib.loads(shipped), "moods.toml")
    if path is None:
        return shipped_moods
    try:
        own = parse(tomllib.loads, decode(read_file(path)))
    except OSError as error:
        raise SettingsError(f"{path}: the table of moods cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise SettingsError(f"{path}: no TOML ({error})") from None
    return shipped_moods | _read(own, str(path))


def _read(table: Mapping[str, Any], where: str) -> dict[str, Mood]:
    return {name: _mood(name, entry, where) for name, entry in table.items()}


def _mood(name: str, entry: Any, where: str) -> Mood:
    form = f"{where}: mood '{name}' needs warm, heavy and active as numbers, and may have a source"
    if not isinstance(entry, dict) or set(entry) - {*SCALES, "source"} or set(SCALES) - set(entry):
        raise SettingsError(form)
    numbers = [entry[scale] for scale in SCALES]
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
        raise SettingsError(form)
    if not all(abs(number) <= _FARTHEST for number in numbers):
        raise SettingsError(f"{where}: mood '{name}' is beyond {_FARTHEST:g}; colors are felt between about -2 and 3")
    felt = {scale: float(entry[scale]) for scale in SCALES}
    return Mood(**felt, source=str(entry.get("source", "")))


_FARTHEST = 5.0
