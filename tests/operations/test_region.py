"""Motion found where something moves, and only there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from answerprint.motion import camera, flow
from answerprint.operations.cutout import region


def texture(height: int, width: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 30, 220, cv2.NORM_MINMAX)


def scene(shift: int = 0, pan: int = 0, gain: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """A square that moves by `shift` before a background that pans."""
    picture = texture(120, 260)[:, 30 + pan : 190 + pan].copy()
    picture[40:80, 60 + shift : 100 + shift] = texture(40, 40, 9)
    rng = np.random.default_rng(shift + 31 * pan + 7)
    return (picture * gain + rng.normal(0, noise, picture.shape)).clip(0, 255).astype(np.uint8)


def moving_region(frames: list[np.ndarray]) -> np.ndarray:
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    differences = []
    for other in (0, 2):
        motion = camera.dominant_motion(flow.flow(grays[1], grays[other]))
        differences.append(region.difference(frames[1], frames[other], motion))
    return region.clean(region.motion_mask(differences, "noise")[0])


@pytest.mark.parametrize("pan", [0, 4])
def test_three_frames_show_what_moves_whether_the_camera_pans_or_not(pan: int) -> None:
    mask = moving_region([scene(6 * i, pan * i) for i in range(3)])
    right = np.zeros(mask.shape, bool)
    right[40:80, 66:106] = True
    assert mask[right].mean() > 0.6
    assert mask[~right].mean() < 0.05


def test_flicker_and_noise_are_no_motion() -> None:
    assert moving_region([scene(0, 0, gain, 3) for gain in (0.8, 1.0, 1.1)]).mean() < 0.005


def test_a_moving_thing_is_mask_through_flicker() -> None:
    mask = moving_region([scene(6 * i, 0, gain, 2) for i, gain in enumerate((0.85, 1.0, 1.1))])
    assert mask[45:75, 70:100].mean() > 0.5
    assert mask[:30].mean() < 0.02


def test_light_is_measured() -> None:
    picture = texture(60, 80)[..., 0].astype(np.float32) / 255
    changed = 1.25 * picture + 0.05
    changed[10:20, 10:30] = 0
    gain, offset = region.light_change(picture, changed)
    assert gain == pytest.approx(1.25, abs=0.02)
    assert offset == pytest.approx(0.05, abs=0.01)


def test_depth_keeps_a_piece_by_influence_and_unknown_depth_keeps_all() -> None:
    mask = np.zeros((40, 80), bool)
    mask[10:30, 10:30] = mask[10:30, 50:70] = True
    change = np.zeros(mask.shape, np.float32)
    change[10:30, 10:30] = 1
    pieces, share = region.check_depth(mask, change, None, 1.0)
    assert pieces[20, 20] and not pieces[20, 60] and share == pytest.approx(0.5)
    assert (region.check_depth(mask, change, None, 0.0)[0] == mask).all()
    assert (region.check_depth(mask, change, np.zeros_like(mask), 1.0)[0] == mask).all()


def test_nan_in_depth_is_unknown() -> None:
    near, far = np.full((40, 60), 2.0, np.float32), np.full((40, 60), 5.0, np.float32)
    first, second = far.copy(), far.copy()
    first[10:30, 20:40] = near[10:30, 20:40]
    second[10:30, 20:40] = 2.5
    first[:5] = np.nan
    second[:, :5] = np.inf
    change, known = region.depth_change(first, second, np.zeros((40, 60, 2), np.float32))
    assert np.isfinite(change).all()
    assert not known[:5].any() and not known[:, :5].any()
    assert change[12:28, 22:38].min() > 0.9 and change[32:, 6:].max() < 0.1
