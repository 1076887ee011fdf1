"""A clip looked at shot by shot: what each operation finds becomes the decision list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from answerprint import operations
from answerprint.errors import SettingsError
from answerprint.media.reader import Clip
from answerprint.metrics import page
from answerprint.render.options import Options, device_of, frame_range, open_source, overlaps, refuse_output
from answerprint.render.pipeline import Step, analyze_shot, chain_of
from answerprint.render.progress import Silent, Watcher
from answerprint.settings import Settings
from answerprint.shots import boundary, decisions, timeline
from answerprint.shots import recipe as recipes
from answerprint.shots.boundary import ShotRange
from answerprint.shots.decisions import DecisionList, OperationDecision, ShotDecision, SourceRef


def analyze(
    input: str | Path | Clip,
    chain: Sequence[tuple[str, Mapping[str, Any]]],
    options: Options | None = None,
    watcher: Watcher | None = None,
    *,
    recipe: str = "",
    delivery: Mapping[str, str | int | float | bool] | None = None,
    before: DecisionList | None = None,
    output: Path | None = None,
) -> DecisionList:
    """Looks at a clip shot by shot and decides.

    Args:
        input: file, sequence or folder, or a clip that is open.
        chain: names and parameters of the operations, in order.
        options: what else is said of the job.
        watcher: who is told how it gets on.
        recipe: name of the recipe that the chain comes from.
        delivery: preset and what is said on top of it.
        before: an earlier decision list of the clip; what is locked in it stays.
        output: what it will be rendered to, if that is known.

    Raises:
        DeliveryError: it cannot be rendered to `output`.
        MediaError: the clip cannot be read.
        SettingsError: an operation or parameter is not what it may be.
    """
    options, watcher = options or Options(), watcher or Silent()
    steps = [_step(name, params) for name, params in chain]
    clip = input if isinstance(input, Clip) else open_source(input, options.overrides)
    for note in clip.info.notes:
        watcher.note(note)
    if output is not None:
        refuse_output(clip, output, options, delivery or {})
    shots = _shots(clip, steps, options, watcher)
    made = DecisionList(
        source=SourceRef.describe(Path(clip.path), len(clip), clip.info.rate, clip.info.timecode, dict(clip.overrides)),
        shots=tuple(ShotDecision(shot, tuple(_undecided(step) for step in steps)) for shot in shots),
        delivery=dict(delivery or {}) | ({"preset": options.preset} if options.preset else {}),
        recipe=recipe,
        chunk=options.chunk,
        versions=page.versions(),
    )
    if before is not None:
        made, notes = decisions.merge(before, made)
        for note in notes:
            watcher.note(note)
    if not any(step.operation.findings_type for step in steps):
        return made
    watcher.begin("analyze", len(shots))
    device = device_of(options.device)
    found = []
    for shot in made.shots:
        found.append(_analyzed(clip, shot, device, watcher))
        watcher.advance()
    return replace(made, shots=tuple(found))


def analyze_recipe(
    input: str | Path | Clip,
    recipe: Path,
    options: Options,
    watcher: Watcher | None = None,
    *,
    before: Path | None = None,
    output: Path | None = None,
) -> DecisionList:
    """Looks at a clip by a recipe file; what is said in `options` goes over what the recipe says.

    Args:
        input: file, sequence or folder, or a clip that is open.
        recipe: the recipe file.
        options: what else is said of the job.
        watcher: who is told how it gets on.
        before: decision list of an earlier run; if it is there and of this clip, what is locked in it stays.
        output: what it will be rendered to, if that is known.
    """
    read = recipes.load(recipe, operations.load)
    said = {"shots": read.shots, "chunk": read.chunk} | options.model_dump(exclude_unset=True)
    earlier = load(before) if before is not None and before.exists() else None
    if (
        earlier is not None
        and earlier.source.hash != decisions.fingerprint(Path(input.path if isinstance(input, Clip) else input))[1]
    ):
        earlier = None
    return analyze(
        input,
        [(step.name, step.params) for step in read.operations],
        Options.of(said),
        watcher,
        recipe=read.name,
        delivery=read.delivery,
        before=earlier,
        output=output,
    )


def save(made: DecisionList, path: Path, watcher: Watcher | None = None) -> None:
    """Writes a decision list where people find it."""
    decisions.save(made, path, operations.load)
    (watcher or Silent()).note(f"decision list: {path}")


def _step(name: str, params: Mapping[str, Any]) -> Step:
    operation = operations.load(name)
    return Step(operation, operation.params_type.of(params, name))


def _undecided(step: Step) -> OperationDecision:
    return OperationDecision.made(step.operation.name, step.params)


def _analyzed(clip: Clip, shot: ShotDecision, device: torch.device, watcher: Watcher) -> ShotDecision:
    enabled = [decision for decision in shot.operations if decision.enabled]
    steps = analyze_shot(
        clip, shot.range, chain_of(shot), device, keep=lambda position: enabled[position].locked, say=watcher.doing
    )
    results = iter(steps)
    decided = []
    for decision in shot.operations:
        if not decision.enabled:
            decided.append(decision)
            continue
        step = next(results)
        locked = decision.locked and decision.findings is not None
        made = OperationDecision.made(decision.name, step.params, step.findings)
        decided.append(decision if locked else replace(made, locked=decision.locked))
        if not locked:
            for said in _said(step.findings):
                watcher.note(f"shot {shot.range.name}, {decision.name}: {said}")
    return replace(shot, operations=tuple(decided))


def _said(findings: Settings | None) -> list[str]:
    """What analysis says in words of what it found."""
    return [said for name in ("summary", "note") if (said := getattr(findings, name, ""))]


def _shots(clip: Clip, steps: Sequence[Step], options: Options, watcher: Watcher) -> list[ShotRange]:
    start, stop = frame_range(clip, options)
    # A chain that looks at one pixel at a time of one frame at a time cannot tell where a cut is.
    pointwise = all(step.operation.findings_type is None and step.handles == 0 for step in steps)
    if options.shots == "none" or (options.shots == "detect" and pointwise and steps):
        return [ShotRange("001", start, stop)]
    if options.shots == "detect":
        watcher.begin("find shots", stop - start)
        shots = boundary.detect(clip, start=start, stop=stop, on_frame=watcher.advance)
    else:
        shots = timeline.read(Path(options.shots), clip, note=watcher.note)
    cut = [
        replace(shot, start=max(shot.start, start), stop=min(shot.stop, stop))
        for shot in shots
        if overlaps(shot, start, stop)
    ]
    if not cut:
        raise SettingsError(f"{options.shots}: no shot lies in frames {start} to {stop - 1}")
    return cut


def load(path: Path) -> DecisionList:
    """Reads a decision list, checked against the operations there are."""
    return decisions.load(path, operations.load)
