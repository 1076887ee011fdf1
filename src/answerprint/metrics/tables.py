"""Tables of measurements: printed on a terminal, written as HTML with plots and as JSON.

table = Table("grade on UHD", ("what", "ms"), (("ours", 21.0), ("lut3d", 17.0)), targets=(at_most("ratio", 1.24, 1.3),))
table.print()
write([table], Path("media.html"), Path("media.json"), title="make bench NAME=media")
"""

from __future__ import annotations

import json as jsonlib
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from answerprint.metrics import page
from answerprint.metrics.plain import to_json
from answerprint.metrics.plots import BarPlot, LinePlot, PicturePlot
from answerprint.metrics.words import Cell, cell_text

if TYPE_CHECKING:
    from rich.console import Console

FORMAT = "answerprint.bench/1"
_FILE_WIDTH = 260  # characters of a line, where the output is no terminal


@dataclass(frozen=True)
class Target:
    """A bound that a measurement must meet.

    Attributes:
        name: of the measurement.
        figure: its result; None where it could not be measured, which counts as missed.
        bound: the figure asked for.
        sense: whether the figure must be at most, at least or equal to `bound`.
        unit: of both figures.
    """

    name: str
    figure: float | None
    bound: float
    sense: Literal["at most", "at least", "exactly"]
    unit: str = ""

    @property
    def met(self) -> bool:
        if self.figure is None or not math.isfinite(self.figure):
            return False
        if self.sense == "exactly":
            return self.figure == self.bound
        return self.figure <= self.bound if self.sense == "at most" else self.figure >= self.bound

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name}: {cell_text(self.figure)}{unit}, asked for {self.sense} {cell_text(self.bound)}{unit}"


def at_most(name: str, figure: float | None, bound: float, unit: str = "") -> Target:
    """A target that is met by `figure` up to `bound`."""
    return Target(name, figure, bound, "at most", unit)


def at_least(name: str, figure: float | None, bound: float, unit: str = "") -> Target:
    """A target that is met by `figure` from `bound` on."""
    return Target(name, figure, bound, "at least", unit)


@dataclass(frozen=True)
class Table:
    """One table of measurements.

    Attributes:
        title: what was measured.
        columns: heads of the columns.
        rows: cells; numbers stay numbers, None where nothing could be measured.
        notes: how it was measured, what to keep in mind.
        targets: what was asked of it.
        plots: shown in the page.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    targets: Sequence[Target] = ()
    plots: Sequence[LinePlot | BarPlot | PicturePlot] = field(default=())

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table '{self.title}': {len(self.columns)} columns, but a row has {len(row)}: {row}")

    @property
    def met(self) -> bool:
        """True where every target was met."""
        return all(target.met for target in self.targets)

    def print(self, console: Console | None = None) -> None:
        """Prints the table, its notes and its targets; figures to the right, words to the left."""
        from rich import box
        from rich.console import Console
        from rich.table import Table as Grid
        from rich.text import Text

        if console is None:
            # A file or a pipe has no width, and rich would cut the columns to 80 characters.
            console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
        grid = Grid(title=Text(self.title), title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
        for index, head in enumerate(self.columns):
            grid.add_column(Text(head), justify="right" if self._holds_figures(index) else "left", overflow="fold")
        for row in self.rows:
            grid.add_row(*(Text(cell_text(cell)) for cell in row))
        console.print(grid)
        for note in self.notes:
            console.print(Text(f"  {note}", style="dim"))
        for target in self.targets:
            console.print(
                Text(f"  {'met   ' if target.met else 'MISSED'}  {target}", style="" if target.met else "bold")
            )

    def plain(self) -> dict[str, Any]:
        """The table as JSON carries it; what is not finite is null."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [[to_json(cell) for cell in row] for row in self.rows],
            "notes": list(self.notes),
            "targets": [_target_json(target) for target in self.targets],
            "met": self.met,
        }

    def view(self) -> dict[str, Any]:
        """The table as the page shows it."""
        return {
            "title": self.title,
            "heads": [(head, self._holds_figures(index)) for index, head in enumerate(self.columns)],
            "rows": [[(cell_text(cell), self._holds_figures(i)) for i, cell in enumerate(row)] for row in self.rows],
            "notes": self.notes,
            "targets": [(target.met, str(target)) for target in self.targets],
            "plots": [plot.svg() for plot in self.plots],
        }

    def _holds_figures(self, index: int) -> bool:
        cells = [row[index] for row in self.rows if row[index] is not None]
        return bool(cells) and all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in cells)


def write(tables: Sequence[Table], html: Path, json: Path, title: str = "benchmarks") -> None:
    """Writes tables as one page that opens offline, and as JSON under `"format": "answerprint.bench/1"`.

    Raises:
        DeliveryError: a file cannot be written.
    """
    about = {**page.versions(), "processors": str(os.cpu_count()), "processor": _processor()}
    data = {
        "format": FORMAT,
        "title": title,
        "met": all(table.met for table in tables),
        "versions": about,
        "tables": [table.plain() for table in tables],
    }
    page.put(Path(json), jsonlib.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    page.put(
        Path(html), page.fill("tables.html", title=title, tables=[table.view() for table in tables], versions=about)
    )


def _target_json(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "measured": to_json(target.figure),
        "sense": target.sense,
        "bound": to_json(target.bound),
        "unit": target.unit,
        "met": target.met,
    }


def _processor() -> str:
    """The name of the processor where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
