"""One name of a module without the rest of it, so that help needs no torch.

`load("answerprint.operations.grade", "Params")` runs only those statements of the module that define `Params`: its
class, and the constants and classes that stand in it; what it imports from other modules of Answerprint by name is
taken from those the same way. It is made from the same text, so it says the same as the module's own. Where a table
needs more than that, torch is imported after all: help is slower then, not wrong.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


def docstring(file: Path) -> str:
    """The docstring of the module in a file; "" where it has none."""
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def module_docstring(module: str) -> str:
    """The docstring of a module by its dotted name, read without importing it."""
    return docstring(_file(module))


def load(module: str, name: str = "Params") -> Any:
    """What `name` stands for in a module of `answerprint`, by the module's dotted name.

    Raises:
        ImportError: there is no such module, or nothing of that name in it.
    """
    importlib.import_module("answerprint.settings")  # there is one class Settings, whoever asks
    title = f"{module}#{name}"
    if module in sys.modules or title in sys.modules:
        return getattr(sys.modules.get(module) or sys.modules[title], name)
    file = _file(module)
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    part = ModuleType(title)
    sys.modules[title] = part  # pydantic looks up the names of annotations there
    for statement in _needed(tree, name):
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                setattr(part, _bound_name(alias), _import_name(str(statement.module), alias.name))
        else:
            code = compile(ast.Module([statement], []), str(file), "exec", annotations.compiler_flag, dont_inherit=True)
            exec(code, vars(part))
    if not hasattr(part, name):
        raise ImportError(f"{module} has no {name}")
    return getattr(part, name)


def _import_name(module: str, name: str) -> Any:
    """What `from module import name` gives."""
    if module.startswith("answerprint."):
        try:
            return load(module, name)
        except ImportError:
            pass  # the name of a module in a folder
    whole = importlib.import_module(module)
    return getattr(whole, name) if hasattr(whole, name) else importlib.import_module(f"{module}.{name}")


def _file(module: str) -> Path:
    parent, _, stem = module.rpartition(".")
    rest = [stem]
    while parent.count(".") > 1:  # no deeper than a room, whose `__init__` is light
        parent, _, stem = parent.rpartition(".")
        rest.insert(0, stem)
    for place in importlib.import_module(parent).__path__:
        path = Path(place, *rest)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    raise ImportError(f"there is no module {module}")


def _needed(tree: ast.Module, name: str) -> Iterator[ast.stmt]:
    """The statements that define a name and all names in them, in the order of the module."""
    names, numbers, count = {name}, set[int](), -1
    while count != len(numbers):
        count = len(numbers)
        for number, statement in enumerate(tree.body):
            if number not in numbers and names & set(_defines(statement)):
                numbers.add(number)
                names |= {
                    node.id
                    for node in ast.walk(statement)
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
                }
    return (_trim(tree.body[number], names) for number in sorted(numbers))


def _defines(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module gives a meaning."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (_bound_name(alias) for alias in statement.names)
    else:
        yield from (n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _bound_name(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _trim(statement: ast.stmt, names: set[str]) -> ast.stmt:
    """An import without the names that nobody needs; any other statement as it is."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        statement.names = [alias for alias in statement.names if _bound_name(alias) in names]
    return statement
