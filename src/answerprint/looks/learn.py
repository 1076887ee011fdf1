"""Learns what a colorist did from pairs of ungraded and graded footage: a CDL, then curves, then a smooth 3D LUT.

Each stage takes what the ones before could not, so the CDL alone is the best CDL. How well it holds is measured on
frames that nothing was fitted to (CIEDE2000); what is delivered is then fitted to all of them. The LUT of the last
stage is smooth, and monotone where no color was seen (`color/lattice.py`). What a grade does in one part of the picture
only (windows, vignettes, grain) is no function of color; how much of the difference is of that kind is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from answerprint.color import lattice, solve, spaces, style, values
from answerprint.color.objective import PairsObjective
from answerprint.color.values import CDL, CURVE, CURVES, Transform, Values
from answerprint.looks import pairs as footage
from answerprint.looks import samples
from answerprint.looks.pairs import FootagePair, FramePair
from answerprint.looks.samples import Array, ColorPairs
from answerprint.operations import look
from answerprint.settings import Settings


class Params(Settings):
    """How a grade is learned."""

    curve: bool = Field(True, description="Tone curves after the CDL.")
    lut: bool = Field(True, description="A smooth residual LUT after the curves.")
    points: int = Field(17, ge=3, le=17, description="Points per axis of the residual LUT.")
    size: int = Field(33, ge=2, le=129, description="Points per axis of the .cube that is written.")
    frames: int = Field(24, ge=1, le=500, description="Frames of each pair of clips.")
    iterations: int = Field(500, ge=1, le=100_000, description="Maximum iterations of tuning.")
    align: bool = Field(True, description="Correct an offset in time or in the picture where it is clear; else refuse.")
    seed: int = Field(0, ge=0, description="Random seed of the pixels that are sampled.")


@dataclass(frozen=True, eq=False)
class StageError:
    """CIEDE2000 of a stage to the graded footage.

    Attributes:
        name: of the stages so far ("CDL, curve").
        mean: on what was held out.
        high: 95 % of what was held out lie under it.
        fitted: mean on what it was fitted to.
    """

    name: str
    mean: float
    high: float
    fitted: float


@dataclass(frozen=True, eq=False)
class LearnedLook:
    """A grade that was learned.

    Attributes:
        findings: the grade as `look` has it: its numbers can be edited and rendered.
        stages: from the ungraded footage on.
        local: mean CIELAB difference left that no function of color can take away.
        smooth: cost of bending of the LUT, as chosen; 0 without one.
        held_out: what was held out, in words.
        notes: in words.
        encodings: of the input and the output, in words.
        example: a frame that was held out, or the last one.
    """

    findings: look.Findings
    stages: tuple[StageError, ...]
    local: float
    smooth: float
    held_out: str
    notes: tuple[str, ...]
    encodings: tuple[str, ...]
    example: FramePair


def learn(
    ungraded: Sequence[Path], graded: Sequence[Path], params: Params, say: Callable[[str], None] | None = None
) -> LearnedLook:
    """Fits a grade to pairs of footage.

    Args:
        ungraded, graded: files, sequences or folders of stills, in the same order.
        params: how.
        say: hears of the progress, a line at a time.

    Raises:
        SettingsError: pairs that do not go together, are out of line or hold no color to learn from.
        MediaError: footage that cannot be read.
    """
    tell = say or _silent
    pairs = footage.read(ungraded, graded, params.frames, params.align)
    notes = [f"{pair.name}: {note}" for pair in pairs for note in pair.notes]
    for note in notes:
        tell(note)
    colors, held_out_words = samples.read(pairs)
    fitted, held_out = colors[~colors.held_out], colors[colors.held_out]
    first = _fit(fitted, params, _silent)
    stages = _stage_errors(first, held_out, fitted)
    for stage in stages:
        tell(f"{stage.name}: CIEDE2000 {stage.mean:.2f} on average, 95 % under {stage.high:.2f} (held out)")
    final = _fit(colors, params, tell, first)
    local = _local_difference(first, held_out)
    if local > _LOCAL:
        notes.append(
            f"{local:.1f} CIELAB units of what is left are no matter of color: windows, vignettes, grain or compression"
        )
        tell(notes[-1])
    encodings = _encodings(pairs, notes)
    return LearnedLook(
        _findings(final, stages, notes),
        tuple(stages),
        local,
        final.smooth,
        held_out_words,
        tuple(notes),
        encodings,
        pairs[-1].frames[-1],
    )


def _encodings(pairs: Sequence[FootagePair], notes: list[str]) -> tuple[str, ...]:
    """Encodings of input and output in words; several on one side are noted, since one grade cannot suit both."""
    lines = []
    for side, words in enumerate(("in", "out")):
        names = sorted({pair.encodings[side] for pair in pairs})
        lines.append(f"{words}: code values 0..1 of {' and '.join(names)}")
        if len(names) > 1:
            notes.append(f"footage of several encodings was given ({', '.join(names)}): one grade cannot suit all")
    return tuple(lines)


def _silent(text: str) -> None:
    del text


# ---- fitting

_PARAMETRIC = 4096  # colors that the CDL and the curves are fitted to
_TABLE = 60_000  # colors that the LUT is fitted to
_CLIPPED = 0.002  # distance from black and white under which a value counts as clipped
_LOCAL = 2.0  # CIELAB units of local difference from which on it is noted
_SMOOTH = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


@dataclass(frozen=True, eq=False)
class _FittedGrade:
    """A fitted grade.

    Attributes:
        values: the numbers.
        residual: (n, n, n, 3) of the LUT, None without one.
        smooth: its cost of bending.
    """

    values: Values
    residual: Tensor | None
    smooth: float


def _fit(
    colors: ColorPairs, params: Params, say: Callable[[str], None], first: _FittedGrade | None = None
) -> _FittedGrade:
    """A grade fitted to colors; its LUT is as smooth as that of `first`, where there is one."""
    numbers = _fit_numbers(colors, params, say)
    residual, smooth = None, first.smooth if first is not None else 0.0
    if params.lut:
        base = _apply(values.transform(numbers), colors.before)
        if first is None:
            smooth = _choose_smooth(colors, base, params)
        if smooth:
            residual = _fit_residual(colors, base, smooth, params)
    return _FittedGrade(numbers, residual, smooth)


def _fit_numbers(colors: ColorPairs, params: Params, say: Callable[[str], None]) -> Values:
    """CDL and curves. Clipped values say nothing of the slope: they are left out where others are there."""
    open_ = ((colors.after > _CLIPPED) & (colors.after < 1 - _CLIPPED)).all(1)
    usable = colors[np.asarray(open_)] if open_.mean() > 0.2 else colors
    sample = usable[samples.draw(usable, _PARAMETRIC, params.seed)]
    objective = PairsObjective(_tensor(sample.before), style.to_lab(_tensor(sample.after)))
    stages: list[tuple[str, tuple[str, ...]]] = [("CDL", CDL)]
    if params.curve:
        stages.append(("curve", CURVES))
    return solve.fit(objective, solve.Plan(tuple(stages), params.iterations), say=say).values


def _fit_residual(colors: ColorPairs, base: Array, smooth: float, params: Params) -> Tensor:
    """The residual LUT (n, n, n, 3), rounded to four digits; `base` (m, 3) are the colors after the numbers."""
    index = samples.draw(colors, _TABLE, params.seed)
    before, after = base[index], colors.after[index]
    # A color that is clipped in the graded picture, and beyond it already, needs no change.
    clipped = ((after >= 1 - _CLIPPED) & (before >= after)) | ((after <= _CLIPPED) & (before <= after))
    after = np.where(clipped, before, after)
    table = lattice.fit(lattice.Colors(before, after, lattice.balance(before)), params.points, smooth)
    return table.mul(1e4).round() / 1e4


def _choose_smooth(colors: ColorPairs, base: Array, params: Params) -> float:
    """Cost of bending for the LUT to hold on groups that it was not fitted to; 0 where it brings nothing."""
    groups = np.unique(colors.group)
    checked = np.isin(colors.group, groups[1::3] if len(groups) > 2 else groups[:1])
    rest, base_rest, base_checked = colors[~checked], base[~checked], base[checked]
    if not len(rest):
        return 0.0
    graded = colors.after[checked]
    errors = {0.0: _delta_e(base_checked, graded).mean()}
    for smooth in _SMOOTH:
        residual = _fit_residual(rest, base_rest, smooth, params)
        errors[smooth] = _delta_e(base_checked + lattice.lookup(residual, base_checked), graded).mean()
    best = min(errors, key=lambda smooth: errors[smooth])
    # Smoother is safer where it costs next to nothing.
    return max(smooth for smooth in errors if errors[smooth] <= errors[best] * 1.01) if best else 0.0


# ---- measuring


def _delta_e(ours: Array, theirs: Array) -> Array:
    """CIEDE2000 of colors (n, 3) as they are delivered, (n,)."""
    labs = [style.to_lab(_tensor(colors).clamp(0, 1)).T[:, None] for colors in (ours, theirs)]
    errors: Array = spaces.delta_e_2000(*labs)[0].double().numpy()
    return errors


def _stage_errors(grade: _FittedGrade, held_out: ColorPairs, fitted: ColorPairs) -> list[StageError]:
    neutral = dict.fromkeys(CURVES, CURVE)
    steps: list[tuple[str, Transform]] = [
        ("ungraded", lambda pixels: pixels),
        ("CDL", values.transform(replace(grade.values, **neutral))),  # type: ignore[arg-type]
    ]
    if grade.values.curved:
        steps.append(("CDL, curve", values.transform(grade.values)))
    if grade.residual is not None:
        steps.append((f"{steps[-1][0]}, LUT", values.transform(grade.values, grade.residual)))
    stages = []
    for name, transform in steps:
        error, own = (_delta_e(_apply(transform, part.before), part.after) for part in (held_out, fitted))
        stages.append(StageError(name, float(error.mean()), float(np.quantile(error, 0.95)), float(own.mean())))
    return stages


def _local_difference(grade: _FittedGrade, colors: ColorPairs, cells: int = 24) -> float:
    """Mean CIELAB difference left within cells of like color, which no function of color can take away."""
    ours = _apply(values.transform(grade.values, grade.residual), colors.before)
    labs = [style.to_lab(_tensor(side).clamp(0, 1)).double().numpy() for side in (ours, colors.after)]
    difference = labs[1] - labs[0]
    place = (colors.before.clip(0, 1) * (cells - 1)).round().astype(np.int64) @ np.array([cells * cells, cells, 1])
    _, cell, count = np.unique(place, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(cell, difference[:, channel]) / count for channel in range(3)], 1)
    many = count[cell] >= 8
    return float(np.linalg.norm(difference - means[cell], axis=1)[many].mean()) if many.any() else 0.0


def _apply(transform: Transform, colors: Array) -> Array:
    with torch.no_grad():
        graded: Array = transform(_tensor(colors).T[:, None].contiguous())[:, 0].T.double().numpy()
    return graded


def _tensor(colors: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(colors)).float()


def _findings(grade: _FittedGrade, stages: Sequence[StageError], notes: Sequence[str]) -> look.Findings:
    """The grade as `look` renders it."""
    # By what was fitted: on few frames held out a stage may go the wrong way, and a share below 0 says little.
    way = max(stages[0].fitted - stages[-1].fitted, 1e-9)
    names = [stage.name.rpartition(", ")[2] for stage in stages[1:]]
    shares = {
        name: round((a.fitted - b.fitted) / way, 4) for name, a, b in zip(names, stages[:-1], stages[1:], strict=True)
    }
    words = ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in shares.items())
    return look.Findings(
        **look.grade_fields([grade.values], grade.residual),
        shares=shares,
        distance_before=round(stages[0].mean, 3),
        distance_after=round(stages[-1].mean, 3),
        color_error=round(stages[-1].mean, 3),
        summary=f"learned from graded footage: {words} of the way; color error left {stages[-1].mean:.1f} (CIEDE2000)",
        note="; ".join(notes),
    )
