"""The README's Python runs; commands in README and docs exist with their options; linked files are there."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import clips
from answerprint import cli
from answerprint.media import reader

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAPERS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Every command line `answerprint ...` in a code block of README, CONTRIBUTING and the docs, once."""
    lines = (
        line.partition("#")[0].strip()
        for paper in PAPERS
        for language, block in FENCE.findall(paper.read_text(encoding="utf-8"))
        if not language
        for line in block.splitlines()
    )
    return sorted({line for line in lines if line.startswith("answerprint ")})


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [block for language, block in FENCE.findall(README.read_text(encoding="utf-8")) if language == "python"]
    monkeypatch.chdir(tmp_path)
    clips.card(Path("clip.mov"), codec="prores_ks", frames=5)
    cv2.imwrite("still.jpg", np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8))
    for block in blocks:
        exec(block, {})
    assert len(reader.open("graded.mov")) == 5


@pytest.mark.parametrize("command", commands())
def test_a_command_exists_and_has_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.split()[1:]
    named = [word for word in words if not word.startswith("-")]
    subject = named[:2] if named[:1] == ["train"] or named[:2] == ["dataset", "septuplets"] else named[:1]
    cli.main([*subject, "--help"])
    text = capsys.readouterr().out
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{command}: there is no option {option}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_every_file_that_is_linked_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
