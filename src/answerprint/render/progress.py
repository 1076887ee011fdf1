"""Progress of a job: a bar on a terminal, JSON lines on request, else notes only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from answerprint.text import visible


class Watcher(Protocol):
    """Hears how a job gets on."""

    def begin(self, phase: str, total: int, already: int = 0) -> None:
        """A phase of `total` frames (or other steps) begins; `already` of them were done by an earlier run."""

    def advance(self, count: int = 1) -> None:
        """So many more are done."""

    def note(self, text: str) -> None:
        """Something worth knowing: a policy that was applied, something that could not be carried."""

    def status(self, text: str) -> None:
        """A line on the work of this moment, of no worth afterwards."""


class Silent:
    """Drops all that it hears."""

    def begin(self, phase: str, total: int, already: int = 0) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def note(self, text: str) -> None: ...

    def status(self, text: str) -> None: ...


class JsonLines:
    """One JSON object a line on standard output, at most four times a second."""

    def __init__(self) -> None:
        self._phase, self._total, self._done, self._already = "", 0, 0, 0
        self._begun = self._last = time.monotonic()

    def begin(self, phase: str, total: int, already: int = 0) -> None:
        self._phase, self._total, self._done, self._already = phase, total, already, already
        self._begun = time.monotonic()
        self._say()

    def advance(self, count: int = 1) -> None:
        self._done += count
        if time.monotonic() - self._last > 0.25 or self._done >= self._total:
            self._say()

    def note(self, text: str) -> None:
        print(json.dumps({"event": "note", "text": text}), flush=True)

    def status(self, text: str) -> None:
        print(json.dumps({"event": "status", "text": text}), flush=True)

    def _say(self) -> None:
        self._last = time.monotonic()
        rate = (self._done - self._already) / max(self._last - self._begun, 1e-6)
        left = (self._total - self._done) / rate if rate > 0 else None
        line = {
            "event": "progress",
            "phase": self._phase,
            "done": self._done,
            "total": self._total,
            "per_second": round(rate, 3),
            "seconds_left": None if left is None else round(left, 1),
        }
        print(json.dumps(line), flush=True)


class Bar:
    """A bar with frames per second and the time that is left, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._task: TaskID | None = None
        self._begun, self._new = 0.0, 0
        self._progress.start()

    def begin(self, phase: str, total: int, already: int = 0) -> None:
        self._begun, self._new = time.monotonic(), 0
        self._task = self._progress.add_task(phase, total=total, completed=already, rate="")

    def advance(self, count: int = 1) -> None:
        if self._task is None:
            return
        self._new += count
        rate = self._new / max(time.monotonic() - self._begun, 1e-6)
        self._progress.update(self._task, advance=count, rate=f"{rate:.1f} fps")

    def note(self, text: str) -> None:
        self._console.print(f"note: {visible(text)}", markup=False, highlight=False)

    def status(self, text: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, rate=visible(text))

    def stop(self) -> None:
        self._progress.stop()


class NoteLines:
    """Only the notes, on standard error: for logs and pipes."""

    def begin(self, phase: str, total: int, already: int = 0) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def note(self, text: str) -> None:
        print(f"note: {visible(text)}", file=sys.stderr, flush=True)

    def status(self, text: str) -> None: ...


@contextmanager
def open_watcher(as_json: bool) -> Iterator[Watcher]:
    """The watcher that fits: JSON lines if asked for, a bar on a terminal, else notes only."""
    console = Console(stderr=True)
    if as_json:
        yield JsonLines()
    elif not console.is_terminal:
        yield NoteLines()
    else:
        bar = Bar(console)
        try:
            yield bar
        finally:
            bar.stop()
