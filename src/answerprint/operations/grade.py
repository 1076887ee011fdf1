"""Grade: exposure, white balance, ASC CDL, contrast, gamma, hue and a 3D LUT (ASC CDL v1.2; tetrahedral interpolation).

The order is fixed: exposure, temperature and tint, the correction of a CDL file, slope-offset-power-saturation (one
whole ASC CDL), contrast about its pivot, gamma, hue, the LUT last. Values below black and above white are kept, except
by a LUT, which clamps to its own domain. With a matte (made by `cutout`) the grade acts where the matte is; elsewhere
every value stays as it was, bit for bit. Parameters at their neutral value do nothing at all: with none set, the frame
that comes out is the frame that went in.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from answerprint.color import cdl as cdl_file
from answerprint.color import cube_file, fused, grade, lut
from answerprint.color import steps as grade_steps
from answerprint.color.grade import MID_GRAY
from answerprint.color.steps import GradeStep, GradeSteps
from answerprint.color.values import HELP, NEUTRAL, Degrees, Factor, Power, Triple, Warmth
from answerprint.errors import ColorError
from answerprint.frame import Frame
from answerprint.settings import Settings

HANDLES = 0
COST = 0.01
# The fused pass blends by matte and `strength` as it grades, and skips what lies outside a matte. It is pointwise: NaN
# and infinity stay in their pixel, and a LUT reads NaN as the lower end of its domain, as OpenColorIO does.
OWN = ("finite", "matte")

Exponent = Annotated[float, Field(gt=0, le=100)]


class Params(Settings):
    """The grade of a shot; every default is neutral."""

    exposure: float = Field(0.0, ge=-10, le=10, description="Stops of scene light, for display-encoded pictures.")
    temperature: Warmth = Field(NEUTRAL.temperature, description=HELP["temperature"])
    tint: float = Field(0.0, ge=-200, le=200, description="Above 0 towards magenta, below towards green.")
    cdl: Path | None = Field(None, description="A .cdl, .cc or .ccc file.")
    cdl_id: str | None = Field(None, description="Id of the correction, where the file has several.")
    slope: Triple = Field(NEUTRAL.slope, description=HELP["slope"])
    offset: Triple = Field(NEUTRAL.offset, description=HELP["offset"])
    power: tuple[Exponent, Exponent, Exponent] = Field(NEUTRAL.power, description=HELP["power"])
    saturation: Factor = Field(NEUTRAL.saturation, description=HELP["saturation"])
    contrast: Factor = Field(NEUTRAL.contrast, description="Scales the distance from the pivot.")
    pivot: float = Field(MID_GRAY, ge=0, le=1, description="The value that contrast leaves where it is.")
    gamma: Power = Field(NEUTRAL.gamma, description=HELP["gamma"])
    hue: Degrees = Field(NEUTRAL.hue, description=HELP["hue"])
    lut: Path | None = Field(None, description="A .cube LUT (3D or 1D), applied last.")
    strength: float = Field(1.0, ge=0, le=1, description="Opacity of the grade; 0 is the source.")


def run(frames: Iterator[Frame], params: Params, device: torch.device) -> Iterator[Frame]:
    """Grades every frame; frames pass untouched where every parameter is neutral."""
    grading = steps(params)
    if grading.empty or params.strength == 0:
        yield from frames
        return
    spare = fused.Spare()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for frame in frames:
            if device.type == "cpu":
                pixels = fused.run(grading.program, frame.pixels.cpu(), _weight(frame, params), pool, spare)
            else:
                pixels = _on_device(grading, frame, params, device)
            graded = frame.with_pixels(pixels)
            del frame, pixels  # a frame is large: it must not stay alive while others are made
            yield graded
            del graded


def cube(params: Params, findings: None, size: int = 33) -> lut.Cube:  # noqa: ARG001 - it has none
    """The whole grade as a LUT, strength included, without the matte; super-whites are clamped by it.

    Raises:
        ColorError: the size is out of range, or a file that the parameters name cannot be used.
    """
    program = steps(params).program
    return lut.bake(lambda pixels: fused.run(program, pixels, params.strength), size, title="answerprint grade")


def correction(params: Params, findings: None) -> tuple[cdl_file.Correction, list[str]]:  # noqa: ARG001 - it has none
    """The part of the grade that one ASC CDL can hold, and the names of the parameters that it cannot.

    Exposure, temperature and tint go into the slope, and so does contrast where no power stands before it.
    """
    result = cdl_file.Correction(params.slope, params.offset, params.power, params.saturation)
    omitted = []
    if params.cdl is not None:
        filed = cdl_file.choose(params.cdl, params.cdl_id)
        omitted = [] if result == cdl_file.Correction() else ["cdl"]
        result = replace(filed, id="", description="") if not omitted else result
    gains = np.array(_gains(params))
    slope, offset = np.array(result.slope) * gains, np.array(result.offset)
    if params.contrast != 1 and result.power == (1, 1, 1):
        # Saturation moves nothing that is the same in all channels, so contrast may change places with it.
        slope, offset = slope * params.contrast, offset * params.contrast + params.pivot * (1 - params.contrast)
    elif params.contrast != 1:
        omitted.append("contrast")
    neutral = Params()
    names = ("gamma", "hue", "lut", "strength")
    omitted += [name for name in names if getattr(params, name) != getattr(neutral, name)]
    return replace(result, slope=_triple(slope), offset=_triple(offset)), omitted


def _triple(values: NDArray[np.float64]) -> Triple:
    red, green, blue = values.tolist()
    return red, green, blue


def _gains(params: Params) -> list[float]:
    """Exposure, temperature and tint: one gain per channel."""
    numbers = torch.tensor([params.temperature, params.tint], dtype=torch.float64)
    gains = grade.white_balance_gains(numbers[0], numbers[1]) * 2.0 ** (params.exposure / 2)
    return [float(gain) for gain in gains]


def _weight(frame: Frame, params: Params) -> Tensor | float:
    return params.strength if frame.matte is None else frame.matte * params.strength


def _on_device(grading: GradeSteps, frame: Frame, params: Params, device: torch.device) -> Tensor:
    source = frame.pixels.to(device)
    with torch.no_grad():
        graded = grading.apply(source)
    weight = torch.as_tensor(_weight(frame, params)).to(source)
    return grade_steps.blend(source, graded, weight).to(frame.pixels.device)


def steps(params: Params) -> GradeSteps:
    """The steps that are not neutral, in their order, neighboring affine steps made one.

    Raises:
        ColorError: a LUT or CDL file cannot be used.
    """
    if params.cdl_id is not None and params.cdl is None:
        raise ColorError(f"cdl_id '{params.cdl_id}' names a correction, but no cdl file is given")
    result: list[GradeStep] = []
    if params.exposure != 0 or params.temperature != 0 or params.tint != 0:
        result.append(grade_steps.gain(_gains(params)))
    if params.cdl is not None:
        result += grade_steps.correction(cdl_file.choose(params.cdl, params.cdl_id))
    result += grade_steps.correction(cdl_file.Correction(params.slope, params.offset, params.power, params.saturation))
    if params.contrast != 1:
        result.append(grade_steps.contrast(params.contrast, params.pivot))
    if params.gamma != 1:
        result.append(grade_steps.gamma(params.gamma))
    if params.hue % 360 != 0:
        result.append(grade_steps.hue(params.hue))
    return GradeSteps(grade_steps.merge(result), cube_file.read(params.lut) if params.lut is not None else None)
