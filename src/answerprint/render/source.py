"""The source of a job: a clip, and the frames of it that are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answerprint.errors import SettingsError
from answerprint.media import reader, timecode
from answerprint.media.reader import Clip
from answerprint.render.machine import return_large_blocks
from answerprint.render.options import Options
from answerprint.shots.boundary import ShotRange
from answerprint.text import is_number, shorten


@dataclass(frozen=True)
class SourceRange:
    """Frames [start, stop) of a clip.

    Attributes:
        clip: the footage.
        start: number of the first wanted frame.
        stop: number of the frame after the last.
    """

    clip: Clip
    start: int
    stop: int

    @classmethod
    def of(cls, clip: Clip, options: Options) -> SourceRange:
        """The range of a clip that the options name.

        Raises:
            SettingsError: it is no range of the clip.
        """
        start = _frame_number(clip, options.start, "--start", 0)
        stop = _frame_number(clip, options.stop, "--stop", len(clip))
        if not 0 <= start < stop <= len(clip):
            raise SettingsError(
                f"--start {start} --stop {stop} is no range of this clip; it has frames 0 to {len(clip) - 1}"
            )
        return cls(clip, start, stop)

    def overlaps(self, shot: ShotRange) -> bool:
        """Whether a shot has wanted frames."""
        return shot.start < self.stop and self.start < shot.stop


def open_clip(path: str | Path, overrides: Mapping[str, Any]) -> Clip:
    """A clip, opened with what a user says of it (matrix, range, siting, ...)."""
    return_large_blocks()
    return reader.open(path, **overrides)


def _frame_number(clip: Clip, text: str | None, flag: str, default: int) -> int:
    if text is None:
        return default
    if text.isdecimal() and is_number(text):
        return int(text)
    if not timecode.is_timecode(text):
        raise SettingsError(f"{flag} is {shorten(text)}; allowed: a frame number or a timecode such as 01:00:10:00")
    first = clip.info.timecode or timecode.from_frames(0, clip.info.rate, timecode.is_drop(text))
    return timecode.to_frames(text, clip.info.rate) - timecode.to_frames(first, clip.info.rate)
