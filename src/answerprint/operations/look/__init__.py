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
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from answerprint.color import cdl as cdl_file
from answerprint.color import fused, lut, solve, values
from answerprint.color.objective import Objective, StyleObjective
from answerprint.color.values import (
    HELP,
    NAMES,
    NEUTRAL,
    Degrees,
    Factor,
    Points,
    Power,
    Signed,
    Triple,
    Values,
    Warmth,
)
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.operations import grade
from answerprint.operations.look import drift, planning, targets
from answerprint.operations.look.keys import KeyedGrade, Renderer, grade_params
from answerprint.settings import Settings
from answerprint.text import decode, parse, read_file

HANDLES = 0
COST = 0.01
OWN = ("matte",)  # the fused kernel blends by matte and strength as it grades

LEARNED = "answerprint.learned/1"


class Params(Settings):
    """Where the look comes from and how it is fitted."""

    reference: Path | None = Field(None, description="Still or clip whose look the shot gets.")
    fit: Path | None = Field(
        None, description="The same shot, graded and aligned in time: fitted instead of a reference."
    )
    learned: Path | None = Field(None, description="Look file of learn-look (.json), used as it is.")
    method: Literal["extended", "ncst"] = Field(
        "extended", description="extended: CDL, then curves, then perhaps a LUT; ncst: the paper's seven parameters."
    )
    tune: Literal["parameters", "network", "off"] = Field(
        "parameters",
        description="What is tuned on the shot: the parameters, the network that predicts them, or nothing.",
    )
    iterations: int = Field(
        500, ge=1, le=100_000, description="Maximum iterations of tuning; it ends early when it converges."
    )
    frames: int = Field(4, ge=1, le=64, description="Representative frames that the look is tuned on.")
    keys: int = Field(
        0, ge=0, le=64, description="Keyframes of the grade: 1 for a constant grade, 0 for as many as the light drifts."
    )
    curve: bool = Field(True, description="Tone curves after the CDL (extended).")
    lut: bool = Field(False, description="A smooth residual LUT after the curves (extended); not readable as numbers.")
    lut_size: int = Field(7, ge=3, le=17, description="Points per axis of the residual LUT.")
    hold: tuple[str, ...] = Field(
        (), description="Parameters that stay neutral: slope, offset, power, saturation, curve; contrast, hue, ..."
    )
    structure: float = Field(
        1.0,
        ge=0,
        le=10,
        description="Structure to keep: 1 as much as a global color transfer, above 1 more, 0 no limit.",
    )
    steadiness: float = Field(
        1.0,
        ge=0,
        le=10,
        description="Limit on flicker and grain: 1 raises them no more than contrast, above 1 less, 0 no limit.",
    )
    strength: float = Field(1.0, ge=0, le=1, description="Opacity of the look; 0 is the source.")
    seed: int = Field(0, ge=0, description="Random seed of the pixels that are sampled.")


class Findings(Settings):
    """The grade, as numbers to read and change: one entry per key."""

    times: tuple[float, ...] = Field((0.0,), description="Seconds from the clip's first frame at which a key stands.")
    temperature: tuple[Warmth, ...] = Field((NEUTRAL.temperature,), description=HELP["temperature"])
    brightness: tuple[Signed, ...] = Field((NEUTRAL.brightness,), description=HELP["brightness"])
    slope: tuple[Triple, ...] = Field((NEUTRAL.slope,), description=HELP["slope"])
    offset: tuple[Triple, ...] = Field((NEUTRAL.offset,), description=HELP["offset"])
    power: tuple[tuple[Power, Power, Power], ...] = Field((NEUTRAL.power,), description=HELP["power"])
    saturation: tuple[Factor, ...] = Field((NEUTRAL.saturation,), description=HELP["saturation"])
    contrast: tuple[Factor, ...] = Field((NEUTRAL.contrast,), description=HELP["contrast"])
    gamma: tuple[Power, ...] = Field((NEUTRAL.gamma,), description=HELP["gamma"])
    hue: tuple[Degrees, ...] = Field((NEUTRAL.hue,), description=HELP["hue"])
    curve_red: tuple[Points, ...] = Field((NEUTRAL.curve_red,), description=HELP["curve_red"])
    curve_green: tuple[Points, ...] = Field((NEUTRAL.curve_green,), description=HELP["curve_green"])
    curve_blue: tuple[Points, ...] = Field((NEUTRAL.curve_blue,), description=HELP["curve_blue"])
    sharpness: tuple[Signed, ...] = Field((0.0,), description="Unsharp masking, below 0 softer; no LUT can hold it.")
    lut_size: int = Field(0, ge=0, le=17, description="Points per axis of the residual LUT; 0 = none.")
    lut: tuple[float, ...] = Field((), description="Added by the residual LUT: R, G, B per point, red fastest.")
    shares: dict[str, float] = Field(default_factory=dict, description="Share of the way that each stage went.")
    distance_before: float = Field(0.0, description="Distance of the shot from the look, CIELAB units.")
    distance_after: float = Field(0.0, description="Distance that is left.")
    color_error: float = Field(0.0, description="Color error left, mean CIEDE2000.")
    luma_ssim: float = Field(1.0, description="SSIM of luma to the source.")
    noise_gain: float = Field(1.0, description="Flicker and grain after over before, divided by the contrast gain.")
    drift: float = Field(
        0.0, description="Distance of the shot's light at its end from that at its start, CIELAB units."
    )
    sample_times: tuple[float, ...] = Field((), description="Times of the representative frames, in seconds.")
    reference_hash: str = Field("", description="SHA-256 of the reference.")
    summary: str = Field("", description="How far each stage went, in words.")
    note: str = Field("", description="What was special.")

    @property
    def residual(self) -> Tensor | None:
        """The residual LUT (n, n, n, 3), table[blue, green, red]; None without one."""
        n = self.lut_size
        return torch.tensor(self.lut).view(n, n, n, 3) if n else None

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
        return _read_learned(params)
    plan = planning.plan(params)
    candidates, positions = shot.sample(3 * params.frames), shot.positions(3 * params.frames)
    indices = drift.representative(candidates, params.frames, params.seed)
    frames, places = [candidates[i] for i in indices], [positions[i] for i in indices]
    distance, steady = drift.measure(candidates, params.seed)
    target = targets.read(frames[0].color, params)
    notes = [target.note, *planning.warnings(params, frames, shot)]
    if max(drift.lightness_deviation(frame) for frame in frames) < targets.FLAT:
        notes.append("the shot is a single tone and is left as it is: it has no light and shade to grade")
        return Findings(
            times=(float(frames[0].time),),
            reference_hash=target.digest,
            note=_joined(notes),
            summary="nothing was changed",
        )
    objective = target.objective(frames, places, shot)
    if isinstance(target, targets.GradedClipTarget) or params.tune == "parameters":
        solution, sharpness = solve.fit(objective, plan, say=say), 0.0
    else:
        solution, sharpness = planning.predict(objective, params, (frames, target.picture), device, say)
    keys = {float(frames[0].time): solution}
    count = min(params.keys or (drift.key_count(distance) if steady else 1), shot.length)
    moves = f"the light of the shot moves by {distance:.0f} CIELAB units"
    if count > 1 and params.tune != "parameters":
        notes.append(f"one set of parameters, though {moves}: keys need tune parameters")
    elif count > 1:
        keys = _fit_keys(shot, target, plan, solution, count)
        notes.append(f"{count} keys: {moves}")
    return Findings(
        times=tuple(keys),
        **grade_fields([each.values for each in keys.values()], solution.residual),
        sharpness=(sharpness,) * len(keys),
        **_measurements(solution, objective),
        drift=round(distance, 2),
        sample_times=tuple(round(float(frame.time), 4) for frame in frames),
        reference_hash=target.digest,
        note=_joined(notes),
    )


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Grades every frame by the findings, interpolated to its time."""
    if params.strength == 0:
        yield from frames
        return
    keyed = KeyedGrade(findings)
    with Renderer.open(device) as renderer:
        for frame in frames:
            look = keyed.at(frame.time)
            if not look.neutral:
                frame = frame.with_pixels(renderer.grade(frame, look, params.strength))
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
    look = KeyedGrade(findings).at(time)
    comments = []
    if look.sharpness:
        comments.append(f"sharpness {look.sharpness:g} is not in this LUT: it looks at neighboring pixels")
    if len(findings.times) > 1:
        comments.append(f"the look moves over {len(findings.times)} keys; this is how it is at {float(time):.3f} s")
    source = params.reference or params.fit or params.learned
    title = f"look of {source.name}" if source is not None else "look"
    return lut.bake(
        lambda pixels: fused.run(look.steps.program, pixels, params.strength),
        size,
        title=title,
        comments=tuple(comments),
    )


def correction(params: Params, findings: Findings) -> tuple[cdl_file.Correction, list[str]]:
    """The part of the look (at the middle key) that one ASC CDL can hold, and the names of what it cannot."""
    look = KeyedGrade(findings).at_middle_key()
    own, left = grade.correction(grade_params(look.values).model_copy(update={"strength": params.strength}), None)
    left = [*left, *(["curve"] if look.values.curved else []), *(["lut"] if findings.lut_size else [])]
    return own, [*left, *(["sharpness"] if look.sharpness else []), *(["keys"] if len(findings.times) > 1 else [])]


def color_part(findings: Findings) -> tuple[Findings, Fraction]:
    """The look without its sharpness, which a LUT cannot hold, and the time (s) of the middle key."""
    color = findings.model_copy(update={"sharpness": (0.0,) * len(findings.sharpness)})
    return color, Fraction(findings.times[len(findings.times) // 2])


# ---- findings


def grade_fields(grades: Sequence[Values], residual: Tensor | None) -> dict[str, Any]:
    """The fields of `Findings` that hold a grade: its numbers, one entry per key, and the residual LUT (n, n, n, 3)."""
    return {
        **values.columns(grades),
        "lut_size": 0 if residual is None else residual.shape[0],
        "lut": () if residual is None else tuple(round(number, 4) for number in residual.flatten().tolist()),
    }


def _read_learned(params: Params) -> Findings:
    """The look of a file that learn-look wrote.

    Raises:
        SettingsError: it is no such file, or contradicts the other parameters.
    """
    path = params.learned or Path()
    if params.reference is not None or params.fit is not None or params.hold:
        raise SettingsError("learned: the look is already made; give it alone, without reference, fit or hold")
    try:
        text = decode(read_file(path))
        data = parse(json.loads, text)
    except OSError as error:
        raise SettingsError(f"learned: {path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise SettingsError(f"learned: {path} is no JSON; give the .json that learn-look wrote") from None
    if not isinstance(data, dict) or data.get("format") != LEARNED:
        raise SettingsError(f"learned: {path} holds no learned look; give the .json that learn-look wrote")
    findings = Findings.of(data.get("findings", {}), str(path))
    return findings.model_copy(update={"reference_hash": hashlib.sha256(text.encode()).hexdigest()})


def _fit_keys(
    shot: Shot, target: targets.Target, plan: solve.Plan, whole: solve.Solution, count: int
) -> dict[float, solve.Solution]:
    """Time -> grade of `count` keys from the first frame to the last, each held near to that of the whole shot."""
    places = [i * (shot.length - 1) // (count - 1) for i in range(count)]
    frames = [frame for place in places for frame in shot.frames(place, place + 1)]
    return {
        float(frame.time): solve.fit(target.objective([frame], [place], shot), plan, near=whole)
        for frame, place in zip(frames, places, strict=True)
    }


def _measurements(solution: solve.Solution, objective: Objective) -> dict[str, Any]:
    """The fields of `Findings` that say how near the grade comes and what it costs."""
    ssim = noise_gain = 1.0
    if isinstance(objective, StyleObjective):
        transform = values.transform(solution.values, solution.residual)
        with torch.no_grad():
            ssim, noise_gain = float(objective.structure(transform)), objective.noise_gain(transform)
    shares = ", ".join(f"{label} {share:.0%}".replace("%", " %") for label, share in solution.shares.items())
    return {
        "shares": solution.shares,
        "distance_before": round(solution.before, 3),
        "distance_after": round(solution.after, 3),
        "color_error": round(solution.error, 3),
        "luma_ssim": round(ssim, 4),
        "noise_gain": round(noise_gain, 3),
        "summary": (
            f"{shares} of the way from {solution.before:.1f} to {solution.after:.1f}; color error left "
            f"{solution.error:.1f} (CIEDE2000); {solution.iterations} iterations"
        ),
    }


def _joined(notes: Sequence[str]) -> str:
    return "; ".join(note for note in notes if note)
