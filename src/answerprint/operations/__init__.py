"""What can be done to a shot: one file each; the file's name is the operation's name; this folder is the list."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from answerprint.errors import SettingsError

if TYPE_CHECKING:  # torch takes seconds to import, and listing must be quick
    from answerprint.operation import Operation


def names() -> list[str]:
    """The operations there are."""
    return sorted(_files())


def _files() -> dict[str, Path]:
    found = (path for folder in __path__ for path in Path(folder).glob("*.py"))
    return {path.stem: path for path in found if not path.stem.startswith("_")}


def summary(name: str) -> str:
    """First line of the operation's docstring, read without importing it (so that `--help` is quick)."""
    text = ast.get_docstring(ast.parse(_files()[name].read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def load(name: str) -> Operation:
    """The operation of that name.

    Raises:
        SettingsError: there is none; the message lists those there are.
    """
    from answerprint.operation import Operation

    if name not in names():
        raise SettingsError(f"unknown operation '{name}'; there are: {', '.join(names())}")
    return Operation(name, importlib.import_module(f"answerprint.operations.{name}"))
