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
from multiprocessing.queues import SimpleQueue

import torch

from answerprint.errors import AnswerprintError, JobError
from answerprint.render.executor import ChunkTask, runs
from answerprint.render.executors import here
from answerprint.render.ledger import ChunkResult
from answerprint.render.machine import return_large_blocks
from answerprint.render.pipeline import chain_handles

_PER_HANDLE = 8  # frames that a worker makes in a row for each frame of handles on a side: these cost a quarter at most
_POLL = 0.1  # seconds between looks at what workers have done


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
    done: SimpleQueue[ChunkResult] = context.SimpleQueue()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(threads, done))
    waiting: set[Future[None]] = set()
    try:
        with _without_ctrl_c():
            waiting = {pool.submit(_render, run) for run in _shares(tasks, workers)}
        while waiting:
            finished, waiting = wait(waiting, timeout=_POLL, return_when=FIRST_COMPLETED)
            # A worker's death ends all futures at once: what was done by then is handed over before it is told.
            while not done.empty():
                result = done.get()
                on_frames(result.frames)
                yield result
            for future in finished:
                future.result()
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


def _shares(tasks: Sequence[ChunkTask], workers: int) -> list[list[ChunkTask]]:
    """What a worker does at a time: chunks in a row where their handles would cost much, else one."""
    fair = sum(len(task.chunk) for task in tasks) // workers
    shares = []
    for run in runs(tasks):
        handles = chain_handles(run[0].chunk.steps)
        count = len(run)
        if handles is not None:
            count = max(1, min(_PER_HANDLE * handles, fair) // len(run[0].chunk))
        shares += [run[i : i + count] for i in range(0, len(run), count)]
    return shares


_results: SimpleQueue[ChunkResult] | None = None  # of a worker: where what it has done goes


def _begin_worker(threads: int, done: SimpleQueue[ChunkResult]) -> None:
    global _results
    _results = done
    torch.set_num_threads(threads)
    return_large_blocks()
    parent = parent_process()

    def leave_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    # A worker must not outlive a killed parent and go on writing into its job.
    threading.Thread(target=leave_with_parent, daemon=True).start()


def _render(run: Sequence[ChunkTask]) -> None:
    if _results is None:
        raise RuntimeError("a worker renders after `_begin_worker` alone")
    results = here.run(run, lambda: None)
    for task in run:
        try:
            _results.put(next(results))
        except AnswerprintError:
            raise
        except Exception as error:
            error.add_note(task.chunk.where())
            raise
