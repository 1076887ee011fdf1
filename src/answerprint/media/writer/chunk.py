"""Chunks of a job: one file (or one folder of pictures) each, that is complete or not there.

Times in a chunk count from its first frame; that frame's own time stands in the chunk's metadata, exactly.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import av

from answerprint import disk
from answerprint.frame import Frame
from answerprint.media.presets import Delivery
from answerprint.media.writer.encoder import PictureEncoder, VideoEncoder
from answerprint.media.writer.files import Output, delivery_errors


class ChunkWriter(Output):
    """Encodes the frames of one chunk; use it as a context manager.

    The file (a folder for pictures) gets its name when all frames are in it; nothing is left when an error leaves the
    `with`. Without a frame nothing is made.

    Args:
        path: the chunk to make.
        delivery: how.
        output: what messages name instead of the path.
    """

    def __init__(self, path: Path | str, delivery: Delivery, output: Path | None = None) -> None:
        self.path = Path(path)
        self.delivery = delivery
        self._output = output or self.path
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._encoder: VideoEncoder | PictureEncoder | None = None

    def write(self, frame: Frame) -> None:
        """Encodes one frame; frames come in the order of their times.

        Raises:
            DeliveryError: disk full, folder not writable, a size that the codec cannot take or that changed.
        """
        if self.delivery.format.codec != "openexr":
            frame = frame.displayed()
        with delivery_errors(self._output):
            if self._encoder is None and self.delivery.format.pictures:
                self._encoder = PictureEncoder(self._part, self.delivery)
            elif self._encoder is None:
                self._encoder = VideoEncoder(self._part, self.delivery, frame)
            self._encoder.write(frame)

    def close(self) -> None:
        """Finishes the chunk and gives it its name."""
        if self._encoder is None:
            return
        try:
            with delivery_errors(self._output):
                self._encoder.close()
                if self._part.is_dir() or self.path.is_dir():
                    disk.remove(self.path)  # a folder does not replace anything by itself
                disk.publish(self._part, self.path)
        except BaseException:
            self.discard()
            raise
        self._encoder = None

    def discard(self) -> None:
        """Removes what was written."""
        if self._encoder is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError):
                self._encoder.close()
            self._encoder = None
        disk.remove(self._part)
