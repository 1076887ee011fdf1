"""What of a job is done: one SQLite file in the job's folder, true at any moment, whatever was killed.

A chunk enters the ledger after its file has been written, synced and moved into place. A chunk is known by its key, a
hash of all that its frames depend on, so a changed decision finds the chunks it does not touch still done.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from answerprint.errors import JobError


@dataclass(frozen=True)
class ChunkResult:
    """A chunk that is rendered: how many frames it has and what it cost."""

    key: str
    frames: int
    seconds: float


def _lock(file: int) -> None:
    """Locks an open file for this process.

    Raises:
        OSError: another process has it.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Ledger:
    """The ledger of the job in `folder`; one process at a time holds it.

    Raises:
        JobError: another process is working on this job, or the ledger is damaged or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JobError(f"{folder}: cannot keep the job's ledger here: {error.strerror or error}") from None
        try:
            _lock(self._lock)
        except OSError:
            os.close(self._lock)
            raise JobError(f"{folder}: another answerprint is working on this job; wait for it or stop it") from None
        try:
            self._db = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("CREATE TABLE IF NOT EXISTS chunk (key TEXT PRIMARY KEY, frames INTEGER, seconds REAL)")
            self._db.execute("CREATE TABLE IF NOT EXISTS job (name TEXT PRIMARY KEY, value TEXT)")
        except sqlite3.DatabaseError as error:
            os.close(self._lock)
            raise self._refusal(str(error)) from None

    @property
    def spec(self) -> str | None:
        """What the job was told, as JSON; None where it was stopped before that was written."""
        rows = self._read("SELECT value FROM job WHERE name = 'spec'")
        return str(rows[0][0]) if rows else None

    @spec.setter
    def spec(self, text: str) -> None:
        self._write("INSERT OR REPLACE INTO job VALUES ('spec', ?)", (text,))

    def chunks(self) -> dict[str, ChunkResult]:
        rows = self._read("SELECT key, frames, seconds FROM chunk")
        if not all(
            isinstance(key, str) and isinstance(frames, int) and frames > 0 and isinstance(seconds, (int, float))
            for key, frames, seconds in rows
        ):
            raise self._refusal("it has rows that no job wrote")
        return {key: ChunkResult(key, frames, seconds) for key, frames, seconds in rows}

    def add(self, result: ChunkResult) -> None:
        self._write("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?)", (result.key, result.frames, result.seconds))

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._write("DELETE FROM chunk WHERE key = ?", (key,))

    def _read(self, statement: str) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._refusal(str(error)) from None

    def _refusal(self, reason: str) -> JobError:
        return JobError(f"{self._folder / 'ledger.sqlite'}: {reason}; remove the folder to start over")

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise JobError(
                f"{self._folder}: the ledger cannot be written ({error}); what is done is kept, make room and run again"
            ) from None

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
