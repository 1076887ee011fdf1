"""What a picture, laid out straight along a course, says of a wire in it: where it runs, and how surely.

Colors are R'G'B' of 0..1. A place looks like the wire as far as it differs from what lies on both sides of it by what
the color of the wire does; where that is nothing, it says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from answerprint.motion.wires.section import Section

Array = NDArray[np.float32]
Values = NDArray[np.float64]

FAINT = 12 / 255  # contrast of a wire that counts half as much as a strong one
FLANK = 3  # pixels beside a wire that are its side
_STEP = 0.5  # pixels between the places that a wire is weighed at when its middle is sought
COLUMNS = 2  # pixels along a wire from column to column when its middle is sought
_SMEAR = 5.0 / COLUMNS  # columns over which it is averaged for that
_WHITE = 4e-5  # variance of noise that is reckoned with at the least


@dataclass(frozen=True, eq=False)
class Appearance:
    """What a wire looks like.

    Attributes:
        section: across.
        colors: (M, 3), those that it shows along its length: a dark one and a light one where it glints; none where
            nothing is known of them.
    """

    section: Section
    colors: Array


def margin(section: Section, motion: float) -> int:
    """Pixels beside a place that are looked at to weigh it."""
    return int(np.ceil(section.reach(motion))) + FLANK + 1


def likeness(strip: Array, wire: Appearance, motion: float) -> tuple[Array, Array]:
    """How much every place of a strip looks like the middle of a wire, 0..1, and how much it could, 0..1.

    Args:
        strip: (2 (R + margin) + 1, N, 3), a pixel from row to row.
        wire: that is sought.
        motion: across, in pixels from frame to frame.

    Returns:
        Both (2 R + 1, N).
    """
    if not len(wire.colors):
        return _ridge(strip, wire.section)
    smooth = cv2.GaussianBlur(strip, (0, 0), sigmaX=2.5, sigmaY=0.01)
    own, sides, expected = _parts(smooth, wire.section, motion)
    best, could = np.zeros(own.shape[:2], np.float32), np.zeros(own.shape[:2], np.float32)
    for color in wire.colors:
        shares, weights = [], []
        for side in sides:
            contrast = color - side
            size = (contrast * contrast).sum(axis=2)
            shares.append(((own - side) * contrast).sum(axis=2) / np.maximum(size, 1e-6) / expected)
            weights.append(size / (size + FAINT**2))
        share, weight = np.minimum(*shares), np.minimum(*weights)
        # More than the wire's own color is as wrong as less.
        np.maximum(best, np.clip(np.minimum(share, 3 - share), 0, 1) * weight, out=best)
        np.maximum(could, weight, out=could)
    return best, could


def _ridge(strip: Array, section: Section) -> tuple[Array, Array]:
    """`likeness` where nothing is known of the color: how much every place differs from both its sides."""
    smooth = cv2.GaussianBlur(strip, (0, 0), sigmaX=4, sigmaY=0.01)
    own, sides, _ = _parts(smooth, section, 0.0)
    both = np.sqrt(np.maximum(((own - sides[0]) * (own - sides[1])).sum(axis=2), 0))
    return (both / (both + FAINT)).astype(np.float32), np.ones(both.shape, np.float32)


def _parts(strip: Array, section: Section, motion: float) -> tuple[Array, tuple[Array, Array], float]:
    """The middle of a wire at every place, both its sides, and the share of the wire in that middle."""
    edge = margin(section, motion)
    rows = len(strip) - 2 * edge
    taps = np.arange(-edge, edge + 1).astype(float)
    shape = section.opacity(taps, motion)
    shape[shape < 0.03] = 0
    middle = ndimage.correlate1d(strip, (shape / shape.sum()).astype(np.float32), axis=0, mode="nearest")
    flank = cv2.blur(strip, (1, FLANK))
    away = edge - FLANK // 2
    sides = flank[edge - away :][:rows], flank[edge + away :][:rows]
    return middle[edge : edge + rows], sides, float((shape * shape).sum() / shape.sum())


def middle(strip: Array, wire: Appearance, motion: float, reach: float) -> tuple[Values, Values]:
    """Where the middle of the wire is in every column, in pixels from the middle row, and the error to expect.

    The section of the wire on a slope of brightness is fitted at every place within reach, by least squares; its best
    place is that where it explains most.

    Args:
        strip: (M, N, 3), `spacing` apart, the middle row at 0.
        wire: that is sought.
        motion: across, in pixels from frame to frame.
        reach: in pixels.

    Returns:
        Offsets (N,) and their deviations (N,), both in pixels.
    """
    smooth = ndimage.gaussian_filter1d(strip, _SMEAR, axis=1, mode="nearest")
    half = len(strip) // 2
    rows: Values = (np.arange(float(len(strip))) - half) * _STEP
    places = np.arange(-reach, reach + _STEP / 2, _STEP)
    window = wire.section.reach(motion) + FLANK
    explained, share = np.zeros((len(places), strip.shape[1])), np.zeros((len(places), strip.shape[1]))
    noise = np.full(share.shape, np.inf)
    for number, place in enumerate(places):
        inside = np.abs(rows - place) <= window
        shape, part = wire.section.opacity(rows[inside] - place, motion).astype(np.float32), smooth[inside]
        slope = np.stack((np.ones(len(shape)), rows[inside] - place), axis=1).astype(np.float32)
        basis, _ = np.linalg.qr(slope)
        pure = shape - basis @ (basis.T @ shape)
        power = float(pure @ pure)
        contrast = np.tensordot(pure, part, 1) / power
        mean = np.linalg.pinv(slope)[0]
        ground = np.tensordot(mean, part, 1) - float(mean @ shape) * contrast
        fitted = np.tensordot(basis.T, part, 1)
        rest = (part * part).sum(axis=(0, 2)) - (fitted * fitted).sum(axis=(0, 2)) - power * (contrast**2).sum(axis=1)
        noise[number] = np.maximum(rest, 0) / max(len(shape) - 3, 1) / 3
        wanted = [color - ground for color in wire.colors] or [contrast]
        agreement = np.stack([_along(contrast, one) for one in wanted]).max(axis=0)
        share[number] = agreement
        explained[number] = np.sign(agreement) * agreement**2 * power
    best = explained.argmax(axis=0).clip(1, len(places) - 2)
    columns = np.arange(strip.shape[1])
    left, top, right = (explained[best + step, columns] for step in (-1, 0, 1))
    bend = np.minimum(left - 2 * top + right, -1e-12)
    offsets = places[best] + np.clip((left - right) / (2 * bend), -1, 1) * _STEP
    # Cramer and Rao: the error of a place is that of the picture over the slope of what is fitted.
    fine = wire.section.opacity(rows, motion)
    steep = float((np.gradient(fine, _STEP) ** 2).sum())
    strength = np.maximum(share[best, columns], 1e-4)
    deviations = np.sqrt(np.maximum(noise[best, columns], _WHITE) / (strength**2 * steep))
    return offsets, np.where(top > 0, deviations, np.inf)


def _along(contrast: Values, wanted: Values) -> Values:
    """The part (N,) of a contrast (N, 3) that goes where it should, at most as far as it should."""
    size = np.sqrt((wanted * wanted).sum(axis=1))
    part = (contrast * wanted).sum(axis=1) / np.maximum(size, 1e-6)
    return np.asarray(np.minimum(part, 1.3 * size))


SPACING = _STEP
