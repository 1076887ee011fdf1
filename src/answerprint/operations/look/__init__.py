"""Look: gives a shot the look of a reference still, as a grade that a colorist can read, change and take elsewhere.

After NCST, "Neural-based Color Style Transfer for Video Retouching" (Jiang, Chen, Zhang, Wang and Wen 2023), which
predicts grading parameters instead of pixels. Two sets of parameters (`method`):

`ncst` is the paper's: brightness, contrast, gamma, hue, saturation, sharpness, temperature.

`extended` goes on where these seven cannot reach: ASC CDL slope, offset, power and saturation, then tone curves, then
(only if asked) a smooth residual 3D LUT. Each stage tells its share of the way and leaves what it found untouched, so
the CDL alone is the best CDL, and the rest can be left out.

They are tuned on the shot itself (`tune`): on representative frames, chosen by color histogram, the sliced Wasserstein
distance to the reference's colors in CIELAB is made small, while as much structure (SSIM of luma) is asked for as the
global transfer of Reinhard et al. (2001) keeps. `network` takes the parameters from the paper's network and tunes that
network by the paper's losses; `off` takes them from the network as it is.

The order of work is fixed: temperature, brightness, slope, offset, power, saturation, contrast, gamma, hue, curves,
LUT, sharpness. A shot whose color drifts gets keys: parameters at several times, interpolated smoothly. Sharpness looks
at neighboring pixels: no LUT can hold it. The grade works in the footage's own display encoding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import cv2
import numpy as np
import torch
from pydantic import Field, model_validator
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from answerprint.color import cdl as cdl_file
from answerprint.color import display, fit, fused, lut, spaces, style
from answerprint.color.fit import CURVE, Points, Triple, Values
from answerprint.errors import SettingsError
from answerprint.filters import classical
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.media import reader
from answerprint.motion import align, flow
from answerprint.operations import grade, match
from answerprint.settings import Settings

HANDLES = 0
OWN = ("findings", "finite", "matte")

Factor = Annotated[float, Field(ge=0, le=10)]
Power = Annotated[float, Field(gt=0, le=10)]
Signed = Annotated[float, Field(ge=-1, le=1)]
Degrees = Annotated[float, Field(ge=-180, le=180)]
Warmth = Annotated[float, Field(ge=-200, le=200)]
NAMES = tuple(entry.name for entry in fields(Values))
LEARNED = "answerprint.learned/1"


class Params(Settings):
    """Where the look comes from and how it is fitted."""

    reference: Path | None = Field(None, description="Still or clip whose look the shot is to have.")
    fit: Path | None = Field(
        None, description="The shot as someone or something graded it, aligned in time: that is fitted instead."
    )
    learned: Path | None = Field(None, description="A look that learn-look wrote (.json), taken as it is.")
    method: Literal["extended", "ncst"] = Field(
        "extended", description="extended: CDL, then curves, then perhaps a LUT; ncst: the paper's seven parameters."
    )
    tune: Literal["parameters", "network", "off"] = Field(
        "parameters", description="What is tuned on the shot: the parameters, the network that gives them, or nothing."
    )
    iterations: int = Field(
        500, ge=1, le=100_000, description="Iterations of tuning at most; it ends when it is there."
    )
    frames: int = Field(4, ge=1, le=64, description="Representative frames that the look is tuned on.")
    keys: int = Field(
        0, ge=0, le=64, description="Sets of parameters over time: 1 for the whole shot, 0 for as many as it drifts."
    )
    curve: bool = Field(True, description="Tone curves after the CDL (extended).")
    lut: bool = Field(False, description="A smooth residual LUT after the curves (extended); not readable.")
    lut_size: int = Field(7, ge=3, le=17, description="Points per axis of the residual LUT.")
    hold: tuple[str, ...] = Field(
        (), description="Parameters that stay neutral: slope, offset, power, saturation, curve; contrast, hue, ..."
    )
    structure: float = Field(
        1.0, ge=0, le=10, description="Structure to keep: 1 as much as a global color transfer, above 1 more, 0 any."
    )
    steadiness: float = Field(
        1.0, ge=0, le=10, description="Flicker and grain: 1 lifts them no more than contrast, above 1 less, 0 any."
    )
    strength: float = Field(1.0, ge=0, le=1, description="How much of the look is taken; 0 is the source.")
    seed: int = Field(0, ge=0, description="Seed of the drawing of pixels.")


class Findings(Settings):
    """The grade, as numbers to read and change: one entry per key."""

    times: tuple[float, ...] = Field((0.0,), description="Seconds from the clip's first frame at which a key stands.")
    temperature: tuple[Warmth, ...] = Field((0.0,), description="Above 0 warmer, below cooler; one number per key.")
    brightness: tuple[Signed, ...] = Field((0.0,), description="Added to all channels.")
    slope: tuple[Triple, ...] = Field(((1.0, 1.0, 1.0),), description="ASC CDL slope of red, green, blue.")
    offset: tuple[Triple, ...] = Field(((0.0, 0.0, 0.0),), description="ASC CDL offset of red, green, blue.")
    power: tuple[tuple[Power, Power, Power], ...] = Field(
        ((1.0, 1.0, 1.0),), description="ASC CDL power of red, green, blue, above 0."
    )
    saturation: tuple[Factor, ...] = Field((1.0,), description="ASC CDL saturation; 0 is gray.")
    contrast: tuple[Factor, ...] = Field((1.0,), description="Scales the distance from mid gray.")
    gamma: tuple[Power, ...] = Field((1.0,), description="Above 1 lifts the midtones.")
    hue: tuple[Degrees, ...] = Field((0.0,), description="Turns all colors, in degrees.")
    curve_red: tuple[Points, ...] = Field((CURVE,), description="Red out, for 0, 0.1, 0.25, 0.5, 0.75, 0.9, 1 in.")
    curve_green: tuple[Points, ...] = Field((CURVE,), description="Green out, for the same.")
    curve_blue: tuple[Points, ...] = Field((CURVE,), description="Blue out, for the same.")
    sharpness: tuple[Signed, ...] = Field((0.0,), description="Unsharp masking, below 0 softer; no LUT can hold it.")
    lut_size: int = Field(0, ge=0, le=17, description="Points per axis of the residual LUT; 0 = none.")
    lut: tuple[float, ...] = Field((), description="What the residual LUT adds: R, G, B per point, red fastest.")
    shares: dict[str, float] = Field(default_factory=dict, description="Share of the way that each stage went.")
    distance_before: float = Field(0.0, description="Distance of the shot from the look, CIELAB units.")
    distance_after: float = Field(0.0, description="Distance that is left.")
    color_error: float = Field(0.0, description="Color error left, mean CIEDE2000.")
    kept: float = Field(1.0, description="SSIM of luma to the source.")
    lifted: float = Field(1.0, description="Flicker and grain, after over before, over the gain of contrast.")
    drift: float = Field(0.0, description="How far the shot's light moves from its start to its end, CIELAB units.")
    fitted_on: tuple[float, ...] = Field((), description="Times of the representative frames, in seconds.")
    reference_hash: str = Field("", description="SHA-256 of the reference.")
    summary: str = Field("", description="How far each stage went, in words.")
    note: str = Field("", description="What was special.")

    @model_validator(mode="after")
    def _one_per_key(self) -> Self:
        keys = len(self.times)
        if not keys or any(a >= b for a, b in zip(self.times, self.times[1:], strict=False)):
            raise ValueError(f"times must rise and hold one entry at least, found {list(self.times)}")
        for name in (*NAMES, "sharpness"):
            if len(getattr(self, name)) != keys:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries, times has {keys}: one per key")
        if len(self.lut) != 3 * self.lut_size**3:
            raise ValueError(
                f"lut has {len(self.lut)} numbers, a LUT of {self.lut_size} points needs {3 * self.lut_size**3}"
            )
        return self


def analyze(shot: Shot, params: Params, device: torch.device, say: Callable[[str], None] | None = None) -> Findings:
    """Fits the grade to the shot.

    Args:
        say: hears of the progress, in words.

    Raises:
        SettingsError: nothing to take a look from, contradictory parameters, pairs that do not show the same scene.
        MediaError: the reference cannot be read.
    """
    if params.learned is not None:
        return _learned(params)
    plan = _plan(params)
    candidates, positions = shot.sample(3 * params.frames), shot.positions(3 * params.frames)
    standing = _representative(candidates, params)
    chosen, places = [candidates[i] for i in standing], [positions[i] for i in standing]
    drift, steady = _drift(candidates, params)
    wanted: _Still | _Pairs
    if params.fit is not None:
        wanted = _Pairs.read(params.fit, params)
    else:
        wanted = _Still.read(params.reference or Path(), chosen[0].color, params)
    notes = [wanted.note, *_told(params, chosen, shot)]
    if max(_span(frame) for frame in chosen) < _FLAT:
        notes.append("the shot is a single tone and is left as it is: it has no light and shade to grade")
        return _neutral(chosen, wanted.digest, notes)
    whole = wanted.objective(chosen, places, shot)
    if isinstance(wanted, _Pairs) or params.tune == "parameters":
        fitted, sharpness = fit.fit(whole, plan, say=say), 0.0
    else:
        fitted, sharpness = _by_network(whole, params, chosen, wanted.picture, device, say)
    times, keyed = [float(chosen[0].time)], [fitted]
    count = params.keys or (_keys(drift) if steady else 1)
    count = min(count, shot.length)
    if count > 1 and params.tune != "parameters":
        notes.append(
            f"one set of parameters, though the light of the shot moves by {drift:.0f} CIELAB units: keys need "
            "tune parameters"
        )
    elif count > 1:
        places = [i * (shot.length - 1) // (count - 1) for i in range(count)]
        ends = [frame for place in places for frame in shot.frames(place, place + 1)]
        times = [float(frame.time) for frame in ends]
        keyed = [
            fit.fit(wanted.objective([frame], [place], shot), plan, near=fitted)
            for frame, place in zip(ends, places, strict=True)
        ]
        notes.append(f"{count} keys: the light of the shot moves by {drift:.0f} CIELAB units")
    return _findings(fitted, keyed, times, sharpness, chosen, whole, drift, wanted.digest, notes)


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Grades every frame by the findings, interpolated to its time."""
    if params.strength == 0:
        yield from frames
        return
    look, spare = _Look(findings), fused.Spare()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for frame in frames:
            steps, sharpness = look.at(frame.time)
            if not steps.empty or sharpness:
                frame = frame.with_pixels(_graded(frame, steps, sharpness, params.strength, device, pool, spare))
            yield frame
            del frame  # it is large: it must not stay alive while the next one is made


def cube(params: Params, findings: Findings, size: int = 33) -> lut.Cube:
    """The look as a LUT, strength included (NCST, algorithm 1, but both ends of the range are sampled exactly).

    Sharpness is left out: it looks at neighboring pixels. Of a shot with several keys it is the look at the middle one.
    """
    return cube_at(params, findings, Fraction(findings.times[len(findings.times) // 2]), size)


def cube_at(params: Params, findings: Findings, time: Fraction, size: int = 33) -> lut.Cube:
    """The look at one time as a LUT; see `cube`.

    Raises:
        ColorError: the size is out of range.
    """
    steps, sharpness = _Look(findings).at(time)
    comments = []
    if sharpness:
        comments.append(f"sharpness {sharpness:g} is not in this LUT: it looks at neighboring pixels")
    if len(findings.times) > 1:
        comments.append(f"the look moves over {len(findings.times)} keys; this is how it is at {float(time):.3f} s")
    named = params.reference or params.fit or params.learned
    title = f"look of {named.name}" if named is not None else "look"
    return lut.bake(
        lambda pixels: fused.run(steps.program, pixels, params.strength), size, title=title, comments=tuple(comments)
    )


def correction(params: Params, findings: Findings) -> tuple[cdl_file.Correction, list[str]]:
    """What one ASC CDL can hold of the look (at the middle key), and the names of what it cannot."""
    middle = findings.times[len(findings.times) // 2]
    values, sharpness = _Look(findings).values(Fraction(middle))
    own, left = grade.correction(_grade_params(values).model_copy(update={"strength": params.strength}), None)
    curved = any(getattr(values, name) != CURVE for name in fit.CURVES)
    left = [*left, *(["curve"] if curved else []), *(["lut"] if findings.lut_size else [])]
    return own, [*left, *(["sharpness"] if sharpness else []), *(["keys"] if len(findings.times) > 1 else [])]


def color_part(findings: Findings) -> tuple[Findings, Fraction]:
    """The look without its sharpness, which a LUT cannot hold, and the time (s) of the middle key."""
    color = findings.model_copy(update={"sharpness": (0.0,) * len(findings.sharpness)})
    return color, Fraction(findings.times[len(findings.times) // 2])


# ---- the grade at a time


class _Look:
    """The findings as a grade at any time."""

    def __init__(self, findings: Findings) -> None:
        self.names = (*NAMES, "sharpness")
        self.findings = findings
        self.single = self._chain(*self.values(Fraction(0))) if len(findings.times) == 1 else None

    def at(self, time: Fraction) -> tuple[grade.Chain, float]:
        """The chain of color steps, and the sharpness."""
        return self.single if self.single is not None else self._chain(*self.values(time))

    def values(self, time: Fraction) -> tuple[Values, float]:
        """The numbers at a time: monotone cubic between keys (Fritsch and Carlson 1980), constant before and after."""
        times = self.findings.times
        found: dict[str, Any] = {}
        for name in self.names:
            keys = getattr(self.findings, name)
            if len(times) == 1:
                found[name] = keys[0]
                continue
            place = min(max(float(time), times[0]), times[-1])
            number = PchipInterpolator(times, np.asarray(keys, np.float64))(place)
            found[name] = tuple(number.tolist()) if number.ndim else float(number)
        sharpness: float = found.pop("sharpness")
        return Values(**found), sharpness

    def _chain(self, values: Values, sharpness: float) -> tuple[grade.Chain, float]:
        steps = grade.chain(_grade_params(values)).steps
        curves = [getattr(values, name) for name in fit.CURVES]
        if any(output != CURVE for output in curves):
            steps = (*steps, ("tone curves", np.array([CURVE, *curves], np.float64)))
        n = self.findings.lut_size
        cube = fit.residual_cube(torch.tensor(self.findings.lut).view(n, n, n, 3)) if n else None
        return grade.Chain(steps, cube), sharpness


def _grade_params(values: Values) -> grade.Params:
    """The part of a look that is a `grade`."""
    # Brightness comes before the slope: it is an offset that the slope scales.
    offset = [o + s * values.brightness for o, s in zip(values.offset, values.slope, strict=True)]
    return grade.Params(
        temperature=values.temperature,
        slope=values.slope,
        offset=(offset[0], offset[1], offset[2]),
        power=values.power,
        saturation=values.saturation,
        contrast=values.contrast,
        gamma=values.gamma,
        hue=values.hue,
    )


def _graded(
    frame: Frame,
    steps: grade.Chain,
    sharpness: float,
    strength: float,
    device: torch.device,
    pool: ThreadPoolExecutor,
    spare: fused.Spare,
) -> Tensor:
    weight = strength if frame.matte is None else frame.matte * strength
    source = frame.pixels
    if device.type == "cpu" and sharpness == 0:
        return fused.run(steps.program, source.cpu(), weight, pool, spare)
    if device.type == "cpu":
        graded = fused.run(steps.program, source.cpu(), 1.0, pool, spare)
    else:
        with torch.no_grad():
            graded = steps.apply(source.to(device, copy=True)).to(source.device)
    if sharpness:
        _sharpen(graded, sharpness, _sigma(frame))
    if isinstance(weight, float) and weight == 1:
        return graded
    full = torch.as_tensor(weight).to(source)
    mixed = source + (graded - source) * full
    return torch.where(full == 1, graded, torch.where(full == 0, source, mixed))


def _sharpen(pixels: Tensor, amount: float, sigma: float) -> None:
    """Unsharp masking, written over the pixels, plane by plane: whole pictures in between cost more than the blur."""
    for plane in pixels:
        plane.add_(plane - classical.gaussian(plane[None], sigma)[0], alpha=amount)


def _sigma(frame: Frame) -> float:
    """Reach of sharpness: 1.2 pixels in a picture of 1080 lines, so that it looks the same at every size."""
    return max(0.5, 1.2 * frame.height / 1080)


# ---- what is wanted


def _learned(params: Params) -> Findings:
    """The look of a file that learn-look wrote.

    Raises:
        SettingsError: it is no such file, or contradicts the other parameters.
    """
    path = params.learned or Path()
    if params.reference is not None or params.fit is not None or params.hold:
        raise SettingsError("learned: the look is already made; give it alone, without reference, fit or hold")
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
    except OSError as error:
        raise SettingsError(f"learned: {path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise SettingsError(f"learned: {path} is no JSON; give the .json that learn-look wrote") from None
    if not isinstance(data, dict) or data.get("format") != LEARNED:
        raise SettingsError(f"learned: {path} holds no learned look; give the .json that learn-look wrote")
    found = Findings.of(data.get("findings", {}), str(path))
    return found.model_copy(update={"reference_hash": hashlib.sha256(text.encode()).hexdigest()})


@dataclass(frozen=True, eq=False)
class _Still:
    """The colors of a reference."""

    lab: Tensor
    picture: Tensor
    digest: str
    note: str
    params: Params

    @classmethod
    def read(cls, path: Path, like: ColorTags, params: Params) -> _Still:
        frames, digest = match.read_reference(path, params.frames)
        seen = [_as_seen(frame, like) for frame in frames]
        share = -(-_WANTED // len(frames))
        drawn = [
            style.colors(pixels, share, params.seed, match.usable(frame)[None].float())
            for pixels, frame in zip(seen, frames, strict=True)
        ]
        lab = style.to_lab(torch.cat(drawn).clamp(-0.1, 1.1))
        note = ""
        if float(lab[:, 0].max()) < 1:
            raise SettingsError(f"reference {path} is black everywhere; give a picture with a look")
        if len(lab) < _TINY:
            few = f"{len(lab)} pixel{'s' * (len(lab) > 1)}"
            note = f"the reference has only {few}: its color is used, its lightness is not"
            lab = lab.mean(0).expand(2, 3)
        elif float(lab[:, 0].std(correction=0)) < _FLAT:
            note = "the reference is a single tone: its color is used, its lightness is not"
        elif float(lab[:, 1:].abs().max()) < 1:
            note = "the reference has no color: the shot will have none"
        hidden = sum(float((~match.usable(frame)).float().mean()) for frame in frames) / len(frames)
        if hidden > 0:
            left = f"transparent parts of the reference do not count ({hidden:.0%} of it)".replace("%", " %")
            note = "; ".join(filter(None, (note, left)))
        seen_as = _seen_as(frames[0].color, like)
        return cls(lab, _resized_to(seen[0], _SEEN), digest, "; ".join(filter(None, (note, seen_as))), params)

    def objective(self, frames: Sequence[Frame], places: Sequence[int], shot: Shot) -> fit.Objective:
        colors = _colors(frames, self.params)
        wanted = self.lab
        if float(wanted[:, 0].std(correction=0)) < _FLAT:
            # A swatch says which tint is wanted, nothing of light and shade: those stay the shot's own.
            lightness = style.to_lab(colors)[:, :1]
            wanted = torch.cat([lightness, wanted[:, 1:].mean(0).expand(len(lightness), 2)], 1)
        # A frame on its own, for a key, counts as much as it does among those of the whole shot.
        among = max(len(frames), min(self.params.frames, shot.length))
        pieces = _pieces(frames, -(-_PIECES * len(frames) // among))
        pictures = [torch.stack(small(frames, _STRUCTURE // among)), torch.stack(pieces)]
        twins = _twins(frames, places, shot, self.params)
        return fit.Style.of(
            colors, wanted, pictures, self.params.structure, self.params.seed, twins, self.params.steadiness
        )


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The shot as someone graded it."""

    clip: reader.Clip
    path: Path
    digest: str
    note: str

    @classmethod
    def read(cls, path: Path, params: Params) -> _Pairs:
        _, digest = match.read_reference(path, 1)
        note = "fitted to a graded clip; the reference was not looked at" if params.reference is not None else ""
        return cls(reader.open(path), path, digest, note)

    def objective(self, frames: Sequence[Frame], places: Sequence[int], shot: Shot) -> fit.Objective:
        del places
        pairs = [(frame, self._beside(frame, shot)) for frame in frames]
        before = torch.cat([small([frame], _PAIR)[0].reshape(3, -1) for frame, _ in pairs], 1)
        after = torch.cat(
            [_resized(other.pixels, small([frame], _PAIR)[0].shape).reshape(3, -1) for frame, other in pairs], 1
        )
        keep = torch.from_numpy(np.random.default_rng(0).permutation(before.shape[1])[:_DRAWN])
        return fit.Pairs(before[:, keep].T, style.to_lab(after[:, keep].T))

    def _beside(self, frame: Frame, shot: Shot) -> Frame:
        """The frame of the graded clip at the same time.

        Raises:
            SettingsError: there is none, or it shows something else.
        """
        times = np.asarray([float(time) for time in self.clip.times])
        place = int(np.abs(times - float(frame.time)).argmin())
        if abs(times[place] - float(frame.time)) > 0.6 / float(shot.rate):
            raise SettingsError(
                f"{self.path} has no frame at {float(frame.time):.3f} s of the clip; "
                "it must be the whole clip, graded, aligned in time"
            )
        other = next(iter(self.clip.frames(place, place + 1)))
        alike = _alike(frame, other)
        if alike < _SAME_SCENE:
            raise SettingsError(
                f"{self.path} does not show the same picture as the clip at {float(frame.time):.3f} s "
                f"(structures agree to {alike:.2f}, {_SAME_SCENE} is needed); align it in time and framing"
            )
        return other


_WANTED = 8192  # colors of the reference
_DRAWN = 3072  # colors of the shot
_PIECE, _PIECES, _SPREAD = 40, 12, (0.7548776662, 0.5698402910)
_STRUCTURE = 20_000  # pixels that structure is compared on, of all frames together
_PAIR = 10_000  # pixels of one of a pair: few, so that a pixel of misregistration does not matter
_SEEN = 256 * 256  # pixels that the network sees of a picture, as in the paper
_TINY = 64  # pixels under which a reference is a swatch
_FLAT = 0.5  # deviation of lightness under which a picture is a single tone
_SAME_SCENE = 0.5


def _as_seen(frame: Frame, like: ColorTags) -> Tensor:
    """A reference in the encoding of the shot, by the light that both show: diffuse white meets diffuse white."""
    theirs, ours = frame.color, like
    if theirs.transfer == ours.transfer or (theirs.transfer not in display.HDR and ours.transfer not in display.HDR):
        return frame.pixels
    light = display.light(frame.pixels, theirs.transfer)
    if theirs.primaries != ours.primaries and {theirs.primaries, ours.primaries} <= spaces.PRIMARIES.keys():
        light = spaces.xyz_to_rgb(spaces.rgb_to_xyz(light, theirs.primaries), ours.primaries)
    return display.encoded(light, ours.transfer)


def _seen_as(theirs: ColorTags, ours: ColorTags) -> str:
    """In words, what was done to bring a reference to the shot's encoding."""
    if theirs.transfer == ours.transfer or (theirs.transfer not in display.HDR and ours.transfer not in display.HDR):
        return ""
    return (
        f"the reference is {theirs.transfer}, the shot {ours.transfer}: brought over by the light shown, diffuse white "
        f"at {display.WHITE:g} cd/m2" + ("" if ours.transfer in display.HDR else ", highlights rolled off")
    )


def _colors(frames: Sequence[Frame], params: Params) -> Tensor:
    """Colors of the shot, inside its matte where it has one: (n, 3)."""
    share = -(-_DRAWN // len(frames))
    matted = any(frame.matte is not None and bool((frame.matte > 0).any()) for frame in frames)
    drawn = [
        style.colors(frame.pixels, share, params.seed, frame.matte if matted else None)
        for frame in frames
        if not matted or (frame.matte is not None and bool((frame.matte > 0).any()))
    ]
    found = torch.cat(drawn)
    if not len(found):
        raise SettingsError(f"the frame at {float(frames[0].time):.3f} s holds no finite pixel; nothing can be fitted")
    return found


def small(frames: Sequence[Frame], pixels: int) -> list[Tensor]:
    """Frames of at most `pixels` pixels each, of one shape, not-a-number as black."""
    shape = _resized_to(frames[0].pixels, pixels).shape
    return [_resized(frame.pixels, shape) for frame in frames]


def _pieces(frames: Sequence[Frame], count: int) -> list[Tensor]:
    """Small pieces of the frames at full size, spread over them: what happens to grain and texture shows there only."""
    side = min(_PIECE, *(min(frame.height, frame.width) for frame in frames))
    pieces = []
    for i in range(count):
        frame = frames[i % len(frames)]
        # Additive recurrence of the plastic number: evenly spread, however many there are.
        y, x = (
            int((0.5 + (i + 1) * step) % 1 * (size - side + 1))
            for step, size in zip(_SPREAD, frame.pixels.shape[1:], strict=True)
        )
        pieces.append(
            torch.nan_to_num(frame.pixels[:, y : y + side, x : x + side].cpu(), nan=0.0, posinf=1.0, neginf=0.0)
        )
    return pieces


def _twins(frames: Sequence[Frame], places: Sequence[int], shot: Shot, params: Params) -> list[Tensor]:
    """Colors of the same things a fifth of a second and a second apart, found again by optical flow: (2, n, 3) each.

    What they differ by is flicker, grain and coding. A shot of one frame has none.
    """
    if params.steadiness == 0 or shot.length == 1:
        return []
    share = -(-_TWINS // len(frames))
    apart = {min(max(1, round(shot.rate * seconds)), shot.length - 1) for seconds in _APART}
    found = []
    for later in sorted(apart):
        drawn = []
        for frame, place in zip(frames, places, strict=True):
            other = place + later if place + later < shot.length else max(place - later, 0)
            drawn += [_seen_twice(frame, there, share, params.seed) for there in shot.frames(other, other + 1)]
        found += [torch.cat(drawn, 1)] if drawn else []
    return found


_APART = (Fraction(1, 5), Fraction(1))  # seconds
_TWINS = 2048  # colors of a shot that are followed


def _seen_twice(frame: Frame, other: Frame, count: int, seed: int) -> Tensor:
    """Up to `count` colors of a frame and what the other shows in their place, where flow can be trusted: (2, n, 3)."""
    if other.pixels.shape != frame.pixels.shape:
        return torch.zeros(2, 0, 3)
    here, beyond = _picture(frame), _picture(other)
    planes = [
        (spaces.luma(torch.from_numpy(p).movedim(-1, 0))[0].clamp(0, 1) * 255).byte().numpy() for p in (here, beyond)
    ]
    forth, back = flow.flow(planes[0], planes[1]), flow.flow(planes[1], planes[0])
    trusted = flow.confidence(forth, back) > _TRUSTED
    if frame.matte is not None and bool((frame.matte > 0).any()):
        trusted &= frame.matte[0].cpu().numpy() > 0.5 * float(frame.matte.max())
    keep = np.random.default_rng(seed).permutation(np.flatnonzero(trusted))[:count]
    return torch.from_numpy(np.stack([side.reshape(-1, 3)[keep] for side in (here, flow.warp(beyond, forth))]))


def _picture(frame: Frame) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(H, W, 3)."""
    clean = torch.nan_to_num(frame.pixels.cpu(), nan=0.0, posinf=1.0, neginf=0.0)
    return np.ascontiguousarray(clean.permute(1, 2, 0).numpy())


_TRUSTED = 0.6  # confidence in flow


def _resized_to(picture: Tensor, pixels: int) -> Tensor:
    height, width = picture.shape[1:]
    scale = min(1.0, (pixels / (height * width)) ** 0.5)
    return _resized(picture, (3, max(1, round(height * scale)), max(1, round(width * scale))))


def _resized(pixels: Tensor, shape: Sequence[int]) -> Tensor:
    clean = torch.nan_to_num(pixels.cpu(), nan=0.0, posinf=1.0, neginf=0.0)
    image = np.ascontiguousarray(clean.permute(1, 2, 0).numpy())
    image = cv2.resize(image, (shape[2], shape[1]), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def _alike(first: Frame, second: Frame) -> float:
    """How far edges stand in the same places, 0..1, whatever the grade."""
    ours = small([first], _PAIR)[0]
    planes = [spaces.luma(ours)[0], spaces.luma(_resized(second.pixels, ours.shape))[0]]
    return align.agreement(*(align.edges(plane.numpy()) for plane in planes))


def _told(params: Params, frames: Sequence[Frame], shot: Shot) -> list[str]:
    """What of the parameters or the shot will surprise."""
    notes = []
    if "frames" in params.model_fields_set and shot.length < params.frames:
        held = f"{shot.length} frame{'s' * (shot.length > 1)}"
        notes.append(f"the look is tuned on the {held} of the shot: {params.frames} were asked for")
    own = set(fit.SEVEN) | {"sharpness"} if params.method == "ncst" else {*fit.CDL, "curve"}
    idle = [name for name in params.hold if name not in own]
    if idle:
        notes.append(f"hold {', '.join(idle)}: method {params.method} has none of it")
    if max(float(_lab(frame, params)[:, 1:].abs().max()) for frame in frames) < _COLORLESS:
        notes.append("the shot has no color: it can be tinted, no colors can be told apart in it")
    return notes


_COLORLESS = 1.5  # CIELAB units of a and b under which a shot has no color


# ---- representative frames, drift


def _representative(candidates: Sequence[Frame], params: Params) -> list[int]:
    """Which frames stand for all: medoids of color histograms (NCST, section 3.3)."""
    histograms = torch.stack([style.color_histogram(_lab(frame, params)) for frame in candidates])
    return style.medoids(histograms, params.frames)


def _lab(frame: Frame, params: Params) -> Tensor:
    return style.to_lab(style.colors(torch.nan_to_num(frame.pixels), _DRAWN, params.seed))


def _span(frame: Frame) -> float:
    """Deviation of lightness."""
    return float(_lab(frame, Params())[:, 0].std(correction=0))


def _drift(candidates: Sequence[Frame], params: Params) -> tuple[float, bool]:
    """How far the light moves from the first to the last third, and whether it goes there steadily."""
    if len(candidates) < 3:
        return 0.0, False
    steps = _steps_of_light(candidates, params)
    path = torch.cat([torch.zeros(1, 3), steps.cumsum(0)])
    third = max(1, len(path) // 3)
    moved = float((path[-third:].mean(0) - path[:third].mean(0)).norm())
    return moved, moved > _DRIFTS and moved > 0.5 * float(steps.norm(dim=1).sum())


def _steps_of_light(candidates: Sequence[Frame], params: Params) -> Tensor:
    """How the light changes from each frame to the next, CIELAB, (n - 1, 3).

    Seen on what both show, found again by flow: a camera that turns to other things changes the mean color, not the
    light, and a grade that followed it would change the color of things. Of the mean where too little is found again.
    """
    pictures = small(candidates, _FOLLOWED)
    planes = [(spaces.luma(picture)[0].clamp(0, 1) * 255).byte().numpy() for picture in pictures]
    colors = [np.ascontiguousarray(spaces.rgb_to_lab(picture).movedim(0, -1).numpy()) for picture in pictures]
    means = [_lab(frame, params).mean(0) for frame in candidates]
    steps = []
    for i in range(len(pictures) - 1):
        forth, back = flow.flow(planes[i], planes[i + 1]), flow.flow(planes[i + 1], planes[i])
        found = flow.confidence(forth, back) > _TRUSTED
        change = (flow.warp(colors[i + 1], forth) - colors[i])[found]
        steps.append(torch.from_numpy(np.median(change, 0)) if found.mean() > _FOUND else means[i + 1] - means[i])
    return torch.stack(steps)


_FOLLOWED = 30_000  # pixels of a frame that light is followed on
_FOUND = 0.25  # share of a picture that must be found again
_DRIFTS = 6.0


def _keys(drift: float) -> int:
    return min(2 + int(drift / 8), 5)


# ---- fitting


def _plan(params: Params) -> fit.Plan:
    """What is tuned, without what is held.

    Raises:
        SettingsError: parameters that contradict each other.
    """
    if params.reference is None and params.fit is None:
        raise SettingsError(
            "look: nothing to take a look from; give a still (reference), a graded clip (fit) or what "
            "learn-look wrote (learned)"
        )
    if params.fit is not None and params.tune != "parameters":
        raise SettingsError(
            f"tune {params.tune}: the network takes a reference still; a graded clip needs tune parameters"
        )
    known = {*fit.CDL, "curve", *fit.SEVEN, "sharpness"}
    unknown = [name for name in params.hold if name not in known]
    if unknown:
        raise SettingsError(f"hold: '{unknown[0]}' is no parameter of a look; there are: {', '.join(sorted(known))}")
    if params.method == "ncst":
        if params.lut:
            raise SettingsError("lut is a stage of method extended; ncst has seven parameters and no LUT")
        stages = [("seven", tuple(name for name in fit.SEVEN if name not in params.hold))]
    else:
        stages = [("CDL", tuple(name for name in fit.CDL if name not in params.hold))]
        if params.curve and "curve" not in params.hold:
            stages.append(("curve", fit.CURVES))
    stages = [(label, names) for label, names in stages if names]
    if not stages and not params.lut:
        raise SettingsError("hold: every parameter is held neutral, so there is no look left to fit; release one")
    if params.keys > 1 and params.tune != "parameters":
        raise SettingsError(f"keys are fitted by tune parameters; tune {params.tune} gives one set for the whole shot")
    if params.lut and params.tune != "parameters":
        raise SettingsError(f"lut is fitted by tune parameters; tune {params.tune} takes everything from the network")
    return fit.Plan(tuple(stages), params.iterations, params.lut_size if params.lut else 0)


def _by_network(
    objective: fit.Objective,
    params: Params,
    chosen: Sequence[Frame],
    still: Tensor,
    device: torch.device,
    say: Callable[[str], None] | None,
) -> tuple[fit.Fitted, float]:
    """The grade that the network gives, tuned on this shot or not, and its sharpness.

    Raises:
        WeightsError: the network's weights are missing.
    """
    from answerprint.nets import look as nets

    network, extended, taken = nets.load().to(device), params.method == "extended", 0
    contents = [picture.clamp(0, 1).to(device) for picture in small(chosen, _SEEN)]
    reference = still.clamp(0, 1).to(device)
    if params.tune == "network":
        taken = nets.tune(network, contents, reference, extended, params.iterations, seed=params.seed)
    free = nets.predict(network, contents, reference, extended).cpu()
    names, sharpness = (nets.EXTENDED, 0.0) if extended else (fit.SEVEN, float(torch.tanh(free[-1])))
    bounded = fit.bounded(free if extended else free[:-1], names)
    kept = {name: value for name, value in bounded.items() if not _held(name, params)}
    stages = [("CDL", fit.CDL), ("curve", fit.CURVES if params.curve else ())] if extended else [("seven", fit.SEVEN)]
    staged = [{name: kept[name] for name in stage if name in kept} for _, stage in stages]
    fitted = fit.told(objective, [(label, values) for (label, _), values in zip(stages, staged, strict=True)], taken)
    if say is not None:
        say(f"network: {taken} iterations, distance {fitted.before:.2f} -> {fitted.after:.2f}")
    return fitted, 0.0 if "sharpness" in params.hold else round(sharpness, 4)


def _held(name: str, params: Params) -> bool:
    return name in params.hold or (name in fit.CURVES and "curve" in params.hold)


def _findings(
    fitted: fit.Fitted,
    keyed: Sequence[fit.Fitted],
    times: Sequence[float],
    sharpness: float,
    chosen: Sequence[Frame],
    objective: fit.Objective,
    drift: float,
    digest: str,
    notes: Sequence[str],
) -> Findings:
    residual = fitted.residual
    values: dict[str, Any] = {name: tuple(getattr(key.values, name) for key in keyed) for name in NAMES}
    kept = lifted = 1.0
    if isinstance(objective, fit.Style):
        transform = fit.graded(fitted.values, residual)
        with torch.no_grad():
            kept, lifted = float(objective.structure(transform)), objective.lifted(transform)
    return Findings(
        times=tuple(times),
        **values,
        sharpness=(sharpness,) * len(times),
        lut_size=0 if residual is None else residual.shape[0],
        lut=() if residual is None else tuple(round(number, 4) for number in residual.flatten().tolist()),
        shares=fitted.shares,
        distance_before=round(fitted.before, 3),
        distance_after=round(fitted.after, 3),
        color_error=round(fitted.error, 3),
        kept=round(kept, 4),
        lifted=round(lifted, 3),
        drift=round(drift, 2),
        fitted_on=tuple(round(float(frame.time), 4) for frame in chosen),
        reference_hash=digest,
        summary=_words(fitted),
        note="; ".join(note for note in notes if note),
    )


def _words(fitted: fit.Fitted) -> str:
    shares = ", ".join(f"{label} {share:.0%}".replace("%", " %") for label, share in fitted.shares.items())
    return (
        f"{shares} of the way from {fitted.before:.1f} to {fitted.after:.1f}; color error left {fitted.error:.1f} "
        f"(CIEDE2000); {fitted.steps} iterations"
    )


def _neutral(chosen: Sequence[Frame], digest: str, notes: Sequence[str]) -> Findings:
    return Findings(
        times=(float(chosen[0].time),),
        reference_hash=digest,
        note="; ".join(note for note in notes if note),
        summary="nothing was changed",
    )
