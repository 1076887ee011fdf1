"""Shot lists as editors exchange them: CMX 3600 EDL, OpenTimelineIO and CSV, read onto a clip and written from one.

The list describes cuts inside one flattened clip. Its events are placed by their source timecode where that lies inside
the clip, else by their record timecode, else by record timecode counted from the first event. Out-points are exclusive
everywhere: the frame after the last.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from answerprint.errors import AnswerprintError, MediaError, ShotError
from answerprint.media import timecode
from answerprint.shots.boundary import ShotRange, Transition

ENDINGS = (".edl", ".otio", ".csv")
_TRANSITIONS: dict[str, Transition] = {"cut": "cut", "dissolve": "dissolve", "fade": "fade"}
Note = Callable[[str], None]


class _Info(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def rate(self) -> Fraction: ...
    @property
    def timecode(self) -> str | None: ...


class TimedClip(Protocol):
    """What a shot list needs of a clip (`media.reader.Clip`)."""

    @property
    def info(self) -> _Info: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class _Event:
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
    if path.suffix.lower() == ".csv":
        shots = _placed(path, clip, _read_csv(path, clip), ("frame numbers and timecodes", 0, "record"))
    else:
        events = list(_read_timeline(path, clip, tell))
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
    writers = {".edl": _edl, ".otio": _otio, ".csv": _csv}
    text = writers[_ending(path)](shots, clip)
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from None


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ShotError(f"{path}: is no shot list by its ending; allowed: {', '.join(ENDINGS)}")
    return ending


def _start(clip: TimedClip) -> str:
    return timecode.start(clip.info.timecode, clip.info.rate)


# Reading


def _read_csv(path: Path, clip: TimedClip) -> list[_Event]:
    text = _text(path)
    header = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text), delimiter=";" if ";" in header and "," not in header else ",")
    columns = [column.strip().lower() for column in next(lines, [])]
    if not {"start", "stop"} <= set(columns):
        raise ShotError(f"{path}:1: the first line names the columns: name, start, stop (and transition, if wanted)")
    events = []
    for cells in lines:
        if any(cell.strip() for cell in cells):
            row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
            events.append(_csv_event(f"{path}:{lines.line_num}", lines.line_num, row, clip))
    if not events:
        raise ShotError(f"{path}: has no events, so it is no shot list")
    return events


def _csv_event(where: str, line: int, row: dict[str, str], clip: TimedClip) -> _Event:
    start, stop = (_csv_frame(where, column, row.get(column, ""), clip) for column in ("start", "stop"))
    transition = row.get("transition", "").lower() or "cut"
    if transition not in _TRANSITIONS:
        raise ShotError(f"{where}: transition is {transition!r}; allowed: {', '.join(_TRANSITIONS)}")
    name = row.get("name", "")
    return _Event(f"line {line}" + f" '{name}'" * bool(name), name, None, (start, stop), _TRANSITIONS[transition])


def _csv_frame(where: str, column: str, text: str, clip: TimedClip) -> int:
    """A frame number of the clip from a frame number or a timecode."""
    if text.isdecimal():
        return int(text)
    if not timecode.is_timecode(text):
        raise ShotError(f"{where}: {column} is {text!r}; allowed: a frame number or a timecode HH:MM:SS:FF")
    try:
        return timecode.to_frames(text, clip.info.rate) - timecode.to_frames(_start(clip), clip.info.rate)
    except AnswerprintError as error:
        raise ShotError(f"{where}: {column}: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ShotError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ShotError(f"{path}: is not a text file; a shot list is expected") from None


def _read_timeline(path: Path, clip: TimedClip, tell: Note) -> Iterator[_Event]:
    """The events of the first video track of an EDL or OTIO timeline."""
    import opentimelineio as otio

    edit = _load_timeline(path, clip)
    tracks = [track for track in edit.video_tracks() if len(track)]
    if len(tracks) > 1:
        tell(f"{path}: has {len(tracks)} video tracks; the first is used")
    begin = _record_start(path, edit, tracks[0], clip) if tracks else 0
    late: tuple[Transition, int] = ("cut", 0)
    number = 0
    for item in tracks[0] if tracks else ():
        if isinstance(item, otio.schema.Transition):
            late = ("dissolve", round((_frames(item.out_offset, clip) - _frames(item.in_offset, clip)) / 2))
        elif not isinstance(item, otio.schema.Gap):
            number += 1
            yield _event(path, item, number, begin, clip, late)
            late = ("cut", 0)


def _load_timeline(path: Path, clip: TimedClip) -> Any:
    import opentimelineio as otio

    text = _text(path)
    try:
        if path.suffix.lower() == ".edl":
            edit = otio.adapters.read_from_string(text, "cmx_3600", rate=_otio_rate(clip))
        else:
            edit = otio.adapters.read_from_string(text, "otio_json")
    except (otio.exceptions.OTIOError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        rate = timecode.show_rate(clip.info.rate)
        raise ShotError(
            f"{path}: cannot be read as {path.suffix[1:].upper()} of {rate} frames per second: {reason}"
        ) from None
    if not isinstance(edit, otio.schema.Timeline):
        raise ShotError(f"{path}: holds a {type(edit).__name__}, not a timeline")
    return edit


def _otio_rate(clip: TimedClip) -> float:
    """The rate as OpenTimelineIO takes it: the double nearest to the fraction."""
    return float(clip.info.rate)


def _frames(time: Any, clip: TimedClip) -> int:
    count: float = time.rescaled_to(_otio_rate(clip)).value
    return round(count)


def _record_start(path: Path, edit: Any, track: Any, clip: TimedClip) -> int:
    """Count of the record timecode at the start of a track."""
    if path.suffix.lower() == ".edl":
        # The EDL adapter keeps the first record in-point as the negative start of the track.
        return -_frames(track.source_range.start_time, clip) if track.source_range is not None else 0
    return _frames(edit.global_start_time, clip) if edit.global_start_time is not None else 0


def _event(path: Path, item: Any, number: int, begin: int, clip: TimedClip, start: tuple[Transition, int]) -> _Event:
    """An event of a timeline.

    Args:
        path: of the list.
        item: the timeline's own event.
        number: of the event, from 1.
        begin: count of the record timecode at the start of the track.
        clip: the footage.
        start: how it begins, and by how many frames the middle of its dissolve lies after its in-point.
    """
    transition, late = start
    own = item.metadata.get("answerprint", {}).get("transition", "")
    comments = " ".join(item.metadata.get("cmx_3600", {}).get("comments", [])).lower()
    for word in ("dissolve", "fade"):
        if own == word or f"transition: {word}" in comments:
            transition = _TRANSITIONS[word]
    label = f"event {number:03d}" + f" '{item.name}'" * bool(item.name)
    source, record = item.trimmed_range(), item.range_in_parent()
    if abs(source.start_time.rate - _otio_rate(clip)) > 0.01:
        raise ShotError(
            f"{path}: {label} counts {timecode.show_rate(Fraction(source.start_time.rate))} frames per second; "
            f"the clip has {timecode.show_rate(clip.info.rate)}"
        )
    first = _frames(source.start_time, clip)
    recorded = begin + _frames(record.start_time, clip)
    length = _frames(source.duration, clip)
    return _Event(
        label=label,
        name=item.name or "",
        source=(first, first + length),
        record=(recorded, recorded + _frames(record.duration, clip)),
        transition=transition,
        late=late,
        reel=str(item.metadata.get("cmx_3600", {}).get("reel", "")),
    )


# Placing


def _fit(path: Path, clip: TimedClip, events: list[_Event], tell: Note) -> list[ShotRange]:
    """The events by the first way of counting that fits the clip.

    Raises:
        ShotError: none fits; said of the way that fits most events.
    """
    begin = timecode.to_frames(_start(clip), clip.info.rate)
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


def _range(event: _Event, way: _Way) -> tuple[int, int]:
    start, stop = event.source if way[2] == "source" and event.source is not None else event.record
    return start - way[1], stop - way[1]


def _inside(event: _Event, way: _Way, length: int) -> bool:
    start, stop = _range(event, way)
    return start >= 0 and stop <= length


def _placed(path: Path, clip: TimedClip, events: Sequence[_Event], way: _Way) -> list[ShotRange]:
    """The events as shots in the order of the clip.

    Raises:
        ShotError: an event is empty, lies outside the clip or overlaps another.
    """

    def at(frame: int) -> str:
        return f"{timecode.shift(_start(clip), frame, clip.info.rate)} (frame {frame})"

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
    """Each shot with a name of its own: events cut from one clip are often all called after it."""
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
    start, rate = _start(clip), clip.info.rate
    return timecode.shift(start, shot.start, rate), timecode.shift(start, shot.stop, rate)


def _edl(shots: Sequence[ShotRange], clip: TimedClip) -> str:
    """CMX 3600, one cut per shot, source and record alike: the adapter would call every 29.97 clip drop-frame."""
    rate = clip.info.rate
    if timecode.nominal(rate) not in (24, 25, 30, 48, 50, 60) or rate.denominator not in (1, 1001):
        text = timecode.show_rate(rate)
        raise ShotError(f"an EDL knows no rate of {text} frames per second; write the shots as .otio or .csv")
    mode = "DROP FRAME" if timecode.is_drop(_start(clip)) else "NON-DROP FRAME"
    stem = _stem(clip)
    reel = "".join(letter for letter in stem.upper() if letter.isascii() and letter.isalnum())[:8] or "AX"
    lines = [f"TITLE: {stem}", f"FCM: {mode}", ""]
    for number, shot in enumerate(shots, 1):
        start, stop = _timecodes(shot, clip)
        lines.append(f"{number:03d}  {reel:8} V     C        {start} {stop} {start} {stop}")
        lines.append(f"* FROM CLIP NAME: {' '.join(shot.name.split())}")
        if shot.transition != "cut":
            lines.append(f"* TRANSITION: {shot.transition.upper()}")
    return "\n".join(lines) + "\n"


def _stem(clip: TimedClip) -> str:
    return Path(clip.info.path).stem or "clip"


def _otio(shots: Sequence[ShotRange], clip: TimedClip) -> str:
    import opentimelineio as otio

    rate = _otio_rate(clip)
    begin = timecode.to_frames(_start(clip), clip.info.rate)

    def span(start: int, length: int) -> Any:
        return otio.opentime.TimeRange(
            otio.opentime.RationalTime(begin + start, rate), otio.opentime.RationalTime(length, rate)
        )

    edit = otio.schema.Timeline(name=_stem(clip), global_start_time=otio.opentime.RationalTime(begin, rate))
    track = otio.schema.Track(name="V1", kind=otio.schema.TrackKind.Video)
    edit.tracks.append(track)
    for shot in shots:
        media = otio.schema.ExternalReference(
            target_url=Path(os.path.abspath(clip.info.path)).as_uri(),  # noqa: PTH100 - links are kept
            available_range=span(0, len(clip)),
        )
        entry = otio.schema.Clip(name=shot.name, media_reference=media, source_range=span(shot.start, len(shot)))
        entry.metadata["answerprint"] = {"transition": shot.transition}
        track.append(entry)
    text: str = otio.adapters.write_to_string(edit, "otio_json")
    return text + "\n"
