"""Analysis of a clip, shot by shot: what each operation finds becomes the decision list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from answerprint import operations
from answerprint.assets import Assets
from answerprint.errors import SettingsError
from answerprint.media.reader import Clip
from answerprint.metrics import page
from answerprint.render import machine
from answerprint.render.options import Options
from answerprint.render.pipeline import Step, analyze_shot, chain_of
from answerprint.render.plan import choose_delivery
from answerprint.render.progress import Silent, Watcher
from answerprint.render.source import SourceRange, open_clip
from answerprint.shots import boundary, timeline
from answerprint.shots import chain as chains
from answerprint.shots.boundary import ShotRange
from answerprint.shots.chain import Chain, ChainStep
from answerprint.shots.decisions import file
from answerprint.shots.decisions.merge import merge
from answerprint.shots.decisions.model import DecisionList, OperationDecision, ShotDecision, SourceRef, fingerprint

Operations = Sequence[tuple[str, Mapping[str, Any]]]
"""Names and parameters of operations, in order."""


def analyze(
    input: str | Path | Clip,
    chain: Chain | Operations,
    options: Options | None = None,
    watcher: Watcher | None = None,
    *,
    before: DecisionList | None = None,
    output: Path | None = None,
) -> DecisionList:
    """The decisions on a clip, shot by shot.

    Args:
        input: file, sequence or folder, or a clip that is open.
        chain: the operations with delivery and defaults, or names and parameters alone.
        options: all else that is said of the job; goes over what the chain says.
        watcher: hears how it gets on.
        before: an earlier decision list of the clip; what is locked in it stays.
        output: what it will be rendered to, if that is known.

    Raises:
        DeliveryError: it cannot be rendered to `output`.
        MediaError: the clip cannot be read.
        SettingsError: an operation or parameter is not what it may be.
    """
    watcher = watcher or Silent()
    if not isinstance(chain, Chain):
        chain = Chain("", tuple(ChainStep(name, params) for name, params in chain))
    options = _defaults(chain, options or Options())
    steps = [each for step in chain.operations for each in _with_those_before(_step(step))]
    clip = input if isinstance(input, Clip) else open_clip(input, options.overrides)
    for note in clip.info.notes:
        watcher.note(note)
    source = SourceRange.of(clip, options)
    if output is not None:
        choose_delivery(source, output, options.preset_for(chain.delivery))
    shots = _shots(source, steps, options, watcher)
    decisions = _draft_list(clip, chain, options, steps, shots)
    if before is not None:
        decisions, notes = merge(before, decisions)
        for note in notes:
            watcher.note(note)
    if not any(step.operation.findings_type for step in steps):
        return decisions
    watcher.begin("analyze", len(shots))
    device = machine.device(options.device)
    analyzed = []
    for shot in decisions.shots:
        analyzed.append(_analyze_shot(clip, shot, decisions.assets, device, watcher))
        watcher.advance()
    return replace(decisions, shots=tuple(analyzed))


def load_earlier(path: Path, clip: Clip) -> DecisionList | None:
    """The decision list of an earlier run, where there is one and it is of this clip."""
    if not path.exists():
        return None
    decisions = load(path)
    return decisions if decisions.source.hash == fingerprint(Path(clip.path))[1] else None


def load_chain(path: Path) -> Chain:
    """Reads a chain, checked against the operations there are."""
    return chains.load(path, operations.load)


def save(decisions: DecisionList, path: Path, watcher: Watcher | None = None) -> None:
    """Writes a decision list where people find it, and its assets beside it."""
    file.save(decisions, path, operations.load)
    (watcher or Silent()).note(f"decision list: {path}")


def _defaults(chain: Chain, options: Options) -> Options:
    """The options with what the chain says of shots and chunks, where they say nothing."""
    defaults = {"shots": chain.shots, "chunk": chain.chunk}
    return Options.of(defaults | options.model_dump(exclude_unset=True))


def _step(step: ChainStep) -> Step:
    operation = operations.load(step.name)
    return Step(operation, operation.params_type.of(step.params, step.name))


def _with_those_before(step: Step) -> list[Step]:
    """A step, behind those that its parameters ask for."""
    before = step.operation.before(step.params)
    return [*(_step(ChainStep(name, params)) for name, params in before), step]


def _draft_list(
    clip: Clip, chain: Chain, options: Options, steps: Sequence[Step], shots: Sequence[ShotRange]
) -> DecisionList:
    """The decision list before analysis."""
    decisions = tuple(OperationDecision.of(step.operation.name, step.params) for step in steps)
    return DecisionList(
        source=SourceRef.describe(Path(clip.path), len(clip), clip.info.rate, clip.info.timecode, dict(clip.overrides)),
        shots=tuple(ShotDecision(shot, decisions) for shot in shots),
        delivery=dict(chain.delivery) | ({"preset": options.preset} if options.preset else {}),
        chain=chain.name,
        chunk=options.chunk,
        versions=page.versions(),
    )


def _analyze_shot(
    clip: Clip, shot: ShotDecision, assets: Assets, device: torch.device, watcher: Watcher
) -> ShotDecision:
    enabled = [decision for decision in shot.operations if decision.enabled]
    steps = iter(
        analyze_shot(
            clip,
            shot.range,
            chain_of(shot, assets),
            device,
            keep=lambda position: enabled[position].locked,
            say=watcher.status,
        )
    )
    decisions = []
    for decision in shot.operations:
        if not decision.enabled:
            decisions.append(decision)
            continue
        step = next(steps)
        if decision.locked and decision.findings is not None:
            decisions.append(decision)
            continue
        analyzed = OperationDecision.of(decision.name, step.params, step.findings)
        decisions.append(replace(analyzed, locked=decision.locked))
        for text in step.operation.remarks(step.findings):
            watcher.note(f"shot {shot.range.name}, {decision.name}: {text}")
    return replace(shot, operations=tuple(decisions))


def _shots(source: SourceRange, steps: Sequence[Step], options: Options, watcher: Watcher) -> list[ShotRange]:
    clip, start, stop = source.clip, source.start, source.stop
    # A chain that looks at one pixel at a time of one frame at a time cannot tell where a cut is.
    pointwise = all(step.operation.findings_type is None and step.handles == 0 for step in steps)
    if options.shots == "none" or (options.shots == "detect" and pointwise and steps):
        return [ShotRange("001", start, stop)]
    if options.shots == "detect":
        watcher.begin("find shots", stop - start)
        shots = boundary.detect(clip, start=start, stop=stop, on_frame=watcher.advance)
    else:
        shots = timeline.read(Path(options.shots), clip, note=watcher.note)
    within = [
        replace(shot, start=max(shot.start, start), stop=min(shot.stop, stop))
        for shot in shots
        if source.overlaps(shot)
    ]
    if not within:
        raise SettingsError(f"{options.shots}: no shot lies in frames {start} to {stop - 1}")
    return within


def load(path: Path) -> DecisionList:
    """Reads a decision list, checked against the operations there are."""
    return file.load(path, operations.load)
