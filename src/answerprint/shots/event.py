"""One line of a shot list, and what a list needs of the clip that it is placed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from answerprint.media import timecode
from answerprint.shots.boundary import Transition

Note = Callable[[str], None]


class _Info(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def rate(self) -> Fraction: ...
    @property
    def timecode(self) -> str | None: ...


class TimedClip(Protocol):
    """The part of a clip (`media.reader.Clip`) that a shot list needs."""

    @property
    def info(self) -> _Info: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Event:
    """One line of a shot list; frames are counted as its timecode counts them.

    Attributes:
        label: how to point at it: "event 003 'bridge'", "line 4".
        name: what the list calls the shot; may be empty.
        source: [in, out) in the source; None where the list has only one pair.
        record: [in, out) in the edit.
        transition: how it begins.
        late: frames by which its dissolve's middle lies after its in-point.
        reel: the tape that it comes from.
    """

    label: str
    name: str
    source: tuple[int, int] | None
    record: tuple[int, int]
    transition: Transition = "cut"
    late: int = 0
    reel: str = ""


def first_timecode(clip: TimedClip) -> str:
    """The timecode that frames of a clip are counted from."""
    return timecode.start(clip.info.timecode, clip.info.rate)


def stem(clip: TimedClip) -> str:
    """The name of a clip without its ending."""
    return Path(clip.info.path).stem or "clip"
