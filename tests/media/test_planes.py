"""Code values to R'G'B' and back: the numbers of the standards, and nothing lost on the way."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from answerprint.color.spaces import LUMA_WEIGHTS
from answerprint.errors import MediaError
from answerprint.frame import ColorTags, Frame, Origin
from answerprint.media.layout import parse_layout
from answerprint.media.planes import decode_alpha, encode_frame, from_rgb, to_rgb
from answerprint.media.siting import SITES

HD = ColorTags("bt709", "bt709", "bt709", "limited", "left")


def planes_of(layout: str, height: int, width: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Random codes over the whole range, reserved ones included."""
    form = parse_layout(layout)
    rng = np.random.default_rng(seed)
    shapes = [(height, width)] * form.plane_count
    if form.family == "yuv":
        shapes[1:3] = [form.chroma_size(height, width)] * 2
    kind = np.uint8 if form.bits == 8 else np.uint16
    return tuple(torch.from_numpy(rng.integers(0, 1 << form.bits, shape).astype(kind)) for shape in shapes)


def frame_of(layout: str, color: ColorTags, height: int = 12, width: int = 16) -> Frame:
    planes = planes_of(layout, height, width)
    rgb = to_rgb(planes, layout, color)
    return Frame(rgb, Fraction(1, 25), color, decode_alpha(planes, layout), origin=Origin(planes, layout, color, rgb))


def flat(layout: str, *codes: int) -> tuple[Tensor, ...]:
    return tuple(torch.full_like(plane, code) for plane, code in zip(planes_of(layout, 4, 4), codes, strict=True))


@pytest.mark.parametrize(
    ("layout", "color", "codes", "rgb"),
    [
        ("yuv422p10", HD, (940, 512, 512), (1, 1, 1)),
        ("yuv422p10", HD, (64, 512, 512), (0, 0, 0)),
        ("yuv422p10", HD, (1019, 512, 512), (955 / 876,) * 3),
        ("yuv422p10", HD, (4, 512, 512), (-60 / 876,) * 3),
        # 75 % color bars in 8 bits as in ITU-R BT.709 and BT.601 tables.
        ("yuv444p", HD, (63, 102, 240), (0.75 * 1.4, 0, 0)),
        ("yuv444p", ColorTags("smpte170m", "bt709", "smpte170m", "limited", "left"), (81, 90, 240), (1, 0, 0)),
        ("yuv444p", ColorTags("bt470bg", "bt709", "bt470bg", "limited", "left"), (41, 240, 110), (0, 0, 1)),
        ("yuv444p10", ColorTags("bt2020", "bt709", "bt2020nc", "limited", "left"), (294, 387, 960), (1, 0, 0)),
        ("yuv444p", ColorTags("bt709", "bt709", "bt709", "full", "left"), (255, 128, 128), (1, 1, 1)),
        ("gbrp10", ColorTags("bt709", "bt709", "rgb", "full", "left"), (1023, 0, 512), (1, 0, 512 / 1023)),
        ("gbrp10", ColorTags("bt709", "bt709", "rgb", "limited", "left"), (940, 64, 502), (1, 0, 0.5)),
    ],
)
def test_codes_of_the_standards(layout: str, color: ColorTags, codes: tuple[int, ...], rgb: tuple[float, ...]) -> None:
    got = to_rgb(flat(layout, *codes), layout, color)
    tolerance = 1e-6 if codes[1] in (512, 128) or layout.startswith("gbr") else 0.07
    assert got[:, 1, 1].tolist() == pytest.approx(rgb, abs=tolerance)


@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
def test_matrix_is_the_definition(matrix: str) -> None:
    """Against the definition in double precision: Y = Kr R + Kg G + Kb B, Cb = (B - Y) / (2 (1 - Kb))."""
    kr, kb = LUMA_WEIGHTS[matrix]
    color = ColorTags("bt709", "bt709", matrix, "limited", "left")
    planes = planes_of("yuv444p12", 8, 8)
    y, cb, cr = (plane.numpy().astype(np.float64) / 16 for plane in planes)
    y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    got = to_rgb(planes, "yuv444p12", color)
    assert np.allclose(got.numpy(), np.stack([red, green, blue]), atol=2e-6)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10", "yuv444p12", "yuv420p10", "yuv411p", "yuv410p", "yuv440p",
                                    "yuv420p16", "yuv444p16", "gbrp10", "gbrp16", "gray", "gray12"])  # fmt: skip
def test_there_and_back_is_the_same_code(layout: str) -> None:
    form = parse_layout(layout)
    matrices = ("bt709", "smpte170m", "bt2020nc", "ycgco") if form.family == "yuv" else ("bt709",)
    sites = SITES if form.subsampled else ("left",)
    sizes = ((10, 8), (9, 7), (1, 1), (3, 2))
    cases = itertools.product(matrices, ("limited", "full"), sites, {False, form.chroma_shift_y > 0}, sizes)
    for matrix, range_, site, fields, (height, width) in cases:
        color = ColorTags("bt709", "bt709", matrix, range_, site)
        planes = planes_of(layout, height, width)
        back = from_rgb(to_rgb(planes, layout, color, fields), layout, color, fields)
        for before, after in zip(planes, back, strict=True):
            assert torch.equal(before, after), (matrix, range_, site, fields, height, width)


@pytest.mark.parametrize(("siting", "shift"), [("left", 0.0), ("topleft", 0.0), ("center", 0.5), ("top", 0.5)])
def test_a_slope_of_chroma_lies_where_it_is_sited(siting: str, shift: float) -> None:
    """Chroma that rises evenly is even at full width too, with sample j at luma column 2j + shift."""
    color = ColorTags("bt709", "bt709", "bt709", "full", siting)
    form = parse_layout("yuv420p10")
    y = torch.full((8, 32), 512, dtype=torch.uint16)
    cr = (400 + 8 * torch.arange(16)).to(torch.uint16).expand(4, 16).contiguous()
    assert form.chroma_size(8, 32) == (4, 16)
    red = to_rgb((y, torch.full((4, 16), 512, dtype=torch.uint16), cr), "yuv420p10", color)[0]
    got = (red[3] - 512 / 1023) / (2 * (1 - 0.2126)) * 1023 + 512
    expected = 400 + 8 * (torch.arange(32) - shift) / 2
    assert torch.allclose(got[2:-2], expected[2:-2], atol=1e-3)


def test_chroma_of_fields_stays_in_its_field() -> None:
    """One field red, the other gray: read per field, no line of the gray field takes color."""
    color = ColorTags("smpte170m", "bt709", "smpte170m", "limited", "left")
    y = torch.full((16, 8), 126, dtype=torch.uint8)
    cr = torch.full((8, 4), 128, dtype=torch.uint8)
    cr[0::2] = 200
    planes = (y, torch.full((8, 4), 128, dtype=torch.uint8), cr)
    by_field = to_rgb(planes, "yuv420p", color, interlaced=True)
    as_frame = to_rgb(planes, "yuv420p", color, interlaced=False)
    assert torch.allclose(by_field[0, 1::2], by_field[1, 1::2], atol=1e-6)
    assert float((by_field[0, 0::2] - by_field[1, 0::2]).min()) > 0.3
    assert float((as_frame[0, 1::2] - as_frame[1, 1::2]).abs().max()) > 0.1


def test_chroma_of_four_lines_is_never_read_by_field() -> None:
    """4:1:0 has no form for fields; reading it so went past the end of the planes."""
    color = ColorTags("smpte170m", "bt709", "smpte170m", "limited", "center")
    planes = planes_of("yuv410p", 37, 50)
    assert torch.equal(to_rgb(planes, "yuv410p", color, interlaced=True), to_rgb(planes, "yuv410p", color))


def test_an_untouched_frame_gives_its_own_planes() -> None:
    frame = frame_of("yuva444p12", HD)
    assert frame.origin is not None
    for before, after in zip(frame.origin.planes, encode_frame(frame, "yuva444p12", HD, True), strict=True):
        assert torch.equal(before, after)


def test_only_what_changed_gets_new_codes() -> None:
    """A square is changed: luma outside it and chroma away from it keep codes that no rounding would give them."""
    frame = frame_of("yuv422p10", HD, 16, 32)
    assert frame.origin is not None
    # A source whose codes do not follow from its pixels shows whether codes are kept or made anew.
    odd = Origin(tuple(plane ^ 1 for plane in frame.origin.planes), "yuv422p10", HD, frame.pixels)
    changed = frame.pixels.clone()
    changed[:, 4:8, 8:16] += 0.2
    moved = Frame(changed, frame.time, HD, origin=odd)
    y, cb, _ = encode_frame(moved, "yuv422p10", HD, dither=True)
    away = torch.ones(16, 32, dtype=torch.bool)
    away[4:8, 8:16] = False
    assert torch.equal(y[away], odd.planes[0][away])
    assert not torch.equal(y[4:8, 8:16], odd.planes[0][4:8, 8:16])
    assert torch.equal(cb[:4], odd.planes[1][:4]) and torch.equal(cb[8:], odd.planes[1][8:])
    assert torch.equal(cb[4:8, 10:], odd.planes[1][4:8, 10:])


def test_dither_keeps_what_lies_between_codes() -> None:
    level = (100.25 - 16) / 219
    frame = Frame(torch.full((3, 64, 64), level), Fraction(3, 25), HD)
    y = encode_frame(frame, "yuv444p", HD, dither=True)[0].float()
    assert float(y.mean()) == pytest.approx(100.25, abs=0.05)
    assert set(y.unique().tolist()) <= {99.0, 100.0, 101.0}
    plain = encode_frame(frame, "yuv444p", HD, dither=False)[0]
    assert plain.unique().tolist() == [100]


def test_dither_belongs_to_the_time_of_the_frame() -> None:
    first, again, later = (
        encode_frame(Frame(torch.full((3, 32, 32), 0.4001), time, HD), "yuv420p", HD, dither=True)
        for time in (Fraction(1, 25), Fraction(1, 25), Fraction(2, 25))
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], later[0])


def test_fewer_bits_of_an_unchanged_frame_are_not_dithered() -> None:
    frame = frame_of("yuv444p10", HD)
    dithered = encode_frame(frame, "yuv444p", HD, dither=True)
    plain = encode_frame(frame, "yuv444p", HD, dither=False)
    assert all(torch.equal(a, b) for a, b in zip(dithered, plain, strict=True))


def test_values_outside_the_codes_are_clipped_and_nan_is_black() -> None:
    rgb = torch.tensor([9.0, -9.0, float("nan"), float("inf")]).expand(3, 2, 4).contiguous()
    red = from_rgb(rgb, "gbrp10", ColorTags("bt709", "bt709", "rgb", "full", "left"))[0]
    assert red[0].tolist() == [1023, 0, 0, 1023]


def test_padded_lines_are_read_in_place() -> None:
    planes = planes_of("yuv422p10", 6, 10)
    padded = tuple(torch.nn.functional.pad(p.to(torch.int32), (0, 7)).to(torch.uint16)[:, : p.shape[1]] for p in planes)
    assert torch.equal(to_rgb(padded, "yuv422p10", HD), to_rgb(planes, "yuv422p10", HD))


def test_unknown_names_are_answered() -> None:
    with pytest.raises(MediaError, match="pixel format 'nv12'"):
        parse_layout("nv12")
    with pytest.raises(MediaError, match="color matrix 'ictcp' is not known; known: bt709"):
        to_rgb(planes_of("yuv444p", 2, 2), "yuv444p", ColorTags("bt2020", "smpte2084", "ictcp", "full", "left"))
