"""Stored pictures as planes of code values, whatever their format and size."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from answerprint.errors import MediaError
from answerprint.media import reader, unpack
from coded import encode_clip, planes_of, same


@pytest.mark.parametrize("size", [(63, 95), (1, 1), (2, 33)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = encode_clip(tmp_path / "a.mkv", "ffv1", "yuv420p", 3, size)
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
        want = [pairs[:, 0::2], pairs[:, 1::2]]  # type: ignore[list-item]
    else:
        want = [plane.numpy() for plane in unpack.planes(source, unpack.storage(target, "a.mov"))]
    for got, expected in zip(unpack.planes(packed, how), want, strict=True):
        assert np.array_equal(got.numpy(), expected)


def test_planes_outlive_the_decoder(tmp_path: Path) -> None:
    path = encode_clip(tmp_path / "a.mp4", "libx264", "yuv420p", 30, g="8")
    kept = list(reader.open(path).frames())
    again = list(reader.open(path).frames())
    assert all(same(a, b) for a, b in zip(kept, again, strict=True))


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
