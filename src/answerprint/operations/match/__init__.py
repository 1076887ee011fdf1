"""Color transfer: gives the shot the colors of a reference still or clip.

Three methods, all on the footage as displayed (`method`):

`reinhard` is the global transfer of Reinhard, Ashikhmin, Gooch and Shirley (2001): every channel X of CIELAB, or of
Ruderman's l-alpha-beta as they had it, gets the reference's mean and standard deviation,

    G(X) = (X - mean_s) * ratio + mean_r,    ratio = deviation_r / deviation_s,

with the ratio held below 3, so that a flat shot does not explode, and that of lightness above 1/3, so that a flat
reference does not erase the picture.

`knn` is equations 9 and 10 of AEPR (section 3.4): two k-nearest-neighbor regressions, from the nine L values of a 3x3
neighborhood to a and to b of its center, learned from the reference and asked for every pixel of the shot. Neighbors
are weighted by 1 / distance (the lambda of equation 10, which the paper leaves open). L stays as it is. How this is
fast without approximating: `operations/match/neighbors.py`.

`combined` is the paper's improved Reinhard transfer: local color from knn "fused" with the global one, and "a new local
standard deviation ratio factor, adding local reference image and source image information". It prints no formula for
either; this is the one used here. A base m(X) (guided filter of X by L) and the detail X - m(X) are carried over
separately:

    result(X) = G(m) + local * (S(phi * K) - S(phi) * G(m)) + f * (X - m)    (for L without the middle term)

    K      the knn prediction for the L that the result will have (G(L); or L itself where luma is protected)
    phi    how far K is trusted: 1 / (1 + v / 12^2) / (1 + (d / 15)^2), v the variance of the colors of the k neighbors,
           d the distance to the nearest: where they lie "far apart in the image" and disagree, the global color stands
    S      guided smoothing by L, against "unnatural color transitions"
    f      1 + (ratio - 1) * w, the local deviation ratio factor: w = r / (r + s) where the ratio is above 1 and
           s / (r + s) below: how far the neighborhood bears out what the whole asks for. s is the deviation in a window
           of the shot, r that of the windows around its k neighbors in the reference (regressed like a and b)

Where reference and shot have equal deviations, ratio and so f are 1 and the detail is kept exactly, as the paper asks.

Statistics are found once per shot, over frames spread through it, and the samples of the regressions are drawn with a
fixed seed, so equal pixels stay equal through the shot and nothing flickers. The footage's own display encoding is
taken as it is: HLG, PQ, log and linear pictures are matched in their code values, so shot and reference should be of
one kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from answerprint.color import fused, spaces
from answerprint.color.lut import Cube, bake
from answerprint.color.program import Program, lab_program, rgb_program
from answerprint.errors import MediaError, NotMediaError, SettingsError
from answerprint.filters import classical
from answerprint.filters.bars import Bars
from answerprint.filters.bars import find as find_bars
from answerprint.frame import Frame, Shot
from answerprint.media import reader
from answerprint.operations.match.neighbors import NeighborRegression
from answerprint.settings import Settings

HANDLES = 0  # each frame by itself: the neighborhoods are in the picture, the statistics in the findings
OWN = ("findings", "finite", "matte")

Triple = tuple[float, float, float]
Space = Literal["lab", "lalphabeta"]
Lines = Annotated[int, Field(ge=0)]
Borders = tuple[Lines, Lines, Lines, Lines]


class Params(Settings):
    """What the colors are taken from and how."""

    reference: Path = Field(description="Still or clip whose colors the shot is to have.")
    method: Literal["reinhard", "knn", "combined"] = Field(
        "combined", description="reinhard: global; knn: local, lightness untouched; combined: both, detail kept."
    )
    space: Space = Field(
        "lab", description="Space of the statistics (reinhard only): CIELAB or Ruderman's l-alpha-beta."
    )
    strength: float = Field(1.0, ge=0, le=1, description="0 leaves the shot as it is, 1 transfers fully.")
    protect_luma: bool = Field(False, description="Keep the lightness of the shot, transfer color only.")
    local: float = Field(0.6, ge=0, le=1, description="How much local color is fused with the global one (combined).")
    k: int = Field(5, ge=1, le=64, description="Neighbors that are averaged (knn, combined).")
    samples: int = Field(10_000, ge=16, le=200_000, description="Neighborhoods learned from the reference.")
    seed: int = Field(0, ge=0, description="Seed of the drawing of those neighborhoods.")
    frames: int = Field(
        8, ge=1, le=256, description="Frames spread through the shot (and a reference clip) for statistics."
    )


class Findings(Settings):
    """The statistics of the shot and of its reference."""

    space: Space = Field("lab", description="Space of the four statistics below.")
    source_mean: Triple = Field(description="Mean of the shot: L, a, b (CIELAB: 0..100, colors around 0).")
    source_deviation: Triple = Field(description="Standard deviation of the shot: L, a, b.")
    reference_mean: Triple = Field(description="Mean of the reference: L, a, b. Edit to move the result.")
    reference_deviation: Triple = Field(
        description="Standard deviation of the reference: L, a, b. Larger: more contrast."
    )
    bars: Borders = Field(
        (0, 0, 0, 0), description="Lines of black above, below, left and right that are no picture: left as they are."
    )
    reference_hash: str = Field("", description="SHA-256 of the reference; checked where its pixels are used again.")
    note: str = Field("", description="What was special about the reference.")


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:
    """Mean and deviation per channel of the shot (inside its matte, if any) and of the reference.

    Raises:
        NotMediaError: the reference is no picture.
        SettingsError: the reference is black or transparent everywhere.
    """
    space: Space = params.space if params.method == "reinhard" else "lab"
    frames, digest = read_reference(params.reference, params.frames)
    reference = _statistics(frames, space, device)
    brightest = max(float(frame.pixels[:, usable(frame)].amax()) for frame in frames if usable(frame).any())
    if brightest <= _BLACK:
        raise SettingsError(f"reference {params.reference} is black everywhere; give a picture with colors to match")
    bars = find_bars(frame.pixels for frame in shot.samples(params.frames))
    source = _statistics([_thinned(_inside(frame, bars)) for frame in shot.samples(params.frames)], space, device)
    note = ""
    if reference.deviation[0] < _FLAT[space]:
        # A swatch says which tint is wanted, nothing of light and shade: those stay the shot's own.
        note = "the reference is a single tone: its color is used, its lightness is not"
        reference = _Statistics((source.mean[0], *reference.mean[1:]), (source.deviation[0], *reference.deviation[1:]))
    return Findings(
        space=space,
        source_mean=source.mean,
        source_deviation=source.deviation,
        reference_mean=reference.mean,
        reference_deviation=reference.deviation,
        bars=bars,
        reference_hash=digest,
        note=note,
    )


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Transfers the colors, frame by frame.

    Raises:
        SettingsError: the reference is not the picture that the findings are of (knn and combined read it again).
    """
    learned = None if params.method == "reinhard" or not params.strength else _learn(params, findings)
    for frame in frames:
        if not params.strength:
            yield frame
            continue
        yield frame.with_pixels(_matched(frame, params, findings, learned, device).to(frame.pixels.device))


def _matched(
    frame: Frame, params: Params, findings: Findings, learned: _Learned | None, device: torch.device
) -> Tensor:
    """The pixels of one frame with their new colors; what is border, not finite or outside the matte as it was."""
    bars = _fitting(findings, frame)
    pixels = bars.inside(frame.pixels.to(device))
    # Not a number and infinity stay where they are; they must not spread through windows.
    finite = torch.isfinite(pixels).all(0)
    clean = pixels if bool(finite.all()) else torch.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    result = _transfer(clean, params, findings, learned)
    torch.where(finite & torch.isfinite(result).all(0), result, pixels, out=result)
    if frame.matte is not None:
        matte = bars.inside(frame.matte.to(device))
        result = torch.where(matte > 0, torch.lerp(pixels, result, matte), pixels)
    if bars == Bars():
        return result
    whole = frame.pixels.to(device, copy=True)
    bars.inside(whole).copy_(result)
    return whole


def _fitting(findings: Findings, frame: Frame) -> Bars:
    bars = Bars(*findings.bars)
    if bars.top + bars.bottom >= frame.height or bars.left + bars.right >= frame.width:
        raise SettingsError(
            f"bars {bars.top}, {bars.bottom}, {bars.left}, {bars.right} leave nothing of a picture of "
            f"{frame.width} x {frame.height}; make them smaller"
        )
    return bars


def _inside(frame: Frame, bars: Bars) -> Frame:
    """The frame without its borders, for looking at only."""

    def cut(plane: Tensor | None) -> Tensor | None:
        return None if plane is None else bars.inside(plane)

    return Frame(bars.inside(frame.pixels), frame.time, frame.color, alpha=cut(frame.alpha), matte=cut(frame.matte))


def transfer_global(pixels: Tensor, params: Params, findings: Findings) -> Tensor:
    """The global part alone: the Reinhard transfer that the findings describe.

    Args:
        pixels: (3, H, W) in display encoding.

    Returns:
        (3, H, W) in display encoding.
    """
    source = _to_space(pixels, findings.space)
    return _from_space(_blend(source, _reinhard(source, findings), params), findings.space)


def cube(params: Params, findings: Findings, size: int = 33) -> Cube:
    """The global part as a 3D LUT.

    That is all of `reinhard`; of `knn` and `combined`, which look at neighborhoods, it is the Reinhard transfer that
    their findings describe.

    Args:
        size: points along each side of the LUT.
    """
    title = f"match to {params.reference.name}: {params.method}"
    comments = () if params.method == "reinhard" else (f"the global part of {params.method} only",)
    return bake(lambda pixels: transfer_global(pixels, params, findings), size, title=title, comments=comments)


# ---------------------------------------------------------------------------------------------------- statistics

_BLACK = 1 / 1024  # the brightest pixel of a black reference
_FLAT = {"lab": 0.5, "lalphabeta": 0.005}  # deviation of lightness under which a reference is a single tone
_LARGEST_RATIO = 3.0
_PIXELS_PER_FRAME = 500_000  # that a mean is taken over: more changes no digit that matters


@dataclass(frozen=True)
class _Statistics:
    mean: Triple
    deviation: Triple


def _to_space(pixels: Tensor, space: Space) -> Tensor:
    if space == "lab":
        return _by_program(lab_program(), pixels) if pixels.device.type == "cpu" else spaces.rgb_to_lab(pixels)
    return _in_pieces(spaces.rgb_to_lalphabeta, pixels)


def _from_space(values: Tensor, space: Space) -> Tensor:
    if space == "lab":
        return _by_program(rgb_program(), values) if values.device.type == "cpu" else spaces.lab_to_rgb(values)
    return _in_pieces(spaces.lalphabeta_to_rgb, values)


def _by_program(program: Program, pixels: Tensor) -> Tensor:
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return fused.run(program, pixels, pool=pool)


# Values in a piece: torch gives work up to this size to one thread, and all that a piece needs stays in its cache.
_PIECE = 32768


def _in_pieces(convert: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """A pointwise function of (3, H, W), piece by piece: at once it takes about twice as long on a CPU (1080p)."""
    if pixels.device.type != "cpu" or pixels.numel() <= _PIECE:
        return convert(pixels)
    pieces = torch.split(pixels.reshape(3, 1, -1), _PIECE // 3, 2)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return torch.cat(list(pool.map(convert, pieces)), 2).view(pixels.shape)


def usable(frame: Frame) -> Tensor:
    """Where a frame has something to say, (H, W): finite, not transparent."""
    usable = torch.isfinite(frame.pixels).all(0)
    return usable if frame.alpha is None else usable & (frame.alpha[0] > 0)


def _step(frame: Frame) -> int:
    """Every how manieth pixel, across and down, statistics look at."""
    return max(1, int((frame.height * frame.width / _PIXELS_PER_FRAME) ** 0.5))


def _thinned(frame: Frame) -> Frame:
    """Only the pixels that statistics look at, so that the frames of a whole sample fit in memory at any size."""
    step = _step(frame)

    def thin(plane: Tensor | None) -> Tensor | None:
        return None if plane is None else plane[:, ::step, ::step].clone()

    pixels = frame.pixels[:, ::step, ::step].clone()
    return Frame(pixels, frame.time, frame.color, alpha=thin(frame.alpha), matte=thin(frame.matte))


def _statistics(frames: list[Frame], space: Space, device: torch.device) -> _Statistics:
    """Mean and standard deviation per channel over all usable pixels, weighted by the matte where it holds anything."""
    total, first, second = 0.0, torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    matted = any(frame.matte is not None and bool((frame.matte > 0).any()) for frame in frames)
    for frame in frames:
        weight = usable(frame).double()
        if matted and frame.matte is not None:
            weight = weight * frame.matte[0]
        step = _step(frame)
        weight = weight[::step, ::step].to(device)
        pixels = torch.nan_to_num(frame.pixels[:, ::step, ::step].to(device), nan=0.0, posinf=0.0, neginf=0.0)
        values = _to_space(pixels, space).double()
        total += float(weight.sum())
        first += (values * weight).sum((1, 2)).cpu()
        second += (values.square() * weight).sum((1, 2)).cpu()
    total = max(total, 1e-9)
    mean = first / total
    deviation = (second / total - mean.square()).clamp_min(0).sqrt()
    return _Statistics(_triple(mean), _triple(deviation))


def _triple(values: Tensor) -> Triple:
    # Six digits are what a person can read; the render uses what is written, so nothing is lost by it.
    a, b, c = (round(float(value), 6) for value in values)
    return a, b, c


# ------------------------------------------------------------------------------------------------------ reference


def read_reference(path: Path, count: int) -> tuple[list[Frame], str]:
    """Frames spread through the reference, and its hash.

    Raises:
        NotMediaError: it is no picture and no clip.
        SettingsError: it is transparent or not finite everywhere.
    """
    try:
        clip = reader.open(path)
        shot = Shot("reference", len(clip), clip.info.rate, clip.frames)
        frames = shot.sample(count)
    except NotMediaError as error:
        raise NotMediaError(f"reference {error}; give a still or a clip") from error
    except MediaError as error:
        raise MediaError(f"reference {error}") from error
    if not any(bool(usable(frame).any()) for frame in frames):
        raise SettingsError(f"reference {path} holds no visible pixel; give a picture with colors to match")
    bars = find_bars(frame.pixels for frame in frames)
    return [_inside(frame, bars) for frame in frames], _fingerprint(path, frames)


def _fingerprint(path: Path, frames: list[Frame]) -> str:
    """SHA-256 of the file; of a sequence or folder, of the pixels of the frames that are used."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    for frame in frames:
        digest.update(frame.pixels.contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Learned:
    """What knn knows of the reference: neighborhoods to a, b and to the local deviations of L, a, b."""

    regression: NeighborRegression


def _learn(params: Params, findings: Findings) -> _Learned:
    return _Learned(NeighborRegression(*samples(params, findings), params.k))


def samples(
    params: Params, findings: Findings
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """What knn learns from the reference: neighborhoods of L, (n, 9), and the colors at their centers, (n, 2 or 5).

    Raises:
        SettingsError: the reference is not the one that the shot was analyzed with.
    """
    frames, digest = read_reference(params.reference, params.frames)
    if findings.reference_hash and digest != findings.reference_hash:
        raise SettingsError(
            f"reference {params.reference} is not the file that the shot was analyzed with "
            f"(hash {digest[:12]}, findings say {findings.reference_hash[:12]}); put it back or analyze again"
        )
    generator = np.random.default_rng(params.seed)
    share = -(-params.samples // len(frames))
    drawn = [_draw(frame, share, params.method == "combined", generator) for frame in frames]
    patches = np.concatenate([patch for patch, _ in drawn])[: params.samples]
    values = np.concatenate([value for _, value in drawn])[: params.samples]
    return patches, values


def _draw(
    frame: Frame, count: int, with_deviation: bool, generator: np.random.Generator
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Neighborhoods of L, (n, 9), and what stands at their centers: a, b (and local deviations of L, a, b)."""
    centers = torch.nonzero(usable(frame)).numpy()
    if len(centers) > count:
        centers = centers[generator.choice(len(centers), count, replace=False)]
    pixels = torch.nan_to_num(frame.pixels, nan=0.0, posinf=1.0, neginf=0.0)
    around = spaces.rgb_to_lab(_windows(pixels, centers, 1))
    values = around[1:, :, 4]
    if with_deviation:
        windows = spaces.rgb_to_lab(_windows(pixels, centers, _radius(frame.height)))
        values = torch.cat([values, windows.std(2, correction=0)])
    return around[0].numpy(), values.T.contiguous().numpy()


def _windows(pixels: Tensor, centers: np.ndarray[tuple[int, ...], np.dtype[np.int64]], radius: int) -> Tensor:
    """The windows around `centers` (n, 2), borders mirrored: (3, n, (2 radius + 1)^2)."""
    height, width = pixels.shape[1:]
    offset = np.arange(-radius, radius + 1)
    rows = _mirror(centers[:, 0, None] + offset, height)
    columns = _mirror(centers[:, 1, None] + offset, width)
    windows = pixels[:, torch.from_numpy(rows)[:, :, None], torch.from_numpy(columns)[:, None, :]]
    return windows.flatten(2)


def _mirror(
    index: np.ndarray[tuple[int, ...], np.dtype[np.int64]], size: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Numbers outside 0..size-1 reflected at the borders, the border itself repeated."""
    index = index % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)


# ------------------------------------------------------------------------------------------------------- transfer

_AGREEMENT = 12.0  # deviation of the neighbors' colors, in CIELAB units, at which they are trusted by half
_NEARNESS = 15.0  # distance of the nearest neighborhood (5 units of L in each of nine pixels) at which likewise
_BASE_EPSILON = 4.0  # variance, in CIELAB units squared, under which a texture is detail and not base
_SMOOTH_EPSILON = 4.0


_STRIP = 360  # lines worked at a time


def _radius(height: int) -> int:
    """Radius of local windows: 17 pixels across in a picture of 1080 lines, 5 at least."""
    return max(2, round(height / 135))


def _ratio(findings: Findings) -> Triple:
    """Deviation of the reference over that of the shot, bounded as the module says."""
    ratios = [
        min(reference / max(source, 1e-6), _LARGEST_RATIO) if reference > 0 else 0.0
        for reference, source in zip(findings.reference_deviation, findings.source_deviation, strict=True)
    ]
    return max(ratios[0], 1 / _LARGEST_RATIO), ratios[1], ratios[2]


def _column(values: Triple, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(3, 1, 1)


def _reinhard(values: Tensor, findings: Findings) -> Tensor:
    """Reinhard et al. 2001, equations 10 and 11, on (3, H, W) in the space of the findings."""
    ratio = _column(_ratio(findings), values)
    return (values - _column(findings.source_mean, values)) * ratio + _column(findings.reference_mean, values)


def _blend(source: Tensor, result: Tensor, params: Params) -> Tensor:
    if params.protect_luma:
        result = torch.cat([source[:1], result[1:]])
    return result if params.strength == 1 else torch.lerp(source, result, params.strength)


def _transfer(pixels: Tensor, params: Params, findings: Findings, learned: _Learned | None) -> Tensor:
    if learned is None:
        return transfer_global(pixels, params, findings)
    source = _to_space(pixels, "lab")
    if params.method == "knn":
        color, _, _ = learned.regression.predict(source[0])
        result = torch.cat([source[:1], color[:2].to(source.device)])
    else:
        result = _combined(source, params, findings, learned)
    return _from_space(_blend(source, result, params), "lab")


def _combined(source: Tensor, params: Params, findings: Findings, learned: _Learned) -> Tensor:
    """The fused transfer of the module's docstring on CIELAB (3, H, W).

    What a pixel becomes depends on no more than two windows around it, so after the search the picture is worked in
    strips: at UHD the windows' means of a whole picture would take gigabytes.
    """
    lightness = source[:1] if params.protect_luma else _reinhard(source, findings)[:1]
    predicted, variance, nearest = (
        plane.to(source.device) for plane in learned.regression.predict(lightness[0], spread=2)
    )
    trust = (1 / (1 + variance / _AGREEMENT**2) / (1 + (nearest / _NEARNESS) ** 2))[None]
    height, radius = source.shape[1], _radius(source.shape[1])
    result = torch.empty_like(source)
    for start in range(0, height, _STRIP):
        stop = min(start + _STRIP, height)
        first, last = max(start - 2 * radius, 0), min(stop + 2 * radius, height)
        with_rims = slice(first, last)
        strip = _fuse(
            source[:, with_rims],
            lightness[:, with_rims],
            predicted[:, with_rims],
            trust[:, with_rims],
            radius,
            params,
            findings,
        )
        result[:, start:stop] = strip[:, start - first : stop - first]
    return result


def _fuse(
    source: Tensor, lightness: Tensor, predicted: Tensor, trust: Tensor, radius: int, params: Params, findings: Findings
) -> Tensor:
    base = classical.guided(source, source[:1], radius, _BASE_EPSILON)
    moved = _reinhard(base, findings)
    smooth = classical.guided(torch.cat([trust * predicted[:2], trust]), lightness, radius, _SMOOTH_EPSILON)
    moved[1:] += params.local * (smooth[:2] - smooth[2:].clamp(0, 1) * moved[1:])

    own, theirs = classical.local_deviation(source, radius), predicted[2:5]
    ratio = _column(_ratio(findings), source)
    weight = torch.where(ratio > 1, theirs, own) / (theirs + own).clamp_min(1e-6)
    return moved + (1 + (ratio - 1) * weight) * (source - base)
