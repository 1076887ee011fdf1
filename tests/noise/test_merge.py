"""Frames laid onto each other: less noise where they agree, and the noise that is left is known."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint.noise import merge

SIGMA = 0.08


def texture(seed: int = 1, height: int = 120, width: int = 200) -> Tensor:
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.random((height, width, 3), np.float32), (0, 0), w) * w for w in (1.5, 4, 12)]
    mixed = sum(layers)
    mixed = (mixed - mixed.min()) / (mixed.max() - mixed.min())
    return torch.from_numpy(mixed).permute(2, 0, 1).contiguous()


def noisy(clean: Tensor, seed: int, sigma: float = SIGMA) -> merge.NoisyFrame:
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return merge.NoisyFrame(clean + sigma * noise, torch.full_like(clean, sigma))


def panned(steps: int) -> Tensor:
    """A camera that moves three pixels across and one down a frame."""
    return texture()[:, 20 + steps : 100 + steps, 30 + 3 * steps : 160 + 3 * steps].contiguous()


def error(made: Tensor, clean: Tensor) -> float:
    return float((made - clean)[:, 10:-10, 14:-14].square().mean().sqrt())


def test_a_moving_camera_does_not_keep_the_frames_apart_and_the_noise_left_is_known() -> None:
    made, left = merge.merge(noisy(panned(0), 0), [noisy(panned(k), 10 + k) for k in (-2, -1, 1, 2)])
    assert error(made, panned(0)) < 0.6 * SIGMA  # the square root of five frames would give 0.45
    told = float(left[:, 10:-10, 14:-14].mean())
    assert 0.8 * told < error(made, panned(0)) < 1.2 * told


def test_what_is_only_in_a_neighbor_does_not_come_along() -> None:
    there = panned(1)
    there[:, 30:60, 50:90] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)
    made, left = merge.merge(noisy(panned(0), 0), [noisy(there, 5)])
    inside = (slice(None), slice(38, 54), slice(60, 84))
    assert float((made - panned(0))[inside].mean().abs()) < 0.02
    assert float(left[inside].mean()) > 0.9 * SIGMA


def test_another_scene_changes_nothing() -> None:
    frame = noisy(panned(0), 0)
    made, left = merge.merge(frame, [noisy(texture(9)[:, :80, :130].flip(2) * 0.5, 3)])
    assert float((made - frame.pixels).abs().mean()) < 0.1 * SIGMA
    assert float((left < 0.9 * SIGMA).float().mean()) < 0.1


def test_a_pixel_that_says_nothing_is_told_by_its_neighbors_in_time() -> None:
    hit = noisy(panned(0), 0)
    pixels, sigma = hit.pixels.clone(), hit.sigma.clone()
    pixels[:, 40, 60], sigma[:, 40, 60] = float("nan"), 1.0
    made, left = merge.merge(merge.NoisyFrame(pixels, sigma), [noisy(panned(k), 10 + k) for k in (-1, 1)])
    assert float((made - panned(0))[:, 40, 60].abs().max()) < 4 * SIGMA
    assert float(left[:, 40, 60].max()) < 1.1 * SIGMA
    # And without any, it stays as it was.
    alone, told = merge.merge(merge.NoisyFrame(pixels, sigma), [])
    assert bool(alone[:, 40, 60].isnan().all()) and float(told[:, 40, 60].min()) == 1.0


def test_a_flicker_of_light_is_not_averaged_away() -> None:
    """Light that changes by more than the noise hides is the shot's own."""
    frame = noisy(panned(0) * 0.8, 0, 0.01)
    made, _ = merge.merge(frame, [noisy(panned(1) * 0.9, 2, 0.01)])
    assert float((made - frame.pixels).mean().abs()) < 0.002
