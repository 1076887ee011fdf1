"""Neutral is exact, bounds hold, one value per picture of a batch."""

from __future__ import annotations

import pytest
import torch

from answerprint.color import values
from answerprint.color.values import CDL, CURVES, SEVEN, Values


@pytest.mark.parametrize("names", [SEVEN, CDL, CURVES, (*CDL, *CURVES)])
def test_zero_is_exactly_neutral(names: tuple[str, ...]) -> None:
    free = torch.zeros(sum(values.sizes(names).values()))
    assert values.to_values(values.bound(free, names)) == Values()
    pixels = torch.rand(3, 5, 7) * 1.4 - 0.2
    assert torch.allclose(values.apply(pixels, values.bound(free, names)), pixels, atol=1e-6)


@pytest.mark.parametrize("size", [-50.0, 50.0])
def test_nothing_leaves_its_bounds(size: float) -> None:
    names = (*SEVEN, *CDL[:3], *CURVES)
    bounds = values.to_values(values.bound(torch.full((sum(values.sizes(names).values()),), size), names))
    assert min(bounds.slope) > 1 / 4.001 and max(bounds.slope) <= 4
    assert 0 <= bounds.saturation <= 3
    for name in CURVES:
        points = torch.tensor(getattr(bounds, name))
        steep = points.diff() / torch.tensor(values.CURVE).diff()
        assert bool((steep > 0.33).all()) and bool((steep < 3.01).all()), "a curve must not fold or posterize"
    pixels = values.transform(bounds)(torch.rand(3, 4, 4))
    assert bool(torch.isfinite(pixels).all())


def test_one_value_per_picture_of_a_batch() -> None:
    names = (*SEVEN, "slope", "offset", "power", *CURVES)
    free = torch.randn(2, sum(values.sizes(names).values()), generator=torch.Generator().manual_seed(1)) * 0.3
    pixels = torch.rand(2, 3, 6, 8)
    together = values.apply(pixels, values.bound(free, names))
    for i in range(2):
        assert torch.allclose(together[i], values.apply(pixels[i], values.bound(free[i], names)), atol=1e-5)


def test_every_value_alone_is_neutral_at_zero_and_moves_the_picture_elsewhere() -> None:
    pixels = 0.2 + 0.6 * torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(2))
    for names in (*((name,) for name in values.NAMES if name not in CURVES), CURVES):
        free = torch.zeros(sum(values.sizes(names).values()))
        assert torch.allclose(values.apply(pixels, values.bound(free, names)), pixels, atol=1e-5), names
        assert not torch.allclose(values.apply(pixels, values.bound(free + 1, names)), pixels, atol=1e-3), names
