"""The grade of a look at any time of the shot, and frames graded by it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from answerprint.color import fused, lattice
from answerprint.color.steps import GradeSteps, blend
from answerprint.color.values import CURVE, CURVES, NAMES, Values
from answerprint.filters import classical
from answerprint.frame import Frame
from answerprint.operations import grade

if TYPE_CHECKING:
    from answerprint.operations.look import Findings


@dataclass(frozen=True, eq=False)
class KeyGrade:
    """The grade at one time.

    Attributes:
        values: the numbers.
        sharpness: -1..1; it looks at neighboring pixels, so it is no part of the steps.
        steps: the color steps.
    """

    values: Values
    sharpness: float
    steps: GradeSteps

    @property
    def neutral(self) -> bool:
        return self.steps.empty and not self.sharpness


class KeyedGrade:
    """The findings as a grade at any time."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._single = self._grade(Fraction(0)) if len(findings.times) == 1 else None

    def at(self, time: Fraction) -> KeyGrade:
        """The grade at a time: monotone cubic between keys (Fritsch and Carlson 1980), constant before and after."""
        return self._single if self._single is not None else self._grade(time)

    def at_middle_key(self) -> KeyGrade:
        """The grade at the middle key, which stands for the shot where only one can."""
        times = self._findings.times
        return self.at(Fraction(times[len(times) // 2]))

    def _grade(self, time: Fraction) -> KeyGrade:
        numbers = {name: self._number(name, time) for name in (*NAMES, "sharpness")}
        sharpness: float = numbers.pop("sharpness")
        grade_values = Values(**numbers)
        steps = grade.steps(grade_params(grade_values)).steps
        if grade_values.curved:
            curves = [getattr(grade_values, name) for name in CURVES]
            steps = (*steps, ("tone curves", np.array([CURVE, *curves], np.float64)))
        residual = self._findings.residual
        cube = lattice.residual_cube(residual) if residual is not None else None
        return KeyGrade(grade_values, sharpness, GradeSteps(steps, cube))

    def _number(self, name: str, time: Fraction) -> Any:
        times, keys = self._findings.times, getattr(self._findings, name)
        if len(times) == 1:
            return keys[0]
        place = min(max(float(time), times[0]), times[-1])
        number = PchipInterpolator(times, np.asarray(keys, np.float64))(place)
        return tuple(number.tolist()) if number.ndim else float(number)


def grade_params(numbers: Values) -> grade.Params:
    """The part of a look that is a `grade`."""
    # Brightness comes before the slope: it is an offset that the slope scales.
    offset = [o + s * numbers.brightness for o, s in zip(numbers.offset, numbers.slope, strict=True)]
    return grade.Params(
        temperature=numbers.temperature,
        slope=numbers.slope,
        offset=(offset[0], offset[1], offset[2]),
        power=numbers.power,
        saturation=numbers.saturation,
        contrast=numbers.contrast,
        gamma=numbers.gamma,
        hue=numbers.hue,
    )


@dataclass(frozen=True, eq=False)
class Renderer:
    """Grades frames on a device.

    Attributes:
        device: where the pixels are graded.
        pool: threads that share a picture on the CPU.
        spare: memory for results on the CPU.
    """

    device: torch.device
    pool: ThreadPoolExecutor
    spare: fused.Spare

    @classmethod
    @contextmanager
    def open(cls, device: torch.device) -> Iterator[Renderer]:
        """A renderer with its threads, which end with the `with` block."""
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            yield cls(device, pool, fused.Spare())

    def grade(self, frame: Frame, look: KeyGrade, strength: float) -> Tensor:
        """Pixels (3, H, W) of the frame with the look, blended by `strength` (0..1) and the frame's matte."""
        weight = strength if frame.matte is None else frame.matte * strength
        source = frame.pixels
        if self.device.type == "cpu" and look.sharpness == 0:
            return fused.run(look.steps.program, source.cpu(), weight, self.pool, self.spare)
        if self.device.type == "cpu":
            graded = fused.run(look.steps.program, source.cpu(), 1.0, self.pool, self.spare)
        else:
            with torch.no_grad():
                graded = look.steps.apply(source.to(self.device, copy=True)).to(source.device)
        if look.sharpness:
            _sharpen(graded, look.sharpness, _sigma(frame))
        if isinstance(weight, float) and weight == 1:
            return graded
        return blend(source, graded, torch.as_tensor(weight).to(source))


def _sharpen(pixels: Tensor, amount: float, sigma: float) -> None:
    """Unsharp masking, written over the pixels, plane by plane: whole pictures in between cost more than the blur."""
    for plane in pixels:
        plane.add_(plane - classical.gaussian(plane[None], sigma)[0], alpha=amount)


def _sigma(frame: Frame) -> float:
    """Reach of sharpness: 1.2 pixels in a picture of 1080 lines, so that it looks the same at every size."""
    return max(0.5, 1.2 * frame.height / 1080)
