"""Noise and grain made on purpose: seeded, white or correlated."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def normal(rng: np.random.Generator, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """Independent normal values (0, 1), float32."""
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))


def correlated(shape: tuple[int, ...] | torch.Size, reach: float, rng: np.random.Generator) -> Tensor:
    """Normal values (0, 1) blurred by a Gaussian of width `reach` pixels and brought back to deviation 1."""
    white = normal(rng, shape)
    if reach <= 0:
        return white
    taps = torch.arange(-int(3 * reach + 1), int(3 * reach + 1) + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (taps / reach) ** 2)
    kernel = kernel / kernel.norm()
    flat = white.reshape(-1, 1, *white.shape[-2:])
    pad = len(taps) // 2
    flat = F.conv2d(F.pad(flat, (pad, pad, 0, 0), mode="circular"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, pad, pad), mode="circular"), kernel.view(1, 1, -1, 1))
    return flat.reshape(white.shape)
