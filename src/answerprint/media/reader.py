"""Footage in: a file or a sequence of pictures as frames, from any place, on exact time.

    clip = reader.open("scene.mov")
    for frame in clip.frames(100, 200): ...

A frame is bit for bit the same whether it was reached by seeking or by decoding from the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Unpack

from answerprint.frame import Frame
from answerprint.media.ahead import LARGE, ahead
from answerprint.media.file import open_file
from answerprint.media.info import ClipInfo
from answerprint.media.pictures.names import is_sequence
from answerprint.media.sequence import open_sequence
from answerprint.media.source import FrameSource, Overrides

_AHEAD = 2  # frames decoded before they are asked for


class Clip:
    """Footage that frames can be read from, in any process: it holds a path and an index, no open file.

    Opening reads packets, not pictures; a clip can be pickled. Its length is its number of frames.

    Attributes:
        path: as it was opened.
        overrides: what the user said of it when it was opened, as text, by the names of `open`'s keywords.
    """

    def __init__(self, source: FrameSource, path: str, overrides: Mapping[str, str]) -> None:
        self._source = source
        self.path = path
        self.overrides = overrides

    @property
    def info(self) -> ClipInfo:
        """All that is known of the clip."""
        return self._source.info

    @property
    def times(self) -> Sequence[Fraction]:
        """Presentation time of every frame in seconds from the first, exact."""
        return self._source.times

    def __len__(self) -> int:
        return len(self._source.times)

    def __repr__(self) -> str:
        return f"Clip({self.info.path!r}, {len(self)} frames)"

    def frames(
        self, start: int = 0, stop: int | None = None, *, threads: int | None = None, quantizers: bool = False
    ) -> Iterator[Frame]:
        """Frames [start, stop), clamped to the clip, decoded ahead in a background thread.

        Args:
            start: number of the first frame.
            stop: number after the last frame; None for the end of the clip.
            threads: threads of the decoder; None for as many as there are processors.
            quantizers: whether `Origin.steps` are wanted; H.264 then no longer decodes several frames at a time.

        Raises:
            MediaError: a frame cannot be decoded; the message names it.
        """
        stop = len(self) if stop is None else min(stop, len(self))
        start = max(start, 0)
        if start >= stop:
            return iter(())
        large = self.info.width * self.info.height > LARGE
        return ahead(self._source.read(start, stop, threads, quantizers), 1 if large else _AHEAD)

    def files(self, start: int, stop: int) -> Sequence[str]:
        """Paths of the files that frames [start, stop) are read from."""
        return self._source.files(start, stop)

    def damage(self, start: int, stop: int) -> tuple[str, ...]:
        """Damaged frames of [start, stop) that were read all the same, one line each."""
        return tuple(text for number, text in sorted(self._source.damage.items()) if start <= number < stop)

    def content(self, start: int, stop: int) -> str:
        """A hash of the stored bytes that frames [start, stop) are decoded from; nothing is decoded.

        Raises:
            MediaError: they cannot be read.
        """
        return self._source.content(start, stop)


def open(path: str | Path, **overrides: Unpack[Overrides]) -> Clip:  # the name that reads well as reader.open
    """Opens a video file, a sequence of pictures or a single still.

    Args:
        path: a file; a pattern (`shot.%04d.exr`, `shot.####.dpx`); a folder that holds one sequence; a still.
        matrix: Y'CbCr matrix to use instead of the file's ("bt709", "smpte170m", "bt2020nc", ...).
        range: "limited" or "full" instead of the file's.
        siting: chroma siting to use instead of the file's ("left", "center", "topleft", ...).
        rate: frames per second of a sequence (24 by default), or a constant rate for a file instead of its own.
        field_order: "progressive", "tff" or "bff" instead of the file's.
        incomplete: "error" refuses a file that is cut off, "keep" keeps what is there. By default MXF and transport
            streams, which are made to be read while they grow, are kept, the others refused.
        damaged: "error" refuses frames that the decoder or their checksum calls damaged, "keep" keeps them as decoded
            and says which they are. By default as `incomplete`, where that is given, else "error".
        nonfinite: "error" (default) refuses NaN and infinity in float pictures, "zero" puts 0 in their place.
        layer: name of the layer or part of pictures to read instead of the main one.

    Raises:
        NotMediaError: the path holds no footage.
        MediaError: the footage is broken, cut off or unreadable; for sequences, pictures are missing or differ in size.
        SettingsError: an override does not exist or does not fit the footage.
    """
    names = Overrides.__annotations__
    if unknown := overrides.keys() - names.keys():
        raise TypeError(f"open() got an unexpected keyword argument '{min(unknown)}'; allowed: {', '.join(names)}")
    path = str(path)
    values = {name: overrides.get(name) for name in names}
    if values["nonfinite"] == "error":
        values["nonfinite"] = None
    text = {name: str(value) for name, value in values.items() if value is not None}
    return Clip(open_sequence(path, overrides) if is_sequence(path) else open_file(path, overrides), path, text)
