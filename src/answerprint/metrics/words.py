"""Decisions, values and figures in words, for reports and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from answerprint import settings
from answerprint.metrics.plain import to_json
from answerprint.operation import Operation
from answerprint.settings import Settings

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class ValueRow:
    """One parameter or finding as it was used.

    Attributes:
        name: its key in the decision list.
        value: the value that was rendered with.
        default: of its field; None for a finding that has none.
        help: of its field.
    """

    name: str
    value: Any
    default: Any = None
    help: str = ""


@dataclass(frozen=True)
class OperationReport:
    """The parameters and findings of one operation in one shot.

    Attributes:
        name: the operation's name.
        summary: its first line of documentation.
        enabled: whether it worked on this shot.
        locked: whether a person locked the decision.
        params: as they were used.
        findings: of analysis, or as a person changed them.
        sentences: the decision in words.
    """

    name: str
    summary: str = ""
    enabled: bool = True
    locked: bool = False
    params: tuple[ValueRow, ...] = ()
    findings: tuple[ValueRow, ...] = ()
    sentences: tuple[str, ...] = ()


def describe(
    operation: Operation,
    params: Settings,
    findings: Settings | None = None,
    *,
    enabled: bool = True,
    locked: bool = False,
) -> OperationReport:
    """The parameters and findings of an operation, as rows and in words, read from its own fields."""
    return OperationReport(
        name=operation.name,
        summary=operation.summary,
        enabled=enabled,
        locked=locked,
        params=tuple(rows(params)),
        findings=tuple(rows(findings)) if findings is not None else (),
        sentences=sentences(operation.name, params, findings, enabled=enabled, locked=locked),
    )


def rows(table: Settings) -> Iterator[ValueRow]:
    """The values of a table beside their defaults."""
    for value in settings.values(type(table)):
        yield ValueRow(value.name, to_json(getattr(table, value.name)), to_json(value.default), value.help)


def sentences(
    name: str, params: Settings, findings: Settings | None = None, *, enabled: bool = True, locked: bool = False
) -> tuple[str, ...]:
    """A decision in sentences, made from the help and the values of any operation's fields.

    Values that differ from their defaults come first, then the findings, then the defaults.
    """
    if not enabled:
        return (f"{_title(name)} is switched off in this shot.",)
    changed = [row for row in rows(params) if row.value != row.default]
    default = [row for row in rows(params) if row.value == row.default]
    lines = [f"{_title(name)} was locked by a person: analysis did not touch it."] if locked else []
    lines += [f"{_meaning(row)}: {say(row.value)}{_instead(row)}." for row in changed]
    lines += [f"Found: {_lower(_meaning(row))}: {say(row.value)}." for row in rows(findings)] if findings else []
    if default and changed:
        lines.append("Left at the default: " + ", ".join(f"{spaced(r.name)} {say(r.value)}" for r in default) + ".")
    elif default:
        lines.append("All at the default: " + ", ".join(f"{spaced(r.name)} {say(r.value)}" for r in default) + ".")
    return tuple(lines)


def say(value: Any) -> str:
    """A value as a person reads it: four significant digits, long lists as their count and span."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{spaced(str(key))} {say(entry)}" for key, entry in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return _say_list(value)
    return str(value) if str(value) else "none"


def _say_list(value: Sequence[Any]) -> str:
    if not value:
        return "none"
    numbers = [float(entry) for entry in value if isinstance(entry, (int, float)) and not isinstance(entry, bool)]
    if len(value) > 12 and len(numbers) == len(value):
        return f"{len(value)} values from {number(min(numbers))} to {number(max(numbers))}"
    if len(value) > 12 or any(isinstance(entry, (list, tuple, Mapping)) for entry in value):
        first = "; ".join(say(entry) for entry in value[:4])
        return first if len(value) <= 4 else f"{len(value)} entries: {first}; …"
    return ", ".join(say(entry) for entry in value)


def number(value: float) -> str:
    """Four significant digits, with a true minus sign."""
    if not math.isfinite(value):
        return "not a finite number"
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}", 1) if value < 0 else f"{value:.4g}"


def spaced(name: str) -> str:
    """A field's name with spaces for its underscores."""
    return name.replace("_", " ")


def _title(name: str) -> str:
    text = spaced(name)
    return text[:1].upper() + text[1:]


def _meaning(row: ValueRow) -> str:
    """The first sentence of a field's help, or its name."""
    first = row.help.strip().split(". ")[0].rstrip(". ")
    return _title(first) if first else _title(row.name)


def _lower(text: str) -> str:
    """Without its capital, unless it is an acronym or a symbol ("RGB", "L*")."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _instead(row: ValueRow) -> str:
    return "" if row.default is None else f", where the default is {say(row.default)}"


def percent(share: float) -> str:
    """A share 0..1 as a percentage that never rounds something to nothing."""
    percent = share * 100
    if 0 < percent < 0.01:
        return "under 0.01 %"
    return f"{percent:.2f} %" if percent < 10 else f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as "3.2 s", "4 min 05 s" or "2 h 10 min"."""
    if not math.isfinite(seconds):
        return "not known"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def cell_text(cell: Cell) -> str:
    """A cell as a person reads it: four significant digits and no exponent in between."""
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.0f}" if 1000 <= abs(cell) < 1e9 else f"{cell:.4g}"
    return str(cell)
