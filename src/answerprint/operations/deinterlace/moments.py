"""What a shot shows at each field: frames as they are, fields woven, or a field with its missing lines made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from torch import Tensor

from answerprint.fields import weave
from answerprint.fields.combs import is_combed
from answerprint.fields.weave import FieldNeighbors, brightness
from answerprint.frame import Frame
from answerprint.inference import engine
from answerprint.nets import deinterlace as nets
from answerprint.operation import Window
from answerprint.operations.deinterlace.analysis import frame_number, lasts, weave_across

if TYPE_CHECKING:
    from answerprint.operations.deinterlace import Findings

_BEHIND = 3  # frames: a film picture that is due may be two frames back, and two fields before it are looked at
_PLANES = ("pixels", "alpha", "matte", "depth")


@dataclass(frozen=True)
class Cache:
    """Results that later windows ask for again, by the time of a frame.

    Attributes:
        pixels: (3, H, W) by pass, time, and 0 or 1 for the field of the frame.
        brightness: (H, W) of the frames, for measuring.
        lasts: by time, whether one picture lasts both fields of a frame (0), or its second and the next frame's first
            (1).
    """

    pixels: dict[tuple[int, Fraction, int], Tensor] = field(default_factory=dict)
    brightness: dict[Fraction, Tensor] = field(default_factory=dict)
    lasts: dict[tuple[Fraction, int], bool] = field(default_factory=dict)

    def retain(self, times: set[Fraction]) -> None:
        """Drops the results of frames at other times."""
        for pixels in [key for key in self.pixels if key[1] not in times]:
            del self.pixels[pixels]
        for time in [time for time in self.brightness if time not in times]:
            del self.brightness[time]
        for last in [key for key in self.lasts if key[0] not in times]:
            del self.lasts[last]


class Moments:
    """The fields of one window, by their number in the clip.

    Args:
        window: a frame and those around it.
        findings: of the shot.
        cache: shared with the windows before and after.
        network: ready to run; None makes lines by motion and edges.
        passes: how often the network goes over a picture.
    """

    def __init__(
        self, window: Window, findings: Findings, cache: Cache, network: engine.Run | None, passes: int
    ) -> None:
        self.findings = findings
        self.network = network
        self.passes = passes
        self.cache = cache
        self.frame_rate = Fraction(findings.frame_rate)
        self.center = window.center
        real = window.frames[window.first : len(window.frames) - window.last]
        # Numbers run on from the center: with a variable rate, times alone could give two frames one number.
        number = frame_number(self.center, self.frame_rate)
        place = len(window.frames) // 2 - window.first
        self.frames = {number + i - place: frame for i, frame in enumerate(real)}
        self.field = 2 * number
        cache.retain({frame.time for own, frame in self.frames.items() if own >= number - _BEHIND})
        self.cadence = findings.cadence
        self.top_first = findings.field_order != "bff"

    def duration(self) -> Fraction:
        """How long the frame in the middle lasts; the last one of a shot as long as the one before it."""
        number = self.field // 2
        if number + 1 in self.frames:
            return self.frames[number + 1].time - self.center.time
        if number - 1 in self.frames:
            return self.center.time - self.frames[number - 1].time
        return 1 / self.frame_rate

    def film_pictures(self) -> Iterator[Frame]:
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
        """The picture that is shown at this field, at the time of the frame in the middle."""
        number = self._clamp(field // 2)
        shown = self.frames[number]
        field = 2 * number + field % 2
        if self.findings.field_order == "progressive" or shown.height < 2:
            return self._progressive(shown)
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
        if key not in self.cache.lasts:
            lumas = {n: self._luma(n) for n in range(number - 1, number + 2 + place) if n in self.frames}
            pictures = weave_across(lumas, top_first=self.top_first) if place else lumas
            self.cache.lasts[key] = lasts(pictures, number, self.findings.noise)
        return self.cache.lasts[key]

    def _luma(self, number: int) -> Tensor:
        frame = self.frames[number]
        if frame.time not in self.cache.brightness:
            self.cache.brightness[frame.time] = brightness(frame.pixels)
        return self.cache.brightness[frame.time]

    def _clamp(self, number: int) -> int:
        return min(max(number, min(self.frames)), max(self.frames))

    def _progressive(self, frame: Frame) -> Frame:
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
            name: weave.weave(getattr(first, name), getattr(second, name))
            for name in _PLANES
            if getattr(first, name) is not None and getattr(second, name) is not None
        }
        beside = [self.frames[n] for n in range(one // 2 - 1, other // 2 + 2) if n in self.frames]
        lumas = [brightness(frame.pixels) for frame in beside]
        if is_combed(brightness(planes["pixels"]), lumas, self.findings.noise):
            return None
        return self._progressive(first) if first is second else self._frame(self.frames[one // 2], planes)

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
                neighbors = FieldNeighbors(*parts) if parts and all(part is not None for part in parts) else None
                if neighbors is not None and name == "pixels" and self.network is not None:
                    planes[name] = self._by_network(field, self.network, self.passes)
                else:
                    planes[name] = weave.fill(plane, parity, neighbors, self.findings.noise)
        return self._frame(frame, planes)

    def _by_network(self, field: int, network: engine.Run, number: int) -> Tensor:
        """The pixels (3, H, W) of a field with the lines that a network makes, in pass `number`."""
        last_pass = None
        if number > 1:
            # At a shot's end the other side stands in, as it does for the fields themselves.
            there = [side for side in (field - 1, field + 1) if side // 2 in self.frames]
            before, center, after = (self._of_pass(side, network, number - 1) for side in (there[0], field, there[-1]))
            last_pass = before, center, after
        return nets.fill(network, self._pixels(field), self._parity(field), self.findings.noise, last_pass)

    def _of_pass(self, field: int, network: engine.Run, number: int) -> Tensor:
        """The pixels (3, H, W) of a field as pass `number` leaves them."""
        key = number, self.frames[field // 2].time, field % 2
        if key not in self.cache.pixels:
            whole = self._whole(field)
            self.cache.pixels[key] = self._by_network(field, network, number) if whole is None else whole.pixels
        return self.cache.pixels[key]

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

    def _frame(self, frame: Frame, planes: dict[str, Tensor]) -> Frame:
        return Frame(
            pixels=planes["pixels"],
            time=self.center.time,
            color=frame.color,
            alpha=planes.get("alpha"),
            matte=planes.get("matte"),
            depth=planes.get("depth"),
            field_order="progressive",
            framing=frame.framing,
            tags=frame.tags,
        )
