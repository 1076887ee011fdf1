"""The fitted LUT: near to what was asked where colors are, quiet and rising where none are."""

from __future__ import annotations

import numpy as np
import torch

from answerprint.color import lattice


def seen(count: int = 6000, top: float = 0.6) -> np.ndarray:
    """Colors from the darker part of the cube only."""
    return np.random.default_rng(0).random((count, 3)) * top


def bent(colors: np.ndarray) -> np.ndarray:
    """A grade that no CDL holds: red leans on green, blue bends."""
    red, green, blue = colors.T
    return np.stack([red + 0.08 * np.sin(4 * green), green, blue - 0.06 * np.cos(5 * blue)], 1)


def colors_of(before: np.ndarray, after: np.ndarray) -> lattice.Colors:
    return lattice.Colors(before, after, lattice.balance(before))


def test_it_follows_the_colors() -> None:
    before = seen()
    residual = lattice.fit(colors_of(before, bent(before)), 9, 1e-6)
    fresh = np.random.default_rng(1).random((500, 3)) * 0.55
    away = np.abs(fresh + lattice.lookup(residual, fresh) - bent(fresh))
    assert away.mean() < 0.002 < np.abs(fresh - bent(fresh)).mean() / 10


def test_what_is_lookup_is_what_is_rendered() -> None:
    before = seen(top=1)
    residual = lattice.fit(colors_of(before, bent(before)), 5, 1e-4)
    rendered = lattice.residual_cube(residual).apply(torch.from_numpy(before).float().T[:, None].contiguous())
    assert np.abs(rendered[:, 0].T.numpy() - before - lattice.lookup(residual, before)).max() < 1e-5


def test_where_nothing_was_seen_it_still_rises() -> None:
    # A steep fall at the border of what was seen would go on for ever if bending alone were held small.
    before = seen(top=0.5)
    after = before - np.array([0.9, 0.0, 0.0]) * np.maximum(before - 0.4, 0) * 2
    residual = lattice.fit(colors_of(before, after), 9, 1e-6).numpy()
    whole = residual[..., 0] + np.linspace(0, 1, 9)
    assert (np.diff(whole[:, :, 5:], axis=2) > 0).all()


def test_a_wild_pixel_in_twenty_does_not_pull_it_away() -> None:
    before = seen()
    after = bent(before)
    after[::20] = 1 - after[::20]
    away = np.abs(before + lattice.lookup(lattice.fit(colors_of(before, after), 9, 1e-5), before) - bent(before))
    assert away.mean() < 0.01


def test_rare_colors_have_a_say() -> None:
    colors = np.concatenate([np.full((990, 3), 0.5), np.full((10, 3), 0.9)])
    weight = lattice.balance(colors)
    assert weight[-1] > 5 * weight[0]
    assert abs(weight.mean() - 1) < 1e-9


def test_a_residual_of_zero_is_the_identity_even_beyond_white() -> None:
    cube = lattice.residual_cube(torch.zeros(5, 5, 5, 3))
    pixels = torch.rand(3, 9, 9) * 1.3 - 0.15
    assert torch.allclose(cube.apply(pixels), pixels, atol=1e-6)
