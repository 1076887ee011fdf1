"""What time, cameras and coders do to footage, done on purpose: seeded degradations for training and for tests.

Pictures are float32 (..., 3, H, W) in 0..1, display encoding. Whatever is random is drawn from the NumPy generator
given, so the same state of it gives the same result. Noise is not clipped: a caller that wants code values clamps.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def normal(rng: np.random.Generator, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """Independent normal values (0, 1), float32."""
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))


def gaussian(picture: Tensor, sigma: float | Tensor, rng: np.random.Generator) -> Tensor:
    """White Gaussian noise of mean 0 and standard deviation `sigma` (in the unit of the pixels: 25/255)."""
    return picture + normal(rng, picture.shape) * sigma


def poisson_gaussian(picture: Tensor, shot: float, read: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Sensor noise: variance = shot * value + read^2 (Foi et al. 2008), and its standard deviation at every pixel."""
    sigma = (picture.clamp(min=0) * shot + read * read).sqrt()
    return picture + normal(rng, picture.shape) * sigma, sigma


def salt_and_pepper(picture: Tensor, density: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A share `density` of pixels becomes black or white in all channels; also says which, as bool (..., 1, H, W)."""
    shape = (*picture.shape[:-3], 1, *picture.shape[-2:])
    draw = torch.from_numpy(rng.random(shape, dtype=np.float32))
    hit = draw < density
    value = (draw < density / 2).to(picture.dtype)
    return torch.where(hit, value, picture), hit


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


def grain(
    picture: Tensor, strength: float, reach: float, saturation: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Film grain: correlated over `reach` pixels, strongest in the mid-tones, gray where `saturation` is 0.

    Also gives its standard deviation at every pixel.
    """
    luma = picture.mean(dim=-3, keepdim=True).clamp(0, 1)
    envelope = strength * (0.35 + 0.65 * 4 * luma * (1 - luma))
    gray = correlated((*picture.shape[:-3], 1, *picture.shape[-2:]), reach, rng)
    own = correlated(picture.shape, reach, rng)
    mixed = (gray * (1 - saturation) + own * saturation) / float(np.hypot(1 - saturation, saturation))
    return picture + envelope * mixed, envelope.expand_as(picture)


def jpeg(picture: Tensor, quality: int, chroma_half: bool = True) -> Tensor:
    """A round trip through a JPEG file of that quality (1..100)."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if chroma_half else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    out = []
    for one in picture.reshape(-1, *picture.shape[-3:]):
        code = (one.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(code), flags)
        back = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
        out.append(torch.from_numpy(np.ascontiguousarray(back)).permute(2, 0, 1).float() / 255)
    return torch.stack(out).reshape(picture.shape)
