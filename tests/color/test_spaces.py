"""Color spaces against published values, round trips, and gradients that stay finite."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from answerprint.color import fused, program, spaces
from answerprint.errors import ColorError

TRANSFERS = [
    "iec61966-2-1",
    "bt709",
    "bt2020-10",
    "smpte240m",
    "bt1886",
    "gamma22",
    "arib-std-b67",
    "smpte2084",
    "linear",
]

# Sharma, Wu and Dalal 2005, table 1: L1 a1 b1 L2 a2 b2 delta E.
SHARMA = [
    (50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425),
    (50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615),
    (50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412),
    (50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669),
    (50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195),
    (50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045),
    (50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065),
    (50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492),
    (50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
    (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
    (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
]


def color(*values: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).view(3, 1, 1)


@pytest.mark.parametrize("row", SHARMA)
def test_delta_e_2000_gives_the_published_table(row: tuple[float, ...]) -> None:
    assert float(spaces.delta_e_2000(color(*row[:3]), color(*row[3:6]))) == pytest.approx(row[6], abs=1e-4)
    single = spaces.delta_e_2000(color(*row[:3], dtype=torch.float32), color(*row[3:6], dtype=torch.float32))
    assert float(single) == pytest.approx(row[6], abs=1e-3)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0, 0)),
    ],
)
def test_lab_of_known_srgb_colors(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    assert spaces.rgb_to_lab(color(*rgb)).flatten().tolist() == pytest.approx(lab, abs=0.02)


def test_matrices_are_the_published_ones() -> None:
    wanted = [0.412391, 0.357584, 0.180481, 0.212639, 0.715169, 0.072192, 0.019331, 0.119195, 0.950532]
    assert spaces.rgb_to_xyz_matrix("bt709").flatten().tolist() == pytest.approx(wanted, abs=2e-6)
    assert spaces.rgb_to_xyz_matrix("bt2020")[1].tolist() == pytest.approx([0.2627, 0.6780, 0.0593], abs=5e-5)


@pytest.mark.parametrize(
    ("transfer", "signal", "light"),
    [
        ("arib-std-b67", 0.5, 1 / 12),  # BT.2100 table 5
        ("arib-std-b67", 1.0, 1.0),
        ("smpte2084", 0.5080784, 0.01),  # 100 cd/m2 is 50.8 %, BT.2408
        ("smpte2084", 1.0, 1.0),
        ("bt709", 0.409, 0.18),
        ("iec61966-2-1", 0.5, 0.2140411),
    ],
)
def test_transfer_functions_give_published_points(transfer: str, signal: float, light: float) -> None:
    assert float(spaces.decode(color(signal, 0, 0), transfer)[0]) == pytest.approx(light, rel=2e-3)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_transfer_round_trip_keeps_sub_blacks_and_super_whites(transfer: str) -> None:
    ramp = torch.linspace(-0.2, 1.2, 301, dtype=torch.float64).expand(3, 1, 301).clone().requires_grad_()
    back = spaces.encode(spaces.decode(ramp, transfer), transfer)
    assert float((back - ramp).abs().max()) < 1e-9
    (gradient,) = torch.autograd.grad(back.sum(), ramp)
    assert bool(gradient.isfinite().all())


def test_lab_and_lalphabeta_round_trip() -> None:
    pixels = torch.rand(2, 3, 8, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2
    assert torch.allclose(spaces.lab_to_rgb(spaces.rgb_to_lab(pixels)), pixels, atol=1e-9)
    assert torch.allclose(spaces.lab_to_rgb(spaces.rgb_to_lab(pixels, "bt2020", "bt709"), "bt2020", "bt709"), pixels)
    assert torch.allclose(spaces.lalphabeta_to_rgb(spaces.rgb_to_lalphabeta(pixels)), pixels, atol=1e-9)


def test_lalphabeta_separates_brightness_from_color() -> None:
    dark, light = spaces.rgb_to_lalphabeta(color(0.1, 0.1, 0.1)), spaces.rgb_to_lalphabeta(color(0.8, 0.8, 0.8))
    assert float(light[0] - dark[0]) == pytest.approx(3**0.5 * 0.90309, abs=1e-3)  # sqrt(3) * log10(8)
    assert float((light[1:] - dark[1:]).abs().max()) < 1e-9


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_gradients_are_finite_where_colors_are_gray_black_or_equal(value: float) -> None:
    pixels = torch.full((3, 2, 2), value, requires_grad=True)
    lab = spaces.rgb_to_lab(pixels)
    loss = spaces.delta_e_2000(lab, lab.detach()).sum() + spaces.delta_e_76(lab, lab.detach()).sum()
    loss = loss + spaces.rgb_to_lalphabeta(pixels).sum() + spaces.encode(pixels, "arib-std-b67").sum()
    (gradient,) = torch.autograd.grad(loss, pixels)
    assert bool(gradient.isfinite().all())


def test_luma_is_that_of_the_matrix() -> None:
    assert float(spaces.luma(color(0, 1, 0), "bt2020nc")) == pytest.approx(0.6780)
    assert float(spaces.luma(color(1, 0, 0), "smpte170m")) == pytest.approx(0.299)
    assert float(spaces.luma(color(0.3, 0.3, 0.3), "bt709")) == pytest.approx(0.3)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ColorError, match=r"'rec709' is unknown; known: .*bt709"):
        spaces.decode(color(0, 0, 0), "rec709")
    with pytest.raises(ColorError, match="bt2020"):
        spaces.rgb_to_xyz_matrix("srgb")
    with pytest.raises(ColorError, match="smpte170m"):
        spaces.luma(color(0, 0, 0), "601")
    with pytest.raises(ColorError, match="No Such Space"):
        spaces.convert(torch.zeros(3, 1, 1), "No Such Space", "ACEScg")


def test_camera_log_goes_through_opencolorio() -> None:
    gray = spaces.convert(torch.full((3, 2, 4), 0.391007), "ARRI LogC3 (EI800)", "ACEScg")
    assert gray.shape == (3, 2, 4)
    assert gray.flatten().tolist() == pytest.approx([0.18] * 24, abs=1e-3)  # ARRI: 18 % gray is 0.391 in LogC3 EI 800


def test_the_fused_cielab_is_the_same() -> None:
    """Also below black, above white, and back."""
    pixels = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(2)) * 1.5 - 0.25
    fused_lab = fused.run(program.lab_program(), pixels)
    torch.testing.assert_close(fused_lab, spaces.rgb_to_lab(pixels.double()).float(), atol=2e-4, rtol=0)
    torch.testing.assert_close(fused.run(program.rgb_program(), fused_lab), pixels, atol=5e-5, rtol=0)
