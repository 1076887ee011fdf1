"""Chunks in local processes, each of which overlaps its own decoding, work and encoding."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import parent_process

import torch

from answerprint.errors import AnswerprintError, JobError
from answerprint.render.executor import ChunkTask
from answerprint.render.executors import here
from answerprint.render.ledger import ChunkResult
from answerprint.render.machine import return_large_blocks


def run(tasks: Sequence[ChunkTask], workers: int, on_frames: Callable[[int], None]) -> Iterator[ChunkResult]:
    """Renders chunks in `workers` local processes.

    Args:
        tasks: the chunks, in the order of the clip.
        workers: number of processes.
        on_frames: called with the number of frames of every chunk that is done.

    Raises:
        JobError: a worker died (killed, out of memory); what was done before is in the ledger.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(threads,))
    waiting: set[Future[ChunkResult]] = set()
    try:
        with _without_ctrl_c():
            waiting = {pool.submit(_render, task) for task in tasks}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            # A worker's death ends all futures at once: what was done by then is handed over before it is told.
            for future in sorted(finished, key=_failed):
                result = future.result()
                on_frames(result.frames)
                yield result
    except KeyboardInterrupt:
        for worker in multiprocessing.active_children():
            worker.terminate()  # what it was at is begun anew by `resume`
        raise
    except BrokenProcessPool:
        raise JobError(
            "a worker process died (killed, or out of memory); what is done is kept: run the same command again, "
            "with fewer --workers if memory was short"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Keeps Ctrl-C from processes begun in here: their parent gets it, and ends them without a traceback of each."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _failed(future: Future[ChunkResult]) -> bool:
    return future.exception() is not None


def _begin_worker(threads: int) -> None:
    torch.set_num_threads(threads)
    return_large_blocks()
    parent = parent_process()

    def leave_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    # A worker must not outlive a killed parent and go on writing into its job.
    threading.Thread(target=leave_with_parent, daemon=True).start()


def _render(task: ChunkTask) -> ChunkResult:
    try:
        return next(here.run([task], lambda: None))
    except AnswerprintError:
        raise
    except Exception as error:
        error.add_note(f"shot {task.chunk.shot.name}, frames {task.chunk.start} to {task.chunk.stop - 1}")
        raise
