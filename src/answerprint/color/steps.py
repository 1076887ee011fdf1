"""A grade as steps in their order: affine steps, powers and tone curves, then a LUT.

What the functions of `grade.py` do one by one is brought to few steps here; neighboring affine steps become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color import cdl, grade, program, spaces
from answerprint.color.lut import Cube, Curves

Matrix = NDArray[np.float64]
GradeStep = tuple[str, Matrix]  # "affine" (3, 4); "power" or "mirrored power" (3,); "tone curves" (4, n)


@dataclass(frozen=True, eq=False)
class GradeSteps:
    """Steps in their order, then a LUT.

    Attributes:
        steps: "affine" with matrix and offset (3, 4), "power" or "mirrored power" with exponents (3,), "tone curves"
            with the inputs and the outputs of each channel (4, n).
        lut: applied last.
    """

    steps: tuple[GradeStep, ...]
    lut: Cube | Curves | None = None

    @property
    def empty(self) -> bool:
        """True where they change nothing."""
        return not self.steps and self.lut is None

    @cached_property
    def program(self) -> program.Program:
        """The steps for the fused kernel."""
        base = self.lut.program() if self.lut is not None else program.Program()
        return base.after([_for_kernel(kind, values) for kind, values in self.steps])

    def apply(self, pixels: Tensor) -> Tensor:
        """The grade of pixels (3, H, W) in torch, on any device."""
        for kind, values in self.steps:
            numbers = torch.from_numpy(values).to(pixels)
            if kind == "affine":
                pixels = torch.einsum("ij,jhw->ihw", numbers[:, :3], pixels) + numbers[:, 3].view(3, 1, 1)
            elif kind == "power":
                pixels = grade.raised(pixels, numbers.view(3, 1, 1))
            elif kind == "tone curves":
                pixels = grade.curve(pixels, numbers[0], numbers[1:])
            else:
                pixels = grade.gamma(pixels, 1.0 / float(values[0]))
        return pixels if self.lut is None else self.lut.apply(pixels)


def _for_kernel(kind: str, values: Matrix) -> program.Step:
    if kind == "affine":
        return program.affine(values[:, :3], values[:, 3])
    if kind == "tone curves":
        inputs, outputs = torch.from_numpy(values[0]), torch.from_numpy(values[1:])
        slopes = np.stack([grade.curve_slopes(inputs, output).numpy() for output in outputs])
        return program.tone_curves(values[0], values[1:], slopes)
    return program.power(values, mirrored=kind == "mirrored power")


def blend(source: Tensor, graded: Tensor, weight: Tensor) -> Tensor:
    """`graded` over `source`, (3, H, W), by a weight 0..1 that broadcasts; exactly the one at 0, the other at 1."""
    mixed = source + (graded - source) * weight
    return torch.where(weight == 1, graded, torch.where(weight == 0, source, mixed))


def gain(gains: Sequence[float], offsets: Sequence[float] = (0.0, 0.0, 0.0)) -> GradeStep:
    """Each channel times its gain, plus its offset."""
    return "affine", np.concatenate([np.diag(np.asarray(gains, np.float64)), np.asarray(offsets)[:, None]], 1)


def contrast(amount: float, pivot: float) -> GradeStep:
    """See `grade.contrast`."""
    return gain([amount] * 3, [pivot * (1 - amount)] * 3)


def gamma(amount: float) -> GradeStep:
    """See `grade.gamma`."""
    return "mirrored power", np.full(3, 1 / amount)


def hue(degrees: float) -> GradeStep:
    """See `grade.hue`."""
    return _linear(grade.hue_matrix(torch.tensor(degrees, dtype=torch.float64)).numpy())


def correction(cdl_correction: cdl.Correction) -> list[GradeStep]:
    """An ASC CDL as steps; what is neutral in it is left out."""
    slope, offset, power = cdl_correction.slope, cdl_correction.offset, cdl_correction.power
    steps: list[GradeStep] = []
    if slope != (1, 1, 1) or offset != (0, 0, 0):
        steps.append(gain(slope, offset))
    if power != (1, 1, 1):
        steps.append(("power", np.array(power)))
    saturation = cdl_correction.saturation
    if saturation != 1:
        steps.append(_linear(np.eye(3) * saturation + np.array(spaces.LUMA_709) * (1 - saturation)))
    return steps


def _linear(matrix: NDArray[Any]) -> GradeStep:
    return "affine", np.concatenate([matrix, np.zeros((3, 1))], 1)


def merge(steps: Iterable[GradeStep]) -> tuple[GradeStep, ...]:
    """The same steps with affine neighbors made one."""
    merged: list[GradeStep] = []
    for kind, values in steps:
        if kind == "affine" and merged and merged[-1][0] == "affine":
            before = np.vstack([merged.pop()[1], [0, 0, 0, 1]])
            values = values @ before
        merged.append((kind, values))
    return tuple(merged)
