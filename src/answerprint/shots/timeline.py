"""Shot lists as editors exchange them: CMX 3600 EDL, OpenTimelineIO and CSV, read onto a clip and written from one.

The list describes cuts inside one flattened clip. Its events are placed by their source timecode where that lies inside
the clip, else by their record timecode, else by record timecode counted from the first event. Out-points are exclusive
everywhere: the frame after the last.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from answerprint import disk
from answerprint.errors import AnswerprintError, MediaError, ShotError
from answerprint.media import timecode
from answerprint.shots import edl, otio
from answerprint.shots.boundary import ShotRange, Transition
from answerprint.shots.event import Event, Note, TimedClip, first_timecode
from answerprint.text import decode, is_number, read_file, shorten, visible

ENDINGS = (".edl", ".otio", ".csv")
_TRANSITIONS: dict[str, Transition] = {name: name for name in get_args(Transition)}


def read(path: Path, clip: TimedClip, *, note: Note | None = None) -> list[ShotRange]:
    """The shots that a list names, as frames of the clip; frames that it leaves out become shots named "gap-...".

    Args:
        path: .edl, .otio or .csv (columns name, start, stop, and transition if wanted; frame numbers or timecodes).
        clip: the footage that the list was made for.
        note: told in words how the list was placed on the clip.

    Raises:
        ShotError: it is no shot list, or does not fit the clip; the message names the event and its timecode.
    """
    tell: Note = note or _ignore
    _ending(path)
    text = _text(path)
    if path.suffix.lower() == ".csv":
        shots = _placed(path, clip, _read_csv(path, text, clip), ("frame numbers and timecodes", 0, "record"))
    else:
        events = (edl.read if path.suffix.lower() == ".edl" else otio.read)(path, text, clip, tell)
        if not events:
            raise ShotError(f"{path}: has no events, so it is no shot list")
        shots = _fit(path, clip, events, tell)
    return _filled(path, _named(path, shots, tell), len(clip), tell)


def _ignore(text: str) -> None:
    """Drops notes where the caller takes none."""


def write(shots: Sequence[ShotRange], clip: TimedClip, path: Path) -> None:
    """Writes a shot list in the form that the file's ending names.

    Raises:
        ShotError: the ending is none of .edl, .otio and .csv.
        MediaError: the file cannot be written.
    """
    writers = {".edl": edl.write, ".otio": otio.write, ".csv": _csv}
    text = writers[_ending(path)](shots, clip)
    try:
        disk.write(path, text)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from None


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ShotError(f"{path}: is no shot list by its ending; allowed: {', '.join(ENDINGS)}")
    return ending


# Reading


def _read_csv(path: Path, text: str, clip: TimedClip) -> list[Event]:
    """The lines of a table whose cells stand between tabs, semicolons or commas."""
    header = text.partition("\n")[0]
    delimiter = next((mark for mark in "\t,;" if mark in header), ",")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [column.strip().lower() for column in next(lines, [])]
        if not {"start", "stop"} <= set(columns):
            raise ShotError(
                f"{path}:1: the first line names the columns: name, start, stop (and transition, if wanted)"
            )
        events = []
        for cells in lines:
            if any(cell.strip() for cell in cells):
                row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
                events.append(_csv_event(f"{path}:{lines.line_num}", lines.line_num, row, clip))
    except csv.Error as error:
        raise ShotError(f"{path}:{lines.line_num}: is no line of a table: {error}") from None
    if not events:
        raise ShotError(f"{path}: has no events, so it is no shot list")
    return events


def _csv_event(where: str, line: int, row: dict[str, str], clip: TimedClip) -> Event:
    start, stop = (_csv_frame(where, column, row.get(column, ""), clip) for column in ("start", "stop"))
    transition = row.get("transition", "").lower() or "cut"
    if transition not in _TRANSITIONS:
        raise ShotError(f"{where}: transition is {shorten(transition)}; allowed: {', '.join(_TRANSITIONS)}")
    name = row.get("name", "")
    return Event(
        f"line {line}" + f" '{visible(name)}'" * bool(name), name, None, (start, stop), _TRANSITIONS[transition]
    )


def _csv_frame(where: str, column: str, text: str, clip: TimedClip) -> int:
    """A frame number of the clip from a frame number or a timecode."""
    if text.isdecimal() and is_number(text):
        return int(text)
    if not timecode.is_timecode(text):
        raise ShotError(f"{where}: {column} is {shorten(text)}; allowed: a frame number or a timecode HH:MM:SS:FF")
    try:
        return timecode.to_frames(text, clip.info.rate) - timecode.to_frames(first_timecode(clip), clip.info.rate)
    except AnswerprintError as error:
        raise ShotError(f"{where}: {column}: {error}") from None


def _text(path: Path) -> str:
    try:
        return decode(read_file(path))
    except OSError as error:
        raise ShotError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise ShotError(f"{path}: is not a text file; a shot list is expected") from None


# Placing


def _fit(path: Path, clip: TimedClip, events: list[Event], tell: Note) -> list[ShotRange]:
    """The events by the first way of counting that fits the clip.

    Raises:
        ShotError: none fits; said of the way that fits most events.
    """
    begin = timecode.to_frames(first_timecode(clip), clip.info.rate)
    first = min(event.record[0] for event in events)
    source = [("source timecode", begin, "source"), ("source frames", 0, "source")]
    record = [("record timecode", begin, "record"), ("record frames", 0, "record")]
    # Events of several reels come from several tapes: only where they lie in the edit says where they are in the clip.
    ways = record + source if len({event.reel for event in events}) > 1 else source + record
    ways.append(("record timecode, counted from the first event", first, "record"))
    best = max(ways, key=lambda way: sum(_inside(event, way, len(clip)) for event in events))
    for way in ways:
        if all(_inside(event, way, len(clip)) for event in events):
            try:
                shots = _placed(path, clip, events, way)
            except ShotError:
                continue
            tell(f"{path}: placed on the clip by {way[0]}")
            return shots
    return _placed(path, clip, events, best)


_Way = tuple[str, int, str]  # in words, the count at the clip's first frame, "source" or "record"


def _range(event: Event, way: _Way) -> tuple[int, int]:
    start, stop = event.source if way[2] == "source" and event.source is not None else event.record
    return start - way[1], stop - way[1]


def _inside(event: Event, way: _Way, length: int) -> bool:
    start, stop = _range(event, way)
    return start >= 0 and stop <= length


def _placed(path: Path, clip: TimedClip, events: Sequence[Event], way: _Way) -> list[ShotRange]:
    """The events as shots in the order of the clip.

    Raises:
        ShotError: an event is empty, lies outside the clip or overlaps another.
    """

    def at(frame: int) -> str:
        return f"{timecode.shift(first_timecode(clip), frame, clip.info.rate)} (frame {frame})"

    shots: list[ShotRange] = []
    before = ""
    for event in sorted(events, key=lambda event: _range(event, way)):
        start, stop = _range(event, way)
        if stop <= start:
            raise ShotError(
                f"{path}: {event.label} at {at(start)} has no length; its out-point must lie after its in-point"
            )
        if start < 0 or stop > len(clip):
            raise ShotError(
                f"{path}: {event.label} goes from {at(start)} to {at(stop)}; "
                f"the clip goes from {at(0)} to {at(len(clip))}"
            )
        if shots and start < shots[-1].stop:
            raise ShotError(
                f"{path}: {event.label} starts at {at(start)}, before {before} ends at {at(shots[-1].stop)}"
            )
        if event.late and shots and shots[-1].stop == start and start + event.late < stop:
            # The middle of a dissolve is where most of the picture changes over.
            start += event.late
            shots[-1] = replace(shots[-1], stop=start)
        shots.append(ShotRange(event.name, start, stop, event.transition))
        before = event.label
    return shots


def _named(path: Path, shots: list[ShotRange], tell: Note) -> list[ShotRange]:
    """Each shot with a name of its own, on one line: events cut from one clip are often all called after it."""
    shots = [replace(shot, name=visible(" ".join(shot.name.split()))) for shot in shots]
    names = [shot.name for shot in shots]
    if all(names) and len(set(names)) == len(names):
        return shots
    tell(f"{path}: its names are not different for every shot, so shots are numbered")
    return [replace(shot, name=f"{number:03d}") for number, shot in enumerate(shots, 1)]


def _filled(path: Path, shots: list[ShotRange], length: int, tell: Note) -> list[ShotRange]:
    """The shots, and those frames that are in none as shots of their own, so that nothing is lost."""
    filled: list[ShotRange] = []
    gaps = 0
    end = 0
    for start, shot in [*((shot.start, shot) for shot in shots), (length, None)]:
        if start > end:
            gaps += 1
            filled.append(ShotRange(f"gap-{gaps:03d}", end, start))
        if shot is not None:
            filled.append(shot)
            end = shot.stop
    if gaps:
        tell(f"{path}: leaves frames out; they are kept as {gaps} shot{'s' * (gaps > 1)} named gap-001 and so on")
    return filled


# Writing


def _csv(shots: Sequence[ShotRange], clip: TimedClip) -> str:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["name", "start", "stop", "transition", "timecode_in", "timecode_out"])
    for shot in shots:
        table.writerow([shot.name, shot.start, shot.stop, shot.transition, *_timecodes(shot, clip)])
    return out.getvalue()


def _timecodes(shot: ShotRange, clip: TimedClip) -> tuple[str, str]:
    """In and out (exclusive) of a shot."""
    start, rate = first_timecode(clip), clip.info.rate
    return timecode.shift(start, shot.start, rate), timecode.shift(start, shot.stop, rate)
