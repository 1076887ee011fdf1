"""The README's Python and its tables are true."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import clips
from answerprint.media import reader

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_the_five_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    clips.card(Path("clip.mov"), codec="prores_ks", frames=5)
    cv2.imwrite("still.jpg", np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8))
    exec(found.group(1), {})
    assert len(reader.open("graded.mov")) == 5


def test_tables_are_those_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "tools" / "readme_tables.py")
    assert spec is not None and spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    text = README.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run: python tools/readme_tables.py"


def test_every_file_that_is_linked_is_there() -> None:
    for page in [README, ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
