"""Files on their way to their names: all or nothing, and errors in one line."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from answerprint import disk
from answerprint.errors import AnswerprintError, DeliveryError


class Output(ABC):
    """A file that gets its name when the `with` ends well; nothing is left of it when an error leaves the `with`."""

    @abstractmethod
    def close(self) -> None:
        """Finishes the file and gives it its name."""

    @abstractmethod
    def discard(self) -> None:
        """Removes what was written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


def link(file: Path, to: Path) -> None:
    """Gives the same bytes a second name where the file system can, else copies them: a resumed job needs its chunk."""
    disk.remove(to)
    try:
        os.link(file, to)
    except OSError:
        disk.create(to)
        shutil.copyfile(file, to)
        disk.sync(to)


@contextlib.contextmanager
def delivery_errors(path: Path) -> Iterator[None]:
    """Raises errors of the system and of encoders as a DeliveryError: one line with the path."""
    try:
        yield
    except AnswerprintError:
        raise
    except (OSError, av.error.FFmpegError, ValueError) as error:
        raise DeliveryError(f"{path}: {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run it again"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"folder {path.parent} cannot be written to; choose another or mend its permissions"
    if number == errno.ENOENT and not path.parent.exists():
        return f"folder {path.parent} does not exist; make it first"
    if number == errno.ENOTDIR or (number == errno.EEXIST and path.is_dir()):
        return "is in the way of the output: not a folder, or a folder where a file should be"
    return f"cannot be written: {getattr(error, 'strerror', None) or error}"
