"""A wire through a whole shot: its courses settled over time, where it is hidden, how it moves, what it covers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from answerprint.motion.wires import course
from answerprint.motion.wires.course import Points, Size
from answerprint.motion.wires.section import Section

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

PATIENCE = 12  # frames in a row that a wire may be hidden and still be where it was going
_AROUND = 6  # frames before and after, most of which say where an end is
_SIDES = 3  # frames before and after, by which a course is settled
_JERK = 0.25  # pixels a course may go other than steadily in one frame; it grows with the square of their number
_OUTLYING = 3.0  # pixels beyond which another frame's course says nothing of this one
_HIDDEN = 0.25  # of what could be seen, below which a part is hidden
_ENOUGH = 0.9  # of what could be seen of a part in three frames, to say so
_TIP = 3.0  # pixels past an end that may still be wire: where it ends is known no better
_CAP = 1.0  # pixels over which it fades then


@dataclass(frozen=True, eq=False)
class Trail:
    """A wire in the T frames of a shot.

    Attributes:
        points: (T, K, 2) stations, evenly spaced from end to end.
        deviations: (T, K) error to expect across, in pixels.
        present: (T,) whether it is in the frame at all.
        shown: (T, K) where nothing hides it.
        open: whether the first and the last end leave the picture.
        section: across.
        widths: (P,) in pixels, of P equal parts from end to end.
        colors: (M, 3) of it.
    """

    points: Points
    deviations: Values
    present: Flags
    shown: Flags
    open: tuple[bool, bool]
    section: Section
    widths: Values
    colors: NDArray[np.float32]

    def motion(self, frame: int) -> Values:
        """How fast (K,) its stations move across in a frame, in pixels from frame to frame."""
        others = [other for other in (frame - 1, frame + 1) if 0 <= other < len(self.points) and self.present[other]]
        if not others:
            return np.zeros(self.points.shape[1])
        moved = [np.abs(_beside(self.points[other], self.points[frame])) for other in others]
        # Between two frames the speed of the moment is the mean of those to both.
        if len(others) == 2:
            signed = [_beside(self.points[other], self.points[frame]) for other in others]
            moved = [np.abs(signed[1] - signed[0]) / 2]
        return np.asarray(ndimage.gaussian_filter1d(moved[0], 2, mode="nearest"))

    def settled(self) -> Trail:
        """The same with every course held against those of the frames around it, each by how sure it is."""
        whole = replace(self, points=_with_settled_ends(self))
        points, deviations = whole.points.copy(), self.deviations.copy()
        for frame in np.flatnonzero(self.present):
            points[frame], deviations[frame] = _settle(whole, int(frame))
        return replace(self, points=points, deviations=deviations)


def _with_settled_ends(trail: Trail) -> Points:
    """The stations (T, K, 2) with ends inside the picture where most frames around have them.

    For a few frames a wire is hard to tell from what is behind its end, and seems shorter or longer.
    """
    result, frames = trail.points.copy(), np.flatnonzero(trail.present)
    for frame in frames:
        near = frames[(np.abs(frames - frame) <= _AROUND) & (frames != frame)]
        if len(near) < 3:
            continue
        line = course.dense(trail.points[frame])
        for side, is_open in enumerate(trail.open):
            if is_open:
                continue
            end, inner = (line[0], line[min(8, len(line) - 1)]) if side == 0 else (line[-1], line[-min(9, len(line))])
            ahead = (end - inner) / max(float(np.hypot(*(end - inner))), 1e-9)
            missing = float(np.median((trail.points[near, -side] - end) @ ahead))
            if abs(missing) > _TIP:
                line = _lengthened(line, missing, side)
        result[frame] = course.resample(line, trail.points.shape[1])
    return result


def _lengthened(line: Points, by: float, side: int) -> Points:
    """A dense course made longer at its first (0) or last (1) end by so many pixels, or shorter."""
    if by > 0:
        return course.extended(line, by if side == 0 else 0, by if side else 0)
    cut = min(int(-by), len(line) - 3)
    return line[cut:] if side == 0 else line[: len(line) - cut]


def _settle(trail: Trail, frame: int) -> tuple[Points, Values]:
    own = trail.points[frame]
    offsets, weights, steps = [np.zeros(len(own))], [1 / trail.deviations[frame] ** 2], [0]
    for other in _around(trail, frame):
        step = other - frame
        offset = _beside(trail.points[other], own)
        error = trail.deviations[other] ** 2 + (_JERK * step * step) ** 2
        offsets.append(offset)
        weights.append(1 / error)
        steps.append(step)
    if len(steps) < 4:
        return own, trail.deviations[frame]
    at, value, weight = np.array(steps, float), np.array(offsets), np.array(weights)
    basis = np.stack((np.ones(len(at)), at, at * at), axis=1)
    normal = np.einsum("na,nk,nb->kab", basis, weight, basis) + 1e-9 * np.eye(3)
    right = np.einsum("na,nk,nk->ka", basis, weight, value)
    moved = np.linalg.solve(normal, right[..., None])[:, 0, 0]
    error = np.sqrt(np.linalg.inv(normal)[:, 0, 0])
    moved = ndimage.gaussian_filter1d(moved, 2, mode="nearest")
    return own + moved[:, None] * course.normals(own), np.minimum(error, trail.deviations[frame])


def _around(trail: Trail, frame: int) -> list[int]:
    """Frames around one that say where it is: those beside it, or farther off where it is hidden there."""
    sure = trail.present & (np.median(trail.deviations, axis=1) < 1.0)
    before = [other for other in range(frame - 1, max(frame - PATIENCE, 0) - 1, -1) if sure[other]][:_SIDES]
    after = [other for other in range(frame + 1, min(frame + PATIENCE, len(sure) - 1) + 1) if sure[other]][:_SIDES]
    return before + after


def _beside(line: Points, stations: Points) -> Values:
    """How far (K,) a course lies from stations, across them."""
    whole = course.extended(course.dense(line), 32, 32)
    return np.asarray(((course.nearest(whole, stations) - stations) * course.normals(stations)).sum(axis=1))


def shown(own: Values, could: Values) -> Flags:
    """Where (T, K) a wire is not hidden, by what looks like it and what could; where nothing can be told, as before.

    Args:
        own: (T, K) how much of each station looks like it.
        could: (T, K) how much could.
    """
    kernel = np.ones((3, 3))
    looks, most = (ndimage.convolve(values, kernel, mode="constant") for values in (own, could))
    whole = ndimage.convolve(np.ones_like(own), kernel, mode="constant")
    enough = most > _ENOUGH * whole / 3
    hidden = enough & (looks < _HIDDEN * most)
    # Hidden is what is hidden for more than a moment and a spot.
    hidden = ndimage.binary_opening(hidden, np.ones((min(3, len(own)), min(3, own.shape[1]))))
    result = ~hidden
    for column in range(own.shape[1]):
        told = np.flatnonzero(enough[:, column])
        if len(told):
            nearest = told[np.abs(np.arange(len(own))[:, None] - told).argmin(axis=1)]
            near = np.abs(nearest - np.arange(len(own))) <= PATIENCE
            result[:, column] &= ~(near & hidden[nearest, column])
    return result


@dataclass(frozen=True, eq=False)
class Cover:
    """What a wire covers of a picture: N pixels.

    Attributes:
        rows: (N,) lines.
        columns: (N,) columns.
        opacity: (N,) 0..1.
        along: (N,) pixels along the wire; below 0 and beyond its length where it may have ended already.
        across: (N,) pixels from its middle, to the right of it above 0.
        line: (M, 2) its course, a pixel apart.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    opacity: Values
    along: Values
    across: Values
    line: Points


def cover(trail: Trail, frame: int, size: Size, beyond: float = 0.0) -> Cover | None:
    """What the wire covers of a frame; None where it is not in it.

    Args:
        trail: of the wire.
        frame: of the shot.
        size: height and width of the picture.
        beyond: pixels beside it that are listed too, with the opacity 0 that they have.
    """
    if not trail.present[frame] or not trail.shown[frame].any():
        return None
    line = course.dense(trail.points[frame])
    at = np.linspace(0, 1, len(line))
    stations = np.linspace(0, 1, trail.points.shape[1])
    motion = np.interp(at, stations, trail.motion(frame))
    widths = np.interp(at, (np.arange(len(trail.widths)) + 0.5) / len(trail.widths), trail.widths)
    share = _shares(np.interp(at, stations, trail.shown[frame].astype(float)) > 0.5)
    reach = trail.section.reach(float(motion.max())) + float(widths.max() - trail.section.width) / 2 + beyond
    rows, columns = _band(line, reach + 1, size)
    if not len(rows):
        return None
    pixels = np.stack((columns, rows), axis=1).astype(float)
    _, number = cKDTree(line).query(pixels)
    ahead = np.gradient(line, axis=0)
    ahead /= np.maximum(np.hypot(ahead[:, 0], ahead[:, 1]), 1e-9)[:, None]
    away = pixels - line[number]
    forward = (ahead[number] * away).sum(axis=1)
    across = ahead[number, 0] * away[:, 1] - ahead[number, 1] * away[:, 0]
    opacity = trail.section.opacity(across, motion[number], widths[number]) * share[number]
    for end, direction, is_open in ((0, -1, trail.open[0]), (len(line) - 1, 1, trail.open[1])):
        past = (number == end) & (direction * forward > 0) & (not is_open)
        opacity[past] *= np.clip((_TIP + _CAP - np.abs(forward[past])) / _CAP, 0, 1)
    near = np.abs(across) <= reach
    return Cover(rows[near], columns[near], opacity[near], (number + forward)[near], across[near], line)


def _shares(visible: Flags) -> Values:
    """Opacity (N,) along a course: 1 where it is visible, soft over a pixel."""
    return np.asarray(ndimage.gaussian_filter1d(visible.astype(float), 0.5, mode="nearest"))


def _band(line: Points, reach: float, size: Size) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Lines and columns of the pixels within reach of a course."""
    marks = np.zeros(size, np.uint8)
    points = np.rint(line * 16).astype(np.int32)
    cv2.polylines(marks, [points], False, 1, max(1, int(np.ceil(2 * reach)) + 2), cv2.LINE_8, 4)
    rows, columns = np.nonzero(marks)
    return rows, columns
