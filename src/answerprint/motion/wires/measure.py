"""The section and the colors of a wire, measured along a course that is known.

Every column across the wire holds the background as a slope of brightness and the wire as its section. Sums of products
of columns are kept, by how fast the wire moved and where along it they lie: from them the error of every section can be
had at once, so that a whole shot is fitted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from answerprint.motion.wires import course
from answerprint.motion.wires.course import Points
from answerprint.motion.wires.evidence import Array
from answerprint.motion.wires.section import Section

Values = NDArray[np.float64]

WIDEST = 16.0  # pixels across, of a wire
PARTS = 6  # along a wire, whose widths are measured
_STEP = 0.5  # pixels between the rows that are measured
_HALF = 15.0  # pixels to each side
_FLANK = 4.0  # pixels beside a wire that show the background
_PACES = (0.0, 0.7, 1.5, 2.5, 4.0, 6.0, 8.5, 12.0)  # pixels from frame to frame, of the sums that are kept
_EVERY = 4  # columns of which one is measured
_LENS, _LENS_SPREAD = 0.6, 0.2  # blur of a lens in pixels, and how far it is believed to be off, as a logarithm
_SHUTTER, _SHUTTER_SPREAD = 0.5, 0.2
_SIDE = 4.5  # pixels from the middle of a thin wire to where its side shows the background
_SLOW, _DENSE = 4.0, 0.9  # pixels from frame to frame, and opacity, up to which its middle is compared with its sides
_GOOD = 0.3  # how much of the background its sides must tell for that
_ALIKE = 8.0  # pixels that go together, of a background
_SURE = 0.04  # error of an opacity at the least
_TAPERS = 2.2  # pixels across, from which on the shape tells how the width changes along a wire
_GLINT = 0.14  # difference of luma from which on a wire shows two colors
_MIDDLE = np.zeros(1)
_WEIGHT = 100.0  # of what shows through, against the shape: the shape of a thin wire hardly tells its width
_ROWS = np.arange(-_HALF, _HALF + _STEP / 2, _STEP)


@dataclass(eq=False)
class Sums:
    """What is kept of the columns of a wire.

    Attributes:
        products: (PARTS, paces, rows, rows) sums of their products.
        columns: (PARTS, paces) how many there are.
        shows: (paces + 1, 4) how far the wire lets the background be seen: sums of the squares of what its sides say of
            the background, of their products with its middle, of the squares of that, and their count; last the same
            of the background beside it.
    """

    products: Values
    columns: Values
    shows: Values

    @classmethod
    def none(cls) -> Sums:
        paces = len(_PACES)
        return cls(np.zeros((PARTS, paces, len(_ROWS), len(_ROWS))), np.zeros((PARTS, paces)), np.zeros((paces + 1, 4)))

    def add(self, picture: Array, points: Points, motion: Values, certain: NDArray[np.bool_]) -> None:
        """Adds the columns of a frame.

        Args:
            picture: (H, W, 3).
            points: (N, 2) the middle of the wire.
            motion: (N,) across, in pixels from frame to frame.
            certain: (N,) where the middle is sure, and the wire differs from what is beside it.
        """
        strip = course.straighten(picture, points, _ROWS, cv2.INTER_CUBIC)[:, ::_EVERY]
        part = np.linspace(0, PARTS - 1e-6, strip.shape[1]).astype(int)
        pace = np.abs(np.abs(motion[::_EVERY])[:, None] - np.array(_PACES)).argmin(axis=1)
        inside = certain[::_EVERY] & course.inside(points[::_EVERY], picture.shape[:2], -_HALF / 2)
        for number in np.flatnonzero(inside):
            column = np.asarray(strip[:, number] - strip[:, number].mean(axis=0), np.float64)
            # Strong and weak contrasts count alike: a shape is sought.
            column /= np.sqrt((column * column).sum()) + 0.05
            self.products[part[number], pace[number]] += column @ column.T
            self.columns[part[number], pace[number]] += 1
        self._see_through(picture, points, pace, inside)

    def _see_through(self, picture: Array, points: Points, pace: NDArray[np.intp], inside: NDArray[np.bool_]) -> None:
        """Adds how the middle of the wire follows the background at its sides, and how the background does."""
        if inside.sum() < 8:
            return
        places: Values = np.arange(-3.0, 4.0) * _SIDE
        strip = course.straighten(picture, points[::_EVERY], places, cv2.INTER_CUBIC)[:, inside].astype(np.float64)
        strip -= strip.mean(axis=1, keepdims=True)
        for is_middle, middle in ((False, 1), (True, 3), (False, 5)):
            ground = (strip[middle - 1] + strip[middle + 1]) / 2
            own = strip[middle]
            figures = np.stack([(ground * ground), ground * own, own * own, np.ones_like(own)], axis=-1).sum(axis=1)
            if is_middle:
                np.add.at(self.shows, pace[inside], figures)
            else:
                self.shows[-1] += figures.sum(axis=0)


def fitted(sums: Sums, start: Section) -> tuple[Section, Values]:
    """The section that fits the columns best, and the width (PARTS,) of each part of the wire.

    Args:
        sums: columns.
        start: the section that is thought right: fitting begins there.
    """
    pooled, counts = sums.products.sum(axis=0), sums.columns.sum(axis=0)
    count = float(counts.sum()) / 3
    if count < 1:
        return start, np.full(PARTS, start.width)
    window = start.width / 2 + start.shutter * _PACES[-1] / 2 + _FLANK
    opacities = _opacities(sums)

    def cost(values: Values) -> float:
        section = Section(*np.exp(values))
        lens = (values[1] - np.log(_LENS)) / _LENS_SPREAD
        shutter = (section.shutter - _SHUTTER) / _SHUTTER_SPREAD
        if not (0.3 <= section.width <= WIDEST and 0.2 <= section.blur <= 2.5 and section.shutter <= 1):
            return 1e9
        seen = sum(((float(section.opacity(_MIDDLE, pace)[0]) - own) / error) ** 2 for pace, own, error in opacities)
        return float(count * np.log(_error(pooled, section, window)) + lens**2 + shutter**2 + _WEIGHT * seen)

    begin = np.log([start.width, start.blur, max(start.shutter, 0.05)])
    found = minimize(cost, begin, method="Nelder-Mead", options={"xatol": 5e-3, "fatol": 1e-2, "maxiter": 200})
    section = Section(*(float(value) for value in np.exp(found.x)))
    return section, _by_part(sums, section, window)


def _opacities(sums: Sums) -> list[tuple[float, float, float]]:
    """Opacity of the middle of a thin wire, as the background shows through it: for each pace, and its error."""
    ground, both, _, count = sums.shows[-1]
    told = both / max(ground, 1e-9)
    if count < 200 or told < _GOOD:
        return []
    result = []
    for pace, (ground, both, own, count) in zip(_PACES, sums.shows[:-1], strict=True):
        if count < 100 or pace > _SLOW or ground < 1e-6:
            continue
        slope = both / ground
        rest = max(own - slope * both, 0.0)
        error = float(np.hypot(np.sqrt(rest / ground / (count / _ALIKE)) / told, _SURE))
        result.append((pace, float(np.clip(1 - slope / told, 0, 1)), error))
    # Of a wire that lets nothing through, the shape tells all.
    return result if result and result[0][1] < _DENSE else []


def _by_part(sums: Sums, section: Section, window: float) -> Values:
    """Widths of the parts: a straight line along the wire through the width that fits each best."""
    scales = np.linspace(0.6, 1.5, 19)
    widths, weights = np.full(PARTS, section.width), np.zeros(PARTS)
    for part in range(PARTS):
        if sums.columns[part].sum() < 30:
            continue
        errors = [
            _error(sums.products[part], replace(section, width=section.width * scale), window) for scale in scales
        ]
        widths[part] = section.width * scales[int(np.argmin(errors))]
        weights[part] = sums.columns[part].sum()
    if (weights > 0).sum() < 3 or section.width < _TAPERS:
        return np.full(PARTS, section.width)
    line = np.polyfit(np.arange(PARTS), widths, 1, w=np.sqrt(weights))
    return np.asarray(np.polyval(line, np.arange(PARTS)).clip(0.6 * section.width, 1.5 * section.width))


def _error(products: Values, section: Section, window: float) -> float:
    """Share of the columns' energy within the window that background and section do not explain."""
    inside = np.abs(_ROWS) <= min(window, _HALF)
    rows, total, rest = _ROWS[inside], 1e-9, 1e-12
    for pace, sums in zip(_PACES, products, strict=True):
        own = sums[np.ix_(inside, inside)]
        if not own.any():
            continue
        ground, _ = np.linalg.qr(np.stack((np.ones(len(rows)), rows), axis=1))
        basis, _ = np.linalg.qr(np.column_stack((ground, section.opacity(rows, pace))))
        energy = float(np.trace(own))
        total += energy - float(np.einsum("ij,ik,kj->", ground, own, ground))
        rest += energy - float(np.einsum("ij,ik,kj->", basis, own, basis))
    return max(rest, 1e-9) / total


def rough_width(picture: Array, points: Points) -> float:
    """Width of a wire of which nothing is known, in pixels: the distance between its flanks at half its contrast."""
    strip = course.straighten(picture, points, _ROWS, cv2.INTER_LINEAR)
    strip = strip[:, course.inside(points, picture.shape[:2], -2.0)]
    if not strip.shape[1]:
        return 2.0
    middle, widths, weights = len(_ROWS) // 2, [], []
    smooth = cv2.GaussianBlur(strip, (0, 0), sigmaX=5, sigmaY=0.01)
    for number in range(0, smooth.shape[1], _EVERY):
        column = smooth[:, number]
        own = column[middle - 1 : middle + 2].mean(axis=0)
        best = (0.0, 2.0)
        for far in range(3, middle - 4):
            sides = (column[middle - far - 4 : middle - far] + column[middle + far + 1 : middle + far + 5]).mean(
                axis=0
            ) / 2
            contrast = own - sides
            size = float(contrast @ contrast)
            share = (column[middle - far : middle + far + 1] - sides) @ contrast / max(size, 1e-6)
            # As soon as both ends are down at the sides the wire is inside.
            if max(abs(share[0]), abs(share[-1])) < 0.25:
                best = (size, float(np.clip(share, 0, 1).sum() * _STEP))
                break
        widths.append(best[1])
        weights.append(best[0])
    order = np.argsort(widths)
    cumulated = np.cumsum(np.array(weights)[order]) + 1e-9
    return float(np.array(widths)[order][int(np.searchsorted(cumulated, cumulated[-1] / 2))])


def colors(picture: Array, points: Points, section: Section, motion: Values, certain: NDArray[np.bool_]) -> Array:
    """Colors (M, 3) of the wire along a course (N, 2), where it is certain (N,)."""
    return palette([samples(picture, points, section, motion, certain)])


def samples(picture: Array, points: Points, section: Section, motion: Values, certain: NDArray[np.bool_]) -> Values:
    """The color (S, 3) of the wire at places along it."""
    strip = course.straighten(picture, points, _ROWS, cv2.INTER_LINEAR)[:, ::_EVERY]
    keep = certain[::_EVERY] & course.inside(points[::_EVERY], picture.shape[:2], -1.0)
    every = []
    for number in np.flatnonzero(keep):
        window = np.abs(_ROWS) <= section.reach(float(motion[number * _EVERY])) + _FLANK
        rows = _ROWS[window]
        shape = section.opacity(rows, float(motion[number * _EVERY]))
        parts, *_ = np.linalg.lstsq(
            np.column_stack((np.ones(len(rows)), rows, shape)), strip[window, number].astype(np.float64), rcond=None
        )
        every.append(parts[0] + parts[2])
    return np.array(every).reshape(-1, 3)


def palette(several: Sequence[Values]) -> Array:
    """One color (1, 3) for samples (N, 3) each, or a dark one and a light one where they differ much."""
    every = np.concatenate(several) if len(several) else np.zeros((0, 3))
    if not len(every):
        return np.zeros((0, 3), np.float32)
    luma = every @ (0.2126, 0.7152, 0.0722)
    low, high = np.quantile(luma, (0.2, 0.8))
    if high - low < _GLINT:
        return np.asarray(np.median(every, axis=0)[None], np.float32)
    dark, light = every[luma <= np.quantile(luma, 0.35)], every[luma >= np.quantile(luma, 0.65)]
    return np.asarray([np.median(dark, axis=0), np.median(light, axis=0)], np.float32)
