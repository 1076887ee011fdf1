"""Takes wires out: drawn on one frame or found, followed through the shot, and replaced by what is behind them.

A wire is a smooth curve whose cross section has a width, a blur and a color (motion/wires). From the line that was
drawn it is followed both ways, each curve held against those of the frames around it, to a fraction of a pixel; so its
opacity is known at every pixel. Where that is low the wire is un-mixed: the real background and its grain stay. What it
hides comes from other frames along the flow of the background, or is interpolated across along the structure of its
sides, whichever errs less where the answer is known. Wires that were found are listed, and removed only where `removed`
in the findings names them: power lines stay. No other pixel is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from answerprint.assets import Assets
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.motion.wires import search, trail
from answerprint.motion.wires.trail import Cover, Trail
from answerprint.noise import measure, synth
from answerprint.operations.wires import saved
from answerprint.operations.wires.body import Body
from answerprint.operations.wires.follow import follow, picture_of
from answerprint.operations.wires.lines import Line, lines_of
from answerprint.operations.wires.params import Findings as Findings
from answerprint.operations.wires.params import Params as Params
from answerprint.operations.wires.remove import removed
from answerprint.operations.wires.temporal import RIM
from answerprint.operations.wires.window import VISIBLE, Window

COST = 2.0
OWN = ("finite",)

Say = Callable[[str], None]
Values = NDArray[np.float64]

_LOOKS = 3  # frames of a shot in which wires are sought
_ROUND = 4096.0  # steps of noise in findings


def handles(params: Params) -> int:
    """Frames on each side that the background of a wire may come from."""
    return 0 if params.deliver == "matte" else params.reach


def analyze(shot: Shot, params: Params, say: Say | None, assets: Assets) -> Findings:
    """Follows the wires of a shot.

    Raises:
        SettingsError: the keys do not say what they must, a line lies outside the picture, the shot is interlaced.
        MediaError: a file cannot be read.
    """
    first = next(iter(shot.frames(0, 1)))
    _require_progressive(first, shot.start)
    drawn = []
    if params.keys is not None:
        drawn = lines_of(params.keys, shot.start, shot.length, (first.width, first.height))
    found = _found(shot, drawn) if params.find or params.keys is None else []
    if not drawn and not found:
        return Findings(summary="no wire" + ("" if params.keys is None else " is drawn in this shot"))
    trails = follow(shot, [*drawn, *found], say)
    times = [frame.time for frame in shot.frames()]
    kept = tuple(range(1, len(drawn) + 1))
    words = tuple(_words(each, "drawn" if n < len(drawn) else "found", shot.start) for n, each in enumerate(trails))
    lost = sorted({int(n) + shot.start for each in trails[: len(drawn)] for n in np.flatnonzero(~each.present)})
    levels, size = _grain(shot)
    count = f"{len(kept)} of {len(trails)} wires removed"
    return Findings(
        tracks=saved.save(trails, times, assets),
        wires=words,
        removed=kept,
        lost=tuple(lost),
        noise=levels,
        grain_size=size,
        summary=count + (f"; not seen in {len(lost)} frames" if lost else ""),
        note="" if drawn else "wires that were found stay until `removed` names them",
    )


def _found(shot: Shot, drawn: list[Line]) -> list[Line]:
    """Wires in a few frames of a shot that are not drawn, none of them twice."""
    lines: list[Line] = []
    for number in shot.positions(_LOOKS):
        picture = picture_of(next(iter(shot.frames(number, number + 1))))
        if lines:
            break  # the first frame that shows any names them all; they are followed from there
        lines = [Line(number, points) for points in search.find(picture)]
    return [line for line in lines if not any(search.is_same(line.points, other.points[[0, -1]]) for other in drawn)]


def _words(wire: Trail, source: str, start: int) -> str:
    frames = np.flatnonzero(wire.present)
    if not len(frames):
        return f"{source}, never seen"
    peak = float(wire.section.opacity(np.zeros(1))[0])
    return (
        f"{source}, frames {start + int(frames[0])} to {start + int(frames[-1])}, {wire.section.width:.1f} px wide, "
        f"opacity {peak:.2f}, seen in {len(frames) / len(wire.present):.0%}"
    )


def _grain(shot: Shot) -> tuple[tuple[float, ...], float]:
    """Deviations of a shot's grain by channel and luma, and the pixels over which it hangs together."""
    noises = []
    for number in shot.positions(3):
        pair = [torch.nan_to_num(frame.pixels.cpu()) for frame in shot.frames(number, number + 2)]
        noises.append(measure.measure(*pair))
    levels = np.median([noise.levels for noise in noises], 0)
    size = float(np.median([noise.reach for noise in noises]))
    return tuple(round(float(value) * _ROUND) / _ROUND for value in levels.ravel()), round(size, 3)


def _require_progressive(frame: Frame, number: int) -> None:
    if frame.field_order in ("tff", "bff"):
        raise SettingsError(
            f"frame {number} is interlaced, and a wire is at two places in it; deinterlace first: "
            "answerprint deinterlace INPUT -o OUTPUT, or deinterlace before wires in the chain"
        )


def run(frames: Iterator[Frame], params: Params, findings: Findings, assets: Assets) -> Iterator[Frame]:
    """Frames without the wires that `removed` names.

    Raises:
        SettingsError: the tracks are missing, are of another shot, or have no wire of such a number.
    """
    wires = _wires(findings, assets)
    if params.deliver == "matte":
        yield from (_matte(frame, wires.at(frame)) for frame in frames)
    elif not wires.trails:
        yield from frames
    else:
        yield from _Cleaner(params, findings, wires)(frames)


class _Wires:
    """The wires that are removed, and what they cover of a frame."""

    def __init__(self, tracks: saved.SavedTrails | None, numbers: tuple[int, ...]) -> None:
        self._tracks = tracks
        self.trails = [] if tracks is None else [tracks.trails[number - 1] for number in numbers]

    def at(self, frame: Frame, beyond: float = 0.0) -> list[tuple[Trail, Cover]]:
        """Each wire that is in a frame, and what it covers."""
        if self._tracks is None or not self.trails:
            return []
        number, size = self._tracks.number_at(frame.time), (frame.height, frame.width)
        found = ((each, trail.cover(each, number, size, beyond)) for each in self.trails)
        return [(each, cover) for each, cover in found if cover is not None]


def _wires(findings: Findings, assets: Assets) -> _Wires:
    tracks = saved.SavedTrails(assets.path(findings.tracks)) if findings.tracks else None
    count = 0 if tracks is None else len(tracks.trails)
    wrong = [number for number in findings.removed if not 1 <= number <= count]
    if wrong:
        raise SettingsError(f"findings of wires: removed names wire {wrong[0]}; there are {count}")
    return _Wires(tracks, findings.removed)


def _matte(frame: Frame, present: list[tuple[Trail, Cover]]) -> Frame:
    plane = np.zeros((frame.height, frame.width), np.float32)
    for _, cover in present:
        np.maximum.at(plane, (cover.rows, cover.columns), cover.opacity.astype(np.float32))
    matte = torch.from_numpy(plane)[None]
    return replace(frame.with_pixels(matte.expand(3, -1, -1).contiguous()), matte=matte, alpha=None)


class _Cleaner:
    """Frames without wires: each once those after it that its background may come from are there."""

    def __init__(self, params: Params, findings: Findings, wires: _Wires) -> None:
        self._params, self._findings, self._wires = params, findings, wires
        self._window = Window(params.reach)
        self._present: dict[int, list[tuple[Trail, Cover]]] = {}
        self._body = None if params.body is None else Body(params.body)

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        number, ready = -1, 0
        try:
            for number, frame in enumerate(frames):
                self._present[number] = self._wires.at(frame, RIM + 2)
                self._window.put(number, frame, tuple(cover for _, cover in self._present[number]))
                if number - ready == self._params.reach:
                    yield self._clean(ready)
                    ready += 1
            for rest in range(ready, number + 1):
                yield self._clean(rest)
        finally:
            self._window.close()

    def _clean(self, number: int) -> Frame:
        frame, present = self._window.frame(number), self._present.pop(number)
        if not present:
            return frame
        pixels, body = frame.pixels.clone(), None if self._body is None else self._body.at(frame)
        for index, (wire, cover) in enumerate(present):
            values, missing = removed(self._window, number, cover, wire.colors, self._params.reach)
            some = cover.opacity > VISIBLE
            if body is not None:
                some &= ~body[cover.rows, cover.columns]
            # A number that is the same in every chunk.
            seed = (round(frame.time * 1000), index)
            values = values + self._grain(values, cover, missing, seed)
            rows, columns = torch.from_numpy(cover.rows[some]), torch.from_numpy(cover.columns[some])
            pixels[:, rows, columns] = torch.from_numpy(values[some].T.astype(np.float32))
        return replace(frame, pixels=pixels)

    def _grain(self, values: Values, cover: Cover, missing: Values, seed: tuple[int, ...]) -> Values:
        """Grain (N, 3) for what was filled in, as much as is missing."""
        findings = self._findings
        if not any(findings.noise) or not self._params.grain:
            return np.zeros_like(values)
        levels = np.asarray(findings.noise).reshape(3, -1)
        luma = values @ np.array([0.2126, 0.7152, 0.0722])
        sigma = np.stack([np.interp(luma, measure.BANDS, each) for each in levels], axis=1)
        top, left = int(cover.rows.min()), int(cover.columns.min())
        shape = (3, int(cover.rows.max()) + 1 - top, int(cover.columns.max()) + 1 - left)
        drawn = synth.correlated(shape, findings.grain_size, np.random.default_rng(seed)).numpy()
        picked = drawn[:, cover.rows - top, cover.columns - left].T
        return np.asarray(self._params.grain * picked * sigma * np.sqrt(missing)[:, None], np.float64)
