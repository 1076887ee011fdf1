"""LPIPS: how different two pictures look to people, by features of VGG-16 (Zhang et al. 2018), with a user's weights.

"The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018), version 0.1, network vgg. Neither
the network nor its weighting ships here: both files are under their own licences. Put torchvision's VGG-16 state dict
(vgg16-397923af.pth) and the weighting of the LPIPS package (vgg.pth) into one folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.errors import WeightsError

_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # convolutions of torchvision's `features`
_POOLED = (5, 10, 17, 24)  # those with a pooling in front
_TAPPED = (2, 7, 14, 21, 28)  # those whose output is compared
_WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class Lpips(nn.Module):
    """The distance of two pictures (N, 3, H, W) in 0..1, per pixel: (N, 1, H, W). 0 where they are equal."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *_WIDTHS[:-1])
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(inputs, _WIDTHS, strict=True))
        tapped = [width for layer, width in zip(_LAYERS, _WIDTHS, strict=True) if layer in _TAPPED]
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(1, width, 1, 1) / width) for width in tapped)
        self.requires_grad_(False).eval()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Sum over the five layers of the weighted squared difference of unit features."""
        total = first.new_zeros(first.shape[0], 1, *first.shape[2:])
        for weight, a, b in zip(self.weights, self._features(first), self._features(second), strict=True):
            away = (weight * (_unit(a) - _unit(b)).square()).sum(1, keepdim=True)
            total = total + F.interpolate(away, total.shape[2:], mode="bilinear", align_corners=False)
        return total

    def _features(self, pictures: Tensor) -> list[Tensor]:
        shift, scale = (pictures.new_tensor(values).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        features, taps = (2 * pictures - 1 - shift) / scale, []
        for layer, convolution in zip(_LAYERS, self.convolutions, strict=True):
            if layer in _POOLED:
                features = F.max_pool2d(features, 2)
            features = F.relu(convolution(features))
            if layer in _TAPPED:
                taps.append(features)
        return taps


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def load(folder: Path) -> Lpips:
    """The metric with the weights of a user's folder.

    Raises:
        WeightsError: a file is missing or is another network's.
    """
    network, weighting = (_state(folder, name) for name in ("vgg16*.pth", "vgg.pth"))
    metric = Lpips()
    state: dict[str, Tensor] = {}
    for index, layer in enumerate(_LAYERS):
        for kind in ("weight", "bias"):
            state[f"convolutions.{index}.{kind}"] = _entry(network, f"features.{layer}.{kind}", folder)
    for index in range(len(_TAPPED)):
        state[f"weights.{index}"] = _entry(weighting, f"lin{index}.model.1.weight", folder)
    try:
        metric.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{folder}: not VGG-16 and its weighting ({' '.join(str(error).split())[:120]})") from None
    return metric


def _state(folder: Path, name: str) -> Mapping[str, Tensor]:
    files = sorted(folder.glob(name))
    if not files:
        raise WeightsError(f"{folder}: no {name}; LPIPS needs VGG-16 (vgg16-397923af.pth) and its weighting (vgg.pth)")
    try:
        state: Mapping[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes the reader raise
        raise WeightsError(f"{files[0]}: cannot be read as weights ({str(error).splitlines()[0]})") from None
    return state


def _entry(state: Mapping[str, Tensor], key: str, folder: Path) -> Tensor:
    if key not in state:
        raise WeightsError(f"{folder}: no '{key}' in it; LPIPS needs torchvision's VGG-16 and the weighting vgg.pth")
    return state[key]
