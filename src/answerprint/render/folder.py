"""The folder of a job: what in it is the job's own. Nothing else in it is read, followed or removed."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from answerprint import disk
from answerprint.errors import JobError

_OWN = ("lock", "ledger.sqlite", "ledger.sqlite-journal", "decisions.toml", "decisions.assets", "chunks")
_CHUNK = re.compile(r"([0-9a-f]{24})|\.([0-9a-f]{24})\.part")


def prepare(folder: Path) -> None:
    """Makes the folder of a job.

    Raises:
        JobError: it cannot be made, or it or something of the job in it is a link: a job would write and delete there.
    """
    check(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "chunks").mkdir(exist_ok=True)
    except OSError as error:
        raise JobError(f"{folder}: cannot keep the job here: {error.strerror or error}") from None


def check(folder: Path) -> None:
    """Refuses links.

    Raises:
        JobError: the folder or something of the job in it is one.
    """
    for path in (folder, *(folder / name for name in _OWN)):
        if path.is_symlink():
            raise JobError(f"{path}: is a link, and a job follows none; remove it, then run the command again")


def decision_list(folder: Path) -> Path:
    """The decision list of a job that has none elsewhere."""
    return folder / "decisions.toml"


def chunk_path(folder: Path, key: str) -> Path:
    """The file, or the folder of pictures, of a chunk."""
    return folder / "chunks" / key


def drop_chunks(folder: Path, current: set[str]) -> None:
    """Removes the chunks of other keys, and halves of chunks that a kill left."""
    for path in (folder / "chunks").iterdir():
        match = _CHUNK.fullmatch(path.name)
        if match is not None and match[1] not in current:
            disk.remove(path)


def remove(folder: Path) -> None:
    """Removes what a job made; the folder stays where something else lies in it."""
    drop_chunks(folder, set())
    for name in _OWN:
        if name != "chunks":
            disk.remove(folder / name)
    with contextlib.suppress(OSError):  # not empty
        (folder / "chunks").rmdir()
        folder.rmdir()
