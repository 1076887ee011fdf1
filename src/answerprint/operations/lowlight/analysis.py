"""Analysis of low light: how dark a shot is, and the curves that brighten it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color import spaces
from answerprint.frame import Frame, Shot
from answerprint.noise import measure
from answerprint.operations.lowlight import curve, exposure
from answerprint.operations.lowlight.curve import LEVELS, level_centers
from answerprint.operations.lowlight.display import as_displayed, display_luma
from answerprint.operations.lowlight.model import load_model
from answerprint.operations.lowlight.params import NO_NOISE, PLACES, Findings, Params

Array = NDArray[np.float64]
Curves = list[Array]  # of R', G', B': (LEVELS,) each

_DARK, _BRIGHT = 0.24, 0.38  # mean luma: below it is dark, above it is not, between them somewhat
_BLACK = 0.004  # mean luma of a black frame
_RARE = 2e-5  # T of equation 8
_CHANGE = 1.5  # factor by which light must change inside a shot for keys to be set
_MOST_KEYS = 4
_NOT_DARK = "not dark: left as it is (only_dark = false lifts it all the same)"
CODE = 0.003  # deviation of noise under which rounding to 8 bits hides it


@dataclass(frozen=True, eq=False)
class ShotSample:
    """A frame of the shot, small, as an SDR display shows it.

    Attributes:
        time: seconds from the clip's first frame.
        picture: (3, h, w), 1 is diffuse white.
        level: mean luma, inside the matte where there is one.
        noise: (measure.LIGHTS,) variance of the full-size frame's noise by luma; NaN where unknown.
    """

    time: float
    picture: Tensor
    level: float
    noise: Array


@dataclass(frozen=True)
class CurveKey:
    """A point in time for which a curve is found: seconds, and the weight of each sample."""

    time: float
    weights: list[float]


def find_curves(shot: Shot, params: Params, device: torch.device) -> Findings:
    """The findings of a shot.

    Raises:
        WeightsError: the weights of MBLLEN cannot be read.
    """
    samples, ratio = _samples(shot, params)
    lit, note = _lit_samples(samples)
    if not lit:
        return Findings(ratio=ratio, note=note)
    level = float(np.median([sample.level for sample in lit]))
    strength = _strength(level) if params.only_dark else 1.0
    # A brightness that a person names is meant.
    strength = 1.0 if strength and params.target else strength
    if strength == 0:
        return Findings(exposure=round(level, 4), ratio=ratio, curve_mean=level, target=level, note=_NOT_DARK)
    enhance = load_model(params, device)
    references = [enhance(sample.picture) for sample in lit]
    keys = _keys(lit, params)
    curves = [_match_curves(lit, references, key.weights, params) for key in keys]
    if params.target:
        curves = [_to_target(lit, key.weights, own, params.target) for key, own in zip(keys, curves, strict=True)]
    mean = round(_curve_mean(lit, keys, curves), 4)
    gain = float(np.mean([_shadow_gain(sample, curves[0]) for sample in lit]))
    red, green, blue = (tuple(_points(own[channel]) for own in curves) for channel in range(3))
    return Findings(
        exposure=round(level, 4),
        strength=round(params.strength * strength, 4),
        curve_mean=mean,
        target=mean,
        times=tuple(key.time for key in keys),
        levels=tuple(round(_level_at(lit, key.weights), 4) for key in keys),
        red=red,
        green=green,
        blue=blue,
        ratio=ratio,
        noise_gain=round(gain, 2),
        noise=_noise_curve(lit),
        note=_note(note, strength, gain, len(keys)),
    )


# ---- samples


def _samples(shot: Shot, params: Params) -> tuple[list[ShotSample], int]:
    """Samples spread through the shot, its two ends among them (there fades show), and the downsampling ratio."""
    count = min(params.frames, shot.length)
    places = sorted({*shot.positions(count), 0, shot.length - 1})
    samples, ratio = [], 1
    for pair in _pairs(shot, places):
        frame = pair[0]
        ratio = exposure.downsampling_ratio(frame.height, frame.width, params.min_detail / 100 * frame.height)
        picture = as_displayed(exposure.downsample(frame.pixels, ratio), frame.color.transfer)
        noise = _noise(pair) if params.denoise else _UNKNOWN
        samples.append(ShotSample(float(frame.time), picture, _level(frame, picture, ratio), noise))
    return samples, ratio


def _pairs(shot: Shot, places: list[int]) -> Iterator[list[Frame]]:
    """The frame at each place and, where there is one, the next."""
    numbers = sorted({number for place in places for number in (place, place + 1) if number < shot.length})
    before: tuple[int, Frame] | None = None
    for number, frame in zip(numbers, shot.at(numbers), strict=False):
        if before is not None and before[0] in places:
            yield [before[1], frame] if number == before[0] + 1 else [before[1]]
        before = number, frame
    if before is not None and before[0] in places:
        yield [before[1]]


def _level(frame: Frame, picture: Tensor, ratio: int) -> float:
    """Mean luma of a sample, inside the frame's matte where there is one."""
    if frame.matte is None or not bool((frame.matte > 0).any()):
        return float(display_luma(picture).mean())
    inside = exposure.downsample(frame.matte.expand(3, -1, -1), ratio)[0] > 0.5
    return float(display_luma(picture)[inside].mean()) if bool(inside.any()) else 0.0


_UNKNOWN = np.full(measure.LIGHTS, np.nan)


def _noise(pair: list[Frame]) -> Array:
    """Variance (measure.LIGHTS,) of the noise by luma in the first of them."""
    return measure.by_light(*(as_displayed(frame.pixels, frame.color.transfer) for frame in pair))


def _lit_samples(samples: list[ShotSample]) -> tuple[list[ShotSample], str]:
    """Samples of the scene in its own light, no black frames, no fade from or to black; a note on what is left out."""
    bright = [sample for sample in samples if sample.level > _BLACK]
    if not bright:
        return [], "black from end to end: left as it is"
    steady = float(np.median([sample.level for sample in bright]))
    # A fade may take the whole shot: what it fades from is its brightest part, not its middle.
    full = float(np.percentile([sample.level for sample in bright], 90))
    first, last = 0, len(samples)
    if samples[0].level < 0.25 * steady:
        while first < last and samples[first].level < 0.8 * full:
            first += 1
    if samples[-1].level < 0.25 * steady:
        while last > first and samples[last - 1].level < 0.8 * full:
            last -= 1
    lit = [sample for sample in samples[first:last] if sample.level > max(_BLACK, 0.1 * steady)]
    note = "a fade or black frames are in the shot: the curve is that of the rest" if len(lit) < len(samples) else ""
    return lit or bright, note


def _strength(level: float) -> float:
    """1 where a shot of that mean luma is dark, 0 where it is not, smooth between."""
    place = min(max((_BRIGHT - level) / (_BRIGHT - _DARK), 0.0), 1.0)
    return place * place * (3 - 2 * place)


# ---- curves


def _keys(lit: list[ShotSample], params: Params) -> list[CurveKey]:
    levels = [sample.level for sample in lit]
    start, stop = lit[0].time, lit[-1].time
    count = params.keys or (_MOST_KEYS if max(levels) > _CHANGE * min(levels) else 1)
    count = min(count, len(lit))
    if count == 1 or stop <= start:
        return [CurveKey((start + stop) / 2, [1.0] * len(lit))]
    times = [start + (stop - start) * i / (count - 1) for i in range(count)]
    width = (stop - start) / (count - 1) / 2
    return [
        CurveKey(time, [float(np.exp(-0.5 * ((sample.time - time) / width) ** 2)) for sample in lit]) for time in times
    ]


def _level_at(lit: list[ShotSample], weights: list[float]) -> float:
    return float(np.average([sample.level for sample in lit], weights=weights))


def _match_curves(lit: list[ShotSample], references: list[Tensor], weights: list[float], params: Params) -> Curves:
    """Mixed histogram matching of the small pictures before and after, per channel: equations 6 to 8."""
    curves = []
    for channel in range(3):
        original = _weighted_histogram([sample.picture[channel] for sample in lit], weights)
        reference = _weighted_histogram([picture[channel] for picture in references], weights)
        matched_curve = curve.match_histogram(original, reference)
        smooth_curve = curve.join_levels(matched_curve, curve.rare_levels(original, _RARE))
        curves.append(curve.protect_ends(smooth_curve, params.max_gain, params.highlights))
    return curves


def _weighted_histogram(planes: Sequence[Tensor], weights: list[float]) -> Array:
    return np.asarray(sum(weight * curve.histogram([plane]) for plane, weight in zip(planes, weights, strict=True)))


def _points(heights: Array) -> tuple[float, ...]:
    """A curve (LEVELS,) by the points that the findings hold of it."""
    x = np.concatenate(([0.0], level_centers(), [1.0]))
    points = np.interp(PLACES, x, np.concatenate(([0.0], heights, [1.0])))
    return tuple(round(float(height), 5) for height in np.maximum.accumulate(points))


def _mean_under(sample: ShotSample, curves: Curves) -> float:
    """Mean luma of a sample under the curves."""
    result = [np.interp(sample.picture[c].numpy(), level_centers(), curves[c]) for c in range(3)]
    return max(float(spaces.luma(torch.from_numpy(np.stack(result)).float()).mean()), 1e-3)


def _curve_mean(lit: list[ShotSample], keys: list[CurveKey], curves: list[Curves]) -> float:
    """Mean luma of the samples under the curves of the keys near them."""
    means = [
        _mean_under(sample, own)
        for key, own in zip(keys, curves, strict=True)
        for sample, weight in zip(lit, key.weights, strict=True)
        if weight > 0.2
    ]
    return float(np.mean(means))


def _to_target(lit: list[ShotSample], weights: list[float], curves: Curves, target: float) -> Curves:
    """The curves to the power that brings the samples to that mean luma."""
    low, high = 0.1, 10.0
    for _ in range(20):
        power = float(np.sqrt(low * high))
        candidates = [own**power for own in curves]
        mean = float(np.average([_mean_under(sample, candidates) for sample in lit], weights=weights))
        low, high = (low, power) if mean < target else (power, high)
    return candidates


# ---- noise


def _shadow_gain(sample: ShotSample, curves: Curves) -> float:
    """Slope of green's curve at the darkest quarter of the sample's luma."""
    luma = spaces.luma(sample.picture).flatten()
    dark = max(float(luma.kthvalue(max(len(luma) // 4, 1)).values), 2 / LEVELS)
    low, high = np.interp([dark * 0.5, dark * 1.5], level_centers(), curves[1])
    return float((high - low) / dark)


def _noise_curve(lit: list[ShotSample]) -> tuple[float, ...]:
    """Deviation of the noise over the samples, by luma; levels that none of them has take that of their neighbors."""
    variances = np.stack([sample.noise for sample in lit])
    known = [i for i in range(variances.shape[1]) if not np.isnan(variances[:, i]).all()]
    if not known:
        return NO_NOISE
    variance = np.interp(range(variances.shape[1]), known, [float(np.nanmedian(variances[:, i])) for i in known])
    deviation = np.sqrt(variance)
    # Noise grows with the root of the light at most: what grows twice as fast is texture that lies everywhere.
    root = np.arange(1, len(deviation))  # of luma, times a constant
    growth = np.minimum.accumulate(np.maximum(deviation[1:], CODE) / root)
    deviation[1:] = np.minimum(deviation[1:], 2 * root * growth)
    return tuple(round(min(float(level), 1.0), 5) for level in deviation)


def _note(note: str, strength: float, gain: float, keys: int) -> str:
    parts = [note] if note else []
    if strength < 1:
        parts.append(f"not very dark: lifted by {100 * strength:.0f} percent of what the model would")
    if keys > 1:
        parts.append(f"{keys} keys: the light of the shot changes")
    if gain > 2:
        parts.append(f"noise that is left in the shadows is lifted {gain:.1f} times: put denoise in front")
    return "; ".join(parts)
