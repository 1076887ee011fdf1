"""A wire followed from frame to frame, from one line that was drawn on one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from answerprint.motion.wires import course, fit, measure
from answerprint.motion.wires.course import Points, Size
from answerprint.motion.wires.evidence import Appearance, Array
from answerprint.motion.wires.section import Section

Values = NDArray[np.float64]

SHORTEST = 24.0  # pixels of a line that can be followed
_STATION = 8.0  # pixels from one station to the next
_SCALE = 960.0  # width of a picture for which distances are meant
_DRAWN = 8  # pixels that a line may be drawn beside the wire, and that it may be drawn too straight
_STRAY = 8.0  # pixels that drawn points may lie beside a parabola
_NEARER = (1.0, 0.5, 0.25)  # parts of that, within which it is sought
_ASTRAY = 0.02  # of quality, that a pixel between the line drawn and the wire costs
_WIDTHS = (1.2, 3.0, 6.0)  # pixels, that are tried where the width is not known
_SEARCH = 9  # pixels that a wire may go beyond where it was thought to go
_BULGE = 4  # pixels that it may bend from frame to frame
LOST = 0.38  # quality below which a wire is taken to be hidden
_SEEN = 0.03  # of it that must be visible
UNSURE = 3.0  # pixels of error across, where it is
_DAMPED = 0.7  # of its motion that it goes on with, where it is
_WIDER = 4  # pixels that it is sought farther for every frame that it is hidden
_WIDEST = 40
_BORDER = 12.0  # pixels from the border of the picture within which a line goes on beyond it
_ONWARD = 24.0  # pixels beyond an end within which it is sought
_HALF = 0.45  # of what could be seen, above which a wire goes on


@dataclass(frozen=True, eq=False)
class Wire:
    """A wire in a frame.

    Attributes:
        points: (K, 2) stations, evenly spaced from end to end.
        motion: (K,) across, in pixels from the frame before.
        deviations: (K,) error to expect across, in pixels.
        quality: how much of what could be seen of it looks like it, 0..1.
        misses: frames in a row, this one the last, in which it was hidden.
        open: whether the first and the last end leave the picture.
    """

    points: Points
    motion: Values
    deviations: Values
    quality: float
    misses: int
    open: tuple[bool, bool]

    @property
    def pace(self) -> float:
        """Median motion across, in pixels from frame to frame."""
        return float(np.median(np.abs(self.motion)))


def begin(picture: Array, drawn: Points, width: float | None, beside: Sequence[Array] = ()) -> tuple[Wire, Appearance]:
    """A wire from a line that was drawn, and what it looks like.

    Args:
        picture: (H, W, 3) float32 of 0..1, the frame that it was drawn on.
        drawn: (N, 2) points of the line.
        width: of the wire in pixels, where it is known.
        beside: pictures before or after, which tell how it moves.
    """
    size = picture.shape[:2]
    line = smooth(drawn, _STRAY * _scale(size))
    is_open = (
        course.leaves(line[0], size, _BORDER * _scale(size)),
        course.leaves(line[-1], size, _BORDER * _scale(size)),
    )
    line = _to_borders(line, is_open, size)
    unknown = _strongest(picture, line, width)
    count = max(8, round(course.lengths(unknown[0].points)[-1] / _STATION))
    wire, section = _settled(unknown[0], count, is_open, size, None), unknown[1].section
    motions = [step(wire, unknown[1], other, loose=True).motion for other in beside]
    motion = np.mean(np.abs(motions), axis=0) if motions else np.zeros(count)
    look = appearance(picture, wire.points, motion, section, width is not None)
    # Its colors are known now: from the line that was drawn, once more.
    reach = round(_DRAWN * _scale(size))
    pace = float(np.median(motion))
    again = fit.fit(picture, line, look, pace, (reach, reach))
    wire = _settled(again, count, is_open, size, None)
    return wire, appearance(picture, wire.points, motion, look.section, width is not None)


def smooth(drawn: Points, stray: float) -> Points:
    """The course that was meant by points drawn by hand: a parabola where none is farther from it than `stray`."""
    line = course.dense(drawn)
    along = course.lengths(drawn) / max(course.lengths(drawn)[-1], 1e-9)
    degree = min(2, len(drawn) - 1)
    curve = np.stack([np.polyval(np.polyfit(along, drawn[:, axis], degree), along) for axis in (0, 1)], axis=1)
    if np.hypot(*(curve - drawn).T).max() > stray:
        return line
    fine = np.linspace(0, 1, len(line))
    return course.dense(
        np.stack([np.polyval(np.polyfit(along, drawn[:, axis], degree), fine) for axis in (0, 1)], axis=1)[::4]
    )


def _strongest(picture: Array, line: Points, width: float | None) -> tuple[fit.Fit, Appearance]:
    """The wire near a line, where nothing is known of its colors, and its section."""
    scale = _scale(picture.shape[:2])
    best: tuple[float, fit.Fit, Appearance] | None = None
    # Farther off there may be something stronger: the line is sought near where it was drawn, too.
    for guess, reach in product((width,) if width else _WIDTHS, (round(part * _DRAWN * scale) for part in _NEARER)):
        look = Appearance(Section(guess), np.zeros((0, 3), np.float32))
        first = fit.fit(picture, line, look, 0.0, (reach, reach))
        if not width:
            look = replace(look, section=Section(max(measure.rough_width(picture, first.points), 0.8)))
            first = fit.fit(picture, first.points, look, 0.0, (0, 0))
        # Something wide beside it may be a stronger ridge, but it hardly has one section and one color throughout.
        own = appearance(picture, first.points, np.zeros(len(first.points)), look.section, width is not None)
        moved = np.hypot(*(course.nearest(line, first.points) - first.points).T)
        score = fit.judged(picture, first.points, own, 0.0)[0] - _ASTRAY * float(np.sqrt((moved**2).mean()))
        if best is None or score > best[0]:
            best = score, first, look
    assert best is not None
    return best[1], best[2]


def appearance(picture: Array, stations: Points, motion: Values, start: Section, is_width_known: bool) -> Appearance:
    """Section and colors of a wire in one frame."""
    points = course.dense(stations)
    along = np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, len(motion)), motion)
    certain = np.ones(len(points), bool)
    sums = measure.Sums.none()
    sums.add(picture, points, along, certain)
    section, _ = measure.fitted(sums, start)
    if is_width_known:
        section = replace(section, width=start.width)
    return Appearance(section, measure.colors(picture, points, section, along, certain))


def step(wire: Wire, look: Appearance, picture: Array, loose: bool = False) -> Wire:
    """The wire in the next frame (or the one before: the order is the caller's).

    Args:
        wire: in the frame before.
        look: what it looks like.
        picture: (H, W, 3) float32 of 0..1.
        loose: whether nothing is known of its motion yet.
    """
    size = picture.shape[:2]
    scale = _scale(size)
    ahead = wire.points + wire.motion[:, None] * course.normals(wire.points)
    line = _to_borders(course.dense(ahead), wire.open, size)
    reach = round((_SEARCH + (6 if loose else 0.4 * wire.pace) + _WIDER * wire.misses) * scale)
    bulge = round((_BULGE + 0.4 * wire.pace) * scale)
    if course.lengths(line)[-1] < SHORTEST or not course.inside(line, size, -2.0).any():
        return _hidden(wire, ahead)
    result = fit.fit(picture, line, look, wire.pace, (min(reach, round(_WIDEST * scale)), bulge))
    if result.quality < LOST or result.seen < _SEEN:
        return _hidden(wire, ahead)
    # What lies beyond its ends must not draw the curve: it only says where the wire ends.
    own = 0 if wire.open[0] else _ONWARD, 0 if wire.open[1] else _ONWARD
    result = _ended(picture, _onward(result, own), look, wire, own)
    return _settled(result, len(wire.points), wire.open, size, wire)


def _scale(size: Size) -> float:
    return max(1.0, size[1] / _SCALE)


def _hidden(wire: Wire, ahead: Points) -> Wire:
    return replace(
        wire,
        points=ahead,
        motion=wire.motion * _DAMPED,
        deviations=np.full(len(ahead), UNSURE) * (wire.misses + 1),
        quality=0.0,
        misses=wire.misses + 1,
    )


def _to_borders(line: Points, is_open: tuple[bool, bool], size: Size) -> Points:
    """The line with ends that leave the picture a few pixels outside it, not farther."""
    reach = 2 * _BORDER * _scale(size)
    line = course.extended(line, reach if is_open[0] else 0, reach if is_open[1] else 0)
    places = np.flatnonzero(course.inside(line, size))
    if len(places) < 3:
        return line
    first, last = places[0] if is_open[0] else 0, places[-1] if is_open[1] else len(line) - 1
    return line[first : last + 1]


def _onward(result: fit.Fit, own: tuple[float, float]) -> fit.Fit:
    """A fit whose course goes on beyond its ends by so many pixels, where it is as sure as at these."""
    points = course.extended(result.points, *own)
    deviations = np.pad(result.deviations, (int(own[0]), int(own[1])), mode="edge")
    return replace(result, points=points, deviations=deviations)


def _ended(picture: Array, result: fit.Fit, look: Appearance, wire: Wire, onward: tuple[float, float]) -> fit.Fit:
    """The course cut where the wire ends inside the picture."""
    own, could = fit.weighed(picture, result.points, look, wire.pace)
    first, last = 0, len(own)
    for side, far in enumerate(onward):
        if not far:
            continue
        # From two reaches inside to the outermost point: where the sum of what speaks for the wire is highest.
        around = int(min(2 * far, len(own) // 2))
        gain = own - _HALF * could
        if side:
            last = len(own) - around + _best_end(gain[len(own) - around :], around - int(far))
        else:
            first = around - _best_end(gain[:around][::-1], around - int(far))
    if last - first < SHORTEST:
        first, last = int(onward[0]), len(own) - int(onward[1])
    return replace(result, points=result.points[first:last], deviations=result.deviations[first:last])


def _best_end(gain: Values, usual: int) -> int:
    """How many of the points are the wire; `usual` where nothing speaks for another number."""
    total = np.concatenate(([0.0], np.cumsum(gain)))
    total -= 0.02 * np.abs(np.arange(len(total)) - usual)
    return int(total.argmax())


def _settled(result: fit.Fit, count: int, is_open: tuple[bool, bool], size: Size, before: Wire | None) -> Wire:
    """The stations of a course, and how they moved."""
    line = _to_borders(result.points, is_open, size)
    points = course.resample(line, count)
    deviations = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(result.deviations)), result.deviations)
    motion = np.zeros(count)
    if before is not None:
        motion = motion_between(before.points, points) / (before.misses + 1)
    return Wire(points, motion, deviations, result.quality, 0, is_open)


def motion_between(before: Points, after: Points) -> Values:
    """How far (K,) the stations of a course moved across it, smooth along it."""
    across = course.normals(after)
    # A place slides along the wire, which cannot be seen: what counts is how far the other course is, straight across.
    line = course.extended(course.dense(before), _ONWARD, _ONWARD)
    beside = course.nearest(line, after)
    moved = ((after - beside) * across).sum(axis=1)
    along = np.linspace(-1, 1, len(after))
    return np.asarray(np.polyval(np.polyfit(along, moved, min(3, len(after) - 1)), along))
