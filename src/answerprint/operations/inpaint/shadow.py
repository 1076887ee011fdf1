"""The shadow of what is removed: beside the mask, darker than the same place in other frames, and of its color."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.motion import propagate
from answerprint.motion.complete import complete, grow
from answerprint.motion.propagate import Box, Candidate, Reach
from answerprint.operations.inpaint.footage import Footage, StoredScene

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

FRAMES = 9  # of a shot that are looked at to say whether there is one
_WIDE = 1.2  # of the mask's box: how far beside it a shadow is sought
_VIEWS = 6  # frames of each direction whose darkest and brightest looks are left out
_DARK, _BLACK = 0.88, 0.25  # of the light without shadow: from where to where a shadow is one
_COLORED = 0.15  # difference of the ratios of two channels from which on it is a thing and no shadow
_SOFT = 3.0  # pixels that ratios are averaged over
_LEAST = 0.05  # of the mask: a smaller shadow is none
_FLOOR = 0.02  # of full scale, below which nothing can be darker


def shadow(scene: StoredScene, number: int) -> Mask:
    """The shadow beside the mask of a frame, (h, w) at the working size; empty where none is found."""
    mask = scene.unknown(number, _whole(scene))
    none = np.zeros_like(mask)
    if not mask.any():
        return none
    sought = _surroundings(mask)

    def unknown(other: int, part: Box) -> Mask:
        # Not fitted to this frame where a shadow may be, or it would be taken over.
        return sought[part.slices] if other == number else scene.unknown(other, part)

    aside = replace(scene, unknown_of=unknown, motion=_BackgroundFlow(scene))
    box, options = propagate.candidates(aside, number, sought, Reach(count=_VIEWS, repeat=True))
    views = list(options)
    if len(views) < 3:
        return none
    ratio = _ratio(scene.picture(number, box), views, mask[box.slices])
    dark = (ratio.max(2) < _DARK) & (ratio.min(2) > _BLACK) & (np.ptp(ratio, axis=2) < _COLORED)
    inside = mask[box.slices]
    dark = cv2.morphologyEx((dark & ~inside).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    none[box.slices] = _touching(np.asarray(dark), grow(inside, 3))
    return none if none.sum() >= _LEAST * mask.sum() else np.zeros_like(mask)


class _BackgroundFlow:
    """The flow of a scene with that beside the masks replaced: a shadow draws it along."""

    def __init__(self, scene: StoredScene) -> None:
        self.field = scene.field
        self._scene = scene
        self._completed = lru_cache(maxsize=2)(self._complete)

    def part(self, number: int, step: int, box: Box) -> Array:
        """Part of the flow from a frame to the one before (step -1) or after (1)."""
        return np.ascontiguousarray(self._completed(number, step)[box.slices])

    def _complete(self, number: int, step: int) -> Array:
        whole = _whole(self._scene)
        return complete(self._scene.flow(number, step, whole), _surroundings(self._scene.unknown(number, whole)))


def _whole(scene: StoredScene) -> Box:
    return Box(0, scene.size[0], 0, scene.size[1])


def _surroundings(mask: Mask) -> Mask:
    """Where a shadow may be: the box of the mask and what lies beside it."""
    result = np.zeros_like(mask)
    if mask.any():
        tight = Box.around(mask, 0)
        result[Box.around(mask, max(8, round(_WIDE * max(tight.size)))).slices] = True
    return result


def is_there(footage: Footage, scene: StoredScene) -> bool:
    """Whether most frames of a shot that are looked at have a shadow."""
    numbers = list(footage.numbers())
    step = max(1, len(numbers) // FRAMES)
    chosen = numbers[step // 2 :: step][:FRAMES]
    return sum(bool(shadow(scene, number).any()) for number in chosen) > len(chosen) / 2


def _ratio(picture: Array, views: list[Candidate], mask: Mask) -> Array:
    """Light of a frame over that of the median of other frames, (h, w, 3); 1 under the mask and where none shows it."""
    stack = np.stack([np.where(one.visible[..., None], one.picture, np.nan) for one in views])
    known = np.isfinite(stack).all(-1).sum(0) >= 2
    usual = np.nanmedian(np.where(known[None, ..., None], stack, 0), 0)
    counts = (known & ~mask).astype(np.float32)
    share = np.maximum(cv2.GaussianBlur(counts, (0, 0), _SOFT), 1e-3)[..., None]
    pair = [(each * counts[..., None]).astype(np.float32) for each in (picture, usual)]
    ours, theirs = (cv2.GaussianBlur(each, (0, 0), _SOFT) / share for each in pair)
    ratio = (ours + _FLOOR) / np.maximum(theirs + _FLOOR, _FLOOR)
    return np.where(counts[..., None] > 0, ratio, 1).astype(np.float32)


def _touching(pieces: Mask, near: Mask) -> Mask:
    """The pieces that touch what is near."""
    count, labels = cv2.connectedComponents(pieces.astype(np.uint8))
    keep = np.zeros(count, bool)
    keep[np.unique(labels[near & pieces])] = True
    keep[0] = False
    return np.asarray(keep[labels])
