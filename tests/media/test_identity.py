"""A pass that changes nothing changes no code value: real codecs, 601, 709, 2020, both ranges."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from answerprint.media import presets, reader
from answerprint.media.writer.direct import Writer
from clips import noise, write
from footage import shared

COLORS = [("smpte170m", "smpte170m"), ("bt709", "bt709"), ("bt2020nc", "bt2020")]


def copy(source: Path, out: Path, preset: str | None = None, forget: bool = False, touch: bool = False) -> None:
    """Reads and writes; `forget`: without the source's codes; `touch`: as an operation that changes nothing does."""
    clip = reader.open(source)
    delivery = presets.choose(out, preset, clip.info)
    with Writer(out, delivery, clip) as writer:
        for frame in clip.frames():
            if touch:
                frame = frame.with_pixels(frame.pixels * 1.0)
            writer.write(replace(frame, origin=None) if forget else frame)


def codes(path: Path, layout: str, count: int | None = None) -> list[list[np.ndarray]]:
    """Decoded code values by PyAV alone."""
    found = []
    with av.open(str(path)) as container:
        for frame in itertools.islice(container.decode(video=0), count):
            assert frame.format.name.removesuffix("le") == layout
            kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
            planes = []
            for plane in frame.planes:
                lines = np.frombuffer(plane, dtype=kind).reshape(plane.height, -1)
                planes.append(lines[:, : plane.width].astype(np.int64))
            found.append(planes)
    return found


def furthest(before: Path, after: Path, layout: str) -> int:
    """The greatest difference of code values; both must have the same frames."""
    first, second = codes(before, layout), codes(after, layout)
    assert len(first) == len(second) > 0
    pairs = [pair for one, two in zip(first, second, strict=True) for pair in zip(one, two, strict=True)]
    return max(int(np.abs(a - b).max()) for a, b in pairs)


@pytest.mark.parametrize("range_", ["limited", "full"])
@pytest.mark.parametrize(("matrix", "primaries"), COLORS)
@pytest.mark.parametrize("layout", ["yuv422p10", "yuv420p", "yuv444p12"])
def test_ffv1_to_ffv1(tmp_path: Path, layout: str, matrix: str, primaries: str, range_: str) -> None:
    made = write(
        tmp_path / "in.mkv", layout=layout, matrix=matrix, primaries=primaries, range=range_, picture=noise, frames=3
    )
    for number, (forget, touch) in enumerate([(False, False), (False, True), (True, False)]):
        copy(made.path, out := tmp_path / f"{number}.mkv", forget=forget, touch=touch)
        # Of frames without memory of their codes dither may move a code, and nothing else may.
        assert furthest(made.path, out, layout) <= (1 if forget else 0)


@pytest.mark.parametrize("range_", ["limited", "full"])
@pytest.mark.parametrize(("matrix", "primaries"), COLORS)
def test_prores_4444_to_ffv1(tmp_path: Path, matrix: str, primaries: str, range_: str) -> None:
    made = write(
        tmp_path / "in.mov", codec="prores_ks", layout="yuva444p10", matrix=matrix, primaries=primaries, range=range_,
        options={"profile": "4444", "alpha_bits": "16"}, frames=3,
    )  # fmt: skip
    copy(made.path, tmp_path / "out.mkv")
    assert furthest(made.path, tmp_path / "out.mkv", "yuva444p12") == 0


@pytest.mark.parametrize("layout", ["gbrp10", "gray", "gray16", "yuv411p", "yuva420p", "gbrap12"])
def test_every_kind_of_storage_keeps_its_codes(tmp_path: Path, layout: str) -> None:
    made = write(
        tmp_path / "in.mkv", layout=layout, matrix="bt709" if layout[0] == "y" else "rgb", picture=noise, frames=2
    )
    copy(made.path, tmp_path / "out.mkv")
    assert furthest(made.path, tmp_path / "out.mkv", layout) == 0


def test_png_to_ffv1_to_png(tmp_path: Path) -> None:
    import OpenImageIO

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    output = OpenImageIO.ImageOutput.create("png")
    output.open(str(tmp_path / "a.0001.png"), OpenImageIO.ImageSpec(30, 20, 3, "uint8"))
    output.write_image(picture)
    output.close()
    copy(tmp_path / "a.%04d.png", tmp_path / "b.mkv")
    copy(tmp_path / "b.mkv", tmp_path / "c.%04d.png")
    back = OpenImageIO.ImageBuf(str(tmp_path / "c.0001.png")).get_pixels("uint16")
    assert np.array_equal(back, picture.astype(np.uint16) * 257)


@pytest.mark.footage
@pytest.mark.parametrize(
    "name",
    [
        "interlaced/palms_1080i_h264_422_10bit",
        "interlaced/flowers_480i_mpeg2",
        "10bit/hlg_960x540_hevc10",
        "cockatoo_1280x720_yuv444p",
    ],
)
def test_real_footage_keeps_its_codes(tmp_path: Path, name: str) -> None:
    path = shared("video", f"{name}.mp4")
    clip = reader.open(path)
    delivery = presets.choose(tmp_path / "out.mkv", None, clip.info)
    with Writer(tmp_path / "out.mkv", delivery, clip) as writer:
        for frame in clip.frames(0, 2):
            writer.write(frame)
    with av.open(str(path)) as container:
        layout = next(container.decode(video=0)).format.name.removesuffix("le")
    before, after = codes(path, layout, 2), codes(tmp_path / "out.mkv", layout)
    assert len(after) == 2
    for one, two in zip(before, after, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert reader.open(tmp_path / "out.mkv").info.sar == clip.info.sar
    assert clip.times[1] > Fraction(0)
