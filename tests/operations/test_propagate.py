"""Contours of one frame that came two ways, and a target that leaves its window."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.blend import BlendEvidence, blend, palette_of
from answerprint.operations.cutout.propagate import propagate
from answerprint.operations.cutout.state import ContourSettings, ContourState, overlap

H, W = 90, 400


def bar(left: float, width: int = 10) -> np.ndarray:
    x = np.arange(W)[None] * np.ones((H, 1))
    y = np.arange(H)[:, None] * np.ones((1, W))
    return (x >= left) & (x < left + width) & (y >= 20) & (y < 70)


def state(mask: np.ndarray, confidence: float = 0.5) -> ContourState:
    return ContourState(levelset.signed_distance(mask), confidence)


@pytest.mark.parametrize("apart", [2, 8, 30])
def test_a_blend_is_as_large_as_what_it_is_made_of(apart: int) -> None:
    """A mean of distances of two shapes that lie apart is smaller than both, and nothing in the end."""
    for nearness in (0.3, 0.7):
        both = blend(state(bar(100)), state(bar(100 + apart)), nearness, (0.7, 0.7))
        assert 0.8 * 500 <= (both.phi > 0).sum() <= 1.2 * 500
        nearer = bar(100) if nearness > 0.5 else bar(100 + apart)
        assert overlap(both.phi > 0, nearer) > 0.75


def test_the_way_that_reached_the_other_key_decides() -> None:
    right, wrong = state(bar(100)), state(bar(130), 0.8)
    assert overlap(blend(right, wrong, 0.3, (0.9, 0.0)).phi > 0, bar(100)) > 0.95
    assert overlap(blend(wrong, right, 0.7, (0.0, 0.9)).phi > 0, bar(100)) > 0.95


def test_a_lost_contour_takes_nothing_from_the_other() -> None:
    lost = ContourState(np.full((H, W), -30, np.float32), 0.0)
    for nearness in (0.1, 0.5):
        assert overlap(blend(state(bar(100)), lost, nearness, (0.5, 0.0)).phi > 0, bar(100)) == 1
    agreed = blend(state(bar(100)), state(bar(100)), 0.5, (0.5, 0.5))
    assert blend(state(bar(100)), lost, 0.5, (0.5, 0.0)).confidence < 0.6 * agreed.confidence


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    ground = cv2.GaussianBlur(rng.normal(0, 1, (H, W + 100)), (0, 0), 2)[:, 2 * number : W + 2 * number]
    front = np.roll(cv2.GaussianBlur(rng.normal(0, 1, (H, W)), (0, 0), 2), 8 * number, 1)
    shown = np.where(bar(20 + 8 * number, 24), 150 + 300 * front, 100 + 300 * ground)
    return np.dstack([shown, shown, shown]).clip(0, 255).astype(np.uint8)


def test_the_window_follows_a_small_target_across_the_picture() -> None:
    states = dict(propagate(picture, 0, range(1, 31), {0: state(bar(20, 24))}, ContourSettings()))
    overlaps = [overlap(one.phi > 0, bar(20 + 8 * number, 24)) for number, one in states.items()]
    assert min(overlaps) > 0.85


def test_an_empty_key_stays_empty_and_is_not_believed() -> None:
    empty = state(np.zeros((H, W), bool), 0.7)
    states = list(propagate(picture, 0, range(1, 3), {0: empty}, ContourSettings()))
    assert [one.confidence for _, one in states] == [0, 0] and not any((one.phi > 0).any() for _, one in states)


def colored(left: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    shown = np.where(bar(left, 40)[..., None], (180, 60, 50), (60, 90, 160)) + rng.normal(0, 8, (H, W, 3))
    return shown.clip(0, 255).astype(np.uint8), bar(left, 40)


def test_between_two_contours_the_keys_colors_decide() -> None:
    """One way lost half of the target, the other took background in; neither key is nearer."""
    shown, right = colored(120)
    palette = palette_of([(colored(at)[0], state(colored(at)[1])) for at in (60, 200)])
    half, more = state(bar(120, 20)), state(bar(100, 60))
    for first, second in ((half, more), (more, half)):
        blended = blend(first, second, 0.5, (0.4, 0.4), BlendEvidence(shown, palette, ContourSettings()))
        assert overlap(blended.phi > 0, right) > 0.9
