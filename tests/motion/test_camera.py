"""The camera's motion, of a scene that pans and one that does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from answerprint.motion import camera, flow


def scene(pan: int) -> np.ndarray:
    """A mottled ground that pans."""
    noise = np.random.default_rng(1).integers(0, 255, (120, 260)).astype(np.uint8)
    ground = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 30, 220, cv2.NORM_MINMAX)
    return np.ascontiguousarray(ground[:, 30 + pan : 190 + pan])


def test_a_pan_is_a_moving_camera_and_a_still_one_is_not() -> None:
    panned = camera.dominant_motion(flow.flow(scene(0), scene(4)))
    still = camera.dominant_motion(flow.flow(scene(0), scene(0)))
    assert panned.moving and panned.matrix[0, 2] == pytest.approx(-4, abs=0.3)
    assert not still.moving
