"""Classical filters: pure functions of (C, H, W) float32 tensors, the same shape out; worked on the CPU.

Values need not lie in 0..1: every filter here is either linear or picks and averages what is there, so super-whites and
sub-blacks stay. Borders are mirrored. Input must be finite.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from answerprint.arrays import to_image, to_planes
from answerprint.kernels.median import slide

Array = npt.NDArray[np.float32]


def gaussian(pixels: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, cut off at 4 sigma.

    Args:
        sigma: standard deviation in pixels; 0 changes nothing.
    """
    if sigma <= 0:
        return pixels
    size = 2 * math.ceil(4 * sigma) + 1
    return _planes(cv2.GaussianBlur(_array(pixels), (size, size), sigma, borderType=cv2.BORDER_REFLECT_101), pixels)


def bilateral(pixels: Tensor, radius: int, sigma_space: float, sigma_color: float) -> Tensor:
    """Bilateral filter (Tomasi and Manduchi 1998): averages over what is near in place and in color.

    Args:
        pixels: (1, H, W) or (3, H, W).
        radius: of the window in pixels.
        sigma_space: in pixels.
        sigma_color: in pixel values (distance in color: sum over the channels of absolute differences).
    """
    result = cv2.bilateralFilter(
        _array(pixels), 2 * radius + 1, sigma_color, sigma_space, borderType=cv2.BORDER_REFLECT_101
    )
    return _planes(result, pixels)


def median(pixels: Tensor, radius: int) -> Tensor:
    """Median over a square window, each channel by itself.

    Up to radius 2 exact. Above, by a sliding histogram of 65,536 steps between the channel's least and greatest value
    (Huang, Yang and Tang 1979), so off by half a step: under 1/65,535 of that range.
    """
    if radius <= 0:
        return pixels
    array = _array(pixels)
    if radius <= 2:
        return _planes(cv2.medianBlur(array, 2 * radius + 1), pixels)
    planes = [_large_median(plane.detach().cpu().numpy(), radius) for plane in pixels]
    return torch.from_numpy(np.stack(planes)).to(pixels.device)


def guided(pixels: Tensor, guide: Tensor, radius: int, epsilon: float) -> Tensor:
    """Guided filter (He, Sun and Tang 2010, equations 5, 6 and 8) with a guide of one channel.

    Args:
        pixels: (C, H, W), filtered channel by channel.
        guide: (1, H, W) whose edges are kept.
        radius: of the square window in pixels.
        epsilon: variance of the guide (its units squared) under which a window counts as flat.
    """
    image, edges = _array(pixels), _array(guide)
    # Means are taken away first: single precision would lose small variances beside large means.
    edges = edges - np.float32(edges.mean())
    if image.ndim == 3:
        edges = edges[:, :, None]
    center, mean = _box(edges, radius), _box(image, radius)
    variance = np.maximum(_box(edges * edges, radius) - center * center, 0)
    slope = (_box(edges * image, radius) - center * mean) / (variance + np.float32(epsilon))
    offset = mean - slope * center
    return _planes(_box(slope, radius) * edges + _box(offset, radius), pixels)


def local_deviation(pixels: Tensor, radius: int) -> Tensor:
    """Standard deviation over a square window around each pixel, each channel by itself."""
    image = _array(pixels)
    image = image - image.mean(axis=(0, 1), dtype=np.float32)
    mean = _box(image, radius)
    return _planes(np.sqrt(np.maximum(_box(image * image, radius) - mean * mean, 0)), pixels)


def laplacian(pixels: Tensor, sigma: float = 0.0) -> Tensor:
    """Laplacian over the 3x3 neighborhood (corners counted half as much), of the picture blurred by `sigma`.

    On x^2 + y^2 it is 4, as the derivative is.
    """
    kernel = np.array([[1, 2, 1], [2, -12, 2], [1, 2, 1]], dtype=np.float32) / 4
    array = _array(gaussian(pixels, sigma))
    return _planes(cv2.filter2D(array, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101), pixels)


def _box(image: npt.NDArray[np.floating[Any]], radius: int) -> Array:
    size = 2 * radius + 1
    result: Array = cv2.blur(image.astype(np.float32, copy=False), (size, size), borderType=cv2.BORDER_REFLECT_101)
    return result if result.ndim == image.ndim else result[:, :, None]


def _array(planes: Tensor) -> Array:
    """Planes (C, H, W) as OpenCV has them: (H, W, C), or (H, W) for one channel."""
    image: Array = to_image(planes)
    return image[..., 0] if image.shape[2] == 1 else image


def _planes(array: Array, like: Tensor) -> Tensor:
    return to_planes(array).to(like.device)


def _large_median(plane: Array, radius: int) -> Array:
    low, high = float(plane.min()), float(plane.max())
    if high <= low:
        return plane.copy()
    step = (high - low) / 65535
    codes = np.pad(np.rint((plane - low) / step).clip(0, 65535).astype(np.uint16), radius, mode="symmetric")
    result = np.empty(plane.shape, dtype=np.uint16)
    rows = 32
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        starts = range(0, plane.shape[0], rows)
        list(pool.map(lambda start: slide(codes, result, start, min(start + rows, plane.shape[0]), radius), starts))
    return (result.astype(np.float64) * step + low).astype(np.float32)
