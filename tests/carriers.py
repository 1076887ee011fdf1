"""Files that hold more than pictures: a camera's, an archive's, a broadcast's, a master for HDR; and their delivery."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from answerprint.media import presets, quicktime, reader
from answerprint.media.writer.direct import Writer
from clips import Sound, bars, write

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


def captioned(
    path: Path,
    way: str,
    message: Callable[[int], bytes] | None = None,
    count: int = 12,
    size: tuple[int, int] = (96, 64),
) -> Path:
    """A clip whose picture n carries `triplets(n)`, or another message."""
    codec, wrap, options = WAYS[way]
    base = write(
        path.with_name("base.ts"), codec=codec, layout="yuv420p", frames=count, picture=bars, options=options,
        width=size[0], height=size[1],
    ).path  # fmt: skip
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


def deliver(source: Path, out: Path, preset: str | None = None, start: int = 0, stop: int | None = None) -> list[str]:
    """Delivers frames of a source, a little darker, and gives what is told."""
    clip = reader.open(source)
    with Writer(out, presets.choose(out, preset, clip.info), clip) as writer:
        for frame in clip.frames(start, stop):
            writer.write(frame.with_pixels(frame.pixels * 0.99))
    return writer.notes


def camera_file(path: Path) -> Path:
    """An MP4 with sound, a telemetry track (gpmd), place and date: a track of text with its labels changed."""
    base = write(
        path.with_name("base.mkv"), codec="libx264", layout="yuv420p", width=256, height=128, frames=24,
        sounds=[Sound("aac")],
    ).path  # fmt: skip
    with av.open(str(base)) as source, av.open(str(path), "w") as out:
        out.metadata.update(creation_time="2024-05-01T10:00:00.000000Z", location="+48.1000-002.3000/")
        streams = [out.add_stream_from_template(stream, opaque=True) for stream in source.streams]
        text: Any = out.add_mux_stream("mov_text", time_base=Fraction(1, 1000))
        for number in range(2):
            packet = av.Packet(b"\x00\x03abc")
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts, packet.dts, packet.duration = 500 * number, 500 * number, 500
            out.mux(packet)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    data = path.read_bytes()
    assert data.count(b"tx3g") == 1
    path.write_bytes(data.replace(b"tx3g", b"gpmd").replace(b"sbtl", b"meta"))
    return path


def archive_file(path: Path, **metadata: str) -> Path:
    """Matroska with two sound tracks, subtitles, a font, cover art, a chapter, timecode, names and purposes."""
    base = write(
        path.with_name("base.mkv"), layout="yuv420p", width=256, height=128, frames=6, timecode="10:00:00:00",
        sounds=[Sound(), Sound("flac", language="ita")], chapters=[(Fraction(0), Fraction(1, 5), "one")],
        subtitles=[(Fraction(0), Fraction(1, 5), "Good day")], metadata={"title": "A day"} | metadata,
    ).path  # fmt: skip
    with av.open(str(base)) as source, av.open(str(path), "w") as out:
        out.metadata.update(source.metadata)
        out.set_chapters(source.chapters())
        streams = [out.add_stream_from_template(stream, opaque=True) for stream in source.streams]
        for old, new in zip(source.streams, streams, strict=True):
            if old.type != "video":
                new.metadata.update(language=old.metadata.get("language", "und"), title=f"{old.type} of the day")
                new.disposition = Disposition.comment if old.type == "audio" else Disposition.forced
        out.add_attachment("font.ttf", "font/ttf", b"glyphs")
        out.add_attachment("cover.jpg", "image/jpeg", still())
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return path


def still() -> bytes:
    """A small JPEG."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 48, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.zeros((72, 64), np.uint8), format="yuv420p").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


P3 = struct.pack(">8H2I", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 50)
LIGHT = struct.pack(">2H", 1000, 400)
APERTURE = struct.pack(">4I iIiI", 240, 1, 120, 1, 2, 1, 0, 1)


def graded_for_hdr(path: Path) -> Path:
    """ProRes in PQ with a mastering display, a light level and a clean aperture."""
    write(
        path, codec="prores_ks", width=256, height=128, frames=3,
        primaries="bt2020", transfer="smpte2084", matrix="bt2020nc",
    )  # fmt: skip
    quicktime.add_boxes(path, {"mdcv": P3, "clli": LIGHT, "clap": APERTURE})
    return path
