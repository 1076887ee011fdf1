"""Color profiles: what is written is read by others and by us, and nothing that is damaged does harm."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from answerprint.color import icc, spaces
from answerprint.errors import ColorError


def made(primaries: str, transfer: str) -> bytes:
    profile = icc.profile_of(primaries, transfer)
    assert profile is not None
    return icc.to_bytes(profile)


@pytest.mark.parametrize("primaries", ["bt709", "bt470bg", "bt2020", "smpte431", "smpte432"])
@pytest.mark.parametrize("transfer", ["iec61966-2-1", "bt709", "gamma22", "gamma28", "linear"])
def test_tags_come_back_from_their_profile(primaries: str, transfer: str) -> None:
    profile = icc.parse(made(primaries, transfer))
    assert (profile.primaries, profile.transfer) == (primaries, transfer)


def test_profiles_of_littlecms_are_known() -> None:
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = icc.parse(data)
    assert (profile.primaries, profile.transfer) == ("bt709", "iec61966-2-1")


def test_littlecms_shows_the_colors_that_are_meant() -> None:
    colors = np.array([[[200, 120, 60], [128, 128, 128], [90, 160, 200]]], np.uint8)
    source = ImageCms.ImageCmsProfile(io.BytesIO(made("smpte432", "iec61966-2-1")))
    target = ImageCms.createProfile("sRGB")
    shown = ImageCms.profileToProfile(Image.fromarray(colors), source, target, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    pixels = torch.from_numpy(colors / np.float32(255)).permute(2, 0, 1)
    ours = icc.parse(made("smpte432", "iec61966-2-1")).convert(pixels, "bt709", "iec61966-2-1")
    assert np.abs(ours.permute(1, 2, 0).numpy() * 255 - np.asarray(shown)).max() < 1.5


def parametric(kind: int, numbers: list[float]) -> bytes:
    return b"para\0\0\0\0" + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(n * 65536) for n in numbers))


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (3, [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]),
        (4, [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0]),
    ],
)
def test_parametric_curves_of_srgb(kind: int, numbers: list[float]) -> None:
    curve = icc._curve(parametric(kind, numbers))
    signal = torch.linspace(0, 1, len(curve), dtype=torch.float64)
    assert np.abs(curve - spaces.decode(signal, "iec61966-2-1").numpy()).max() < 1e-4


def test_powers_with_an_offset() -> None:
    assert icc._curve(parametric(0, [2.0]))[2048] == pytest.approx((2048 / 4095) ** 2, abs=1e-6)
    above = icc._curve(parametric(1, [1.0, 2.0, -1.0]))  # 2 x - 1 from the middle on
    assert above[0] == 0 and above[-1] == pytest.approx(1)
    lifted = icc._curve(parametric(2, [1.0, 2.0, -1.0, 0.25]))
    assert lifted[0] == pytest.approx(0.25) and lifted[-1] == pytest.approx(1.25)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_profile_is_refused_or_harmless(data: st.DataObject) -> None:
    content = bytearray(made("smpte432", "gamma22"))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, 300))
        content[place] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    try:
        profile = icc.parse(bytes(content))
    except ColorError as error:
        assert "\n" not in str(error)
        return
    result = profile.convert(torch.rand(3, 2, 2), "bt709", "iec61966-2-1")
    assert result.shape == (3, 2, 2)
