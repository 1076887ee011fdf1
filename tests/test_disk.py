"""Files stand whole under their names or not at all."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

import clips
from answerprint import disk
from answerprint.errors import AnswerprintError
from answerprint.media import reader
from answerprint.render import decide, export
from answerprint.render.options import Options
from answerprint.shots import timeline
from answerprint.shots.boundary import ShotRange

GRADE = ("grade", {"saturation": "0.8"})


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file may hold more than 40 bytes: a disk that is full, for this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_link_of_that_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious, place = tmp_path / "precious.txt", tmp_path / "list.txt"
    precious.write_text("keep me")
    place.symlink_to(precious)
    disk.write(place, "new")
    assert precious.read_text() == "keep me" and place.read_text() == "new" and not place.is_symlink()
    place.unlink()
    place.symlink_to(precious)
    disk.create(place)
    assert precious.read_text() == "keep me" and place.read_bytes() == b""


def test_a_written_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    disk.write(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["d.edl", "d.otio", "d.csv"])
def test_a_shot_list_on_a_full_disk_leaves_the_old_one(tmp_path: Path, name: str) -> None:
    clip, place = reader.open(clips.card(tmp_path / "clip.mkv")), tmp_path / "lists" / name
    place.parent.mkdir()
    place.write_text("the old list")
    with full_disk(), pytest.raises(AnswerprintError, match=f"{name}: cannot be written"):
        timeline.write([ShotRange("001", 0, 12)], clip, place)
    assert place.read_text() == "the old list" and list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize("form", ["edl", "otio", "grades", "cdl", "cube"])
def test_an_export_on_a_full_disk_leaves_nothing(tmp_path: Path, form: str) -> None:
    clip, folder = reader.open(clips.card(tmp_path / "clip.mkv")), tmp_path / "out"
    decisions = decide.analyze(clip, [GRADE], Options(shots="none"))
    spec = export.ExportSpec.of({form: True})
    assert export.export(decisions, clip, tmp_path / "room", spec).files  # and what is compiled is kept by now
    with full_disk(), pytest.raises(AnswerprintError, match="cannot be written"):
        export.export(decisions, clip, folder, spec)
    assert list(folder.iterdir()) == []


def test_a_decision_list_on_a_full_disk_leaves_no_temporary_file(tmp_path: Path) -> None:
    clip, folder = clips.card(tmp_path / "clip.mkv"), tmp_path / "lists"
    folder.mkdir()
    decisions = decide.analyze(clip, [GRADE], Options(shots="none"))
    with full_disk(), pytest.raises(AnswerprintError, match=r"d\.toml: cannot be written"):
        decide.save(decisions, folder / "d.toml")
    assert list(folder.iterdir()) == []
