"""Where two pictures lie beside each other, whatever the grade."""

from __future__ import annotations

import cv2
import numpy as np

from answerprint.motion import align


def scene(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((120, 160), np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2.5) * 4 - 1.5


def test_a_grade_leaves_the_edges_where_they_are() -> None:
    one = scene()
    graded = (one.clip(0, 1) ** 0.6 * 0.7 + 0.1).astype(np.float32)
    assert align.agreement(align.edges(one), align.edges(graded)) > 0.8
    assert align.agreement(align.edges(one), align.edges(scene(1))) < 0.3


def test_a_shift_is_found_to_the_pixel() -> None:
    one = scene()
    other = np.roll(one, (3, -5), (0, 1)) * 0.5
    x, y = align.shift(align.edges(one), align.edges(other))
    assert abs(x + 5) < 0.3 and abs(y - 3) < 0.3


def test_all_pairs_at_once_are_the_same_as_one_by_one() -> None:
    planes = [align.edges(scene(i)) for i in range(3)]
    table = align.agreements(planes[:2], planes)
    assert table.shape == (2, 3)
    assert abs(table[1, 2] - align.agreement(planes[1], planes[2])) < 1e-6


def test_a_flat_picture_contradicts_nothing() -> None:
    assert align.agreement(align.edges(np.zeros((20, 20), np.float32)), align.edges(scene()[:20, :20])) == 1
