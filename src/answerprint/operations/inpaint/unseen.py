"""What no frame of a shot shows: made once, on the frame that lacks most of it, and carried to the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from answerprint.filters.patches import synthesize
from answerprint.filters.poisson import membrane
from answerprint.motion import propagate
from answerprint.motion.propagate import Box, Reach
from answerprint.operations.inpaint.footage import Flows, Footage, StoredScene
from answerprint.operations.inpaint.recover import Filled

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_KEYS = 6  # frames of a shot that are made; what these leave open is continued smoothly, frame by frame


def invent(footage: Footage, filled: Filled, motion: Flows, say: Callable[[str], None]) -> None:
    """Fills what no frame shows, in `filled`.

    Args:
        footage: the shot.
        filled: what its frames show of each other.
        motion: flow between them.
        say: hears how it gets on.
    """
    left = {number: int(filled.unseen.read(number).sum()) for number in footage.numbers()}
    for turn in range(_KEYS):
        key = max(left, key=lambda number: (left[number], -number), default=None)
        if key is None or not left[key]:
            return
        say(f"inpaint: frame {key + 1} of {len(footage)}, what no frame shows")
        hole = filled.unseen.read(key)
        whole, box = synthesize(filled.pictures.read(key), hole, seed=turn), Box.around(footage.masks.read(key), 0)
        filled.pictures.write(key, box, whole[box.slices])
        left[key] = 0
        filled.unseen.write(key, np.zeros_like(hole))
        for number in _outward(key, left):
            left[number] = _carry(filled, motion, key, number, footage.masks.read(number))


def _outward(key: int, left: dict[int, int]) -> list[int]:
    """Frames with something left, from the key frame on."""
    return sorted((number for number in left if left[number]), key=lambda number: (abs(number - key), number))


def _carry(filled: Filled, motion: Flows, key: int, number: int, mask: Mask) -> int:
    """Takes over from the key frame what a frame lacks; gives how many pixels it still lacks."""
    hole = filled.unseen.read(number)

    def unknown(other: int, box: Box) -> Mask:
        # Only the key frame is a source: what went through frames between would be resampled at each.
        if other == number:
            return hole[box.slices]
        return np.full(box.size[::-1], other != key)

    scene = StoredScene(len(filled.removed), filled.pictures, unknown, motion)
    box, options = propagate.candidates(scene, number, hole, Reach(frames=abs(number - key), count=1))
    picture, shown = propagate.mix(hole[box.slices], list(options), 1.0)
    if shown.any():
        part = np.where(shown[..., None], picture, filled.pictures.read(number, box))
        hole[box.slices] &= ~shown
        # Beside what came from the key frame, what is still open is continued anew.
        whole = filled.pictures.read(number)
        whole[box.slices] = membrane(part, ~hole[box.slices])
        mask_box = Box.around(mask, 0)
        filled.pictures.write(number, mask_box, whole[mask_box.slices])
        filled.unseen.write(number, hole)
    return int(hole.sum())
