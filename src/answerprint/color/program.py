"""The steps of a grade as numbers for the compiled kernel (`kernels/grade.py`).

The functions of `grade.py`, `lut.py` and `spaces.py` say what the same steps are, in torch and differentiable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from answerprint.color.spaces import rgb_to_xyz_matrix
from answerprint.kernels.grade import AFFINE, MIRRORED_POWER, POWER, TOED_POWER, TONE_CURVES

Array = NDArray[np.float32]
Step = tuple[int, Array]  # its kind, as the kernel names them, and its numbers

_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), 3e38


@dataclass(frozen=True, eq=False)
class Program:
    """Steps, then curves, then a 3D LUT, as arrays for the kernel.

    Attributes:
        kinds: int32 (steps,), of each step.
        numbers: float32 (steps, n), of each step, short rows filled with zeros.
        curves: float32 (n, 3), a table per channel applied after the steps; n = 0 for none.
        curves_low, curves_scale: float32 (3,), input of the first entry, entries per unit of input.
        table: float32 (n^3, 4), red fastest, a column of padding, applied last; n = 0 for none.
        size, low, scale: of `table`, as above.
    """

    kinds: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    numbers: Array = field(default_factory=lambda: np.zeros((0, 12), np.float32))
    curves: Array = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    curves_low: Array = field(default_factory=lambda: np.zeros(3, np.float32))
    curves_scale: Array = field(default_factory=lambda: np.ones(3, np.float32))
    table: Array = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    size: int = 0
    low: Array = field(default_factory=lambda: np.zeros(3, np.float32))
    scale: Array = field(default_factory=lambda: np.ones(3, np.float32))

    @property
    def empty(self) -> bool:
        """True where it changes nothing."""
        return not (len(self.kinds) or len(self.curves) or self.size)

    def after(self, steps: Sequence[Step]) -> Program:
        """The same curves and LUT behind other steps."""
        numbers = np.zeros((len(steps), max((len(row) for _, row in steps), default=0)), np.float32)
        for row, (_, values) in zip(numbers, steps, strict=True):
            row[: len(values)] = values
        return replace(self, kinds=np.array([kind for kind, _ in steps], np.int32), numbers=numbers)


def affine(matrix: Sequence[Sequence[float]] | NDArray[Any], offset: Sequence[float] | NDArray[Any]) -> Step:
    """`matrix` (3, 3) times the color, plus `offset` (3,)."""
    numbers = np.concatenate([np.asarray(matrix, np.float64), np.asarray(offset, np.float64)[:, None]], 1)
    return AFFINE, numbers.astype(np.float32).ravel()


def power(exponents: Sequence[float] | NDArray[Any], mirrored: bool = False) -> Step:
    """A power per channel, exponents (3,) above 0.

    Args:
        mirrored: values below 0 as those above, with the other sign; without, values up to 0 pass unchanged.
    """
    ranges = np.array([_range(float(exponent)) for exponent in exponents])
    numbers = np.concatenate([np.asarray(exponents, np.float64), *ranges.T]).astype(np.float32)
    return MIRRORED_POWER if mirrored else POWER, numbers


def _range(exponent: float) -> tuple[float, float]:
    """Smallest and largest value whose power neither overflows nor leaves the normal numbers."""
    return max(_SMALLEST, 2 ** max(-126.0, -125 / exponent)), min(_LARGEST, 2 ** min(127.0, 126 / exponent))


def tone_curves(inputs: NDArray[Any], outputs: NDArray[Any], slopes: NDArray[Any]) -> Step:
    """Curves through points, one per channel: cubic between them, straight on beyond the first and the last.

    Args:
        inputs: (n,) rising.
        outputs, slopes: (3, n), value and slope at each point, per channel.
    """
    channels = [_tone_curve(inputs, output, slope) for output, slope in zip(outputs, slopes, strict=True)]
    return TONE_CURVES, np.concatenate([[len(inputs) - 1], *channels]).astype(np.float32)


def _tone_curve(x: NDArray[np.float64], y: NDArray[np.float64], slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """One channel of `tone_curves`, float64.

    Whether it changes anything; first point; slope below; last point; slope above; first value; then per piece start,
    width and the three coefficients of a cubic that is 0 at its start.
    """
    width = np.diff(x)
    secant, before, after = np.diff(y) / width, slope[:-1], slope[1:]
    second, third = (3 * secant - 2 * before - after) / width, (before + after - 2 * secant) / width**2
    pieces = np.stack([x[:-1], width, before, second, third], 1)
    return np.concatenate([[float((x != y).any()), x[0], slope[0], x[-1], slope[-1], y[0]], pieces.ravel()])


@dataclass(frozen=True)
class Toed:
    """A straight toe up to the knee and a power above it, the same for all three channels.

    y = toe * x + lift where x <= knee, else gain * (inner * x + shift) ** exponent + end; the knee is not below 0.
    """

    knee: float
    toe: float
    lift: float
    inner: float
    shift: float
    exponent: float
    gain: float
    end: float
    mirrored: bool = False  # values below 0 as those above, with the other sign

    def step(self) -> Step:
        """The step of a program."""
        return TOED_POWER, np.array([*astuple(self), *_range(self.exponent)], np.float64).astype(np.float32)


_SRGB_DECODE = Toed(0.04045, 1 / 12.92, 0, 1 / 1.055, 0.055 / 1.055, 2.4, 1, 0, True)  # as `spaces.decode`
_SRGB_ENCODE = Toed(0.0031308, 12.92, 0, 1, 0, 1 / 2.4, 1.055, -0.055, True)
_DELTA = 6 / 29
_LAB_ROOT = Toed(_DELTA**3, 1 / (3 * _DELTA**2), 4 / 29, 1, 0, 1 / 3, 1, 0)  # as `spaces.xyz_to_lab`
_LAB_CUBE = Toed(_DELTA, 3 * _DELTA**2, -12 / 29 * _DELTA**2, 1, 0, 3, 1, 0)
_LAB_AXES = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]], np.float64)


def lab_program() -> Program:
    """`spaces.rgb_to_lab` of R'G'B' encoded as sRGB, to single precision."""
    matrix = rgb_to_xyz_matrix("bt709").numpy()
    to_ratio = affine(matrix / matrix.sum(1, keepdims=True), np.zeros(3))
    axes = affine(_LAB_AXES, [-16, 0, 0])
    return Program().after([_SRGB_DECODE.step(), to_ratio, _LAB_ROOT.step(), axes])


def rgb_program() -> Program:
    """`spaces.lab_to_rgb`, the inverse of `lab_program`."""
    matrix = rgb_to_xyz_matrix("bt709").numpy()
    back = np.linalg.inv(_LAB_AXES)
    from_ratio = affine(np.linalg.inv(matrix / matrix.sum(1, keepdims=True)), np.zeros(3))
    to_axes = affine(back, back @ [16, 0, 0])
    return Program().after([to_axes, _LAB_CUBE.step(), from_ratio, _SRGB_ENCODE.step()])
