"""Planes of a shot on disk, by the frame: parts are read without the rest, and nothing stays in memory."""

from __future__ import annotations

import errno
import tempfile
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from answerprint.errors import MediaError
from answerprint.motion.propagate import Box

Array = NDArray[Any]


_LOW, _HIGH = -0.5, 1.5  # values that 16 bits hold to 3e-5 of full scale


class _Room:
    """A file without a name, gone when closed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="answerprint-inpaint-")  # noqa: SIM115

    def put(self, place: int, planes: Array) -> None:
        """Writes an array at a place in bytes."""
        try:
            self._file.seek(place)
            self._file.write(planes.data)
        except OSError as error:
            _refuse(error)

    def get(self, place: int, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Reads an array from a place in bytes."""
        result = np.empty(shape, dtype)
        self._file.seek(place)
        if self._file.readinto(result.data.cast("B")) != result.nbytes:
            raise IndexError(f"nothing was written at byte {place}")
        return result

    def end(self) -> int:
        """Place behind all that was written."""
        return self._file.seek(0, 2)

    def close(self) -> None:
        """Frees the disk."""
        try:
            self._file.close()
        except OSError as error:  # what was still to be written found no room
            _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    if error.errno != errno.ENOSPC:
        raise error
    raise MediaError(
        f"{tempfile.gettempdir()}: the disk is full; the frames of a shot are kept there while it is worked on: "
        "name another folder by the environment variable TMPDIR"
    ) from None


class Store:
    """One array for each frame, all of one shape.

    Args:
        shape: of the arrays, lines and columns first.
        dtype: of their values.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._line = int(np.prod(shape[1:])) * self.dtype.itemsize
        self._room = _Room()

    def write(self, number: int, planes: Array) -> None:
        """Keeps the array of a frame."""
        self._room.put(number * self.shape[0] * self._line, np.ascontiguousarray(planes, self.dtype))

    def read(self, number: int, box: Box | None = None) -> Array:
        """The array of a frame, or that part of it."""
        top, bottom = (0, self.shape[0]) if box is None else (box.top, box.bottom)
        place = (number * self.shape[0] + top) * self._line
        result = self._room.get(place, (bottom - top, *self.shape[1:]), self.dtype)
        return result if box is None else np.ascontiguousarray(result[:, box.left : box.right])

    def close(self) -> None:
        """Frees the disk."""
        self._room.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pictures:
    """One picture (H, W, 3) for each frame, in 16 bits where these hold it to 3e-5 of full scale, else as floats.

    Args:
        height: in pixels.
        width: in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self.shape = (height, width, 3)
        self._narrow, self._wide = Store(self.shape, np.uint16), Store(self.shape, np.float32)
        self._wide_numbers = set[int]()

    def write(self, number: int, picture: Array) -> None:
        """Keeps the picture of a frame."""
        if picture.min() >= _LOW and picture.max() < _HIGH:
            self._narrow.write(number, np.rint((picture - _LOW) * np.float32(65535 / (_HIGH - _LOW))))
            self._wide_numbers.discard(number)
        else:
            self._wide.write(number, picture)
            self._wide_numbers.add(number)

    def read(self, number: int, box: Box | None = None) -> NDArray[np.float32]:
        """The picture of a frame, or that part of it."""
        if number in self._wide_numbers:
            return self._wide.read(number, box)
        step = np.float32((_HIGH - _LOW) / 65535)
        return np.asarray(self._narrow.read(number, box).astype(np.float32) * step + np.float32(_LOW), np.float32)

    def close(self) -> None:
        """Frees the disk."""
        self._narrow.close()
        self._wide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Patched:
    """Pictures of which a part of each frame has been replaced; the last part that was written counts.

    Args:
        pictures: the pictures, which stay as they are.
    """

    def __init__(self, pictures: Pictures) -> None:
        self.shape = pictures.shape
        self._pictures, self._room = pictures, _Room()
        self._parts: dict[int, tuple[int, Box]] = {}

    def write(self, number: int, box: Box, part: Array) -> None:
        """Replaces that part (h, w, 3) of a frame, and what was replaced of it before."""
        place, before = self._parts.get(number, (-1, box))
        if before != box or place < 0:
            place = self._room.end()
        self._room.put(place, np.ascontiguousarray(part, np.float32))
        self._parts[number] = place, box

    def read(self, number: int, box: Box | None = None) -> NDArray[np.float32]:
        """The picture of a frame, or that part of it."""
        whole = self._pictures.read(number, box)
        if number not in self._parts:
            return whole
        place, patch = self._parts[number]
        area = Box(0, self.shape[0], 0, self.shape[1]) if box is None else box
        top, bottom = max(area.top, patch.top), min(area.bottom, patch.bottom)
        left, right = max(area.left, patch.left), min(area.right, patch.right)
        if top < bottom and left < right:
            width, height = patch.size
            part = self._room.get(place, (height, width, 3), np.float32)
            whole[top - area.top : bottom - area.top, left - area.left : right - area.left] = part[
                top - patch.top : bottom - patch.top, left - patch.left : right - patch.left
            ]
        return whole

    def close(self) -> None:
        """Frees the disk."""
        self._room.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
