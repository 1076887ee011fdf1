"""Timelines from elsewhere: what OpenTimelineIO would end the process on is refused in one line."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest

from answerprint.errors import ShotError
from answerprint.shots import timeline
from answerprint.shots.boundary import ShotRange
from footage import TimedFootage

CLIP = TimedFootage("clip.mov", Fraction(25), None, 100)


def written(tmp_path: Path) -> dict[str, Any]:
    """A good timeline as JSON."""
    shots = [ShotRange("a", 0, 40), ShotRange("b", 40, 100)]
    timeline.write(shots, CLIP, tmp_path / "good.otio")
    document: dict[str, Any] = json.loads((tmp_path / "good.otio").read_text())
    return document


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON document."""
    entries = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [(*path, key) for key, _ in entries] + [p for key, part in entries for p in places(part, (*path, key))]


def test_any_part_may_be_missing_or_of_another_kind(tmp_path: Path) -> None:
    text = json.dumps(written(tmp_path))
    for path in places(json.loads(text)):
        for value in (None, 5, "x", [], {}, [None], -1.0, float("nan"), 1e300):
            document = json.loads(text)
            parent = document
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = value
            (tmp_path / "bad.otio").write_text(json.dumps(document))
            try:
                shots = timeline.read(tmp_path / "bad.otio", CLIP)
            except ShotError as refusal:
                assert "\n" not in str(refusal) and "bad.otio" in str(refusal)
            else:
                assert shots[0].start == 0 and shots[-1].stop == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "too deeply"),
        ('{"OTIO_SCHEMA": "Timeline.1", "tracks": ' * 200_000, "too deeply"),
        ('{"OTIO_SCHEMA": "Timeline.1", "tracks": null}', "no tracks"),
        ('{"OTIO_SCHEMA": "Clip.1"}', "not a timeline"),
        ("9" * 5000, "4300 digits"),
        ("{", "cannot be read as OTIO"),
    ],
)
def test_what_is_no_timeline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.otio").write_text(text)
    with pytest.raises(ShotError, match=message):
        timeline.read(tmp_path / "bad.otio", CLIP)


def test_a_wipe_between_clips_is_named_so(tmp_path: Path) -> None:
    written(tmp_path)
    edit = otio.adapters.read_from_file(str(tmp_path / "good.otio"))
    half = otio.opentime.RationalTime(5, 25)
    edit.video_tracks()[0].insert(1, otio.schema.Transition("w", "SMPTE_Wipe", in_offset=half, out_offset=half))
    otio.adapters.write_to_file(edit, str(tmp_path / "wipe.otio"))
    shots = timeline.read(tmp_path / "wipe.otio", CLIP)
    assert [(shot.name, shot.start, shot.transition) for shot in shots] == [("a", 0, "cut"), ("b", 40, "wipe")]
