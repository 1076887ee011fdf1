"""A plan carried out: chunks that are missing rendered, and all joined into the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from answerprint import disk
from answerprint.errors import MediaError
from answerprint.media.writer import join as writer
from answerprint.render.executor import ChunkTask
from answerprint.render.executors import here, processes
from answerprint.render.folder import drop_chunks
from answerprint.render.ledger import ChunkResult, Ledger
from answerprint.render.plan import JobPlan
from answerprint.render.progress import Watcher


def results_so_far(ledger: Ledger, tasks: Sequence[ChunkTask], watcher: Watcher) -> dict[str, ChunkResult]:
    """Chunks that the ledger knows, whose file is as it was written and whose source is as it was read.

    Args:
        ledger: of the job.
        tasks: all chunks.
        watcher: told of chunks that are rendered again, and why.
    """
    known, results = ledger.chunks(), dict[str, ChunkResult]()
    for task in tasks:
        result = known.get(task.key)
        if result is None:
            continue
        if not _is_whole(task.file, result):
            watcher.note(f"{task.chunk.where()}: the chunk is damaged or gone, and is rendered again")
        elif result.stamp == task.stamp:
            results[task.key] = result
        elif result.content == task.chunk.content():
            results[task.key] = replace(result, stamp=task.stamp)
            ledger.add(results[task.key])
        else:
            watcher.note(f"{task.chunk.where()}: the source changed since, and they are rendered again")
    ledger.forget(task.key for task in tasks if task.key in known and task.key not in results)
    return results


def _is_whole(file: Path, result: ChunkResult) -> bool:
    """Whether the file of a chunk is still what was written."""
    if result.frames == 0:
        return True
    try:
        return not file.is_symlink() and disk.digest(file) == result.digest
    except OSError:
        return False


def check_source(ledger: Ledger, tasks: Sequence[ChunkTask], results: Mapping[str, ChunkResult]) -> None:
    """Makes sure that no chunk's source changed after the chunk was made, before all are joined.

    Raises:
        MediaError: some did; they are struck out of the ledger.
    """
    changed = [
        task for task in tasks if task.chunk.stamp() != task.stamp and task.chunk.content() != results[task.key].content
    ]
    if changed:
        ledger.forget(task.key for task in changed)
        raise MediaError(
            f"{changed[0].chunk.clip.path}: changed while the job ran, {changed[0].chunk.where()} first; run the same "
            "command again, only what changed is rendered anew"
        )


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
    drop_chunks(folder, current)
