"""Scores against other people's implementations and against what is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from answerprint.metrics import quality


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    card = torch.rand(1, 3, 8, 10, generator=generator)
    picture = torch.nn.functional.interpolate(card, size=(64, 80), mode="bicubic")[0].clamp(0, 1)
    return picture, picture + 0.05 * torch.randn(picture.shape, generator=generator)


def test_psnr_and_mean_absolute_error_of_a_known_offset() -> None:
    picture = torch.full((3, 8, 8), 0.5)
    assert quality.psnr(picture + 0.1, picture) == pytest.approx(20, abs=1e-4)
    assert quality.mean_absolute_error(picture + 0.1, picture) == pytest.approx(0.1, abs=1e-6)
    assert quality.psnr(picture, picture) == math.inf


def test_ssim_equals_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    skimage_metrics = pytest.importorskip("skimage.metrics")
    expected = skimage_metrics.structural_similarity(
        pair[1].double().numpy(), pair[0].double().numpy(), channel_axis=0, data_range=1,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert quality.ssim(pair[1], pair[0]) == pytest.approx(expected, abs=1e-6)
    assert quality.ssim(pair[0], pair[0]) == pytest.approx(1)


def test_delta_e_of_gray_steps() -> None:
    """Two grays differ in lightness alone: black and white by 100."""
    black, white = torch.zeros(3, 4, 4), torch.ones(3, 4, 4)
    found = quality.delta_e(white, black)
    assert found.mean == pytest.approx(100, abs=0.1)
    assert found.median == pytest.approx(found.largest) == pytest.approx(found.percentile_95)
    assert quality.delta_e(white, white).largest == pytest.approx(0, abs=1e-3)


def test_colorfulness() -> None:
    gray = torch.linspace(0, 1, 100).repeat(3, 10, 1)
    assert quality.colorfulness(gray) == pytest.approx(0, abs=1e-6)
    halves = torch.zeros(3, 10, 10)
    halves[0, :, :5], halves[1, :, 5:] = 1, 1
    # red - green is +255 and -255; (red + green) / 2 - blue is 127.5 everywhere.
    assert quality.colorfulness(halves) == pytest.approx(255 + 0.3 * 127.5)


def test_a_broken_frame_does_not_look_well(pair: tuple[Tensor, Tensor]) -> None:
    broken = pair[1].clone()
    broken[0, 30, 30] = torch.nan
    assert math.isnan(quality.psnr(broken, pair[0]))
    assert math.isnan(quality.ssim(broken, pair[0]))
    assert math.isnan(quality.mean_absolute_error(broken, pair[0]))
    assert math.isnan(quality.delta_e(broken, pair[0]).mean)


def test_refuses_pictures_of_different_shapes() -> None:
    with pytest.raises(ValueError, match="one shape"):
        quality.psnr(torch.zeros(3, 4, 4), torch.zeros(3, 4, 5))
    with pytest.raises(ValueError, match="11 pixels"):
        quality.ssim(torch.zeros(3, 10, 20), torch.zeros(3, 10, 20))
