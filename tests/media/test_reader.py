"""Files in: frames bit for bit from any place, on exact times, and what is refused."""

from __future__ import annotations

import gc
import os
import pickle
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from answerprint.errors import MediaError, NotMediaError
from answerprint.media import reader
from coded import NTSC, encode_clip, same
from footage import shared


def reaches_alike(path: Path, places: list[int]) -> None:
    clip = reader.open(path)
    whole = list(clip.frames())
    assert [frame.time for frame in whole] == list(clip.times)
    for place in places:
        for offset, frame in enumerate(clip.frames(place, place + 2)):
            assert same(frame, whole[place + offset]), f"frame {place + offset} differs when sought"


X265 = "keyint=8:log-level=none"

CLIPS = {
    "h264.mp4": ("libx264", "yuv420p", {"g": "8", "bf": "3"}),
    "h264.mkv": ("libx264", "yuv422p10", {"g": "8", "bf": "3"}),
    "h264.ts": ("libx264", "yuv420p", {"g": "8", "bf": "3"}),
    "open.mp4": ("libx264", "yuv420p", {"g": "8", "bf": "3", "x264-params": "open-gop=1"}),
    "open.ts": ("libx264", "yuv420p", {"g": "8", "bf": "3", "x264-params": "open-gop=1"}),
    "refresh.mp4": ("libx264", "yuv420p", {"bf": "0", "x264-params": "intra-refresh=1:keyint=10"}),
    "hevc.mp4": ("libx265", "yuv420p10", {"x265-params": X265 + ":open-gop=1"}),
    "hevc.mkv": ("libx265", "yuv444p12", {"x265-params": X265}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"g": "8", "lag-in-frames": "10", "auto-alt-ref": "1"}),
    "vp8.webm": ("libvpx", "yuv420p", {"g": "8", "lag-in-frames": "10", "auto-alt-ref": "1"}),
    "av1.mp4": ("libsvtav1", "yuv420p10", {"g": "8", "preset": "12"}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {"g": "8", "bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {"g": "8", "bf": "2"}),
    "mpeg2.mxf": ("mpeg2video", "yuv422p", {"g": "8", "bf": "2"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"g": "8", "bf": "2"}),
    "raw.h264": ("libx264", "yuv420p", {"g": "8", "bf": "3"}),
    "prores.mov": ("prores_ks", "yuv422p10", {}),
    "prores4444.mov": ("prores_ks", "yuva444p10", {"profile": "4"}),
    "ffv1.mkv": ("ffv1", "yuv422p10", {}),
    "ffv1rgb.mkv": ("ffv1", "gbrp16", {}),
    "ffv1gray.mkv": ("ffv1", "gray16", {}),
    "v210.mov": ("v210", "yuv422p10", {}),
    "mjpeg.avi": ("mjpeg", "yuvj422p", {}),
    "rle.mov": ("qtrle", "argb", {}),
    "png.mov": ("png", "rgba64be", {}),
    "raw.avi": ("rawvideo", "bgr24", {}),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_frame_is_the_same_however_it_is_reached(tmp_path: Path, name: str) -> None:
    codec, pix_fmt, options = CLIPS[name]
    path = encode_clip(tmp_path / name, codec, pix_fmt, **options)
    clip = reader.open(path)
    assert len(clip) == 30
    assert clip.info.rate == NTSC and not clip.info.variable_rate
    assert list(clip.times) == [number / NTSC for number in range(30)]
    assert clip.info.duration == 30 / NTSC
    reaches_alike(path, [0, 1, 7, 8, 9, 10, 15, 16, 17, 23, 24, 28, 29])


def test_dnxhr_and_dv(tmp_path: Path) -> None:
    for path in (
        encode_clip(tmp_path / "a.mov", "dnxhd", "yuv422p10", 6, (128, 256), profile="dnxhr_hqx"),
        encode_clip(tmp_path / "a.mxf", "dnxhd", "yuv422p10", 6, (128, 256), profile="dnxhr_hqx"),
        encode_clip(tmp_path / "a.avi", "dvvideo", "yuv411p", 4, (480, 720)),
        encode_clip(tmp_path / "pal.avi", "dvvideo", "yuv420p", 4, (576, 720), Fraction(25)),
    ):
        reaches_alike(path, [0, 2])
    assert reader.open(tmp_path / "a.avi").info.tagged_field_order == "bff"
    assert reader.open(tmp_path / "pal.avi").info.assumed.matrix == "bt470bg"


@pytest.mark.footage
@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("bikes_640x272.mp4", [0, 24, 100, 101, 240]),
        ("bigbuckbunny_1280x720.mp4", [0, 60, 130]),
        ("interlaced/presenter_480i_mpeg2.mp4", [0, 1, 14, 15, 16, 100, 200]),
        ("interlaced/flowers_480i_mpeg2.mp4", [0, 1, 2]),
        ("interlaced/palms_1080i_h264_422_10bit.mp4", [0, 3]),
        ("10bit/hlg_960x540_hevc10.mp4", [0, 20, 46]),
        ("10bit/valley_1920x1080_60p_av1_10.mp4", [0, 33]),
        ("10bit/window_1920x1080_hevc10.mp4", [0, 29, 30, 31, 60]),
    ],
)
def test_real_footage_is_the_same_however_it_is_reached(name: str, places: list[int]) -> None:
    reaches_alike(shared("video", name), places)


@pytest.mark.footage
def test_times_are_what_the_decoder_gives() -> None:
    for path in sorted(shared("video").rglob("*.mp4")):
        clip = reader.open(path)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            shown = [frame.pts * stream.time_base for frame in container.decode(stream) if frame.pts is not None]
        assert len(shown) == len(clip), path
        for told, is_ in zip(clip.times, shown, strict=True):
            assert abs(told - (is_ - shown[0])) <= stream.time_base, path


def test_the_table_of_an_intra_file_says_what_its_packets_say(tmp_path: Path) -> None:
    pts = [0, 1, 2, 5, 6, 10]
    for path in (
        encode_clip(tmp_path / "a.mov", "prores_ks", "yuv422p10", 6, rate=Fraction(25), pts=pts),
        encode_clip(tmp_path / "b.mov", "v210", "yuv422p10", 6, rate=Fraction(25), pts=pts),
        encode_clip(tmp_path / "c.mov", "prores_ks", "yuv422p10", 6, rate=Fraction(25), pts=[n + 7 for n in pts]),
    ):
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            times = [packet.pts * packet.time_base for packet in packets]
            last = packets[-1].duration * packets[-1].time_base
        clip = reader.open(path)
        assert list(clip.times) == [time - times[0] for time in times]
        assert clip.info.duration == times[-1] - times[0] + last
        assert [frame.time for frame in clip.frames()] == list(clip.times)


def test_variable_frame_times_are_exact(tmp_path: Path) -> None:
    pts = [0, 1, 2, 5, 6, 10, 11, 12]
    clip = reader.open(encode_clip(tmp_path / "a.mp4", "libx264", "yuv420p", 8, rate=Fraction(25), pts=pts))
    assert clip.info.variable_rate
    assert list(clip.times) == [Fraction(number, 25) for number in pts]
    assert [frame.time for frame in clip.frames(3, 6)] == [Fraction(n, 25) for n in (5, 6, 10)]


@pytest.mark.footage
def test_phone_footage_has_a_variable_rate() -> None:
    info = reader.open(shared("video", "10bit/window_1920x1080_hevc10.mp4")).info
    assert info.variable_rate and info.rate == NTSC and info.frames == 73
    assert (info.assumed.transfer, info.assumed.matrix, info.layout) == ("arib-std-b67", "bt2020nc", "yuv420p10")


def test_a_keyword_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'matrx'; allowed: matrix, range"):
        reader.open(tmp_path / "a.mov", matrx="bt709")  # type: ignore[call-arg]


def test_a_clip_travels_to_another_process(tmp_path: Path) -> None:
    clip = reader.open(encode_clip(tmp_path / "a.mkv", "ffv1", "yuv422p10", 5))
    copy = pickle.loads(pickle.dumps(clip))
    assert copy.info == clip.info and copy.times == clip.times
    assert all(same(a, b) for a, b in zip(clip.frames(), copy.frames(), strict=True))


def test_libraries_say_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = encode_clip(tmp_path / "a.mp4", "libx264", "yuv420p", 30, g="8")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.mp4: frame \d+ at 00:00:00\.\d+ (is damaged|cannot be decoded)"):
        list(reader.open(path).frames())
    salvaged = reader.open(path, incomplete="keep")
    assert len(salvaged) >= 10
    assert len(salvaged) < 30 or any("damaged, the first is frame" in note for note in salvaged.info.notes)
    assert [frame.time for frame in salvaged.frames()] == list(salvaged.times)
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == ""


def test_what_is_no_footage(tmp_path: Path) -> None:
    (tmp_path / "empty.mov").touch()
    with pytest.raises(NotMediaError, match=r"empty.mov: is empty \(0 bytes\)"):
        reader.open(tmp_path / "empty.mov")
    for name in ("text.mov", "text.txt", "list.m3u8"):
        (tmp_path / name).write_text("#EXTM3U\nhello, this is no video\n" * 20)
        with pytest.raises(NotMediaError, match=f"{name}: is not a video"):
            reader.open(tmp_path / name)
    (tmp_path / "noise.mov").write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(NotMediaError, match=r"noise.mov: is not a video"):
        reader.open(tmp_path / "noise.mov")
    with pytest.raises(MediaError, match=r"none.mov: no such file"):
        reader.open(tmp_path / "none.mov")
    with av.open(str(tmp_path / "sound.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 480), np.int16), format="s16", layout="mono")
        sound.rate = 48000
        out.mux(stream.encode(sound))
    with pytest.raises(NotMediaError, match="has no picture, only sound"):
        reader.open(tmp_path / "sound.wav")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may read everything, so it becomes somebody else for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_no_permission(nobody: None) -> None:
    with tempfile.NamedTemporaryFile(suffix=".mkv") as file:
        Path(file.name).chmod(0)
        with pytest.raises(MediaError, match="no permission to read it"):
            reader.open(file.name)


def test_cut_off_files(tmp_path: Path) -> None:
    def cut(path: Path) -> Path:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10])
        return path

    plain = cut(encode_clip(tmp_path / "plain.mov", "prores_ks", "yuv422p10"))
    with pytest.raises(MediaError, match=r"plain.mov: is not complete: its table of frames \(moov\) is missing"):
        reader.open(plain)
    mkv = cut(encode_clip(tmp_path / "a.mkv", "ffv1", "yuv422p10"))
    with pytest.raises(MediaError, match=r"a.mkv: is cut off: it ends after frame \d+ at 00:00:00\.\d+"):
        reader.open(mkv)
    kept = reader.open(mkv, incomplete="keep")
    assert len(list(kept.frames())) == len(kept) and 10 < len(kept) < 25
    whole = encode_clip(tmp_path / "whole.mov", "prores_ks", "yuv422p10")
    front = tmp_path / "front.mov"
    with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    with pytest.raises(MediaError, match=r"front.mov: is cut off: .* frames that it names are missing"):
        reader.open(cut(front))


def test_empty_slots_of_an_avi_are_named(tmp_path: Path) -> None:
    slots = [0, 1, 2, 3, 6, 7, 8, 9, 12]
    path = encode_clip(tmp_path / "tape.avi", "ffv1", "yuv420p", len(slots), rate=Fraction(25), pts=slots)
    clip = reader.open(path)
    assert list(clip.times) == [Fraction(slot, 25) for slot in slots]
    (note,) = [note for note in clip.info.notes if "slot" in note]
    assert "4 slots of the file are empty, the first after frame 3" in note
    assert len(list(clip.frames())) == len(slots)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(MediaError, match="is cut off"):
        reader.open(path)


def test_a_change_of_size_is_named(tmp_path: Path) -> None:
    data = b""
    for name, size in (("a.m2v", (64, 96)), ("b.m2v", (80, 96))):
        data += encode_clip(tmp_path / name, "mpeg2video", "yuv420p", 5, size).read_bytes()
    (tmp_path / "both.m2v").write_bytes(data)
    clip = reader.open(tmp_path / "both.m2v")
    with pytest.raises(MediaError, match=r"frame 5 at .* is 96 x 80, the clip began with 96 x 64"):
        list(clip.frames())


@pytest.mark.parametrize("quantizers", [False, True])
def test_pictures_leave_the_memory_with_their_frames(tmp_path: Path, quantizers: bool) -> None:
    """Memory that waits for Python's collector grows with the clip: a picture of UHD is 33 MB and looks small to it."""
    clip = reader.open(encode_clip(tmp_path / "s.mp4", "libx264", "yuv420p", 60, preset="ultrafast"))
    gc.collect()
    gc.disable()
    try:
        for _ in clip.frames(quantizers=quantizers):
            pass
        held = sum(type(item) is av.VideoFrame for item in gc.get_objects())
    finally:
        gc.enable()
    assert held <= 3


@pytest.mark.footage
def test_keys_that_the_decoder_does_not_trust_are_not_begun_at() -> None:
    clip = reader.open(shared("video", "cockatoo_1280x720_yuv444p.mp4"))
    whole = {number: frame for number, frame in enumerate(clip.frames(0, 152)) if number >= 148}
    for number, frame in enumerate(clip.frames(148, 152), 148):
        assert torch.equal(frame.pixels, whole[number].pixels)
