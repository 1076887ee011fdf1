"""A job: a decision list rendered in chunks that survive anything.

A job lives in a folder beside its output (`out.mov.job`): encoded chunks and the ledger of those that are done. A
chunk's key is a hash of all that its frames depend on, so the same job started again, after a kill or after an edit,
renders what is missing and nothing else; then the chunks are joined into the output without encoding them again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from answerprint import operations
from answerprint.color import lut
from answerprint.color.lut import Cube
from answerprint.errors import ColorError, JobError, SettingsError
from answerprint.frame import Frame
from answerprint.inference import weights
from answerprint.media import presets
from answerprint.media.layout import parse_layout
from answerprint.media.presets import Delivery
from answerprint.media.reader import Clip
from answerprint.media.writer.checks import check_size
from answerprint.media.writer.join import join
from answerprint.metrics import page
from answerprint.render import executors
from answerprint.render.decide import load
from answerprint.render.executors import ChunkTask
from answerprint.render.ledger import Done, Ledger
from answerprint.render.options import Options, device_of, frame_range, open_source, overlaps, preset_of, refuse_output
from answerprint.render.pipeline import Step, chain_of, chain_rate, render_chunk
from answerprint.render.progress import Silent, Watcher
from answerprint.settings import Settings
from answerprint.shots import decisions
from answerprint.shots.boundary import ShotRange
from answerprint.shots.decisions import DecisionList, ShotDecision

CHUNK = 96  # frames: about four seconds lost at most when a job is killed, and closed GOPs cost little


@dataclass(frozen=True)
class Outcome:
    """What a render came to.

    Attributes:
        output: what was written.
        job: the job's folder; gone unless chunks were kept.
        delivery: how it was encoded.
        frames: frames in the output.
        rendered, reused: chunks, by name of their shot.
        seconds: wall-clock time; by shot in `shot_seconds`.
        begin: time of the output's first frame, in seconds of the source.
        notes: what could not be carried into the output, and policies that were applied.
        wants_report: whether the job was started by a command that writes a report.
    """

    output: Path
    job: Path
    delivery: Delivery
    frames: int
    rendered: Mapping[str, int]
    reused: Mapping[str, int]
    seconds: float
    shot_seconds: Mapping[str, float]
    begin: Fraction
    notes: tuple[str, ...]
    wants_report: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "done",
            "output": str(self.output),
            "preset": self.delivery.preset,
            "frames": self.frames,
            "chunks_rendered": sum(self.rendered.values()),
            "chunks_reused": sum(self.reused.values()),
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }

    def text(self) -> str:
        rate = self.frames / self.seconds if self.seconds > 0 else 0.0
        reused = sum(self.reused.values())
        kept = f", {reused} of {reused + sum(self.rendered.values())} chunks were done before" if reused else ""
        length = f"{self.frames} frame{'s' * (self.frames != 1)}"
        return f"{self.output}: {length}, {self.delivery.preset}, {rate:.1f} fps{kept}"


# Where things lie


def plain_stem(path: Path) -> str:
    """The name of a file or sequence without ending and number: `f` of `f.%04d.png`."""
    return re.sub(r"[._-]?(%0?\d*d|#+)", "", path.stem) or "sequence"


def beside(output: Path, ending: str) -> Path:
    return output.parent / f"{plain_stem(output)}{ending}"


def decisions_path(output: Path) -> Path:
    """Where the decision list of an output is written."""
    return beside(output, ".decisions.toml")


def job_folder(output: Path) -> Path:
    return output.parent / f"{output.name.replace('%', '_')}.job"


def render(
    made: DecisionList,
    output: str | Path,
    options: Options | None = None,
    watcher: Watcher | None = None,
    *,
    clip: Clip | None = None,
    keep_chunks: bool = True,
    decisions_file: Path | None = None,
    wants_report: bool = False,
) -> Outcome:
    """Renders a decision list; it and nothing else decides.

    Args:
        made: the decision list.
        output: file or sequence to write.
        options: preset, range, workers and the like.
        watcher: who is told how it gets on.
        clip: the source, where it is open already as the list says.
        keep_chunks: whether chunks stay for a later render of a changed list.
        decisions_file: where the list lies, for `resume`; without it, the list is kept in the job's folder.
        wants_report: whether `resume` shall write a report.

    Raises:
        AnswerprintError: the source changed, the output cannot be made, a worker died, the disk is full; chunks that
            are done stay done.
    """
    output, options, watcher = Path(output), options or Options(), watcher or Silent()
    if options.chunk is None:
        options = options.model_copy(update={"chunk": made.chunk})
    begun = time.monotonic()
    made.source.verify()
    clip = clip or open_source(made.source.path, made.source.overrides)
    refuse_output(clip, output, options, made.delivery)
    device = device_of(options.device)
    listed = _without_gaps(made, clip, options, watcher)
    alone = _alone(listed, frame_range(clip, options))
    begins = _beginning(listed[0], clip, device, whole=alone)
    delivery, lost = _delivery(listed, clip, output, preset_of(options, made.delivery), begins)
    folder = job_folder(output)
    tasks = _plan(listed, clip, delivery, folder, options, device)
    if alone:
        tasks = [replace(task, made=begins) for task in tasks]
    del begins
    with Ledger(folder) as ledger:
        _remember(ledger, folder, made, output, options, decisions_file, wants_report, keep_chunks)
        done = _still_there(ledger, tasks)
        missing = [task for task in tasks if task.key not in done]
        watcher.begin(
            "render", sum(t.stop - t.start for t in tasks), sum(t.stop - t.start for t in tasks if t.key in done)
        )
        reused = _count(tasks, set(done))
        results = _execute(missing, options.workers, watcher)
        for result in results:
            ledger.add(result)
            done[result.key] = result
        whole = [task.file for task in tasks if done[task.key].frames > 0]
        begin, end = _times(clip, tasks)
        notes = lost + join(whole, output, delivery, clip, begin, end)
        _drop_stale(folder, ledger, {task.key for task in tasks})
    if not keep_chunks:
        shutil.rmtree(folder, ignore_errors=True)
    for note in notes:
        watcher.note(note)
    return Outcome(
        output=output,
        job=folder,
        delivery=delivery,
        frames=sum(done[task.key].frames for task in tasks),
        rendered=_count(tasks, {task.key for task in missing}),
        reused=reused,
        seconds=time.monotonic() - begun,
        shot_seconds=_seconds(tasks, done),
        begin=begin,
        notes=(*clip.info.notes, *notes),
        wants_report=wants_report,
    )


def _without_gaps(made: DecisionList, clip: Clip, options: Options, watcher: Watcher) -> list[ShotDecision]:
    """The shots from the first to the last, with frames that are in none passed through unchanged."""
    start, stop = frame_range(clip, options)
    listed: list[ShotDecision] = []
    for shot in made.shots:
        if listed and listed[-1].range.stop < shot.range.start:
            first, last = listed[-1].range.stop, shot.range.start
            watcher.note(f"frames {first} to {last - 1} are in no shot of the decision list; they pass unchanged")
            listed.append(ShotDecision(ShotRange(f"after {listed[-1].range.name}", first, last)))
        listed.append(shot)
    listed = [shot for shot in listed if overlaps(shot.range, start, stop)]
    if not listed:
        raise SettingsError("no shot to render: the decision list has none in this range")
    return listed


def _alone(listed: Sequence[ShotDecision], wanted: tuple[int, int]) -> bool:
    """Whether nothing but the first frame of a shot is rendered: a still, most often."""
    first = listed[0].range
    asked = (max(first.start, wanted[0]), min(first.stop, wanted[1]))
    return len(listed) == 1 and asked == (first.start, first.start + 1)


def _beginning(shot: ShotDecision, clip: Clip, device: torch.device, *, whole: bool) -> tuple[Frame, ...]:
    """What a shot's chain makes of its first frame: the first picture, or all."""
    frames = render_chunk(clip, shot.range, chain_of(shot), shot.range.start, shot.range.start + 1, device)
    with closing(frames):  # type: ignore[type-var]
        return tuple(islice(frames, None if whole else 1))


def _delivery(
    listed: Sequence[ShotDecision], clip: Clip, output: Path, named: str | None, begins: Sequence[Frame]
) -> tuple[Delivery, list[str]]:
    """How the output is encoded: by preset or file ending, and by what the chain does to rate, size and fields.

    With it, in words, what of the frames it does not carry. `begins` is what the chain makes of the first frame.

    Raises:
        DeliveryError: it takes no pictures of the size that the chain makes.
        SettingsError: shots differ in rate.
    """
    chosen = presets.choose(output, named, clip.info)
    rates = {chain_rate(chain_of(shot)): shot.range.name for shot in listed}
    if len(rates) > 1:
        shown = ", ".join(f"{clip.info.rate * rate} in shot {name}" for rate, name in rates.items())
        raise SettingsError(f"shots of one output must have one frame rate, these differ: {shown}")
    if not begins:
        return chosen, []
    probe = begins[0]
    if probe.alpha is not None and named is None:
        chosen = presets.choose(output, presets.preset_with_alpha(chosen), clip.info)
    delivery = presets.adapt(chosen, clip.info.rate * next(iter(rates)), probe)
    check_size(delivery, probe.width, probe.height)
    if probe.alpha is None or parse_layout(delivery.layout).alpha:
        return delivery, []
    carried = ", ".join(name for name, one in presets.PRESETS.items() if one.alpha is not None)
    return delivery, [f"alpha is not carried: preset {delivery.preset} has none; these have: {carried}"]


def _plan(
    listed: Sequence[ShotDecision],
    clip: Clip,
    delivery: Delivery,
    folder: Path,
    options: Options,
    device: torch.device,
) -> list[ChunkTask]:
    """The chunks of the job, in the order of the clip; they begin at the shot's first frame, whatever the range."""
    start, stop = frame_range(clip, options)
    length = options.chunk or CHUNK
    source = [clip.path, dict(clip.overrides), decisions.fingerprint(Path(clip.path))]
    tasks = []
    for shot in listed:
        steps = chain_of(shot)
        chain = [
            [step.operation.name, _hashable(step.params), _hashable(step.findings), _trained(step)] for step in steps
        ]
        for begin in range(shot.range.start, shot.range.stop, length):
            first, last = max(begin, start), min(begin + length, shot.range.stop, stop)
            if first >= last:
                continue
            facts = [source, shot.range.start, shot.range.stop, first, last, chain]
            facts += [delivery.model_dump(mode="json"), device.type, page.versions()]
            key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:24]
            file = folder / "chunks" / key
            tasks.append(ChunkTask(key, clip, shot.range, steps, first, last, file, delivery, str(device)))
    return tasks


def _trained(step: Step) -> dict[str, str | None]:
    """The networks that a step takes by name, by their contents: a user may add better ones between two renders."""
    return {name: weights.digest(name) for name in step.operation.networks(step.params)}


def _hashable(table: Settings | None) -> Any:
    """The values of a table, files by their contents: a LUT that was saved again is another LUT."""
    if table is None:
        return None

    def contents(value: Any) -> Any:
        if isinstance(value, Path):
            return [str(value), decisions.fingerprint(value) if value.exists() else None]
        if isinstance(value, Mapping):
            return {key: contents(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [contents(part) for part in value]
        return value

    return contents(table.model_dump())


def _remember(
    ledger: Ledger,
    folder: Path,
    made: DecisionList,
    output: Path,
    options: Options,
    decisions_file: Path | None,
    wants_report: bool,
    keep_chunks: bool,
) -> None:
    """Writes down what `resume` needs before the first frame is rendered."""
    if decisions_file is None:
        decisions_file = folder / "decisions.toml"
        decisions.save(made, decisions_file, operations.load)
    (folder / "chunks").mkdir(exist_ok=True)
    ledger.note("decisions", str(decisions_file.resolve()))
    ledger.note("output", str(output.absolute()))
    ledger.note("options", options.model_dump_json())
    ledger.note("report", json.dumps(wants_report))
    ledger.note("keep", json.dumps(keep_chunks))


def _still_there(ledger: Ledger, tasks: Iterable[ChunkTask]) -> dict[str, Done]:
    """Chunks that the ledger knows and whose file is there."""
    known = ledger.chunks()
    return {
        task.key: known[task.key]
        for task in tasks
        if task.key in known and (known[task.key].frames == 0 or task.file.exists())
    }


def _execute(tasks: Sequence[ChunkTask], workers: int, watcher: Watcher) -> Iterator[Done]:
    if workers > 1 and len(tasks) > 1:
        return executors.processes(tasks, min(workers, len(tasks)), watcher.advance)
    return executors.here(tasks, watcher.advance)


def _count(tasks: Iterable[ChunkTask], keys: set[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for task in tasks:
        counted[task.shot.name] = counted.get(task.shot.name, 0) + (task.key in keys)
    return counted


def _seconds(tasks: Iterable[ChunkTask], done: Mapping[str, Done]) -> dict[str, float]:
    spent: dict[str, float] = {}
    for task in tasks:
        spent[task.shot.name] = spent.get(task.shot.name, 0.0) + done[task.key].seconds
    return spent


def _times(clip: Clip, tasks: Sequence[ChunkTask]) -> tuple[Fraction, Fraction]:
    """When the output begins and ends, in seconds of the source."""
    stop = tasks[-1].stop
    end = clip.times[stop] if stop < len(clip) else clip.info.duration
    return clip.times[tasks[0].start], end


def _drop_stale(folder: Path, ledger: Ledger, wanted: set[str]) -> None:
    """Chunks of earlier decisions make room once the output is whole."""
    ledger.forget(key for key in ledger.chunks() if key not in wanted)
    for path in (folder / "chunks").iterdir():
        if path.name.partition(".")[0] not in wanted:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def resume(output: Path, workers: int | None = None, watcher: Watcher | None = None) -> tuple[DecisionList, Outcome]:
    """Finishes the job of an output that was stopped at any moment.

    Raises:
        JobError: there is no such job.
    """
    folder = output if output.name.endswith(".job") and output.is_dir() else job_folder(output)
    if not (folder / "ledger.sqlite").is_file():
        raise JobError(f"{output}: no job to resume here (looked for {folder})")
    with Ledger(folder) as ledger:
        noted = {name: ledger.noted(name) for name in ("decisions", "output", "options", "report", "keep")}
    if any(value is None for value in noted.values()):
        raise JobError(f"{folder}: the job was stopped before it began; run its command again")
    made = load(Path(str(noted["decisions"])))
    options = Options.model_validate_json(str(noted["options"]))
    if workers is not None:
        options = options.model_copy(update={"workers": workers})
    outcome = render(
        made,
        Path(str(noted["output"])),
        options,
        watcher,
        keep_chunks=bool(json.loads(str(noted["keep"]))),
        decisions_file=Path(str(noted["decisions"])),
        wants_report=bool(json.loads(str(noted["report"]))),
    )
    return made, outcome


def cube(shot: ShotDecision, size: int = 33) -> Cube:
    """The color of a shot as one LUT: what its operations do to a pixel by itself, in order.

    Args:
        shot: the shot's decisions.
        size: points per side.

    Raises:
        ColorError: no operation of the shot is a matter of color alone.
    """
    cubes = [
        made for step in chain_of(shot) if (made := step.operation.cube(step.params, step.findings, size)) is not None
    ]
    if not cubes:
        raise ColorError(f"shot {shot.range.name}: none of its operations is a color transform that a LUT could hold")
    comments = tuple(comment for made in cubes for comment in made.comments)
    return lut.bake(
        lambda pixels: functools.reduce(lambda result, one: one.apply(result), cubes, pixels), size, comments=comments
    )
