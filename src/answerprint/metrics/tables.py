"""Tables of measurements: printed on a terminal, written as HTML with plots and as JSON.

table = Table("grade on UHD", ("what", "ms"), (("ours", 21.0), ("lut3d", 17.0)), targets=(at_most("ratio", 1.24, 1.3),))
table.print()
write([table], Path("media.html"), Path("media.json"), title="make bench NAME=media")
"""

from __future__ import annotations

import base64
import json as jsonlib
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console

FORMAT = "answerprint.bench/1"

Cell = str | int | float | bool | None
_GRAYS = ("#f2f2f2", "#a6a6a6", "#6f6f6f", "#d0d0d0", "#8a8a8a")
_DASHES = ("", "7 4", "2 3", "10 3 2 3", "1 4")  # lines are told apart without color
_WIDE, _HIGH = 560, 250
_IN_A_FILE = 260  # characters of a line, where the output is no terminal
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 30, 42


@dataclass(frozen=True)
class Target:
    """What was asked of a measurement.

    Attributes:
        name: what is measured.
        measured: the figure; None where it could not be measured, which counts as missed.
        bound: the figure asked for.
        sense: whether `measured` must be at most, at least or equal to `bound`.
        unit: of both figures.
    """

    name: str
    measured: float | None
    bound: float
    sense: Literal["at most", "at least", "exactly"]
    unit: str = ""

    @property
    def met(self) -> bool:
        if self.measured is None or not math.isfinite(self.measured):
            return False
        if self.sense == "exactly":
            return self.measured == self.bound
        return self.measured <= self.bound if self.sense == "at most" else self.measured >= self.bound

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name}: {say(self.measured)}{unit}, asked for {self.sense} {say(self.bound)}{unit}"


def at_most(name: str, measured: float | None, bound: float, unit: str = "") -> Target:
    """A target that is met by `measured` up to `bound`."""
    return Target(name, measured, bound, "at most", unit)


def at_least(name: str, measured: float | None, bound: float, unit: str = "") -> Target:
    """A target that is met by `measured` from `bound` on."""
    return Target(name, measured, bound, "at least", unit)


@dataclass(frozen=True)
class Lines:
    """A plot of lines: one sequence of (x, y) per name; points that are not finite are left out."""

    title: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    x: str = ""
    y: str = ""

    def svg(self) -> str:
        """The plot as an SVG element, in grays that need no color to be told apart."""
        kept = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in self.series.items()}
        points = [point for line in kept.values() for point in line]
        if not points:
            return _drawing(self.title, [_text(_WIDE / 2, _HIGH / 2, "nothing was measured", "middle")])
        across, up = _axis([p[0] for p in points]), _axis([p[1] for p in points])
        parts = _grid(across, up, self.x, self.y)
        for index, (name, line) in enumerate(kept.items()):
            path = " ".join(f"{_place_x(x, across):.1f},{_place_y(y, up):.1f}" for x, y in line)
            gray, dash = _GRAYS[index % 5], _DASHES[index % 5]
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{gray}" stroke-width="2" stroke-dasharray="{dash}"/>'
            )
            x = _LEFT + 8 + index * (_WIDE - _LEFT - _RIGHT) / max(len(kept), 1)
            parts.append(
                f'<line x1="{x:.0f}" x2="{x + 22:.0f}" y1="25" y2="25" stroke="{gray}" stroke-width="2"'
                f' stroke-dasharray="{dash}"/>'
            )
            parts.append(_text(x + 27, 29, name))
        return _drawing(self.title, parts)


@dataclass(frozen=True)
class Bars:
    """A plot of bars from zero, one per name; the names in `ours` are drawn bright."""

    title: str
    values: Mapping[str, float]
    unit: str = ""
    ours: Sequence[str] = ()

    def svg(self) -> str:
        """The plot as an SVG element."""
        finite = [value for value in self.values.values() if math.isfinite(value)]
        low, high = min(0.0, *finite, 0.0), max(0.0, *finite, 0.0)
        span = (high - low) or 1.0
        left, wide = 190, _WIDE - 190 - 84
        zero = left + wide * -low / span
        parts = []
        for index, (name, value) in enumerate(self.values.items()):
            y = _TOP + index * 26
            parts.append(_text(left - 10, y + 14, name if len(name) < 30 else name[:28] + "…", "end"))
            if not math.isfinite(value):
                parts.append(_text(zero + 6, y + 14, "not measured"))
                continue
            end = left + wide * (value - low) / span
            gray = _GRAYS[0] if name in self.ours else _GRAYS[2]
            x, width = min(zero, end), max(abs(end - zero), 1)
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="18" fill="{gray}"/>')
            parts.append(_text(max(end, zero) + 6, y + 14, f"{say(value)} {self.unit}".strip()))
        return _drawing(self.title, parts, _TOP + len(self.values) * 26 + 8)


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, with a name under each.

    Attributes:
        title: what they show.
        jpegs: name -> JPEG data, all of one size.
        width, height: of each, in pixels.
    """

    title: str
    jpegs: Mapping[str, bytes]
    width: int
    height: int

    def svg(self) -> str:
        """The pictures as an SVG element that needs no other file."""
        wide = _WIDE / max(len(self.jpegs), 1)
        high = wide * self.height / self.width
        parts = []
        for index, (name, data) in enumerate(self.jpegs.items()):
            uri = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
            x = index * wide
            parts.append(
                f'<image x="{x + 1:.1f}" y="{_TOP - 10}" width="{wide - 2:.1f}" height="{high:.1f}" href="{uri}"/>'
            )
            parts.append(_text(x + wide / 2, _TOP + high + 6, name, "middle"))
        return _drawing(self.title, parts, _TOP + high + 16)


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
    plots: Sequence[Lines | Bars | Pictures] = field(default=())

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table '{self.title}': {len(self.columns)} columns, but a row has {len(row)}: {row}")

    @property
    def met(self) -> bool:
        """Whether every target was met."""
        return all(target.met for target in self.targets)

    def print(self, console: Console | None = None) -> None:
        """Prints the table, its notes and its targets; figures to the right, words to the left."""
        from rich import box
        from rich.console import Console
        from rich.table import Table as Grid
        from rich.text import Text

        if console is None:
            # A file or a pipe has no width, and rich would cut the columns to 80 characters.
            console = Console() if sys.stdout.isatty() else Console(width=_IN_A_FILE)
        grid = Grid(title=Text(self.title), title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
        for index, head in enumerate(self.columns):
            grid.add_column(Text(head), justify="right" if self._holds_figures(index) else "left", overflow="fold")
        for row in self.rows:
            grid.add_row(*(Text(say(cell)) for cell in row))
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
            "rows": [[_plain(cell) for cell in row] for row in self.rows],
            "notes": list(self.notes),
            "targets": [_plain_target(target) for target in self.targets],
            "met": self.met,
        }

    def view(self) -> dict[str, Any]:
        """The table as the page shows it."""
        return {
            "title": self.title,
            "heads": [(head, self._holds_figures(index)) for index, head in enumerate(self.columns)],
            "rows": [[(say(cell), self._holds_figures(i)) for i, cell in enumerate(row)] for row in self.rows],
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
    from answerprint.metrics import report

    about = {**report.versions(), "processors": str(os.cpu_count()), "processor": _processor()}
    data = {
        "format": FORMAT,
        "title": title,
        "met": all(table.met for table in tables),
        "versions": about,
        "tables": [table.plain() for table in tables],
    }
    report.put(Path(json), jsonlib.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    report.put(
        Path(html), report.page("tables.html", title=title, tables=[table.view() for table in tables], versions=about)
    )


def say(cell: Cell) -> str:
    """A cell as a person reads it: four significant digits and no exponent in between."""
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.0f}" if 1000 <= abs(cell) < 1e9 else f"{cell:.4g}"
    return str(cell)


def _plain(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _plain_target(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "measured": _plain(target.measured),
        "sense": target.sense,
        "bound": _plain(target.bound),
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


# ---------------------------------------------------------------- plots


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    ticks: tuple[float, ...]


def _axis(values: Sequence[float]) -> _Axis:
    """An axis over values, with ticks at 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) * 0.5, high + (abs(high) or 1) * 0.5
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(i * step for i in range(first, last + 1))
    return _Axis(ticks[0], ticks[-1], ticks)


def _place_x(value: float, axis: _Axis) -> float:
    return _LEFT + (value - axis.low) / (axis.high - axis.low) * (_WIDE - _LEFT - _RIGHT)


def _place_y(value: float, axis: _Axis) -> float:
    return _HIGH - _BOTTOM - (value - axis.low) / (axis.high - axis.low) * (_HIGH - _BOTTOM - _TOP - 10)


def _grid(across: _Axis, up: _Axis, x: str, y: str) -> list[str]:
    parts = []
    for tick in up.ticks:
        place = _place_y(tick, up)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}" stroke="#3a3a3a"/>')
        parts.append(_text(_LEFT - 7, place + 4, f"{tick:.4g}", "end"))
    parts += [_text(_place_x(tick, across), _HIGH - _BOTTOM + 17, f"{tick:.4g}", "middle") for tick in across.ticks]
    parts.append(_text((_LEFT + _WIDE) / 2, _HIGH - 7, x, "middle"))
    middle = (_HIGH - _BOTTOM + _TOP) / 2
    parts.append(f'<g transform="rotate(-90 13 {middle:.0f})">{_text(13, middle, y, "middle")}</g>')
    return parts


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _drawing(title: str, parts: Sequence[str], height: float = _HIGH) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDE} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f'<text x="0" y="12" class="title">{escape(title)}</text>{"".join(parts)}</svg>'
    )
