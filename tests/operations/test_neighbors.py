"""The quick search finds what a full search finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from answerprint.operations.match.neighbors import NeighborRegression


def neighborhoods(plane: np.ndarray) -> np.ndarray:
    padded = np.pad(plane, 1, mode="symmetric")
    height, width = plane.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.stack(shifted, -1).reshape(-1, 9)


def textured(height: int, width: int, seed: int) -> np.ndarray:
    card = torch.rand(1, 1, height // 6 + 2, width // 6 + 2, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(card, size=(height, width), mode="bicubic")[0, 0].numpy()
    return (100 * smooth + np.random.default_rng(seed).normal(0, 0.7, smooth.shape)).astype(np.float32)


def full_search(samples: np.ndarray, values: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    distance = np.sqrt(((asked[:, None].astype(np.float64) - samples[None]) ** 2).sum(-1))
    nearest = np.argsort(distance, axis=1)[:, :k]
    weight = 1 / (np.take_along_axis(distance, nearest, 1) + 1e-5)
    return (values[nearest] * weight[..., None]).sum(1) / weight.sum(1)[:, None]


@pytest.mark.parametrize("count", [1, 3, 64, 65, 1500])
def test_equals_the_full_search(count: int) -> None:
    rng = np.random.default_rng(count)
    reference = neighborhoods(textured(40, 60, 1))
    samples = reference[rng.choice(len(reference), count, replace=False)]
    values = rng.normal(0, 30, (count, 2)).astype(np.float32)
    plane = textured(35, 50, 2)
    predicted, variance, nearest = NeighborRegression(samples, values, 5).predict(torch.from_numpy(plane))
    expected = full_search(samples, values, neighborhoods(plane), min(5, count))
    np.testing.assert_allclose(predicted.reshape(2, -1).T.numpy(), expected, atol=0.02)
    assert bool((variance >= 0).all()) and bool((nearest >= 0).all())
    if count == 1:
        assert float(variance.max()) < 1e-4


def test_agrees_with_scikit_learn() -> None:
    sklearn_neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(0)
    samples = neighborhoods(textured(70, 90, 3))[rng.permutation(6300)[:3000]]
    values = rng.normal(0, 30, (3000, 2)).astype(np.float32)
    plane = textured(40, 60, 4)
    tree = sklearn_neighbors.KNeighborsRegressor(5, weights="distance", algorithm="kd_tree").fit(samples, values)
    expected = tree.predict(neighborhoods(plane))
    predicted, _, _ = NeighborRegression(samples, values, 5).predict(torch.from_numpy(plane))
    assert np.linalg.norm(predicted.reshape(2, -1).T.numpy() - expected, axis=1).mean() < 0.01


def test_equal_neighborhoods_get_equal_answers_wherever_they_stand() -> None:
    rng = np.random.default_rng(5)
    samples = neighborhoods(textured(40, 60, 5))[:1000]
    regression = NeighborRegression(samples, rng.normal(size=(1000, 1)).astype(np.float32), 5)
    plane = textured(30, 40, 6)
    there = np.full((50, 70), 20, np.float32)
    there[11:41, 17:57] = plane
    alone = regression.predict(torch.from_numpy(plane))[0][0, 1:-1, 1:-1]
    inside = regression.predict(torch.from_numpy(there))[0][0, 12:40, 18:56]
    torch.testing.assert_close(alone, inside, atol=1e-4, rtol=0)


def test_what_is_not_a_number_ends_the_search() -> None:
    regression = NeighborRegression(neighborhoods(textured(12, 12, 7)), np.ones((144, 1), np.float32), 5)
    plane = torch.full((8, 8), torch.nan)
    plane[0, 0], plane[7, 7] = torch.inf, -torch.inf
    predicted, _, _ = regression.predict(plane)
    torch.testing.assert_close(predicted, torch.ones(1, 8, 8))


def test_refuses_what_are_no_neighborhoods() -> None:
    with pytest.raises(ValueError, match="9"):
        NeighborRegression(np.zeros((4, 8), np.float32), np.zeros((4, 1), np.float32), 5)
