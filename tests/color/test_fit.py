"""A grade that is known is found again; bounds hold; neutral is exact."""

from __future__ import annotations

from dataclasses import fields
from functools import cache

import pytest
import torch

from answerprint.color import fit, style
from answerprint.color.fit import CDL, CURVES, SEVEN, Values

EXTENDED = fit.Plan((("CDL", CDL), ("curve", CURVES)), iterations=200)


def _colors(count: int = 1200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    # Like a picture: a gray axis with colors around it.
    gray = torch.rand(count, 1, generator=generator) * 0.9 + 0.05
    return (gray + torch.randn(count, 3, generator=generator) * 0.12).clamp(0.01, 0.99)


def _pairs(values: Values) -> fit.Pairs:
    colors = _colors()
    return fit.Pairs(colors, style.to_lab(fit.graded(values)(colors.T[:, None])[:, 0].T.clamp(0, 1)))


@pytest.mark.parametrize("names", [SEVEN, CDL, CURVES, (*CDL, *CURVES)])
def test_zero_is_exactly_neutral(names: tuple[str, ...]) -> None:
    free = torch.zeros(sum(fit.sizes(names).values()))
    assert fit.plain(fit.bounded(free, names)) == Values()
    pixels = torch.rand(3, 5, 7) * 1.4 - 0.2
    assert torch.allclose(fit.apply(pixels, fit.bounded(free, names)), pixels, atol=1e-6)


@pytest.mark.parametrize("size", [-50.0, 50.0])
def test_nothing_leaves_its_bounds(size: float) -> None:
    names = (*SEVEN, *CDL[:3], *CURVES)
    values = fit.plain(fit.bounded(torch.full((sum(fit.sizes(names).values()),), size), names))
    assert min(values.slope) > 1 / 4.001 and max(values.slope) <= 4
    assert 0 <= values.saturation <= 3
    for name in CURVES:
        points = torch.tensor(getattr(values, name))
        steep = points.diff() / torch.tensor(fit.CURVE).diff()
        assert bool((steep > 0.33).all()) and bool((steep < 3.01).all()), "a curve must not fold or posterize"
    pixels = fit.graded(values)(torch.rand(3, 4, 4))
    assert bool(torch.isfinite(pixels).all())


def test_one_value_per_picture_of_a_batch() -> None:
    names = (*SEVEN, "slope", "offset", "power", *CURVES)
    free = torch.randn(2, sum(fit.sizes(names).values()), generator=torch.Generator().manual_seed(1)) * 0.3
    pixels = torch.rand(2, 3, 6, 8)
    together = fit.apply(pixels, fit.bounded(free, names))
    for i in range(2):
        assert torch.allclose(together[i], fit.apply(pixels[i], fit.bounded(free[i], names)), atol=1e-5)


def test_a_known_cdl_is_found_again() -> None:
    wanted = Values(slope=(1.2, 1.0, 0.85), offset=(0.02, -0.01, 0.03), power=(1.1, 0.95, 1.0), saturation=0.8)
    found = fit.fit(_pairs(wanted), fit.Plan((("CDL", CDL),), iterations=300))
    assert found.after < 0.6 < 4 < found.before
    assert found.values.slope == pytest.approx(wanted.slope, abs=0.08)
    assert found.values.saturation == pytest.approx(0.8, abs=0.05)


def test_stages_tell_their_share() -> None:
    wanted = Values(slope=(1.3, 1.1, 0.9), curve_red=(0.0, 0.05, 0.17, 0.5, 0.83, 0.95, 1.0))
    found = fit.fit(_pairs(wanted), EXTENDED)
    assert sum(found.shares.values()) == pytest.approx(1.0, abs=1e-3)
    assert found.shares["CDL"] > found.shares["curve"] > 0
    alone = fit.fit(_pairs(wanted), fit.Plan((("CDL", CDL),), iterations=200))
    assert found.values.slope == alone.values.slope, "later stages must leave the CDL as it is"


def test_the_residual_lut_reaches_what_curves_cannot() -> None:
    colors = _colors()
    red, green, blue = colors.unbind(1)
    crossed = torch.stack([red + 0.15 * green * (1 - blue), green, blue - 0.12 * red * blue], 1).clamp(0, 1)
    pairs = fit.Pairs(colors, style.to_lab(crossed))
    without = fit.fit(pairs, EXTENDED)
    with_lut = fit.fit(pairs, fit.Plan(EXTENDED.stages, 100, lut=5))
    assert with_lut.residual is not None
    assert with_lut.after < 0.8 * without.after
    assert with_lut.shares["LUT"] > 0


def test_a_residual_of_zero_is_the_identity_even_beyond_white() -> None:
    cube = fit.residual_cube(torch.zeros(5, 5, 5, 3))
    pixels = torch.rand(3, 9, 9) * 1.3 - 0.15
    assert torch.allclose(cube.apply(pixels), pixels, atol=1e-6)


def test_every_value_has_its_bounds() -> None:
    for entry in fields(Values):
        fit.bounded(torch.zeros(sum(fit.sizes((entry.name,)).values())), (entry.name,))


def _dark_grain() -> tuple[torch.Tensor, torch.Tensor]:
    """Colors, and twins that differ in the darks only."""
    generator = torch.Generator().manual_seed(4)
    colors = (torch.rand(2000, 1, generator=generator) ** 2 + torch.randn(2000, 3, generator=generator) * 0.04).clamp(
        0, 1
    )
    dark = colors[colors.mean(1) < 0.2]
    return colors, torch.stack([dark, (dark + torch.randn(dark.shape, generator=generator) * 0.015).clamp(0, 1)])


@cache
def _opened(steadiness: float, with_twins: bool = True) -> tuple[fit.Style, fit.Fitted]:
    """A look whose darks lie far higher."""
    colors, twins = _dark_grain()
    wanted = style.to_lab((colors**0.45 * 0.9).clamp(0, 1))
    picture = colors[:1200].T.reshape(1, 3, 30, 40)
    objective = fit.Style.of(
        colors, wanted, [picture], structure=0, twins=[twins] if with_twins else (), steadiness=steadiness
    )
    return objective, fit.fit(objective, EXTENDED)


def test_flicker_is_lifted_no_more_than_contrast() -> None:
    measure, free = _opened(0)
    colors, twins = _dark_grain()
    measure = fit.Style.of(colors, measure.wanted, measure.pictures, 0, twins=[twins])
    assert measure.lifted(fit.graded(free.values)) > 1.2, "otherwise this test shows nothing"
    for steadiness in (1.0, 1.25):
        held = _opened(steadiness)[1]
        assert measure.lifted(fit.graded(held.values)) < 1.01 / steadiness
        assert free.after < held.after < 0.8 * held.before, "it must still be a look"


def test_without_twins_and_where_nothing_flickers_steadiness_asks_for_nothing() -> None:
    colors, twins = _dark_grain()
    free = _opened(0)[1]
    assert _opened(1, with_twins=False)[1].values == free.values
    asked = _opened(0)[0]
    still = fit.Style.of(colors, asked.wanted, asked.pictures, 0, twins=[twins[:1].repeat(2, 1, 1)])
    assert still.lifted(fit.graded(free.values)) == 1
    assert torch.equal(still.loss(fit.graded(free.values)), asked.loss(fit.graded(free.values)))
