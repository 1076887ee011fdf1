"""Distances between the colors of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from answerprint.color import spaces, style
from answerprint.metrics import quality


def _cloud(seed: int, count: int = 2000) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) * 10


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection() -> None:
    first = _cloud(1)
    assert float(style.sliced_wasserstein(first, first)) < 1e-3
    shift = torch.tensor([6.0, 0.0, 0.0])
    along = style.directions(64)
    wanted = (along @ shift).square().mean().sqrt()
    assert float(style.sliced_wasserstein(first, first + shift)) == pytest.approx(float(wanted), rel=1e-3)
    assert float(style.sliced_wasserstein(first, first + shift, power=1)) == pytest.approx(
        float((along @ shift).abs().mean()), rel=1e-3
    )


def test_sets_of_different_size_are_compared_by_quantiles() -> None:
    cloud = _cloud(2, 6000)
    assert float(style.sliced_wasserstein(cloud, cloud[:1500])) < 1.0


def test_structure_is_the_ssim_of_the_metrics() -> None:
    picture = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(3))
    other = (picture * 0.7 + 0.1).clamp(0, 1)
    a, b = spaces.luma(picture), spaces.luma(other)
    assert float(style.structure(a[None], b[None])) == pytest.approx(quality.ssim(a, b), abs=1e-5)


def test_structure_of_a_tiny_picture() -> None:
    tiny = torch.rand(1, 1, 2, 3)
    assert float(style.structure(tiny, tiny)) == pytest.approx(1.0)


def test_histogram_counts_every_pixel_and_has_a_gradient() -> None:
    picture = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(4)).requires_grad_()
    counts = style.histogram(picture, 16)
    assert torch.allclose(counts.sum(2), torch.full((2, 3), 72.0))
    (counts * torch.arange(16)).sum().backward()
    assert bool((picture.grad != 0).all())


def test_histogram_loss_is_zero_for_equal_pictures_and_falls_on_the_way() -> None:
    reference = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    dark = reference * 0.5
    losses = [float(style.histogram_loss(dark + (reference - dark) * way, reference)) for way in (0.0, 0.5, 1.0)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] == pytest.approx(0.0, abs=1e-3)


def test_style_and_content_losses_are_zero_where_features_agree() -> None:
    features = [torch.rand(1, 4, 8, 8), torch.rand(1, 8, 4, 4)]
    assert float(style.style_loss(features, features)) < 1e-4
    assert float(style.content_loss(features, features)) < 1e-4
    assert float(style.style_loss(features, [f + 1 for f in features])) == pytest.approx(2.0, rel=1e-2)


def test_medoids_stand_for_their_groups() -> None:
    generator = np.random.default_rng(0)
    groups = [np.eye(12)[kind] * 100 + generator.random(12) for kind in (0, 0, 0, 4, 4, 9, 9, 9)]
    found = style.medoids(torch.from_numpy(np.stack(groups)), 3)
    assert [(0, 0, 0, 1, 1, 2, 2, 2)[i] for i in found] == [0, 1, 2]
    assert style.medoids(torch.from_numpy(np.stack(groups)), 20) == list(range(8))


def test_matched_error_finds_the_partners() -> None:
    lab = torch.rand(50, 3) * 60 + 20
    assert style.matched_error(lab, lab[torch.randperm(50)], count=50) == pytest.approx(0.0, abs=1e-3)
