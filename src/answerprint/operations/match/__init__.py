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

Statistics are measured once per shot, over frames spread through it, and the samples of the regressions are drawn with
a fixed seed, so equal pixels stay equal through the shot and nothing flickers. The footage's own display encoding is
taken as it is: HLG, PQ, log and linear pictures are matched in their code values, so shot and reference should be of
one kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from answerprint.color.lut import Cube, bake
from answerprint.color.reinhard import ColorStatistics, GlobalTransfer
from answerprint.errors import SettingsError
from answerprint.filters.bars import BlackBars, find_bars
from answerprint.frame import Frame, Shot
from answerprint.operations.match import statistics
from answerprint.operations.match.combined import CombinedTransfer
from answerprint.operations.match.conversion import Space, from_space, to_space
from answerprint.operations.match.neighborhoods import Array, draw
from answerprint.operations.match.neighbors import NeighborRegression
from answerprint.operations.match.reference import in_primaries, inside, read_reference, usable
from answerprint.settings import Settings

HANDLES = 0  # each frame by itself: the neighborhoods are in the picture, the statistics in the findings

Triple = tuple[float, float, float]
Lines = Annotated[int, Field(ge=0)]
Borders = tuple[Lines, Lines, Lines, Lines]

_BLACK = 1 / 1024  # the brightest pixel of a black reference
_FLAT = {"lab": 0.5, "lalphabeta": 0.005}  # deviation of lightness under which a reference is a single tone


class Params(Settings):
    """The reference and the method."""

    reference: Path = Field(description="Still or clip whose colors the shot gets.")
    method: Literal["reinhard", "knn", "combined"] = Field(
        "combined", description="reinhard: global; knn: local, lightness untouched; combined: both, detail kept."
    )
    space: Space = Field(
        "lab", description="Space of the statistics (reinhard only): CIELAB or Ruderman's l-alpha-beta."
    )
    strength: float = Field(
        1.0, ge=0, le=1, description="Opacity of the transfer, mixed in its own color space; 0 is the source."
    )
    protect_luma: bool = Field(False, description="Keep the lightness of the shot, transfer color only.")
    local: float = Field(0.6, ge=0, le=1, description="Amount of local color fused with the global one (combined).")
    k: int = Field(5, ge=1, le=64, description="Neighbors that are averaged (knn, combined).")
    samples: int = Field(10_000, ge=16, le=200_000, description="Neighborhoods learned from the reference.")
    seed: int = Field(0, ge=0, description="Random seed of the neighborhoods that are drawn.")
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
    primaries: str = Field("bt709", description="Primaries of the shot, which the reference is brought to.")
    note: str = Field("", description="Remarks on the reference.")


def cost(params: Params) -> float:
    """The search for neighbors takes most of it."""
    return {"reinhard": 0.03, "knn": 0.5, "combined": 1.0}[params.method]


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:
    """Mean and deviation per channel of the shot (inside its matte, if any) and of the reference.

    Raises:
        NotMediaError: the reference is no picture.
        SettingsError: the reference is black or transparent everywhere.
    """
    space: Space = params.space if params.method == "reinhard" else "lab"
    frames, digest = read_reference(params.reference, params.frames)
    primaries = next(shot.samples(1)).color.primaries
    frames = [in_primaries(frame, primaries) for frame in frames]
    reference = statistics.measure(frames, space, device)
    brightest = max(float(frame.pixels[:, usable(frame)].amax()) for frame in frames if usable(frame).any())
    if brightest <= _BLACK:
        raise SettingsError(f"reference {params.reference} is black everywhere; give a picture with colors to match")
    bars = find_bars(frame.pixels for frame in shot.samples(params.frames))
    samples = [statistics.subsample(inside(frame, bars)) for frame in shot.samples(params.frames)]
    source = statistics.measure(samples, space, device)
    note = ""
    if reference.deviation[0] < _FLAT[space]:
        # A swatch says which tint is wanted, nothing of light and shade: those stay the shot's own.
        note = "the reference is a single tone: its color is used, its lightness is not"
        reference = ColorStatistics(
            torch.cat([source.mean[:1], reference.mean[1:]]), torch.cat([source.deviation[:1], reference.deviation[1:]])
        )
    return Findings(
        space=space,
        source_mean=_triple(source.mean),
        source_deviation=_triple(source.deviation),
        reference_mean=_triple(reference.mean),
        reference_deviation=_triple(reference.deviation),
        bars=bars,
        reference_hash=digest,
        primaries=primaries,
        note=note,
    )


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Transfers the colors, frame by frame; `strength` mixes in the space of the transfer, so the house does not.

    Raises:
        SettingsError: the reference is not the picture that the findings are of (knn and combined read it again), or
            the bars leave nothing of a frame.
    """
    if not params.strength:
        yield from frames
        return
    regression = None
    if params.method != "reinhard":
        regression = NeighborRegression(*samples(params, findings), params.k)
    for frame in frames:
        bars = _bars(findings, frame)
        pixels = frame.pixels.to(device)
        result = _transfer(bars.inside(pixels), params, findings, regression)
        if bars != BlackBars():
            picture, result = result, pixels.clone()
            bars.inside(result).copy_(picture)
        yield frame.with_pixels(result.to(frame.pixels.device))


def _bars(findings: Findings, frame: Frame) -> BlackBars:
    bars = BlackBars(*findings.bars)
    if bars.top + bars.bottom >= frame.height or bars.left + bars.right >= frame.width:
        raise SettingsError(
            f"bars {bars.top}, {bars.bottom}, {bars.left}, {bars.right} leave nothing of a picture of "
            f"{frame.width} x {frame.height}; make them smaller"
        )
    return bars


def cube(params: Params, findings: Findings, size: int = 33) -> Cube:
    """The global part as a 3D LUT.

    That is all of `reinhard`; of `knn` and `combined`, which look at neighborhoods, it is the Reinhard transfer that
    their findings describe.

    Args:
        size: points along each side of the LUT.
    """
    title = f"match to {params.reference.name}: {params.method}"
    comments = () if params.method == "reinhard" else (f"the global part of {params.method} only",)
    return bake(lambda pixels: _transfer(pixels, params, findings, None), size, title=title, comments=comments)


def samples(params: Params, findings: Findings) -> tuple[Array, Array]:
    """Neighborhoods of L in the reference, (n, 9), and the colors at their centers, (n, 2 or 5).

    Raises:
        SettingsError: the reference is not the one that the shot was analyzed with.
    """
    frames, digest = read_reference(params.reference, params.frames)
    if findings.reference_hash and digest != findings.reference_hash:
        raise SettingsError(
            f"reference {params.reference} is not the file that the shot was analyzed with "
            f"(hash {digest[:12]}, findings say {findings.reference_hash[:12]}); put it back or analyze again"
        )
    frames = [in_primaries(frame, findings.primaries) for frame in frames]
    return draw(frames, params.samples, params.seed, params.method == "combined")


def _transfer(pixels: Tensor, params: Params, findings: Findings, regression: NeighborRegression | None) -> Tensor:
    """R'G'B' (3, H, W) with the colors of the reference; without a regression by the global transfer alone."""
    space = findings.space if regression is None else "lab"
    reinhard, source = _reinhard(findings), to_space(pixels, space)
    if regression is None:
        result = reinhard.apply(source)
    elif params.method == "knn":
        color, _, _ = regression.predict(source[0])
        result = torch.cat([source[:1], color[:2].to(source.device)])
    else:
        result = CombinedTransfer(regression, reinhard, params.local, params.protect_luma).apply(source)
    if params.protect_luma:
        result = torch.cat([source[:1], result[1:]])
    return from_space(result if params.strength == 1 else torch.lerp(source, result, params.strength), space)


def _reinhard(findings: Findings) -> GlobalTransfer:
    values = (
        torch.tensor(triple, dtype=torch.float64)
        for triple in (
            findings.source_mean,
            findings.source_deviation,
            findings.reference_mean,
            findings.reference_deviation,
        )
    )
    mean, deviation, reference_mean, reference_deviation = values
    return GlobalTransfer.between(
        ColorStatistics(mean, deviation), ColorStatistics(reference_mean, reference_deviation)
    )


def _triple(values: Tensor) -> Triple:
    a, b, c = values.tolist()
    return a, b, c
