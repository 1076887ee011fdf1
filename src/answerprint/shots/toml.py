"""TOML with line numbers in and comments out: files that people edit get answers that name the line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tomlkit
from pydantic import ValidationError

from answerprint.errors import SettingsError
from answerprint.settings import Settings, explain
from answerprint.text import parse, read_file, shorten

Key = tuple[str | int, ...]
WIDTH = 120
_COLUMN = 44  # what is longer does not push the comments of a table to the right
Table = TypeVar("Table", bound=Settings)

_TOKEN = re.compile(
    r'(?P<string>"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')'
    r"|(?P<comment>#[^\n]*)|(?P<newline>\n)|(?P<mark>[\[\]{}=,.])|(?P<bare>[^\s\[\]{}=,.#\"']+)|(?P<space>[^\S\n]+)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Document:
    """A TOML file: what it says and on which line each key stands.

    Attributes:
        path: the file.
        values: its contents as Python values.
        lines: line number (from 1) of every key and table header, by path: ("shot", 0, "name").
    """

    path: Path
    values: dict[str, Any]
    lines: Mapping[Key, int]

    def where(self, *key: str | int) -> str:
        """`file:line` of a key, or of the innermost table around it that is written out."""
        while key and key not in self.lines:
            key = key[:-1]
        return f"{self.path}:{self.lines.get(key, 1)}"

    def table(self, kind: type[Table], values: Mapping[str, Any], *key: str | int) -> Table:
        """Makes a table of settings from what stands at `key`.

        Raises:
            SettingsError: file, line, what was found, what is allowed.
        """
        try:
            return kind.model_validate(dict(values))
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]["loc"]
            raise SettingsError(explain(kind, error, self.where(*key, *wrong))) from None

    def only(self, values: Mapping[str, Any], allowed: Sequence[str], *key: str | int) -> None:
        """Refuses keys of the table at `key` that are not allowed there."""
        for name in values:
            if name not in allowed:
                raise SettingsError(
                    f"{self.where(*key, name)}: unknown key '{name}'; allowed keys: {', '.join(allowed)}"
                )

    def mapping(self, values: Mapping[str, Any], name: str, *key: str | int) -> dict[str, Any]:
        """The table `name` inside `values`; empty where it is not written."""
        table = values.get(name, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{self.where(*key, name)}: '{name}' is {shorten(table)}; allowed: a table, [{name}]")
        return table

    def scalars(self, values: Mapping[str, Any], name: str, *key: str | int) -> None:
        """Refuses anything but text, numbers, true and false in the table `name` inside `values`."""
        for entry, value in self.mapping(values, name, *key).items():
            if not isinstance(value, str | int | float | bool):
                raise SettingsError(
                    f"{self.where(*key, name, entry)}: '{entry}' is {shorten(value)}; "
                    "allowed: text, a number, true or false"
                )

    def array(self, values: Mapping[str, Any], name: str, *key: str | int) -> list[dict[str, Any]]:
        """The array of tables `name` inside `values`; empty where it is not written."""
        tables = values.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(entry, dict) for entry in tables):
            raise SettingsError(
                f"{self.where(*key, name)}: '{name}' is not a list of tables; each is written under its own [[{name}]]"
            )
        return tables


def read(path: Path) -> Document:
    """Reads a TOML file.

    Raises:
        SettingsError: it cannot be read, or its syntax is wrong; with the line.
    """
    try:
        text = read_file(path).decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"{path}: is not a text file; a TOML file in UTF-8 is expected") from None
    try:
        values = parse(tomllib.loads, text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_syntax(path, text, str(error))) from None
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None
    return Document(path, values, _lines(text))


def _syntax(path: Path, text: str, message: str) -> str:
    reason, _, place = message.rpartition(" (at ")
    match = re.search(r"line (\d+)", place)
    line = int(match[1]) if match else text.rstrip().count("\n") + 1
    statement = text.split("\n")[line - 1].strip()
    hint = " (text needs quotes)" if reason == "Invalid value" else ""
    return f"{path}:{line}: {(reason or message).lower()}{hint}: {statement[:80]}"


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and tokens of each header or key = value; a value over several lines is one statement."""
    line, first, depth = 1, 1, 0
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "newline" and depth == 0:
            if tokens:
                yield first, tokens
            tokens = []
        elif kind in ("string", "mark", "bare"):
            if not tokens:
                first = line
            tokens.append(token)
            depth += (token in ("[", "{")) - (token in ("]", "}"))
        line += token.count("\n")
    if tokens:
        yield first, tokens


def _key(tokens: list[str]) -> tuple[str, ...]:
    """The parts of a dotted key, quotes taken off."""
    parts = (token for token in tokens if token not in (".", "[", "]"))
    return tuple(tomllib.loads(f"x = {part}")["x"] if part[0] in "\"'" else part for part in parts)


def _lines(text: str) -> dict[Key, int]:
    """Line of every key in valid TOML."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}  # how many tables each array of tables has so far
    table: Key = ()

    def inside(parts: Sequence[str]) -> Key:
        """A header's path, with the last table of each array on the way."""
        path: Key = ()
        for part in parts:
            path = (*path, part)
            if path in counts:
                path = (*path, counts[path] - 1)
        return path

    for line, tokens in _statements(text):
        if tokens[0] == "[":
            parts = _key(tokens)
            if tokens[:2] == ["[", "["]:
                array = (*inside(parts[:-1]), parts[-1])
                counts[array] = counts.get(array, 0) + 1
                lines.setdefault(array, line)
                table = (*array, counts[array] - 1)
            else:
                table = inside(parts)
            lines[table] = line
        else:
            parts = _key(tokens[: tokens.index("=")])
            for length in range(1, len(parts) + 1):
                lines.setdefault((*table, *parts[:length]), line)
    return lines


def entries(rows: Iterable[tuple[str, Any, str]]) -> list[str]:
    """The lines of `name = value  # comment`, the comments below each other.

    What is too long is wrapped, its comment put above it. A value that is not set (None) is a comment as a whole, to be
    filled in.
    """
    texts = [(name, value, _assigned(name, value), f"# {comment}" if comment else "") for name, value, comment in rows]
    column = max((len(line) for _, _, line, _ in texts if len(line) <= _COLUMN), default=0)
    lines = []
    for name, value, line, note in texts:
        beside = f"{line:<{column}}  {note}".rstrip()
        if len(beside) <= WIDTH:
            lines.append(beside)
            continue
        lines += [note] if note else []
        if isinstance(value, list) and len(line) > WIDTH:
            lines += [f"{_name(name)} = [", *_wrapped(value), "]"]
        else:
            lines.append(line)
    return lines


def _assigned(name: str, value: Any) -> str:
    return f"# {_name(name)} =" if value is None else f"{_name(name)} = {_inline(value)}"


def _wrapped(values: list[Any]) -> list[str]:
    """The elements of a long array, as many on a line as fit; nested arrays and tables one on a line."""
    if any(isinstance(value, list | dict) for value in values):
        return [f"  {_inline(value)}," for value in values]
    lines, line = [], " "
    for value in values:
        word = f" {_inline(value)},"
        if len(line) + len(word) > WIDTH:
            lines.append(line)
            line = " "
        line += word
    return [*lines, line]


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else tomlkit.item(name).as_string()


def _inline(value: Any) -> str:
    """A value as TOML writes it on one line; floats as the shortest text that reads back as the same number."""
    if isinstance(value, dict):
        parts = (f"{_name(key)} = {_inline(part)}" for key, part in value.items() if part is not None)
        return "{ " + ", ".join(parts) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(part) for part in value) + "]"
    if value is None:
        raise TypeError("TOML knows no empty value inside a list")
    text: str = tomlkit.item(value).as_string()
    return text
