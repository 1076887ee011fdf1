"""One grade in plain numbers: names, neutral values, ranges and help of each, and the grade as a function of pixels.

A solver works on a *free vector* instead: it is 0 where the grade is neutral and may be anything, since every bound is
built into the way from it to the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from answerprint.color import grade, lattice

Triple = tuple[float, float, float]
Points = tuple[float, float, float, float, float, float, float]
Transform = Callable[[Tensor], Tensor]

# Ranges of the numbers where a person writes them.
Factor = Annotated[float, Field(ge=0, le=10)]
Power = Annotated[float, Field(gt=0, le=10)]
Signed = Annotated[float, Field(ge=-1, le=1)]
Degrees = Annotated[float, Field(ge=-180, le=180)]
Warmth = Annotated[float, Field(ge=-200, le=200)]

CURVE: Points = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SEVEN = ("brightness", "contrast", "gamma", "hue", "saturation", "temperature")  # sharpness is no matter of color
CDL = ("slope", "offset", "power", "saturation")
CURVES = ("curve_red", "curve_green", "curve_blue")

HELP = {
    "temperature": "Above 0 warmer, below cooler; 100 is about daylight to tungsten.",
    "brightness": "Added to all channels.",
    "slope": "ASC CDL slope of red, green, blue.",
    "offset": "ASC CDL offset of red, green, blue.",
    "power": "ASC CDL power of red, green, blue, above 0.",
    "saturation": "ASC CDL saturation; 0 is gray.",
    "contrast": "Scales the distance from mid gray.",
    "gamma": "Above 1 lifts the midtones; black and white stay.",
    "hue": "Turns all colors, in degrees; grays and luma stay.",
    "curve_red": "Tone curve of red: output at inputs 0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.",
    "curve_green": "Tone curve of green, at the same inputs.",
    "curve_blue": "Tone curve of blue, at the same inputs.",
}


@dataclass(frozen=True)
class Values:
    """One grade as numbers, neutral by default, in the order in which it is applied (`saturation` after `power`).

    Attributes:
        temperature: 0 is neutral; see `grade.white_balance`.
        brightness: added to all channels.
        slope, offset, power, saturation: ASC CDL, per channel but for saturation.
        contrast: factor on the distance from mid gray.
        gamma: above 1 lifts the midtones.
        hue: degrees.
        curve_red, curve_green, curve_blue: outputs of the tone curves at the inputs `CURVE`.
    """

    temperature: float = 0.0
    brightness: float = 0.0
    slope: Triple = (1.0, 1.0, 1.0)
    offset: Triple = (0.0, 0.0, 0.0)
    power: Triple = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 1.0
    gamma: float = 1.0
    hue: float = 0.0
    curve_red: Points = CURVE
    curve_green: Points = CURVE
    curve_blue: Points = CURVE

    @property
    def curved(self) -> bool:
        """True where a tone curve bends."""
        return any(getattr(self, name) != CURVE for name in CURVES)


NAMES = tuple(entry.name for entry in fields(Values))
NEUTRAL = Values()


def to_tensors(values: Values) -> dict[str, Tensor]:
    """Each value as a tensor: () for a number, (3,) for a triple, (7,) for a curve."""
    return {name: torch.tensor(getattr(values, name)) for name in NAMES}


def columns(grades: Sequence[Values]) -> dict[str, tuple[Any, ...]]:
    """Name -> its values in all grades, in order: the keys of a look."""
    return {name: tuple(getattr(each, name) for each in grades) for name in NAMES}


def apply(pixels: Tensor, values: Mapping[str, Tensor]) -> Tensor:
    """Pixels (..., 3, H, W) graded by the values that are named, of the same shape; differentiable in both.

    A value may be one for all, or one per picture of a batch in front.
    """
    if "temperature" in values:
        pixels = grade.white_balance(pixels, values["temperature"])
    if "brightness" in values:
        pixels = grade.brightness(pixels, values["brightness"])
    if values.keys() & {"slope", "offset", "power"}:
        pixels = grade.cdl(pixels, values.get("slope", 1.0), values.get("offset", 0.0), values.get("power", 1.0))
    if "saturation" in values:
        pixels = grade.saturate(pixels, values["saturation"])
    if "contrast" in values:
        pixels = grade.contrast(pixels, values["contrast"])
    if "gamma" in values:
        pixels = grade.gamma(pixels, values["gamma"])
    if "hue" in values:
        pixels = grade.hue(pixels, values["hue"])
    if CURVES[0] in values:
        pixels = curve(pixels, torch.stack([values[name] for name in CURVES], -2))
    return pixels


def curve(pixels: Tensor, outputs: Tensor) -> Tensor:
    """Pixels (..., 3, H, W) through tone curves with `outputs` (..., 3, 7) at the inputs `CURVE`.

    One set of curves for all pictures, or one per picture.
    """
    if outputs.ndim == 2:
        return grade.curve(pixels, CURVE, outputs)
    return torch.stack([grade.curve(p, CURVE, o) for p, o in zip(pixels, outputs, strict=True)])


def transform(values: Values, residual: Tensor | None = None) -> Transform:
    """The grade as a function of pixels (..., 3, H, W).

    Args:
        residual: (n, n, n, 3) that a LUT adds last; see `lattice.residual_cube`.
    """
    # What is neutral costs time and changes nothing; curves go together.
    names = {name for name in NAMES if getattr(values, name) != getattr(NEUTRAL, name)}
    names |= set(CURVES) if names & set(CURVES) else set()
    tensors = {name: tensor for name, tensor in to_tensors(values).items() if name in names}
    cube = lattice.residual_cube(residual) if residual is not None else None

    def grade_pixels(pixels: Tensor) -> Tensor:
        result = apply(pixels, tensors)
        return result if cube is None else cube.apply(result)

    return grade_pixels


# ---- from a free vector to bounded values

_TRIPLES = ("slope", "offset", "power")
_FURTHEST = {
    "temperature": 100.0,
    "brightness": 0.3,
    "slope": 4.0,
    "offset": 0.5,
    "power": 3.0,
    "contrast": 2.0,
    "gamma": 2.5,
    "hue": 60.0,
}
_STEEPEST = 3.0  # a curve is nowhere steeper than this, nor flatter than its inverse: nothing is posterized
_END = 0.15  # how far a curve may move black


def sizes(names: Sequence[str]) -> dict[str, int]:
    """Name -> how many free numbers it has: 1, 3 or 7."""
    return {name: 3 if name in _TRIPLES else len(CURVE) if name in CURVES else 1 for name in names}


def _ends(names: Sequence[str]) -> list[int]:
    """End of each value but the last in a free vector."""
    return list(accumulate(sizes(names).values()))[:-1]


def bound(free: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Values of a free vector (..., n): exactly neutral at zero, in their bounds everywhere.

    Factors (slope, power, contrast, gamma) lie between 1 / furthest and furthest, shifts (offset, brightness, hue,
    temperature) between -furthest and furthest, saturation between 0 and 3, the steepness of curves between 1/3 and 3.

    Returns:
        Name -> (...), (..., 3) or (..., 7).
    """
    result = {}
    parts = torch.tensor_split(free, _ends(names), dim=-1)
    for (name, size), part in zip(sizes(names).items(), parts, strict=True):
        value = _bound(name, part)
        result[name] = value if size > 1 else value[..., 0]
    return result


def _bound(name: str, free: Tensor) -> Tensor:
    if name in CURVES:
        steps = torch.tensor(CURVE, device=free.device).diff() * _STEEPEST ** torch.tanh(free[..., 1:])
        start = _END * torch.tanh(free[..., :1])
        # Falling towards the neutral curve: a sum of the differences of the inputs is not exactly the inputs.
        bends = torch.cat([torch.zeros_like(start), (steps - torch.tensor(CURVE, device=free.device).diff())], -1)
        return torch.tensor(CURVE, device=free.device) + start + bends.cumsum(-1)
    if name == "saturation":
        return 1 + torch.where(free < 0, torch.tanh(free), 2 * torch.tanh(free / 2))
    furthest = _FURTHEST[name]
    if name in ("slope", "power", "contrast", "gamma"):
        return furthest ** torch.tanh(free)
    return furthest * torch.tanh(free)


def to_values(tensors: Mapping[str, Tensor], base: Values = NEUTRAL) -> Values:
    """`base` with the numbers of tensors, rounded to what a person reads; the render uses these, so nothing is lost."""
    numbers: dict[str, float | tuple[float, ...]] = {}
    for name, tensor in tensors.items():
        entries = [round(float(number), 5) for number in tensor.detach().reshape(-1)]
        numbers[name] = tuple(entries) if len(entries) > 1 else entries[0]
    return replace(base, **numbers)  # type: ignore[arg-type]
