"""Captions that ride in the pictures stay with their pictures, or are named as lost; so is dynamic metadata."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from answerprint.media import reader
from carriers import captioned, deliver, triplets


def shown(path: Path) -> list[list[bytes]]:
    """Caption data of every decoded picture."""
    with av.open(str(path)) as container:
        return [
            [bytes(side) for side in frame.side_data if side.type.name == "A53_CC"]
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize(("way", "ending"), [("h264", ".ts"), ("h264", ".mp4"), ("hevc", ".mkv"), ("mpeg2", ".ts")])
@pytest.mark.parametrize(("preset", "output"), [("h264", "out.mp4"), ("h265", "out.mov"), ("h264", "out.mkv")])
def test_captions_stay_with_their_pictures(tmp_path: Path, way: str, ending: str, preset: str, output: str) -> None:
    source = captioned(tmp_path / f"in{ending}", way)
    assert shown(source) == [[triplets(number)] for number in range(12)]
    assert any(item.kind == "captions (A/53)" for item in reader.open(source).info.side_data)
    assert not any("captions" in note for note in deliver(source, tmp_path / output, preset))
    assert shown(tmp_path / output) == shown(source)


def test_a_range_takes_its_own_captions(tmp_path: Path) -> None:
    source = captioned(tmp_path / "in.mp4", "h264")
    deliver(source, tmp_path / "out.mp4", "h264", start=5, stop=9)
    assert shown(tmp_path / "out.mp4") == [[triplets(number)] for number in range(5, 9)]


@pytest.mark.parametrize(("preset", "output"), [("prores", "out.mov"), ("ffv1", "out.mkv"), ("png", "o.%04d.png")])
def test_captions_are_named_where_the_codec_takes_none(tmp_path: Path, preset: str, output: str) -> None:
    source = captioned(tmp_path / "in.mp4", "h264")
    (note,) = [note for note in deliver(source, tmp_path / output, preset) if "captions" in note]
    assert "captions (A/53) are not carried" in note


def test_dynamic_metadata_no_longer_describes_pictures_that_were_worked_on(tmp_path: Path) -> None:
    """HDR10+ (SMPTE ST 2094-40, one window without curves) in H.265."""
    bits = "01" + f"{400:027b}" + "0" + "".join(f"{value:017b}" for value in (1, 2, 3)) + f"{4:017b}" + "0000"
    bits += f"{5:010b}" + "0" + "0" + "0"
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    source = captioned(tmp_path / "in.mkv", "hevc", lambda _: b"\xb5\x00\x3c\x00\x01\x04\x01" + body)
    kinds = [item.kind for item in reader.open(source).info.side_data]
    assert kinds == ["HDR10+"]
    for preset, output in (("h265", "out.mkv"), ("prores", "out.mov")):
        (note,) = [note for note in deliver(source, tmp_path / output, preset) if "HDR10+" in note]
        assert note == "HDR10+ is not carried: it describes each picture as it came, and these were worked on"
