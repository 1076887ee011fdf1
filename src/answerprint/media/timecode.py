"""SMPTE timecode and frame numbers, drop-frame included: pure functions.

Drop-frame (SMPTE ST 12-1) drops labels, not frames: at 29.97 the first two labels of every minute that is no multiple
of ten are left out (four at 59.94), so that the label keeps up with the clock. It has `;` before its frames.
"""

from __future__ import annotations

import re
from fractions import Fraction

from answerprint.errors import SettingsError

_FORM = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})")


def nominal(rate: Fraction) -> int:
    """Frames that a second of timecode counts: 30 for 30000/1001."""
    return max(round(rate), 1)


def can_drop(rate: Fraction) -> bool:
    """Whether the rate has a drop-frame form: 29.97, 59.94, 119.88."""
    return rate.denominator == 1001 and nominal(rate) % 30 == 0


def is_timecode(text: str) -> bool:
    """Whether the text has the form of a timecode (it may still not exist at some rate)."""
    return _FORM.fullmatch(text.strip()) is not None


def is_drop(timecode: str) -> bool:
    """Whether the timecode is written as drop-frame: `;`, `.` or `,` before the frames."""
    return re.search(r"[;.,]\d+\s*$", timecode) is not None


def to_frames(timecode: str, rate: Fraction) -> int:
    """Number of frames from 00:00:00:00 to a timecode.

    Args:
        timecode: "HH:MM:SS:FF", or "HH:MM:SS;FF" for drop-frame.
        rate: frames per second.

    Raises:
        SettingsError: it is no timecode, or a label that does not exist at this rate.
    """
    match = _FORM.fullmatch(timecode.strip())
    if match is None:
        raise SettingsError(f"'{timecode}' is no timecode; it is written HH:MM:SS:FF (HH:MM:SS;FF for drop-frame)")
    hours, minutes, seconds, frames = (int(match[i]) for i in (1, 2, 3, 5))
    base, drop = nominal(rate), is_drop(timecode)
    if minutes > 59 or seconds > 59 or frames >= base:
        raise SettingsError(
            f"'{timecode}' does not exist at {show_rate(rate)} frames per second (frames go from 00 to {base - 1:02d})"
        )
    total = ((hours * 60 + minutes) * 60 + seconds) * base + frames
    if not drop:
        return total
    if not can_drop(rate):
        raise SettingsError(f"'{timecode}' is drop-frame, which does not exist at {show_rate(rate)} frames per second")
    dropped = base // 15
    if seconds == 0 and frames < dropped and minutes % 10:
        raise SettingsError(f"'{timecode}' is a label that drop-frame timecode leaves out")
    whole = hours * 60 + minutes
    return total - dropped * (whole - whole // 10)


def from_frames(frames: int, rate: Fraction, drop: bool = False) -> str:
    """The timecode so many frames after 00:00:00:00; it starts again after 24 hours.

    Args:
        frames: any whole number; negative numbers count back from 24:00:00:00.
        rate: frames per second.
        drop: drop-frame; leave it False for rates that have none.
    """
    base = nominal(rate)
    if drop:
        if not can_drop(rate):
            raise ValueError(f"no drop-frame timecode at {rate} frames per second")
        dropped = base // 15
        ten_minutes = 600 * base - 9 * dropped
        frames %= 144 * ten_minutes
        tens, rest = divmod(frames, ten_minutes)
        # The first minute of ten is whole, the nine after it are short by the dropped labels.
        short = max(0, (rest - dropped) // (60 * base - dropped))
        frames += dropped * (9 * tens + short)
    frames %= 24 * 3600 * base
    seconds, frame = divmod(frames, base)
    width = 3 if base > 100 else 2
    mark = ";" if drop else ":"
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{frame:0{width}d}"


def shift(timecode: str, frames: int, rate: Fraction) -> str:
    """The timecode so many frames later (earlier where negative), drop-frame as it was."""
    return from_frames(to_frames(timecode, rate) + frames, rate, is_drop(timecode))


def relabel(timecode: str, before: Fraction, after: Fraction) -> str:
    """The same moment's timecode at another rate: hours, minutes and seconds stay, the frames are counted anew."""
    head, frames = timecode[:-2], int(timecode[-2:])
    mark = ";" if is_drop(timecode) and can_drop(after) else ":"
    return f"{head[:-1]}{mark}{frames * nominal(after) // nominal(before):02d}"


def start(timecode: str | None, rate: Fraction) -> str:
    """The timecode to count frames from: 00:00:00:00 where a clip has none, or one that its rate cannot have."""
    if timecode is None:
        return "00:00:00:00"
    try:
        to_frames(timecode, rate)
    except SettingsError:
        return "00:00:00:00"
    return timecode


def show_rate(rate: Fraction) -> str:
    """A rate as people write it: 25, 23.976, 29.97."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")
