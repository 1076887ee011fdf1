"""Steadies what was filled: frames agree with their neighbors along the motion, so nothing flickers."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.motion import propagate
from answerprint.motion.propagate import Box
from answerprint.operations.inpaint.footage import Flows, Footage, StoredScene
from answerprint.operations.inpaint.recover import Filled

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

# On the six tuning clips two rounds take a third of the change along the true motion away, and add 0.07 dB; a neighbor
# that differs more than the tolerance shows something else, or was brought here wrongly.
_ROUNDS, _TOLERANCE = 2, 0.05
_SOFT = 1.5  # pixels over which differences are averaged


def steady(footage: Footage, filled: Filled, motion: Flows) -> None:
    """Moves the filled pixels of each frame towards those of its neighbors, in `filled`.

    Args:
        footage: the shot.
        filled: its frames, filled.
        motion: flow between them.
    """
    scene = StoredScene(len(footage), filled.pictures, footage.masks.read, motion)
    for _ in range(_ROUNDS):
        waiting: tuple[int, Box, Array] | None = None
        for number in footage.numbers():
            box, part = _agreed(scene, number, footage.masks.read(number))
            # The next frame is compared with this one as it was.
            if waiting is not None:
                filled.pictures.write(*waiting)
            waiting = number, box, part
        if waiting is not None:
            filled.pictures.write(*waiting)


def _agreed(scene: StoredScene, number: int, mask: Mask) -> tuple[Box, Array]:
    """The part of a frame around its mask, the mean of itself and of its neighbors where they look alike."""
    looks = [propagate.neighbor(scene, number, step, mask) for step in (-1, 1) if 0 <= number + step < scene.count]
    if not looks:
        box = Box.around(mask, 0)
        return box, scene.picture(number, box)
    box = looks[0][0]
    own = scene.picture(number, box)
    hidden = mask[box.slices]
    total, weight = own.copy(), np.ones(own.shape[:2], np.float32)
    for _, look in looks:
        other = look * _gain(own[~hidden], look[~hidden])
        difference = np.abs(cv2.GaussianBlur(other - own, (0, 0), _SOFT)).mean(2)
        share = np.exp(-((difference / np.float32(_TOLERANCE)) ** 2)).astype(np.float32)
        total += share[..., None] * other
        weight += share
    return box, np.where(hidden[..., None], total / weight[..., None], own).astype(np.float32)


def _gain(own: Array, other: Array) -> Array:
    """The light of a frame over that of another (3,), by the pixels around a mask (N, 3) of each."""
    if not len(own):
        return np.ones(3, np.float32)
    ratio = np.median(own, axis=0) / np.maximum(np.median(other, axis=0), np.float32(1e-3))
    return np.asarray(np.clip(ratio, 0.5, 2.0), np.float32)
