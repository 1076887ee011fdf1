"""A known grade is recovered; stages report their share."""

from __future__ import annotations

import pytest
import torch

from answerprint.color import solve, style, values
from answerprint.color.objective import PairsObjective
from answerprint.color.values import CDL, CURVES, Values

EXTENDED = solve.Plan((("CDL", CDL), ("curve", CURVES)), iterations=200)


def _colors(count: int = 1200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    # Like a picture: a gray axis with colors around it.
    gray = torch.rand(count, 1, generator=generator) * 0.9 + 0.05
    return (gray + torch.randn(count, 3, generator=generator) * 0.12).clamp(0.01, 0.99)


def _pairs(grade: Values) -> PairsObjective:
    colors = _colors()
    return PairsObjective(colors, style.to_lab(values.transform(grade)(colors.T[:, None])[:, 0].T.clamp(0, 1)))


def test_a_known_cdl_is_found_again() -> None:
    wanted = Values(slope=(1.2, 1.0, 0.85), offset=(0.02, -0.01, 0.03), power=(1.1, 0.95, 1.0), saturation=0.8)
    found = solve.fit(_pairs(wanted), solve.Plan((("CDL", CDL),), iterations=300))
    assert found.after < 0.6 < 4 < found.before
    assert found.values.slope == pytest.approx(wanted.slope, abs=0.08)
    assert found.values.saturation == pytest.approx(0.8, abs=0.05)


def test_stages_tell_their_share() -> None:
    wanted = Values(slope=(1.3, 1.1, 0.9), curve_red=(0.0, 0.05, 0.17, 0.5, 0.83, 0.95, 1.0))
    found = solve.fit(_pairs(wanted), EXTENDED)
    assert sum(found.shares.values()) == pytest.approx(1.0, abs=1e-3)
    assert found.shares["CDL"] > found.shares["curve"] > 0
    alone = solve.fit(_pairs(wanted), solve.Plan((("CDL", CDL),), iterations=200))
    assert found.values.slope == alone.values.slope, "later stages must leave the CDL as it is"


def test_the_residual_lut_reaches_what_curves_cannot() -> None:
    colors = _colors()
    red, green, blue = colors.unbind(1)
    crossed = torch.stack([red + 0.15 * green * (1 - blue), green, blue - 0.12 * red * blue], 1).clamp(0, 1)
    pairs = PairsObjective(colors, style.to_lab(crossed))
    without = solve.fit(pairs, EXTENDED)
    with_lut = solve.fit(pairs, solve.Plan(EXTENDED.stages, 100, lut=5))
    assert with_lut.residual is not None
    assert with_lut.after < 0.8 * without.after
    assert with_lut.shares["LUT"] > 0
