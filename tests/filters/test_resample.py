"""Resampling by spans: places, borders and brightness are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from answerprint.filters.resample import Axis, Span, resample


def bump(size: int, place: float, sigma: float = 2.5) -> torch.Tensor:
    """A smooth spot along an axis, centered at a place counted from the edge, (1, 8, size)."""
    x = torch.arange(size, dtype=torch.float64) + 0.5
    return torch.exp(-((x - place) ** 2) / (2 * sigma**2)).float().expand(1, 8, size).contiguous()


def center(line: torch.Tensor) -> float:
    x = torch.arange(len(line), dtype=torch.float64) + 0.5
    return float((line.double() * x).sum() / line.double().sum())


def same(size: int) -> Axis:
    return Axis(size, Span(0, size), size, Span(0, size))


@pytest.mark.parametrize(
    "axis",
    [
        Axis(120, Span(0, 120), 240, Span(0, 240)),
        Axis(120, Span(9, 102), 200, Span(30, 140)),
        Axis(120, Span(4.575, 110.85), 300, Span(20, 260)),
        Axis(240, Span(0, 240), 100, Span(0, 100)),
    ],
)
@pytest.mark.parametrize("place", [40.0, 57.3, 71.25])
def test_what_lay_at_a_place_lies_there(axis: Axis, place: float) -> None:
    result = resample(bump(axis.size, place), same(8), axis)
    right = (place - axis.source.start) * axis.target.length / axis.source.length + axis.target.start
    assert center(result[0, 4]) == pytest.approx(right, abs=0.01)


def test_flat_stays_flat_to_the_border_and_black_around_it() -> None:
    axis = Axis(50, Span(3.5, 40), 90, Span(10, 70))
    result = resample(torch.full((1, 50, 50), 0.6), axis, axis)
    assert torch.allclose(result[0, 10:80, 10:80], torch.tensor(0.6), atol=1e-6)
    assert not result[0, :10].any() and not result[0, 80:].any() and not result[0, :, 80:].any()


def test_what_is_cut_away_does_not_bleed_in() -> None:
    """Blanking beside the active picture is black, and its border pixels must not darken."""
    line = torch.full((1, 8, 720), 0.5)
    line[..., :9], line[..., 711:] = 0.0, 0.0
    result = resample(line, same(8), Axis(720, Span(9, 702), 1440, Span(0, 1440)))
    assert torch.allclose(result, torch.tensor(0.5), atol=1e-6)


def test_detail_too_fine_for_a_smaller_picture_goes() -> None:
    stripes = torch.from_numpy(np.tile(np.float32([0, 1]), 100)).expand(1, 8, 200).contiguous()
    result = resample(stripes, same(8), Axis(200, Span(0, 200), 50, Span(0, 50)))
    assert float((result[..., 5:-5] - 0.5).abs().max()) < 0.03


def test_the_size_it_has_is_left_as_it_is() -> None:
    picture = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(resample(picture, same(20), same(30)), picture, atol=1e-6)
