"""CONTRIBUTING.md is followed to the letter: its files are written into a copy, pass lint and tests, and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from answerprint import cli, operations
from answerprint.frame import Frame
from answerprint.media import reader
from clips import card

ROOT = Path(__file__).parents[1]
FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
FILES = dict(FILE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
EXAMPLES = ("vignette", "normalize")


def place(name: str) -> Path:
    """Where a file of the page stands in the repository."""
    return Path("src/answerprint", name) if name.startswith("operations/") else Path(name)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the page's files in it; what the page does not write is linked."""
    copy = tmp_path_factory.mktemp("copy")
    folders = {parent for name in FILES for parent in place(name).parents}
    for folder in sorted(folders):
        (copy / folder).mkdir(exist_ok=True)
        for entry in (ROOT / folder).iterdir():
            hidden = entry.name.startswith(".") or entry.name == "__pycache__"
            if not hidden and entry.relative_to(ROOT) not in folders:
                (copy / folder / entry.name).symlink_to(entry)
    for name, text in FILES.items():
        assert not (copy / place(name)).exists(), "an example of the page is an operation of ours"
        (copy / place(name)).write_text(text, encoding="utf-8")
    return copy


def check(copy: Path, cwd: Path, *arguments: str) -> str:
    """Runs a module of Python as `make test` does, on the copy's sources."""
    path = os.pathsep.join((str(copy / "src"), str(copy)))
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_operation_is_two_files() -> None:
    expected = [(f"operations/{name}.py", f"tests/operations/test_{name}.py") for name in EXAMPLES]
    assert sorted(FILES) == sorted(file for pair in expected for file in pair)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_passes_its_own_test_and_the_shared_ones(copy: Path, name: str) -> None:
    own, shared = f"tests/operations/test_{name}.py", "tests/operations/test_every.py"
    report = check(copy, copy, "pytest", "-q", "-p", "no:cacheprovider", own, shared, "-k", name)
    passed = re.search(r"(\d+) passed", report)
    assert passed is not None and int(passed[1]) > 12


def test_the_page_passes_lint(copy: Path) -> None:
    files = [str(place(name)) for name in FILES]
    check(copy, copy, "ruff", "check", "--no-cache", *files)
    check(copy, copy, "ruff", "format", "--no-cache", "--check", *files)


def test_the_page_passes_mypy(copy: Path) -> None:
    if (ROOT / ".mypy_cache").is_dir():  # of `make lint`; without it the types of torch take a while
        shutil.copytree(ROOT / ".mypy_cache", copy / ".mypy_cache")
    check(copy, copy, "mypy", "--strict", *(str(place(name)) for name in FILES))


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, while the page's operations are there."""
    folder = tmp_path / "operations"
    folder.mkdir()
    for name in EXAMPLES:
        (folder / f"{name}.py").write_text(FILES[f"operations/{name}.py"], encoding="utf-8")
        monkeypatch.delitem(sys.modules, f"answerprint.operations.{name}", raising=False)
    monkeypatch.setattr(operations, "__path__", [*operations.__path__, str(folder)])
    return tmp_path


def test_the_vignette_is_a_command(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "vignette" in operations.names()
    source, out = card(example / "card.mkv"), example / "out.mkv"
    cli.main(["vignette", str(source), "-o", str(out), "--amount", "0.5"])
    before, after = (next(reader.open(path).frames()).pixels for path in (source, out))
    corner = (slice(None), slice(0, 4), slice(0, 4))
    middle = before.shape[1] // 2, before.shape[2] // 2
    assert float(after[corner].mean()) < 0.6 * float(before[corner].mean()) + 0.05
    assert float(after[:, middle[0], middle[1]].mean()) == pytest.approx(
        float(before[:, middle[0], middle[1]].mean()), abs=0.02
    )
    with pytest.raises(SystemExit) as stopped:
        cli.main(["vignette", str(source), "-o", str(out), "--amount", "3"])
    assert stopped.value.code == 2
    assert "'amount' is '3'" in capsys.readouterr().err


def test_the_normalizer_writes_its_findings_into_the_decision_list(example: Path) -> None:
    source, out = card(example / "card.mkv"), example / "out.mkv"
    cli.main(["normalize", str(source), "-o", str(out), "--level", "0.3"])
    decisions = (example / "out.decisions.toml").read_text(encoding="utf-8")
    assert re.search(r"^mean = [\d.]+ +# Mean luma of the shot", decisions, re.MULTILINE)
    assert 'summary = "mean luma ' in decisions
    assert float(next(reader.open(out).frames()).pixels.mean()) == pytest.approx(0.3, abs=0.03)


def test_its_operation_keeps_to_a_matte_and_leaves_what_is_no_number(example: Path) -> None:
    """The house does both: the page's author wrote nothing for it."""
    operation = operations.load("vignette")
    pixels, matte = torch.full((3, 32, 48), 0.5), torch.zeros(1, 32, 48)
    pixels[:, 2, 2], matte[:, :, :24] = torch.nan, 1
    frame = Frame(pixels, Fraction(0), matte=matte)
    after = next(operation.run(iter([frame]), operation.params_type(), None, torch.device("cpu"))).pixels
    assert torch.equal(after[:, :, 24:], pixels[:, :, 24:])
    assert float(after[0, 0, 0]) < 0.5 and bool(after[:, 2, 2].isnan().all())
    assert int(after.isnan().sum()) == 3
