"""Soft edges against a composite whose alpha and colors are known."""

from __future__ import annotations

import numpy as np
import pytest

from answerprint.operations.cutout import levelset, matting


def composite() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A disc with a ramp of 6 pixels, red before blue: picture, alpha, foreground color."""
    y, x = np.mgrid[0:80, 0:80].astype(np.float32)
    alpha = ((24 - np.hypot(x - 40, y - 40)) / 6 + 0.5).clip(0, 1)
    own, behind = np.array([0.8, 0.2, 0.1], np.float32), np.array([0.1, 0.2, 0.7], np.float32)
    return (alpha[..., None] * own + (1 - alpha[..., None]) * behind).astype(np.float32), alpha, own


@pytest.mark.parametrize("how", [matting.guided, matting.closed_form])
def test_alpha_comes_nearer_than_the_hard_edge(how: object) -> None:
    picture, alpha, _ = composite()
    phi = levelset.signed_distance(alpha > 0.5)
    soft = how(picture, phi, 8.0)
    assert np.abs(soft - alpha).mean() < 0.5 * np.abs(matting.hard(phi) - alpha).mean()
    assert soft[40, 40] == 1 and soft[2, 2] == 0


@pytest.mark.parametrize("how", [matting.guided, matting.closed_form])
@pytest.mark.parametrize("full", [True, False])
def test_nothing_and_everything_stay_so(how: object, full: bool) -> None:
    phi = levelset.signed_distance(np.full((20, 20), full))
    assert (how(np.zeros((20, 20, 3), np.float32), phi, 4.0) == full).all()


def test_edge_colors_lose_the_background() -> None:
    picture, alpha, own = composite()
    freed = matting.foreground(picture, alpha)
    edge = (alpha > 0.2) & (alpha < 0.8)
    assert np.abs(freed - own)[edge].mean() < 0.25 * np.abs(picture - own)[edge].mean()
    assert np.array_equal(freed[alpha == 1], picture[alpha == 1])
