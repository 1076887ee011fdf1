"""A folder of modules of one kind that is its own list: operations, networks, recipes.

A file `NAME.py` or a folder `NAME/` in it is one module of the kind; names that begin with `_` are not.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from answerprint import excerpt
from answerprint.errors import AnswerprintError

if TYPE_CHECKING:  # pydantic takes a while to import, and listing must be quick
    from answerprint.settings import Settings


@dataclass(frozen=True)
class Folder:
    """A package whose modules are all of one kind.

    Attributes:
        package: its dotted name.
        kind: what one module is called in messages ("operation").
        refusal: the error that an unknown name raises.
    """

    package: str
    kind: str
    refusal: type[AnswerprintError]

    def files(self) -> dict[str, Path]:
        """Where each module stands, by name: its file, or the `__init__.py` of its folder."""
        modules: dict[str, Path] = {}
        for place in importlib.import_module(self.package).__path__:
            for path in sorted(Path(place).iterdir()):
                if path.name.startswith("_"):
                    continue
                if path.suffix == ".py":
                    modules.setdefault(path.stem, path)
                elif (path / "__init__.py").is_file():
                    modules.setdefault(path.name, path / "__init__.py")
        return modules

    def names(self) -> list[str]:
        """The modules there are, sorted."""
        return sorted(self.files())

    def summary(self, name: str) -> str:
        """First line of the module's docstring, read without importing it (so that `--help` is quick)."""
        return self.docstring(name).partition("\n")[0]

    def docstring(self, name: str) -> str:
        """The module's docstring, read without importing it."""
        return excerpt.docstring(self.files()[name])

    def table(self, name: str, table: str = "Params") -> type[Settings]:
        """A table of settings of the module, read without running the rest of it.

        Raises:
            AnswerprintError: there is no such module (as `refusal`).
        """
        self._check(name)
        kind: type[Settings] = excerpt.load(f"{self.package}.{name}", table)
        return kind

    def load(self, name: str) -> ModuleType:
        """The module of that name.

        Raises:
            AnswerprintError: there is none (as `refusal`); the message lists those there are.
        """
        self._check(name)
        return importlib.import_module(f"{self.package}.{name}")

    def _check(self, name: str) -> None:
        if name not in self.files():
            raise self.refusal(f"unknown {self.kind} '{name}'; there are: {', '.join(self.names())}")
