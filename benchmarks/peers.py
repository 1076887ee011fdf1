"""Super-resolution of other people, ported to be measured beside ours: USRNet, small.

Zhang, Van Gool and Timofte 2020, with the weights that Liang et al. 2021 (FKP, Apache-2.0) trained; these are in the
test data, not here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from answerprint.filters import inverse
from answerprint.filters.inverse import Blur

Weights = dict[str, Tensor]
_ROUNDS = 6  # of USRNet
_PAD = 12  # mirrored pixels of low resolution around a picture: its transforms are periodic


def read(folder: Path, name: str) -> Weights | None:
    """The weights of a peer; None where they are not there."""
    path = folder / "peers" / f"{name}.safetensors"
    return load_file(path) if path.is_file() else None


def usrnet(weights: Weights, low: Tensor, blur: Blur, sigma: float) -> Tensor:
    """A picture (1, 3, H, W) enlarged by USRNet, told the blur."""
    scale = blur.scale
    wide = inverse.mirrored(low, _PAD)
    height, width = (scale * side for side in wide.shape[-2:])
    rows, columns = inverse.response(height, scale, blur.down), inverse.response(width, scale, blur.across)
    forward = torch.from_numpy(np.outer(rows, columns)).to(torch.complex64)
    zeros = torch.zeros(1, 3, height, width)
    zeros[..., ::scale, ::scale] = wide
    back = forward.conj() * torch.fft.fft2(zeros)
    condition = torch.tensor([sigma, float(scale)]).view(1, 2, 1, 1)
    for number in (0, 2):
        condition = F.relu(F.conv2d(condition, weights[f"h.mlp.{number}.weight"], weights[f"h.mlp.{number}.bias"]))
    steps = F.softplus(F.conv2d(condition, weights["h.mlp.4.weight"], weights["h.mlp.4.bias"])).flatten() + 1e-6
    x = F.interpolate(wide, scale_factor=float(scale), mode="nearest")
    for turn in range(_ROUNDS):
        x = _data(x, forward, back, float(steps[turn]), scale)
        x = _prior(weights, torch.cat((x, steps[turn + _ROUNDS].expand(1, 1, height, width)), dim=1))
    edge = scale * _PAD
    return x[..., edge : height - edge, edge : width - edge]


def _data(x: Tensor, forward: Tensor, back: Tensor, alpha: float, scale: int) -> Tensor:
    both = back + torch.fft.fft2(alpha * x)
    folded = _aliases(forward * both, scale) / (_aliases((forward.abs() ** 2)[None, None], scale) + alpha)
    result: Tensor = torch.fft.ifft2((both - forward.conj() * folded.repeat(1, 1, scale, scale)) / alpha).real
    return result


def _aliases(spectrum: Tensor, scale: int) -> Tensor:
    batch, channels, height, width = spectrum.shape
    return spectrum.reshape(batch, channels, scale, height // scale, scale, width // scale).mean((2, 4))


def _prior(weights: Weights, x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % 8, 0, -height % 8), mode="replicate")
    levels = [F.conv2d(x, weights["p.m_head.weight"], padding=1)]
    for level in (1, 2, 3):
        inner = _residual(weights, f"p.m_down{level}.1", _residual(weights, f"p.m_down{level}.0", levels[-1]))
        levels.append(F.conv2d(inner, weights[f"p.m_down{level}.2.weight"], stride=2))
    x = _residual(weights, "p.m_body.1", _residual(weights, "p.m_body.0", levels[-1]))
    for level in (3, 2, 1):
        x = F.conv_transpose2d(x + levels[level], weights[f"p.m_up{level}.0.weight"], stride=2)
        x = _residual(weights, f"p.m_up{level}.2", _residual(weights, f"p.m_up{level}.1", x))
    return F.conv2d(x + levels[0], weights["p.m_tail.weight"], padding=1)[..., :height, :width]


def _residual(weights: Weights, name: str, x: Tensor) -> Tensor:
    inner = F.relu(F.conv2d(x, weights[f"{name}.res.0.weight"], padding=1))
    return x + F.conv2d(inner, weights[f"{name}.res.2.weight"], padding=1)
