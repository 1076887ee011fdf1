"""Combs that are seen where things move, and the noise they are seen in."""

from __future__ import annotations

import pytest
import torch

from answerprint.fields import combs, weave
from pictures import bars


def test_combs_are_seen_where_things_move_and_fine_still_lines_are_not_combs() -> None:
    one, two = bars(0, 0.3)[0], bars(9, 0.3)[0]
    assert combs.is_combed(weave.weave(one, two), [one, two])
    assert not combs.is_combed(one, [two])
    stripes = torch.zeros(64, 64)
    stripes[::2] = 1.0
    assert not combs.is_combed(stripes, [stripes, stripes])


def test_noise_level_is_measured_on_still_and_moving_pictures() -> None:
    generator = torch.Generator().manual_seed(3)
    for second in (bars(0, 0.3)[0], bars(11, 0.3)[0]):
        noisy = [part + 0.02 * torch.randn(part.shape, generator=generator) for part in (bars(0, 0.3)[0], second)]
        assert combs.noise_level(*noisy) == pytest.approx(0.02, rel=0.25)
    assert combs.noise_level(bars(0, 0.3)[0], bars(11, 0.3)[0]) < 0.002
