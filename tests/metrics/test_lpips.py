"""LPIPS: zero for equal pictures, more for more; weights are read by name and refused where they are others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from answerprint.errors import WeightsError
from answerprint.metrics import lpips


def written(folder: Path) -> Path:
    """Weights of the right form, drawn at random."""
    generator, metric = torch.Generator().manual_seed(0), lpips.Lpips()
    network, weighting = {}, {}
    for layer, convolution in zip(lpips._LAYERS, metric.convolutions, strict=True):
        weight = torch.randn(convolution.weight.shape, generator=generator) / (9 * convolution.in_channels) ** 0.5
        network |= {f"features.{layer}.weight": weight, f"features.{layer}.bias": torch.zeros(weight.shape[0])}
    for index, weight in enumerate(metric.weights):
        weighting[f"lin{index}.model.1.weight"] = torch.rand(weight.shape, generator=generator)
    folder.mkdir(exist_ok=True)
    torch.save(network, folder / "vgg16-random.pth")
    torch.save(weighting, folder / "vgg.pth")
    return folder


def test_equal_is_zero_and_more_is_more(tmp_path: Path) -> None:
    metric, picture = lpips.load(written(tmp_path / "w")), torch.rand(1, 3, 40, 56)
    assert float(metric(picture, picture).abs().max()) == 0
    little, much = (metric(picture, picture + amount * torch.randn_like(picture)) for amount in (0.02, 0.2))
    assert little.shape == (1, 1, 40, 56)
    assert 0 < float(little.mean()) < float(much.mean())


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="vgg16"):
        lpips.load(tmp_path)
    folder = written(tmp_path / "w")
    torch.save({}, folder / "vgg.pth")
    with pytest.raises(WeightsError, match="lin0"):
        lpips.load(folder)
