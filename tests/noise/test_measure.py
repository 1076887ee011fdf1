"""Noise is measured right: its level by channel and light, its reach; texture is no noise."""

import numpy as np
import pytest
import torch

from answerprint.noise import measure as noise
from answerprint.noise import synth
from answerprint.train import degrade
from pictures import noisy, photographs
from pictures import shaded as scene


def test_each_channel_and_luma_band_has_its_own_level() -> None:
    ramp = torch.linspace(0.05, 0.95, 320).expand(3, 160, 320)
    rng = np.random.default_rng(1)
    sensor = degrade.poisson_gaussian(ramp, 0.01, 0.005, rng)[0]
    found = noise.measure(sensor)
    expected = [(0.01 * luma + 0.005**2) ** 0.5 for luma in noise.BANDS]
    for channel in found.levels:
        assert channel.tolist() == pytest.approx(expected, rel=0.15)
    blue = noise.measure(degrade.gaussian(ramp, torch.tensor([0.01, 0.02, 0.06]).view(3, 1, 1), rng))
    assert blue.levels.mean(axis=1).tolist() == pytest.approx([0.01, 0.02, 0.06], rel=0.15)


@pytest.mark.parametrize("size", [(80, 96), (96, 128)])
def test_noise_of_a_small_picture_is_measured_too(size: tuple[int, int]) -> None:
    """No band of its light has blocks enough: it was taken to have no noise at all."""
    ramp = torch.linspace(0.1, 0.9, size[1]).expand(3, *size)
    found = noise.measure(degrade.gaussian(ramp, 0.05, np.random.default_rng(1)))
    assert float(found.levels.mean()) == pytest.approx(0.05, rel=0.2)
    assert float(noise.measure(ramp).levels.max()) < 0.002


@pytest.mark.parametrize("reach", [0.6, 1.0])
def test_grain_is_known_by_its_reach(reach: float) -> None:
    grainy = scene() + 0.05 * synth.correlated((3, 160, 208), reach, np.random.default_rng(2))
    found = noise.measure(grainy)
    assert found.reach == pytest.approx(reach, rel=0.25)
    assert float(found.levels.mean()) == pytest.approx(0.05, rel=0.15)


@pytest.mark.footage
def test_texture_that_stands_still_is_no_noise() -> None:
    for photo in photographs():
        alone, pair = noise.measure(photo), noise.measure(photo, photo)
        assert float(pair.levels.mean()) <= float(alone.levels.mean())
        assert float(noise.measure(*noisy(photo, 0.1)).levels.mean()) == pytest.approx(0.1, rel=0.1)


@pytest.mark.footage
@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_texture_in_a_single_picture_is_no_noise(sigma: float) -> None:
    found = []
    for photo in photographs(5, 500, 500):
        clean = float(noise.measure(photo).levels.mean())
        with_noise = float(noise.measure(degrade.gaussian(photo, sigma, np.random.default_rng(1))).levels.mean())
        found.append((clean, with_noise / sigma))
    cleans, ratios = np.median(found, axis=0)
    assert cleans < 0.006, "JPEG photographs, most with texture everywhere"
    assert ratios == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize(("kind", "sigma"), [("none", 0.0), ("white", 0.02), ("grain", 0.03)])
def test_texture_that_moves_is_no_noise_and_grain_that_does_not_is(kind: str, sigma: float) -> None:
    rng = np.random.default_rng(3)
    texture = synth.correlated((3, 200, 300), 0.9, rng) * 0.08 + 0.5
    pair = [texture[:, 10:186, 5 + 3 * t : 245 + 3 * t].clone() for t in range(2)]
    if kind == "white":
        pair = [degrade.gaussian(picture, sigma, rng) for picture in pair]
    elif kind == "grain":
        pair = [picture + sigma * synth.correlated(picture.shape, 0.8, rng) for picture in pair]
    found = noise.measure(*pair)
    if kind == "none":
        assert float(found.levels.mean()) < 0.02
    else:
        assert float(found.levels.mean()) == pytest.approx(sigma, rel=0.25)
        assert (found.reach > 0.4) == (kind == "grain")


def test_noise_is_measured_where_the_picture_is_flat_and_its_texture_is_told_by_the_next_picture() -> None:
    clean = torch.full((3, 128, 192), 0.2) + torch.linspace(0, 0.1, 192)
    clean[0, :, 96:] += 0.3
    grainy = degrade.gaussian(clean, 0.02, np.random.default_rng(3))
    found = np.sqrt(noise.by_light(grainy))
    assert np.nanmean(found) == pytest.approx(0.02 * np.sqrt(3), rel=0.15)
    assert np.isnan(found[-1])  # nothing is that bright here
    texture = clean + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))
    assert np.nanmax(noise.by_light(texture, texture)) == 0
    assert np.nanmax(noise.by_light(clean)) < 1e-8


def test_noise_in_shadows_is_known_by_its_light() -> None:
    """Where lifting multiplies it: one level for all that is darker than an eighth would be wrong there."""
    dark = torch.linspace(0.005, 0.2, 320).expand(3, 200, 320)
    sensor = degrade.poisson_gaussian(dark, 0.004, 0.004, np.random.default_rng(1))[0]
    found = np.sqrt(noise.by_light(sensor))
    for i in (1, 2, 3):
        light = (i / (noise.LIGHTS - 1)) ** 2
        assert found[i] == pytest.approx((3 * (0.004 * light + 0.004**2)) ** 0.5, rel=0.2)
