"""CMX 3600 edit decision lists, as editors write them, in and out.

An event is one line: number, reel, channels, edit type (C cut, D dissolve, W wipe, K key), its length, then in and out
of source and record. Lines below it that begin otherwise are its comments. A dissolve or wipe is a pair of lines of one
number: where it comes from, without length, and where it goes to. Sound may have the number of its picture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from answerprint.errors import AnswerprintError, ShotError
from answerprint.media import timecode
from answerprint.shots.boundary import ShotRange, Transition
from answerprint.shots.event import Event, Note, TimedClip, first_timecode, stem
from answerprint.text import visible

_RATES = (24, 25, 30, 48, 50, 60)  # frames that a second of timecode may count in an EDL
_EVENT = re.compile(
    r"(\d{1,9})\s+(\S+)\s+(\S+)\s+(C|D|W\d*|K\s*[BO]?)\s+(?:(\d{1,5})\s+)?(?:\(F\)\s+)?"
    + r"\s+".join([r"(\d{1,2}:\d\d:\d\d[:;.,]\d{2,3}|\d{1,9})"] * 4)
)
_EDIT_TYPES: dict[str, Transition] = {"C": "cut", "D": "dissolve", "W": "wipe", "K": "key"}
_WORDS: tuple[Transition, ...] = ("dissolve", "fade", "wipe", "key")  # that a comment may name


@dataclass
class _Line:
    """An event line with its comments.

    Attributes:
        where: file and line number.
        number, reel, channels, kind: as written.
        length: frames that its transition takes.
        times: in and out of source and record, in frames.
        comments: the lines below it.
    """

    where: str
    number: str
    reel: str
    channels: str
    kind: str
    length: int
    times: tuple[int, int, int, int]
    comments: list[str] = field(default_factory=list)

    @property
    def track(self) -> str:
        """The video track: V, V2, ...; empty where it is sound alone. B is picture and sound."""
        match = re.search(r"V(\d*)", self.channels.upper())
        if match is None:
            return "V" if self.channels.upper() == "B" else ""
        return "V" + match[1].lstrip("01")

    def comment(self, words: str) -> str:
        """The text of the comment that begins with one of `words`; empty where there is none."""
        for comment in self.comments:
            if match := re.match(rf"\*?\s*(?:{words}):\s*(.*\S)", comment, re.IGNORECASE):
                return match[1]
        return ""


def read(path: Path, text: str, clip: TimedClip, tell: Note) -> list[Event]:
    """The events of the first video track of an EDL.

    Args:
        path: of the list, for messages.
        text: of the list.
        clip: the footage, whose rate it counts in.
        tell: hears what is left aside, in words.

    Raises:
        ShotError: a line is no event, or its times do not exist at the rate of the clip.
    """
    lines = list(_lines(path, text, clip.info.rate))
    pictures = [line for line in lines if line.track]
    if sounds := len(lines) - len(pictures):
        tell(f"{path}: {sounds} sound event{'s are' if sounds > 1 else ' is'} left aside")
    tracks = list(dict.fromkeys(line.track for line in pictures))
    if len(tracks) > 1:
        tell(f"{path}: has {len(tracks)} video tracks; the first is used")
    return [_event(line) for line in _paired([line for line in pictures if line.track == tracks[0]])]


def _lines(path: Path, text: str, rate: Fraction) -> Iterator[_Line]:
    """The event lines, picture and sound, each with its comments."""
    drop, current = False, None
    for number, raw in enumerate(text.splitlines(), 1):
        row = raw.strip()
        if row.upper().startswith("FCM:"):
            drop = "NON" not in row.upper() and timecode.can_drop(rate)
        elif not row[:1].isdigit():
            # TITLE, SPLIT, >>> SOURCE and whatever else programs write; what is below an event belongs to it.
            if current is not None and row:
                current.comments.append(row)
        else:
            line = _line(f"{path}:{number}", row, rate, drop)
            # Comments below the sound of an event are those of its picture.
            if not line.track and current is not None and current.number == line.number and current.track:
                line.comments = current.comments
            current = line
            yield line


def _line(where: str, row: str, rate: Fraction, drop: bool) -> _Line:
    match = _EVENT.fullmatch(row)
    if match is None:
        raise ShotError(
            f"{where}: is no event of an EDL: {visible(row[:80])}; "
            "an event has number, reel, channel, edit type and four times"
        )
    number, reel, channels, kind, length = match.groups()[:5]
    first, second, third, fourth = (_frames(where, text, rate, drop) for text in match.groups()[5:])
    return _Line(where, number, reel, channels, kind[0], int(length or 0), (first, second, third, fourth))


def _frames(where: str, text: str, rate: Fraction, drop: bool) -> int:
    """Frames from 00:00:00:00; drop-frame by its sign or by the FCM line above."""
    if ":" not in text:
        return int(text)
    try:
        return timecode.to_frames(re.sub(r":(\d+)$", r";\1", text) if drop else text, rate)
    except AnswerprintError as error:
        raise ShotError(f"{where}: {error}") from None


def _paired(lines: Sequence[_Line]) -> Iterator[_Line]:
    """The lines that are shots: without the first of a transition's pair, and without what is keyed over a shot."""
    before: _Line | None = None
    for line in lines:
        if (
            before is not None
            and before.number == line.number
            and line.kind in "DW"
            and before.times[2] == before.times[3]
        ):
            line.comments = before.comments + line.comments
            before = None
        elif before is not None and before.kind == line.kind == "K" and before.times[2:] == line.times[2:]:
            before.comments += line.comments
            continue
        if before is not None:
            yield before
        before = line
    if before is not None:
        yield before


def _event(line: _Line) -> Event:
    """A shot of the edit."""
    name = line.comment("SHOT") or (line.comment("TO CLIP NAME") if line.kind != "C" else "")
    name = name or line.comment("FROM CLIP NAME")
    if not name and (file := line.comment("SOURCE FILE|FROM FILE|FROM CLIP")):
        name = Path(file.replace("\\", "/")).stem
    label = f"event {line.number}" + f" '{visible(name)}'" * bool(name)
    source_in, source_out, record_in, record_out = line.times
    length = record_out - record_in
    if source_out - source_in != length and not any(
        re.match(r"M2\b|\*\s*FREEZE FRAME", text) for text in line.comments
    ):
        raise ShotError(
            f"{line.where}: {label} has {source_out - source_in} frames of source and {length} in the edit, "
            "and no M2 line below it says that its speed was changed"
        )
    transition = _EDIT_TYPES[line.kind]
    word = line.comment("TRANSITION").lower()
    transition = next((each for each in _WORDS if word.startswith(each)), transition)
    late = line.length // 2 if line.kind in "DW" else 0
    return Event(
        label=label,
        name=name or f"{int(line.number):03d}",
        source=(source_in, source_in + length),
        record=(record_in, record_out),
        transition=transition,
        late=late,
        reel=line.reel,
    )


def refusal(rate: Fraction) -> str:
    """The reason that there is no EDL of a rate; empty where there is one."""
    if timecode.nominal(rate) in _RATES and rate.denominator in (1, 1001):
        return ""
    return f"an EDL knows no rate of {timecode.show_rate(rate)} frames per second; write the shots as .otio or .csv"


def write(shots: Sequence[ShotRange], clip: TimedClip) -> str:
    """An EDL with one cut per shot, source and record alike, that names the clip and its file for a conform.

    Raises:
        ShotError: CMX 3600 has no such rate.
    """
    if reason := refusal(clip.info.rate):
        raise ShotError(reason)
    begin, rate, name = first_timecode(clip), clip.info.rate, visible(stem(clip))
    reel = "".join(letter for letter in name.upper() if letter.isascii() and letter.isalnum())[:8] or "AX"
    mode = "DROP FRAME" if timecode.is_drop(begin) else "NON-DROP FRAME"
    file = Path(os.path.abspath(clip.info.path))  # noqa: PTH100 - links are kept
    lines = [f"TITLE: {name}", f"FCM: {mode}", ""]
    for number, shot in enumerate(shots, 1):
        start, stop = (timecode.shift(begin, frame, rate) for frame in (shot.start, shot.stop))
        lines.append(f"{number:03d}  {reel:8} V     C        {start} {stop} {start} {stop}")
        lines.append(f"* FROM CLIP NAME: {visible(file.name)}")
        lines.append(f"* SOURCE FILE: {visible(str(file))}")
        lines.append(f"* SHOT: {visible(' '.join(shot.name.split()))}")
        if shot.transition != "cut":
            lines.append(f"* TRANSITION: {shot.transition.upper()}")
    return "\n".join(lines) + "\n"
