"""Learns what a colorist did from pairs of ungraded and graded footage: a CDL, then curves, then a smooth 3D LUT.

Each stage takes what the ones before could not, so the CDL alone is the best CDL. How well it holds is measured on
frames that nothing was fitted to (CIEDE2000); what is delivered is then fitted to all of them. The LUT of the last
stage is smooth, and monotone where no color was seen (`color/lattice.py`). What a grade does in one part of the picture
only (windows, vignettes, grain) is no function of color; how much of the difference is of that kind is told.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from answerprint.color import cdl as cdl_file
from answerprint.color import cube_file, fit, lattice, readback, spaces, style
from answerprint.color.fit import Values
from answerprint.errors import ColorError, SettingsError
from answerprint.metrics import report
from answerprint.metrics.tables import Lines, Pictures, Table
from answerprint.operations import look
from answerprint.render import pairs as reading
from answerprint.render.pairs import Beside, Pair
from answerprint.settings import Settings

Array = NDArray[np.float64]
Transform = Callable[[Tensor], Tensor]


class Params(Settings):
    """How a grade is learned."""

    curve: bool = Field(True, description="Tone curves after the CDL.")
    lut: bool = Field(True, description="A smooth residual LUT after the curves.")
    points: int = Field(17, ge=3, le=17, description="Points per axis of the residual LUT.")
    size: int = Field(33, ge=2, le=129, description="Points per axis of the .cube that is written.")
    frames: int = Field(24, ge=1, le=500, description="Frames of each pair of clips.")
    iterations: int = Field(500, ge=1, le=100_000, description="Iterations of tuning at most.")
    align: bool = Field(True, description="Correct an offset in time or in the picture where it is clear; else refuse.")
    seed: int = Field(0, ge=0, description="Seed of the drawing of pixels.")


@dataclass(frozen=True, eq=False)
class Stage:
    """How far a stage came: CIEDE2000 to the graded footage, on what was held out and on what it was fitted to."""

    name: str
    mean: float
    high: float
    fitted: float


@dataclass(frozen=True, eq=False)
class Learned:
    """A grade that was learned.

    Attributes:
        findings: the grade as `look` has it: its numbers can be edited and rendered.
        stages: from the ungraded footage on.
        local: mean CIELAB difference left that no function of color can take away.
        smooth: what bending of the LUT cost, as chosen; 0 without one.
        held: what was held out, in words.
        notes: in words.
        encodings: what goes in and comes out, in words.
        shown: a frame that was held out, or the last one.
    """

    findings: look.Findings
    stages: tuple[Stage, ...]
    local: float
    smooth: float
    held: str
    notes: tuple[str, ...]
    encodings: tuple[str, ...]
    shown: Beside


def learn(
    ungraded: Sequence[Path], graded: Sequence[Path], params: Params, say: Callable[[str], None] | None = None
) -> Learned:
    """Fits a grade to pairs of footage.

    Args:
        ungraded, graded: files, sequences or folders of stills, in the same order.
        say: hears of the progress, a line at a time.

    Raises:
        SettingsError: pairs that do not go together, are out of line or hold no color to learn from.
        MediaError: footage that cannot be read.
    """
    tell = say or _unheard
    pairs = reading.read(ungraded, graded, params.frames, params.align)
    for pair in pairs:
        for note in pair.notes:
            tell(f"{pair.name}: {note}")
    samples, held_words = _sampled(pairs)
    trained, held = samples[~samples.held], samples[samples.held]
    first = _fitted(trained, params, _unheard)
    stages = _stages(first, held, trained)
    for stage in stages:
        tell(f"{stage.name}: CIEDE2000 {stage.mean:.2f} on average, 95 % under {stage.high:.2f} (held out)")
    final = _fitted(samples, params, tell, first)
    local = _local(first, held)
    notes = [f"{pair.name}: {note}" for pair in pairs for note in pair.notes]
    if local > _LOCAL:
        notes.append(
            f"{local:.1f} CIELAB units of what is left are no matter of color: windows, vignettes, grain or compression"
        )
        tell(notes[-1])
    shown = pairs[-1].frames[-1]
    encodings = _encodings(pairs, notes)
    findings = _findings(final, stages, notes)
    return Learned(findings, tuple(stages), local, final.smooth, held_words, tuple(notes), encodings, shown)


def _encodings(pairs: Sequence[Pair], notes: list[str]) -> tuple[str, ...]:
    """What goes in and comes out; several of one side are told, since one grade cannot suit both."""
    found = []
    for side, words in enumerate(("in", "out")):
        names = sorted({pair.encodings[side] for pair in pairs})
        found.append(f"{words}: code values 0..1 of {' and '.join(names)}")
        if len(names) > 1:
            notes.append(f"footage of several encodings was given ({', '.join(names)}): one grade cannot suit all")
    return tuple(found)


def _unheard(text: str) -> None:
    del text


# ---- colors


_PARAMETRIC = 4096  # colors that the CDL and the curves are fitted to
_TABLE = 60_000  # colors that the LUT is fitted to
_FRAME = 6000  # colors of a frame
_EDGE = 0.85  # share of a picture, from the smoothest on, that colors are taken from
_TILES = 5
_CLIPPED = 0.002
_LOCAL = 2.0
_FLAT = 0.004  # deviation of the colors under which footage is a single tone
_SMOOTH = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


@dataclass(frozen=True, eq=False)
class _Samples:
    """Colors before and after (n, 3), which group they are of (n,), and whether that is held out (n,)."""

    before: Array
    after: Array
    group: NDArray[np.int64]
    held: NDArray[np.bool_]

    def __getitem__(self, chosen: NDArray[Any]) -> _Samples:
        return _Samples(self.before[chosen], self.after[chosen], self.group[chosen], self.held[chosen])

    def __len__(self) -> int:
        return len(self.before)


def _sampled(pairs: Sequence[Pair]) -> tuple[_Samples, str]:
    """Colors of all pairs, and in words what of them is held out.

    Whole frames are held out: of clips the end, of stills every fifth. Of fewer than five frames, every fifth tile.
    """
    total = sum(len(pair.frames) for pair in pairs)
    parts, group, tail = list[_Samples](), 0, max(len(pair.frames) for pair in pairs) >= _TILES
    for pair in pairs:
        count = len(pair.frames)
        for index, frame in enumerate(pair.frames):
            before, after, tile = _of_frame(frame, group)
            if total < _TILES:
                groups = group * _TILES**2 + tile
                held = tile % _TILES == _TILES // 2
            else:
                groups = np.full(len(before), group)
                last = index >= count - max(1, count // _TILES) if count >= _TILES else False
                held = np.full(len(before), last if tail else group % _TILES == _TILES // 2)
            parts.append(_Samples(before, after, groups.astype(np.int64), held))
            group += 1
    joined = _Samples(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("before", "after", "group", "held"))
    )
    if float(joined.before.std(0).max()) < _FLAT:
        raise SettingsError("the ungraded footage is a single tone: there is nothing to learn a grade from")
    words = (
        "every fifth tile of the pictures" if total < _TILES else "the end of each clip" if tail else "every 5th still"
    )
    return joined, words


def _of_frame(frame: Beside, seed: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Colors of the smooth parts of a frame, where a pixel of misregistration changes nothing, and their tiles."""
    luma = spaces.luma(frame.before)[0].numpy()
    x, y = (cv2.Sobel(luma, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    steep = np.hypot(x, y).ravel()
    height, width = luma.shape
    rows, columns = np.divmod(np.arange(height * width), width)
    tiles = rows * _TILES // height * _TILES + columns * _TILES // width
    kept = np.flatnonzero(steep <= np.quantile(steep, _EDGE))
    kept = np.random.default_rng(seed).permutation(kept)[:_FRAME]
    before, after = (pixels.reshape(3, -1).T.double().numpy()[kept] for pixels in (frame.before, frame.after))
    return before, after, tiles[kept]


def _drawn(samples: _Samples, count: int, most: float, seed: int) -> NDArray[np.int64]:
    """Which samples to take, so that rare colors are among them."""
    if len(samples) <= count:
        return np.arange(len(samples))
    weight = lattice.balance(samples.before, most=most)
    return np.random.default_rng(seed).choice(len(samples), count, replace=False, p=weight / weight.sum())


# ---- fitting


@dataclass(frozen=True, eq=False)
class _Grade:
    """What was fitted: the numbers, the residual, what its bending cost."""

    values: Values
    residual: Tensor | None
    smooth: float
    steps: int


def _fitted(samples: _Samples, params: Params, say: Callable[[str], None], before: _Grade | None = None) -> _Grade:
    """A grade from samples; `before` says how smooth its LUT is to be."""
    values, steps = _parametric(samples, params, say)
    residual, smooth = None, before.smooth if before is not None else 0.0
    if params.lut:
        base = _apply(fit.graded(values), samples.before)
        if before is None:
            smooth = _smoothness(samples, base, params)
        if smooth:
            residual = _residual(samples, base, smooth, params)
    return _Grade(values, residual, smooth, steps)


def _parametric(samples: _Samples, params: Params, say: Callable[[str], None]) -> tuple[Values, int]:
    """CDL and curves. Values that were clipped say nothing of the slope: they are left out where others are there."""
    open_ = ((samples.after > _CLIPPED) & (samples.after < 1 - _CLIPPED)).all(1)
    usable = samples[np.asarray(open_)] if open_.mean() > 0.2 else samples
    chosen = usable[_drawn(usable, _PARAMETRIC, 0.5, params.seed)]
    objective = fit.Pairs(_tensor(chosen.before), style.to_lab(_tensor(chosen.after)))
    stages: list[tuple[str, tuple[str, ...]]] = [("CDL", fit.CDL)]
    if params.curve:
        stages.append(("curve", fit.CURVES))
    found = fit.fit(objective, fit.Plan(tuple(stages), params.iterations), say=say)
    return found.values, found.steps


def _residual(samples: _Samples, base: Array, smooth: float, params: Params) -> Tensor:
    chosen = _drawn(samples, _TABLE, 0.5, params.seed)
    before, after = base[chosen], samples.after[chosen]
    # What is clipped in the graded picture, and beyond it already, is where it should be.
    done = ((after >= 1 - _CLIPPED) & (before >= after)) | ((after <= _CLIPPED) & (before <= after))
    after = np.where(done, before, after)
    return (
        lattice.fit(lattice.Colors(before, after, lattice.balance(before)), params.points, smooth).mul(1e4).round()
        / 1e4
    )


def _smoothness(samples: _Samples, base: Array, params: Params) -> float:
    """What bending must cost for the LUT to hold on groups that it was not fitted to; 0 where it brings nothing."""
    groups = np.unique(samples.group)
    checked = np.isin(samples.group, groups[1::3] if len(groups) > 2 else groups[:1])
    rest, base_rest, base_checked = samples[~checked], base[~checked], base[checked]
    if not len(rest):
        return 0.0
    wanted = samples.after[checked]
    errors = {0.0: _delta(base_checked, wanted).mean()}
    for smooth in _SMOOTH:
        residual = _residual(rest, base_rest, smooth, params)
        errors[smooth] = _delta(base_checked + lattice.looked_up(residual, base_checked), wanted).mean()
    best = min(errors, key=lambda smooth: errors[smooth])
    # Smoother is safer where it costs next to nothing.
    return max(smooth for smooth in errors if errors[smooth] <= errors[best] * 1.01) if best else 0.0


# ---- measuring


def _delta(ours: Array, theirs: Array) -> Array:
    """CIEDE2000 of colors (n, 3) as they are delivered."""
    labs = [style.to_lab(_tensor(colors).clamp(0, 1)).T[:, None] for colors in (ours, theirs)]
    found: Array = spaces.delta_e_2000(*labs)[0].double().numpy()
    return found


def _stages(grade: _Grade, held: _Samples, trained: _Samples) -> list[Stage]:
    neutral = dict.fromkeys(fit.CURVES, fit.CURVE)
    steps: list[tuple[str, Transform]] = [
        ("ungraded", lambda pixels: pixels),
        ("CDL", fit.graded(replace(grade.values, **neutral))),  # type: ignore[arg-type]
    ]
    if any(getattr(grade.values, name) != fit.CURVE for name in fit.CURVES):
        steps.append(("CDL, curve", fit.graded(grade.values)))
    if grade.residual is not None:
        steps.append((f"{steps[-1][0]}, LUT", fit.graded(grade.values, grade.residual)))
    found = []
    for name, transform in steps:
        error, own = (_delta(_apply(transform, part.before), part.after) for part in (held, trained))
        found.append(Stage(name, float(error.mean()), float(np.quantile(error, 0.95)), float(own.mean())))
    return found


def _local(grade: _Grade, samples: _Samples, cells: int = 24) -> float:
    """Mean CIELAB difference left within cells of like color: what no function of color can tell apart."""
    ours = _apply(fit.graded(grade.values, grade.residual), samples.before)
    labs = [style.to_lab(_tensor(colors).clamp(0, 1)).double().numpy() for colors in (ours, samples.after)]
    away = labs[1] - labs[0]
    place = (samples.before.clip(0, 1) * (cells - 1)).round().astype(np.int64) @ np.array([cells * cells, cells, 1])
    _, which, count = np.unique(place, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(which, away[:, channel]) / count for channel in range(3)], 1)
    many = count[which] >= 8
    return float(np.linalg.norm(away - means[which], axis=1)[many].mean()) if many.any() else 0.0


def _apply(transform: Transform, colors: Array) -> Array:
    with torch.no_grad():
        done: Array = transform(_tensor(colors).T[:, None].contiguous())[:, 0].T.double().numpy()
    return done


def _tensor(colors: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(colors)).float()


def _findings(grade: _Grade, stages: Sequence[Stage], notes: Sequence[str]) -> look.Findings:
    """The grade as `look` renders it."""
    residual = grade.residual
    # By what was fitted: on few frames held out a stage may go the wrong way, and a share below 0 says little.
    way = max(stages[0].fitted - stages[-1].fitted, 1e-9)
    names = [stage.name.rpartition(", ")[2] for stage in stages[1:]]
    shares = {
        name: round((a.fitted - b.fitted) / way, 4) for name, a, b in zip(names, stages[:-1], stages[1:], strict=True)
    }
    values = {name: (getattr(grade.values, name),) for name in look.NAMES}
    words = ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in shares.items())
    return look.Findings(
        **values,
        lut_size=0 if residual is None else residual.shape[0],
        lut=() if residual is None else tuple(round(number, 4) for number in residual.flatten().tolist()),
        shares=shares,
        distance_before=round(stages[0].mean, 3),
        distance_after=round(stages[-1].mean, 3),
        color_error=round(stages[-1].mean, 3),
        summary=f"learned from graded footage: {words} of the way; color error left {stages[-1].mean:.1f} (CIEDE2000)",
        note="; ".join(notes),
    )


# ---- writing


def check(output: Path) -> None:
    """Refuses a place that `write` could not write to, before any work is done.

    Raises:
        ColorError: the ending is not .cube, or its folder is not there.
    """
    if output.suffix.lower() != ".cube":
        raise ColorError(f"{output}: learn-look writes a .cube (and beside it .cdl, .json, .html)")
    if not output.parent.is_dir():
        raise ColorError(f"{output}: there is no folder {output.parent}; make it first")


def write(learned: Learned, output: Path, params: Params) -> tuple[list[Path], list[str]]:
    """Writes the grade beside `output` (look.cube): .cube, .cdl, .json (for `look --learned`) and .html.

    Returns:
        The files, and in words how the LUT came back from its readers.

    Raises:
        ColorError: the place cannot be written, or the LUT does not come back.
        DeliveryError: the page or the .json cannot be written.
    """
    settings, lines = look.Params(), list[str]()
    made = look.cube(settings, learned.findings, params.size)
    made = replace(made, title=f"learned look {output.stem}", comments=learned.encodings)
    cube_file.write(made, output)
    direct = fit.graded(*_plain(learned.findings))
    for proof, away in zip(readback.verify(made, output), readback.verify(direct, output), strict=True):
        if proof.largest > _LARGEST:
            output.unlink()
            raise ColorError(f"{output}: does not come back from {proof.reader}: off by {proof.largest:.2g} at most")
        lines.append(
            f"{output.name}: read back by {proof.reader}; from the direct transform {away.largest:.5f} at most, "
            f"{away.mean:.6f} on average"
        )
    files = [output, output.with_suffix(".cdl"), output.with_suffix(".json"), output.with_suffix(".html")]
    correction, _ = look.correction(settings, learned.findings)
    cdl_file.write([replace(correction, id=output.stem, description="learned look, CDL stage alone")], files[1])
    report.put(files[2], _json(learned))
    table = _table(learned)
    report.put(
        files[3], report.page("tables.html", title="learned look", tables=[table.view()], versions=report.versions())
    )
    return files, lines


_LARGEST = 1e-4


def _plain(findings: look.Findings) -> tuple[Values, Tensor | None]:
    values = Values(**{name: getattr(findings, name)[0] for name in look.NAMES})
    n = findings.lut_size
    return values, torch.tensor(findings.lut).view(n, n, n, 3) if n else None


def _json(learned: Learned) -> str:
    data = {
        "format": look.LEARNED,
        "findings": learned.findings.model_dump(mode="json"),
        "held_out": learned.held,
        "stages": [
            {"name": s.name, "mean": round(s.mean, 4), "percentile_95": round(s.high, 4), "fitted": round(s.fitted, 4)}
            for s in learned.stages
        ],
        "not_a_matter_of_color": round(learned.local, 4),
        "smooth": learned.smooth,
        "notes": list(learned.notes),
        "encodings": list(learned.encodings),
    }
    return jsonlib.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _table(learned: Learned) -> Table:
    """The figures, the grade along the gray axis, and a frame beside what it was to become."""
    values, residual = _plain(learned.findings)
    transform = fit.graded(values, residual)
    ramp = torch.linspace(0, 1, 65)
    with torch.no_grad():
        gray = transform(ramp.expand(3, 1, 65).contiguous())[:, 0]
        done = transform(learned.shown.before).clamp(0, 1)
    curves = {
        name: list(zip(ramp.tolist(), gray[channel].tolist(), strict=True))
        for channel, name in enumerate(("red", "green", "blue"))
    }
    return Table(
        "how near the learned grade comes",
        ("stage", "held out: mean", "held out: 95 % under", "fitted: mean"),
        [(stage.name, stage.mean, stage.high, stage.fitted) for stage in learned.stages],
        notes=(
            "CIEDE2000 to the graded footage, without the edges of the pictures",
            f"held out: {learned.held}; what is delivered was then fitted to all of it",
            f"no matter of color: {learned.local:.2f} CIELAB units of what is left",
            *learned.notes,
        ),
        plots=(
            Lines("gray from black to white, as graded", curves, "in", "out"),
            _pictures(learned.shown, done),
        ),
    )


_BRIGHT = 10.0  # CIEDE2000 that is white in the picture of the difference


def _pictures(frame: Beside, done: Tensor) -> Pictures:
    error = spaces.delta_e_2000(*(spaces.rgb_to_lab(picture.clamp(0, 1)) for picture in (done, frame.after)))
    shown = {
        "ungraded": frame.before,
        "learned": done,
        "graded": frame.after,
        f"difference, white is {_BRIGHT:g}": (error / _BRIGHT).expand(3, -1, -1),
    }
    return Pictures(f"frame {frame.where}", {name: _jpeg(p) for name, p in shown.items()}, done.shape[2], done.shape[1])


def _jpeg(pixels: Tensor) -> bytes:
    codes = (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(codes), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return bytes(data)
