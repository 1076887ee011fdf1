"""Pictures as programs write them: windows, layers, orientation, profiles, mixed storage, names, numbers, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest
import torch

from answerprint.color import icc
from answerprint.errors import MediaError, SettingsError
from answerprint.media import presets, reader
from answerprint.media.writer.direct import Writer
from clips import write
from stored import copy, put

H, W = 6, 10


def spec_of(channels: Mapping[str, float] | Sequence[str], part: str = "", kind: str = "float") -> Any:
    names = tuple(channels)
    spec = oiio.ImageSpec(W, H, len(names), kind)
    spec.channelnames = names
    if part:
        spec.attribute("oiio:subimagename", part)
    return spec


def flat(channels: Mapping[str, float]) -> np.ndarray:
    return np.stack([np.full((H, W), value, np.float32) for value in channels.values()], -1)


def layered(path: Path, channels: Mapping[str, float]) -> Path:
    return put(path, flat(channels), spec_of(channels))


def parts(path: Path, *contents: tuple[str, Mapping[str, float]]) -> Path:
    specs = tuple(spec_of(channels, part) for part, channels in contents)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), specs)
    for number, (spec, (_, channels)) in enumerate(zip(specs, contents, strict=True)):
        assert number == 0 or output.open(str(path), spec, "AppendSubimage")
        assert output.write_image(flat(channels))
    output.close()
    return path


def windows(path: Path, data: tuple[int, int, int, int], value: float = 0.5) -> Path:
    """An EXR with a display window of W x H and a data window (left, top, width, height)."""
    left, top, width, height = data
    spec = oiio.ImageSpec(width, height, 3, "half")
    spec.x, spec.y = left, top
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, W, H
    return put(path, np.full((height, width, 3), value, np.float32), spec)


def color_of(path: Path | str, **overrides: Any) -> list[float]:
    frame = next(reader.open(path, **overrides).frames())
    return [round(float(value), 4) for value in frame.pixels[:, 0, 0]]


def channels_of(path: Path) -> dict[str, float]:
    source = oiio.ImageInput.open(str(path))
    assert not source.seek_subimage(1, 0)
    values = source.read_image(0, 0, 0, source.spec().nchannels, "float")[0, 0]
    return dict(zip(source.spec().channelnames, (round(float(value), 3) for value in values), strict=True))


def boxes(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    spec = oiio.ImageInput.open(str(path)).spec()
    data = spec.x, spec.y, spec.width, spec.height
    return data, (spec.full_x, spec.full_y, spec.full_width, spec.full_height)


# ---- windows


def test_overscan_stays_in_exr_and_video_gets_what_is_shown(tmp_path: Path) -> None:
    for number in (1, 2):
        path = windows(tmp_path / f"o.{number}.exr", (-3, -2, W + 6, H + 4))
        data = np.full((H + 4, W + 6, 3), 0.75, np.float32)
        data[2:-2, 3:-3] = 0.25
        spec = oiio.ImageInput.open(str(path)).spec()
        put(path, data, spec)
    source = str(tmp_path / "o.%d.exr")
    assert reader.open(source).info.display_size == (W, H)
    copy(source, tmp_path / "out.%d.exr")
    assert boxes(tmp_path / "out.2.exr") == ((-3, -2, W + 6, H + 4), (0, 0, W, H))
    back = oiio.ImageInput.open(str(tmp_path / "out.2.exr")).read_image("float")
    assert back[0, 0, 0] == 0.75 and back[2, 3, 0] == 0.25
    result = copy(source, tmp_path / "out.mkv")
    frame = next(reader.open(tmp_path / "out.mkv").frames())
    assert frame.pixels.shape == (3, H, W)
    assert torch.allclose(frame.pixels, torch.tensor(0.25), atol=1e-3)
    assert any("outside the display window" in note for note in result.notes)


def test_a_data_window_that_moves_keeps_its_place(tmp_path: Path) -> None:
    """Compositing programs cut the black around an element away, in each frame another."""
    for number, data in enumerate(((1, 1, 2, 2), (5, 3, 4, 3))):
        windows(tmp_path / f"a.{number}.exr", data)
    source = str(tmp_path / "a.%d.exr")
    frames = list(reader.open(source).frames())
    assert [frame.pixels.shape for frame in frames] == [(3, H, W)] * 2
    for frame, lines, columns in zip(frames, (slice(1, 3), slice(3, 6)), (slice(1, 3), slice(5, 9)), strict=True):
        assert bool((frame.pixels[:, lines, columns] == 0.5).all()) and float(frame.pixels[0].sum()) == pytest.approx(
            0.5 * (lines.stop - lines.start) * (columns.stop - columns.start)
        )
    copy(source, tmp_path / "out.%d.exr", gain=2.0)
    assert boxes(tmp_path / "out.0.exr") == ((1, 1, 2, 2), (0, 0, W, H))
    assert boxes(tmp_path / "out.1.exr") == ((5, 3, 4, 3), (0, 0, W, H))


def test_windows_that_lie_worlds_apart_are_refused(tmp_path: Path) -> None:
    windows(tmp_path / "a.0.exr", (0, 0, 2, 2))
    windows(tmp_path / "a.1.exr", (1_000_000, 1_000_000, 2, 2))
    with pytest.raises(MediaError, match="windows lie far apart"):
        reader.open(tmp_path / "a.%d.exr")


# ---- layers

BEAUTY = {"R": 0.4, "G": 0.3, "B": 0.2}
SPEC = {"spec.R": 0.1, "spec.G": 0.1, "spec.B": 0.1, "spec.A": 0.5}
NORMALS = {"N.X": 0.0, "N.Y": 0.0, "N.Z": 1.0}


def test_alpha_and_depth_do_not_come_from_other_layers(tmp_path: Path) -> None:
    clip = reader.open(layered(tmp_path / "a.exr", {**SPEC, **BEAUTY, **NORMALS}))
    frame = next(clip.frames())
    assert color_of(tmp_path / "a.exr") == [0.4, 0.3, 0.2]
    assert frame.alpha is None and frame.depth is None
    assert set(clip.info.passes) == {"spec (R, G, B, A)", "N (X, Y, Z)"}


@pytest.mark.parametrize(
    ("channels", "color"),
    [
        ({"beauty.R": 0.1, "beauty.G": 0.2, "beauty.B": 0.3, "R": 0.4, "G": 0.5, "B": 0.6}, [0.4, 0.5, 0.6]),
        ({"diff.R": 0.1, "diff.G": 0.2, "diff.B": 0.3, "rgba.R": 0.4, "rgba.G": 0.5, "rgba.B": 0.6}, [0.4, 0.5, 0.6]),
        ({"a.red": 0.1, "a.green": 0.2, "a.blue": 0.3, "beauty.red": 0.4, "beauty.green": 0.5, "beauty.blue": 0.6},
         [0.4, 0.5, 0.6]),
        ({"V.Emit.R": 0.1, "V.Emit.G": 0.2, "V.Emit.B": 0.3, "V.Combined.R": 0.4, "V.Combined.G": 0.5,
          "V.Combined.B": 0.6, "V.Combined.A": 1.0}, [0.4, 0.5, 0.6]),
        ({"Z": 5.0, "matte": 0.5, "only.R": 0.4, "only.G": 0.5, "only.B": 0.6}, [0.4, 0.5, 0.6]),
        ({"P.X": 0.4, "P.Y": 0.5, "P.Z": 0.6}, [0.4, 0.5, 0.6]),
    ],
)  # fmt: skip
def test_the_main_layer(tmp_path: Path, channels: Mapping[str, float], color: list[float]) -> None:
    assert color_of(layered(tmp_path / "a.exr", channels)) == color


def test_depth_of_the_picture_itself(tmp_path: Path) -> None:
    for name in ("Z", "depth.Z"):
        path = layered(tmp_path / "a.exr", {**BEAUTY, **NORMALS, name: 7.0})
        depth = next(reader.open(path).frames()).depth
        assert depth is not None and float(depth[0, 0, 0]) == 7


def test_a_layer_that_is_asked_for(tmp_path: Path) -> None:
    path = layered(tmp_path / "a.exr", {**BEAUTY, **NORMALS, **SPEC})
    assert color_of(path, layer="spec") == [0.2, 0.2, 0.2]  # 0.1 over an alpha of 0.5
    assert color_of(path, layer="n") == [0.0, 0.0, 1.0]
    with pytest.raises(SettingsError, match=r"no layer 'Emit'; it has: rgba \(R, G, B\), N \(X, Y, Z\), spec \(R, G"):
        reader.open(path, layer="Emit")
    video = tmp_path / "v.mkv"
    copy(path, video)
    with pytest.raises(SettingsError, match="only pictures have layers"):
        reader.open(video, layer="spec")


def test_parts_are_layers(tmp_path: Path) -> None:
    contents = (("spec", {"R": 0.1, "G": 0.1, "B": 0.1}), ("beauty", {**BEAUTY, "A": 1.0}), ("depth", {"Z": 3.0}))
    path = parts(tmp_path / "a.exr", *contents)
    frame = next(reader.open(path).frames())
    assert color_of(path) == [0.4, 0.3, 0.2] and frame.alpha is not None
    assert frame.depth is None
    assert color_of(path, layer="spec") == [0.1, 0.1, 0.1]
    copy(path, tmp_path / "out.exr", gain=2.0)
    graded = channels_of(tmp_path / "out.exr")
    others = {"spec.R": 0.1, "spec.G": 0.1, "spec.B": 0.1, "depth.Z": 3.0}
    assert graded == {"R": 0.8, "G": 0.6, "B": 0.4, "A": 1.0, **others}


def test_passes_stay_in_exr_and_are_named_elsewhere(tmp_path: Path) -> None:
    layered(tmp_path / "a.0001.exr", {**BEAUTY, **SPEC, **NORMALS})
    layered(tmp_path / "a.0002.exr", {**BEAUTY, **SPEC, "N.X": 0.0, "N.Y": 1.0, "N.Z": 0.0})
    source = str(tmp_path / "a.%04d.exr")
    result = copy(source, tmp_path / "out.%04d.exr", gain=2.0)
    assert not any("not carried" in note for note in result.notes)
    graded = {"R": 0.8, "G": 0.6, "B": 0.4}
    assert channels_of(tmp_path / "out.0001.exr") == {**graded, **SPEC, **NORMALS}
    assert channels_of(tmp_path / "out.0002.exr") == {**graded, **SPEC, "N.X": 0, "N.Y": 1, "N.Z": 0}
    result = copy(source, tmp_path / "out.mov")
    assert any("layers are not carried: N (X, Y, Z), spec (R, G, B, A)" in note for note in result.notes)


def test_another_layer_is_replaced_in_its_place(tmp_path: Path) -> None:
    path = layered(tmp_path / "a.exr", {**BEAUTY, "diff.R": 0.1, "diff.G": 0.2, "diff.B": 0.3})
    copy(path, tmp_path / "out.exr", gain=2.0, input_layer="diff")
    assert channels_of(tmp_path / "out.exr") == {**BEAUTY, "diff.R": 0.2, "diff.G": 0.4, "diff.B": 0.6}


def test_a_deep_picture_is_refused_in_words(tmp_path: Path) -> None:
    spec = spec_of("RGBA")
    spec.deep = True
    data = oiio.DeepData()
    data.init(W * H, 4, ("float",) * 4, tuple("RGBA"))
    output = oiio.ImageOutput.create("a.exr")
    assert output.open(str(tmp_path / "a.exr"), spec) and output.write_deep_image(data) and output.close()
    with pytest.raises(MediaError, match="deep picture; flatten it"):
        reader.open(tmp_path / "a.exr")


# ---- orientation


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("ending", ["tif", "jpg", "png"])
def test_pictures_are_turned_as_their_tag_asks(tmp_path: Path, number: int, ending: str) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16], upright[:8, 16:], upright[8:, :16] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    turns = {  # what is done to the picture on showing it, undone: Exif 2.32, 4.6.4 A
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }
    path = put(tmp_path / f"a.{ending}", turns[number](upright), Orientation=number, compression="jpeg:100")
    info = reader.open(path).info
    assert (info.width, info.height) == (32, 16)
    pixels = next(reader.open(path).frames()).pixels.permute(1, 2, 0).numpy() * 255
    middles = slice(4, 16, 8), slice(8, 32, 16)  # of the four quarters
    assert np.abs(pixels[middles] - upright[middles].astype(np.float32)).max() < 12
    copy(path, tmp_path / "out.tif")
    spec = oiio.ImageInput.open(str(tmp_path / "out.tif")).spec()
    assert (spec.width, spec.height, spec.getattribute("Orientation")) == (32, 16, 1)


# ---- color


def photo(value: float = 0.5) -> np.ndarray:
    colors = np.array([0.8, 0.3, 0.2]) * value / 0.5
    return np.broadcast_to(np.round(colors * 65535).astype(np.uint16), (H, W, 3)).copy()


def with_profile(path: Path, data: np.ndarray, profile: bytes) -> Path:
    spec = oiio.ImageSpec(data.shape[1], data.shape[0], data.shape[2], str(data.dtype))
    numbers = np.frombuffer(profile, np.uint8)
    spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(numbers)}]"), numbers)
    return put(path, data, spec)


def made(primaries: str, transfer: str) -> bytes:
    profile = icc.profile_of(primaries, transfer)
    assert profile is not None
    return icc.to_bytes(profile)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_profile_with_a_name_is_a_tag_and_travels(tmp_path: Path, ending: str) -> None:
    path = with_profile(tmp_path / f"a.{ending}", photo(), made("smpte432", "iec61966-2-1"))
    clip = reader.open(path)
    assert (clip.info.color.primaries, clip.info.color.transfer) == ("smpte432", "iec61966-2-1")
    assert torch.equal(next(clip.frames()).origin.planes[0], torch.from_numpy(photo()[..., 0]))
    for name in ("out.png", "out.tif", "out.mov"):
        copy(path, tmp_path / name)
        assert reader.open(tmp_path / name).info.color.primaries == "smpte432"


def test_colors_of_a_profile_without_a_name_are_converted(tmp_path: Path) -> None:
    """Adobe RGB: its green lies outside of sRGB, so that what is green there is beyond 1 of green less red here."""
    own = icc.profile_of("bt709", "gamma22")
    assert own is not None
    adobe = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
    profile = icc.to_bytes(icc.Profile("Adobe RGB (1998)", adobe, own.curves))
    gray = np.full((H, W, 3), 32768, np.uint16)
    path = with_profile(tmp_path / "gray.png", gray, profile)
    assert color_of(path) == pytest.approx([0.5029] * 3, abs=2e-3)  # 0.5 ** 2.2 in the curve of sRGB
    clip = reader.open(with_profile(tmp_path / "red.png", photo(), profile))
    red, green, blue = next(clip.frames()).pixels[:, 0, 0].tolist()
    assert red > 0.85 and green < 0.3 and blue < 0.2  # the same numbers are a stronger red there
    assert any("converted from the embedded profile 'Adobe RGB (1998)'" in note for note in clip.info.notes)


def test_a_profile_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    profile = bytearray(made("bt709", "iec61966-2-1"))
    profile[16:20] = b"CMYK"
    clip = reader.open(with_profile(tmp_path / "a.tif", photo(), bytes(profile)))
    assert any("profile cannot be used" in note and "CMYK" in note for note in clip.info.notes)
    assert color_of(tmp_path / "a.tif") == pytest.approx([0.8, 0.3, 0.2], abs=1e-4)


def test_pictures_of_two_profiles_come_to_one(tmp_path: Path) -> None:
    put(tmp_path / "a.1.png", photo())
    with_profile(tmp_path / "a.2.png", photo(), made("smpte432", "iec61966-2-1"))
    first, second = reader.open(tmp_path / "a.%d.png").frames()
    assert first.pixels[:, 0, 0].tolist() == pytest.approx([0.8, 0.3, 0.2], abs=1e-4)
    assert float(second.pixels[0, 0, 0]) > 0.85 and second.color == first.color


@pytest.mark.parametrize(
    ("label", "colorimetric", "transfer", "primaries"),
    [
        ("ITU-R 709-4", "ITU-R 709-4", "bt709", "bt709"),
        ("Linear", "ITU-R 709-4", "linear", "bt709"),
        ("ITU-R 601-5 system B or G", "ITU-R 601-5 system B or G", "smpte170m", "bt470bg"),
        ("Printing density", "Printing density", "unknown", "unknown"),
        ("Logarithmic", "Logarithmic", "unknown", "unknown"),
    ],
)
def test_labels_of_dpx_travel(tmp_path: Path, label: str, colorimetric: str, transfer: str, primaries: str) -> None:
    path = put(tmp_path / "a.0001.dpx", photo(), dpx_Transfer=label, dpx_Colorimetric=colorimetric)
    info = reader.open(path).info
    assert (info.color.transfer, info.color.primaries) == (transfer, primaries)
    copy(path, tmp_path / "out.0001.dpx")
    spec = oiio.ImageInput.open(str(tmp_path / "out.0001.dpx")).spec()
    assert spec.getattribute("dpx:Transfer") == label and spec.getattribute("dpx:Colorimetric") == colorimetric
    assert color_of(tmp_path / "out.0001.dpx") == pytest.approx(color_of(path), abs=1e-3)


@pytest.mark.parametrize(
    ("primaries", "transfer", "labels"),
    [
        ("bt709", "bt709", ("ITU-R 709-4", "ITU-R 709-4")),
        ("bt470bg", "smpte170m", ("ITU-R 601-5 system B or G", "ITU-R 601-5 system B or G")),
        ("bt2020", "smpte2084", ("User defined", "User defined")),
    ],
)
def test_dpx_of_video_says_how_it_is_encoded(
    tmp_path: Path, primaries: str, transfer: str, labels: tuple[str, str]
) -> None:
    write(tmp_path / "a.mkv", frames=1, primaries=primaries, transfer=transfer)
    notes = copy(tmp_path / "a.mkv", tmp_path / "out.dpx").notes
    spec = oiio.ImageInput.open(str(tmp_path / "out.dpx")).spec()
    assert (spec.getattribute("dpx:Transfer"), spec.getattribute("dpx:Colorimetric")) == labels
    assert any("DPX has no name" in note for note in notes) == (transfer == "smpte2084")


def test_dpx_of_an_encoding_that_it_cannot_name(tmp_path: Path) -> None:
    path = put(tmp_path / "a.png", photo())
    result = copy(path, tmp_path / "out.dpx")
    assert any("transfer iec61966-2-1 is not carried" in note for note in result.notes)
    spec = oiio.ImageInput.open(str(tmp_path / "out.dpx")).spec()
    assert spec.getattribute("dpx:Transfer") == "User defined"


def test_primaries_of_exr_travel(tmp_path: Path) -> None:
    path = with_profile(tmp_path / "a.tif", photo(), made("bt2020", "linear"))
    copy(path, tmp_path / "out.exr")
    assert reader.open(tmp_path / "out.exr").info.color.primaries == "bt2020"


# ---- how pictures are stored


def test_a_sequence_that_begins_gray_is_color(tmp_path: Path) -> None:
    """A slate or a black frame, stored gray because it is, and pictures with a palette after it."""
    gray = np.full((H, W, 1), 100, np.uint8)
    color = np.broadcast_to(np.array([200, 100, 50], np.uint8), (H, W, 3)).copy()
    put(tmp_path / "a.1.png", gray)
    put(tmp_path / "a.2.png", color)
    put(tmp_path / "a.3.png", np.full((H, W, 1), 51400, np.uint16))  # 200 of 255
    clip = reader.open(tmp_path / "a.%d.png")
    assert clip.info.layout == "gbrp16"
    values = [[round(float(value) * 255, 3) for value in frame.pixels[:, 0, 0]] for frame in clip.frames()]
    assert values == [[100] * 3, [200, 100, 50], [200] * 3]
    assert any("pictures are stored as gray and gbrp and gray16" in note for note in clip.info.notes)


def test_a_paletted_picture_is_read_in_color(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("P", (W, H), 1).save(tmp_path / "a.1.png")
    picture = Image.new("P", (W, H), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30])
    picture.save(tmp_path / "a.1.png")
    put(tmp_path / "a.2.png", np.full((H, W, 3), 128, np.uint8))
    first, _ = reader.open(tmp_path / "a.%d.png").frames()
    assert (first.pixels[:, 0, 0] * 255).round().tolist() == [10, 200, 30]


def test_floats_and_integers_are_no_sequence(tmp_path: Path) -> None:
    put(tmp_path / "a.1.tif", np.full((H, W, 3), 100, np.uint8))
    put(tmp_path / "a.2.tif", np.full((H, W, 3), 0.5, np.float32))
    with pytest.raises(MediaError, match=r"a.2.tif: is stored as gbrpf32, the sequence began with gbrp"):
        reader.open(tmp_path / "a.%d.tif")


# ---- names and numbers


@pytest.mark.parametrize("name", ["take#1.png", "take%d.png", "50%04d.png", "a####.png"])
def test_a_file_that_is_there_is_no_pattern(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, np.full((H, W, 3), 51, np.uint8))
    for other in ("take1.png", "take2.png", "500001.png", "a0001.png"):
        put(tmp_path / other, np.full((H, W, 3), 200, np.uint8))
    assert len(reader.open(tmp_path / name)) == 1
    assert color_of(tmp_path / name) == [0.2] * 3
    copy(tmp_path / name, tmp_path / "out.mkv")
    assert color_of(tmp_path / "out.mkv") == [0.2] * 3


def test_a_folder_of_names_with_signs_of_patterns(tmp_path: Path) -> None:
    for number in (1, 2):
        put(tmp_path / f"50%d#.{number:04d}.png", np.full((H, W, 3), 51, np.uint8))
    assert len(reader.open(tmp_path)) == 2


def numbered(folder: Path, first: int = 1001, count: int = 4) -> str:
    for number in range(first, first + count):
        put(folder / f"sh.{number}.tif", np.full((H, W, 3), number, np.uint16))
    return str(folder / "sh.%04d.tif")


def names_in(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern) if path.is_file())


def test_numbers_of_frames_are_kept(tmp_path: Path) -> None:
    source = numbered(tmp_path)
    assert reader.open(source).info.first_number == 1001
    copy(source, tmp_path / "all.%04d.tif")
    assert names_in(tmp_path, "all.*.tif") == [f"all.{number}.tif" for number in range(1001, 1005)]
    copy(source, tmp_path / "part.####.tif", start="2")
    assert names_in(tmp_path, "part.*.tif") == ["part.1003.tif", "part.1004.tif"]
    frame = next(reader.open(tmp_path / "part.1003.tif").frames())
    assert int(frame.origin.planes[0][0, 0]) == 1003


def test_the_name_of_an_output_sets_its_first_number(tmp_path: Path) -> None:
    copy(numbered(tmp_path), tmp_path / "new.0100.tif", start="1", stop="3")
    assert names_in(tmp_path, "new.*.tif") == ["new.0100.tif", "new.0101.tif"]


def test_what_has_no_numbers_begins_at_one(tmp_path: Path) -> None:
    copy(numbered(tmp_path, count=2), tmp_path / "clip.mkv")
    copy(tmp_path / "clip.mkv", tmp_path / "v.%04d.tif", start="1")
    assert names_in(tmp_path, "v.*.tif") == ["v.0001.tif"]
    (tmp_path / "zero").mkdir()
    zero = numbered(tmp_path / "zero", first=0, count=2)
    copy(zero.replace("%04d", "%d"), tmp_path / "z.%d.tif")
    assert names_in(tmp_path, "z.*.tif") == ["z.0.tif", "z.1.tif"]


def test_depth_is_delivered_in_full(tmp_path: Path) -> None:
    path = layered(tmp_path / "a.exr", {**BEAUTY, "Z": 1234.5678})
    delivery = presets.choose(tmp_path / "out.exr", None, reader.open(path).info)
    with Writer(tmp_path / "out.exr", delivery) as writer:
        writer.write(next(reader.open(path).frames()))
    depth = next(reader.open(tmp_path / "out.exr").frames()).depth
    assert depth is not None and float(depth[0, 0, 0]) == pytest.approx(1234.5678, abs=1e-3)


def test_timecode_of_a_picture_follows_its_number(tmp_path: Path) -> None:
    for number in (7, 8):
        put(tmp_path / f"a.{number}.dpx", photo(), dpx_TimeCode=f"01:00:00:0{number}", dpx_FrameRate=24.0)
    copy(str(tmp_path / "a.%d.dpx"), tmp_path / "out.%d.dpx", start="1")
    info = reader.open(tmp_path / "out.8.dpx").info
    assert info.timecode == "01:00:00:08" and info.rate == Fraction(24)


def test_opencv_reads_what_is_written(tmp_path: Path) -> None:
    """Another reader than ours: the values of a picture with a profile are the stored ones."""
    path = with_profile(tmp_path / "a.png", photo(), made("smpte432", "iec61966-2-1"))
    copy(path, tmp_path / "out.png")
    assert np.array_equal(cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)[..., ::-1], photo())
