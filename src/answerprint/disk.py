"""Files that stand whole under their names or not at all: written beside, synced to the disk, then moved into place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO


def write(path: Path, data: str | bytes, errors: str = "strict") -> None:
    """Writes a file; where that fails nothing new stands under its name, and nothing is left beside it.

    Args:
        path: of the file; a link of that name is replaced, not followed.
        data: its contents; text is written as UTF-8.
        errors: what becomes of letters that UTF-8 lacks, as in `str.encode`.

    Raises:
        OSError: it cannot be written.
    """
    contents = data if isinstance(data, bytes) else data.encode("utf-8", errors)
    with _beside(path) as file:
        file.write(contents)


def copy(source: Path, path: Path) -> None:
    """Copies a file, as `write` writes one; it is never in memory as a whole.

    Raises:
        OSError: it cannot be read or written.
    """
    with source.open("rb") as original, _beside(path) as file:
        shutil.copyfileobj(original, file)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    """A file to be written that takes the name when all went well, and is gone otherwise."""
    number, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
        part.chmod(0o666 & ~_umask())  # a temporary file is private to its owner, a document is not
        publish(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The permissions that this process withholds from new files."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def create(path: Path) -> None:
    """Makes an empty file that nothing else can be: what stood there, a link too, is removed and not followed.

    Raises:
        OSError: it cannot be made; a folder stands there.
    """
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), 0o666))


def publish(part: Path, path: Path) -> None:
    """Gives a file or a folder of files its name when all of it is on the disk; a power cut leaves all or nothing.

    Raises:
        OSError: it cannot be synced or moved.
    """
    if part.is_dir():
        for file in part.iterdir():
            sync(file)
    sync(part)
    part.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file, or the list of names in a folder, is on the disk.

    Raises:
        OSError: it cannot be written there, the disk is full.
    """
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders, and keeps their names itself
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        # Some network drives cannot sync a folder; of a file it would be a loss.
        if not path.is_dir():
            raise error
    finally:
        os.close(number)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder, if it is there; a link is not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder with their names.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    listing = [f"{file.name}\0{digest(file)}" for file in sorted(path.iterdir())]
    return hashlib.sha256("\n".join(listing).encode("utf-8", "surrogateescape")).hexdigest()


def stamp(files: Iterable[Path]) -> str:
    """A mark of the names, sizes and times of files: as long as it stays, so do their contents.

    Raises:
        OSError: one is not there.
    """
    marks = hashlib.sha256()
    for file in files:
        facts = file.stat()
        marks.update(f"{file.name}\0{facts.st_size} {facts.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return marks.hexdigest()[:32]
