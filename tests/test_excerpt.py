"""Tables read without their modules say what the modules say, and import nothing heavy."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from answerprint import excerpt, operations, recipes

TABLES = [
    *((f"answerprint.operations.{name}", "Params") for name in operations.names()),
    *((f"answerprint.recipes.{name}", "Params") for name in recipes.names()),
    ("answerprint.render.export", "ExportSpec"),
    ("answerprint.train.footage", "Params"),
    ("answerprint.train.septuplets", "Params"),
]


@pytest.mark.parametrize(("module", "name"), TABLES)
def test_an_excerpt_says_what_the_module_says(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = getattr(importlib.import_module(module), name)
    for loaded in [loaded for loaded in sys.modules if loaded.startswith(module) or "#" in loaded]:
        monkeypatch.delitem(sys.modules, loaded)
    part = excerpt.load(module, name)
    assert part is not whole
    assert part.model_json_schema() == whole.model_json_schema()


def test_help_of_operations_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom answerprint import cli, operations\n"
        "for name in operations.names():\n    cli.main([name, '--help'])\n"
        "print(*({'torch', 'numpy', 'av', 'cv2', 'numba', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not result.stderr.split()
    assert "--exposure" in result.stdout and "--input-matrix" in result.stdout


def test_names_that_stand_in_other_modules_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where an operation is a folder that keeps its Params in a file of its own."""
    room = ModuleType("answerprint.room")
    room.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, room.__name__, room)
    folder = tmp_path / "blur"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from __future__ import annotations\nimport no_such_module\nfrom answerprint.room.blur.params import Params\n"
    )
    (folder / "params.py").write_text(
        "from __future__ import annotations\nfrom pydantic import Field\nfrom answerprint.settings import Settings\n"
        "LIMIT = 3\nradius = no_such_name = None\n"
        "class Params(Settings):\n    radius: int = Field(LIMIT, le=2 * LIMIT, description='Pixels.')\n"
    )
    table = excerpt.load("answerprint.room.blur")
    assert (table().radius, table.model_json_schema()["properties"]["radius"]["maximum"]) == (3, 6)
