"""A job: a decision list rendered in chunks that survive anything.

A job lives in a folder beside its output (`out.mov.job`): encoded chunks and the ledger of those that are done. A
chunk's key is a hash of all that its frames depend on, so the same job started again, after a kill or after an edit,
renders what is missing and nothing else; then the chunks are joined into the output without encoding them again.

`JobSpec` says all that a job is told besides its decisions; it is written into the ledger whole before the first frame
is rendered, and `resume` reads it back. `plan.py` makes chunk tasks of decisions and spec, an executor renders them,
`deliver.py` joins them.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from answerprint import operations
from answerprint.errors import JobError, Stopped
from answerprint.media.presets import Delivery
from answerprint.media.reader import Clip
from answerprint.render import folder as job_folder
from answerprint.render import paths, plan
from answerprint.render.deliver import check_source, drop_stale, join, render_chunks, results_so_far
from answerprint.render.executor import ChunkTask
from answerprint.render.ledger import ChunkResult, Ledger
from answerprint.render.options import Options
from answerprint.render.progress import Silent, Watcher
from answerprint.settings import Settings
from answerprint.shots.decisions import file
from answerprint.shots.decisions.model import DecisionList
from answerprint.text import parse, shorten

T = TypeVar("T", int, float)
_LISTED = 20  # damaged frames that are named


class JobSpec(Settings):
    """All that a job is told besides its decisions."""

    output: Path = Field(description="File or sequence to write.")
    options: Options = Field(default_factory=Options, description="Delivery, range, machine and source.")
    decisions: Path | None = Field(None, description="File of the decision list; by default one in the job's folder.")
    keep_chunks: bool = Field(True, description="Keep encoded chunks for a later render of a changed list.")
    report: bool = Field(False, description="Write a report when the output is whole.")


@dataclass(frozen=True)
class JobResult:
    """What a job came to.

    Attributes:
        spec: what it was told.
        delivery: how the output is encoded.
        frames: frames in the output.
        rendered, reused: number of chunks, by name of their shot.
        seconds: wall-clock time; by shot in `shot_seconds`.
        begin: time of the output's first frame, in seconds of the source.
        notes: what could not be carried into the output, and policies that were applied.
    """

    spec: JobSpec
    delivery: Delivery
    frames: int
    rendered: Mapping[str, int]
    reused: Mapping[str, int]
    seconds: float
    shot_seconds: Mapping[str, float]
    begin: Fraction
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "done",
            "output": str(self.spec.output),
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
        before = f", {reused} of {reused + sum(self.rendered.values())} chunks were done before" if reused else ""
        length = f"{self.frames} frame{'s' * (self.frames != 1)}"
        return f"{self.spec.output}: {length}, {self.delivery.preset}, {rate:.1f} fps{before}"


def deliver(
    decisions: DecisionList, output: str | Path, options: Options | None = None, watcher: Watcher | None = None
) -> JobResult:
    """Renders a decision list into an output; see `render`."""
    return render(decisions, JobSpec(output=Path(output), options=options or Options()), watcher)


def render(
    decisions: DecisionList, spec: JobSpec, watcher: Watcher | None = None, clip: Clip | None = None
) -> JobResult:
    """Renders a decision list; it and nothing else decides.

    Args:
        decisions: the decision list.
        spec: the output, and all else that the job is told.
        watcher: hears how it gets on.
        clip: the source, where it is open already as the list says.

    Raises:
        AnswerprintError: the source changed, the output cannot be made, a worker died, the disk is full; chunks that
            are done stay done.
    """
    watcher, start = watcher or Silent(), time.monotonic()
    job = plan.make(decisions, spec.output, spec.options, watcher, clip)
    folder = paths.job_folder(spec.output)
    with closing(job.opening), Ledger(folder) as ledger, _stoppable(spec.output, ledger, job.tasks):
        _record(ledger, folder, decisions, spec)
        results = results_so_far(ledger, job.tasks, watcher)
        missing = [task for task in job.tasks if task.key not in results]
        total = sum(len(task.chunk) for task in job.tasks)
        watcher.begin("render", total, total - sum(len(task.chunk) for task in missing))
        for result in render_chunks(job, missing, spec.options.workers, watcher):
            job.watch.check()
            ledger.add(result)
            results[result.key] = result
        check_source(ledger, job.tasks, results)
        losses = [*job.losses, *_damage(job.tasks, results), *join(spec.output, job, results)]
        drop_stale(folder, ledger, {task.key for task in job.tasks})
    if not spec.keep_chunks:
        job_folder.remove(folder)
    for text in losses:
        watcher.note(text)
    new = {task.key for task in missing}
    return JobResult(
        spec=spec,
        delivery=job.delivery,
        frames=sum(results[task.key].frames for task in job.tasks),
        rendered=_by_shot(job.tasks, lambda task: task.key in new),
        reused=_by_shot(job.tasks, lambda task: task.key not in new),
        seconds=time.monotonic() - start,
        shot_seconds=_by_shot(job.tasks, lambda task: results[task.key].seconds),
        begin=job.times[0],
        notes=(*job.source.clip.info.notes, *losses),
    )


@contextmanager
def _stoppable(output: Path, ledger: Ledger, tasks: Sequence[ChunkTask]) -> Iterator[None]:
    """Says of a job that a person stops what is kept of it."""
    try:
        yield
    except KeyboardInterrupt:
        chunks = ledger.chunks()
        frames = sum(chunks[task.key].frames for task in tasks if task.key in chunks)
        total = sum(len(task.chunk) for task in tasks)
        raise Stopped(
            f"stopped; {frames} of {total} frames are kept; to go on: answerprint resume {shlex.quote(str(output))}"
        ) from None


def resume(output: Path, workers: int | None = None, watcher: Watcher | None = None) -> tuple[DecisionList, JobResult]:
    """Finishes the job of an output that was stopped at any moment.

    Args:
        output: the output, or the job's folder.
        workers: local processes instead of those that the job was told.
        watcher: hears how it gets on.

    Raises:
        JobError: there is no such job.
    """
    folder = output if output.name.endswith(".job") and output.is_dir() else paths.job_folder(output)
    if not (folder / "ledger.sqlite").is_file():
        raise JobError(f"{output}: no job to resume here (looked for {folder})")
    with Ledger(folder) as ledger:
        text = ledger.spec
    if text is None:
        raise JobError(f"{folder}: the job was stopped before it began; run its command again")
    try:
        spec = _relocate(JobSpec.model_validate(parse(json.loads, text)), folder)
    except ValueError as error:
        raise JobError(
            f"{folder}: what the job was told cannot be read ({shorten(str(error))}); start it anew"
        ) from None
    if workers is not None:
        spec = spec.model_copy(update={"options": spec.options.model_copy(update={"workers": workers})})
    decisions = file.load(spec.decisions or job_folder.decision_list(folder), operations.load)
    return decisions, render(decisions, spec, watcher)


def _relocate(spec: JobSpec, folder: Path) -> JobSpec:
    """The spec with its files where they are now: the output beside the job's folder, the list as seen from there.

    A project that was moved or copied goes on in its new place.
    """
    decisions = None if spec.decisions is None else folder.parent / spec.decisions
    return spec.model_copy(update={"output": folder.parent / spec.output.name, "decisions": decisions})


def _record(ledger: Ledger, folder: Path, decisions: DecisionList, spec: JobSpec) -> None:
    """Writes down what `resume` needs before the first frame is rendered."""
    if spec.decisions is None:
        file.save(decisions, job_folder.decision_list(folder), operations.load)
    places = {"output": Path(spec.output.name), "decisions": spec.decisions and _from(spec.decisions, folder.parent)}
    # Not by pydantic's own JSON: a path may hold bytes that are no UTF-8.
    ledger.spec = json.dumps(spec.model_copy(update=places).model_dump(mode="json"))


def _from(path: Path, folder: Path) -> Path:
    """The path as seen from a folder; absolute where there is no way, to another drive."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve()))
    except ValueError:
        return path.resolve()


def _damage(tasks: Iterable[ChunkTask], results: Mapping[str, ChunkResult]) -> list[str]:
    """The damaged frames of the source that are in the output, in at most `_LISTED` lines and one with their number."""
    lines = [text for task in tasks for text in results[task.key].damage]
    more = len(lines) - _LISTED
    return lines if more <= 0 else [*lines[:_LISTED], f"{more} more frames of the source are damaged"]


def _by_shot(tasks: Iterable[ChunkTask], amount: Callable[[ChunkTask], T]) -> dict[str, T]:
    """An amount of each task, summed by shot."""
    sums: dict[str, T] = {}
    for task in tasks:
        name = task.chunk.shot.name
        sums[name] = sums.get(name, 0) + amount(task)
    return sums
