"""Planes of a shot on disk, by the frame: parts are read without the rest, and nothing stays in memory."""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from answerprint.motion.propagate import Box

Array = NDArray[Any]


class Store:
    """One array for each frame, all of one shape.

    Args:
        shape: of the arrays, lines and columns first.
        dtype: of their values.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._line = int(np.prod(shape[1:])) * self.dtype.itemsize
        self._file = tempfile.TemporaryFile(prefix="answerprint-inpaint-")  # noqa: SIM115

    def write(self, number: int, planes: Array) -> None:
        """Keeps the array of a frame."""
        self._file.seek(number * self.shape[0] * self._line)
        self._file.write(np.ascontiguousarray(planes, self.dtype).data)

    def read(self, number: int, box: Box | None = None) -> Array:
        """The array of a frame, or that part of it."""
        top, bottom = (0, self.shape[0]) if box is None else (box.top, box.bottom)
        result = np.empty((bottom - top, *self.shape[1:]), self.dtype)
        self._file.seek((number * self.shape[0] + top) * self._line)
        if self._file.readinto(result.data.cast("B")) != result.nbytes:
            raise IndexError(f"frame {number} was never written")
        return result if box is None else np.ascontiguousarray(result[:, box.left : box.right])

    def close(self) -> None:
        """Frees the disk."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
