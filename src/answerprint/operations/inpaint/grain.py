"""Grain for what was filled: resampling takes some of it away, and what was continued smoothly has none."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from answerprint.color import spaces
from answerprint.noise import measure, synth
from answerprint.operations.inpaint.footage import Footage

Array = NDArray[np.float32]

RESAMPLED = 0.4  # of the deviation of white grain that is lost by sampling between pixels with cubic interpolation
_FRAMES = 3  # of a shot that its grain is measured on


class Grain:
    """The grain of a shot.

    Args:
        footage: the shot.
    """

    def __init__(self, footage: Footage) -> None:
        count = len(footage)
        numbers = sorted({(2 * i + 1) * count // (2 * _FRAMES) for i in range(_FRAMES)})
        noises = []
        for number in numbers:
            pair = [_planes(footage, other) for other in (number, number + 1) if other < count]
            noises.append(measure.measure(*pair))
        self.levels = np.median([noise.levels for noise in noises], 0)
        """Deviation per channel and band of luma, (3, 4)."""
        self.reach = float(np.median([noise.reach for noise in noises]))
        """Pixels over which it hangs together."""

    def added(self, picture: Array, lost: Array, seed: tuple[int, ...]) -> Array:
        """The picture (h, w, 3) with the share of its grain that it lost (h, w), in deviations of 0..1, added."""
        if not self.levels.any() or not lost.any():
            return picture
        planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        luma = spaces.luma(planes)[..., :, :].reshape(picture.shape[:2]).numpy()
        sigma = np.stack([np.interp(luma, measure.BANDS, levels) for levels in self.levels])
        rng = np.random.default_rng(seed)
        white = synth.correlated((3, *picture.shape[:2]), self.reach, rng).numpy()
        grain = (white * sigma * lost).transpose(1, 2, 0)
        return np.asarray(picture + grain, np.float32)


def _planes(footage: Footage, number: int) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(footage.full.read(number).transpose(2, 0, 1)))
