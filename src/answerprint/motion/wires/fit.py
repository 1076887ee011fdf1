"""A course moved to where the wire is in a picture: first as a whole, then to a fraction of a pixel.

A whole course is turned, shifted and bent (a parabola, which is a catenary to second order) to where most of it looks
like the wire: a stronger edge that crosses it cannot lead it astray. Then the middle of the wire is sought in every
column, and a smooth curve is laid through what was sought, robustly: columns where the wire cannot be told from what
is behind it weigh nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from answerprint.motion.wires import course, evidence
from answerprint.motion.wires.course import Points
from answerprint.motion.wires.evidence import Appearance, Array

Values = NDArray[np.float64]

_PLACE = 8  # pixels along a course that are weighed as one
_CALM = 0.06  # of the likeness, that the farthest place costs
_DEGREE = 5  # of the curve
_BENDS = (np.inf, np.inf, 6.0, 2.0, 1.0, 0.5)  # pixels that each of its terms is wont to be off, at the most
_REACHES = (4.0, 2.5, 2.0)  # pixels beside the course, in turn, within which the middle is sought
_ROUNDS = 6  # of the robust fit
_OUTLIER = 3.0  # deviations from which on a column counts for nothing
_GRAIN = 6.0  # columns that go together: their errors are one error
_LEAST = 0.04  # pixels of error of a column at the least


@dataclass(frozen=True, eq=False)
class Fit:
    """A course in a picture.

    Attributes:
        points: (N, 2), a pixel apart.
        deviations: (N,) error to expect across, in pixels.
        quality: how much of what could be seen of the wire looks like it, 0..1.
        seen: share of the course along which it could be seen, 0..1.
    """

    points: Points
    deviations: Values
    quality: float
    seen: float


def fit(
    picture: Array,
    points: Points,
    wire: Appearance,
    motion: float,
    search: tuple[int, int],
    reaches: tuple[float, ...] = _REACHES,
) -> Fit:
    """The course where the wire is.

    Args:
        picture: (H, W, 3) float32 of 0..1.
        points: (N, 2) where it is thought to be, a pixel apart.
        wire: that is sought.
        motion: across, in pixels from frame to frame.
        search: pixels that it may be off by as a whole, and that it may bend.
        reaches: pixels beside the course, in turn, within which its middle is sought then.
    """
    if search[0]:
        points = course.dense(_placed(picture, points, wire, motion, search))
    deviations = np.full(len(points), np.inf)
    for reach in reaches:
        offsets, errors = _columns(picture, points, wire, motion, reach)
        shown = course.inside(points[:: evidence.COLUMNS], picture.shape[:2], -1.0)
        moved, deviations = _smooth(offsets, np.where(shown, errors, np.inf), len(points))
        points = points + moved[:, None] * course.normals(points)
    return Fit(points, deviations, *judged(picture, points, wire, motion))


def _placed(picture: Array, points: Points, wire: Appearance, motion: float, search: tuple[int, int]) -> Points:
    """The course turned, shifted and bent as a whole."""
    reach = search[0]
    side = reach + evidence.margin(wire.section, motion)
    strip = course.straighten(picture, points, np.arange(-side, side + 1.0))
    likely, _ = evidence.likeness(strip, wire, motion)
    shown = course.inside(points, picture.shape[:2], 0.0)
    likely[:, ~shown] = 0
    count = max(3, len(points) // _PLACE)
    edges = np.linspace(0, len(points), count + 1).astype(int)[:-1]
    score = np.add.reduceat(likely, edges, axis=1) / np.diff(edges, append=len(points))
    offsets = _bent(score.astype(np.float32), reach, search[1])
    at = np.interp(np.arange(len(points)), edges + (len(points) / count - 1) / 2, offsets)
    return points + at[:, None] * course.normals(points)


def _bent(score: Array, reach: int, bulge: int) -> Values:
    """The offsets (N,) of the straight line with a bulge that has the highest score (2 reach + 1, N)."""
    count = score.shape[1]
    along = np.linspace(0, 1, count)
    ends = np.arange(-reach, reach + 1, 2)
    wide = cv2.blur(score, (1, 3))
    first, last, bend = (
        each.reshape(-1, 1) for each in np.meshgrid(ends, ends, np.arange(-bulge, bulge + 1, 2), indexing="ij")
    )
    total = np.zeros(len(first), np.float32)
    for place, share in enumerate(along):
        rows = np.rint(first * (1 - share) + last * share + bend * (4 * share * (1 - share))).astype(int) + reach
        total += wide[rows[:, 0].clip(0, len(score) - 1), place]
    total -= np.float32(_CALM * score.max(axis=0).sum()) * (np.abs(first) + np.abs(last))[:, 0] / (2 * max(reach, 1))
    best = int(total.argmax())
    line = first[best] * (1 - along) + last[best] * along + bend[best] * (4 * along * (1 - along))
    return np.asarray(line.clip(-reach, reach), np.float64)


def _columns(picture: Array, points: Points, wire: Appearance, motion: float, reach: float) -> tuple[Values, Values]:
    half = int(np.ceil((reach + wire.section.reach(motion) + evidence.FLANK) / evidence.SPACING))
    offsets: Values = np.arange(-float(half), half + 1) * evidence.SPACING
    strip = course.straighten(picture, points[:: evidence.COLUMNS], offsets, cv2.INTER_CUBIC)
    return evidence.middle(strip, wire, motion, reach)


def _smooth(offsets: Values, deviations: Values, count: int) -> tuple[Values, Values]:
    """A smooth curve of `count` points through offsets (N,), and its error: weighted, and without outliers."""
    along: Values = np.linspace(-1, 1, count)
    basis = legendre.legvander(along[:: evidence.COLUMNS], _DEGREE)
    prior = np.diag(1 / np.square(_BENDS))
    weights = 1 / np.square(np.maximum(deviations, _LEAST)) / _GRAIN
    robust = np.ones(len(offsets))
    factors: Values = np.zeros(_DEGREE + 1)
    covariance: Values = np.zeros((_DEGREE + 1, _DEGREE + 1))
    for turn in range(_ROUNDS):
        own = (weights * robust)[:, None] * basis
        covariance = np.asarray(np.linalg.inv(basis.T @ own + prior + 1e-6 * np.eye(_DEGREE + 1)), np.float64)
        factors = covariance @ (own.T @ offsets)
        off = np.abs(offsets - basis @ factors)
        # The first rounds are wide: the curve must get near before columns are refused.
        spread = np.sqrt(deviations**2 + 0.15**2) * (4 if turn < 2 else 1)
        scaled = np.where(np.isfinite(deviations), off / np.maximum(spread, 1e-6), np.inf) / _OUTLIER
        robust = np.asarray(np.where(scaled < 1, (1 - np.minimum(scaled, 1) ** 2) ** 2, 0), np.float64)
    full = legendre.legvander(along, _DEGREE)
    return full @ factors, np.sqrt(np.einsum("nk,kj,nj->n", full, covariance, full))


def judged(picture: Array, points: Points, wire: Appearance, motion: float) -> tuple[float, float]:
    """Quality of a course and the share of it that can be seen, both 0..1."""
    own, could = weighed(picture, points, wire, motion)
    return float(own.sum() / max(could.sum(), 1e-6)), float(could.mean())


def weighed(picture: Array, points: Points, wire: Appearance, motion: float) -> tuple[Values, Values]:
    """How much every point (N,) of a course looks like the middle of the wire, and how much it could; 0 outside."""
    side = 1 + evidence.margin(wire.section, motion)
    strip = course.straighten(picture, points, np.arange(-side, side + 1.0))
    likely, could = evidence.likeness(strip, wire, motion)
    shown = course.inside(points, picture.shape[:2], 0.0)
    return np.where(shown, likely.max(axis=0), 0.0), np.where(shown, could[1], 0.0)
