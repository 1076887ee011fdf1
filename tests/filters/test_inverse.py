"""The exact inverse of blur and decimation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from answerprint.filters import inverse
from answerprint.filters.inverse import Blur

BLURS = [Blur(2, 0.8, 1.6), Blur(3, 1.5, 1.5), Blur(4, 1.8, 3.2)]


def picture(height: int = 96, width: int = 144) -> torch.Tensor:
    """Smooth detail of many sizes and a few edges, (1, 3, H, W)."""
    rng = np.random.default_rng(5)
    generator = torch.from_numpy(rng.random((1, 3, height // 8, width // 8), np.float32))
    smooth = torch.nn.functional.interpolate(generator, size=(height, width), mode="bicubic", align_corners=False)
    smooth[..., height // 3 : height // 2, width // 4 :] *= 0.3
    return smooth.clamp(0, 1)


def decibels(result: torch.Tensor, truth: torch.Tensor) -> float:
    return -10 * float(torch.log10((result - truth)[..., 8:-8, 8:-8].square().mean()))


@pytest.mark.parametrize("blur", BLURS, ids=str)
def test_what_is_made_smaller_again_is_the_source(blur: Blur) -> None:
    low = inverse.lower(picture(), blur)
    guess = inverse.cubic(low, blur.scale)
    result = inverse.consistent(guess, low, blur, 1e-4)
    before, after = ((inverse.lower(each, blur) - low)[..., 8:-8, 8:-8].abs().max() for each in (guess, result))
    assert after < 0.03 * before


@pytest.mark.parametrize("blur", BLURS, ids=str)
def test_it_is_nearer_to_the_truth_than_bicubic(blur: Blur) -> None:
    truth = picture()
    low = inverse.lower(truth, blur)
    guess = inverse.cubic(low, blur.scale)
    result = inverse.consistent(guess, low, blur, inverse.alpha_of(0, blur.scale))
    assert decibels(result, truth) > decibels(guess, truth) + 1


@pytest.mark.parametrize("blur", BLURS, ids=str)
def test_one_pass_is_both(blur: Blur) -> None:
    low, alpha = inverse.lower(picture(), blur), inverse.alpha_of(0.002, blur.scale)
    right = inverse.consistent(inverse.cubic(low, blur.scale), low, blur, alpha)
    assert torch.allclose(inverse.enlarge(low, blur, alpha), right, atol=2e-3)


def test_half_precision_around_it_changes_nothing() -> None:
    """Networks run in bf16 beside it; what is exact stays exact."""
    low = inverse.lower(picture(), BLURS[0])
    with torch.autocast("cpu", torch.bfloat16):
        half = inverse.enlarge(low, BLURS[0], 1e-3)
    assert torch.equal(half, inverse.enlarge(low, BLURS[0], 1e-3))


@pytest.mark.parametrize("blur", BLURS, ids=str)
def test_nothing_is_moved(blur: Blur) -> None:
    """A smooth spot lies where it lay, in the small picture and in the large one made of it."""
    y, x = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(144) + 0.5, indexing="ij")
    spot = torch.exp(-((x - 70.3) ** 2 + (y - 41.8) ** 2) / 200)[None, None]
    low = inverse.lower(spot, blur)
    large = inverse.consistent(inverse.cubic(low, blur.scale), low, blur, 1e-3)
    for plane, scale in ((low, blur.scale), (large, 1)):
        rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in plane.shape[-2:]), indexing="ij")
        center = [float((plane[0, 0] * each).sum() / plane.sum()) * scale for each in (columns, rows)]
        assert center == pytest.approx([70.3, 41.8], abs=0.02)


def test_flat_pictures_stay_flat_to_the_border() -> None:
    flat = torch.full((1, 3, 20, 30), 0.7)
    blur = Blur(2, 1.2, 1.2)
    assert torch.allclose(inverse.lower(flat, blur), torch.full((1, 3, 10, 15), 0.7), atol=1e-5)
    assert torch.allclose(inverse.consistent(inverse.cubic(flat, 2), flat, blur, 1e-3), torch.tensor(0.7), atol=1e-4)


def test_noise_is_not_made_large() -> None:
    """Told of it, the inverse leaves what noise hides; not told, it makes noise many times as large."""
    truth, blur = picture(), Blur(2, 1.6, 1.6)
    noisy = inverse.lower(truth, blur)
    noisy = noisy + torch.from_numpy(np.random.default_rng(1).standard_normal(noisy.shape, np.float32)) * 0.03
    guess = inverse.cubic(noisy, 2)
    known, ignored = (
        decibels(inverse.consistent(guess, noisy, blur, inverse.alpha_of(sigma, 2)), truth) for sigma in (0.03, 0.0)
    )
    assert known > ignored + 6
