"""The matte of who hangs on a wire: nothing is changed where it is white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.operations.inpaint.masks import covered


class Body:
    """Mattes of a clip by time, or one for all frames.

    Args:
        path: picture, sequence or clip.

    Raises:
        MediaError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._clip = reader.open(path, nonfinite="zero")
        except MediaError as error:
            raise MediaError(f"body {error}") from error
        self._numbers = {time: number for number, time in enumerate(self._clip.times)}

    def at(self, frame: Frame) -> NDArray[np.bool_]:
        """The matte (H, W) of a frame.

        Raises:
            SettingsError: there is none for its time, or it is of another size.
        """
        number = 0 if len(self._clip) == 1 else self._numbers.get(frame.time)
        if number is None:
            raise SettingsError(f"body {self._path}: holds no picture for the frame at {float(frame.time):.3f} s")
        picture = next(iter(self._clip.frames(number, number + 1)))
        if (picture.height, picture.width) != (frame.height, frame.width):
            raise SettingsError(
                f"body {self._path}: is {picture.width}x{picture.height}, the clip {frame.width}x{frame.height}; "
                "give mattes of the clip's size"
            )
        return covered(picture)
