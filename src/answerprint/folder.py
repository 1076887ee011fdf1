"""A folder of modules of one kind that is its own list: operations, networks, recipes.

A file `NAME.py` or a folder `NAME/` in it is one module of the kind; names that begin with `_` are not.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from answerprint.errors import AnswerprintError


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
        text = ast.get_docstring(ast.parse(self.files()[name].read_text(encoding="utf-8"))) or ""
        return text.partition("\n")[0]

    def load(self, name: str) -> ModuleType:
        """The module of that name.

        Raises:
            AnswerprintError: there is none (as `refusal`); the message lists those there are.
        """
        if name not in self.files():
            raise self.refusal(f"unknown {self.kind} '{name}'; there are: {', '.join(self.names())}")
        return importlib.import_module(f"{self.package}.{name}")
