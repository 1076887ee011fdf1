"""Sequences and stills: names, values in and out, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest
import torch

from answerprint.errors import MediaError, NotMediaError, SettingsError
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.media.layout import parse_layout
from answerprint.media.pictures.header import write_rate_and_timecode
from coded import planes_of


def store(
    path: Path,
    planes: tuple[torch.Tensor, ...],
    layout: str,
    half: bool = False,
    compression: str = "",
    depth: torch.Tensor | None = None,
    rate: Fraction | None = None,
    timecode: str | None = None,
    sar: float = 1.0,
) -> None:
    """Writes a picture of given code values with OpenImageIO itself."""
    bits = parse_layout(layout).bits
    data = np.stack([plane.numpy() for plane in planes], axis=-1)
    if data.dtype == np.uint16 and bits < 16:
        data = (data << (16 - bits)) | (data >> (2 * bits - 16))
    alpha, color = len(planes) in (2, 4), 3 if len(planes) > 2 else 1
    if depth is not None:
        data = np.concatenate([data, depth.numpy().reshape(*data.shape[:2], 1)], axis=-1)
    spec = oiio.ImageSpec(
        data.shape[1],
        data.shape[0],
        data.shape[2],
        "half" if half else "float" if data.dtype == np.float32 else str(data.dtype),
    )
    spec.channelnames = (("R", "G", "B") if color == 3 else ("Y",)) + ("A",) * alpha + ("Z",) * (depth is not None)
    spec.alpha_channel = color if alpha else -1
    if half:
        spec.channelformats = ("half",) * len(planes) + ("float",) * (depth is not None)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    spec.attribute("PixelAspectRatio", float(sar))
    if bits in (10, 12):
        spec.attribute("oiio:BitsPerSample", bits)
    if compression:
        spec.attribute("compression", compression)
    write_rate_and_timecode(spec, path.suffix, rate, timecode)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec) and output.write_image(np.ascontiguousarray(data)) and output.close()


def codes(bits: int, channels: int = 3, height: int = 5, width: int = 7, seed: int = 0) -> tuple[torch.Tensor, ...]:
    kind = np.uint8 if bits == 8 else np.uint16
    values = np.random.default_rng(seed).integers(0, 1 << bits, (channels, height, width)).astype(kind)
    return tuple(torch.from_numpy(plane) for plane in values)


def floats(channels: int = 3, height: int = 5, width: int = 7, seed: int = 0) -> tuple[torch.Tensor, ...]:
    # Halves beyond 0..1: what a linear render holds.
    values = np.random.default_rng(seed).normal(0.5, 2, (channels, height, width)).astype(np.float16)
    return tuple(torch.from_numpy(plane.astype(np.float32)) for plane in values)


def only(path: Path | str) -> Frame:
    frames = list(reader.open(path).frames())
    assert len(frames) == 1
    return frames[0]


def run(folder: Path, numbers: list[int], name: str = "shot.{:04d}.png", **size: int) -> None:
    for number in numbers:
        store(folder / name.format(number), codes(8, seed=number, **size), "gbrp")


@pytest.mark.parametrize(
    ("ending", "layout", "planes"),
    [
        ("dpx", "gbrp10", codes(10)),
        ("dpx", "gbrp12", codes(12)),
        ("dpx", "gbrp16", codes(16)),
        ("dpx", "gbrap16", codes(16, 4)),
        ("tif", "gbrp16", codes(16)),
        ("tif", "gbrap16", codes(16, 4)),
        ("tif", "gbrpf32", floats()),
        ("tif", "gray16", codes(16, 1)),
        ("png", "gbrp", codes(8)),
        ("png", "gbrap", codes(8, 4)),
        ("png", "gbrp16", codes(16)),
        ("png", "gbrap16", codes(16, 4)),
        ("png", "gray16", codes(16, 1)),
        ("png", "ya16", codes(16, 2)),
        ("exr", "gbrpf32", floats()),
    ],
)
def test_code_values_survive_writing_and_reading(
    tmp_path: Path, ending: str, layout: str, planes: tuple[torch.Tensor, ...]
) -> None:
    path = tmp_path / f"a.{ending}"
    store(path, planes, layout)
    frame = only(path)
    assert reader.open(path).info.layout == layout
    assert len(planes_of(frame)) == len(planes)
    for got, want in zip(planes_of(frame), planes, strict=True):
        assert torch.equal(got, want)
    assert (frame.alpha is not None) == (len(planes) in (2, 4))


def test_white_is_one_and_black_is_zero(tmp_path: Path) -> None:
    for ending, layout, top in (("dpx", "gbrp10", 1023), ("png", "gbrp", 255), ("tif", "gbrp16", 65535)):
        kind = torch.uint8 if top == 255 else torch.uint16
        plane = torch.tensor([[0, top]], dtype=torch.int32).to(kind)
        store(tmp_path / f"a.{ending}", (plane, plane, plane), layout)
        assert only(tmp_path / f"a.{ending}").pixels[:, 0].tolist() == [[0.0, 1.0]] * 3


@pytest.mark.parametrize(("compression", "tolerance"), [("zip", 0.0), ("dwaa", 0.02)])
def test_half_float_with_named_channels(tmp_path: Path, compression: str, tolerance: float) -> None:
    height, width = 32, 48
    ramp = torch.linspace(0, 4, width).half().float().expand(height, width).contiguous()
    alpha = torch.full((height, width), 0.5)
    alpha[:, 0], ramp[:, 0] = 0, 0.25
    z = torch.full((1, height, width), 1234.5678)
    path = tmp_path / "a.exr"
    store(path, (ramp, ramp / 2, ramp * 2, alpha), "gbrapf32", half=True, compression=compression, depth=z)
    info, frame = reader.open(path).info, only(path)
    assert (info.bits, info.floating, info.codec) == (16, True, compression)
    assert frame.color.transfer == "linear"
    # Color is stored multiplied by alpha, but for light that has no alpha (the first column).
    assert frame.alpha is not None and torch.allclose(frame.alpha[0], alpha, atol=tolerance)
    for channel, factor in enumerate((1, 0.5, 2)):
        stored_color = frame.pixels[channel] * torch.where(frame.alpha[0] > 0, frame.alpha[0], 1)
        assert torch.allclose(stored_color, ramp * factor, rtol=max(tolerance, 1e-6), atol=2 * tolerance)
    assert frame.depth is not None and torch.equal(frame.depth, z)


def test_jpeg_is_read_as_rgb(tmp_path: Path) -> None:
    plane = torch.full((16, 16), 200, dtype=torch.uint8)
    store(tmp_path / "a.jpg", (plane, plane // 2, plane // 4), "gbrp", compression="jpeg:100")
    pixels = only(tmp_path / "a.jpg").pixels * 255
    assert torch.allclose(pixels[:, 8, 8], torch.tensor([200.0, 100.0, 50.0]), atol=3)


@pytest.mark.parametrize("timecode", ["01:02:03:04", "10:59:58;22"])
def test_rate_and_timecode_travel(tmp_path: Path, timecode: str) -> None:
    rate = Fraction(24000, 1001)
    store(tmp_path / "a.exr", floats(), "gbrpf32", rate=rate, timecode=timecode)
    store(tmp_path / "a.dpx", codes(10), "gbrp10", rate=rate, timecode=timecode, sar=1.5)
    exr, dpx = reader.open(tmp_path / "a.exr").info, reader.open(tmp_path / "a.dpx").info
    assert (exr.rate, exr.timecode) == (rate, timecode)
    assert (dpx.rate, dpx.timecode) == (rate, timecode.replace(";", ":"))
    assert dpx.sar == Fraction(3, 2)


@pytest.mark.parametrize("named", ["shot.%04d.png", "shot.####.png", ""])
def test_pattern_and_folder_name_the_same_sequence(tmp_path: Path, named: str) -> None:
    run(tmp_path, [8, 9, 10])
    clip = reader.open(tmp_path / named)
    assert len(clip) == 3
    assert clip.info.path.endswith("shot.%04d.png")
    assert clip.info.rate == 24 and any("24 fps assumed" in note for note in clip.info.notes)
    assert list(clip.times) == [Fraction(0), Fraction(1, 24), Fraction(2, 24)]
    assert [
        torch.equal(planes_of(f)[0], codes(8, seed=n)[0]) for f, n in zip(clip.frames(), (8, 9, 10), strict=True)
    ] == [True] * 3
    assert [frame.time for frame in clip.frames(2)] == [Fraction(1, 12)]


def test_numbers_without_leading_zeros(tmp_path: Path) -> None:
    run(tmp_path, [8, 9, 10, 11], "f{}.png")
    assert len(reader.open(tmp_path)) == 4
    assert len(reader.open(tmp_path / "f%d.png")) == 4


def test_numbers_that_outgrow_their_digits(tmp_path: Path) -> None:
    run(tmp_path, [98, 99, 100], "f{:02d}.png")
    assert len(reader.open(tmp_path / "f%02d.png")) == 3


def test_rate_can_be_given(tmp_path: Path) -> None:
    run(tmp_path, [1, 2])
    clip = reader.open(tmp_path / "shot.%04d.png", rate="29.97")
    assert clip.info.rate == Fraction(30000, 1001) and clip.times[1] == Fraction(1001, 30000)
    with pytest.raises(SettingsError, match="'fast' is no rate"):
        reader.open(tmp_path / "shot.%04d.png", rate="fast")


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    run(tmp_path, [1, 2, 4, 8, 9])
    with pytest.raises(MediaError, match=r"4 pictures are missing: 3, 5-7; the sequence runs from 1 to 9"):
        reader.open(tmp_path / "shot.%04d.png")


def test_pictures_of_different_size_are_named(tmp_path: Path) -> None:
    run(tmp_path, [1, 2])
    run(tmp_path, [3], width=9)
    with pytest.raises(MediaError, match=r"shot.0001.png is 7 x 5, not so shot.0003.png \(9 x 5\)"):
        reader.open(tmp_path)


def test_two_sequences_in_a_folder_are_named(tmp_path: Path) -> None:
    run(tmp_path, [1, 2], "a_{:03d}.png")
    run(tmp_path, [1, 2], "b_{:03d}.png")
    with pytest.raises(MediaError, match=r"holds 2 sequences; name one of: a_%03d.png, b_%03d.png"):
        reader.open(tmp_path)


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(NotMediaError, match="holds no pictures"):
        reader.open(tmp_path)


def test_a_pattern_that_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such pictures"):
        reader.open(tmp_path / "shot.%04d.png")


def test_a_still_that_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(NotMediaError, match=r"a.png: is not a picture"):
        reader.open(tmp_path / "a.png")


def test_a_picture_that_is_cut_off(tmp_path: Path) -> None:
    store(tmp_path / "a.exr", floats(height=64, width=64), "gbrpf32")
    data = (tmp_path / "a.exr").read_bytes()
    (tmp_path / "a.exr").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=r"a.exr"):
        list(reader.open(tmp_path / "a.exr").frames())


def test_nan_and_infinity(tmp_path: Path) -> None:
    red, green, blue = floats()
    red[2, 3], blue[4, 6] = float("nan"), float("inf")
    store(tmp_path / "a.exr", (red, green, blue), "gbrpf32")
    with pytest.raises(MediaError, match=r"a.exr: 2 pixels hold NaN or infinity, the first at column 3, row 2"):
        list(reader.open(tmp_path / "a.exr").frames())
    (repaired,) = reader.open(tmp_path / "a.exr", nonfinite="zero").frames()
    assert repaired.pixels[0, 2, 3] == 0 and repaired.pixels[2, 4, 6] == 0
    assert torch.equal(repaired.pixels[1], green)


def test_odd_size_and_one_pixel(tmp_path: Path) -> None:
    store(tmp_path / "a.png", codes(8, height=1, width=1), "gbrp")
    assert only(tmp_path / "a.png").pixels.shape == (3, 1, 1)


def test_other_channels_are_left_aside(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((4, 6, 5), dtype=np.float32)
    spec = oiio.ImageSpec(6, 4, 5, "float")
    spec.channelnames = ("N.x", "R", "G", "B", "depth.Z")
    output = oiio.ImageOutput.create(str(tmp_path / "a.exr"))
    assert output.open(str(tmp_path / "a.exr"), spec) and output.write_image(values) and output.close()
    frame = only(tmp_path / "a.exr")
    assert np.array_equal(frame.pixels.numpy(), values[..., 1:4].transpose(2, 0, 1))
    assert frame.depth is not None and np.array_equal(frame.depth[0].numpy(), values[..., 4])


def test_an_exr_whose_header_holds_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.0001.exr"
    store(path, (torch.zeros(8, 8),) * 3, "gbrpf32", half=True)
    path.write_bytes(path.read_bytes().replace(b"chlist\0", b"ch\xa4ist\0"))
    with pytest.raises(NotMediaError, match="its header is damaged"):
        reader.open(path)


def test_pictures_that_are_billions_apart_are_counted_as_missing(tmp_path: Path) -> None:
    for number in (1, 10**10):
        store(tmp_path / f"f.{number:04d}.png", (torch.zeros(8, 8, dtype=torch.uint8),) * 3, "gbrp")
    with pytest.raises(MediaError, match=r"9999999998 pictures are missing: 2-9999999999; .* from 1 to 10000000000"):
        reader.open(tmp_path / "f.%04d.png")
    with pytest.raises(MediaError, match="no such file"):
        reader.open(tmp_path / "f.%0999999999d.png")


@pytest.mark.parametrize("rate", ["1e99999999", "9" * 5000, "1/0", "nan", "-24"])
def test_a_rate_that_is_none_is_refused_at_once(tmp_path: Path, rate: str) -> None:
    store(tmp_path / "f.0001.png", (torch.zeros(8, 8, dtype=torch.uint8),) * 3, "gbrp")
    with pytest.raises(SettingsError, match="is no rate"):
        reader.open(tmp_path / "f.0001.png", rate=rate)
