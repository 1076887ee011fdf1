"""Clean plates of a disc over a ground that looks like it: only what lies behind the disc tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from answerprint.motion.layers import CropWindow, View
from answerprint.motion.plate import Plate, Plates
from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.blend import BlendEvidence, blend, palette_of
from answerprint.operations.cutout.propagate import propagate
from answerprint.operations.cutout.state import ContourSettings, ContourState, overlap

H, W, COUNT = 120, 200, 24
PAN = (-2, 1)  # pixels a frame that the ground moves in the picture, x and y


def texture(seed: int) -> np.ndarray:
    mottled = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (3 * H, 3 * W)), (0, 0), 1.5)
    gray = (120 + 36 * mottled / mottled.std()).clip(0, 255).astype(np.uint8)
    return np.dstack([gray] * 3)


GROUND, FRONT = texture(1), texture(2)


def mask(number: int, speed: tuple[int, int], radius: float = 16) -> np.ndarray:
    y, x = np.mgrid[0:H, 0:W]
    return np.hypot(x - 100 - speed[0] * (number - 12), y - 60 - speed[1] * (number - 12)) < radius


def shot(speed: tuple[int, int]) -> Callable[[int], np.ndarray]:
    """A disc that goes at this speed in the picture, its texture with it."""

    def part(whole: np.ndarray, move: tuple[int, int], number: int) -> np.ndarray:
        top, left = H - move[1] * number, W - move[0] * number
        return whole[top : top + H, left : left + W]

    def picture(number: int) -> np.ndarray:
        front, ground = part(FRONT, speed, number), part(GROUND, PAN, number)
        return np.where(mask(number, speed)[..., None], front, ground).astype(np.uint8)

    return picture


def compare(speed: tuple[int, int], number: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Misfits to the ground, where they are known, and the measured motion against the ground."""
    picture, whole = shot(speed), CropWindow(0, 0, H, W)
    plate, right = Plate(Plates(picture, COUNT), number), mask(number, speed)
    away = plate.away(right, whole)
    view = View.of(np.ascontiguousarray(picture(number)))
    return *plate.misfits(view, whole, levelset.signed_distance(right), away), away


@pytest.mark.parametrize("number", [0, 12, COUNT - 1])
def test_what_passes_before_its_ground_differs_and_the_ground_does_not(number: int) -> None:
    speed = (3, 0)
    misfits, known, away = compare(speed, number)
    inside, outside = mask(number, speed, 13), ~mask(number, speed, 22)
    assert away == pytest.approx(np.subtract(speed, PAN), abs=0.7)
    assert known[inside].mean() > 0.95
    assert np.median(misfits[inside]) > 2 * np.quantile(misfits[outside & known], 0.9)


def test_nothing_is_known_behind_what_never_leaves_its_place() -> None:
    misfits, known, _ = compare(PAN)
    assert not known[mask(12, PAN)].any() and not misfits[mask(12, PAN)].any()


def test_what_no_other_frame_shows_is_not_known() -> None:
    """The camera reaches the last column with the last frame."""
    _, known, _ = compare((3, 0), COUNT - 1)
    assert not known[:, -4:].any() and known[20:-20, 20:-60].mean() > 0.9


def test_one_frame_has_no_clean_plate() -> None:
    picture = shot((3, 0))
    right, whole = mask(0, (3, 0)), CropWindow(0, 0, H, W)
    plate = Plate(Plates(picture, 1), 0)
    assert not plate.away(right, whole).any()
    odds = plate.odds(View.of(picture(0)), whole, levelset.signed_distance(right), np.zeros(2, np.float32))
    assert not odds.any()


def test_a_picture_at_half_its_size_is_told_the_same() -> None:
    speed, whole = (3, 0), CropWindow(0, 0, H // 2, W // 2)
    picture, right = shot(speed), mask(12, speed)[::2, ::2]
    small = cv2.resize(picture(12), (W // 2, H // 2), interpolation=cv2.INTER_AREA)
    plate = Plate(Plates(picture, COUNT), 12, 2.0)
    away = plate.away(right, whole)
    assert away == pytest.approx(np.subtract(speed, PAN) / 2, abs=0.4)
    odds = plate.odds(View.of(small), whole, levelset.signed_distance(right), away)
    assert odds[right].mean() > 0.5 > odds[~right].mean() + 1


def test_a_contour_that_slips_onto_its_ground_comes_back() -> None:
    """A key painted too wide over ground of the same look: the plate tells what of it stays behind."""
    speed = (3, 0)
    picture, wide = shot(speed), mask(4, speed, 16) | (mask(4, speed, 24) & (np.arange(W) < 76))
    key = ContourState(levelset.signed_distance(wide), 0.9)
    overlaps = []
    for plates in (None, Plates(picture, COUNT)):
        states = dict(propagate(picture, 4, range(5, 12), {4: key}, ContourSettings(), plates))
        overlaps.append(overlap(states[11].phi > 0, mask(11, speed)))
    assert overlaps[1] > 0.85 and overlaps[1] > overlaps[0]


def test_two_ways_that_each_hold_a_half_of_the_target_give_most_of_it() -> None:
    speed, number = (3, 0), 12
    picture, right = shot(speed), mask(number, speed)
    left = right & (np.arange(W) < 100)
    ways = [ContourState(levelset.signed_distance(half), 0.5) for half in (left, right & ~left)]
    keys = [(picture(at), ContourState(levelset.signed_distance(mask(at, speed)), 0.9)) for at in (0, COUNT - 1)]
    evidence = BlendEvidence(picture(number), palette_of(keys), ContourSettings())
    with_plate = replace(evidence, plate=Plate(Plates(picture, COUNT), number))
    assert overlap(blend(*ways, 0.5, (0.0, 0.0), with_plate).phi > 0, right) > 0.75  # type: ignore[call-arg]
    assert overlap(blend(*ways, 0.5, (0.0, 0.0), evidence).phi > 0, right) < 0.5  # type: ignore[call-arg]
