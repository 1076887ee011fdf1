"""Background interpolated across a wire, along the structure of what lies at its sides.

At every place of a wire the slant is sought along which one side goes on as the other; both sides are then joined along
it. The same is done at the sides themselves, where the right answer is known: that tells how wrong it may be.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from answerprint.motion.wires import course
from answerprint.motion.wires.trail import Cover

Array = NDArray[np.float32]
Values = NDArray[np.float64]

_SLANTS = np.linspace(-2.0, 2.0, 33)  # pixels along for a pixel across
_ROWS = 4  # pixels at each side whose fit tells a slant
_SOFT = 3.0  # pixels along, over which it is told
_STEEP = 2e-5  # what a slant of 1 must gain, of variance
_SMEAR = 8.0  # pixels along, over which errors are taken together
_MIDST = 0.55  # of the error in the middle of a gap, that its pixels have in the mean (measured)
_FLOOR = 1.5e-5  # variance of error at the least


@dataclass(frozen=True, eq=False)
class Interpolated:
    """Values for the pixels of a cover.

    Attributes:
        values: (N, 3).
        variances: (N,) of the error to expect, of R'G'B' of 0..1.
        share: (N,) part of the variance of the picture's grain that interpolation left.
    """

    values: Values
    variances: Values
    share: Values


def interpolate(planes: Array, cover: Cover, half: float) -> Interpolated:
    """The background under a wire, from both its sides.

    Args:
        planes: (3, H, W) the picture.
        cover: what the wire covers.
        half: pixels from its middle, at which the sides begin.
    """
    picture = np.ascontiguousarray(planes.transpose(1, 2, 0))
    line = cover.line
    rows: Values = half + np.arange(float(_ROWS))
    offsets = np.concatenate((-rows[::-1], rows))
    strip = course.straighten(picture, line, offsets, cv2.INTER_CUBIC).astype(np.float64)
    slant, misfit = _slants(strip, rows)
    number = np.clip(np.rint(cover.along).astype(int), 0, len(line) - 1)
    place, offset = cover.along, np.clip(cover.across, -half, half)
    own = slant[number]
    left = _at(strip[_ROWS - 1], place - own * (offset + half))
    right = _at(strip[_ROWS], place + own * (half - offset))
    share = ((half - offset) / (2 * half))[:, None]
    values = share * left + (1 - share) * right
    variance = _MIDST * (_tested(picture, line, slant, half) + 0.25 * misfit)
    return Interpolated(values, variance[number] + _FLOOR, (share**2 + (1 - share) ** 2)[:, 0])


def _slants(strip: Values, rows: Values) -> tuple[Values, Values]:
    """The slant (M,) at every place of a wire, and how badly (M,) its sides fit along it."""
    places = np.arange(strip.shape[1], dtype=float)
    costs = np.empty((len(_SLANTS), strip.shape[1]))
    for number, slant in enumerate(_SLANTS):
        total = np.zeros(strip.shape[1])
        for row, distance in enumerate(rows):
            left = _at(strip[_ROWS - 1 - row], places - slant * distance)
            right = _at(strip[_ROWS + row], places + slant * distance)
            total += ((left - right) ** 2).mean(axis=1)
        costs[number] = ndimage.gaussian_filter1d(total / len(rows), _SOFT, mode="nearest") + _STEEP * abs(slant)
    best = costs.argmin(axis=0)
    slant = ndimage.median_filter(_SLANTS[best], 5, mode="nearest")
    return ndimage.gaussian_filter1d(slant, 1.5, mode="nearest"), costs.min(axis=0)


def _tested(picture: Array, line: course.Points, slant: Values, half: float) -> Values:
    """Variance (M,) of the error of the same interpolation beside the wire, where the answer is known."""
    places = np.arange(len(line), dtype=float)
    total = np.zeros(len(line))
    for side in (-1.0, 1.0):
        near, middle, far = course.straighten(
            picture, line, np.array([1.0, 2.0, 3.0]) * half * side, cv2.INTER_CUBIC
        ).astype(np.float64)
        guess = (_at(near, places - slant * half * side) + _at(far, places + slant * half * side)) / 2
        total += ((guess - middle) ** 2).mean(axis=1)
    return np.asarray(ndimage.gaussian_filter1d(total / 2, _SMEAR, mode="nearest"))


def _at(row: Values, places: Values) -> Values:
    """A row (M, 3) at places (N,) between its points."""
    at = np.arange(len(row))
    return np.stack([np.interp(places, at, row[:, channel]) for channel in range(row.shape[1])], axis=1)
