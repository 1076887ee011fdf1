"""A look raises flicker and grain no more than contrast."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from answerprint.color import solve, style, values
from answerprint.color.objective import ShotSamples, StyleObjective
from answerprint.color.values import CDL, CURVES

EXTENDED = solve.Plan((("CDL", CDL), ("curve", CURVES)), iterations=200)


def _dark_grain() -> tuple[torch.Tensor, torch.Tensor]:
    """Colors, and twins that differ in the darks only."""
    generator = torch.Generator().manual_seed(4)
    colors = (torch.rand(2000, 1, generator=generator) ** 2 + torch.randn(2000, 3, generator=generator) * 0.04).clamp(
        0, 1
    )
    dark = colors[colors.mean(1) < 0.2]
    return colors, torch.stack([dark, (dark + torch.randn(dark.shape, generator=generator) * 0.015).clamp(0, 1)])


@cache
def _opened(steadiness: float, with_twins: bool = True) -> tuple[StyleObjective, solve.Solution]:
    """A look whose darks lie far higher."""
    colors, twins = _dark_grain()
    wanted = style.to_lab((colors**0.45 * 0.9).clamp(0, 1))
    picture = colors[:1200].T.reshape(1, 3, 30, 40)
    samples = ShotSamples(colors, (picture,), (twins,) if with_twins else ())
    objective = StyleObjective.of(samples, wanted, structure=0, steadiness=steadiness)
    return objective, solve.fit(objective, EXTENDED)


def test_flicker_is_lifted_no_more_than_contrast() -> None:
    measure, free = _opened(0)
    _, twins = _dark_grain()
    measure = StyleObjective.of(replace(measure.samples, twins=(twins,)), measure.reference, 0)
    assert measure.noise_gain(values.transform(free.values)) > 1.2, "otherwise this test shows nothing"
    for steadiness in (1.0, 1.25):
        held = _opened(steadiness)[1]
        assert measure.noise_gain(values.transform(held.values)) < 1.01 / steadiness
        assert free.after < held.after < 0.8 * held.before, "it must still be a look"


def test_without_twins_and_where_nothing_flickers_steadiness_asks_for_nothing() -> None:
    _, twins = _dark_grain()
    free = _opened(0)[1]
    assert _opened(1, with_twins=False)[1].values == free.values
    asked = _opened(0)[0]
    still = StyleObjective.of(replace(asked.samples, twins=(twins[:1].repeat(2, 1, 1),)), asked.reference, 0)
    assert still.noise_gain(values.transform(free.values)) == 1
    assert torch.equal(still.loss(values.transform(free.values)), asked.loss(values.transform(free.values)))
