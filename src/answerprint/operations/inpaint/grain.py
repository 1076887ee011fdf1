"""Grain for what was filled: resampling takes some of it away, and what was continued smoothly has none."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from answerprint.color import spaces
from answerprint.noise import measure, synth
from answerprint.operations.inpaint.store import Patched

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_FRAMES = 3  # of a shot that its grain is measured on
_NEAR = 15  # pixels a side of the neighborhood whose grain is held against that of the shot
_FINE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # leaves nothing of ramps and of straight edges


class Grain:
    """The grain of a shot.

    Args:
        pictures: its frames, filled: what is removed has no say.
        count: frames.
    """

    def __init__(self, pictures: Patched, count: int) -> None:
        numbers = sorted({(2 * i + 1) * count // (2 * _FRAMES) for i in range(_FRAMES)})
        noises = []
        for number in numbers:
            pair = [_planes(pictures, other) for other in (number, number + 1) if other < count]
            noises.append(measure.measure(*pair))
        self.levels = np.median([noise.levels for noise in noises], 0)
        """Deviation per channel and band of luma, (3, 4)."""
        self.reach = float(np.median([noise.reach for noise in noises]))
        """Pixels over which it hangs together."""

    def added(self, picture: Array, mask: Mask, seed: tuple[int, ...]) -> Array:
        """The picture (h, w, 3) with the grain that it lacks under the mask (h, w).

        How much is there is measured in the finest diagonal band. Texture counts as grain, so that too little is added
        rather than too much, and only where it does not show.
        """
        if not self.levels.any() or not mask.any():
            return picture
        luma = spaces.luma(torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))).numpy()
        luma = luma.reshape(mask.shape)
        sigma = np.dstack([np.interp(luma, measure.BANDS, levels) for levels in self.levels]).astype(np.float32)
        drawn = synth.correlated((3, *mask.shape), self.reach, np.random.default_rng(seed)).numpy().transpose(1, 2, 0)
        present = _fine_variance(picture, mask)
        whole = sigma**2 * float((cv2.filter2D(drawn, -1, _FINE) ** 2).mean())
        lack = np.sqrt(np.clip(1 - present / np.maximum(whole, np.float32(1e-12)), 0, 1))
        return np.where(mask[..., None], picture + drawn * sigma * lack, picture).astype(np.float32)


def _fine_variance(picture: Array, mask: Mask) -> Array:
    """Mean square of the finest band around each pixel (h, w, 3), over pixels under the mask."""
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    fine = cv2.filter2D(picture, -1, _FINE) ** 2 * inside[..., None]
    total, share = (cv2.boxFilter(plane, -1, (_NEAR, _NEAR), normalize=False) for plane in (fine, inside))
    return np.asarray(total / np.maximum(share, 1)[..., None], np.float32)


def _planes(pictures: Patched, number: int) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.read(number).transpose(2, 0, 1)))
