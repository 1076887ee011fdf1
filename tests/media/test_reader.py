"""Files in: frames bit for bit from any place, exact times, color by the file's tags, and what is refused."""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from answerprint.errors import MediaError, NotMediaError, SettingsError
from answerprint.frame import Frame
from answerprint.media import fieldorder, pixels, reader, unpack
from answerprint.media.ahead import ahead

VIDEO = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"
NTSC = Fraction(30000, 1001)


def footage(name: str) -> Path:
    path = VIDEO / name
    if not path.exists():
        pytest.skip(f"real footage {name} is not here")
    return path


def picture(number: int, height: int, width: int) -> np.ndarray:
    """A soft texture that moves two columns a frame."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = x + 2 * number
    planes = [128 + 100 * np.sin(x / 9 + c) * np.cos(y / 7 + 2 * c) for c in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def make(
    path: Path,
    codec: str,
    pix_fmt: str,
    count: int = 30,
    size: tuple[int, int] = (64, 96),
    rate: Fraction = NTSC,
    pts: list[int] | None = None,
    **options: str,
) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (pts[number] if pts else number), 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def planes_of(frame: Frame) -> tuple[torch.Tensor, ...]:
    assert frame.origin is not None
    return frame.origin.planes


def same(a: Frame, b: Frame) -> bool:
    return (
        a.time == b.time
        and all(torch.equal(x, y) for x, y in zip(planes_of(a), planes_of(b), strict=True))
        and torch.equal(a.pixels, b.pixels)
    )


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
    path = make(tmp_path / name, codec, pix_fmt, **options)
    clip = reader.open(path)
    assert len(clip) == 30
    assert clip.info.rate == NTSC and not clip.info.variable_rate
    assert list(clip.times) == [number / NTSC for number in range(30)]
    assert clip.info.duration == 30 / NTSC
    reaches_alike(path, [0, 1, 7, 8, 9, 10, 15, 16, 17, 23, 24, 28, 29])


def test_dnxhr_and_dv(tmp_path: Path) -> None:
    for path in (
        make(tmp_path / "a.mov", "dnxhd", "yuv422p10", 6, (128, 256), profile="dnxhr_hqx"),
        make(tmp_path / "a.mxf", "dnxhd", "yuv422p10", 6, (128, 256), profile="dnxhr_hqx"),
        make(tmp_path / "a.avi", "dvvideo", "yuv411p", 4, (480, 720)),
        make(tmp_path / "pal.avi", "dvvideo", "yuv420p", 4, (576, 720), Fraction(25)),
    ):
        reaches_alike(path, [0, 2])
    assert reader.open(tmp_path / "a.avi").info.tagged_field_order == "bff"
    assert reader.open(tmp_path / "pal.avi").info.assumed.matrix == "bt470bg"


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
    reaches_alike(footage(name), places)


def test_times_are_what_the_decoder_gives() -> None:
    for path in sorted(footage("").rglob("*.mp4")):
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
        make(tmp_path / "a.mov", "prores_ks", "yuv422p10", 6, rate=Fraction(25), pts=pts),
        make(tmp_path / "b.mov", "v210", "yuv422p10", 6, rate=Fraction(25), pts=pts),
        make(tmp_path / "c.mov", "prores_ks", "yuv422p10", 6, rate=Fraction(25), pts=[n + 7 for n in pts]),
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
    clip = reader.open(make(tmp_path / "a.mp4", "libx264", "yuv420p", 8, rate=Fraction(25), pts=pts))
    assert clip.info.variable_rate
    assert list(clip.times) == [Fraction(number, 25) for number in pts]
    assert [frame.time for frame in clip.frames(3, 6)] == [Fraction(n, 25) for n in (5, 6, 10)]


def test_phone_footage_has_a_variable_rate() -> None:
    info = reader.open(footage("10bit/window_1920x1080_hevc10.mp4")).info
    assert info.variable_rate and info.rate == NTSC and info.frames == 73
    assert (info.assumed.transfer, info.assumed.matrix, info.layout) == ("arib-std-b67", "bt2020nc", "yuv420p10")


def test_real_interlaced_footage() -> None:
    palms = reader.open(footage("interlaced/palms_1080i_h264_422_10bit.mp4"))
    assert (palms.info.field_order, palms.info.layout, palms.info.rate) == ("tff", "yuv422p10", 25)
    assert palms.info.timecode == "08:00:37:05"
    assert [stream.kind for stream in palms.info.streams] == ["audio"] * 4 + ["data"]
    assert any("cut off" in note for note in palms.info.notes)
    assert {frame.field_order for frame in palms.frames()} == {"tff"}
    flowers = reader.open(footage("interlaced/flowers_480i_mpeg2.mp4"))
    assert (flowers.info.field_order, flowers.info.sar) == ("tff", Fraction(8, 9))
    assert all(frame.origin is not None and frame.origin.interlaced for frame in flowers.frames())
    presenter = reader.open(footage("interlaced/presenter_480i_mpeg2.mp4"))
    assert presenter.info.measured_field_order == "progressive" and presenter.info.tagged_field_order == "tff"
    assert any("the pictures measure progressive" in note for note in presenter.info.notes)


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_field_order_is_measured_and_checked(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv444p"
        for number in range(12):
            early, late = picture(2 * number, 96, 128), picture(2 * number + 1, 96, 128)
            woven = (early if order == "tff" else late).copy()
            woven[1::2] = (late if order == "tff" else early)[1::2]
            frame = av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    clip = reader.open(path)
    assert clip.info.measured_field_order == order
    assert reader.open(path, field_order="progressive").info.field_order == "progressive"
    assert next(iter(reader.open(path, field_order=order).frames())).field_order == order
    with pytest.raises(SettingsError, match="allowed: progressive, tff, bff"):
        reader.open(path, field_order="upper")


def test_what_does_not_move_has_no_field_order() -> None:
    still = picture(0, 64, 64)[..., 0]
    assert fieldorder.measure([[still, still, still]], 8) == "unknown"


def tagged(path: Path, size: tuple[int, int], pix_fmt: str = "yuv420p", **tags: int) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame.from_ndarray(picture(0, *size), format="rgb24").reformat(format=pix_fmt)
        for name, value in tags.items():
            setattr(frame, name, value)
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("size", "matrix", "why"),
    [((480, 720), "smpte170m", "480 lines are SD"), ((576, 720), "bt470bg", "PAL"), ((720, 1280), "bt709", "HD")],
)
def test_untagged_color_follows_the_stated_policy(tmp_path: Path, size: tuple[int, int], matrix: str, why: str) -> None:
    info = reader.open(tagged(tmp_path / "a.mp4", size)).info
    assert info.color.matrix == "unknown"
    assert (info.assumed.matrix, info.assumed.range, info.assumed.transfer) == (matrix, "limited", "bt709")
    assert any("matrix is not tagged" in note and why in note for note in info.notes)
    assert "unknown" not in vars(info.assumed).values()


def test_tags_of_the_file_are_used_and_can_be_overridden(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.mp4", (64, 64), colorspace=9, color_primaries=9, color_trc=18, color_range=2)
    info = reader.open(path).info
    assert (info.assumed.primaries, info.assumed.transfer, info.assumed.matrix) == (
        "bt2020",
        "arib-std-b67",
        "bt2020nc",
    )
    assert info.assumed.range == "full"
    clip = reader.open(path, matrix="bt709", range="limited", siting="center")
    assert (clip.info.assumed.matrix, clip.info.assumed.range, clip.info.assumed.siting) == (
        "bt709",
        "limited",
        "center",
    )
    (frame,) = clip.frames()
    assert torch.equal(frame.pixels, pixels.to_rgb(planes_of(frame), "yuv420p", clip.info.assumed))
    assert any("matrix bt709 as asked for (the file says bt2020nc)" in note for note in clip.info.notes)
    with pytest.raises(SettingsError, match="matrix '709' is unknown; allowed:"):
        reader.open(path, matrix="709")
    with pytest.raises(SettingsError, match="the file stores Y'CbCr"):
        reader.open(path, matrix="rgb")


def test_the_stream_wins_over_the_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mov"), "w") as out:
        stream = out.add_stream("dnxhd", rate=25, options={"profile": "dnxhr_hqx"})
        stream.height, stream.width, stream.pix_fmt = 128, 256, "yuv422p10"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
        frame = av.VideoFrame.from_ndarray(picture(0, 128, 256), format="rgb24").reformat(format="yuv422p10")
        frame.pts, frame.color_primaries, frame.color_trc, frame.colorspace = 0, 9, 16, 9
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    assert reader.open(tmp_path / "a.mov").info.assumed.matrix == "bt2020nc"


def test_full_range_by_pixel_format(tmp_path: Path) -> None:
    info = reader.open(make(tmp_path / "a.avi", "mjpeg", "yuvj420p", 2)).info
    assert (info.layout, info.color.range, info.assumed.siting) == ("yuv420p", "full", "center")


def test_super_whites_and_sub_blacks_survive(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 4, 8, "yuv444p10"
        frame = av.VideoFrame(8, 4, "yuv444p10le")
        for plane, value in zip(frame.planes, (1019, 512, 512), strict=True):
            plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
        frame.pts = 0
        out.mux(stream.encode(frame))
        frame.planes[0].update(np.full(frame.planes[0].buffer_size // 2, 4, np.uint16).tobytes())
        frame.pts = 1
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    white, black = reader.open(tmp_path / "a.mkv").frames()
    assert torch.allclose(white.pixels, torch.tensor((1019 - 64) / 876), atol=1e-6)
    assert torch.allclose(black.pixels, torch.tensor((4 - 64) / 876), atol=1e-6)


@pytest.mark.parametrize("size", [(63, 95), (1, 1), (2, 33)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make(tmp_path / "a.mkv", "ffv1", "yuv420p", 3, size)
    frames = list(reader.open(path).frames())
    assert [frame.pixels.shape for frame in frames] == [(3, *size)] * 3
    assert planes_of(frames[0])[1].shape == (-(-size[0] // 2), -(-size[1] // 2))


@pytest.mark.parametrize(
    "name",
    [
        "p010le",
        "p016be",
        "p210le",
        "nv12",
        "uyvy422",
        "bgra",
        "rgb48be",
        "ya16le",
        "gray16be",
        "v30xle",
        "xv30le",
        "x2rgb10le",
    ],
)
def test_packed_formats_keep_their_code_values(name: str) -> None:
    how = unpack.storage(name, "a.mov")
    target = how.layout if how.bits == 8 else how.layout + "le"
    source = av.VideoFrame(38, 22, target if name != "ya16le" else name)
    rng = np.random.default_rng(0)
    kind = np.uint8 if how.bits == 8 else np.uint16
    for plane in source.planes:
        values = rng.integers(0, 1 << how.bits, plane.buffer_size // np.dtype(kind).itemsize)
        plane.update(values.astype(kind).tobytes())
    packed = source if name.startswith(("ya", "p0", "p2")) else source.reformat(format=name, threads=1)
    if name.startswith("p"):
        packed = av.VideoFrame(38, 22, name)
        for plane in packed.planes:
            values = rng.integers(0, 1 << how.bits, plane.buffer_size // 2) << (16 - how.bits)
            plane.update(values.astype(">u2" if name.endswith("be") else "<u2").tobytes())
        luma = np.frombuffer(packed.planes[0], ">u2" if name.endswith("be") else "<u2").reshape(22, -1)[:, :38]
        chroma = np.frombuffer(packed.planes[1], ">u2" if name.endswith("be") else "<u2")
        chroma = chroma.reshape(packed.planes[1].height, -1)[:, :38]
        want = [plane >> (16 - how.bits) for plane in (luma, chroma[:, 0::2], chroma[:, 1::2])]
    elif name.startswith("ya"):
        pairs = np.frombuffer(source.planes[0], np.uint16).reshape(22, -1)[:, :76]
        want = [pairs[:, 0::2], pairs[:, 1::2]]
    else:
        want = [plane.numpy() for plane in unpack.planes(source, unpack.storage(target, "a.mov"))]
    for got, expected in zip(unpack.planes(packed, how), want, strict=True):
        assert np.array_equal(got.numpy(), expected)


def test_planes_outlive_the_decoder(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", "libx264", "yuv420p", 30, g="8")
    kept = list(reader.open(path).frames())
    again = list(reader.open(path).frames())
    assert all(same(a, b) for a, b in zip(kept, again, strict=True))


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_rotation_is_applied(tmp_path: Path, degrees: int, turns: int) -> None:
    plain = make(tmp_path / "plain.mp4", "libx264", "yuv444p", 2)
    with av.open(str(plain)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(float(degrees))
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    clip = reader.open(tmp_path / "turned.mp4")
    upright = next(iter(reader.open(plain).frames()))
    frame = next(iter(clip.frames()))
    assert frame.origin is None
    assert (clip.info.height, clip.info.width) == tuple(frame.pixels.shape[1:])
    # The display matrix turns counterclockwise, as ffmpeg's -display_rotation does.
    assert torch.equal(frame.pixels, upright.pixels.rot90(turns, (1, 2)))
    assert clip.info.rotation == 360 - degrees


def test_a_clip_travels_to_another_process(tmp_path: Path) -> None:
    clip = reader.open(make(tmp_path / "a.mkv", "ffv1", "yuv422p10", 5))
    copy = pickle.loads(pickle.dumps(clip))
    assert copy.info == clip.info and copy.times == clip.times
    assert all(same(a, b) for a, b in zip(clip.frames(), copy.frames(), strict=True))


def readers() -> int:
    return sum(thread.name == "read ahead" for thread in threading.enumerate())


def test_stopping_early_ends_the_thread(tmp_path: Path) -> None:
    clip = reader.open(make(tmp_path / "a.mkv", "ffv1", "yuv420p", 30))
    frames = clip.frames()
    next(frames)
    assert readers() == 1
    frames.close()  # type: ignore[attr-defined]
    assert readers() == 0
    assert [frame.time for frame in clip.frames(28, 99)] == [clip.times[28], clip.times[29]]
    assert list(clip.frames(30)) == [] and list(clip.frames(5, 5)) == []


def test_only_a_few_items_are_made_ahead() -> None:
    made: list[int] = []

    def count() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number
        raise ValueError("the end")

    items = ahead(count(), depth=3)
    assert next(items) == 0
    threading.Event().wait(0.3)
    assert len(made) <= 6
    with pytest.raises(ValueError, match="the end"):
        list(items)
    assert len(made) == 1000


def test_with_a_depth_of_nothing_no_item_waits_in_memory() -> None:
    made: list[int] = []

    def count() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    items = ahead(count(), depth=0)
    assert next(items) == 0 and made == [0]
    assert list(items) == [1, 2, 3, 4] and readers() == 0


def test_libraries_say_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = make(tmp_path / "a.mp4", "libx264", "yuv420p", 30, g="8")
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

    plain = cut(make(tmp_path / "plain.mov", "prores_ks", "yuv422p10"))
    with pytest.raises(MediaError, match=r"plain.mov: is not complete: its table of frames \(moov\) is missing"):
        reader.open(plain)
    mkv = cut(make(tmp_path / "a.mkv", "ffv1", "yuv422p10"))
    with pytest.raises(MediaError, match=r"a.mkv: is cut off: it ends after frame \d+ at 00:00:00\.\d+"):
        reader.open(mkv)
    kept = reader.open(mkv, incomplete="keep")
    assert len(list(kept.frames())) == len(kept) and 10 < len(kept) < 25
    whole = make(tmp_path / "whole.mov", "prores_ks", "yuv422p10")
    front = tmp_path / "front.mov"
    with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    with pytest.raises(MediaError, match=r"front.mov: is cut off: .* frames that it names are missing"):
        reader.open(cut(front))


def test_a_change_of_size_is_named(tmp_path: Path) -> None:
    data = b""
    for name, size in (("a.m2v", (64, 96)), ("b.m2v", (80, 96))):
        data += make(tmp_path / name, "mpeg2video", "yuv420p", 5, size).read_bytes()
    (tmp_path / "both.m2v").write_bytes(data)
    clip = reader.open(tmp_path / "both.m2v")
    with pytest.raises(MediaError, match=r"frame 5 at .* is 96 x 80, the clip began with 96 x 64"):
        list(clip.frames())


def test_float_video_with_nan(tmp_path: Path) -> None:
    height, width = 4, 6
    with av.open(str(tmp_path / "a.nut"), "w") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, "gbrpf32le"
        frame = av.VideoFrame(width, height, "gbrpf32le")
        values = np.linspace(-1, 3, frame.planes[0].buffer_size // 4, dtype=np.float32)
        for plane in frame.planes:
            plane.update(values.tobytes())
        frame.pts = 0
        out.mux(stream.encode(frame))
        values[1] = np.nan
        frame.planes[2].update(values.tobytes())
        frame.pts = 1
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with pytest.raises(
        MediaError, match=r"frame 1 at 00:00:00.040: 1 pixel holds? NaN or infinity, the first at column 1"
    ):
        list(reader.open(tmp_path / "a.nut").frames())
    fine, repaired = reader.open(tmp_path / "a.nut", nonfinite="zero").frames()
    assert fine.pixels.min() == -1 and repaired.pixels[0, 0, 1] == 0


def test_keys_that_the_decoder_does_not_trust_are_not_begun_at() -> None:
    clip = reader.open(footage("cockatoo_1280x720_yuv444p.mp4"))
    whole = {number: frame for number, frame in enumerate(clip.frames(0, 152)) if number >= 148}
    for number, frame in enumerate(clip.frames(148, 152), 148):
        assert torch.equal(frame.pixels, whole[number].pixels)
