"""How far an object reaches beyond its mask: found by what lies beside the mask in frames that show the background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.motion import propagate
from answerprint.motion.complete import grow
from answerprint.motion.propagate import Reach
from answerprint.operations.inpaint.footage import Footage, StoredScene

Array = NDArray[np.float32]

LEAST = 2  # pixels of growth in any case: the edge of an object is never quite the mask's
_FARTHEST = 12  # pixels from the mask, at the working size, that are looked at
_USUAL = 4  # of them, the farthest, show how well the background fits here
_UNLIKE = 1.6  # so many times worse is still the object
_FAINT = 0.01  # of full scale: no difference below it is one
_FRAMES = 9  # that are looked at


def growth(footage: Footage, scene: StoredScene) -> int:
    """Pixels of the full size that the masks of a shot should grow by, `LEAST` where nothing speaks for more."""
    profiles = [profile for number in _chosen(list(footage.numbers())) if len(profile := _profile(scene, number))]
    if not profiles:
        return LEAST
    misfit = np.median(np.stack(profiles), 0)
    usual = float(misfit[-_USUAL:].mean()) * _UNLIKE + _FAINT
    beyond = 0
    while beyond < _FARTHEST - _USUAL and misfit[beyond] > usual:
        beyond += 1
    scale = footage.size[0] / footage.work[0]
    return max(LEAST, round((beyond + 1 if beyond else 0) * scale))


def _chosen(numbers: list[int]) -> list[int]:
    step = max(1, len(numbers) // _FRAMES)
    return numbers[step // 2 :: step][:_FRAMES]


def _profile(scene: StoredScene, number: int) -> Array:
    """Mean difference between a frame and its background by distance from the mask in pixels; empty where unknown."""
    mask = scene.unknown(number, _whole(scene))
    hole = grow(mask, _FARTHEST)
    if hole.all():
        return np.zeros(0, np.float32)
    box, options = propagate.candidates(scene, number, hole, Reach(frames=30, count=4))
    inside = hole[box.slices]
    background, shown = propagate.mix(inside, list(options), 1.0)
    difference = np.abs(scene.picture(number, box) - background).mean(2)
    distance = cv2.distanceTransform((~mask[box.slices]).astype(np.uint8), cv2.DIST_L2, 5)
    result = []
    for ring in range(_FARTHEST):
        pixels = shown & (distance > ring) & (distance <= ring + 1)
        if pixels.sum() < 10:
            return np.zeros(0, np.float32)
        result.append(float(difference[pixels].mean()))
    return np.array(result, np.float32)


def _whole(scene: StoredScene) -> propagate.Box:
    height, width = scene.size
    return propagate.Box(0, height, 0, width)
