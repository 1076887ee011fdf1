"""Tables of settings in the TOML files that people edit: written with help, read with line numbers, as JSON schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from answerprint.settings import Settings, Value, values
from answerprint.shots import toml
from answerprint.shots.contracts import absolute, relative

_any: TypeAdapter[Any] = TypeAdapter(Any)


def lines(
    kind: type[Settings], table: Mapping[str, Any], folder: Path, key: list[str], allowed: bool = True
) -> Iterator[str]:
    """The lines of a table, each value with its help; tables inside it come last, as TOML wants it."""
    plain: dict[str, Any] = _any.dump_python(relative(dict(table), folder), mode="json")
    rows: list[tuple[str, Any, str]] = []
    inside: list[Value] = []
    for value in values(kind):
        entry = plain[value.name]
        if isinstance(entry, dict):
            inside.append(value)
            continue
        if entry is None and (value.default is not None or value.required):
            entry = "none"  # TOML has no empty value; `read` knows the word
        rows.append((value.name, entry, _comment(value, folder) if allowed else value.help))
    yield from toml.entries(rows)
    for value in inside:
        if plain[value.name]:
            yield from (
                "",
                f"[{'.'.join([*key, value.name])}]" + (f"  # {one_line(value.help)}" if value.help else ""),
            )
            inner = _inner(value.type)
            if inner is not None:
                yield from lines(inner, table[value.name], folder, [*key, value.name], allowed)
            else:
                yield from free_lines(plain[value.name])


def free_lines(table: Mapping[str, Any]) -> Iterator[str]:
    """A table without a settings class: names to values."""
    yield from toml.entries((name, value, "") for name, value in table.items() if value is not None)


def _inner(annotation: Any) -> type[Settings] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else None


def _comment(value: Value, folder: Path) -> str:
    """Help, allowed range and default of a value in a few words."""
    parts = [one_line(value.help).rstrip(".")] if value.help else []
    allowed = value.allowed.replace("values separated by commas", "values").removeprefix("values")
    if allowed and allowed not in ("text", "path", "true or false"):
        parts.append(allowed.strip())
    if not value.required and value.default is not None and not isinstance(value.default, Mapping | Settings):
        default = _any.dump_python(relative(value.default, folder), mode="json")
        text = ", ".join(str(part) for part in default) if isinstance(default, list) else _show(default)
        if len(text) <= 40 and text:
            parts.append(f"default {text}")
    return "; ".join(parts)


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def one_line(text: str) -> str:
    return " ".join(text.split())


def read(document: toml.Document, kind: type[Settings], table: Mapping[str, Any], key: toml.Key) -> dict[str, Any]:
    """Every value of a table of settings as the file has it; defaults filled in, paths made absolute.

    Raises:
        SettingsError: a wrong key or value, with file and line.
    """
    entries = dict(table)
    for value in values(kind):
        # TOML has no empty value: "none" takes a default away from a value that may be empty.
        if (
            entries.get(value.name) == "none"
            and (value.default is not None or value.required)
            and _may_be_none(kind, value.name)
        ):
            entries[value.name] = None
    complete: dict[str, Any] = absolute(document.table(kind, entries, *key).model_dump(), document.path.parent)
    return complete


def _may_be_none(kind: type[Settings], name: str) -> bool:
    return type(None) in getattr(kind.model_fields[name].annotation, "__args__", ())


def schema(kind: type[Settings], definitions: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of one table; what it refers to is added to `definitions`."""
    table = kind.model_json_schema()
    definitions.update(table.pop("$defs", {}))
    table.pop("description", None)
    return table


def properties(kind: type[Settings], definitions: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = schema(kind, definitions)["properties"]
    return described
