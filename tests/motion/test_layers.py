"""Two layers whose motions are known: a textured disc over a textured ground that moves otherwise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from answerprint.motion import flow, layers
from answerprint.motion.layers import View
from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.propagate import propagate
from answerprint.operations.cutout.state import ContourSettings, ContourState
from pictures import overlap

H, W = 120, 180
GROUND, TARGET = (-2, 1), (5, 2)  # pixels a frame, x and y


def texture(seed: int, tint: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mottled = cv2.GaussianBlur(rng.normal(0, 1, (3 * H, 3 * W)), (0, 0), 1.5)
    return (np.array(tint) + 90 * (mottled / mottled.std())[..., None] * 0.4).clip(0, 255).astype(np.uint8)


# Both look alike: only the way they move tells them apart.
BACK, FRONT = texture(1, (120, 120, 120)), texture(2, (120, 120, 120))


def mask(number: int, radius: float = 20) -> np.ndarray:
    y, x = np.mgrid[0:H, 0:W]
    return np.hypot(x - 60 - TARGET[0] * number, y - 50 - TARGET[1] * number) < radius


def picture(number: int) -> np.ndarray:
    def shown(whole: np.ndarray, move: tuple[int, int]) -> np.ndarray:
        top, left = H - move[1] * number, W - move[0] * number
        return whole[top : top + H, left : left + W]

    return np.where(mask(number)[..., None], shown(FRONT, TARGET), shown(BACK, GROUND)).astype(np.uint8)


@pytest.fixture(scope="module")
def pair() -> tuple[View, View, np.ndarray, np.ndarray, layers.LayerMotion]:
    before, present = View.of(picture(0)), View.of(picture(1))
    phi = levelset.signed_distance(mask(0))
    back = flow.flow(present.gray, before.gray, "medium")
    return before, present, phi, back, layers.layer_motion(before, present, phi, back)


def test_each_layer_has_its_own_motion_also_where_the_other_is(pair: tuple) -> None:
    *_, motion = pair
    inside, edge = mask(1, 17), mask(1, 24) & ~mask(1, 16)
    for where in (inside, edge):
        assert np.abs(np.median(motion.target[where], axis=0) + TARGET).max() < 0.3
    assert np.abs(np.median(motion.background[mask(1)], axis=0) + GROUND).max() < 0.7


def test_the_target_carried_by_its_own_motion_keeps_its_shape(pair: tuple) -> None:
    _, _, phi, back, motion = pair
    own = flow.warp(phi, motion.target, layers.OUTSIDE) > 0
    dense = flow.warp(phi, back, layers.OUTSIDE) > 0
    assert overlap(own, mask(1)) > 0.93 and overlap(own, mask(1)) > overlap(dense, mask(1))


def test_motion_tells_background_from_target(pair: tuple) -> None:
    before, present, _, back, motion = pair
    evidence = layers.motion_evidence(present, before, back, motion)
    assert evidence[mask(1, 15)].mean() > 0.5
    assert evidence[~mask(1, 30) & mask(1, 40)].mean() < -1.5


def test_where_nothing_moves_motion_says_nothing() -> None:
    view = View.of(picture(0))
    phi, still = levelset.signed_distance(mask(0)), np.zeros((H, W, 2), np.float32)
    evidence = layers.motion_evidence(view, view, still, layers.layer_motion(view, view, phi, still))
    assert np.abs(evidence).max() < 0.1


def test_a_key_frame_learns_what_goes_along() -> None:
    key, other = View.of(picture(0)), View.of(picture(2))
    evidence = layers.target_motion_evidence(
        key, layers.DistantFrame.of(key, other), levelset.signed_distance(mask(0, 14))
    )
    assert evidence[mask(0, 18)].mean() > 0.3 > -0.3 > evidence[~mask(0, 26) & mask(0, 34)].mean()


def test_vectors_spread_to_where_nothing_is_known() -> None:
    weight = np.zeros((H, W), np.float32)
    weight[40:60, 50:70] = 1
    vectors = np.full((H, W, 2), 99, np.float32)
    vectors[40:60, 50:70] = (3, -4)
    assert np.abs(layers.spread(vectors, weight) - (3, -4)).max() < 0.05


def test_the_key_is_found_again_frames_later() -> None:
    phi = levelset.signed_distance(mask(0))
    memory = layers.KeyMemory(View.of(picture(0)), phi, layers.CropWindow(0, 0, H, W))
    for number in range(1, 6):
        target = np.full((H, W, 2), (-TARGET[0] + 0.5, -TARGET[1]), np.float32)  # half a pixel wrong every frame
        phi, trust = memory.warp_onto(View.of(picture(number)), target)
    assert overlap(phi > 0, mask(5)) > 0.9
    assert trust[mask(5, 12)].mean() > 0.6


def test_what_looks_like_its_ground_is_carried_by_the_way_it_moves() -> None:
    key = ContourState(levelset.signed_distance(mask(0)), 0.9)
    carried = dict(propagate(picture, 0, range(1, 7), {0: key}, ContourSettings()))
    assert min(overlap(state.phi > 0, mask(number)) for number, state in carried.items()) > 0.85


def test_pieces_that_come_from_nowhere_are_dropped_and_pinholes_filled() -> None:
    shape = mask(0).copy()
    shape[50, 60] = False
    shape[100:110, 150:160] = True
    assert (layers.remove_stray_pieces(shape, mask(0)) == mask(0)).all()
