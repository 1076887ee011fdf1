"""Noise taken out before it is amplified: a local linear filter for white noise that grows with the light."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from answerprint.kernels.lowlight import signal_share

Plane = npt.NDArray[np.float32]

_RADIUS = 2  # of the window around a pixel that tells noise from what is there
_STRIP = 128  # lines worked on at a time: they stay in the cache


def suppress_noise(pixels: Tensor, deviation: Sequence[float], weights: tuple[float, float, float]) -> Tensor:
    """The picture (3, H, W) with its noise taken out where there is nothing else (Lee 1980, equations 7 and 8).

    A window makes of its pixels mean + a (pixel - mean) with a = (variance - noise) / variance, one a for the three
    channels: an edge in any of them keeps all. A pixel gets the mean of what all windows that hold it make of it, as
    in a guided filter: flat windows beside an edge are not blurred over it.

    Args:
        pixels: (3, H, W).
        deviation: (n,) of the noise, the root of the sum of three channels, where luma is (i / (n - 1))^2.
        weights: luma weights of R', G', B'.
    """
    source = np.ascontiguousarray(pixels.detach().cpu().numpy())
    result = np.empty_like(source)
    height = source.shape[1]
    noise = np.asarray(deviation, np.float32) ** 2

    def work(top: int) -> None:
        bottom = min(top + _STRIP, height)
        first, last = max(top - 2 * _RADIUS, 0), min(bottom + 2 * _RADIUS, height)
        part = _filter_strip(source[:, first:last], noise, weights)
        result[:, top:bottom] = part[:, top - first : bottom - first]

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(work, range(0, height, _STRIP)))
    return torch.from_numpy(result).to(pixels.device)


def _filter_strip(part: Plane, noise: Plane, weights: tuple[float, float, float]) -> Plane:
    """The filter on some lines (3, h, W) of a picture; `noise` is its variance by luma."""
    mean = np.stack([_box(plane) for plane in part])
    square = _box(np.einsum("cyx,cyx->yx", part, part))
    share = np.empty_like(square)
    signal_share(mean, square, noise, np.asarray(weights, np.float32), share)
    result: Plane = _box(share) * part
    for channel in range(3):
        result[channel] += _box((1 - share) * mean[channel])
    return result


def _box(plane: Plane) -> Plane:
    side = 2 * _RADIUS + 1
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32)
