"""Neighborhoods of the reference that the regressions learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color import spaces
from answerprint.frame import Frame
from answerprint.operations.match.reference import usable

Array = NDArray[np.float32]
Indices = NDArray[np.int64]


def window_radius(height: int) -> int:
    """Radius of local windows in pixels: 17 pixels across in a picture of 1080 lines, 5 at least."""
    return max(2, round(height / 135))


def draw(frames: Sequence[Frame], count: int, seed: int, with_deviation: bool) -> tuple[Array, Array]:
    """Up to `count` neighborhoods, drawn at random and spread over the frames.

    Args:
        with_deviation: adds the local deviations of L, a, b.

    Returns:
        L in the 3x3 neighborhoods, (n, 9), and a, b (and the deviations of L, a, b) at their centers, (n, 2 or 5).
    """
    generator = np.random.default_rng(seed)
    share = -(-count // len(frames))
    parts = [_draw_of(frame, share, with_deviation, generator) for frame in frames]
    patches = np.concatenate([patch for patch, _ in parts])[:count]
    values = np.concatenate([value for _, value in parts])[:count]
    return patches, values


def _draw_of(frame: Frame, count: int, with_deviation: bool, generator: np.random.Generator) -> tuple[Array, Array]:
    centers = torch.nonzero(usable(frame)).numpy()
    if len(centers) > count:
        centers = centers[generator.choice(len(centers), count, replace=False)]
    pixels = torch.nan_to_num(frame.pixels, nan=0.0, posinf=1.0, neginf=0.0)
    around = spaces.rgb_to_lab(_windows(pixels, centers, 1))
    values = around[1:, :, 4]
    if with_deviation:
        windows = spaces.rgb_to_lab(_windows(pixels, centers, window_radius(frame.height)))
        values = torch.cat([values, windows.std(2, correction=0)])
    return around[0].numpy(), values.T.contiguous().numpy()


def _windows(pixels: Tensor, centers: Indices, radius: int) -> Tensor:
    """The windows around `centers` (n, 2), borders mirrored: (3, n, (2 radius + 1)^2)."""
    height, width = pixels.shape[1:]
    offset = np.arange(-radius, radius + 1)
    rows = _mirror(centers[:, 0, None] + offset, height)
    columns = _mirror(centers[:, 1, None] + offset, width)
    windows = pixels[:, torch.from_numpy(rows)[:, :, None], torch.from_numpy(columns)[:, None, :]]
    return windows.flatten(2)


def _mirror(index: Indices, size: int) -> Indices:
    """Numbers outside 0..size-1 reflected at the borders, the border itself repeated."""
    index = index % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)
