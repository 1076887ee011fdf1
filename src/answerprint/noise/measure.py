"""How much noise a picture holds, measured on the picture alone or with the next one.

Noise is sought where a picture is flattest (Lee and Hoppel 1989; per luma band as in Liu et al. 2008), and texture is
told from noise by the next picture of the shot: what is the same in both, or moves along, is texture. `measure` gives
what denoising needs: levels per channel and luma band, how far noise reaches, impulses; frames are laid on each other
block by block, and in a still, where nothing is flat, only what is white is believed to be noise. `by_light` gives what
lifting shadows needs: one level for three channels, close together near black, rather too low than too high.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from answerprint import arrays
from answerprint.color import spaces
from answerprint.motion import flow
from answerprint.noise import impulse

BLOCK = 16
BANDS = (0.125, 0.375, 0.625, 0.875)
FEWEST_IMPULSES = 0.0005
MANY_IMPULSES = 0.05  # from here on they hide each other from a count that spares lines
TOUCHING = (0.015, 0.025)  # from here on pairs of them, and triples, are common
MOST = 2 + len(TOUCHING)  # neighbors like itself that prove a pixel innocent where pairs and triples are
CROWDED = 0.1  # from here on most of them touch others
TEXTURED = 1.3  # so many times what chance does to the variance of blocks is texture
FAINT = 0.0003  # flatter than this is drawn, not taken
STEEPEST = 3.0  # noise differs no more than this between dark and bright
WHITE = 0.2  # correlation with the pixel beside it below which noise counts as white

LIGHTS = 9  # levels of luma of `by_light`
_SMALL = 8  # side of its blocks
_FEWEST = 32  # blocks of one level that say something
_FLATTEST = 0.1  # share of them that is believed to hold nothing but noise

Array = NDArray[np.float64]
P = TypeVar("P", Tensor, Array)


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of one picture.

    Attributes:
        levels: standard deviation per channel and luma band, (3, 4): where luma is about `BANDS`.
        reach: pixels over which it hangs together, as the width of a Gaussian; 0 is white noise.
        impulses: share of pixels that are black or white impulses.
    """

    levels: Array
    reach: float
    impulses: float


def measure(picture: Tensor, following: Tensor | None = None) -> Noise:
    """The noise of one picture.

    Args:
        picture: (3, H, W).
        following: the next picture of the shot: what is the same in both is no noise but texture.
    """
    hit, density = _count_impulses(picture)
    mended = impulse.mend(picture, hit) if density >= FEWEST_IMPULSES else picture
    blocks = _blocks(mended)
    if blocks is None:
        return Noise(np.zeros((3, len(BANDS))), 0.0, density)
    total, fine, beside = _variances(blocks)
    moving = None if following is None or following.shape != picture.shape else _blocks(_align(mended, following))
    still = True
    if moving is not None:
        # The difference of two frames laid on each other holds the noise twice, and no texture.
        # A coder repeats blocks: there the difference says nothing, and the finest band is believed.
        difference, _, difference_beside = (each / 2 for each in _variances(moving - blocks))
        reliable = difference > fine / 2
        beside = np.where(difference < total, np.where(reliable, difference_beside, 0), beside)
        total = np.minimum(total, np.where(reliable, difference, fine))
        fine = np.where(reliable, np.minimum(fine, difference), fine)
        still = bool(reliable.mean() < 0.5)
    luma = np.asarray(spaces.LUMA_709) @ blocks.mean(axis=-1)
    # Noise that is cut off at black or white looks weaker than it is: such blocks count only where there are no others.
    cut_off = (np.abs(blocks) < 0.003) | (np.abs(blocks - 1) < 0.003)
    whole = cut_off.mean(axis=(0, 2)) < 0.03
    if whole.mean() > 0.05:
        total, fine, beside, luma = total[:, whole], fine[:, whole], beside[:, whole], luma[whole]
    levels, rho = _by_band(total, fine, beside, luma, still)
    if density > CROWDED:
        levels = levels / np.sqrt(max(1 - density, 0.1))  # what was mended has hardly any noise
    return Noise(levels, _reach(rho), density)


def _count_impulses(picture: Tensor) -> tuple[Tensor, float]:
    """Where impulses are, and their share of the pixels."""
    if impulse.is_crowded(picture):
        hit = impulse.find_crowded(picture)
        return hit, float(hit.any(0).float().mean())
    other = _rough_level(impulse.mend(picture, impulse.find(picture, 0.0, MOST)))
    hit = find_impulses(picture, other, 0)
    if (density := float(hit.any(0).float().mean())) > MANY_IMPULSES:
        hit = impulse.find(picture, other, MOST)
        density = float(hit.any(0).float().mean())
    if density > TOUCHING[0]:
        hit = impulse.find(picture, other, 2 + sum(density > many for many in TOUCHING))
    return hit, density


def _rough_level(picture: Tensor) -> float:
    """Noise level by the median of the finest diagonal band (Donoho and Johnstone 1994), which impulses hardly move."""
    height, width = (length // 2 * 2 for length in picture.shape[-2:])
    cut = picture[:, :height, :width]
    if not cut.numel():
        return 0.0
    return float(_diagonal(cut).abs().median()) / 0.6745


def find_impulses(picture: Tensor, sigma: float, density: float) -> Tensor:
    """Mask of impulses, (3, H, W) bool; the denser they are, the more touch each other, and the laxer is the test."""
    if density > CROWDED:
        return impulse.find_crowded(picture)
    return impulse.find(picture, sigma, 2 + sum(density > many for many in TOUCHING))


def _align(picture: Tensor, following: Tensor) -> Tensor:
    """The next picture with every block where it was in this one, by whole pixels: noise must not be mixed."""
    gray = [
        arrays.gaussian((each.mean(dim=0).clamp(0, 1) * 255).byte().cpu().numpy(), 2) for each in (picture, following)
    ]
    height, width = gray[0].shape
    down, across = height // BLOCK, width // BLOCK
    if not (down and across):
        return following
    vectors = arrays.resize(flow.flow(gray[0], gray[1]), (across, down))
    steps = np.rint(vectors).astype(np.int64).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    y, x = np.mgrid[: down * BLOCK, : across * BLOCK]
    rows, columns = np.clip(y + steps[..., 1], 0, height - 1), np.clip(x + steps[..., 0], 0, width - 1)
    return following[:, torch.from_numpy(rows), torch.from_numpy(columns)]


def _by_band(
    total: Array,
    fine: Array,
    beside: Array,
    luma: Array,
    still: bool,
) -> tuple[Array, float]:
    """Deviation (3, 4) of the noise per channel and luma band, and its correlation with the pixel beside it."""
    levels, lumas, correlations, plain = [], [], [], []
    for inside in _bands(luma):
        flattest, expected = _flattest(total[:, inside])
        rho = float(
            np.clip(beside[:, inside][:, flattest].sum() / max(total[:, inside][:, flattest].sum(), 1e-12), 0, 1)
        )
        level = total[:, inside][:, flattest].mean(axis=1) / expected
        sure = _is_plain(total[:, inside].sum(axis=0), rho, still)
        if rho < WHITE or not sure:
            # Texture has least in the finest band, white noise as much there as anywhere.
            finest, expected = _flattest(fine[:, inside], BLOCK * BLOCK // 4)
            level = np.minimum(level, fine[:, inside][:, finest].mean(axis=1) / expected)
        levels.append(np.sqrt(level))
        lumas.append(float(luma[inside][flattest].mean()))
        plain.append(sure)
        correlations.append(rho)
    order = np.argsort(lumas)
    sigmas, at, sure_at = np.stack(levels, axis=1)[:, order], np.asarray(lumas)[order], np.asarray(plain)[order]
    # Where even the flattest blocks hold texture, what is measured is a bound: bands without texture know better.
    if sure_at.any():
        bound = np.stack([np.interp(at, at[sure_at], channel[sure_at]) for channel in sigmas])
        rho = float(np.median(np.asarray(correlations)[order][sure_at]))
    else:
        bound, rho = STEEPEST * sigmas.min(axis=1, keepdims=True), 0.0
    sigmas = np.where(sure_at, sigmas, np.minimum(sigmas, bound))
    if still and (noisy := sigmas.mean(axis=0) > FAINT).any():
        # Grass and gravel look like grain in a still; between dark and bright noise differs less than they do from sky.
        sigmas = np.minimum(sigmas, STEEPEST * sigmas[:, noisy].min(axis=1, keepdims=True))
    return np.stack([np.interp(BANDS, at, channel) for channel in sigmas]), rho


def _bands(luma: Array) -> list[NDArray[np.bool_]]:
    """Which blocks are in each luma band that has enough of them; in a small picture all are in one."""
    bands = []
    for center in BANDS:
        off = np.abs(np.clip(luma, 0, 1) - center)
        # Sensor noise changes with the light: the flattest blocks of a wide band are its darkest.
        inside = off <= (0.06 if (off <= 0.06).sum() >= 60 else 0.125)
        if inside.sum() >= 40:
            bands.append(inside)
    return bands or [np.ones(len(luma), dtype=bool)]


def _flattest(variances: Array, freedom: int = BLOCK * BLOCK - 3) -> tuple[NDArray[np.int64], float]:
    """The twentieth of the blocks with the least variance, and the share of the true variance that they have.

    The flattest blocks are also those where chance made the noise small.
    """
    count = variances.shape[1]
    places: NDArray[np.int64] = np.argsort(variances.sum(axis=0))[: max(count // 20, 4)]
    return places, _chi_squared_share(len(places) / count, 3 * freedom)


@lru_cache(maxsize=64)
def _chi_squared_share(share: float, freedom: int) -> float:
    """Share of the true variance that the flattest blocks have where all hold the same noise: chi-squared law."""
    return float(stats.chi2.cdf(stats.chi2.ppf(share, freedom), freedom + 2) / share)


def _diagonal(picture: P) -> P:
    """The finest diagonal band of pictures (..., H, W) of even sizes: things have least in it, noise its share."""
    return (picture[..., ::2, ::2] - picture[..., 1::2, ::2] - picture[..., ::2, 1::2] + picture[..., 1::2, 1::2]) / 2


def _is_plain(floor: Array, rho: float, still: bool) -> bool:
    """Whether the flattest blocks hold noise alone: then their variances differ no more than chance makes them.

    Args:
        floor: variance of each block.
        rho: correlation of a pixel with the one beside it; what hangs together has fewer degrees of freedom.
        still: no next frame tells noise from texture: where they look alike it is taken for texture.
    """
    twentieth, fifth = np.quantile(floor, (0.05, 0.2))
    freedom = max((BLOCK * BLOCK - 3) / (1 + 4 * np.pi * _reach(rho) ** 2), 4)
    chance = 1.0 if still else stats.chi2.ppf(0.2, freedom) / stats.chi2.ppf(0.05, freedom)
    return bool(fifth < TEXTURED * chance * twentieth)


def _reach(rho: float) -> float:
    """Width of the Gaussian whose blur gives white noise this correlation one pixel away: exp(-1 / (4 w^2))."""
    if rho < WHITE:
        return 0.0
    return float(np.clip(np.sqrt(-1 / (4 * np.log(min(rho, 0.98)))), 0, 4))


def _blocks(picture: Tensor) -> Array | None:
    """Blocks (3, n, 256) of a picture; None where there are too few to say anything."""
    height, width = (length // BLOCK * BLOCK for length in picture.shape[-2:])
    if height * width < 24 * BLOCK * BLOCK:
        return None
    cut = picture[:, :height, :width].double().cpu()
    tiles = cut.reshape(3, height // BLOCK, BLOCK, width // BLOCK, BLOCK).permute(0, 1, 3, 2, 4)
    return np.asarray(tiles.reshape(3, -1, BLOCK**2).numpy())


def _variances(
    blocks: Array,
) -> tuple[Array, Array, Array]:
    """Of each block (3, n): variance around its plane, that of the finest diagonal band, covariance one pixel aside."""
    axis = (np.arange(BLOCK) - (BLOCK - 1) / 2) / BLOCK
    tiles = blocks.reshape(*blocks.shape[:2], BLOCK, BLOCK)
    flat = tiles - tiles.mean(axis=(2, 3), keepdims=True)
    norm = (axis**2).sum() * BLOCK
    for slope in (axis[None, :], axis[:, None]):
        flat = flat - (flat * slope).sum(axis=(2, 3), keepdims=True) / norm * slope
    total = (flat**2).sum(axis=(2, 3)) / (BLOCK * BLOCK - 3)
    sideways = (flat[..., :, 1:] * flat[..., :, :-1]).mean(axis=(2, 3))
    below = (flat[..., 1:, :] * flat[..., :-1, :]).mean(axis=(2, 3))
    return total, (_diagonal(tiles) ** 2).mean(axis=(2, 3)), (sideways + below) / 2


def by_light(pixels: Tensor, following: Tensor | None = None) -> Array:
    """Variance of the noise, the sum of three channels, where luma is (i / 8)^2: that of the flattest blocks there.

    What counts is the finest diagonal band, where things have least (Donoho and Johnstone 1994); noise that a coder
    or a scaler has smoothed is therefore measured too low rather than too high.

    Args:
        pixels: (3, H, W).
        following: the next picture of the shot: what stands still in both is texture.

    Returns:
        `LIGHTS` variances; not-a-number where the picture has too little of a level.
    """
    variances = np.full(LIGHTS, np.nan)
    height, width = (length // _SMALL * _SMALL for length in pixels.shape[-2:])
    if not (height and width):
        return variances
    cut = torch.nan_to_num(pixels[:, :height, :width], nan=0.0, posinf=1.0, neginf=0.0).cpu()
    fine = _fine(cut)
    if following is not None and following.shape == pixels.shape:
        other = torch.nan_to_num(following[:, :height, :width], nan=0.0, posinf=1.0, neginf=0.0).cpu()
        fine = np.minimum(fine, _fine(other - cut) / 2)
    luma = spaces.luma(cut)
    level = F.avg_pool2d(luma[None], _SMALL).flatten().numpy()
    place = np.sqrt(np.clip(level, 0, 1)) * (LIGHTS - 1)
    for i in range(LIGHTS):
        there = np.sort(fine[np.abs(place - i) < 0.5])
        if len(there) >= _FEWEST:
            variances[i] = there[: int(_FLATTEST * len(there))].mean() / _chi_squared_share(
                _FLATTEST, 3 * (_SMALL // 2) ** 2
            )
    return variances


def _fine(pixels: Tensor) -> Array:
    """Mean square of the finest diagonal band in each block, summed over the channels."""
    square = _diagonal(pixels).square().sum(dim=0)[None, None]
    blocks: Array = F.avg_pool2d(square, _SMALL // 2).flatten().double().numpy()
    return blocks
