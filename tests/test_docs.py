"""The pages of the docs site that come from the code say what the code says, and every page's links lead somewhere."""

from __future__ import annotations

import importlib.util
import posixpath
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from answerprint import cli, operations
from answerprint.inference import weights
from answerprint.media.presets import PRESETS
from answerprint.settings import values

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "tools" / "docs_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs_pages = load_tool()


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Markdown of all pages, those of the folder and those from the code, by path in the site."""
    pages: dict[str, str] = docs_pages.pages()
    assert not [path for path in pages if (DOCS / path).exists()], "a page from the code must not be committed"
    return {**pages, **{path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}}


@pytest.mark.parametrize("name", operations.names())
def test_a_page_has_every_parameter_and_finding_of_its_operation(pages: dict[str, str], name: str) -> None:
    operation, page = operations.load(name), pages[f"operations/{name}.md"]
    assert operations.summary(name) in page
    for value in values(operation.params_type):
        assert f"| `{value.flag}` |" in page
    if operation.findings_type is not None:
        for value in values(operation.findings_type):
            assert f"| `{value.name}` |" in page
    assert page.count("```") % 2 == 0


def test_an_operation_gets_its_page_by_being_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of CONTRIBUTING.md: one without and one with findings."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name, source in re.findall(r"<!-- file: operations/(\w+)\.py -->\n```python\n(.*?)```", page, re.DOTALL):
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.delitem(sys.modules, f"answerprint.operations.{name}", raising=False)
    monkeypatch.setattr(operations, "__path__", [*operations.__path__, str(tmp_path)])
    site = docs_pages.pages()
    assert "[`vignette`](vignette.md)" in site["operations/index.md"]
    assert "| `--amount` | `0.3` | a number from -1 to 1 |" in site["operations/vignette.md"]
    assert "## Findings" not in site["operations/vignette.md"]
    assert (
        "| `mean` | a number from 0 | Mean luma of the shot. Edit to move the result. |"
        in site["operations/normalize.md"]
    )


def test_tables_have_every_preset_and_every_network(pages: dict[str, str]) -> None:
    assert all(f"| `{name}` |" in pages["presets.md"] for name in PRESETS)
    ships = [entry.card.name for entry in weights.listing()[0] if entry.ships]
    assert re.findall(r"^## (\S+)$", pages["models.md"], re.MULTILINE) == ships


def test_the_api_names_what_exists(pages: dict[str, str]) -> None:
    identifiers = re.findall(r"^::: (\S+)$", pages["api.md"], re.MULTILINE)
    assert {"Clip", "DecisionList", "Frame", "Shot"} <= {name.rpartition(".")[2] for name in identifiers}
    for name in identifiers:
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def test_help_stands_where_a_page_asks_for_it() -> None:
    text = docs_pages.with_help("before\n<!-- help: shots -->\nafter")
    assert text.startswith("before\n```text\nUsage: answerprint shots")
    assert text.endswith("```\nafter")


def test_a_docstring_becomes_markdown() -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2  3 |"
    text = f"Prose with `code`.\nA list:\n    one   the first\n\n    two   the second\n\n{table}"
    assert docs_pages.prose(text) == (
        f"Prose with `code`.\nA list:\n\n```text\none   the first\n\ntwo   the second\n```\n\n{table}"
    )


def test_links_of_papers_lead_to_pages_or_become_words() -> None:
    text = "[a](docs/first-grade.md#a-chain) [b](CONTRIBUTING.md) [c](examples/chains) [d](https://example.org/x)"
    assert docs_pages.relinked(text) == "[a](first-grade.md#a-chain) [b](contributing.md) c [d](https://example.org/x)"


def test_every_link_leads_to_a_page_or_picture(pages: dict[str, str]) -> None:
    for path, text in pages.items():
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            assert place in pages or (DOCS / place).is_file(), f"{path} links to {target}"


def test_every_command_has_its_help_on_the_page_of_commands(pages: dict[str, str]) -> None:
    commands = {name for name in cli.build([]) if not name.startswith("-")} - set(operations.names())
    assert set(re.findall(r"^### (\S+)$", pages["commands.md"], re.MULTILINE)) == commands
