"""Wires followed through a shot: from their key frames both ways, then once more with what the whole shot says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from answerprint.frame import Frame, Shot
from answerprint.motion.wires import course, fit, measure, track, trail
from answerprint.motion.wires.evidence import Appearance
from answerprint.motion.wires.track import Wire
from answerprint.motion.wires.trail import Trail
from answerprint.operations.wires.lines import Line

Array = NDArray[np.float32]
Values = NDArray[np.float64]
Say = Callable[[str], None]

_BLOCK = 12  # frames that are read at once, backwards
_CERTAIN = 0.35  # pixels of error up to which a column is measured
_CLEAR = 0.5  # of what it could be seen of a column, from which on it is measured
_SAMPLES = 12  # frames whose colors are measured


def picture_of(frame: Frame) -> Array:
    """The frame's picture (H, W, 3), finite everywhere."""
    pixels = frame.pixels.detach().cpu()
    if not bool(pixels.sum().isfinite()):  # a sum is, only where all are
        pixels = pixels.nan_to_num(nan=0.0, posinf=1.0, neginf=0.0)
    return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())


def follow(shot: Shot, lines: Sequence[Line], say: Say | None = None) -> list[Trail]:
    """The trails of wires that were drawn or found on frames of a shot, in the order of the lines."""
    runs: dict[int, _Run] = {}
    for frame in sorted({line.frame for line in lines}):
        numbers = [number for number, line in enumerate(lines) if line.frame == frame]
        beside = [other for other in (frame - 1, frame + 1) if 0 <= other < shot.length]
        near = sorted([frame, *beside])
        frames = shot.frames(near[0], near[-1] + 1)
        pictures = {number: picture_of(one) for number, one in zip(near, frames, strict=True)}
        for number in numbers:
            wire, look = track.begin(
                pictures[frame],
                lines[number].points,
                lines[number].width,
                [pictures[other] for other in beside],
            )
            runs[number] = _Run(shot.length, frame, wire, look)
        own = [runs[number] for number in numbers]
        _along(own, enumerate(shot.frames(frame + 1), frame + 1), say)
        for run in own:
            run.turn()
        _along(own, _backwards(shot, frame), say)
    return _refined(shot, [runs[number] for number in range(len(lines))], say)


class _Run:
    """A wire while it is followed."""

    def __init__(self, length: int, frame: int, wire: Wire, look: Appearance) -> None:
        self.frame, self.first, self.wire, self.look = frame, wire, wire, look
        count = len(wire.points)
        self.points = np.zeros((length, count, 2))
        self.deviations = np.full((length, count), np.inf)
        self.present = np.zeros(length, bool)
        self.put(frame)

    def put(self, frame: int) -> None:
        self.points[frame], self.deviations[frame] = self.wire.points, self.wire.deviations
        self.present[frame] = True

    def turn(self) -> None:
        """Back to the key frame, to go the other way."""
        moved = np.zeros(len(self.first.points))
        after = self.frame + 1
        if after < len(self.points) and self.present[after]:
            moved = track.motion_between(self.points[after], self.first.points)
        self.wire = Wire(self.first.points, moved, self.first.deviations, 1.0, 0, self.first.open)

    def trail(self) -> Trail:
        widths = np.full(measure.PARTS, self.look.section.width)
        everywhere = np.ones(self.points.shape[:2], bool)
        return Trail(
            self.points, self.deviations, self.present, everywhere, self.first.open, self.look.section, widths,
            self.look.colors,
        )  # fmt: skip


def _along(runs: Sequence[_Run], frames: Iterator[tuple[int, Frame]], say: Say | None) -> None:
    for number, frame in frames:
        picture: Array | None = None
        for run in runs:
            if run.wire.misses > trail.PATIENCE:
                continue
            picture = picture_of(frame) if picture is None else picture
            run.wire = track.step(run.wire, run.look, picture, loose=abs(number - run.frame) == 1)
            if run.wire.misses <= trail.PATIENCE:
                run.put(number)
        if picture is None:
            break  # none of them is left
        if say is not None and number % 20 == 0:
            say(f"wires: frame {number}")
    for run in runs:
        _drop_tail(run)


def _drop_tail(run: _Run) -> None:
    """A wire that was looked for in vain until it was given up, was gone since it was seen last."""
    sure = np.isfinite(run.deviations).all(axis=1) & (np.median(run.deviations, axis=1) < track.UNSURE)
    seen = np.flatnonzero(run.present & sure)
    if run.wire.misses and len(seen):
        run.present[: seen[0]] = False
        run.present[seen[-1] + 1 :] = False


def _backwards(shot: Shot, stop: int) -> Iterator[tuple[int, Frame]]:
    """Frames before `stop` with their numbers, the last first; a few at a time are in memory."""
    while stop > 0:
        start = max(0, stop - _BLOCK)
        yield from reversed(list(enumerate(shot.frames(start, stop), start)))
        stop = start


def _refined(shot: Shot, runs: Sequence[_Run], say: Say | None) -> list[Trail]:
    """The second look: every course settled by its neighbors and fitted again, section and hidden parts measured."""
    passes = [_Second(run.trail().settled()) for run in runs]
    for number, frame in enumerate(shot.frames()):
        if any(one.trail.present[number] for one in passes):
            picture = picture_of(frame)
            for one in passes:
                one.look(picture, number)
        if say is not None and number % 20 == 0:
            say(f"wires: frame {number}, second look")
    return [one.result() for one in passes]


class _Second:
    """A wire at the second look."""

    def __init__(self, before: Trail) -> None:
        self.trail = before
        self.points, self.deviations = before.points.copy(), before.deviations.copy()
        self.own, self.could = np.zeros(before.deviations.shape), np.zeros(before.deviations.shape)
        self.sums, self.palettes = measure.Sums.none(), list[Values]()
        frames = np.flatnonzero(before.present)
        self.sampled = set(frames[:: max(1, len(frames) // _SAMPLES)].tolist())

    def look(self, picture: Array, number: int) -> None:
        if not self.trail.present[number]:
            return
        motion = self.trail.motion(number)
        pace = float(np.median(motion))
        look = Appearance(self.trail.section, self.trail.colors)
        line = course.dense(self.trail.points[number])
        if len(line) < track.SHORTEST:
            return
        sure = float(np.median(self.trail.deviations[number]))
        result = fit.fit(picture, line, look, pace, (0, 0), (max(2.0, min(3 * sure, 5.0)), 2.0))
        count = self.points.shape[1]
        own, could = fit.weighed(picture, result.points, look, pace)
        self.own[number], self.could[number] = (_by_station(values, count) for values in (own, could))
        if result.quality < track.LOST:
            return  # it cannot be seen: its neighbors know better
        self.points[number] = course.resample(result.points, count)
        at = np.linspace(0, 1, count)
        self.deviations[number] = np.interp(at, np.linspace(0, 1, len(result.points)), result.deviations)
        certain = (result.deviations < _CERTAIN) & (ndimage.uniform_filter1d(own, 9) > _CLEAR)
        along = np.interp(np.linspace(0, 1, len(result.points)), at, motion)
        self.sums.add(picture, result.points, along, certain)
        if number in self.sampled:
            self.palettes.append(measure.samples(picture, result.points, look.section, along, certain))

    def result(self) -> Trail:
        before = self.trail
        section, widths = measure.fitted(self.sums, before.section)
        colors = measure.palette(self.palettes) if self.palettes else before.colors
        visible = trail.shown(self.own, self.could) if len(self.own) else before.shown
        return Trail(
            self.points, self.deviations, before.present, visible, before.open, section, widths, colors
        ).settled()


def _by_station(values: Values, count: int) -> Values:
    """Means (K,) of values along a course around its stations."""
    smooth = ndimage.uniform_filter1d(values, max(1, round(len(values) / count)), mode="nearest")
    return np.asarray(np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(values)), smooth))
