"""What an executor takes and gives: chunk tasks in, each task's result out as it is done, in any order."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch

from answerprint import disk
from answerprint.errors import MediaError
from answerprint.frame import Frame
from answerprint.media.presets import Delivery
from answerprint.media.reader import Clip
from answerprint.media.writer.chunk import ChunkWriter
from answerprint.render.ledger import ChunkResult
from answerprint.render.pipeline import Step, chunk_reach, render_chunk
from answerprint.shots.boundary import ShotRange


@dataclass(frozen=True)
class Chunk:
    """Frames of one shot that are rendered in one piece.

    Attributes:
        clip: the source.
        shot: the shot that holds it.
        steps: the shot's chain.
        start, stop: source frames [start, stop).
        device: name of the torch device.
    """

    clip: Clip
    shot: ShotRange
    steps: tuple[Step, ...]
    start: int
    stop: int
    device: str

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def reach(self) -> tuple[int, int]:
        """Source frames [first, last) that it is made from, with the handles of its chain."""
        return chunk_reach(self.shot, self.steps, self.start, self.stop)

    @property
    def end(self) -> Fraction | None:
        """The time from which frames belong to what follows; None where nothing of the shot does."""
        return self.clip.times[self.stop] if self.stop < self.shot.stop else None

    def until(self, stop: int) -> Chunk:
        """The same with another end."""
        return replace(self, stop=stop)

    def stamp(self) -> str:
        """Names, sizes and times of the source files that it is made from.

        Raises:
            MediaError: one is gone.
        """
        try:
            return disk.stamp(Path(path) for path in self.clip.files(*self.reach))
        except OSError as error:
            raise MediaError(f"{error.filename}: cannot be read: {error.strerror or error}") from None

    def content(self) -> str:
        """A hash of the source's bytes that it is made from."""
        return self.clip.content(*self.reach)

    def where(self) -> str:
        """In words."""
        return f"frames {self.start} to {self.stop - 1} of shot {self.shot.name}"

    def frames(self) -> Generator[Frame, None, None]:
        """The frames as its chain leaves them."""
        return render_chunk(self.clip, self.shot, self.steps, self.start, self.stop, torch.device(self.device))


@dataclass(frozen=True)
class ChunkTask:
    """All that is needed to render one chunk anywhere.

    Attributes:
        key: the chunk's name in the ledger.
        chunk: which frames.
        file: where its encoded frames go.
        delivery: how they are encoded.
        stamp: of the source files when the job was planned.
    """

    key: str
    chunk: Chunk
    file: Path
    delivery: Delivery
    stamp: str


def runs(tasks: Sequence[ChunkTask]) -> list[list[ChunkTask]]:
    """The tasks in runs of chunks that follow each other in one shot: one pass through the chain makes a run.

    A chunk alone costs its handles besides, which is more than its own frames where the chain looks far.
    """
    grouped: list[list[ChunkTask]] = []
    for task in tasks:
        before = grouped[-1][-1].chunk if grouped else None
        if before is not None and before.shot == task.chunk.shot and before.stop == task.chunk.start:
            grouped[-1].append(task)
        else:
            grouped.append([task])
    return grouped


class Opening(Iterator[Frame]):
    """The frames of a job's first shot, begun before the rest: the first frame says what the delivery must carry.

    Attributes:
        first: the first frame, until it is taken; None where the chain drops all.
    """

    def __init__(self, chunk: Chunk) -> None:
        self._frames = chunk.frames()
        self.first = next(self._frames, None)

    def __next__(self) -> Frame:
        if self.first is None:
            return next(self._frames)
        frame, self.first = self.first, None
        return frame

    def close(self) -> None:
        """Lets go of the source."""
        self.first = None
        self._frames.close()


def encode(task: ChunkTask, frames: Iterator[Frame], on_frame: Callable[[], None]) -> ChunkResult:
    """Writes the frames of one chunk into its file.

    Args:
        task: the chunk.
        frames: its frames, in order.
        on_frame: called for every frame that has been encoded.

    Raises:
        MediaError: the source changed meanwhile.
    """
    start, count = time.monotonic(), 0
    with ChunkWriter(task.file, task.delivery) as writer:
        for frame in frames:
            writer.write(frame)
            del frame
            count += 1
            on_frame()
    content = task.chunk.content()
    if task.chunk.stamp() != task.stamp:
        raise MediaError(
            f"{task.chunk.clip.path}: changed while {task.chunk.where()} were read; run the same command again when "
            "the source is whole"
        )
    return ChunkResult(
        task.key,
        count,
        time.monotonic() - start,
        disk.digest(task.file) if count else "",
        task.stamp,
        content,
        task.chunk.clip.damage(task.chunk.start, task.chunk.stop),
    )
