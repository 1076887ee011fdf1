"""Lifting little light: a small picture, its illumination, and carrying what was done to it over to the large one.

The color enhancement of AEPR, section 3.3, step by step: `ratio_of`, `blocks` and `sparse` make the small picture;
`matched` (equation 6), `rare` (7 and 8) and `joined` the curve of the mixed histogram matching; `compensation` the
color level compensation; `Mapping` applies all of it at full size. `lifted` is a classical enhancement of the small
picture. The small picture has no noise (its pixels are means) and a network takes noise out as it lifts, but a curve
lifts noise with the rest: `noise.by_light` measures it, `quieted` takes it out of the large picture.

Curves are tables of `LEVELS` outputs for the inputs 0..1; histograms have as many steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

from answerprint.filters import classical

LEVELS = 1024
Array = npt.NDArray[np.float64]
Plane = npt.NDArray[np.float32]
Block = tuple[int, int, int, int]

# What must stay visible is this many pixels wide in the small picture: less is told apart from nothing.
_DISTINCT = 4
# The small picture keeps at least this many pixels on its shorter side.
_LEAST = 48


# ---- the small picture


def ratio_of(height: int, width: int, smallest: float) -> int:
    """Downsampling ratio by which the smallest thing of interest can still be told apart (AEPR 3.3, figure 5).

    Args:
        smallest: its size in pixels of the large picture.
    """
    visible = int(smallest / _DISTINCT)
    return max(1, min(visible, min(height, width) // _LEAST))


def blocks(height: int, width: int, ratio: int) -> list[Block]:
    """The large picture cut into ratio x ratio blocks, each about as large as the small picture (AEPR 3.3).

    What is done at full size is done block by block: it takes the memory of the small picture, and fits the cache.

    Returns:
        (top, bottom, left, right) of each.
    """
    rows = [height * i // ratio for i in range(ratio + 1)]
    columns = [width * i // ratio for i in range(ratio + 1)]
    return [
        (top, bottom, left, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]


def sparse(pixels: Tensor, ratio: int) -> Tensor:
    """The thinned picture: every cell of ratio x ratio pixels becomes their mean; what is not finite counts as 0.

    Args:
        pixels: (3, H, W).
    """
    height, width = pixels.shape[-2:]
    whole = torch.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0) if not bool(pixels.isfinite().all()) else pixels
    if ratio == 1:
        return whole
    size = (-(-width // ratio), -(-height // ratio))
    planes = [cv2.resize(plane.cpu().numpy(), size, interpolation=cv2.INTER_AREA) for plane in whole]
    return torch.from_numpy(np.stack(planes))


def lifted(picture: Tensor, wanted: float, weights: tuple[float, float, float], own: float = 0.7) -> Tensor:
    """A picture in even light: divided by a power of its illumination (LIME, Guo, Li and Ling 2017, equations 2 and 3).

    Illumination is the largest channel, smoothed by a guided filter so that it keeps the edges of things. Divided by
    it alone, channels keep their ratio, and what was dark comes out far more colored than it is by daylight; divided
    by each channel's own light, as a tone curve does, it comes out faded. In between lies what was lit. The power is
    chosen so that the mean luma is `wanted`, and never so that the picture gets darker.

    Args:
        picture: (3, H, W), small, 0..1.
        wanted: mean luma of the result, where that can be had.
        weights: luma weights of R', G', B'.
        own: share (of the exponent) that a channel's own light has in its illumination.
    """
    inside = picture.clamp(0, 1)
    light = inside.amax(dim=0, keepdim=True)
    radius = max(min(picture.shape[-2:]) // 12, 1)
    smooth = classical.guided(light, light, radius, 0.01) if min(picture.shape[-2:]) > 2 * radius + 1 else light
    # Never below the pixel itself, or its color would burn out; never nothing, or noise would be all there is.
    illumination = torch.maximum(smooth, light).clamp(min=0.01, max=1)
    illumination = illumination * (inside / light.clamp(min=0.004)).clamp(0.05, 1) ** own
    luma = torch.tensor(weights).view(3, 1, 1)
    low, high = 0.0, 0.9
    for _ in range(12):
        power = (low + high) / 2
        mean = float(((picture / illumination**power).clamp(0, 1) * luma).sum(dim=0).mean())
        low, high = (power, high) if mean < wanted else (low, power)
    return (picture / illumination ** ((low + high) / 2)).clamp(0, 1)


# ---- the curve


def histogram(planes: list[Tensor]) -> Array:
    """How often each of `LEVELS` steps of 0..1 occurs in all planes together; what lies outside counts at the ends."""
    counts = np.zeros(LEVELS)
    for plane in planes:
        counts += torch.histc(plane.float().clamp(0, 1), bins=LEVELS, min=0, max=1).double().cpu().numpy()
    return counts


def matched(original: Array, reference: Array) -> Array:
    """Histogram matching (AEPR, equation 6): M[i_t] = i_s with F_s[i_s] <= F_t[i_t] <= F_s[i_s + 1].

    F are the cumulative histograms; between i_s and i_s + 1 the place is interpolated, so no level is quantized.

    Args:
        original: counts of the picture that is mapped (t).
        reference: counts of the picture that it is to look like (s).

    Returns:
        For each level of the original its value in the reference, 0..1, rising.
    """
    if not original.sum() or not reference.sum():
        return _centers()
    # Half of a level counts as below it: a level that holds many pixels goes to their middle.
    share = (np.cumsum(original) - original / 2) / original.sum()
    known = (np.cumsum(reference) - reference / 2) / reference.sum()
    there = reference > 0
    curve: Array = np.interp(share, known[there], _centers()[there])
    return curve


def rare(counts: Array, share: float) -> npt.NDArray[np.bool_]:
    """Noise gray levels (AEPR, equations 7 and 8): Q = {i_k | H[i_k] <= T} in the order H[i_0] <= H[i_1] <= ...

    The rarest levels say nothing of how the picture is to be mapped: what they say is chance.

    Args:
        counts: how often each level occurs.
        share: T, as a share of all pixels.
    """
    order = np.argsort(counts, kind="stable")
    noise = np.zeros(len(counts), dtype=bool)
    noise[order[counts[order] <= share * counts.sum()]] = True
    return noise


def joined(curve: Array, noise: npt.NDArray[np.bool_], width: float = 8.0) -> Array:
    """The mapping curve without its noise levels: gaps joined by straight lines, then smoothed (AEPR 3.3, step 4).

    Black stays black and white stays white; the curve never falls.

    Args:
        curve: output of each level.
        noise: levels to leave out.
        width: of the smoothing in levels.
    """
    x = _centers()
    kept = ~noise
    places = np.concatenate(([0.0], x[kept], [1.0]))
    heights = np.concatenate(([0.0], curve[kept], [1.0]))
    straight = np.maximum.accumulate(np.interp(x, places, heights))
    # Around (0, 0) and (1, 1) the curve goes on mirrored through the point, so smoothing leaves both where they are.
    reach = int(4 * width)
    before, after = -straight[:reach][::-1], 2 - straight[-reach:][::-1]
    long = np.concatenate((before, straight, after))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    smooth: Array = np.convolve(long, taps / taps.sum(), mode="valid")
    return np.clip(np.maximum.accumulate(smooth), 0, 1)


def held(curve: Array, most: float, highlights: float) -> Array:
    """The curve with blacks and highlights protected.

    Args:
        curve: output of each level.
        most: largest gain of the darkest values.
        highlights: smallest slope toward white, 0..1: below the diagonal of that slope through white the curve is
            pressed, so that what was bright keeps differences and does not clip.
    """
    x = _centers()
    pressed: Array = np.minimum(curve, np.minimum(most * x, 1 - highlights * (1 - x)))
    return np.maximum(pressed, np.minimum(x, curve))


def _centers() -> Array:
    centers: Array = (np.arange(LEVELS) + 0.5) / LEVELS
    return centers


# ---- what a curve cannot hold


def compensation(
    reference: Tensor, mapped: Tensor, weights: tuple[float, float, float], width: float = 1.0, most: float = 0.15
) -> Tensor:
    """Color level compensation (AEPR 3.3, step 5): what the enhanced picture has and the mapped one has not, per band.

    Only color is carried over: how bright anything is, the curve alone decides. That kept nearer to bright originals
    than compensating brightness too, makes no halos, and cannot pump.

    Args:
        reference: the enhanced small picture, (3, h, w).
        mapped: the small picture under the curve, (3, h, w).
        weights: luma weights of R', G', B'.
        width: of the smoothing in pixels of the small picture; the compensation is one of color level, not of detail.
        most: largest compensation.

    Returns:
        (3, h, w), to be added to the mapped picture, upsampled.
    """
    lost = reference - mapped
    lost = lost - (lost * torch.tensor(weights).view(3, 1, 1)).sum(dim=0, keepdim=True)
    return classical.gaussian(lost, width).clamp(-most, most)


# ---- noise

_RADIUS = 2  # of the window around a pixel that tells noise from what is there
_STRIP = 128  # lines worked on at a time: they stay in the cache


def quieted(pixels: Tensor, deviation: Sequence[float], weights: tuple[float, float, float]) -> Tensor:
    """The picture with its noise taken out where there is nothing else (Lee 1980, equations 7 and 8).

    A window makes of its pixels mean + a (pixel - mean) with a = (variance - noise) / variance, one a for the three
    channels: an edge in any of them keeps all. A pixel gets the mean of what all windows that hold it make of it, as
    in a guided filter: flat windows beside an edge are not blurred over it.

    Args:
        pixels: (3, H, W); what is not finite stays.
        deviation: of the noise, the root of the sum of three channels, where luma is (i / (n - 1))^2.
        weights: luma weights of R', G', B'.
    """
    source = np.ascontiguousarray(pixels.detach().cpu().numpy())
    result = np.empty_like(source)
    height = source.shape[1]
    noise = np.asarray(deviation, np.float32) ** 2

    def work(top: int) -> None:
        bottom = min(top + _STRIP, height)
        first, last = max(top - 2 * _RADIUS, 0), min(bottom + 2 * _RADIUS, height)
        part = _quieted(source[:, first:last], noise, weights)
        result[:, top:bottom] = part[:, top - first : bottom - first]

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(work, range(0, height, _STRIP)))
    return torch.from_numpy(result).to(pixels.device)


def _quieted(part: Plane, noise: Plane, weights: tuple[float, float, float]) -> Plane:
    finite = np.isfinite(part)
    whole = part if finite.all() else np.nan_to_num(part, nan=0.0, posinf=1.0, neginf=0.0)
    mean = np.stack([_box(plane) for plane in whole])
    square = _box(np.einsum("cyx,cyx->yx", whole, whole))
    kept = np.empty_like(square)
    _kept(mean, square, noise, np.asarray(weights, np.float32), kept)
    made: Plane = _box(kept) * whole
    for channel in range(3):
        made[channel] += _box((1 - kept) * mean[channel])
    return made if whole is part else np.where(finite, made, part)


def _box(plane: Plane) -> Plane:
    side = 2 * _RADIUS + 1
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32)


@njit(cache=True, nogil=True, fastmath=False)  # type: ignore[untyped-decorator, unused-ignore]
def _kept(mean: Any, square: Any, noise: Any, weights: Any, kept: Any) -> None:
    """Share of what is around the mean that is no noise."""
    last = len(noise) - 1
    for y in range(square.shape[0]):
        for x in range(square.shape[1]):
            r, g, b = mean[0, y, x], mean[1, y, x], mean[2, y, x]
            variance = square[y, x] - (r * r + g * g + b * b)
            luma = min(max(weights[0] * r + weights[1] * g + weights[2] * b, 0.0), 1.0)
            place = np.sqrt(luma) * last
            below = min(int(place), last - 1)
            share = place - below
            here = noise[below] * (1 - share) + noise[below + 1] * share
            kept[y, x] = 1.0 if here <= 0 else max(variance - here, 0.0) / max(variance, 1e-12)


# ---- at full size


@dataclass(frozen=True, eq=False)
class Mapping:
    """All of it as a function of pixels.

    Attributes:
        tables: output per channel for inputs at even steps over 0..1, both ends included, float32 (3, n).
        weights: luma weights of R', G', B'.
        skin: how much skin keeps its hue and is spared from being lifted far above mid tones, 0..1.
        strength: 0 leaves the picture, 1 maps it.
        faint: signal level under which color is noise and comes out nearly gray; from twice this on it is itself.
    """

    tables: npt.NDArray[np.float32]
    weights: tuple[float, float, float]
    skin: float = 0.0
    strength: float = 1.0
    faint: float = 0.0

    def apply(self, pixels: Tensor, field: Tensor | None = None, share: float = 1.0, ratio: int = 1) -> Tensor:
        """The mapped picture; pixels that are not finite stay.

        Args:
            pixels: (3, H, W).
            field: compensation (3, h, w), taken over the whole picture.
            share: how much of it.
            ratio: the work is cut into ratio x ratio blocks.
        """
        source = np.ascontiguousarray(pixels.detach().cpu().numpy())
        added = np.zeros((3, 1, 1), np.float32) if field is None else np.ascontiguousarray(field.cpu().numpy())
        result = np.empty_like(source)
        share = 0.0 if field is None else share
        weights = np.asarray(self.weights, np.float32)

        def work(block: Block) -> None:
            _map(source, result, self.tables, weights, added, *block, self.skin, self.strength, share, self.faint)

        pieces = blocks(source.shape[1], source.shape[2], ratio)
        if len(pieces) == 1:
            work(pieces[0])
        else:
            with ThreadPoolExecutor(torch.get_num_threads()) as pool:
                list(pool.map(work, pieces))
        return torch.from_numpy(result).to(pixels.device)


# Skin, whatever its depth, lies along one line of hue: (Y - B) / (R - Y) is 0.6 to 1.3 for it.
@njit(cache=True, nogil=True, fastmath=False)  # type: ignore[untyped-decorator, unused-ignore]
def _skin(red: float, blue: float, luma: float) -> float:
    """How much a color looks like skin, 0..1."""
    toward = red - luma
    if luma < 0.03 or toward < 0.03 * luma:
        return 0.0
    hue = (luma - blue) / toward
    near = min(max((hue - 0.3) / 0.3, 0.0), 1.0) * min(max((1.8 - hue) / 0.5, 0.0), 1.0)
    chroma = toward / luma
    colored = min(max((chroma - 0.03) / 0.07, 0.0), 1.0) * min(max((0.9 - chroma) / 0.3, 0.0), 1.0)
    return near * colored * min(max((luma - 0.03) / 0.05, 0.0), 1.0)


@njit(cache=True, nogil=True, fastmath=False)  # type: ignore[untyped-decorator, unused-ignore]
def _at(table: Any, value: float) -> Any:
    """A curve at a value; outside 0..1 it goes on in parallel to the identity."""
    last = len(table) - 1
    if value <= 0.0:
        return table[0] + value
    if value >= 1.0:
        return table[last] + (value - 1.0)
    place = value * last
    below = int(place)
    share = place - below
    return table[below] * (1 - share) + table[below + 1] * share


@njit(cache=True, nogil=True, fastmath=False)  # type: ignore[untyped-decorator, unused-ignore]
def _map(
    source: Any,
    result: Any,
    tables: Any,
    weights: Any,
    field: Any,
    top: int,
    bottom: int,
    left: int,
    right: int,
    skin: float,
    strength: float,
    share: float,
    faint: float,
) -> None:
    """Curves, skin, compensation and the color of deep shadows over one block."""
    height, width = source.shape[1], source.shape[2]
    lines, columns = field.shape[1], field.shape[2]
    for y in range(top, bottom):
        down = min(max((y + 0.5) * lines / height - 0.5, 0.0), lines - 1.0)
        upper = int(down)
        lower = min(upper + 1, lines - 1)
        down -= upper
        for x in range(left, right):
            r, g, b = source[0, y, x], source[1, y, x], source[2, y, x]
            if not (np.isfinite(r) and np.isfinite(g) and np.isfinite(b)):
                for c in range(3):
                    result[c, y, x] = source[c, y, x]
                continue
            red, green, blue = _at(tables[0], r), _at(tables[1], g), _at(tables[2], b)
            luma = weights[0] * red + weights[1] * green + weights[2] * blue
            if skin > 0.0:
                before = weights[0] * r + weights[1] * g + weights[2] * b
                like = skin * _skin(r, b, before) if before > 0.02 else 0.0
                if like > 0.0:
                    # Skin keeps the ratio of its channels, and is lifted half as far above the mid tones.
                    knee = max(before, 0.62)
                    kept = luma if luma <= knee else knee + 0.5 * (luma - knee)
                    gain = kept / before
                    red += like * (r * gain - red)
                    green += like * (g * gain - green)
                    blue += like * (b * gain - blue)
            if share > 0.0:
                across = min(max((x + 0.5) * columns / width - 0.5, 0.0), columns - 1.0)
                first = int(across)
                second = min(first + 1, columns - 1)
                across -= first
                # Black stays black, whatever the network thinks of letterboxes and of the night, and white white.
                top_level = max(red, green, blue)
                amount = share * min(max(top_level / 0.04, 0.0), 1.0) * min(max((1 - top_level) / 0.15, 0.0), 1.0)
                for c in range(3):
                    one = field[c, upper, first] * (1 - across) + field[c, upper, second] * across
                    other = field[c, lower, first] * (1 - across) + field[c, lower, second] * across
                    extra = amount * (one * (1 - down) + other * down)
                    if c == 0:
                        red += extra
                    elif c == 1:
                        green += extra
                    else:
                        blue += extra
            top_signal = max(r, g, b)
            if faint > 0.0 and top_signal < 2 * faint:
                place = max(top_signal, 0.0) / (2 * faint)
                trust = place * place * (3 - 2 * place)
                luma = weights[0] * red + weights[1] * green + weights[2] * blue
                red, green, blue = (
                    luma + trust * (red - luma),
                    luma + trust * (green - luma),
                    luma + trust * (blue - luma),
                )
            result[0, y, x] = r + strength * (red - r)
            result[1, y, x] = g + strength * (green - g)
            result[2, y, x] = b + strength * (blue - b)
