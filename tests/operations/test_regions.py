"""Colors of two regions whose right answer is known."""

from __future__ import annotations

import numpy as np

from answerprint.color.bins import features
from answerprint.operations.cutout.regions import Regions

H, W = 96, 128


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A thin gray bar on a green ground, one pixel in five of which is as gray as the bar."""
    rng = np.random.default_rng(2)
    bar = np.zeros((H, W), bool)
    bar[:, 60:66] = True
    gray = bar | (rng.random((H, W)) < 0.2)
    return np.where(gray[..., None], (128, 128, 128), (60, 140, 60)).astype(np.uint8), bar


def test_a_large_ground_does_not_outvote_a_thin_target() -> None:
    picture, bar = scene()
    colors, regions = features(picture), Regions((H, W), 64, trust=6.0)  # as for a key frame
    regions.learn(colors, bar.astype(np.float32), (~bar).astype(np.float32))
    regions.anchor(colors, bar.astype(np.float32), (~bar).astype(np.float32))
    chance = regions.ask(colors, np.ones((H, W), bool))
    assert chance[bar].mean() > 0.5 > 0.1 > chance[picture[..., 0] == 60].mean()


def test_a_part_counts_where_it_lies() -> None:
    picture, bar = scene()
    colors, part = features(picture), (slice(16, 64), slice(48, 112))
    seen = np.zeros((H, W), bool)
    seen[part] = True
    whole, corner = Regions((H, W), 32), Regions((H, W), 32)
    whole.learn(colors, (bar & seen).astype(np.float32), (~bar & seen).astype(np.float32))
    inside, outside = bar[part].astype(np.float32), (~bar[part]).astype(np.float32)
    corner.learn(np.ascontiguousarray(colors[part]), inside, outside, (16, 48))
    asked = corner.ask(np.ascontiguousarray(colors[part]), np.ones(inside.shape, bool), (16, 48))
    assert np.allclose(whole.ask(colors, seen)[part], asked, atol=1e-6) and asked.std() > 0.1


def test_what_looks_like_the_keys_target_is_told_from_what_does_not() -> None:
    picture, bar = scene()
    colors, regions = features(picture), Regions((H, W))
    regions.anchor(colors, bar.astype(np.float32), (~bar).astype(np.float32))
    green = picture[..., 0] == 60
    assert regions.likeness(colors, bar) > 0.7 > 0.1 > regions.likeness(colors, green)
    assert regions.likeness(colors, np.zeros((H, W), bool)) == 0
