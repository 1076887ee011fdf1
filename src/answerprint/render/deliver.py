"""A plan carried out: chunks that are missing rendered, and all joined into the output."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from answerprint.media.writer import join as writer
from answerprint.render.executor import ChunkTask
from answerprint.render.executors import here, processes
from answerprint.render.ledger import ChunkResult, Ledger
from answerprint.render.plan import JobPlan
from answerprint.render.progress import Watcher


def results_so_far(ledger: Ledger, tasks: Iterable[ChunkTask]) -> dict[str, ChunkResult]:
    """Chunks that the ledger knows and whose file is there."""
    known = ledger.chunks()
    return {
        task.key: known[task.key]
        for task in tasks
        if task.key in known and (known[task.key].frames == 0 or task.file.exists())
    }


def render_chunks(job: JobPlan, tasks: Sequence[ChunkTask], workers: int, watcher: Watcher) -> Iterator[ChunkResult]:
    """Renders those tasks of a plan that are missing, in this process or in local ones."""
    if workers > 1 and len(tasks) > 1:
        job.opening.close()
        return processes.run(tasks, min(workers, len(tasks)), watcher.advance)
    opening = job.opening if tasks and tasks[0] is job.tasks[0] else None
    return here.run(tasks, watcher.advance, opening)


def join(output: Path, job: JobPlan, results: Mapping[str, ChunkResult]) -> list[str]:
    """Joins the chunks into the output without encoding them again; gives in words what could not be brought along."""
    files = [task.file for task in job.tasks if results[task.key].frames > 0]
    return writer.join(files, output, job.delivery, job.source.clip, *job.times)


def drop_stale(folder: Path, ledger: Ledger, current: set[str]) -> None:
    """Chunks of earlier decisions make room once the output is whole."""
    ledger.forget(key for key in ledger.chunks() if key not in current)
    for path in (folder / "chunks").iterdir():
        if path.name.partition(".")[0] not in current:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
