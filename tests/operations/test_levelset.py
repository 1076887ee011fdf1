"""The active contour on pictures whose regions are known."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.levelset import LevelSetTerms, LevelSetWeights
from pictures import overlap


def disc(size: int = 96, radius: float = 24, at: tuple[float, float] = (48, 48)) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size]
    return np.hypot(x - at[0], y - at[1]) < radius


def noisy(mask: np.ndarray, noise: float = 0.15) -> np.ndarray:
    rng = np.random.default_rng(5)
    return (0.3 + 0.4 * mask + rng.normal(0, noise, mask.shape)).astype(np.float32)


def terms(picture: np.ndarray, **weights: Any) -> LevelSetTerms:
    return LevelSetTerms(LevelSetWeights(**weights), picture[None])


def test_signed_distance_is_one_per_pixel_and_positive_inside() -> None:
    phi = levelset.signed_distance(disc())
    assert phi[48, 48] == pytest.approx(24, abs=1.5)
    assert phi[48, 80] == pytest.approx(-8, abs=1.5)
    assert ((phi > 0) == disc()).all()


@pytest.mark.parametrize("full", [False, True])
def test_signed_distance_of_nothing_and_everything_is_far(full: bool) -> None:
    phi = levelset.signed_distance(np.full((8, 9), full))
    assert (phi > 100).all() if full else (phi < -100).all()


def test_derivative_is_that_of_the_heaviside() -> None:
    phi = np.linspace(-5, 5, 1001, dtype=np.float32)
    numeric = np.gradient(levelset.heaviside(phi, 1.5), phi)
    assert np.abs(numeric - levelset.derivative(phi, 1.5)).max() < 1e-3


def test_means_find_a_shifted_disc() -> None:
    right = disc()
    start = levelset.signed_distance(disc(radius=20, at=(56, 42)))
    phi = levelset.evolve(start, terms(noisy(right)), 40, levels=2)
    assert overlap(phi > 0, right) > 0.93


def test_energy_of_equation_one_falls() -> None:
    picture = noisy(disc())
    picture = (picture - picture.mean()) / picture.std()
    phi = levelset.signed_distance(disc(radius=18, at=(52, 46)))
    energies = [levelset.energy(phi, picture[None], 1.0)]
    levelset.chan_vese(picture, phi, 30, watch=lambda _, now: energies.append(levelset.energy(now, picture[None], 1.0)))
    assert energies[-1] < energies[0]
    assert energies[-1] <= min(energies) * 1.02


def test_distance_regularization_keeps_phi_from_steepening() -> None:
    """Li et al. 2010: no re-initialization, and yet the slope along the contour stays bounded."""
    start = levelset.signed_distance(disc(radius=20, at=(56, 42)))

    def slope(**weights: float) -> float:
        phi = levelset.evolve(start, terms(noisy(disc(), 0.03), **weights), 200)
        return float(np.hypot(*np.gradient(phi)).ravel()[levelset._narrow_band(phi, 1)].mean())

    assert slope() < 3.5
    assert slope(distance=0.0) > 1.3 * slope()


def test_ours_is_there_by_iteration_40_where_the_basic_model_is_not() -> None:
    """Fig. 7: same picture, same start; the prior shape and the band make the difference."""
    right = disc()
    rng = np.random.default_rng(2)
    picture = noisy(right, 0.25) + 0.3 * disc(radius=12, at=(15, 80)) + rng.normal(0, 0.02, right.shape)
    picture = picture.astype(np.float32)
    start = levelset.signed_distance(disc(radius=30, at=(54, 44)))
    basic = levelset.chan_vese(picture, start, 40)
    prior = levelset.signed_distance(disc(radius=26, at=(50, 47)))
    ours = levelset.evolve(start, replace(terms(picture, prior=1.0), prior=prior), 40, levels=2)
    assert overlap(ours > 0, right) > 0.9
    assert overlap(ours > 0, right) > overlap(basic > 0, right) + 0.15


def test_local_means_stand_uneven_light() -> None:
    right = disc()
    light = np.linspace(0, 1.2, 96, dtype=np.float32)[None]
    picture = (0.35 * right + light).astype(np.float32)
    start = levelset.signed_distance(disc(radius=20, at=(52, 45)))
    whole = levelset.evolve(start, terms(picture), 60)
    local = levelset.evolve(start, terms(picture, mu=3.0, local=10), 60)
    assert overlap(local > 0, right) > 0.88
    assert overlap(local > 0, right) > overlap(whole > 0, right) + 0.1


def test_the_prior_shape_fills_what_the_picture_does_not_show() -> None:
    right = disc()
    hidden = right.copy()
    hidden[:, 55:65] = False
    prior = levelset.signed_distance(right)
    without = levelset.evolve(prior, terms(noisy(hidden, 0.02)), 60)
    by_prior = levelset.evolve(prior, replace(terms(noisy(hidden, 0.02), prior=12.0), prior=prior), 60)
    assert overlap(by_prior > 0, right) > overlap(without > 0, right) + 0.05


def test_only_the_band_is_worked_on() -> None:
    """Forty steps at 1080p cost a fraction of as many full ones."""
    y, x = np.mgrid[0:1080, 0:1920]
    right = np.hypot(x - 900, y - 500) < 200
    evidence = np.where(right, 1.0, -1.0).astype(np.float32)
    start = levelset.signed_distance(np.hypot(x - 904, y - 503) < 196)
    levelset.evolve(start[:64, :64], LevelSetTerms(LevelSetWeights(), None, evidence[:64, :64]), 2)
    levelset.chan_vese(evidence[:64, :64], start[:64, :64], 1)
    began = time.process_time()
    phi = levelset.evolve(start, LevelSetTerms(LevelSetWeights(evidence=1.0), None, evidence), 40)
    ours = time.process_time() - began
    began = time.process_time()
    levelset.chan_vese(evidence, start, 4)
    basic = (time.process_time() - began) * 10
    assert overlap(phi > 0, right) > 0.98
    assert ours < basic / 4
