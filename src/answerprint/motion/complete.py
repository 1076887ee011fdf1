"""Flow behind what hides it: the camera's motion, and what else moves around it continued smoothly.

Models are extended, not vectors (Matsushita et al. 2006 extend the vectors): a homography is fitted to the flow that is
seen, and only what is left of the flow is continued into the hidden part, as a membrane.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.filters.poisson import membrane
from answerprint.motion import camera

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_RIM = 2  # pixels round what is hidden that the camera is not fitted to
LEAST, MOST = 2, 8  # pixels round a mask whose flow is in doubt: inverse search reads patches of 8 pixels


def complete(vectors: Array, hidden: Mask) -> Array:
    """The flow (H, W, 2) with what is hidden (H, W) replaced; unchanged elsewhere."""
    if not hidden.any():
        return vectors
    if hidden.all():
        return np.zeros_like(vectors)
    model = camera.dominant_motion(vectors, ~grow(hidden, _RIM)).matrix
    whole = camera.displacement(model, hidden.shape)
    return np.where(hidden[..., None], whole + membrane(vectors - whole, ~hidden), vectors)


def unreliable(mask: Mask) -> Mask:
    """The mask with the rim in which flow is drawn along by what the mask hides: as wide as half of what is there."""
    result = grow(mask, LEAST)
    if not mask.any():
        return result
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    for radius in range(LEAST + 1, MOST + 1):
        core = depth > radius
        if not core.any():
            break
        result |= grow(core, 2 * radius)
    return result


def grow(mask: Mask, radius: int) -> Mask:
    """The mask and what lies within `radius` pixels of it."""
    if radius <= 0:
        return mask
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disk) > 0)
