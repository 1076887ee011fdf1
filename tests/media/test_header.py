"""What the header of a picture says of the footage stands in what is made of it, or a line tells its loss."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from answerprint.media import presets, reader
from answerprint.media.writer.direct import Writer
from stored import copy, put

SCAN = {
    "dpx_InputDevice": "Scanner 4", "dpx_SlateInfo": "12A", "Copyright": "The makers", "DocumentName": "A film",
    "DateTime": "2020:01:02 10:00:00",
}  # fmt: skip
RENDER = {
    "ExposureTime": 0.02, "isoSpeed": 800.0, "reelName": "A001", "Copyright": "The makers",
    "ImageDescription": "take two", "DateTime": "2020:01:02 10:00:00",
}  # fmt: skip
CAMERA = tuple(float(number) for number in range(16))


def key_code(spec: Any, count: int) -> None:
    spec.attribute("smpte:KeyCode", oiio.TypeDesc("keycode"), (1, 2, 3, 4, count, 4, 64))


def scan(folder: Path) -> str:
    """Four DPX pictures, each with the key code of its place on the film."""
    for number in range(1001, 1005):
        spec = oiio.ImageSpec(32, 16, 3, "uint16")
        key_code(spec, number - 1001)
        tags = {**SCAN, "dpx_FrameId": f"id {number}", "dpx_FramePosition": number}
        put(folder / f"scan.{number}.dpx", np.full((16, 32, 3), 9000, np.uint16), spec, **tags)
    return str(folder / "scan.%04d.dpx")


def render(folder: Path) -> str:
    """Two EXR pictures with what a camera and a renderer say of them."""
    for number in (1, 2):
        spec = oiio.ImageSpec(32, 16, 3, "half")
        spec.attribute("worldToCamera", oiio.TypeDesc("matrix"), CAMERA)
        put(folder / f"sh.{number:04d}.exr", np.full((16, 32, 3), 0.25, np.float32), spec, **RENDER)
    return str(folder / "sh.%04d.exr")


def spec_of(path: Path) -> Any:
    return oiio.ImageInput.open(str(path)).spec()


def lost(notes: list[str]) -> list[str]:
    return [note for note in notes if note.startswith(("tag ", "tags ", "reel name"))]


def test_a_scan_keeps_its_header_picture_by_picture(tmp_path: Path) -> None:
    result = copy(scan(tmp_path), tmp_path / "out.%04d.dpx", start="1", gain=1.2)
    assert lost(result.notes) == []
    for number in (1002, 1004):
        spec = spec_of(tmp_path / f"out.{number}.dpx")
        assert spec.getattribute("smpte:KeyCode") == (1, 2, 3, 4, number - 1001, 4, 64)
        assert spec.getattribute("dpx:FrameId") == f"id {number}"
        assert spec.getattribute("dpx:FramePosition") == number
        assert {name: spec.getattribute(name.replace("_", ":")) for name in SCAN} == SCAN


def test_the_key_code_of_film_arrives_in_exr_and_the_rest_is_told(tmp_path: Path) -> None:
    result = copy(scan(tmp_path), tmp_path / "out.%04d.exr")
    assert spec_of(tmp_path / "out.1003.exr").getattribute("smpte:KeyCode") == (1, 2, 3, 4, 2, 4, 64)
    [line] = lost(result.notes)
    assert "dpx:InputDevice" in line and "dpx:SlateInfo" in line and ".exr as written here has no place" in line
    assert "KeyCode" not in line and "Copyright" not in line


def test_a_render_keeps_its_header(tmp_path: Path) -> None:
    result = copy(render(tmp_path), tmp_path / "out.%04d.exr", gain=1.2)
    assert lost(result.notes) == []
    spec = spec_of(tmp_path / "out.0002.exr")
    assert spec.getattribute("worldToCamera") == CAMERA
    assert spec.getattribute("isoSpeed") == 800 and spec.getattribute("reelName") == "A001"
    assert spec.getattribute("ImageDescription") == "take two"
    assert spec.getattribute("DateTime") == RENDER["DateTime"]


@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.mp4"])
def test_video_gets_the_tags_that_it_has_names_for(tmp_path: Path, name: str) -> None:
    result = copy(render(tmp_path), tmp_path / name)
    tags = {key.lower(): value for key, value in (reader.open(tmp_path / name).info.metadata or {}).items()}
    assert (tags["copyright"], tags["comment"]) == ("The makers", "take two")
    assert tags["date"] == "2020-01-02T10:00:00"
    told = " ".join(lost(result.notes))
    assert all(name in told for name in ("ExposureTime", "isoSpeed", "worldToCamera"))
    assert "reel name A001 is not carried" in told
    assert "Copyright" not in told and "ImageDescription" not in told


def test_the_reel_of_a_picture_stays_with_its_timecode(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(32, 16, 3, "half")
    spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (0x01020304, 0))
    spec.attribute("reelName", "A001")
    put(tmp_path / "a.exr", np.full((16, 32, 3), 0.25, np.float32), spec)
    result = copy(tmp_path / "a.exr", tmp_path / "out.mov")
    info = reader.open(tmp_path / "out.mov").info
    assert info.timecode == "01:02:03:04" and any(s.metadata.get("reel_name") == "A001" for s in info.streams)
    assert lost(result.notes) == []


def test_what_the_file_was_is_neither_carried_nor_missed(tmp_path: Path) -> None:
    """Compression and program are those of the new file, which has no date where the source has none."""
    spec = oiio.ImageSpec(32, 16, 3, "half")
    for name, value in (("compression", "piz"), ("Software", "Another"), ("DateTime", "")):
        spec.attribute(name, value)
    put(tmp_path / "a.exr", np.full((16, 32, 3), 0.25, np.float32), spec)
    for name in ("out.exr", "out.tif", "out.dpx", "out.mov"):
        assert lost(copy(tmp_path / "a.exr", tmp_path / name).notes) == []
    again = copy(tmp_path / "out.dpx", tmp_path / "again.mov")
    assert lost(again.notes) == [] and "date" not in (reader.open(tmp_path / "again.mov").info.metadata or {})
    assert spec_of(tmp_path / "out.exr").getattribute("Software") == "Answerprint"
    assert spec_of(tmp_path / "out.exr").getattribute("compression") == "zip"


def test_code_values_of_a_scan_are_told_not_carried(tmp_path: Path) -> None:
    """Black and white in codes of 16 bits say something else in a picture of 10."""
    put(tmp_path / "a.dpx", np.full((16, 32, 3), 9000, np.uint16), dpx_BlackLevel=6080.0, dpx_WhiteLevel=43840.0)
    [line] = lost(copy(tmp_path / "a.dpx", tmp_path / "out.dpx").notes)
    assert "dpx:BlackLevel" in line and "dpx:WhiteLevel" in line
    assert spec_of(tmp_path / "out.dpx").getattribute("dpx:WhiteLevel") is None


def test_a_still_of_a_camera_names_a_dozen_of_what_is_lost(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(32, 16, 3, "half")
    for number in range(40):
        spec.attribute(f"studio/{number:02d}", "x")
    put(tmp_path / "a.exr", np.full((16, 32, 3), 0.25, np.float32), spec)
    [line] = lost(copy(tmp_path / "a.exr", tmp_path / "out.dpx").notes)
    assert "studio/00, studio/01" in line and "and 28 more are not carried" in line


def test_a_picture_made_between_two_has_the_key_code_of_neither(tmp_path: Path) -> None:
    clip = reader.open(scan(tmp_path))
    own, next_one = clip.frames(0, 2)
    delivery = presets.choose(tmp_path / "out.%04d.dpx", None, clip.info)
    with Writer(tmp_path / "out.%04d.dpx", delivery.model_copy(update={"rate": Fraction(48)})) as writer:
        writer.write(own)
        writer.write(replace(own, time=(own.time + next_one.time) / 2))
    specs = [spec_of(tmp_path / f"out.{number:04d}.dpx") for number in (1, 2)]
    assert [spec.getattribute("smpte:KeyCode") is not None for spec in specs] == [True, False]
    assert [spec.getattribute("dpx:InputDevice") for spec in specs] == ["Scanner 4"] * 2
