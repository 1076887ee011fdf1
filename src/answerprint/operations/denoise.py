"""Takes noise out of footage with a temporal network that is told how strong the noise is in every pixel.

Analysis measures the noise of a shot: its level per channel and luma band, how far it reaches, and the share of
impulses (salt and pepper, dropouts). It takes the flattest blocks of a picture (Lee and Hoppel 1989; per luma band as
in Liu et al. 2008) and tells texture from noise by the next frame, laid on the present one block by block: what moves
along is texture. In a still, where nothing is flat, only what is white is believed to be noise.

Rendering mends impulses, lays the neighbors of a frame onto it along their motion (imgproc/fusion.py), lays out the
noise that is left in every pixel, and runs the network of nets/denoise.py, where its sources are named. `--model` puts
in its place one of the paper's three networks (nets/gan.py, densenet.py, cyclegan.py) or another single-picture
network, which are told nothing and see one frame at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.errors import SettingsError, WeightsError
from answerprint.frame import Frame, Shot
from answerprint.imgproc import flow, fusion, impulse
from answerprint.nets import denoise as nets
from answerprint.nets import single, weights
from answerprint.operation import windows
from answerprint.settings import Settings
from answerprint.train import degrade

BLOCK = 16
ENOUGH = 1 << 21  # pixels that noise is measured on
BANDS = (0.125, 0.375, 0.625, 0.875)
CLEAN = 0.002  # below half a code value of 8 bits there is nothing that a master would show
FEWEST_IMPULSES = 0.0005
MANY_IMPULSES = 0.05  # from here on they hide each other from a count that spares lines
TOUCHING = (0.015, 0.025)  # from here on pairs of them, and triples, are common
TEXTURED = 1.3  # so many times what chance does to the variance of blocks is texture
FARTHEST = 3.5  # deviations: what lies farther off is no noise, whatever the network thinks
OWN_ERROR = 0.006  # of the network where there is hardly any noise
FAINT = 0.0003  # flatter than this is drawn, not taken
STEEPEST = 3.0  # noise differs no more than this between dark and bright
WHITE = 0.2  # correlation with the pixel beside it below which noise counts as white
LUMA = torch.tensor([0.2126, 0.7152, 0.0722])


class Params(Settings):
    """How much of the noise goes."""

    strength: float = Field(1.0, ge=0, le=2, description="1 takes out what was measured, 0 nothing; 2 assumes twice.")
    luma: float = Field(1.0, ge=0, le=1, description="Share of the luma noise that is taken out.")
    chroma: float = Field(1.0, ge=0, le=1, description="Share of the color noise that is taken out.")
    neighbors: int = Field(
        2, ge=0, le=4, description="Frames on each side that are laid onto a frame along its motion; 0 for none."
    )
    keep_grain: float = Field(0.0, ge=0, le=1, description="Share of grain put back, of the measured level and reach.")
    model: Literal["ours", "gan", "densenet", "cyclegan"] | Path = Field(
        "ours", description="Ours, one of the paper's three, or a file of weights: ours, or a model spandrel reads."
    )


class Findings(Settings):
    """The noise of a shot."""

    red: tuple[float, float, float, float] = Field(
        (0, 0, 0, 0), description="Deviation of the noise in red where luma is about 1/8, 3/8, 5/8, 7/8."
    )
    green: tuple[float, float, float, float] = Field((0, 0, 0, 0), description="The same in green.")
    blue: tuple[float, float, float, float] = Field((0, 0, 0, 0), description="The same in blue.")
    reach: float = Field(0.0, ge=0, le=4, description="Pixels over which the noise hangs together; 0 is white noise.")
    impulses: float = Field(0.0, ge=0, le=1, description="Share of pixels that are black or white impulses.")

    @property
    def levels(self) -> Tensor:
        """(3, 4): channel, luma band."""
        return torch.tensor([self.red, self.green, self.blue], dtype=torch.float32)


def handles(params: Params) -> int:
    """As many neighbors as have a say in a frame."""
    network = _network(params.model)
    return network.radius + params.neighbors if isinstance(network, nets.Denoiser) else 0


def networks(params: Params) -> tuple[str, ...]:
    """The network of that model, unless it is a file."""
    if isinstance(params.model, Path):
        return ()
    return (_name(params.model),)


def _name(model: str) -> str:
    return "denoise" if model == "ours" else model


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:  # noqa: ARG001 - the contract
    """Measures the noise on pairs of frames spread through the shot."""
    _network(params.model)  # weights that are missing are told before any work
    measured = [measure(*_pair(shot, position)) for position in shot.positions(5)]
    levels = np.median([found.levels.numpy() for found in measured], axis=0)
    red, green, blue = (tuple(round(float(level), 5) for level in channel) for channel in levels)
    return Findings.of(
        {
            "red": red,
            "green": green,
            "blue": blue,
            "reach": round(float(np.median([found.reach for found in measured])), 2),
            "impulses": round(float(np.median([found.impulses for found in measured])), 5),
        }
    )


def run(frames: Iterator[Frame], params: Params, findings: Findings | None, device: torch.device) -> Iterator[Frame]:
    """Each frame without its noise; footage that was clean is left as it is."""
    if findings is None:
        raise SettingsError("denoise needs Findings: analyze the shot first")
    if params.strength == 0 or (float(findings.levels.max()) < CLEAN and findings.impulses < FEWEST_IMPULSES):
        yield from frames
        return
    network = _network(params.model)
    if isinstance(network, nets.Denoiser):
        yield from _told_noise(frames, network, params, findings, device)
        return
    clean = single.cleaner(network, device)
    for frame in frames:
        yield frame.with_pixels(_finished(frame, clean(frame.pixels), params, findings))


def _told_noise(
    frames: Iterator[Frame], network: nets.Denoiser, params: Params, findings: Findings, device: torch.device
) -> Iterator[Frame]:
    """Our network: it sees the neighbors and is told the noise of every pixel."""
    streamed = nets.Streamed(network, device)
    held: list[Frame] = []

    def noted() -> Iterator[tuple[Tensor, ...]]:
        seen: dict[Fraction, fusion.Noisy] = {}
        for window in windows(frames, params.neighbors):
            held.append(window.center)
            shown = window.frames[window.first : len(window.frames) - window.last]
            seen = {frame.time: seen.get(frame.time) or _noisy(frame, params, findings) for frame in shown}
            own = window.center.time
            pixels, sigma = fusion.fused(seen[own], [seen[t] for t in seen if t != own], findings.reach)
            yield pixels[None], sigma[None], _reach_plane(pixels, findings)

    for clean in streamed.frames(noted()):
        frame = held.pop(0)
        # Worked out again rather than kept: planes of frames on their way are most of what a large picture takes.
        mended, sigma = _told(frame.pixels, params, findings)
        found = torch.clamp(clean[0].cpu() - mended, -FARTHEST * sigma, FARTHEST * sigma)
        # Near nothing the network's own error is the larger one: each counts by how sure it is.
        found = found * (sigma**2 / (sigma**2 + OWN_ERROR**2))
        yield frame.with_pixels(_finished(frame, mended + found, params, findings))


def measure(picture: Tensor, following: Tensor | None = None) -> Findings:
    """The noise of one picture.

    Args:
        picture: (3, H, W).
        following: the next picture of the shot: what is the same in both is no noise but texture.
    """
    other = _roughly(impulse.mend(picture, _impulses(picture, 0.0, 1)))
    hit = _impulses(picture, other, 0)
    if (density := float(hit.any(0).float().mean())) > MANY_IMPULSES:
        hit = _impulses(picture, other, 1)
        density = float(hit.any(0).float().mean())
    if density > TOUCHING[0]:
        hit = _impulses(picture, other, density)
    mended = impulse.mend(picture, hit) if density >= FEWEST_IMPULSES else picture
    blocks = _blocks(mended)
    if blocks is None:
        return Findings(impulses=density)
    total, fine, beside = _variances(blocks)
    moving = None if following is None or following.shape != picture.shape else _blocks(_aligned(mended, following))
    still = True
    if moving is not None:
        # The difference of two frames laid on each other holds the noise twice, and no texture.
        # A coder repeats blocks: there the difference says nothing, and the finest band is believed.
        apart, _, together = (each / 2 for each in _variances(moving - blocks))
        told = apart > fine / 2
        beside = np.where(apart < total, np.where(told, together, 0), beside)
        total = np.minimum(total, np.where(told, apart, fine))
        fine = np.where(told, np.minimum(fine, apart), fine)
        still = bool(told.mean() < 0.5)
    luma = np.asarray((blocks.mean(axis=-1) * LUMA.numpy()[:, None]).sum(axis=0))
    # Noise that is cut off at black or white looks weaker than it is: such blocks count only where there are no others.
    cut_off = (np.abs(blocks) < 0.003) | (np.abs(blocks - 1) < 0.003)
    whole = cut_off.mean(axis=(0, 2)) < 0.03
    if whole.mean() > 0.05:
        total, fine, beside, luma = total[:, whole], fine[:, whole], beside[:, whole], luma[whole]
    levels, rho = _by_band(total, fine, beside, luma, still)
    red, green, blue = (tuple(float(level) for level in channel) for channel in levels)
    return Findings(red=red, green=green, blue=blue, reach=_reach(rho), impulses=density)


def _roughly(picture: Tensor) -> float:
    """Noise level by the median of the finest diagonal band (Donoho and Johnstone 1994), which impulses hardly move."""
    height, width = (length // 2 * 2 for length in picture.shape[-2:])
    cut = picture[:, :height, :width]
    if not cut.numel():
        return 0.0
    diagonal = (cut[:, ::2, ::2] - cut[:, 1::2, ::2] - cut[:, ::2, 1::2] + cut[:, 1::2, 1::2]) / 2
    return float(diagonal.abs().median()) / 0.6745


def _impulses(picture: Tensor, sigma: float, density: float) -> Tensor:
    """Where they are; the more there are, the more of them touch each other, and the more lines must take the risk."""
    return impulse.find(picture, sigma, 2 + sum(density > many for many in TOUCHING))


def _aligned(picture: Tensor, following: Tensor) -> Tensor:
    """The next picture with every block where it was in this one, by whole pixels: noise must not be mixed."""
    gray = [
        cv2.GaussianBlur((each.mean(dim=0).clamp(0, 1) * 255).byte().cpu().numpy(), (0, 0), 2)
        for each in (picture, following)
    ]
    height, width = gray[0].shape
    down, across = height // BLOCK, width // BLOCK
    if not (down and across):
        return following
    vectors = cv2.resize(flow.flow(gray[0], gray[1]), (across, down), interpolation=cv2.INTER_AREA)
    steps = np.rint(vectors).astype(np.int64).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    y, x = np.mgrid[: down * BLOCK, : across * BLOCK]
    rows, columns = np.clip(y + steps[..., 1], 0, height - 1), np.clip(x + steps[..., 0], 0, width - 1)
    return following[:, torch.from_numpy(rows), torch.from_numpy(columns)]


def _by_band(
    total: NDArray[np.float64],
    fine: NDArray[np.float64],
    beside: NDArray[np.float64],
    luma: NDArray[np.float64],
    still: bool,
) -> tuple[NDArray[np.float64], float]:
    """Deviation (3, 4) of the noise per channel and luma band, and its correlation with the pixel beside it."""
    levels, seen, correlations, plain = [], [], [], []
    for center in BANDS:
        off = np.abs(np.clip(luma, 0, 1) - center)
        # Sensor noise changes with the light: the flattest blocks of a wide band are its darkest.
        inside = off <= (0.06 if (off <= 0.06).sum() >= 60 else 0.125)
        count = int(inside.sum())
        if count < 40:
            continue
        kept, expected = _flattest(total[:, inside])
        rho = float(np.clip(beside[:, inside][:, kept].sum() / max(total[:, inside][:, kept].sum(), 1e-12), 0, 1))
        level = total[:, inside][:, kept].mean(axis=1) / expected
        sure = _is_plain(total[:, inside].sum(axis=0), rho, still)
        if rho < WHITE or not sure:
            # Texture has least in the finest band, white noise as much there as anywhere.
            finest, expected = _flattest(fine[:, inside], BLOCK * BLOCK // 4)
            level = np.minimum(level, fine[:, inside][:, finest].mean(axis=1) / expected)
        levels.append(np.sqrt(level))
        seen.append(float(luma[inside][kept].mean()))
        plain.append(sure)
        correlations.append(rho)
    if not seen:
        return np.zeros((3, len(BANDS))), 0.0
    order = np.argsort(seen)
    known, at, sure_at = np.stack(levels, axis=1)[:, order], np.asarray(seen)[order], np.asarray(plain)[order]
    # Where even the flattest blocks hold texture, what is measured is a bound: bands without texture know better.
    if sure_at.any():
        bound = np.stack([np.interp(at, at[sure_at], channel[sure_at]) for channel in known])
        rho = float(np.median(np.asarray(correlations)[order][sure_at]))
    else:
        bound, rho = STEEPEST * known.min(axis=1, keepdims=True), 0.0
    known = np.where(sure_at, known, np.minimum(known, bound))
    if still and (noisy := known.mean(axis=0) > FAINT).any():
        # Grass and gravel look like grain in a still; between dark and bright noise differs less than they do from sky.
        known = np.minimum(known, STEEPEST * known[:, noisy].min(axis=1, keepdims=True))
    return np.stack([np.interp(BANDS, at, channel) for channel in known]), rho


def _flattest(variances: NDArray[np.float64], freedom: int = BLOCK * BLOCK - 3) -> tuple[NDArray[np.int64], float]:
    """The twentieth of the blocks with the least variance, and the share of the true variance that they have.

    The flattest blocks are also those where chance made the noise small: by how much, a chi-squared law says.
    """
    count = variances.shape[1]
    kept: NDArray[np.int64] = np.argsort(variances.sum(axis=0))[: max(count // 20, 4)]
    share = len(kept) / count
    low = stats.chi2.ppf(share, 3 * freedom)
    return kept, float(stats.chi2.cdf(low, 3 * freedom + 2) / share)


def _is_plain(floor: NDArray[np.float64], rho: float, still: bool) -> bool:
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


def _blocks(picture: Tensor) -> NDArray[np.float64] | None:
    """Blocks (3, n, 256) of a picture; None where there are too few to say anything."""
    height, width = (length // BLOCK * BLOCK for length in picture.shape[-2:])
    if height * width < 24 * BLOCK * BLOCK:
        return None
    cut = picture[:, :height, :width].double().cpu()
    tiles = cut.reshape(3, height // BLOCK, BLOCK, width // BLOCK, BLOCK).permute(0, 1, 3, 2, 4)
    return np.asarray(tiles.reshape(3, -1, BLOCK**2).numpy())


def _variances(
    blocks: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each block (3, n): variance around its plane, that of the finest diagonal band, covariance one pixel aside."""
    axis = (np.arange(BLOCK) - (BLOCK - 1) / 2) / BLOCK
    tiles = blocks.reshape(*blocks.shape[:2], BLOCK, BLOCK)
    flat = tiles - tiles.mean(axis=(2, 3), keepdims=True)
    norm = (axis**2).sum() * BLOCK
    for slope in (axis[None, :], axis[:, None]):
        flat = flat - (flat * slope).sum(axis=(2, 3), keepdims=True) / norm * slope
    total = (flat**2).sum(axis=(2, 3)) / (BLOCK * BLOCK - 3)
    diagonal = (tiles[..., ::2, ::2] - tiles[..., 1::2, ::2] - tiles[..., ::2, 1::2] + tiles[..., 1::2, 1::2]) / 2
    sideways = (flat[..., :, 1:] * flat[..., :, :-1]).mean(axis=(2, 3))
    below = (flat[..., 1:, :] * flat[..., :-1, :]).mean(axis=(2, 3))
    return total, (diagonal**2).mean(axis=(2, 3)), (sideways + below) / 2


def _pair(shot: Shot, position: int) -> tuple[Tensor, Tensor | None]:
    frames = [_bands(frame.pixels) for frame in shot.frames(position, position + 2)]
    return frames[0], frames[1] if len(frames) > 1 else None


def _bands(picture: Tensor) -> Tensor:
    """A large picture's bands of whole blocks, spread from top to bottom: as many pixels as measuring needs."""
    height, width = picture.shape[-2:]
    rows = ENOUGH // width // (4 * BLOCK) * BLOCK
    if height * width <= ENOUGH or rows < BLOCK:
        return picture
    starts = [i * (height - rows) // 3 for i in range(4)]
    return torch.cat([picture[:, start : start + rows] for start in starts], dim=1)


def _network(model: str | Path) -> nn.Module:
    stamp = weights.stamp("", model) if isinstance(model, Path) else weights.stamp(_name(model))
    return _built(model, stamp)


@lru_cache(maxsize=4)
def _built(model: str | Path, stamp: object) -> nn.Module:  # noqa: ARG001 - another file, another network
    if model == "ours":
        return nets.load()
    if isinstance(model, str):
        return single.load(model)
    try:
        return nets.load(model) if weights.kind(model) == "denoise" else single.read(model)
    except WeightsError as error:
        if model.exists():
            raise
        raise WeightsError(f"{error}; --model takes ours, gan, densenet, cyclegan or a file") from None


def _noisy(frame: Frame, params: Params, findings: Findings) -> fusion.Noisy:
    return fusion.Noisy(*_told(frame.pixels, params, findings))


def _told(pixels: Tensor, params: Params, findings: Findings) -> tuple[Tensor, Tensor]:
    """The picture with impulses mended, and the noise level of every pixel."""
    scale = max(params.strength, 1.0)
    hit = torch.zeros_like(pixels, dtype=torch.bool)
    if findings.impulses >= FEWEST_IMPULSES:
        hit = _impulses(pixels, float(findings.levels.mean()), findings.impulses)
    mended = impulse.mend(pixels, hit)
    return mended, torch.where(hit, 1.0, level_map(mended, findings) * scale)


def _reach_plane(pixels: Tensor, findings: Findings) -> Tensor:
    """How far the noise reaches, as the network takes it, (1, 1, H, W)."""
    return torch.full((1, 1, 1, 1), findings.reach / 4).expand(1, 1, *pixels.shape[-2:])


def level_map(picture: Tensor, findings: Findings) -> Tensor:
    """Standard deviation of the noise at every pixel, (3, H, W): the bands' levels at its smoothed luma."""
    height, width = picture.shape[-2:]
    # In strips, with the two rows that smoothing sees beyond them: a dozen planes of a large picture are too many.
    tall, strips = max(ENOUGH // width, 1), []
    for top in range(0, height, tall):
        above, below = min(top, 2), min(top + tall + 2, height)
        strips.append(_levels_at(picture[:, top - above : below], findings)[:, above : above + tall])
    return torch.cat(strips, dim=1)


def _levels_at(picture: Tensor, findings: Findings) -> Tensor:
    luma = (picture * LUMA.view(3, 1, 1).to(picture.device)).sum(dim=0)
    smooth = F.avg_pool2d(luma[None, None], 5, 1, 2, count_include_pad=False)[0, 0].clamp(BANDS[0], BANDS[-1])
    place = (smooth - BANDS[0]) / (BANDS[1] - BANDS[0])
    below = place.floor().clamp(max=len(BANDS) - 2).long()
    share = place - below
    levels = findings.levels.to(picture.device)
    return levels[:, below] * (1 - share) + levels[:, below + 1] * share


def _finished(frame: Frame, clean: Tensor, params: Params, findings: Findings) -> Tensor:
    """What was asked for of luma and color noise taken out, grain put back; inside the matte where there is one."""
    change = clean - frame.pixels
    luma = (change * LUMA.view(3, 1, 1)).sum(dim=0, keepdim=True)
    change = min(params.strength, 1.0) * (params.luma * luma + params.chroma * (change - luma))
    if params.keep_grain:
        change = change + params.keep_grain * _grain(frame, clean, findings)
    return frame.pixels + (change if frame.matte is None else change * frame.matte)


def _grain(frame: Frame, clean: Tensor, findings: Findings) -> Tensor:
    """Gray grain of the measured level and reach, drawn from the frame's time: the same however the shot is cut up."""
    rng = np.random.default_rng([abs(frame.time.numerator), frame.time.denominator])
    level = (level_map(clean, findings) * LUMA.view(3, 1, 1)).sum(dim=0, keepdim=True)
    return degrade.correlated((1, frame.height, frame.width), findings.reach, rng) * level
