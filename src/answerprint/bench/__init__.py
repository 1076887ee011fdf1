"""Measuring Answerprint beside the best peers, all in one run on one machine: one file each; this folder is the list.

A bench is a module with `run(data, quick)` that gives tables, one after the other. What is compared is always timed in
the same run, in turn, so that a ratio holds where the machine's speed drifts.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from answerprint.errors import SettingsError
from answerprint.metrics import tables

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The benches there are."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def run(what: str, output: Path, data: Path | None = None, quick: bool = False) -> bool:
    """Runs a bench, prints its tables and writes them as HTML and JSON, each as soon as it is measured.

    Args:
        what: name of the bench.
        output: folder for `WHAT.html` and `WHAT.json`.
        data: folder of test footage, for benches that need it.
        quick: fewer frames; figures are a first look.

    Returns:
        Whether every target was met.

    Raises:
        SettingsError: there is no such bench.
    """
    if what not in names():
        raise SettingsError(f"unknown bench '{what}'; there are: {', '.join(names())}")
    module = importlib.import_module(f"answerprint.bench.{what}")
    made: list[tables.Table] = []
    for table in module.run(data, quick):
        table.print()
        made.append(table)
        # After each: what an hour has measured outlives a run that is stopped.
        output.mkdir(parents=True, exist_ok=True)
        tables.write(made, output / f"{what}.html", output / f"{what}.json", title=f"answerprint bench {what}")
    return all(table.met for table in made)
