"""Collaborative filtering: what repeats comes out of noise and of a pilot that has lost it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from answerprint.metrics.quality import psnr
from answerprint.noise import blocks, synth
from answerprint.train import degrade

SIGMA = 25 / 255


def cloth(height: int = 96, width: int = 112) -> torch.Tensor:
    """A weave of threads, each color with its own contrast, brighter to the right."""
    y, x = torch.meshgrid(torch.arange(height) * 1.0, torch.arange(width) * 1.0, indexing="ij")
    threads = torch.sin(x * 1.1) * torch.sin(y * 0.9)
    return torch.stack([0.3 + 0.3 * x / width + contrast * threads for contrast in (0.12, 0.08, 0.05)])


def blurred(picture: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(picture[None], 3, 1, 1, count_include_pad=False)[0]


def test_a_weave_that_the_pilot_has_half_lost_comes_back() -> None:
    clean = cloth()
    noisy = degrade.gaussian(clean, SIGMA, np.random.default_rng(1))
    pilot = blurred(blurred(noisy))
    made = blocks.filter_stacks(noisy, pilot, torch.full_like(noisy, SIGMA))
    assert psnr(made, clean) > psnr(pilot, clean) + 1.5
    assert psnr(made, clean) > psnr(noisy, clean) + 6


def test_where_there_is_no_noise_the_picture_stays() -> None:
    clean = cloth()
    made = blocks.filter_stacks(clean, blurred(clean), torch.zeros_like(clean))
    assert (made - clean).abs().max() < 1e-3


def test_noise_is_taken_where_it_is_told_to_be() -> None:
    clean = cloth()
    sigma = torch.full_like(clean, 0.002)
    sigma[..., 60:] = SIGMA
    noisy = degrade.gaussian(clean, 1.0, np.random.default_rng(2)).sub(clean) * sigma + clean
    made = blocks.filter_stacks(noisy, clean, sigma)
    assert (made - noisy)[..., :44].abs().mean() < 0.002
    assert psnr(made[..., 68:], clean[..., 68:]) > psnr(noisy[..., 68:], clean[..., 68:]) + 6


def test_grain_goes_better_when_its_reach_is_told() -> None:
    clean = cloth()
    noisy = clean + SIGMA * synth.correlated(clean.shape, 1.0, np.random.default_rng(3))
    sigma, pilot = torch.full_like(clean, SIGMA), clean.lerp(blurred(clean), 0.5)
    told, untold = (blocks.filter_stacks(noisy, pilot, sigma, reach) for reach in (1.0, 0.0))
    assert psnr(told, clean) > psnr(untold, clean) + 0.5


@pytest.mark.parametrize("size", [(32, 33), (41, 130)])
def test_any_size_gives_the_same_in_one_piece_as_in_tiles(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = cloth(*size)
    noisy = degrade.gaussian(clean, SIGMA, np.random.default_rng(4))
    sigma = torch.full_like(clean, SIGMA)
    whole = blocks.filter_stacks(noisy, blurred(noisy), sigma)
    monkeypatch.setattr(blocks, "TILE", 40)
    assert whole.shape == clean.shape
    assert torch.allclose(blocks.filter_stacks(noisy, blurred(noisy), sigma), whole, atol=1e-4)
