"""What `answerprint info` shows of a clip."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenImageIO as oiio  # noqa: N813

from answerprint.media import info, reader
from stored import put


def rich_clip(path: Path) -> Path:
    """ProRes with sound in two languages, timecode, a chapter, tags, 601 color, wide pixels."""
    rate = Fraction(30000, 1001)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("prores_ks", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 720, 480, "yuv422p10le"
        stream.codec_context.sample_aspect_ratio = Fraction(8, 9)
        stream.metadata["timecode"] = "01:00:00;02"
        sounds = []
        for language in ("eng", "fra"):
            sound = out.add_stream("pcm_s24le", rate=48000, layout="stereo")
            sound.metadata["language"] = language
            sounds.append(sound)
        out.metadata["title"] = "A clip"
        chapter = {"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "Opening"}}
        out.set_chapters([chapter])
        for number in range(4):
            frame = av.VideoFrame(720, 480, "yuv422p10le")
            for plane in frame.planes:
                plane.update(np.full(plane.buffer_size // 2, 512, np.uint16).tobytes())
            frame.pts, frame.colorspace, frame.color_primaries, frame.color_trc = number, 6, 6, 1
            frame.color_range = 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        for sound in sounds:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 4800), np.int32), format="s32", layout="stereo")
            samples.sample_rate, samples.pts = 48000, 0
            out.mux(sound.encode(samples))
            out.mux(sound.encode())
    return path


def test_everything_a_file_carries_is_shown(tmp_path: Path) -> None:
    found = reader.open(rich_clip(tmp_path / "a.mov")).info
    rows = info.table(found)
    table = dict(rows)
    assert table["container"] == "mov"
    assert table["codec"].startswith("prores (")
    assert table["size"] == "720 x 480, sample aspect 8:9"
    assert table["pixels"] == "yuv422p10, 10 bit"
    assert table["rate"] == "29.97 fps (30000/1001)"
    assert table["length"] == "4 frames, 00:00:00.133"
    assert table["timecode"] == "01:00:00;02"
    assert "matrix smpte170m," in table["color"] and "matrix smpte170m (assumed)" not in table["color"]
    sounds = [value for label, value in rows if label.startswith("audio")]
    assert sounds == ["pcm_s24le, 48000 Hz, stereo, s32, eng", "pcm_s24le, 48000 Hz, stereo, s32, fra"]
    assert table["chapter 1"] == "00:00:00.000 - 00:00:00.100  Opening"
    assert table["tag title"] == "A clip"


def test_json_holds_the_same_exactly(tmp_path: Path) -> None:
    found = reader.open(rich_clip(tmp_path / "a.mov")).info
    read = json.loads(json.dumps(info.to_json(found)))
    assert read["rate"] == "30000/1001" and Fraction(read["duration"]) == found.duration
    assert (read["frames"], read["sar"], read["timecode"]) == (4, "8/9", "01:00:00;02")
    assert read["assumed"]["matrix"] == "smpte170m" and read["color"]["siting"] == found.color.siting
    assert [stream["kind"] for stream in read["streams"]].count("audio") == 2
    assert read["chapters"] == [{"start": "0", "stop": "1/10", "title": "Opening"}]
    assert read["metadata"]["title"] == "A clip"
    assert read["notes"] == list(found.notes)


def test_assumptions_are_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    rows = info.table(reader.open(path).info)
    assert "matrix smpte170m (assumed)" in dict(rows)["color"]
    assert dict(rows)["length"] == "1 frame, 00:00:00.040"
    assert any(label == "note" and "matrix is not tagged" in value for label, value in rows)


def test_windows_layers_and_numbers_of_pictures(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(14, 10, 4, "half")
    spec.channelnames = ("R", "G", "B", "depth.Z")
    spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height = -2, -1, 0, 0, 10, 8
    for number in (1001, 1002):
        put(tmp_path / f"sh.{number}.exr", np.full((10, 14, 4), 0.25, np.float32), spec)
    found = reader.open(tmp_path / "sh.%04d.exr").info
    table = dict(info.table(found))
    assert (table["size"], table["numbers"]) == ("10 x 8", "1001 to 1002")
    assert table["windows"] == "display 10 x 8 at 0,0; data 14 x 10 at -2,-1 (first picture)"
    read = json.loads(json.dumps(info.to_json(found)))
    assert read["framing"]["data"] == {"left": -2, "top": -1, "width": 14, "height": 10}
    assert read["first_number"] == 1001


def test_clock() -> None:
    assert info.clock(Fraction(3661) + Fraction(1, 3)) == "01:01:01.333"
    assert info.clock(Fraction(-1, 2)) == "-00:00:00.500"
