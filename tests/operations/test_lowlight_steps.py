"""The steps of lifting little light, one by one."""

from typing import Any

import numpy as np
import pytest
import torch

from answerprint.color import spaces
from answerprint.noise import measure as noise
from answerprint.operations.lowlight import curve, exposure
from answerprint.operations.lowlight.curve import LEVELS, level_centers
from answerprint.operations.lowlight.lee import suppress_noise
from answerprint.operations.lowlight.mapping import LowlightMapping, blocks

WEIGHTS = spaces.LUMA_709


def test_the_smallest_thing_keeps_four_pixels_and_the_picture_its_size() -> None:
    assert exposure.downsampling_ratio(1080, 1920, 27) == 6
    assert exposure.downsampling_ratio(1080, 1920, 3) == 1
    assert exposure.downsampling_ratio(100, 200, 400) == 2
    assert exposure.downsampling_ratio(1, 1, 400) == 1


def test_blocks_cover_the_picture_once_and_are_as_large_as_the_small_one() -> None:
    covered = np.zeros((107, 211), int)
    pieces = blocks(107, 211, 5)
    for top, bottom, left, right in pieces:
        covered[top:bottom, left:right] += 1
        assert bottom - top <= 22 and right - left <= 43
    assert len(pieces) == 25 and bool((covered == 1).all())


def test_thinning_takes_the_mean_of_cells() -> None:
    picture = torch.arange(3 * 4 * 6, dtype=torch.float32).view(3, 4, 6)
    assert torch.allclose(exposure.downsample(picture, 2)[0], torch.tensor([[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]))
    picture[0, 0, 0] = torch.nan
    assert bool(exposure.downsample(picture, 2).isfinite().all())


def test_matching_finds_the_curve_that_made_the_reference() -> None:
    picture = torch.rand(1, 200, 200, generator=torch.Generator().manual_seed(1)) ** 2
    heights = curve.match_histogram(curve.histogram([picture]), curve.histogram([picture.sqrt()]))
    assert np.abs(heights - np.sqrt(level_centers()))[20:].max() < 0.01


def test_the_rarest_levels_are_noise_and_their_gaps_are_joined() -> None:
    counts = np.full(LEVELS, 100.0)
    counts[300:340] = 0.5
    noise = curve.rare_levels(counts, 1 / LEVELS / 10)
    assert noise.nonzero()[0].tolist() == list(range(300, 340))
    wild = level_centers()
    straight = curve.join_levels(np.where(noise, 0.9, wild), noise)
    assert np.abs(straight - wild).max() < 1e-3


def test_black_and_white_stay_and_curves_never_fall() -> None:
    rng = np.random.default_rng(2)
    heights = curve.join_levels(rng.random(LEVELS), np.zeros(LEVELS, bool))
    assert bool((np.diff(heights) >= 0).all())
    gentle = curve.join_levels(np.sqrt(level_centers()), np.zeros(LEVELS, bool))
    assert gentle[0] < 0.05 and gentle[-1] > 0.99


def test_highlights_keep_a_slope_and_shadows_a_largest_gain() -> None:
    x = level_centers()
    heights = curve.protect_ends(np.minimum(20 * x, 1), 4.0, 0.5)
    assert float((heights / x).max()) <= 4.0
    assert float(np.diff(heights)[600:].min()) > 0.4 / LEVELS


@pytest.mark.parametrize("wanted", [0.3, 0.4])
def test_the_classical_model_brings_the_mean_and_never_darkens(wanted: float) -> None:
    dark = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(3)) * 0.15
    made = exposure.brighten(dark, wanted, WEIGHTS)
    assert float(made.mean()) == pytest.approx(wanted, abs=0.02)
    assert bool((made >= dark - 1e-6).all())
    bright = dark + 0.7
    assert torch.allclose(exposure.brighten(bright, wanted, WEIGHTS), bright, atol=1e-3)


def test_a_dark_color_is_lifted_between_the_ratio_of_its_channels_and_a_curve_for_each() -> None:
    dark = torch.tensor([0.1, 0.02, 0.02]).view(3, 1, 1).expand(3, 60, 80).contiguous()
    ratio, between, tone = (exposure.brighten(dark, 0.2, WEIGHTS, own)[:, 30, 40] for own in (0.0, 0.7, 1.0))
    assert float(ratio[0] / ratio[1]) == pytest.approx(5, rel=0.01)
    assert float(tone[0] / tone[1]) < 0.9 * float(between[0] / between[1]) < 0.7 * 5
    assert float((between * torch.tensor(WEIGHTS)).sum()) == pytest.approx(0.2, abs=0.01)


def test_compensation_carries_color_and_no_brightness() -> None:
    mapped = torch.full((3, 40, 40), 0.3)
    reference = mapped + 0.05
    assert float(exposure.color_compensation(reference, mapped, WEIGHTS).abs().max()) < 1e-6
    reference[0, :, 20:] += 0.1
    found = exposure.color_compensation(reference, mapped, WEIGHTS)
    assert float(found[0, :, 30:].mean() - found[0, :, :10].mean()) == pytest.approx(0.1 * (1 - 0.2126), abs=0.005)
    assert float(spaces.luma(found).abs().max()) < 1e-5


def straight_mapping(**more: Any) -> LowlightMapping:
    table = np.linspace(0, 1, 257, dtype=np.float32)
    return LowlightMapping(np.stack([table**0.5] * 3), (0.2126, 0.7152, 0.0722), **more)


def test_a_mapping_is_its_curves_and_keeps_what_lies_outside() -> None:
    picture = torch.tensor([-0.1, 0.0, 0.25, 1.0, 1.2]).expand(3, 1, 5).contiguous()
    assert straight_mapping().apply(picture)[0, 0].tolist() == pytest.approx([-0.1, 0.0, 0.5, 1.0, 1.2], abs=1e-3)
    half = straight_mapping(strength=0.5).apply(picture)
    assert half[0, 0].tolist() == pytest.approx([-0.1, 0.0, 0.375, 1.0, 1.2], abs=1e-3)


def test_blocks_change_nothing_and_broken_pixels_stay() -> None:
    picture = torch.rand(3, 61, 83, generator=torch.Generator().manual_seed(4))
    picture[1, 5, 5] = torch.nan
    field = 0.1 * torch.randn(3, 8, 11, generator=torch.Generator().manual_seed(5))
    whole, parts = (straight_mapping(skin=0.5).apply(picture, field, 1.0, ratio) for ratio in (1, 7))
    assert torch.equal(whole.nan_to_num(9), parts.nan_to_num(9))
    assert bool(whole[1, 5, 5].isnan()) and float(whole[0, 5, 5]) == float(picture[0, 5, 5])


def test_skin_keeps_its_hue_where_everything_else_follows_the_curves() -> None:
    skin = torch.tensor([0.45, 0.32, 0.26]).view(3, 1, 1)
    wall = torch.tensor([0.26, 0.32, 0.45]).view(3, 1, 1)
    mapping = straight_mapping(skin=1.0)
    made = mapping.apply(skin)
    assert torch.allclose(made / made.sum(), skin / skin.sum(), atol=0.01)
    assert torch.allclose(mapping.apply(wall), straight_mapping().apply(wall), atol=1e-6)


def _flat_and_edge(noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A soft picture with a hard edge of color in its middle, clean and noisy."""
    clean = torch.full((3, 128, 192), 0.2) + torch.linspace(0, 0.1, 192)
    clean[0, :, 96:] += 0.3
    return clean, clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))


def test_noise_goes_and_an_edge_stays() -> None:
    clean, noisy = _flat_and_edge(0.02)
    quiet = suppress_noise(noisy, [0.02 * 3**0.5] * noise.LIGHTS, WEIGHTS)
    assert float((quiet - clean)[:, :, 4:88].std()) < 0.35 * 0.02
    assert float((quiet - clean)[:, :, 94:98].abs().mean()) < 1.2 * float((noisy - clean)[:, :, 94:98].abs().mean())
    assert torch.equal(suppress_noise(noisy, [0.0] * 9, WEIGHTS), noisy)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (260, 5)])
def test_noise_goes_from_pictures_of_any_size_and_what_is_bright_stays(size: tuple[int, int]) -> None:
    noisy = 0.2 + 0.02 * torch.randn(3, *size)
    noisy[0, -1, -1] = 8.0
    quiet = suppress_noise(noisy, [0.03] * 9, WEIGHTS)
    assert bool(quiet.isfinite().all())
    assert size == (1, 1) or float(quiet[0, -1, -1]) == pytest.approx(8, rel=1e-3)
    assert np.isnan(noise.by_light(noisy)).any()
