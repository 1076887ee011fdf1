"""Chunks one after the other in this process.

Decoding, work and encoding overlap in three threads, and the next chunk is begun while the last is still encoded.
Chunks that follow each other are made in one pass through the chain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from answerprint.frame import Frame
from answerprint.media.ahead import LARGE, ahead
from answerprint.render.executor import ChunkTask, Opening, encode, runs
from answerprint.render.ledger import ChunkResult

FRAMES_AHEAD = 2  # frames held between two threads: enough to overlap, few enough for memory at UHD


def run(
    tasks: Sequence[ChunkTask], on_frame: Callable[[], None], opening: Opening | None = None
) -> Iterator[ChunkResult]:
    """Renders chunks.

    Args:
        tasks: the chunks, in the order of the clip.
        on_frame: called for every frame that has been encoded.
        opening: the frames of the first task, where they are begun.
    """

    def all_frames() -> Iterator[Frame | None]:
        for number, run in enumerate(runs(tasks)):
            whole = run[0].chunk.until(run[-1].chunk.stop)
            with closing(opening if opening is not None and number == 0 else whole.frames()) as frames:
                yield from _with_gaps(frames, run)

    large = any(task.chunk.clip.info.width * task.chunk.clip.info.height > LARGE for task in tasks)
    with closing(ahead(all_frames(), 0 if large else FRAMES_AHEAD)) as frames:  # type: ignore[type-var]
        for task in tasks:
            yield encode(task, _to_the_gap(frames), on_frame)


def _with_gaps(frames: Iterator[Frame], run: Sequence[ChunkTask]) -> Iterator[Frame | None]:
    """The frames of chunks that follow each other, with None after the last of each."""
    held: list[Frame] = []  # a frame is large: none may stay alive in a variable while the next one is made
    for task in run:
        end = task.chunk.end
        while held or _take(frames, held):
            if end is not None and held[0].time >= end:
                break
            yield held.pop()
        yield None


def _take(frames: Iterator[Frame], into: list[Frame]) -> bool:
    """Puts the next frame into a list; False where there is none."""
    into.extend(itertools.islice(frames, 1))
    return bool(into)


def _to_the_gap(frames: Iterator[Frame | None]) -> Iterator[Frame]:
    """The frames up to the None that ends a chunk."""
    for frame in frames:
        if frame is None:
            return
        yield frame
        del frame
