"""The part of an operation that files of shots are written and read by: its name and its tables of values."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from answerprint.errors import AnswerprintError, SettingsError
from answerprint.settings import Settings
from answerprint.text import read_path, write_path


class Contract(Protocol):
    """The part of `operation.Operation` that files need (importing that would import torch)."""

    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def params_type(self) -> type[Settings]: ...
    @property
    def findings_type(self) -> type[Settings] | None: ...


Scalar = str | int | float | bool

Contracts = Mapping[str, Contract] | Callable[[str], Contract]
"""Operations by name: a mapping, or a function such as `operations.load` that refuses unknown names."""


def contract_of(contracts: Contracts, name: str, where: str) -> Contract:
    """The operation of that name.

    Raises:
        SettingsError: there is none; the message says where it was asked for and lists those there are.
    """
    if isinstance(contracts, Mapping):
        if name not in contracts:
            raise SettingsError(f"{where}: unknown operation '{name}'; there are: {', '.join(sorted(contracts))}")
        return contracts[name]
    try:
        return contracts(name)
    except AnswerprintError as error:
        raise SettingsError(f"{where}: {error}") from None


def absolute(value: Any, folder: Path) -> Any:
    """The value with every path in it absolute; relative ones are taken from `folder`."""
    return _paths(value, lambda path: absolute_path(folder / read_path(str(path))))


def relative(value: Any, folder: Path) -> Any:
    """The value with every path in it as text, relative to `folder` where they share more than the root."""
    return _paths(value, lambda path: show_path(path, folder))


def absolute_path(path: Path) -> Path:
    """The absolute path without `..`; links are kept, since they are what the person called it."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links


def show_path(path: Path, folder: Path) -> str:
    """A path as a file in `folder` has it: relative where they share more than the root of the disk.

    One that is no UTF-8 text is written as a `file:` URI.
    """
    here, there = absolute_path(folder), absolute_path(path)
    if len(_shared(here, there)) <= 1:
        return write_path(there.as_posix())
    return write_path(Path(os.path.relpath(there, here)).as_posix())


def _shared(one: Path, other: Path) -> list[str]:
    shared: list[str] = []
    for part, same in zip(one.parts, other.parts, strict=False):
        if part != same:
            break
        shared.append(part)
    return shared


def _paths(value: Any, change: Callable[[Path], Any]) -> Any:
    if isinstance(value, Path):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _paths(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_paths(part, change) for part in value)
    return value
