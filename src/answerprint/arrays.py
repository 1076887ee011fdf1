"""Resizing, smoothing and axis order of pictures: NumPy and OpenCV on one side, torch on the other.

A *plane* is (H, W), an *image* (H, W, C), C-contiguous, as OpenCV has it; *planes* are a tensor (C, H, W), as the
networks and `Frame` have it. *Codes* are R'G'B' of 8 bits. Borders are mirrored without repeating the edge pixel.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Size = tuple[int, int]  # (width, height), as OpenCV has it


def resize(image: NDArray[Any], size: Size, interpolation: int = cv2.INTER_AREA) -> NDArray[Any]:
    """The image at another size, of the same type.

    Args:
        image: (H, W) or (H, W, C), up to 4 channels.
        size: (width, height) in pixels.
        interpolation: one of OpenCV's `INTER_...`; by area, which is for making smaller.
    """
    return np.asarray(cv2.resize(image, size, interpolation=interpolation))


def rescale(image: NDArray[Any], factor: float, interpolation: int = cv2.INTER_AREA) -> NDArray[Any]:
    """The image with both sides times `factor`, rounded, of the same type; (H, W) or (H, W, C)."""
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=interpolation))


def resize_planes(planes: Tensor, size: Size, interpolation: int = cv2.INTER_AREA) -> Tensor:
    """Planes (C, H, W), C up to 4, at `size` (width, height): float32, contiguous, on the CPU."""
    return to_planes(resize(to_image(planes), size, interpolation))


def gaussian(image: NDArray[Any], sigma: float) -> NDArray[Any]:
    """The image (H, W) or (H, W, C) smoothed by a Gaussian of `sigma` pixels, of the same type."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


def box(image: NDArray[Any], side: int | Size) -> NDArray[Any]:
    """Mean of a square of `side` pixels, or of a box (width, height), around each pixel; of the same type."""
    return np.asarray(cv2.blur(image, (side, side) if isinstance(side, int) else side))


def to_image(planes: Tensor) -> NDArray[Any]:
    """Planes (C, H, W) as an image (H, W, C) of the same type, C-contiguous, on the CPU."""
    return planes.detach().permute(1, 2, 0).contiguous().cpu().numpy()


def to_planes(image: NDArray[Any]) -> Tensor:
    """An image (H, W, C) as contiguous planes (C, H, W) of the same type, or a plane (H, W) as (1, H, W)."""
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))


def to_codes(planes: Tensor) -> NDArray[np.uint8]:
    """R'G'B' planes (3, H, W), clamped to 0..1, as an image (H, W, 3) of 8-bit codes 0..255."""
    codes: NDArray[np.uint8] = to_image((planes.clamp(0, 1) * 255).round().byte())
    return codes


def from_codes(codes: NDArray[np.uint8]) -> Tensor:
    """An image (H, W, 3) of 8-bit codes as planes (3, H, W), float32 in 0..1, contiguous."""
    return to_planes(codes).float() / 255


def to_bgr(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3) with its channels in the opposite order, C-contiguous: R'G'B' as OpenCV's files have it."""
    return np.ascontiguousarray(codes[..., ::-1])
