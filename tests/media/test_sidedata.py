"""Mastering display, light level, clean aperture and field order arrive in every container with a place for them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from answerprint.frame import Frame
from answerprint.media import info, presets, quicktime, reader
from carriers import APERTURE, LIGHT, P3, deliver, graded_for_hdr
from clips import bars, interlaced, write


def test_info_shows_what_is_said_of_all_pictures(tmp_path: Path) -> None:
    clip = reader.open(graded_for_hdr(tmp_path / "a.mov"))
    rows = dict(info.table(clip.info))
    assert rows["mastering display"] == "P3 D65, 0.005 to 1000 cd/m2"
    assert rows["content light level"] == "MaxCLL 1000, MaxFALL 400 cd/m2"
    assert rows["clean aperture"] == "240 x 120 at +2+0"
    plain = info.to_json(clip.info)["side_data"]
    assert [item["kind"] for item in plain] == ["mastering display", "content light level", "clean aperture"]


HDR_OUTPUTS = [
    ("out.mov", "prores-hq"), ("out.mov", "h265-10"), ("out.mp4", "h265-10"), ("out.mp4", "av1"),
    ("out.mp4", "h264-10"), ("out.mkv", "ffv1"), ("out.mkv", "prores-hq"), ("out.mkv", "h265-10"), ("out.mkv", "av1"),
    ("out.mov", "dnxhr-hqx"), ("out.mxf", "dnxhr-hqx"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "preset"), HDR_OUTPUTS)
def test_mastering_display_arrives_and_so_do_level_and_aperture(tmp_path: Path, name: str, preset: str) -> None:
    deliver(graded_for_hdr(tmp_path / "a.mov"), tmp_path / name, preset)
    boxes = {item.box: item.content for item in reader.open(tmp_path / name).info.side_data}
    assert boxes["mdcv"] == P3.hex()
    if not name.endswith("mxf"):  # FFmpeg's MXF has a place for the display only
        assert boxes["clli"] == LIGHT.hex()
    if name.endswith("mov") or preset in ("ffv1", "prores-hq"):
        text = {item.kind: item.text for item in reader.open(tmp_path / name).info.side_data}
        assert text["clean aperture"] == "240 x 120 at +2+0"


def test_dolby_vision_is_shown_and_named_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "phone.mov"
    write(path, codec="libx265", layout="yuv420p10", frames=12, options={"x265-params": "log-level=error"})
    quicktime.add_boxes(path, {"dvvC": bytes([1, 0, 0x10, 0x0D, 0x40]) + bytes(19)})  # profile 8, level 1
    assert dict(info.table(reader.open(path).info))["Dolby Vision"] == "present"
    (note,) = deliver(path, tmp_path / "out.mov", "h265-10")
    assert note == "Dolby Vision is not carried: it describes each picture as it came, and these were worked on"


def test_a_display_of_other_primaries_is_not_claimed(tmp_path: Path) -> None:
    clip = reader.open(graded_for_hdr(tmp_path / "a.mov"))
    delivery = presets.choose(tmp_path / "o.mov", None, clip.info)
    frame = next(iter(clip.frames()))
    converted = Frame(frame.pixels, frame.time, color=frame.color.__class__("bt709", "bt709", "bt709", "full", "left"))
    assert set(presets.adapt(delivery, delivery.rate, converted, clip.info).boxes) == {"clap"}


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize(
    ("name", "preset"),
    [("o.mxf", "dnxhr-hqx"), ("o.mov", "dnxhr-hqx"), ("o.mov", "prores"), ("o.mkv", "ffv1"), ("o.mkv", "prores"),
     ("o.avi", "ffv1"), ("o.mov", "h264"), ("o.mp4", "h264"), ("o.mkv", "h264")],
)  # fmt: skip
@pytest.mark.parametrize("height", [480, 576])
def test_the_order_of_fields_is_tagged(tmp_path: Path, order: str, name: str, preset: str, height: int) -> None:
    source = tmp_path / "tape.mkv"
    write(source, width=256, height=height, frames=3, field_order=order, picture=interlaced(bars, order))
    deliver(source, tmp_path / name, preset)
    made = reader.open(tmp_path / name).info
    assert (made.tagged_field_order, made.height, made.width) == (order, height, 256)
    assert made.field_order == order


def test_a_broken_table_is_no_side_data(tmp_path: Path) -> None:
    path = graded_for_hdr(tmp_path / "a.mov")
    data = path.read_bytes()
    at = data.index(b"moov")
    for size in (0, 1, 7, 9, 1 << 31):
        path.write_bytes(data[: at - 4] + size.to_bytes(4, "big") + data[at:])
        quicktime.entries(path)
    path.write_bytes(data[: at + 200])
    assert quicktime.entries(path) == []


def test_boxes_move_no_byte_of_the_footage(tmp_path: Path) -> None:
    write(tmp_path / "a.mov", codec="prores_ks", frames=2)
    before = (tmp_path / "a.mov").read_bytes()
    quicktime.add_boxes(tmp_path / "a.mov", {"clap": APERTURE})
    after = (tmp_path / "a.mov").read_bytes()
    assert after[: before.index(b"moov") - 4] == before[: before.index(b"moov") - 4]
    assert len(after) == len(before) + 40
    with av.open(str(tmp_path / "a.mov")) as container:
        assert [frame.pts * container.streams.video[0].time_base for frame in container.decode(video=0)] == [
            Fraction(0),
            Fraction(1, 25),
        ]
