"""Tone mappings made from histograms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from answerprint.filters import histogram


def test_equalizing_makes_values_uniform() -> None:
    dark = torch.rand(200, 300, generator=torch.Generator().manual_seed(1)) ** 2
    even = histogram.apply_curve(dark, histogram.equalizing_curve([dark], points=257))
    counts = torch.histc(even, 10, 0, 1) / even.numel()
    assert float((counts - 0.1).abs().max()) < 0.03


def test_curve_rises_from_0_to_1() -> None:
    curve = histogram.equalizing_curve([torch.rand(1000) * 0.2 + 0.4, torch.rand(50)])
    assert curve[0] == 0 and curve[-1] == 1 and curve == sorted(curve)


@pytest.mark.parametrize("plane", [torch.full((9, 9), 0.3), torch.full((3, 3), torch.nan), torch.zeros(0)])
def test_nothing_to_spread_changes_nothing(plane: torch.Tensor) -> None:
    curve = histogram.equalizing_curve([plane])
    values = torch.tensor([0.0, 0.3, 1.0])
    torch.testing.assert_close(histogram.apply_curve(values, curve), values)


def test_beyond_the_range_the_distance_is_kept() -> None:
    curve = [0.0, 0.8, 1.0]
    values = torch.tensor([-0.1, 0.25, 0.5, 1.0, 1.3])
    torch.testing.assert_close(histogram.apply_curve(values, curve), torch.tensor([-0.1, 0.4, 0.8, 1.0, 1.3]))


def test_clahe_raises_contrast_without_steps() -> None:
    ramp = torch.linspace(0.4, 0.6, 512).repeat(128, 1)
    result = histogram.clahe(ramp, 4.0, 2)
    assert float(result.std()) > 1.5 * float(ramp.std())
    assert result[64].unique().numel() == 512
    assert float(result[64].diff().abs().max()) < 10 * 0.2 / 511


def test_clahe_is_what_opencv_does_at_8_bits() -> None:
    card = torch.rand(1, 1, 12, 16, generator=torch.Generator().manual_seed(1))
    plane = torch.nn.functional.interpolate(card, size=(192, 256), mode="bicubic")[0, 0].clamp(0, 1) * 0.5 + 0.2
    plane = (plane * 255).round() / 255
    expected = cv2.createCLAHE(3.0, (4, 4)).apply((plane * 255).byte().numpy()) / 255
    # A step of 8 bits, and the value of a step taken at its middle there and at its edge here.
    assert np.abs(histogram.clahe(plane, 3.0, 4).numpy() - expected).mean() < 0.012


def test_clahe_at_its_least_changes_next_to_nothing() -> None:
    plane = torch.rand(64, 64, generator=torch.Generator().manual_seed(2))
    assert float((histogram.clahe(plane, 1.0, 4) - plane).abs().mean()) < 0.03


def test_clahe_carries_super_whites_along() -> None:
    plane = torch.linspace(0, 1, 64).repeat(64, 1)
    plane[:8] += 1
    result = histogram.clahe(plane, 2.0, 2)
    torch.testing.assert_close(result[:8, 1:] - 1, (plane[:8, 1:] - 1), atol=0.01, rtol=0)
