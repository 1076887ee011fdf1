"""The exact inverse of blur and decimation: what a larger picture must be to give this one when it is made smaller.

A picture y of low resolution is taken to be A x + noise, with A a Gaussian blur (widths across and down in pixels of
the large picture), the bicubic antialias filter and decimation by a whole factor s. The data step of Zhang, Van Gool
and Timofte 2020 ("Deep Unfolding Network for Image Super-Resolution", eq. 8) has the closed form

    D(z) = z + A' (A A' + alpha)^-1 (y - A z)

A' (A A' + alpha)^-1 does not change from place to place, so it is a bank of s x s filters at low resolution, found once
per kernel in the Fourier domain: no transform of pictures, no tiles, no wrap-around at their edges. Pixel centers are
those of every resize here: low (i + 0.5) s - 0.5 on the high grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from answerprint.filters.resample import keys

Array = NDArray[np.float64]

# What enlarged pictures lack, as a deviation of pixels: measured as the alpha that gave photographs the best PSNR under
# noise of 0.5 and 5 of 255 and blurs of 0.4 to 0.8 of a low pixel.
_DETAIL = {2: 0.036, 3: 0.055, 4: 0.088}
_ROUNDING = 0.4 / 255  # deviation of noise that codes of 8 bits have at the least
RADIUS = 10  # of the blur in pixels of the large picture, as IKC cuts its kernels (21 x 21)
_REACH = 12  # pixels of low resolution that a filter of the bank reaches
_GRID = 64  # of low resolution, on which a bank is found; its response is far smaller


@dataclass(frozen=True)
class Blur:
    """How a picture of low resolution was made.

    Attributes:
        scale: whole factor of decimation.
        across: standard deviation of the blur along lines, in pixels of the large picture.
        down: the same from line to line.
    """

    scale: int
    across: float
    down: float


def alpha_of(sigma: float, scale: int) -> float:
    """The alpha that fits noise of deviation `sigma` in the picture of low resolution."""
    return (max(sigma, _ROUNDING) / _DETAIL[scale]) ** 2


def lower(picture: Tensor, blur: Blur) -> Tensor:
    """A: a picture (..., H, W) blurred and decimated, (..., H / s, W / s); mirrored at its edges."""
    height, width = picture.shape[-2:]
    rows = _matrix(height, blur.scale, blur.down).to(picture)
    columns = _matrix(width, blur.scale, blur.across).to(picture)
    return rows @ picture @ columns.T


def cubic(picture: Tensor, scale: int) -> Tensor:
    """A picture (B, C, H, W) enlarged by a whole factor, bicubic (Keys 1981, a = -0.5)."""
    height, width = picture.shape[-2:]
    return _enlargement(height, scale).to(picture) @ picture @ _enlargement(width, scale).to(picture).T


def consistent(guess: Tensor, low: Tensor, blur: Blur, alpha: float) -> Tensor:
    """D: the guess (B, C, sH, sW) moved until it gives `low` (B, C, H, W) when made smaller, as far as alpha lets."""
    return guess + correction(low - lower(guess, blur), bank(blur, alpha))


def enlarge(low: Tensor, blur: Blur, alpha: float) -> Tensor:
    """`consistent` of `cubic`, in one pass: both are filters of the picture (B, C, H, W) of low resolution."""
    return correction(low, _enlargement_bank(blur, alpha))


@lru_cache(maxsize=2048)
def _enlargement_bank(blur: Blur, alpha: float) -> Tensor:
    """The filters (s * s, K, K) of `enlarge`: what it makes of a single pixel."""
    size, reach = 4 * _REACH + 1, _REACH
    low = torch.zeros(1, 1, size, size, dtype=torch.float64)
    low[..., size // 2, size // 2] = 1
    large = consistent(cubic(low, blur.scale), low, blur, alpha)[0, 0]
    phases = F.pixel_unshuffle(large[None], blur.scale)
    middle = slice(size // 2 - reach, size // 2 + reach + 1)
    return phases[:, middle, middle].flip(-1, -2).float()


def correction(residual: Tensor, filters: Tensor) -> Tensor:
    """A picture (B, C, H, W) of low resolution through a bank of filters: (B, C, sH, sW).

    Args:
        residual: of low resolution.
        filters: (s * s, K, K), of `bank` for A' (A A' + alpha)^-1.
    """
    batch, channels, height, width = residual.shape
    count, size = filters.shape[0], filters.shape[-1]
    planes = mirrored(residual.reshape(batch * channels, 1, height, width), size // 2)
    with torch.autocast(planes.device.type, enabled=False):  # in bf16 it would cost 0.4 dB
        phases = F.conv2d(planes.float(), filters[:, None].to(planes.device))
    scale = round(count**0.5)
    return F.pixel_shuffle(phases, scale).reshape(batch, channels, scale * height, scale * width)


def mirrored(planes: Tensor, reach: int) -> Tensor:
    """Planes (B, C, H, W) with `reach` mirrored pixels around; small ones are mirrored over and over."""
    for axis in (-2, -1):
        size = planes.shape[axis]
        index = torch.arange(-reach, size + reach)
        folded = index.remainder(2 * size)
        index = torch.where(folded < size, folded, 2 * size - 1 - folded)
        planes = planes.index_select(axis, index.to(planes.device))
    return planes


@lru_cache(maxsize=2048)
def bank(blur: Blur, alpha: float) -> Tensor:
    """The filters (s * s, K, K) of A' (A A' + alpha)^-1, row of the phase first; for `correction`."""
    scale, size = blur.scale, _GRID * blur.scale
    down, across = (response(size, scale, width) for width in (blur.down, blur.across))
    high = np.outer(down, across)
    folded = [(np.abs(each) ** 2).reshape(scale, _GRID).sum(0) / scale for each in (down, across)]
    low = np.outer(*folded) + alpha
    impulse = np.fft.ifft2(high.conj() / np.tile(low, (scale, scale))).real
    impulse = np.roll(impulse, (_REACH * scale,) * 2, (0, 1))[: (2 * _REACH + 1) * scale, : (2 * _REACH + 1) * scale]
    taps = 2 * _REACH + 1
    phases = impulse.reshape(taps, scale, taps, scale).transpose(1, 3, 0, 2).reshape(scale * scale, taps, taps)
    # conv2d correlates: the response of what lies to the left comes from the right.
    return torch.from_numpy(np.ascontiguousarray(phases[:, ::-1, ::-1])).float()


def response(size: int, scale: int, width: float) -> NDArray[np.complex128]:
    """The frequency response (size,) of blur and antialias filter, with the phase of a low pixel's center."""
    kernel = _profile(scale, width)
    half = len(kernel) // 2
    line = np.zeros(size)
    line[: len(kernel)] = kernel
    spectrum = np.fft.fft(np.roll(line, -half))
    frequency = np.fft.fftfreq(size)
    # An even kernel is centered half a pixel before its middle sample, which is where a low pixel lies for even s.
    shift = (scale - 1) / 2 - (0.5 if len(kernel) % 2 == 0 else 0.0)
    return np.asarray(spectrum * np.exp(2j * np.pi * frequency * shift))


@lru_cache(maxsize=1024)
def _profile(scale: int, width: float) -> Array:
    """Blur and antialias filter along one axis, of sum 1: symmetric, of odd length for odd factors, even for even."""
    reach = np.arange(-RADIUS, RADIUS + 1)
    gauss = np.exp(-0.5 * (reach / max(width, 1e-3)) ** 2)
    taps = np.arange(4 * scale) - (4 * scale - 1) / 2 if scale % 2 == 0 else np.arange(4 * scale + 1) - 2 * scale
    antialias = keys(taps / scale)
    profile = np.convolve(gauss, antialias)
    return np.asarray(profile / profile.sum())


@lru_cache(maxsize=1024)
def _matrix(size: int, scale: int, width: float) -> Tensor:
    """A along one axis, (size / s, size): mirrored at the ends."""
    profile = _profile(scale, width)
    low = size // scale
    full = np.zeros((low, size))
    first = np.arange(low) * scale + (scale - 1) / 2 - (len(profile) - 1) / 2
    index = np.rint(first).astype(int)[:, None] + np.arange(len(profile))
    folded = index % (2 * size)
    np.add.at(full, (np.arange(low)[:, None], np.where(folded < size, folded, 2 * size - 1 - folded)), profile)
    return torch.from_numpy(full).float()


@lru_cache(maxsize=64)
def _enlargement(size: int, scale: int) -> Tensor:
    """Bicubic enlargement along one axis, (s size, size): mirrored at the ends."""
    places = (np.arange(size * scale) + 0.5) / scale - 0.5
    index = np.floor(places).astype(int)[:, None] + np.arange(-1, 3)
    weights = keys(index - places[:, None])
    folded = index % (2 * size)
    full = np.zeros((size * scale, size))
    np.add.at(full, (np.arange(size * scale)[:, None], np.where(folded < size, folded, 2 * size - 1 - folded)), weights)
    return torch.from_numpy(full).float()
