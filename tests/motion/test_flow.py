"""Flow, its confidence and warping."""

from __future__ import annotations

import cv2
import numpy as np

from answerprint.motion import flow


def texture() -> np.ndarray:
    noise = np.random.default_rng(4).integers(0, 255, (90, 140)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def test_a_shift_is_found_and_undone() -> None:
    card = texture()
    first, second = card[:, :120], card[:, 3:123]
    forward, back = flow.flow(first, second), flow.flow(second, first)
    assert np.abs(np.median(forward[..., 0]) + 3) < 0.2
    undone = flow.warp(second, forward)
    assert np.abs(undone.astype(int) - first)[10:-10, 10:-10].mean() < 4
    trust = flow.confidence(forward, back)
    assert np.median(trust[10:-10, 10:-10]) > 0.8
    assert trust[:, :2].max() == 0  # it left the picture


def test_a_disagreement_is_no_trust() -> None:
    there, back = np.zeros((20, 30, 2), np.float32), np.zeros((20, 30, 2), np.float32)
    back[:, 15:, 0] = 6
    trust = flow.confidence(there, back)
    assert trust[:, :14].min() > 0.99 and trust[:, 16:].max() < 0.01


def test_a_picture_of_one_pixel_has_a_flow() -> None:
    assert flow.flow(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8)).shape == (1, 1, 2)
