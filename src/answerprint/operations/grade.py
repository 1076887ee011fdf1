"""Grade: exposure, white balance, ASC CDL, contrast, gamma, hue and a 3D LUT (ASC CDL v1.2; tetrahedral interpolation).

The order is fixed: exposure, temperature and tint, the correction of a CDL file, slope-offset-power-saturation (one
whole ASC CDL), contrast about its pivot, gamma, hue, the LUT last. Values below black and above white are kept, except
by a LUT, which clamps to its own domain. With a matte (made by `cutout`) the grade acts where the matte is; elsewhere
every value stays as it was, bit for bit. Parameters at their neutral value do nothing at all: with none set, the frame
that comes out is the frame that went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from answerprint.color import cdl as cdl_file
from answerprint.color import fused, grade, lut, spaces
from answerprint.color.grade import MID_GRAY
from answerprint.errors import ColorError
from answerprint.frame import Frame
from answerprint.settings import Settings

HANDLES = 0
OWN = ("findings", "finite", "matte")

Triple = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0, le=100)]
Matrix = NDArray[np.float64]


class Params(Settings):
    """How a shot is graded; every default is neutral."""

    exposure: float = Field(0.0, ge=-10, le=10, description="Stops of scene light, for display-encoded pictures.")
    temperature: float = Field(
        0.0, ge=-200, le=200, description="Above 0 warmer, below cooler; 100 is about daylight to tungsten."
    )
    tint: float = Field(0.0, ge=-200, le=200, description="Above 0 towards magenta, below towards green.")
    cdl: Path | None = Field(None, description="A .cdl, .cc or .ccc file.")
    cdl_id: str | None = Field(None, description="Which correction of that file, where it has several.")
    slope: tuple[float, float, float] = Field((1.0, 1.0, 1.0), description="ASC CDL slope of red, green, blue.")
    offset: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="ASC CDL offset of red, green, blue.")
    power: tuple[Positive, Positive, Positive] = Field(
        (1.0, 1.0, 1.0), description="ASC CDL power of red, green, blue, above 0."
    )
    saturation: float = Field(1.0, ge=0, le=10, description="ASC CDL saturation; 0 is gray.")
    contrast: float = Field(1.0, ge=0, le=10, description="Scales the distance from the pivot.")
    pivot: float = Field(MID_GRAY, ge=0, le=1, description="The value that contrast leaves where it is.")
    gamma: float = Field(1.0, gt=0, le=10, description="Above 1 lifts the midtones; black and white stay.")
    hue: float = Field(0.0, ge=-180, le=180, description="Turns all colors, in degrees; grays and luma stay.")
    lut: Path | None = Field(None, description="A .cube LUT (3D or 1D), applied last.")
    strength: float = Field(1.0, ge=0, le=1, description="How much of the whole grade is taken; 0 is the source.")


@dataclass(frozen=True, eq=False)
class Chain:
    """The grade as steps, then the LUT.

    ("affine", 3 x 4), ("power" or "mirrored power", 3 exponents), ("tone curves", inputs and outputs of each channel,
    4 x n).
    """

    steps: tuple[tuple[str, Matrix], ...]
    lut: lut.Cube | lut.Curves | None

    @property
    def empty(self) -> bool:
        return not self.steps and self.lut is None

    @cached_property
    def program(self) -> fused.Program:
        """For the fused kernel."""
        base = self.lut.program() if self.lut is not None else fused.Program()
        parts = [_FUSED[kind](values) for kind, values in self.steps]
        kinds = np.array([code for code, _ in parts], np.int32)
        return replace(base, kinds=kinds, numbers=fused.rows([numbers for _, numbers in parts]))

    def apply(self, pixels: Tensor) -> Tensor:
        """The same in torch, on any device."""
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


def _fused_curves(values: Matrix) -> fused.Array:
    inputs, outputs = torch.from_numpy(values[0]), torch.from_numpy(values[1:])
    slopes = np.stack([grade.curve_slopes(inputs, output).numpy() for output in outputs])
    return fused.tone_curves(values[0], values[1:], slopes)


_FUSED: dict[str, Callable[[Matrix], tuple[int, fused.Array]]] = {
    "affine": lambda values: (fused.AFFINE, fused.affine(values[:, :3], values[:, 3])),
    "power": lambda values: (fused.POWER, fused.power(values)),
    "mirrored power": lambda values: (fused.MIRRORED_POWER, fused.power(values)),
    "tone curves": lambda values: (fused.TONE_CURVES, _fused_curves(values)),
}


def run(frames: Iterator[Frame], params: Params, findings: None, device: torch.device) -> Iterator[Frame]:
    """Grades every frame; frames pass untouched where nothing is asked for."""
    del findings
    steps = chain(params)
    if steps.empty or params.strength == 0:
        yield from frames
        return
    spare = fused.Spare()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for frame in frames:
            if device.type == "cpu":
                pixels = fused.run(steps.program, frame.pixels.cpu(), _weight(frame, params), pool, spare)
            else:
                pixels = _on_device(steps, frame, params, device)
            graded = frame.with_pixels(pixels)
            del frame, pixels  # a frame is large: it must not stay alive while others are made
            yield graded
            del graded


def cube(params: Params, findings: None, size: int = 33) -> lut.Cube:
    """The whole grade as a LUT, strength included, without the matte; super-whites are clamped by it.

    Raises:
        ColorError: the size is out of range, or a file that the parameters name cannot be used.
    """
    del findings
    steps = chain(params)

    def transform(pixels: Tensor) -> Tensor:
        return fused.run(steps.program, pixels, params.strength)

    return lut.bake(transform, size, title="answerprint grade")


def correction(params: Params, findings: None) -> tuple[cdl_file.Correction, list[str]]:
    """What one ASC CDL can hold of the grade, and the names of the parameters that it cannot.

    Exposure, temperature and tint go into the slope, and so does contrast where no power stands before it.
    """
    del findings
    own = cdl_file.Correction(params.slope, params.offset, params.power, params.saturation)
    left = []
    if params.cdl is not None:
        filed = cdl_file.choose(params.cdl, params.cdl_id)
        left = [] if own == cdl_file.Correction() else ["cdl"]
        own = replace(filed, id="", description="") if not left else own
    gains = np.array(_gains(params))
    slope, offset = np.array(own.slope) * gains, np.array(own.offset)
    if params.contrast != 1 and own.power == (1, 1, 1):
        # Saturation moves nothing that is the same in all channels, so contrast may change places with it.
        slope, offset = slope * params.contrast, offset * params.contrast + params.pivot * (1 - params.contrast)
    elif params.contrast != 1:
        left.append("contrast")
    neutral = Params()
    names = ("gamma", "hue", "lut", "strength")
    left += [name for name in names if getattr(params, name) != getattr(neutral, name)]
    return replace(own, slope=_triple(slope), offset=_triple(offset)), left


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


def _on_device(steps: Chain, frame: Frame, params: Params, device: torch.device) -> Tensor:
    source = frame.pixels.to(device)
    with torch.no_grad():
        graded = steps.apply(source)
    weight = torch.as_tensor(_weight(frame, params)).to(source)
    mixed = source + (graded - source) * weight
    mixed = torch.where(weight == 1, graded, torch.where(weight == 0, source, mixed))
    return mixed.to(frame.pixels.device)


def chain(params: Params) -> Chain:
    """The steps that are not neutral, in their order, neighboring affine steps made one.

    Raises:
        ColorError: a LUT or CDL file cannot be used.
    """
    if params.cdl_id is not None and params.cdl is None:
        raise ColorError(f"cdl_id '{params.cdl_id}' names a correction, but no cdl file is given")
    steps: list[tuple[str, Matrix]] = []
    if params.exposure != 0 or params.temperature != 0 or params.tint != 0:
        steps.append(_scale(_gains(params)))
    if params.cdl is not None:
        steps += _correction(cdl_file.choose(params.cdl, params.cdl_id))
    steps += _correction(cdl_file.Correction(params.slope, params.offset, params.power, params.saturation))
    if params.contrast != 1:
        steps.append(_scale([params.contrast] * 3, [params.pivot * (1 - params.contrast)] * 3))
    if params.gamma != 1:
        steps.append(("mirrored power", np.full(3, 1 / params.gamma)))
    if params.hue % 360 != 0:
        turn = grade.hue_matrix(torch.tensor(params.hue, dtype=torch.float64)).numpy()
        steps.append(("affine", np.concatenate([turn, np.zeros((3, 1))], 1)))
    return Chain(tuple(_merged(steps)), lut.read(params.lut) if params.lut is not None else None)


def _correction(correction: cdl_file.Correction) -> list[tuple[str, Matrix]]:
    """An ASC CDL as steps; what is neutral in it is left out."""
    steps: list[tuple[str, Matrix]] = []
    if correction.slope != (1, 1, 1) or correction.offset != (0, 0, 0):
        steps.append(_scale(correction.slope, correction.offset))
    if correction.power != (1, 1, 1):
        steps.append(("power", np.array(correction.power)))
    if correction.saturation != 1:
        mixed = np.eye(3) * correction.saturation + np.array(spaces.LUMA_709) * (1 - correction.saturation)
        steps.append(("affine", np.concatenate([mixed, np.zeros((3, 1))], 1)))
    return steps


def _scale(gains: list[float] | Triple, offsets: list[float] | Triple = (0.0, 0.0, 0.0)) -> tuple[str, Matrix]:
    return "affine", np.concatenate([np.diag(np.asarray(gains, np.float64)), np.asarray(offsets)[:, None]], 1)


def _merged(steps: list[tuple[str, Matrix]]) -> list[tuple[str, Matrix]]:
    """Two affine steps in a row are one."""
    merged: list[tuple[str, Matrix]] = []
    for kind, values in steps:
        if kind == "affine" and merged and merged[-1][0] == "affine":
            before = np.vstack([merged.pop()[1], [0, 0, 0, 1]])
            values = values @ before
        merged.append((kind, values))
    return merged
