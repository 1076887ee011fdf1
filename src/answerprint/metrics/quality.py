"""Error, similarity and color difference of two pictures, colorfulness of one, for R'G'B' tensors (3, H, W).

Nominal white is 1 in all of them; super-whites and sub-blacks count as they are. Pictures that are compared have one
shape. Not-a-number in a picture gives not-a-number as its score: a broken frame must not look well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from answerprint.color import spaces


def mean_absolute_error(picture: Tensor, reference: Tensor) -> float:
    """Mean over all values of |picture - reference|."""
    _check_alike(picture, reference)
    return float((picture.double() - reference.double()).abs().mean())


def psnr(picture: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, over all channels together; infinity where nothing differs."""
    _check_alike(picture, reference)
    error = float((picture.double() - reference.double()).square().mean())
    return -10 * math.log10(error) if error else math.inf


def ssim(picture: Tensor, reference: Tensor) -> float:
    """Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004), the mean over channels.

    Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, only windows that lie wholly inside the picture.

    Args:
        picture: (C, H, W), at least 11 pixels on each side.
        reference: the same shape.

    Raises:
        ValueError: shapes differ, or a side is shorter than the window.
    """
    _check_alike(picture, reference)
    if min(picture.shape[-2:]) < _WINDOW:
        raise ValueError(f"SSIM needs {_WINDOW} pixels on each side, got {tuple(picture.shape)}")
    return float(np.mean([_similarity(a.double().numpy(), b.double().numpy()) for a, b in _planes(picture, reference)]))


@dataclass(frozen=True)
class DeltaE:
    """Color difference over a picture, in CIEDE2000 units (about 1 is just noticeable)."""

    mean: float
    median: float
    percentile_95: float
    largest: float


def delta_e(picture: Tensor, reference: Tensor) -> DeltaE:
    """CIEDE2000 between two pictures, pixel by pixel."""
    _check_alike(picture, reference)
    difference = spaces.delta_e_2000(spaces.rgb_to_lab(picture), spaces.rgb_to_lab(reference))
    broken = ~(torch.isfinite(picture) & torch.isfinite(reference)).all(-3)
    values = difference.masked_fill(broken, math.nan).detach().cpu().double().numpy().ravel()
    median, high = np.quantile(values, (0.5, 0.95))
    return DeltaE(float(values.mean()), float(median), float(high), float(values.max()))


def colorfulness(picture: Tensor) -> float:
    """Colorfulness M3 of Hasler and Suesstrunk (2003), on the 0..255 scale that their numbers are on.

    0 is gray, about 15 slightly, 33 moderately, 59 highly, 109 extremely colorful (their table 2).
    """
    red, green, blue = picture.double() * 255
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    deviation = torch.hypot(red_green.std(correction=0), yellow_blue.std(correction=0))
    mean = torch.hypot(red_green.mean(), yellow_blue.mean())
    return float(deviation + 0.3 * mean)


_WINDOW = 11


def _similarity(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Mean SSIM of two planes, equation 13."""

    def blur(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        edge = _WINDOW // 2
        blurred: npt.NDArray[np.float64] = cv2.GaussianBlur(plane, (_WINDOW, _WINDOW), 1.5)
        return blurred[edge:-edge, edge:-edge]

    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float((above / below).mean())


def _planes(picture: Tensor, reference: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(picture.detach().cpu(), reference.detach().cpu(), strict=True))


def _check_alike(picture: Tensor, reference: Tensor) -> None:
    if picture.shape != reference.shape:
        raise ValueError(f"pictures of one shape are compared, got {tuple(picture.shape)} and {tuple(reference.shape)}")
