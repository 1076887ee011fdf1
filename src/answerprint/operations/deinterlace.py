"""Makes whole pictures of interlaced fields, and gives telecined film its own frames back.

Missing lines are made by a small network that sees two fields to both sides (nets/deinterlace.py), or, with `--method
adaptive`, by motion and edges: per pixel the other field is woven in where nothing moves within two fields either way,
else the line is made along the edge found in its own field, with detail from the fields beside it and bounded by the
change in time (after yadif and bwdif; edges after Doyle 1998). Film in video is undone, not filtered: the fields of one
film picture are found by the cadence and woven (3:2: one of five differences between fields of equal parity vanishes).

Analysis decides per shot, rendering obeys. Fields are counted through the whole clip (frame number `n`, from its time
and the nominal rate, holds fields `2 n` and `2 n + 1` in the order they were taken), so the phase of a cadence means
the same in every chunk. What a shot shows at field `u` is
    progressive   the frame itself, untouched
    3:2, 2:2      the picture that field `u` belongs to, woven; a pair that still combs (an edit in the middle of the
                  cadence, video titles over film) is interpolated instead
    video         field `u` with its missing lines made; where pictures that last two fields or longer are mixed in
                  (whole frames, film that is repeated now and then), these are woven

The delivery has one rate for all shots, so the rate follows from the parameters alone. `--rate field` gives two
pictures per frame; a progressive shot repeats each. `--telecine auto` weaves what belongs together and leaves the rate
alone, for a clip may hold film and video by turns. `--telecine remove` gives 4 pictures for 5 frames, evenly spaced on
the clip's own grid of times: the film's own pictures where a shot is 3:2, and for any other shot the picture nearest
in time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from answerprint.fields import interlace
from answerprint.frame import Frame, Shot
from answerprint.nets import deinterlace as nets
from answerprint.nets import engine, weights
from answerprint.operation import Window, windows
from answerprint.settings import Settings

# A group of 3 fields that begins up to two frames off, each with two frames around it for three passes.
HANDLES = 4
OWN = ("findings", "finite", "matte")

# Analysis looks at this many runs of this many frames, spread through the shot.
_RUNS, _RUN = 3, 11

# Share of the combs of two moments below which both fields of a picture are of one: likely, and beyond doubt. Pictures
# that were shot whole have up to 0.35 where they move slowly, and 0.02 where they move fast; fields of almost the same
# moment, as where film was repeated but not quite, have 0.15.
_WHOLE, _CERTAIN = 0.4, 0.1

_BEHIND = 3  # frames: a film picture that is due may be two frames back, and two fields before it are looked at
_PLANES = ("pixels", "alpha", "matte", "depth")


class Params(Settings):
    """What the user may say."""

    method: Literal["learned", "adaptive"] = Field(
        "learned", description="How missing lines are made: by a network, or by motion and edges (faster)."
    )
    field_order: Literal["auto", "tff", "bff"] = Field(
        "auto", description="Field taken first: top (tff) or bottom (bff); auto measures it per shot."
    )
    rate: Literal["frame", "field"] = Field(
        "frame", description="One picture per frame, or one per field (twice the rate, all motion kept)."
    )
    telecine: Literal["auto", "off", "remove"] = Field(
        "auto",
        description="Film in video: auto weaves matching fields at the same rate, off treats it as video, "
        "remove gives 4 film pictures for 5 frames.",
    )
    passes: int = Field(
        1,
        ge=1,
        le=3,
        description="More than one lets the network go over what it made, along motion found between whole pictures: "
        "nearer to what was there, for about four times the work with 2, nine times with 3.",
    )
    weights: Path | None = Field(None, description="Weights to use in place of those that ship.")

    @model_validator(mode="after")
    def _film_has_no_fields(self) -> Self:
        if self.telecine == "remove" and self.rate == "field":
            raise ValueError("removing telecine gives film pictures, not fields; say --rate frame or --telecine auto")
        return self

    @model_validator(mode="after")
    def _passes_are_the_networks(self) -> Self:
        if self.passes > 1 and self.method != "learned":
            raise ValueError("only the network goes over what it made; say --method learned, or leave --passes at 1")
        return self


class Findings(Settings):
    """What analysis found in a shot."""

    field_order: Literal["tff", "bff", "progressive"] = Field("tff", description="Field taken first in this shot.")
    order_sure: float = Field(0.0, ge=0, le=1, description="How sure the field order is; 0 means taken from the file.")
    mixed: bool = Field(
        False, description="Whether some pictures last two fields or longer, at no fixed cadence: they are woven."
    )
    combed: float = Field(0.0, ge=0, le=1, description="Share of the frames looked at that show combs.")
    cadence: interlace.Cadence = Field("none", description="Pattern in which film pictures are spread over fields.")
    phase: int = Field(
        0,
        ge=0,
        le=4,
        description="Field of the clip, modulo 5 (3:2) or 2 (2:2), at which a picture of 2 fields begins.",
    )
    cadence_sure: float = Field(0.0, ge=0, le=1, description="How well the shot keeps to the cadence.")
    noise: float = Field(
        0.0, ge=0, le=0.1, description="Standard deviation of the noise; less than 3 of it is no motion."
    )
    frame_rate: str = Field(
        "30000/1001", pattern=r"^[1-9]\d*(/[1-9]\d*)?$", description="Frames per second by which frames are numbered."
    )


def rate(params: Params, findings: Findings | None) -> Fraction:  # noqa: ARG001
    """Frames out per frame in: the same for every shot of a clip."""
    if params.telecine == "remove":
        return Fraction(4, 5)
    return Fraction(2 if params.rate == "field" else 1)


# Analysis -------------------------------------------------------------------------------------------------------------


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:  # noqa: ARG001
    """Measures field order, combs, cadence and noise in up to three runs of frames."""
    runs = [[(_number(frame, shot.rate), frame) for frame in run] for run in _runs(shot)]
    tagged = runs[0][0][1].field_order if runs and runs[0] else "unknown"
    lumas = [{number: interlace.luma(frame.pixels) for number, frame in run} for run in runs]
    couples = [(run[n], run[n + 1]) for run in lumas for n in run if n + 1 in run]
    levels = sorted(interlace.noise_level(a, b) for a, b in couples[::4])
    noise = min(levels[len(levels) // 2], 0.02) if levels else 0.0
    pairs = [interlace.pairing(a, b, noise) for a, b in couples]
    measured = interlace.field_order(pairs)
    order, sure = _order(params, measured, tagged)
    found = Findings(
        field_order=order, order_sure=round(sure, 3), noise=round(noise, 5), combed=_share_combed(lumas, noise),
        frame_rate=str(shot.rate),
    )  # fmt: skip
    found = found.model_copy(update=_cadence(lumas, found, measured, tagged))
    return found.model_copy(update=_mixture(lumas, found, params, tagged))


def _runs(shot: Shot) -> list[list[Frame]]:
    if shot.length <= _RUNS * _RUN:
        return [list(shot.frames())]
    starts = [i * (shot.length - _RUN) // (_RUNS - 1) for i in range(_RUNS)]
    return [list(shot.frames(start, start + _RUN)) for start in starts]


def _order(
    params: Params, measured: interlace.Order, tagged: str
) -> tuple[Literal["tff", "bff", "progressive"], float]:
    """What the user says, else what was measured, else what the file says."""
    if params.field_order != "auto":
        return params.field_order, 1.0
    if measured.name != "unknown":
        return measured.name, measured.sure
    # Nothing moves: no order can be seen, and none can be seen to be wrong.
    return ("tff" if tagged == "tff" else "bff" if tagged == "bff" else "progressive"), 0.0


def _share_combed(runs: list[dict[int, Tensor]], noise: float) -> float:
    hits = [
        interlace.combed(picture, [run[i] for i in (number - 1, number + 1) if i in run], noise)
        for run in runs
        for number, picture in run.items()
    ]
    return round(sum(hits) / len(hits), 3) if hits else 0.0


def _mixture(runs: list[dict[int, Tensor]], found: Findings, params: Params, tagged: str) -> dict[str, object]:
    """Entries of the findings where some pictures last two fields and others do not, without the pattern of a cadence.

    Whole frames come in runs; a picture that lasts two fields alone has to be beyond doubt. The order of the fields is
    measured on the frames of two moments.
    """
    if found.cadence == "3:2" or found.combed == 0:
        return {}
    noise = found.noise
    frames = [{n: interlace.split(run[n], _beside(run, n), noise) for n in run} for run in runs]
    apart = [{n for n, share in run.items() if share is not None and share >= _WHOLE} for run in frames]
    pairs = [(run[n], run[n + 1]) for run, own in zip(runs, apart, strict=True) for n in own if n + 1 in own]
    if not pairs:
        return {}
    measured = interlace.field_order([interlace.pairing(a, b, noise) for a, b in pairs])
    order, sure = _order(params, measured, tagged)
    if order == "progressive":
        return {}
    across = [_across(run, top_first=order == "tff") for run in runs]
    if found.cadence == "2:2" and found.phase == 1:
        # Pictures spread over two frames: a cadence, unless some of these are of two moments too.
        shares = [interlace.split(run[n], _beside(run, n), noise) for run in across for n in run]
        if sum(share is not None and share >= _WHOLE for share in shares) < 2:
            return {}
    successive = any(_lasts(run, n, noise) and _lasts(run, n + 1, noise) for run in runs for n in run if n + 1 in run)
    certain = sum(_lasts(run, n, noise, _CERTAIN) for run in (*runs, *across) for n in run)
    if not successive and certain < 2:
        return {}
    return {"field_order": order, "order_sure": round(sure, 3), "cadence": "none", "cadence_sure": 0.0, "mixed": True}


def _across(frames: dict[int, Tensor], *, top_first: bool) -> dict[int, Tensor]:
    """The second field of each frame woven with the first one of the next, by the number of the former."""
    both = {n: (frames[n], frames[n + 1]) for n in frames if n + 1 in frames}
    return {n: interlace.weave(b, a) if top_first else interlace.weave(a, b) for n, (a, b) in both.items()}


def _beside(pictures: dict[int, Tensor], number: int) -> list[Tensor]:
    return [pictures[n] for n in (number - 1, number + 1) if n in pictures]


def _lasts(pictures: dict[int, Tensor], number: int, noise: float, most: float = _WHOLE) -> bool:
    """Whether both fields of a picture (H, W) show one moment, judged by those before and after it."""
    picture, beside = pictures[number], _beside(pictures, number)
    share = interlace.split(picture, beside, noise)
    return share is not None and share < most and not interlace.combed(picture, beside, noise)


def _cadence(
    runs: list[dict[int, Tensor]], found: Findings, measured: interlace.Order, tagged: str
) -> dict[str, object]:
    """Entries of the findings that tell the cadence."""
    if found.field_order == "progressive":
        whole = tagged in ("tff", "bff") and found.order_sure > 0
        return {"cadence": "2:2", "cadence_sure": found.order_sure} if whole else {}
    if measured.crossed:
        return {"cadence": "2:2", "phase": 1, "cadence_sure": found.order_sure}
    differences: dict[int, float] = {}
    for run in runs:
        first = 0 if found.field_order == "tff" else 1
        fields = {2 * n: picture[first::2] for n, picture in run.items()}
        fields |= {2 * n + 1: picture[1 - first :: 2] for n, picture in run.items()}
        differences |= interlace.repeats(fields, found.noise)
    pattern = interlace.pulldown(differences)
    if pattern.sure < 0.4:
        return {}
    return {"cadence": "3:2", "phase": pattern.phase, "cadence_sure": round(pattern.sure, 3)}


# Rendering ------------------------------------------------------------------------------------------------------------


def run(
    frames: Iterator[Frame],
    params: Params,
    findings: Findings | None,
    device: torch.device,
) -> Iterator[Frame]:
    """Whole pictures for the frames of a shot; see the module for rates and times."""
    network = _network(params.weights, device) if params.method == "learned" else None
    kept = _Kept()
    for window in windows(frames, HANDLES):
        if findings is None:
            findings = Findings(
                field_order=_order(params, interlace.Order("unknown", 0.0), window.center.field_order)[0]
            )
        view = _View(window, findings, params, network, kept)
        if params.telecine == "remove":
            yield from view.removed()
        elif params.rate == "field":
            half = view.duration() / 2
            yield view.picture(view.field)
            yield replace(view.picture(view.field + 1), time=window.center.time + half)
        else:
            yield view.picture(view.field)


def networks(params: Params) -> tuple[str, ...]:
    """The learned deinterlacer, where it is asked for and no file of weights is named."""
    return ("deinterlace",) if params.method == "learned" and params.weights is None else ()


_network = weights.kept("deinterlace", lambda path, device: nets.ready(nets.load(path), device))


def _number(frame: Frame, frame_rate: Fraction) -> int:
    """The number of a frame in the clip, from its time."""
    return round(frame.time * frame_rate)


@dataclass(frozen=True)
class _Kept:
    """What is kept from window to window, by the time of a frame; what no later window asks for is dropped.

    Attributes:
        made: pictures by pass, time, and 0 or 1 for the field of the frame.
        lumas: brightness of the frames, for measuring.
        lasts: by time, whether one picture lasts both fields of a frame (0), or its second and the next frame's first
            (1).
    """

    made: dict[tuple[int, Fraction, int], Tensor] = field(default_factory=dict)
    lumas: dict[Fraction, Tensor] = field(default_factory=dict)
    lasts: dict[tuple[Fraction, int], bool] = field(default_factory=dict)

    def drop(self, near: set[Fraction]) -> None:
        """Keeps what is of frames at these times."""
        for made in [key for key in self.made if key[1] not in near]:
            del self.made[made]
        for time in [time for time in self.lumas if time not in near]:
            del self.lumas[time]
        for last in [key for key in self.lasts if key[0] not in near]:
            del self.lasts[last]


class _View:
    """The fields of one window, by their number in the clip.

    Args:
        window: a frame and those around it.
        findings: of the shot.
        params: what the user said.
        network: ready to run; None works without.
        kept: of windows before.
    """

    def __init__(
        self,
        window: Window,
        findings: Findings,
        params: Params,
        network: engine.Run | None,
        kept: _Kept,
    ) -> None:
        self.findings = findings
        self.network = network
        self.passes = params.passes
        self.kept = kept
        self.frame_rate = Fraction(findings.frame_rate)
        self.center = window.center
        real = window.frames[window.first : len(window.frames) - window.last]
        # Numbers run on from the center: with a variable rate, times alone could give two frames one number.
        number = _number(self.center, self.frame_rate)
        place = HANDLES - window.first
        self.frames = {number + i - place: frame for i, frame in enumerate(real)}
        self.field = 2 * number
        kept.drop({frame.time for own, frame in self.frames.items() if own >= number - _BEHIND})
        self.cadence = "none" if params.telecine == "off" and findings.cadence == "3:2" else findings.cadence
        self.top_first = findings.field_order != "bff"

    def duration(self) -> Fraction:
        """How long the frame in the middle lasts; the last one of a shot as long as the one before it."""
        number = self.field // 2
        if number + 1 in self.frames:
            return self.frames[number + 1].time - self.center.time
        if number - 1 in self.frames:
            return self.center.time - self.frames[number - 1].time
        return 1 / self.frame_rate

    def removed(self) -> Iterator[Frame]:
        """The film pictures that fall due while this frame lasts: number `m` of the clip is due at 5 m / (4 rate)."""
        step = Fraction(5, 4) / self.frame_rate
        number = math.ceil(self.center.time / step)
        while number * step < self.center.time + self.duration():
            yield replace(self.picture(self._due(number)), time=number * step)
            number += 1

    def _due(self, number: int) -> int:
        """The field that film picture `number` of the clip is made from."""
        if self.cadence != "3:2" or self.findings.field_order == "progressive":
            # The last field not later than this moment.
            return min(max(5 * number // 2, self.field), self.field + 1)
        # Picture `i` of the pattern begins at field phase + 5/2 i; the grid of the clip has no phase, hence the shift.
        nearest = number - (2 * self.findings.phase + 2) // 5
        return self.findings.phase + 5 * (nearest // 2) + 2 * (nearest % 2)

    def picture(self, field: int) -> Frame:
        """What is shown at this field, at the time of the frame in the middle."""
        number = self._clamp(field // 2)
        shown = self.frames[number]
        field = 2 * number + field % 2
        if self.findings.field_order == "progressive" or shown.height < 2:
            return self._timed(shown)
        return self._whole(field) or self._interpolate(field)

    def _whole(self, field: int) -> Frame | None:
        """The picture that a field is part of, where it lasts for two fields."""
        mates = self._lasting(field) if self.findings.mixed else self._mates(field)
        return None if mates is None else self._weave(*mates)

    def _lasting(self, field: int) -> tuple[int, int] | None:
        """This field of a mixed shot and the one before or after it, where both show one moment."""
        number = field // 2
        if self._one_picture(number, 0):
            return 2 * number, 2 * number + 1
        first = number - 1 + field % 2  # the frame whose second field is looked at, with the first of the next
        if first in self.frames and first + 1 in self.frames and self._one_picture(first, 1):
            return 2 * first + 1, 2 * first + 2
        return None

    def _one_picture(self, number: int, place: int) -> bool:
        """Whether one picture lasts both fields of a frame, or, with `place` 1, its second and the next one's first."""
        key = self.frames[number].time, place
        if key not in self.kept.lasts:
            lumas = {n: self._luma(n) for n in range(number - 1, number + 2 + place) if n in self.frames}
            pictures = _across(lumas, top_first=self.top_first) if place else lumas
            self.kept.lasts[key] = _lasts(pictures, number, self.findings.noise)
        return self.kept.lasts[key]

    def _luma(self, number: int) -> Tensor:
        frame = self.frames[number]
        if frame.time not in self.kept.lumas:
            self.kept.lumas[frame.time] = interlace.luma(frame.pixels)
        return self.kept.lumas[frame.time]

    def _clamp(self, number: int) -> int:
        return min(max(number, min(self.frames)), max(self.frames))

    def _timed(self, frame: Frame) -> Frame:
        """The frame itself, as a progressive one, at the time of the frame in the middle."""
        if frame.field_order == "progressive" and frame.time == self.center.time:
            return frame
        return replace(frame, field_order="progressive", time=self.center.time)

    def _mates(self, field: int) -> tuple[int, int] | None:
        """Two successive fields of the picture that `field` belongs to; None for video and where the shot cuts it."""
        if self.cadence == "none":
            return None
        place = (field - self.findings.phase) % (5 if self.cadence == "3:2" else 2)
        first = field - (place if place < 2 or self.cadence == "2:2" else place - 2)
        pairs = [(first, first + 1)] if place < 2 else [(first, first + 1), (first + 1, first + 2)]
        return next((pair for pair in pairs if pair[0] // 2 in self.frames and pair[1] // 2 in self.frames), None)

    def _weave(self, one: int, other: int) -> Frame | None:
        """The picture of two fields; None where it combs, so cannot be one picture."""
        top, bottom = (one, other) if self._parity(one) == 0 else (other, one)
        first, second = self.frames[top // 2], self.frames[bottom // 2]
        planes = {
            name: interlace.weave(getattr(first, name), getattr(second, name))
            for name in _PLANES
            if getattr(first, name) is not None and getattr(second, name) is not None
        }
        beside = [self.frames[n] for n in range(one // 2 - 1, other // 2 + 2) if n in self.frames]
        lumas = [interlace.luma(frame.pixels) for frame in beside]
        if interlace.combed(interlace.luma(planes["pixels"]), lumas, self.findings.noise):
            return None
        return self._timed(first) if first is second else self._made(self.frames[one // 2], planes)

    def _interpolate(self, field: int) -> Frame:
        """One field with its missing lines made."""
        frame = self.frames[field // 2]
        parity = self._parity(field)
        sources = self._around(field) if len(self.frames) > 1 else ()
        planes = {}
        for name in _PLANES:
            plane: Tensor | None = getattr(frame, name)
            if plane is not None:
                parts = [getattr(part, name) for part in sources]
                around = interlace.Around(*parts) if parts and all(part is not None for part in parts) else None
                if around is not None and name == "pixels" and self.network is not None:
                    planes[name] = self._learned(field, self.network, self.passes)
                else:
                    planes[name] = interlace.fill(plane, parity, around, self.findings.noise)
        return self._made(frame, planes)

    def _learned(self, field: int, network: engine.Run, number: int) -> Tensor:
        """The pixels of a field with the lines that a network makes, in pass `number`."""
        made = None
        if number > 1:
            # At a shot's end the other side stands in, as it does for the fields themselves.
            there = [side for side in (field - 1, field + 1) if side // 2 in self.frames]
            before, center, after = (self._before(side, network, number - 1) for side in (there[0], field, there[-1]))
            made = before, center, after
        return nets.fill(network, self._pixels(field), self._parity(field), self.findings.noise, made)

    def _before(self, field: int, network: engine.Run, number: int) -> Tensor:
        """The picture of a field as a pass before the last left it."""
        key = number, self.frames[field // 2].time, field % 2
        if key not in self.kept.made:
            whole = self._whole(field)
            self.kept.made[key] = self._learned(field, network, number) if whole is None else whole.pixels
        return self.kept.made[key]

    def _pixels(self, field: int) -> list[Tensor]:
        """The pictures that hold the fields two before to two after."""
        before, after, earlier, later = self._around(field)
        return [frame.pixels for frame in (earlier, before, self.frames[field // 2], after, later)]

    def _around(self, field: int) -> tuple[Frame, Frame, Frame, Frame]:
        """Frames that hold the fields one before, one after, two before and two after; at a shot's end the other side
        stands in for what is not there."""
        own = self.frames[field // 2]
        before, after, earlier, later = (self.frames.get((field + step) // 2) for step in (-1, 1, -2, 2))
        return before or after or own, after or before or own, earlier or later or own, later or earlier or own

    def _parity(self, field: int) -> int:
        return field % 2 if self.top_first else 1 - field % 2

    def _made(self, frame: Frame, planes: dict[str, Tensor]) -> Frame:
        return Frame(
            pixels=planes["pixels"],
            time=self.center.time,
            color=frame.color,
            alpha=planes.get("alpha"),
            matte=planes.get("matte"),
            depth=planes.get("depth"),
            field_order="progressive",
        )
