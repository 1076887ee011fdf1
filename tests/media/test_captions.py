"""Captions that ride in the pictures stay with their pictures, or are named as lost; so is dynamic metadata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from answerprint.media import presets, reader
from answerprint.media.writer.direct import Writer
from clips import bars, write

Wrap = Callable[[bytes, bytes], bytes]


def triplets(number: int) -> bytes:
    """Caption data that names its picture; the zeros need an escape in H.264 and H.265."""
    return bytes([0xFC, 0x80 | number, 0x20 + number, 0xFD, 0x80, 0x80, 0xFA, 0, 0, 0xFA, 0, 0])


def _escaped(data: bytes) -> bytes:
    result, zeros = bytearray(), 0
    for value in data:
        if zeros >= 2 and value <= 3:
            result.append(3)
            zeros = 0
        result.append(value)
        zeros = zeros + 1 if value == 0 else 0
    return bytes(result)


def in_h264(packet: bytes, message: bytes) -> bytes:
    """A message as H.264 has it, at the head of an Annex B packet, behind the delimiter."""
    unit = b"\x00\x00\x00\x01\x06" + _escaped(bytes([4, len(message)]) + message + b"\x80")
    at = packet.index(b"\x00\x00\x01", 5) if packet[4] & 0x1F == 9 else 0
    return packet[:at] + unit + packet[at:]


def in_hevc(packet: bytes, message: bytes) -> bytes:
    """A message as H.265 has it."""
    unit = b"\x00\x00\x00\x01\x4e\x01" + _escaped(bytes([4, len(message)]) + message + b"\x80")
    at = packet.index(b"\x00\x00\x01", 5) if packet[4] >> 1 == 35 else 0
    return packet[:at] + unit + packet[at:]


def in_mpeg2(packet: bytes, message: bytes) -> bytes:
    """A message as MPEG-2 has it: user data before the first slice."""
    at = packet.index(b"\x00\x00\x01\x01")
    return packet[:at] + b"\x00\x00\x01\xb2" + message[3:] + packet[at:]


WAYS: dict[str, tuple[str, Wrap, dict[str, str]]] = {
    "h264": ("libx264", in_h264, {"bf": "2"}),
    "hevc": ("libx265", in_hevc, {"x265-params": "log-level=error:bframes=2"}),
    "mpeg2": ("mpeg2video", in_mpeg2, {"bf": "2"}),
}


def captioned(path: Path, way: str, message: Callable[[int], bytes] | None = None, count: int = 12) -> Path:
    """A clip whose picture n carries `triplets(n)`, or another message."""
    codec, wrap, options = WAYS[way]
    base = write(
        path.with_name("base.ts"), codec=codec, layout="yuv420p", frames=count, picture=bars, options=options
    ).path
    message = message or (
        lambda n: b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(triplets(n)) // 3, 0xFF]) + triplets(n) + b"\xff"
    )
    with av.open(str(base)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = [packet for packet in source.demux(video=0) if packet.size]
        first = min(packet.pts for packet in packets)
        for packet in packets:
            number = round((packet.pts - first) * packet.time_base * 25)
            copy: Any = av.Packet(wrap(bytes(packet), message(number)))
            for name in ("pts", "dts", "duration", "time_base", "is_keyframe"):
                setattr(copy, name, getattr(packet, name))
            copy.stream = stream
            out.mux(copy)
    return path


def shown(path: Path) -> list[list[bytes]]:
    """Caption data of every decoded picture."""
    with av.open(str(path)) as container:
        return [
            [bytes(side) for side in frame.side_data if side.type.name == "A53_CC"]
            for frame in container.decode(video=0)
        ]


def deliver(source: Path, out: Path, preset: str, start: int = 0, stop: int | None = None) -> list[str]:
    clip = reader.open(source)
    with Writer(out, presets.choose(out, preset, clip.info), clip) as writer:
        for frame in clip.frames(start, stop):
            writer.write(frame.with_pixels(frame.pixels * 0.99))
    return writer.notes


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
