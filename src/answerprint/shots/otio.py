"""OpenTimelineIO timelines, in and out.

OpenTimelineIO reads and writes them. It is C++ that trusts its input: a list from elsewhere is looked over before,
since a null in the wrong place ends the process.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from answerprint.errors import ShotError
from answerprint.media import timecode
from answerprint.shots.boundary import ShotRange, Transition
from answerprint.shots.event import Event, Note, TimedClip, first_timecode, stem
from answerprint.text import parse, visible

_LEVELS = 100  # levels of a timeline; real ones have ten


def read(path: Path, text: str, clip: TimedClip, tell: Note) -> list[Event]:
    """The events of the first video track of a timeline.

    Args:
        path: of the list, for messages.
        text: of the list.
        clip: the footage, whose rate it counts in.
        tell: hears what is left aside, in words.

    Raises:
        ShotError: it is no timeline, or one of another rate.
    """
    import opentimelineio as otio

    try:
        _check(parse(json.loads, text))
        edit = otio.adapters.read_from_string(text, "otio_json")
        tracks = [track for track in edit.video_tracks() if len(track)]
        if len(tracks) > 1:
            tell(f"{path}: has {len(tracks)} video tracks; the first is used")
        begin = _frames(edit.global_start_time, clip) if edit.global_start_time is not None else 0
        return list(_events(path, tracks[0], begin, clip)) if tracks else []
    except ShotError:
        raise
    except (
        otio.exceptions.OTIOError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        # The kinds that OpenTimelineIO raises for what it cannot make sense of.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ShotError(f"{path}: cannot be read as OTIO: {visible(reason[:200])}") from None


def _check(document: Any) -> None:
    """Refuses what would end the process inside OpenTimelineIO.

    Raises:
        ValueError: it is no timeline, or part of it is missing or no number.
    """
    if not _is(document, "Timeline"):
        name = document.get("OTIO_SCHEMA") if isinstance(document, dict) else type(document).__name__
        raise ValueError(f"it holds {str(name)[:40]}, not a timeline")
    if not _is(document.get("tracks"), "Stack"):
        raise ValueError("its timeline has no tracks")
    level = [document]
    for _ in range(_LEVELS):
        if not level:
            return
        for value in level:
            if isinstance(value, dict) and "OTIO_SCHEMA" in value:
                _check_object(value)
        level = [part for value in level for part in _parts(value) if isinstance(part, (dict, list))]
    raise ValueError("its objects stand inside each other too deeply")


def _parts(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)


def _check_object(value: dict[str, Any]) -> None:
    """Refuses one object that lacks what its kind must have."""
    schema = value["OTIO_SCHEMA"]
    if not isinstance(schema, str) or "Ref." in schema:
        raise ValueError(f"an object of its own kind: {str(schema)[:40]}")
    if _is(value, "RationalTime"):
        numbers: list[Any] = [value.get("rate"), value.get("value")]
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
            raise ValueError(f"a time is no number: {numbers}")
        if not 0 < float(numbers[0]) <= 10000 or abs(float(numbers[1])) > 2**53:
            raise ValueError(f"a time cannot be: {numbers[1]} at {numbers[0]} frames per second")
    if _is(value, "TimeRange") and not all(_is(value.get(key), "RationalTime") for key in ("start_time", "duration")):
        raise ValueError("a range has no start or no duration")
    children = value.get("children", [])
    if not isinstance(children, list) or not all(
        isinstance(child, dict) and "OTIO_SCHEMA" in child for child in children
    ):
        raise ValueError(f"what is inside a {schema[:40]} is no list of objects")
    for key, kind in (
        ("source_range", "TimeRange"),
        ("available_range", "TimeRange"),
        ("global_start_time", "RationalTime"),
    ):
        if value.get(key) is not None and not _is(value[key], kind):
            raise ValueError(f"{key} is no {kind}")


def _is(value: Any, kind: str) -> bool:
    """Whether a value is an object of a kind."""
    return isinstance(value, dict) and str(value.get("OTIO_SCHEMA")).startswith(f"{kind}.")


def _rate(clip: TimedClip) -> float:
    """The rate as OpenTimelineIO takes it: the double nearest to the fraction."""
    return float(clip.info.rate)


def _frames(time: Any, clip: TimedClip) -> int:
    count: float = time.rescaled_to(_rate(clip)).value
    return round(count)


def _events(path: Path, track: Any, begin: int, clip: TimedClip) -> Iterator[Event]:
    """The events of a track.

    Args:
        path: of the list.
        track: the timeline's own.
        begin: count of the record timecode at its start.
        clip: the footage.
    """
    import opentimelineio as otio

    start: tuple[Transition, int] = ("cut", 0)
    number = 0
    for item in track:
        if isinstance(item, otio.schema.Transition):
            kind: Transition = "wipe" if "wipe" in item.transition_type.lower() else "dissolve"
            start = (kind, round((_frames(item.out_offset, clip) - _frames(item.in_offset, clip)) / 2))
        elif not isinstance(item, otio.schema.Gap):
            number += 1
            yield _event(path, item, number, begin, clip, start)
            start = ("cut", 0)


def _event(path: Path, item: Any, number: int, begin: int, clip: TimedClip, start: tuple[Transition, int]) -> Event:
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
    if own in get_args(Transition) and own != "cut":
        transition = cast(Transition, own)
    label = f"event {number:03d}" + f" '{visible(item.name)}'" * bool(item.name)
    source, record = item.trimmed_range(), item.range_in_parent()
    if abs(source.start_time.rate - _rate(clip)) > 0.01:
        raise ShotError(
            f"{path}: {label} counts {source.start_time.rate:.6g} frames per second; "
            f"the clip has {timecode.show_rate(clip.info.rate)}"
        )
    first = _frames(source.start_time, clip)
    recorded = begin + _frames(record.start_time, clip)
    return Event(
        label=label,
        name=item.name or "",
        source=(first, first + _frames(source.duration, clip)),
        record=(recorded, recorded + _frames(record.duration, clip)),
        transition=transition,
        late=late,
        reel=str(item.metadata.get("cmx_3600", {}).get("reel", "")),
    )


def write(shots: Sequence[ShotRange], clip: TimedClip) -> str:
    """A timeline with one clip per shot, that names the file."""
    import opentimelineio as otio

    rate = _rate(clip)
    begin = timecode.to_frames(first_timecode(clip), clip.info.rate)

    def span(start: int, length: int) -> Any:
        return otio.opentime.TimeRange(
            otio.opentime.RationalTime(begin + start, rate), otio.opentime.RationalTime(length, rate)
        )

    edit = otio.schema.Timeline(name=visible(stem(clip)), global_start_time=otio.opentime.RationalTime(begin, rate))
    track = otio.schema.Track(name="V1", kind=otio.schema.TrackKind.Video)
    edit.tracks.append(track)
    for shot in shots:
        media = otio.schema.ExternalReference(
            target_url=Path(os.path.abspath(clip.info.path)).as_uri(),  # noqa: PTH100 - links are kept
            available_range=span(0, len(clip)),
        )
        entry = otio.schema.Clip(
            name=visible(shot.name), media_reference=media, source_range=span(shot.start, len(shot))
        )
        entry.metadata["answerprint"] = {"transition": shot.transition}
        track.append(entry)
    text: str = otio.adapters.write_to_string(edit, "otio_json")
    return text + "\n"
