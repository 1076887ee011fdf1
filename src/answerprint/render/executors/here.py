"""Chunks one after the other in this process.

Decoding, work and encoding overlap in three threads, and the next chunk is begun while the last is still encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from answerprint.frame import Frame
from answerprint.media.ahead import LARGE, ahead
from answerprint.render.executor import ChunkTask, Opening, encode
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
        for number, task in enumerate(tasks):
            with closing(opening if opening is not None and number == 0 else task.chunk.frames()) as frames:
                for frame in frames:
                    yield frame
                    del frame  # it is large: it must not stay alive while the next one is made
            yield None

    large = any(task.chunk.clip.info.width * task.chunk.clip.info.height > LARGE for task in tasks)
    with closing(ahead(all_frames(), 0 if large else FRAMES_AHEAD)) as frames:  # type: ignore[type-var]
        for task in tasks:
            yield encode(task, _to_the_gap(frames), on_frame)


def _to_the_gap(frames: Iterator[Frame | None]) -> Iterator[Frame]:
    """The frames up to the None that ends a chunk."""
    for frame in frames:
        if frame is None:
            return
        yield frame
        del frame
