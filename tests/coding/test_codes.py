"""Rounding and coding, measured and undone within bounds."""

import cv2
import numpy as np
import pytest

from answerprint.coding import codes

LEFT = (0.0, 0.5)


def ramp(height: int = 160, width: int = 320, low: float = 60.0, high: float = 75.0) -> np.ndarray:
    """A slow gradient, not along the axes: 15 codes over 320 pixels."""
    y, x = np.mgrid[:height, :width]
    return (low + (high - low) * (x / width + 0.2 * y / height)).astype(np.float32)


def grain(shape: tuple[int, int] = (160, 320), sigma: float = 1.5) -> np.ndarray:
    return np.random.default_rng(1).normal(0, sigma, shape).astype(np.float32)


def test_a_rounded_gradient_shows_bands_and_a_true_one_grain_and_edges_do_not() -> None:
    rounded = codes.banding(np.rint(ramp()))
    assert rounded > 0.1
    assert codes.banding(ramp()) < 0.01
    assert codes.banding(np.rint(ramp() + grain())) < 0.01
    edges = np.where(np.mgrid[:160, :320][1] % 64 < 32, 60, 160).astype(np.float32)
    assert codes.banding(edges) < 0.01
    assert codes.banding(edges[:8, :8]) == 0


def test_debanding_finds_the_values_between_the_codes() -> None:
    true = ramp()
    rounded = np.rint(true)
    made = codes.deband(rounded, 0.5)
    assert np.sqrt(np.mean((made - true) ** 2)) < 0.4 * np.sqrt(np.mean((rounded - true) ** 2))
    assert codes.banding(made) < 0.1 * codes.banding(rounded)
    assert np.abs(made - rounded).max() <= 0.5 + 1e-5


def test_debanding_leaves_edges_texture_and_grain() -> None:
    edges = np.where(np.mgrid[:160, :320][1] % 64 < 32, 60, 160).astype(np.float32)
    assert np.abs(codes.deband(edges, 0.5) - edges).max() < 0.05
    grainy = np.rint(ramp() + grain())
    assert np.abs(codes.deband(grainy, 0.5) - grainy).mean() < 0.01
    assert np.array_equal(codes.deband(grainy[:4, :4], 0.5), grainy[:4, :4]), "too small to tell a slope from grain"


@pytest.mark.parametrize("bound", [0.0, 0.125, 2.0])
def test_no_pixel_moves_farther_than_its_bound(bound: float) -> None:
    rounded = np.rint(ramp() / 4) * 4
    assert np.abs(codes.deband(rounded, bound, most=9) - rounded).max() <= bound + 1e-5


def test_blocks_are_measured_and_evened_out() -> None:
    rng = np.random.default_rng(2)
    true = ramp(high=120.0) + grain(sigma=0.4)
    offsets = cv2.resize(rng.normal(0, 2, (20, 40)).astype(np.float32), (320, 160), interpolation=cv2.INTER_NEAREST)
    blocky = true + offsets
    made = codes.deblock(blocky, 3.0)
    assert codes.blocking(true) < 0.05 < 0.5 < codes.blocking(blocky)
    assert codes.blocking(made) < 0.5 * codes.blocking(blocky)
    assert np.mean((made - true) ** 2) < np.mean((blocky - true) ** 2)
    assert np.abs(made - blocky).max() <= 6.1
    assert codes.deblock(blocky, 0.0) is blocky
    edge = np.where(np.mgrid[:64, :64][1] < 32, 40, 200).astype(np.float32)
    assert np.array_equal(codes.deblock(edge, 3.0), edge)


@pytest.mark.parametrize("site", [(0.0, 0.5), (0.5, 0.5), (0.0, 0.0), (0.5, 1.0)])
def test_chroma_lies_where_its_site_says(site: tuple[float, float]) -> None:
    """A plane that rises evenly comes back as it was, wherever its samples sit; only borders differ."""
    y, x = np.mgrid[:40, :60].astype(np.float32)
    full = 2 * x + 3 * y
    small = 2 * (np.arange(30) * 2 + site[0])[None] + 3 * (np.arange(20) * 2 + site[1])[:, None]
    made = codes.upsample(small.astype(np.float32), 40, 60, site, (2, 2))
    assert np.abs(made - full)[3:-3, 3:-3].max() < 0.2
    again = codes.downsample(full, 20, 30, site, (2, 2))
    assert np.abs(again - small)[2:-2, 2:-2].max() < 1e-3


def test_luma_shows_chroma_where_both_go_together_and_only_there() -> None:
    shape = cv2.GaussianBlur(
        np.where(np.hypot(*(np.mgrid[:80, :80] - 40.3)) < 22, 1, 0).astype(np.float32), (0, 0), 0.6
    )
    luma, chroma = 60 + 100 * shape, 100 + 40 * shape
    small = codes.downsample(chroma, 40, 40, LEFT, (2, 2))
    plain = codes.upsample(small, 80, 80, LEFT, (2, 2))
    made = plain + codes.luma_detail(small, luma, LEFT, (2, 2))
    assert np.mean((made - chroma) ** 2) < 0.6 * np.mean((plain - chroma) ** 2)
    texture = 60 + grain((80, 80), 20)
    assert np.abs(codes.luma_detail(np.full((40, 40), 100, np.float32), texture, LEFT, (2, 2))).max() < 0.5


def test_a_neighbor_is_laid_onto_the_frame_along_its_motion() -> None:
    card = (
        cv2.GaussianBlur(np.random.default_rng(3).uniform(0, 255, (140, 180)).astype(np.float32), (0, 0), 3) * 4 - 380
    )
    card = np.clip(card, 16, 235).astype(np.uint8)
    here, there = card[10:106, 10:138].copy(), card[14:110, 16:144].copy()
    chroma = there[::2, ::2].copy()
    [(luma, blue, red)] = codes.align(here, [(there, chroma, chroma)])
    inner = (slice(12, -12), slice(12, -12))
    apart = np.abs(there[inner].astype(int) - here[inner]).mean()
    assert np.abs(luma[inner].astype(int) - here[inner]).mean() < 0.15 * apart
    assert np.abs(blue[inner].astype(int) - here[::2, ::2][inner]).mean() < 0.3 * apart
    assert np.array_equal(blue, red)


def test_of_tiny_pictures_too() -> None:
    tiny = np.full((2, 2), 90, np.uint8)
    chroma = np.full((1, 1), 128, np.uint8)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(codes.align(tiny, [(tiny, chroma, chroma)])[0], (tiny, chroma, chroma), strict=True)
    )
