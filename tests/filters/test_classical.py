"""Filters against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from answerprint.filters import classical


@pytest.fixture
def picture() -> Tensor:
    return torch.rand(3, 50, 71, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.1


@pytest.mark.parametrize("radius", [1, 2, 3, 6])
def test_median_is_the_median(picture: Tensor, radius: int) -> None:
    inside = (slice(None), slice(radius, -radius), slice(radius, -radius))
    expected = np.stack([ndimage.median_filter(plane, 2 * radius + 1) for plane in picture.numpy()])
    # Above radius 2 half a step of 16 bits over the range is allowed.
    tolerance = 0 if radius <= 2 else 1.4 / 65535
    assert np.abs(classical.median(picture, radius).numpy() - expected)[inside].max() <= tolerance


def test_large_median_of_one_value() -> None:
    torch.testing.assert_close(classical.median(torch.full((1, 9, 9), 1.25), 4), torch.full((1, 9, 9), 1.25))


def test_gaussian_keeps_the_mean_and_spreads_a_point() -> None:
    point = torch.zeros(1, 61, 61)
    point[0, 30, 30] = 1
    blurred = classical.gaussian(point, 3.0)
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)
    x = torch.arange(61.0) - 30
    assert float((blurred[0].sum(0) * x**2).sum().sqrt()) == pytest.approx(3, abs=0.02)
    assert torch.equal(classical.gaussian(point, 0), point)


def test_guided_filter_keeps_an_edge_and_smooths_below_it() -> None:
    noise = torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(2)) * 0.02
    step = torch.zeros(1, 40, 40)
    step[:, :, 20:] = 1
    result = classical.guided(step + noise, step + noise, 4, 0.05**2)
    assert float(result[0, :, 5:15].std()) < 0.3 * float(noise.std())
    assert float(result[0, :, 20].mean() - result[0, :, 19].mean()) > 0.95


def test_guided_filter_follows_its_definition(picture: Tensor) -> None:
    """A window by hand (He, Sun and Tang 2010, equations 5, 6 and 8)."""
    radius, epsilon, y, x = 2, 0.03, 20, 30

    def line(cy: int, cx: int) -> tuple[float, float]:
        guide = picture[0, cy - 2 : cy + 3, cx - 2 : cx + 3].double()
        image = picture[1, cy - 2 : cy + 3, cx - 2 : cx + 3].double()
        a = ((guide * image).mean() - guide.mean() * image.mean()) / (guide.var(correction=0) + epsilon)
        return float(a), float(image.mean() - a * guide.mean())

    lines = [line(cy, cx) for cy in range(y - 2, y + 3) for cx in range(x - 2, x + 3)]
    expected = np.mean([a for a, _ in lines]) * float(picture[0, y, x]) + np.mean([b for _, b in lines])
    result = classical.guided(picture[1:2], picture[:1], radius, epsilon)
    assert float(result[0, y, x]) == pytest.approx(expected, abs=1e-5)


def test_bilateral_keeps_a_step_that_a_gaussian_loses() -> None:
    step = torch.zeros(3, 30, 30)
    step[:, :, 15:] = 1.2
    result = classical.bilateral(step, 4, 3.0, 0.1)
    torch.testing.assert_close(result, step, atol=1e-4, rtol=0)
    assert float((classical.gaussian(step, 3.0) - step).abs().max()) > 0.3


def test_local_deviation(picture: Tensor) -> None:
    result = classical.local_deviation(picture + 100, 3)
    expected = (picture + 100)[2, 10:17, 20:27].std(correction=0)
    assert float(result[2, 13, 23]) == pytest.approx(float(expected), abs=1e-4)


def test_laplacian_is_the_second_derivative() -> None:
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    bowl = (x**2 + y**2)[None]
    torch.testing.assert_close(classical.laplacian(bowl)[:, 1:-1, 1:-1], torch.full((1, 10, 10), 4.0))
    torch.testing.assert_close(classical.laplacian((3 * x - y)[None])[:, 1:-1, 1:-1], torch.zeros(1, 10, 10))
