"""Answerprint beside its best peers, all in one run on one machine: one file or folder each; this folder is the list.

A bench is a module with `run(data, quick)` that yields tables. What is compared is always timed in the same run, in
turn, so that a ratio holds where the machine's speed drifts.
"""

from __future__ import annotations

from pathlib import Path

from answerprint.errors import SettingsError
from answerprint.folder import Folder
from answerprint.metrics import tables

_FOLDER = Folder("benchmarks", "bench", SettingsError)
names, summary = _FOLDER.names, _FOLDER.summary


def run(name: str, output: Path, data: Path | None = None, quick: bool = False) -> bool:
    """Runs a bench, prints its tables and writes them as HTML and JSON, each as soon as it is measured.

    Args:
        name: of the bench.
        output: folder for `NAME.html` and `NAME.json`.
        data: folder of test footage, for benches that need it.
        quick: fewer frames; figures are a first look.

    Returns:
        Whether every target was met.

    Raises:
        SettingsError: there is no such bench.
    """
    measured: list[tables.Table] = []
    for table in _FOLDER.load(name).run(data, quick):
        table.print()
        measured.append(table)
        # After each: what an hour has measured outlives a run that is stopped.
        output.mkdir(parents=True, exist_ok=True)
        tables.write(measured, output / f"{name}.html", output / f"{name}.json", title=f"make bench NAME={name}")
    return all(table.met for table in measured)
