"""Frames straight to an output, without a job."""

from __future__ import annotations

import os
import queue
import threading
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from answerprint import disk
from answerprint.errors import DeliveryError
from answerprint.frame import Frame
from answerprint.media.presets import Delivery
from answerprint.media.writer.checks import check_not_source
from answerprint.media.writer.chunk import ChunkWriter
from answerprint.media.writer.files import Output
from answerprint.media.writer.join import join

if TYPE_CHECKING:
    from answerprint.media.reader import Clip


class Writer(Output):
    """Frames straight to an output: `ChunkWriter` and `join` in one, encoding in a thread of its own.

    Args:
        out: the output.
        delivery: how.
        source: whose sound, subtitles, chapters, metadata and timecode come along.

    Attributes:
        notes: after closing, what could not be brought along, one sentence each.
    """

    def __init__(self, out: Path | str, delivery: Delivery, source: Clip | None = None) -> None:
        self.out, self.delivery, self.source = Path(out), delivery, source
        self.notes: list[str] = []
        if source is not None:
            check_not_source(self.out, Path(source.info.path))
        self._chunk = self.out.with_name(f".{self.out.name.replace('%', '_')}.{os.getpid()}.chunk")
        self._writer = ChunkWriter(self._chunk, delivery, self.out)
        self._frames: queue.Queue[Frame | None] = queue.Queue(maxsize=3)
        self._error: BaseException | None = None
        self._first: Fraction | None = None
        self._last = Fraction(0)
        self._thread = threading.Thread(target=self._encode, name="encode", daemon=True)
        self._thread.start()

    def write(self, frame: Frame) -> None:
        """Hands a frame to the encoder; waits while three are in line.

        Raises:
            DeliveryError: an earlier frame could not be written.
        """
        if self._error is not None:
            raise self._error
        self._first = frame.time if self._first is None else self._first
        self._last = frame.time
        self._frames.put(frame)

    def close(self) -> None:
        """Finishes the output and moves it into place."""
        self._frames.put(None)
        self._thread.join()
        try:
            if self._error is not None:
                raise self._error
            if self._first is None:
                raise DeliveryError(f"{self.out}: there are no frames to write")
            self._writer.close()
            stop = self._last + 1 / self.delivery.rate
            self.notes = join([self._chunk], self.out, self.delivery, self.source, self._first, stop)
        finally:
            self._writer.discard()
            disk.remove(self._chunk)

    def discard(self) -> None:
        """Removes what was written; nothing is left."""
        self._frames.put(None)
        self._thread.join()
        self._writer.discard()
        disk.remove(self._chunk)

    def _encode(self) -> None:
        while (frame := self._frames.get()) is not None:
            if self._error is None:
                try:
                    self._writer.write(frame)
                except BaseException as error:  # handed to the thread that writes
                    self._error = error
