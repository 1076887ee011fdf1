"""Field order, color and orientation of a file: as tagged, as measured, as overridden."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from answerprint.errors import SettingsError
from answerprint.media import fieldorder, reader
from answerprint.media.planes import to_rgb
from coded import encode_clip, planes_of, texture
from footage import shared


@pytest.mark.footage
def test_real_interlaced_footage() -> None:
    palms = reader.open(shared("video", "interlaced/palms_1080i_h264_422_10bit.mp4"))
    assert (palms.info.field_order, palms.info.layout, palms.info.rate) == ("tff", "yuv422p10", 25)  # type: ignore[comparison-overlap]
    assert palms.info.timecode == "08:00:37:05"
    assert [stream.kind for stream in palms.info.streams] == ["audio"] * 4 + ["data"]
    assert any("cut off" in note for note in palms.info.notes)
    assert {frame.field_order for frame in palms.frames()} == {"tff"}
    flowers = reader.open(shared("video", "interlaced/flowers_480i_mpeg2.mp4"))
    assert (flowers.info.field_order, flowers.info.sar) == ("tff", Fraction(8, 9))
    assert all(frame.origin is not None and frame.origin.interlaced for frame in flowers.frames())
    presenter = reader.open(shared("video", "interlaced/presenter_480i_mpeg2.mp4"))
    assert presenter.info.measured_field_order == "progressive" and presenter.info.tagged_field_order == "tff"
    (note,) = [note for note in presenter.info.notes if "the pictures measure progressive" in note]
    assert "used" not in note  # deinterlace finds them progressive, and no note may say otherwise


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_field_order_is_measured_and_checked(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv444p"
        for number in range(12):
            early, late = texture(2 * number, 96, 128), texture(2 * number + 1, 96, 128)
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
    still = texture(0, 64, 64)[..., 0]
    assert fieldorder.measure([[still, still, still]], 8) == "unknown"


def tagged(path: Path, size: tuple[int, int], pix_fmt: str = "yuv420p", **tags: int) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame.from_ndarray(texture(0, *size), format="rgb24").reformat(format=pix_fmt)
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
    assert torch.equal(frame.pixels, to_rgb(planes_of(frame), "yuv420p", clip.info.assumed))
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
        frame = av.VideoFrame.from_ndarray(texture(0, 128, 256), format="rgb24").reformat(format="yuv422p10")
        frame.pts, frame.color_primaries, frame.color_trc, frame.colorspace = 0, 9, 16, 9
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    assert reader.open(tmp_path / "a.mov").info.assumed.matrix == "bt2020nc"


def test_full_range_by_pixel_format(tmp_path: Path) -> None:
    info = reader.open(encode_clip(tmp_path / "a.avi", "mjpeg", "yuvj420p", 2)).info
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


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_rotation_is_applied(tmp_path: Path, degrees: int, turns: int) -> None:
    plain = encode_clip(tmp_path / "plain.mp4", "libx264", "yuv444p", 2)
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
