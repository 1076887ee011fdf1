"""Grading functions: neutral at neutral, equal to OpenColorIO where it has them, differentiable everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813
import pytest
import torch
from torch import Tensor

from answerprint.color import grade, spaces

Function = Callable[..., Tensor]

# Function, neutral arguments, other arguments.
ALL: list[tuple[Function, tuple[object, ...], tuple[object, ...]]] = [
    (grade.exposure, (0.0,), (0.7,)),
    (grade.brightness, (0.0,), (-0.1,)),
    (grade.white_balance, (0.0, 0.0), (35.0, -20.0)),
    (grade.cdl, (), ((1.1, 0.9, 1.0), (0.02, 0.0, -0.03), (1.2, 0.8, 1.0), 0.7)),
    (grade.saturate, (1.0,), (1.4,)),
    (grade.contrast, (1.0,), (1.3, 0.4)),
    (grade.gamma, (1.0,), (1.2,)),
    (grade.hue, (0.0,), (30.0,)),
    (grade.lift_gamma_gain, (0.0, 1.0, 1.0), ((0.1, 0.0, -0.1), 1.1, (0.9, 1.0, 1.1))),
]


def picture(dtype: torch.dtype = torch.float32) -> Tensor:
    """Random colors with sub-blacks, super-whites, black, gray and white."""
    pixels = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(3), dtype=dtype) * 1.4 - 0.2
    pixels[:, 0, :3] = torch.tensor([0.0, 0.5, 1.0], dtype=dtype)
    return pixels


@pytest.mark.parametrize(("function", "neutral", "other"), ALL, ids=[row[0].__name__ for row in ALL])
def test_neutral_changes_nothing_and_anything_else_does(
    function: Function, neutral: tuple[object, ...], other: tuple[object, ...]
) -> None:
    pixels = picture()
    assert torch.equal(function(pixels, *neutral), pixels)
    assert float((function(pixels, *other) - pixels).abs().max()) > 0.01


@pytest.mark.parametrize(("function", "neutral", "other"), ALL, ids=[row[0].__name__ for row in ALL])
def test_gradients_are_finite_and_right(
    function: Function, neutral: tuple[object, ...], other: tuple[object, ...]
) -> None:
    pixels = picture(torch.float64).requires_grad_()
    for given in (neutral, other):
        numbers = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in given]
        gradients = torch.autograd.grad(function(pixels, *numbers).sum(), [pixels, *numbers])
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    # Away from 0, where a power has a corner, against finite differences.
    inner = (
        torch.rand(3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.15
    ).requires_grad_()
    assert torch.autograd.gradcheck(function, (inner, *numbers))


@pytest.mark.parametrize("clamp", [False, True])
def test_cdl_is_opencolorios(clamp: bool) -> None:
    slope, offset, power, saturation = (1.2, 0.9, 1.05), (0.03, -0.05, 0.0), (1.1, 0.8, 1.3), 0.75
    transform = ocio.CDLTransform(slope=slope, offset=offset, power=power, sat=saturation)
    transform.setStyle(ocio.CDL_ASC if clamp else ocio.CDL_NO_CLAMP)
    processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    pixels = picture()
    data = np.ascontiguousarray(pixels.reshape(3, -1).T.numpy())
    processor.applyRGB(data)
    wanted = torch.from_numpy(data).T.reshape(pixels.shape)
    # OpenColorIO's power is an approximation, good to about 1e-5.
    assert float((grade.cdl(pixels, slope, offset, power, saturation, clamp) - wanted).abs().max()) < 3e-5


def test_super_whites_and_sub_blacks_survive() -> None:
    pixels = torch.tensor([-0.05, 0.5, 1.08]).view(3, 1, 1)
    result = grade.gamma(grade.contrast(grade.cdl(pixels, power=1.1), 1.1), 1.2).flatten()
    assert result[0] < 0 and result[2] > 1.08


def test_warmer_means_more_red_less_blue_and_white_keeps_its_luma() -> None:
    white = torch.ones(3, 1, 1)
    warm = grade.white_balance(white, 100.0).flatten()
    assert float(warm[0] / warm[2]) == pytest.approx(2.0, rel=1e-5)
    assert float(spaces.luma(warm.view(3, 1, 1))) == pytest.approx(1.0, abs=1e-6)
    magenta = grade.white_balance(white, 0.0, 50.0).flatten()
    assert magenta[1] < magenta[0] and float(magenta[0]) == pytest.approx(float(magenta[2]))


def test_hue_keeps_grays_and_luma_and_comes_round() -> None:
    pixels = picture()
    turned = grade.hue(pixels, 40.0)
    assert torch.allclose(spaces.luma(turned), spaces.luma(pixels), atol=1e-6)
    assert torch.allclose(turned[:, 0, :3], pixels[:, 0, :3], atol=1e-6)
    assert torch.allclose(grade.hue(pixels, 360.0), pixels, atol=1e-5)
    assert torch.allclose(grade.hue(turned, -40.0), pixels, atol=1e-5)


def test_contrast_leaves_its_pivot_and_gamma_leaves_black_and_white() -> None:
    assert float(grade.contrast(torch.full((3, 1, 1), 0.3), 1.7, 0.3)[0]) == pytest.approx(0.3)
    ends = torch.tensor([[0.0, 1.0]] * 3).view(3, 1, 2)
    assert torch.equal(grade.gamma(ends, 1.5), ends)
    assert float(grade.gamma(torch.full((3, 1, 1), 0.25), 2.0)[0]) == pytest.approx(0.5)


def test_one_stop_is_the_square_root_of_two_in_code_value() -> None:
    assert float(grade.exposure(torch.full((3, 1, 1), 0.5), 1.0)[0]) == pytest.approx(0.5 * 2**0.5)


def test_a_batch_has_its_own_numbers_per_picture_and_channel() -> None:
    batch = torch.stack([picture(), picture()])
    stops, slopes = torch.tensor([0.0, 1.0]), torch.tensor([[1.0, 1.0, 1.0], [0.5, 1.0, 2.0]])
    for result, single in (
        (grade.exposure(batch, stops), grade.exposure(picture(), 1.0)),
        (grade.hue(batch, stops * 30), grade.hue(picture(), 30.0)),
        (grade.white_balance(batch, stops * 30, stops * 5), grade.white_balance(picture(), 30.0, 5.0)),
        (grade.cdl(batch, slopes), grade.cdl(picture(), (0.5, 1.0, 2.0))),
    ):
        assert torch.equal(result[0], picture())
        assert torch.allclose(result[1], single, atol=1e-6)


def test_a_curve_goes_through_its_points_rises_and_is_straight_where_they_are() -> None:
    points = torch.tensor([0.0, 0.1, 0.4, 0.5, 1.0])
    ramp = torch.linspace(-0.2, 1.3, 1501).expand(3, 1, 1501)
    assert torch.allclose(grade.curve(ramp, points, points), ramp, atol=1e-6)
    outputs = torch.tensor([0.0, 0.02, 0.6, 0.61, 1.0])
    bent = grade.curve(ramp, points, outputs)
    assert bool((bent.diff(dim=2) >= -1e-6).all())
    at_points = grade.curve(points.expand(3, 1, 5), points, outputs)
    assert torch.allclose(at_points[0, 0], outputs, atol=1e-6)
    per_channel = grade.curve(ramp, points, torch.stack([points, outputs, points]))
    assert torch.allclose(per_channel[1], bent[1]) and torch.allclose(per_channel[0], ramp[0], atol=1e-6)


def test_a_curves_gradient_is_right() -> None:
    points = torch.tensor([0.0, 0.3, 0.6, 1.0], dtype=torch.float64)
    outputs = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=torch.float64, requires_grad=True)
    pixels = (torch.rand(3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, o: grade.curve(p, points, o), (pixels, outputs))
