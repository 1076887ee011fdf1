"""Low light: lifts footage that was taken with too little of it, one steady mapping per shot.

AEPR, section 3.3. Frames spread through the shot are thinned (`exposure.sparse`; the ratio leaves the smallest thing of
interest visible), the small pictures enhanced, and the enhancement carried over to full size by a curve per channel:
mixed histogram matching of the small pictures before and after (equations 6 to 8), then color level compensation, what
the enhanced small picture of each frame has and the curve alone has not. The enhancement (`model`) is a classical
estimate of the illumination (after LIME), or MBLLEN, the paper's network: trained on pictures that a gamma curve made
dark, it comes nearer to such pictures, but leaves a gray veil and a cast over real nights, so it is not the default.

For film the curve is found once per shot, or at keys where the light of the shot changes, and interpolated smoothly.
Frames that fade from or to black are left out, so the curve does not follow a fade, and the compensation is steadied
over 5 frames and carries color alone: nothing pumps. Highlights keep a slope, skin its hue, and black
stays black. Footage that is not dark is left as it is. HDR and linear footage is enhanced as its diffuse range looks on
an SDR display; what is brighter than diffuse white is untouched.

White noise is measured and taken out before the lift where there is nothing else; what is left is lifted with the
light (the findings tell by how much): put `denoise` in front, which measures better than behind
(`answerprint bench lowlight`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from answerprint.color import display, spaces
from answerprint.color.lut import Cube, bake
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.nets import engine, mbllen, weights
from answerprint.noise import measure as noise
from answerprint.operation import windows
from answerprint.operations.lowlight import exposure
from answerprint.settings import Settings

HANDLES = 2
OWN = ("findings", "finite", "matte")

_POINTS = 25
# A curve is given where eyes and noise are: close together in the shadows.
PLACES = tuple((i / (_POINTS - 1)) ** 2 for i in range(_POINTS))
_STRAIGHT = PLACES
Curve = Annotated[tuple[float, ...], Field(min_length=_POINTS, max_length=_POINTS)]
Deviation = Annotated[float, Field(ge=0, le=1)]
_NO_NOISE = (0.0,) * noise.LIGHTS
Noise = Annotated[tuple[Deviation, ...], Field(min_length=len(_NO_NOISE), max_length=len(_NO_NOISE))]
Model = Literal["mbllen", "illumination"]


class Params(Settings):
    """What the user may say."""

    model: Model = Field(
        "illumination", description="What lifts the small picture: MBLLEN, or an estimate of the light that fell."
    )
    strength: float = Field(1.0, ge=0, le=1, description="How much of the enhancement is taken; 0 is the source.")
    target: float = Field(
        0.0, ge=0, le=0.8, description="Mean luma that the shot is brought to; 0 leaves it to the model."
    )
    smallest: float = Field(
        2.5, gt=0, le=50, description="Smallest thing that must stay visible, in percent of the picture's height."
    )
    compensation: float = Field(
        0.5, ge=0, le=1, description="Color level compensation per frame; 0 leaves one curve, which a LUT can hold."
    )
    highlights: float = Field(
        0.35, ge=0, le=1, description="Slope that the curve keeps toward white, so that highlights do not clip."
    )
    skin: float = Field(0.6, ge=0, le=1, description="How much skin keeps its hue and is spared.")
    most: float = Field(16.0, ge=1, le=64, description="Largest gain of the shadows, which is what noise gets too.")
    faint: float = Field(
        0.03, ge=0, le=0.2, description="Signal level under which color is noise: lifted as gray; 0 lifts all color."
    )
    denoise: float = Field(
        1.0, ge=0, le=1, description="How much of the noise is taken out before the lift; 0 lifts it with the rest."
    )
    keys: int = Field(0, ge=0, le=32, description="Curves over time: 1 for the whole shot, 0 for as many as it needs.")
    frames: int = Field(12, ge=1, le=64, description="Frames spread through the shot that the curve is found on.")
    only_dark: bool = Field(True, description="Leave footage that is not dark as it is.")
    weights: Path | None = Field(None, description="Trained weights of your own for MBLLEN.")


class Findings(Settings):
    """How dark the shot is and how it is lifted: one curve per channel and key."""

    exposure: float = Field(0.0, ge=0, description="Mean luma of the shot, fades and black frames left out.")
    strength: float = Field(
        0.0, ge=0, le=1, description="How much of the mapping is taken; 0 leaves the shot as it is."
    )
    natural: float = Field(0.5, gt=0, description="Mean luma that the curves give at full strength.")
    target: float = Field(
        0.5, gt=0, lt=1, description="Mean luma that is wanted at full strength; raise it to make the shot brighter."
    )
    times: tuple[float, ...] = Field((0.0,), description="Seconds from the clip's first frame at which a key stands.")
    levels: tuple[float, ...] = Field((0.0,), description="Mean luma of the shot at each key.")
    red: tuple[Curve, ...] = Field((_STRAIGHT,), description="Red out for (i / 24)^2 in, i from 0; one list per key.")
    green: tuple[Curve, ...] = Field((_STRAIGHT,), description="Green out, the same.")
    blue: tuple[Curve, ...] = Field((_STRAIGHT,), description="Blue out, the same.")
    ratio: int = Field(1, ge=1, description="Downsampling ratio of the small picture.")
    shadow_gain: float = Field(1.0, ge=0, description="How many times noise in the shadows is lifted.")
    noise: Noise = Field(_NO_NOISE, description="Deviation of the noise where luma is (i / 8)^2, i from 0.")
    note: str = Field("", description="What was special.")

    @model_validator(mode="after")
    def _one_per_key(self) -> Self:
        if not self.times or any(a >= b for a, b in zip(self.times, self.times[1:], strict=False)):
            raise ValueError(f"times must rise and hold one entry at least, found {list(self.times)}")
        for name in ("levels", "red", "green", "blue"):
            if len(getattr(self, name)) != len(self.times):
                raise ValueError(f"{name} has {len(getattr(self, name))} entries, times has {len(self.times)}")
        return self


def handles(params: Params) -> int:
    """Neighbors are looked at for the compensation alone."""
    return HANDLES if params.compensation and params.strength else 0


def networks(params: Params) -> tuple[str, ...]:
    """MBLLEN, where it is asked for and no file of weights is named."""
    return ("mbllen",) if params.model == "mbllen" and params.weights is None else ()


def cube(params: Params, findings: Findings, size: int = 33) -> Cube:
    """The mapping as a LUT, strength included, compensation left out; of several keys it is the middle one."""
    mapping = _Curves(params, findings).at(findings.times[len(findings.times) // 2])
    comments = []
    if params.compensation and findings.strength:
        comments.append("the color level compensation is not in this LUT: it looks at the picture around a pixel")
    if params.denoise and findings.strength and max(findings.noise) > _CODE:
        comments.append("taking out noise before the lift is not in this LUT")
    if len(findings.times) > 1:
        comments.append(f"the curves move over {len(findings.times)} keys; this is the middle one")
    return bake(mapping.apply, size, title=f"lowlight: {params.model}", comments=tuple(comments))


def color_part(findings: Findings) -> tuple[Findings, Fraction]:
    """The findings, and the time (s) of the middle key."""
    return findings, Fraction(findings.times[len(findings.times) // 2])


# ---------------------------------------------------------------------------------------------------------- analysis

_DARK, _BRIGHT = 0.24, 0.38  # mean luma: below it is dark, above it is not, between them somewhat
_BLACK = 0.004  # mean luma of a black frame
_WANTED = 0.45  # mean luma that the classical model aims at
_RARE = 2e-5  # T of equation 8
_CHANGE = 1.5  # factor by which light must change inside a shot for keys to be set
_MOST_KEYS = 4
_NOT_DARK = "not dark: left as it is (only_dark = false lifts it all the same)"
_CODE = 0.003  # deviation of noise under which rounding to 8 bits hides it


@dataclass(frozen=True, eq=False)
class _Look:
    """One small picture of the shot as it looks on an SDR display, how bright, and the noise of the large one."""

    time: float
    seen: Tensor
    level: float
    noise: NDArray[np.float64]


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:
    """Measures how dark the shot is and finds the curves that lift it."""
    looks, ratio = _looks(shot, params)
    lit, note = _lit(looks)
    if not lit:
        return Findings(ratio=ratio, note=note)
    level = float(np.median([look.level for look in lit]))
    needed = _needed(level) if params.only_dark else 1.0
    # A brightness that a person names is meant.
    needed = 1.0 if needed and params.target else needed
    if needed == 0:
        return Findings(exposure=round(level, 4), ratio=ratio, natural=level, target=level, note=_NOT_DARK)
    lift = _model(params, device)
    enhanced = [lift(look.seen) for look in lit]
    groups = _keys(lit, params)
    curves = [_curves(lit, enhanced, weights, params) for _, weights in groups]
    if params.target:
        curves = [
            _brought(lit, weights, curve, params.target) for (_, weights), curve in zip(groups, curves, strict=True)
        ]
    natural = float(np.mean([_mean_under(look, curve) for (_, w), curve in zip(groups, curves, strict=True)
                             for look, share in zip(lit, w, strict=True) if share > 0.2]))  # fmt: skip
    gain = float(np.mean([_shadow_gain(look, curves[0]) for look in lit]))
    red, green, blue = (tuple(_told(curve[c]) for curve in curves) for c in range(3))
    return Findings(
        exposure=round(level, 4), strength=round(params.strength * needed, 4), natural=round(natural, 4),
        target=round(natural, 4), times=tuple(time for time, _ in groups), red=red, green=green,
        levels=tuple(round(_level_at(lit, weights), 4) for _, weights in groups), blue=blue, ratio=ratio,
        shadow_gain=round(gain, 2), noise=_deviation(lit), note=_said(note, needed, gain, len(groups)),
    )  # fmt: skip


def _looks(shot: Shot, params: Params) -> tuple[list[_Look], int]:
    """Small pictures spread through the shot, its two ends among them: there fades are seen."""
    count = min(params.frames, shot.length)
    places = sorted({*shot.positions(count), 0, shot.length - 1})
    looks, ratio = [], 1
    for pair in _pairs(shot, places):
        frame = pair[0]
        ratio = exposure.ratio_of(frame.height, frame.width, params.smallest / 100 * frame.height)
        seen = _as_displayed(exposure.sparse(frame.pixels, ratio), frame.color.transfer)
        if frame.matte is not None and bool((frame.matte > 0).any()):
            inside = exposure.sparse(frame.matte.expand(3, -1, -1), ratio)[0] > 0.5
            level = float(_luma(seen)[inside].mean()) if bool(inside.any()) else 0.0
        else:
            level = float(_luma(seen).mean())
        looks.append(_Look(float(frame.time), seen, level, _noise(pair) if params.denoise else _UNKNOWN))
    return looks, ratio


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


_UNKNOWN = np.full(noise.LIGHTS, np.nan)


def _noise(pair: list[Frame]) -> NDArray[np.float64]:
    """Variance of the noise by luma in the first of them."""
    shown = [_as_displayed(frame.pixels, frame.color.transfer) for frame in pair]
    return noise.by_light(*shown)


def _luma(seen: Tensor) -> Tensor:
    """(H, W); highlights of HDR count as white, or a lamp would make a night bright."""
    return spaces.luma(seen.clamp(0, 1))[0]


def _lit(looks: list[_Look]) -> tuple[list[_Look], str]:
    """Those that show the scene in its own light: no black frames, no fade from or to black."""
    bright = [look for look in looks if look.level > _BLACK]
    if not bright:
        return [], "black from end to end: left as it is"
    steady = float(np.median([look.level for look in bright]))
    # A fade may take the whole shot: what it fades from is its brightest part, not its middle.
    full = float(np.percentile([look.level for look in bright], 90))
    first, last = 0, len(looks)
    if looks[0].level < 0.25 * steady:
        while first < last and looks[first].level < 0.8 * full:
            first += 1
    if looks[-1].level < 0.25 * steady:
        while last > first and looks[last - 1].level < 0.8 * full:
            last -= 1
    kept = [look for look in looks[first:last] if look.level > max(_BLACK, 0.1 * steady)]
    note = "a fade or black frames are in the shot: the curve is that of the rest" if len(kept) < len(looks) else ""
    return kept or bright, note


def _needed(level: float) -> float:
    """1 where the shot is dark, 0 where it is not, smooth between."""
    place = min(max((_BRIGHT - level) / (_BRIGHT - _DARK), 0.0), 1.0)
    return place * place * (3 - 2 * place)


def _keys(lit: list[_Look], params: Params) -> list[tuple[float, list[float]]]:
    """Time of each key, and how much each look counts for it."""
    levels = [look.level for look in lit]
    start, stop = lit[0].time, lit[-1].time
    count = params.keys or (_MOST_KEYS if max(levels) > _CHANGE * min(levels) else 1)
    count = min(count, len(lit))
    if count == 1 or stop <= start:
        return [((start + stop) / 2, [1.0] * len(lit))]
    times = [start + (stop - start) * i / (count - 1) for i in range(count)]
    width = (stop - start) / (count - 1) / 2
    return [(time, [float(np.exp(-0.5 * ((look.time - time) / width) ** 2)) for look in lit]) for time in times]


def _level_at(lit: list[_Look], weights: list[float]) -> float:
    return float(np.average([look.level for look in lit], weights=weights))


def _curves(
    lit: list[_Look], enhanced: list[Tensor], weights: list[float], params: Params
) -> list[NDArray[np.float64]]:
    """Mixed histogram matching of the small pictures before and after, per channel: equations 6 to 8."""
    curves = []
    for channel in range(3):
        original = sum(w * exposure.histogram([look.seen[channel]]) for look, w in zip(lit, weights, strict=True))
        reference = sum(w * exposure.histogram([made[channel]]) for made, w in zip(enhanced, weights, strict=True))
        matched = exposure.matched(np.asarray(original), np.asarray(reference))
        curve = exposure.joined(matched, exposure.rare(np.asarray(original), _RARE))
        curves.append(exposure.held(curve, params.most, params.highlights))
    return curves


def _told(curve: NDArray[np.float64]) -> tuple[float, ...]:
    """A curve by the points that are kept of it."""
    x = (np.arange(exposure.LEVELS) + 0.5) / exposure.LEVELS
    heights = np.interp(PLACES, np.concatenate(([0.0], x, [1.0])), np.concatenate(([0.0], curve, [1.0])))
    return tuple(round(float(height), 5) for height in np.maximum.accumulate(heights))


def _mean_under(look: _Look, curves: list[NDArray[np.float64]]) -> float:
    x = (np.arange(exposure.LEVELS) + 0.5) / exposure.LEVELS
    mapped = [np.interp(look.seen[c].numpy(), x, curves[c]) for c in range(3)]
    return max(float(spaces.luma(torch.from_numpy(np.stack(mapped)).float()).mean()), 1e-3)


def _brought(
    lit: list[_Look], weights: list[float], curves: list[NDArray[np.float64]], target: float
) -> list[NDArray[np.float64]]:
    """Curves to the power that brings the looks to that mean luma."""
    low, high = 0.1, 10.0
    for _ in range(20):
        power = float(np.sqrt(low * high))
        powered = [curve**power for curve in curves]
        mean = float(np.average([_mean_under(look, powered) for look in lit], weights=weights))
        low, high = (low, power) if mean < target else (power, high)
    return powered


def _shadow_gain(look: _Look, curves: list[NDArray[np.float64]]) -> float:
    """Slope of the luma's curve at the shot's darkest quarter."""
    x = (np.arange(exposure.LEVELS) + 0.5) / exposure.LEVELS
    luma = spaces.luma(look.seen).flatten()
    dark = max(float(luma.kthvalue(max(len(luma) // 4, 1)).values), 2 / exposure.LEVELS)
    green = curves[1]
    low, high = np.interp([dark * 0.5, dark * 1.5], x, green)
    return float((high - low) / dark)


def _deviation(lit: list[_Look]) -> tuple[float, ...]:
    """Deviation of the noise over the looks, by luma; levels that are in none of them have that of their neighbors."""
    seen = np.stack([look.noise for look in lit])
    known = [i for i in range(seen.shape[1]) if not np.isnan(seen[:, i]).all()]
    if not known:
        return _NO_NOISE
    variance = np.interp(range(seen.shape[1]), known, [float(np.nanmedian(seen[:, i])) for i in known])
    deviation = np.sqrt(variance)
    # Noise grows with the root of the light at most: what grows twice as fast is texture that lies everywhere.
    root = np.arange(1, len(deviation))  # of luma, times a constant
    growth = np.minimum.accumulate(np.maximum(deviation[1:], _CODE) / root)
    deviation[1:] = np.minimum(deviation[1:], 2 * root * growth)
    return tuple(round(min(float(level), 1.0), 5) for level in deviation)


def _said(note: str, needed: float, gain: float, keys: int) -> str:
    said = [note] if note else []
    if needed < 1:
        said.append(f"not very dark: lifted by {100 * needed:.0f} percent of what the model would")
    if keys > 1:
        said.append(f"{keys} keys: the light of the shot changes")
    if gain > 2:
        said.append(f"noise that is left in the shadows is lifted {gain:.1f} times: put denoise in front")
    return "; ".join(said)


# ----------------------------------------------------------------------------------------------------------- models


def _model(params: Params, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What enhances a small picture (3, h, w) of 0..1."""
    if params.model == "illumination":
        # A night stays darker than a dusk.
        return lambda picture: exposure.lifted(
            picture, min(_WANTED, 0.1 + 2.2 * float(_luma(picture).mean())), spaces.LUMA_709
        )
    network = _network(params.weights, device)
    return lambda picture: engine.tiled(network, [picture.clamp(0, 1)[None]], multiple=1)[0].cpu().clamp(0, 1)


_network = weights.kept("mbllen", lambda path, device: engine.ready(mbllen.load(path), device))


# Diffuse white: 203 cd/m2 (BT.2408), and 75 percent of the HLG signal.
_PQ_WHITE = display.WHITE / 10_000
_HLG_WHITE = float(spaces.decode(torch.tensor([0.75]), "arib-std-b67"))


def _as_displayed(pixels: Tensor, transfer: str) -> Tensor:
    """HDR and linear pictures as their diffuse range looks on an SDR display; all others as they are."""
    light = _light(pixels, transfer)
    return pixels if light is None else spaces.encode(light.clamp(min=0), "iec61966-2-1")


def _light(pixels: Tensor, transfer: str) -> Tensor | None:
    if transfer == "linear":
        return pixels
    if transfer == "smpte2084":
        return spaces.decode(pixels, transfer) / _PQ_WHITE
    if transfer == "arib-std-b67":
        return spaces.decode(pixels, transfer) / _HLG_WHITE
    return None


def _as_coded(seen: Tensor, transfer: str) -> Tensor:
    """The inverse of `_as_displayed`."""
    white = {"linear": 1.0, "smpte2084": _PQ_WHITE, "arib-std-b67": _HLG_WHITE}.get(transfer)
    if white is None:
        return seen
    light = spaces.decode(seen, "iec61966-2-1") * white
    return light if transfer == "linear" else spaces.encode(light, transfer)


# ----------------------------------------------------------------------------------------------------------- render


def run(frames: Iterator[Frame], params: Params, findings: Findings | None, device: torch.device) -> Iterator[Frame]:
    """Each frame under the curves of its time, with its own color levels where compensation is asked for."""
    if findings is None:
        raise SettingsError("lowlight needs Findings: analyze the shot first")
    if findings.strength == 0:
        yield from frames
        return
    curves = _Curves(params, findings)
    compensated = bool(params.compensation) and handles(params) > 0
    lift = _model(params, device) if compensated else None
    fields: dict[object, Tensor] = {}
    for window in windows(frames, handles(params)):
        field = None
        if lift is not None:
            fresh = {frame.time: frame for frame in window.frames if frame.time not in fields}
            fields = {frame.time: fields[frame.time] for frame in window.frames if frame.time in fields}
            fields |= {time: _field(frame, curves, findings, lift) for time, frame in fresh.items()}
            # Later frames weigh as much as earlier ones, the present one most.
            shares = (1, 2, 3, 2, 1)
            field = sum((fields[f.time] * w for f, w in zip(window.frames, shares, strict=True)), torch.zeros(1)) / 9
        yield _mapped(window.center, curves, field, params, findings)


def _mapped(frame: Frame, curves: _Curves, field: Tensor | None, params: Params, findings: Findings) -> Frame:
    transfer = frame.color.transfer
    seen = _as_displayed(frame.pixels, transfer)
    quiet = params.denoise > 0 and max(findings.noise) > 0
    mapping = curves.at(float(frame.time), full=quiet)
    done = mapping.apply(
        _quieted(seen, params, findings) if quiet else seen, field, params.compensation, findings.ratio
    )
    if quiet:
        done = _mixed(seen, done, findings.strength)
    if seen is not frame.pixels:
        # Above diffuse white, and where nothing changed, the code values are those of the source.
        done = torch.where(
            (seen.amax(dim=0) < 1) & torch.isfinite(seen).all(dim=0), _as_coded(done, transfer), frame.pixels
        )
    if frame.matte is not None:
        done = torch.where(frame.matte > 0, torch.lerp(frame.pixels, done, frame.matte), frame.pixels)
    return frame.with_pixels(done)


def _quieted(seen: Tensor, params: Params, findings: Findings) -> Tensor:
    """The picture without its noise; the field has none: the pixels of the small picture are means."""
    return _mixed(seen, exposure.quieted(seen, findings.noise, spaces.LUMA_709), params.denoise)


def _mixed(source: Tensor, made: Tensor, share: float) -> Tensor:
    return made if share == 1 else torch.where(source.isfinite(), torch.lerp(source, made, share), source)


def _field(frame: Frame, curves: _Curves, findings: Findings, lift: Callable[[Tensor], Tensor]) -> Tensor:
    """Color level compensation of one frame, (3, h, w); none where it is darker than the shot: in fades."""
    small = _as_displayed(exposure.sparse(frame.pixels, findings.ratio), frame.color.transfer)
    mapping = curves.at(float(frame.time), full=True)
    lost = exposure.compensation(curves.brought(lift(small)), mapping.apply(small), mapping.weights)
    ratio = float(_luma(small).mean()) / max(curves.level(float(frame.time)), 1e-4)
    place = min(max((ratio - 0.4) / 0.4, 0.0), 1.0)
    return lost * (place * place * (3 - 2 * place))


class _Curves:
    """The findings as a mapping at any time."""

    def __init__(self, params: Params, findings: Findings) -> None:
        self.params = params
        self.findings = findings
        self.power = float(np.log(findings.target) / np.log(min(max(findings.natural, 1e-3), 0.999)))
        self.single = self._mapping(findings.times[0]) if len(findings.times) == 1 else None

    def at(self, time: float, full: bool = False) -> exposure.Mapping:
        """The mapping at a time; at full strength where asked."""
        mapping = self.single or self._mapping(time)
        return exposure.Mapping(mapping.tables, mapping.weights, mapping.skin, 1.0, mapping.faint) if full else mapping

    def level(self, time: float) -> float:
        """Mean luma that the shot has at a time."""
        return float(np.interp(time, self.findings.times, self.findings.levels))

    def brought(self, enhanced: Tensor) -> Tensor:
        """An enhanced picture at the target instead of the model's own brightness."""
        return enhanced if self.power == 1 else enhanced.clamp(min=0) ** self.power

    def _mapping(self, time: float) -> exposure.Mapping:
        findings, tables = self.findings, []
        place = np.linspace(0, 1, 2049)
        for keys in (findings.red, findings.green, findings.blue):
            heights = np.asarray(keys, np.float64)
            if len(findings.times) > 1:
                clamped = min(max(time, findings.times[0]), findings.times[-1])
                heights = PchipInterpolator(findings.times, heights)(clamped)
            else:
                heights = heights[0]
            # Cubic in the root of the value, where the points are evenly spaced: no kink in the shadows.
            table = PchipInterpolator(np.sqrt(PLACES), heights)(np.sqrt(place))
            tables.append(np.clip(table, 0, 1) ** self.power)
        return exposure.Mapping(
            np.asarray(tables, np.float32),
            spaces.LUMA_709,
            self.params.skin,
            findings.strength,
            self.params.faint,
        )
