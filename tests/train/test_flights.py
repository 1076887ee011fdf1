"""Flights: the truth they tell is checked by warping, by rectangles whose motion is known, and by their own seeds."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from answerprint.motion import flow as search
from answerprint.train import data, flights
from pictures import spots


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> data.Library:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    for index in range(6):
        cv2.imwrite(str(folder / f"p_{index * 3}.png"), spots(rng, 12, 16, 400, 480))
    return data.load([folder], ratio=(1, 0, 0)).training


def plain(value: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda x, y: np.full((*x.shape, 3), value, np.uint8)


def box(size: tuple[int, int], left: int, top: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[top : top + height, left : left + width] = 255
    return np.pad(mask, flights.MARGIN)


def shift(size: tuple[int, int], x: float, y: float) -> np.ndarray:
    return np.broadcast_to(np.array([x, y], np.float32), (*size, 2)).copy()


def test_occlusion_is_exact_where_a_box_moves_over_a_still_background() -> None:
    size = (40, 60)
    stack = [
        flights.Layer(shift(size, 0, 0), plain(50)),
        flights.Layer(shift(size, 7, 0), plain(200), box(size, 27, 10, 12, 8)),
    ]
    pair = flights.compose(stack, np.random.default_rng(1))
    expected = torch.ones(size, dtype=torch.bool)
    expected[10:18, 32:39] = False  # from 20..32 to 27..39: these seven columns get covered
    assert torch.equal(pair.visible, expected)
    assert torch.equal(pair.layer == 1, torch.from_numpy(box(size, 20, 10, 12, 8)[96:-96, 96:-96] > 0))
    assert float(pair.flow[0][pair.layer == 1].min()) == 7.0 and float(pair.flow[0][pair.layer == 0].abs().max()) == 0.0


def test_what_leaves_the_picture_is_hidden() -> None:
    size = (32, 48)
    pair = flights.compose([flights.Layer(shift(size, 5, -3), plain(90))], np.random.default_rng(1))
    expected = torch.zeros(size, dtype=torch.bool)
    expected[3:, :-5] = True
    assert torch.equal(pair.visible, expected)


def test_a_layer_between_two_is_hidden_by_the_upper_only() -> None:
    size = (40, 60)
    stack = [
        flights.Layer(shift(size, 0, 0), plain(10)),
        flights.Layer(shift(size, 0, 0), plain(90), box(size, 10, 10, 10, 10)),
        flights.Layer(shift(size, -20, 0), plain(220), box(size, 14, 5, 20, 20)),
    ]
    pair = flights.compose(stack, np.random.default_rng(1))
    assert not pair.visible[12, 15] and pair.visible[12, 11]
    assert bool(pair.visible[pair.layer == 2].all())


@pytest.mark.parametrize("pace", flights.RANGES)
def test_the_second_picture_warped_by_the_truth_is_the_first(photos: data.Library, pace: str) -> None:
    errors = []
    for seed in range(6):
        pair = flights.flight(photos, np.random.default_rng(seed), (128, 160), pace, clean=True)
        second = np.ascontiguousarray(pair.second.permute(1, 2, 0).numpy())
        warped = search.warp(second, pair.flow.permute(1, 2, 0).contiguous().numpy(), how=cv2.INTER_CUBIC)
        difference = np.abs(warped - pair.first.permute(1, 2, 0).numpy()).mean(2)
        solid = cv2.erode(pair.visible.numpy().astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        errors.append(np.median(difference[solid]))
    assert max(errors) < 4 / 255


def test_magnitudes_are_of_the_range_asked_for(photos: data.Library) -> None:
    typical = {}
    for pace in flights.RANGES:
        pairs = [flights.flight(photos, np.random.default_rng(s), (96, 128), pace, clean=True) for s in range(12)]
        typical[pace] = np.median([float(pair.flow.norm(dim=0).mean()) for pair in pairs])
    assert typical["small"] < 3 < typical["medium"] < 20 < typical["large"] < 120


def test_the_same_seed_gives_the_same_pair_and_another_another(photos: data.Library) -> None:
    a, b, c = (flights.flight(photos, np.random.default_rng(seed), (64, 96)) for seed in (5, 5, 6))
    assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("first", "second", "flow", "visible"))
    assert not torch.equal(a.first, c.first)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (160, 64)])
def test_what_it_gives(photos: data.Library, size: tuple[int, int]) -> None:
    for seed in range(8):
        pair = flights.flight(photos, np.random.default_rng(seed), size)
        assert pair.first.shape == pair.second.shape == (3, *size) and pair.flow.shape == (2, *size)
        assert pair.first.dtype == pair.flow.dtype == torch.float32
        assert float(pair.first.min()) >= 0 and float(pair.second.max()) <= 1
        assert bool(pair.flow.isfinite().all())


def test_spoiling_leaves_the_truth(photos: data.Library) -> None:
    pair = flights.flight(photos, np.random.default_rng(2), (64, 96), clean=True)
    spoiled = flights.spoiled(pair, np.random.default_rng(3))
    assert spoiled.flow is pair.flow and spoiled.visible is pair.visible
    assert not torch.equal(spoiled.first, pair.first)


def test_the_background_shows_motion_though_most_photographs_are_plain(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    for index in range(9):
        noise = rng.normal(40, 2, (400, 480, 3)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"p_{index}.png"), spots(rng, 12, 16, 400, 480) if index % 3 == 0 else noise)
    photos = data.load([tmp_path], ratio=(1, 0, 0)).training
    plain_pairs = 0
    for seed in range(20):
        background = flights.layers(photos, np.random.default_rng(seed), (96, 128), 1.0)[0]
        y, x = np.mgrid[0:96, 0:128].astype(np.float32)
        plain_pairs += float(background.texture(x, y).astype(np.float32).std()) < 6
    # A photograph drawn blindly is plain in two of three pairs.
    assert plain_pairs <= 3
