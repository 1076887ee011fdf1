"""How each network is trained: one file per network; the folder is the list."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

from answerprint.errors import TrainingError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The recipes there are: the folder is the list."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def summary(name: str) -> str:
    """First line of the recipe's docstring, read without importing it (so that `--help` is quick)."""
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def load(name: str) -> ModuleType:
    """The recipe of that name.

    Raises:
        TrainingError: there is none; the message lists those there are.
    """
    if name not in names():
        raise TrainingError(f"unknown recipe '{name}'; there are: {', '.join(names())}")
    return importlib.import_module(f"answerprint.recipes.{name}")
