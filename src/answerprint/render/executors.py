"""Where chunks run: in this process, or in local processes.

An executor takes chunk tasks and yields each task's result as it is done, in any order. In this process, decoding, work
and encoding overlap in three threads, and the next chunk is begun while the last one is still being encoded.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.process import parent_process
from pathlib import Path

import torch

from answerprint.errors import AnswerprintError, JobError
from answerprint.frame import Frame
from answerprint.media.ahead import LARGE, ahead
from answerprint.media.presets import Delivery
from answerprint.media.reader import Clip
from answerprint.media.writer.chunk import ChunkWriter
from answerprint.render.ledger import Done
from answerprint.render.options import give_back_large_blocks
from answerprint.render.pipeline import Step, render_chunk
from answerprint.shots.boundary import ShotRange

FRAMES_AHEAD = 2  # frames held between two threads: enough to overlap, few enough for memory at UHD


@dataclass(frozen=True)
class ChunkTask:
    """All that is needed to render one chunk anywhere.

    Attributes:
        key: the chunk's name in the ledger.
        clip: the source.
        shot: the shot that holds it.
        steps: the shot's chain.
        start, stop: source frames [start, stop).
        file: where its encoded frames go.
        delivery: how they are encoded.
        device: name of the torch device.
        made: its frames, where they are there already: a still was worked out to see what its delivery must carry.
    """

    key: str
    clip: Clip
    shot: ShotRange
    steps: tuple[Step, ...]
    start: int
    stop: int
    file: Path
    delivery: Delivery
    device: str
    made: tuple[Frame, ...] = ()

    def frames(self) -> Iterator[Frame]:
        if self.made:
            yield from self.made
            return
        yield from render_chunk(self.clip, self.shot, self.steps, self.start, self.stop, torch.device(self.device))


def here(tasks: Sequence[ChunkTask], on_frame: Callable[[], None]) -> Iterator[Done]:
    """Renders chunks one after the other in this process.

    Args:
        tasks: the chunks, in the order of the clip.
        on_frame: called for every frame that has been encoded.
    """

    def all_frames() -> Iterator[tuple[ChunkTask, Frame | None]]:
        for task in tasks:
            with closing(task.frames()) as frames:  # type: ignore[type-var]
                for frame in frames:
                    yield task, frame
                    del frame  # it is large: it must not stay alive while the next one is made
            yield task, None

    large = any(task.clip.info.width * task.clip.info.height > LARGE for task in tasks)
    with closing(ahead(all_frames(), 0 if large else FRAMES_AHEAD)) as items:  # type: ignore[type-var]
        for task in tasks:
            yield _encode(task, items, on_frame)


def _encode(task: ChunkTask, items: Iterator[tuple[ChunkTask, Frame | None]], on_frame: Callable[[], None]) -> Done:
    begun, count = time.monotonic(), 0
    with ChunkWriter(task.file, task.delivery) as writer:
        for _, frame in items:
            if frame is None:
                break
            writer.write(frame)
            del frame
            count += 1
            on_frame()
    return Done(task.key, count, time.monotonic() - begun)


def processes(tasks: Sequence[ChunkTask], workers: int, on_frames: Callable[[int], None]) -> Iterator[Done]:
    """Renders chunks in `workers` local processes; each overlaps its own decoding, work and encoding.

    Raises:
        JobError: a worker died (killed, out of memory); what was done before is in the ledger.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(threads,))
    waiting: set[Future[Done]] = set()
    try:
        waiting = {pool.submit(_work, task) for task in tasks}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            # A worker's death ends all futures at once: what was done by then is handed over before it is told.
            for future in sorted(finished, key=_failed):
                done = future.result()
                on_frames(done.frames)
                yield done
    except BrokenProcessPool:
        raise JobError(
            "a worker process died (killed, or out of memory); what is done is kept: run the same command again, "
            "with fewer --workers if memory was short"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _failed(future: Future[Done]) -> bool:
    return future.exception() is not None


def _begin_worker(threads: int) -> None:
    torch.set_num_threads(threads)
    give_back_large_blocks()
    parent = parent_process()

    def leave_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    # A worker must not outlive a killed parent and go on writing into its job.
    threading.Thread(target=leave_with_parent, daemon=True).start()


def _work(task: ChunkTask) -> Done:
    try:
        return next(here([task], lambda: None))
    except AnswerprintError:
        raise
    except Exception as error:
        error.add_note(f"shot {task.shot.name}, frames {task.start} to {task.stop - 1}")
        raise
