"""Film that is coded for video by repeat flags has its own rate, times and timecode."""

from __future__ import annotations

import io
import re
from fractions import Fraction
from pathlib import Path

import av
import pytest

from answerprint.media import reader
from answerprint.render.options import Options
from answerprint.render.source import SourceRange
from coded import encode_clip, texture

FILM, VIDEO = Fraction(24000, 1001), Fraction(30000, 1001)
_FIELD = Fraction(1001, 60000)


def _elementary(count: int, label: str) -> bytes:
    """MPEG-2 of progressive pictures at the film rate."""
    data = io.BytesIO()
    with av.open(data, "w", format="mpeg2video") as out:
        stream = out.add_stream("mpeg2video", rate=FILM, options={"gop_timecode": label})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.max_b_frames = 0
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(texture(number, 64, 96), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, 1 / FILM
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return data.getvalue()


def _with_repeat_flags(stream: bytes) -> bytes:
    """The stream coded as 29.97 by 2:3 pulldown: H.262, 6.2.2.1 (rate), 6.2.2.3 (sequence), 6.2.3.1 (picture)."""
    data = bytearray(stream)
    for start in re.finditer(rb"\x00\x00\x01\xb3", stream):
        data[start.end() + 3] = data[start.end() + 3] & 0xF0 | 4
    number = 0
    for start in re.finditer(rb"\x00\x00\x01\xb5", stream):
        place = start.end()
        if data[place] >> 4 == 1:
            data[place + 1] &= ~0x08  # no progressive_sequence
        if data[place] >> 4 == 8:
            bits = int.from_bytes(data[place : place + 5], "big")
            flags = {24: (1, 0, 0, 1)[number % 4], 30: (1, 0)[number % 2], 31: 1, 32: 1}
            for position, value in flags.items():
                bits = bits & ~(1 << 39 - position) | value << 39 - position
            data[place : place + 5] = bits.to_bytes(5, "big")
            number += 1
    return bytes(data)


def soft_telecine(path: Path, count: int = 48, label: str = "01:00:00:10") -> Path:
    """A program stream of film pictures that last three and two fields by turns."""
    path.with_suffix(".m2v").write_bytes(_with_repeat_flags(_elementary(count, label)))
    with av.open(str(path.with_suffix(".m2v"))) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = (packet for packet in source.demux(video=0) if packet.size)
        for number, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, Fraction(1, 90000)
            packet.pts = packet.dts = int((number // 2 * 5 + number % 2 * 3) * _FIELD * 90000)
            out.mux(packet)
    return path


@pytest.mark.parametrize("ending", [".vob", ".mkv", ".m2v"])
def test_soft_telecine_has_the_rate_of_the_film(tmp_path: Path, ending: str) -> None:
    soft_telecine(tmp_path / f"film{ending if ending != '.m2v' else '.vob'}")
    clip = reader.open(tmp_path / f"film{ending}")
    assert (clip.info.rate, clip.info.variable_rate, len(clip)) == (FILM, False, 48)
    assert clip.info.duration == 48 / FILM
    assert list(clip.times) == [number / FILM for number in range(48)]
    assert any("soft telecine" in note for note in clip.info.notes)
    assert [frame.time for frame in clip.frames(23, 26)] == [number / FILM for number in range(23, 26)]


def test_its_timecode_counts_film_frames(tmp_path: Path) -> None:
    clip = reader.open(soft_telecine(tmp_path / "film.vob"))
    assert clip.info.timecode == "01:00:00:08"  # frame 10 of 30 is frame 8 of 24
    assert SourceRange.of(clip, Options(start="01:00:01:08")).start == 24


def test_video_without_repeated_fields_keeps_its_rate_and_a_gap_is_no_film(tmp_path: Path) -> None:
    steady = encode_clip(tmp_path / "steady.ts", "mpeg2video", "yuv420p", 24, rate=VIDEO)
    assert reader.open(steady).info.rate == VIDEO
    # A phone that drops every fourth frame shows steps of one and two frames, which no pattern of fields has.
    times = [number for number in range(40) if number % 4 != 3]
    dropped = encode_clip(tmp_path / "phone.mp4", "libx264", "yuv420p", len(times), rate=VIDEO, pts=times)
    info = reader.open(dropped).info
    assert (info.rate, info.variable_rate) == (VIDEO, True)
