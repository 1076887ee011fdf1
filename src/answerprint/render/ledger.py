"""What of a job is done: one SQLite file in the job's folder, true at any moment, whatever was killed.

A chunk enters the ledger after its file has been written, synced and moved into place, with the hash of that file and
of what it was made from: a chunk that was damaged since, or whose source changed, is not taken for done. It is known by
its key, a hash of all that its frames depend on besides the source's pictures, so a changed decision finds the chunks
it does not touch still done.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from answerprint.errors import JobError
from answerprint.render.folder import prepare

_FORMAT = 2  # of the tables; chunks of an older ledger are rendered again


@dataclass(frozen=True)
class ChunkResult:
    """A chunk that is rendered.

    Attributes:
        key: its name.
        frames: how many it has; without any it has no file.
        seconds: what it cost.
        digest: of its file, see `disk.digest`; "" without a file.
        stamp: names, sizes and times of the source files that it was made from, see `disk.stamp`.
        content: hash of the bytes in them that its frames were decoded from.
        damage: source frames of it that are damaged, and kept: one line each.
    """

    key: str
    frames: int
    seconds: float
    digest: str = ""
    stamp: str = ""
    content: str = ""
    damage: tuple[str, ...] = ()


def _result(key: object, values: dict[str, Any]) -> ChunkResult:
    """A row of the ledger as a result.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    result = ChunkResult(key, **(values | {"damage": tuple(values["damage"])})) if isinstance(key, str) else None
    if result is None or not isinstance(result.frames, int) or not isinstance(result.seconds, (int, float)):
        raise ValueError(f"{key}: no chunk")
    return result


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
            prepare(folder)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
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
            if self._db.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
                self._db.execute("DROP TABLE IF EXISTS chunk")
                self._db.execute(f"PRAGMA user_version = {_FORMAT}")
            self._db.execute("CREATE TABLE IF NOT EXISTS chunk (key TEXT PRIMARY KEY, result TEXT)")
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
        """The chunks that are done, by key; a row that is none of ours counts as not done."""
        results = {}
        for key, text in self._read("SELECT key, result FROM chunk"):
            try:
                results[key] = _result(key, json.loads(text))
            except (KeyError, TypeError, ValueError):
                continue
        return results

    def add(self, result: ChunkResult) -> None:
        """Writes down a chunk that is done."""
        text = json.dumps({name: value for name, value in asdict(result).items() if name != "key"})
        self._write("INSERT OR REPLACE INTO chunk VALUES (?, ?)", (result.key, text))

    def forget(self, keys: Iterable[str]) -> None:
        """Strikes chunks out."""
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
