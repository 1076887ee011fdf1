"""CONTRIBUTING.md is followed to the letter: its vignette is written, found, and runs from the command line."""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from answerprint import cli, operations
from answerprint.frame import Frame
from answerprint.media import reader
from clips import card

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


@pytest.fixture
def vignette(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = re.search(r"<!-- file: operations/vignette.py -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    folder = tmp_path / "operations"
    folder.mkdir()
    (folder / "vignette.py").write_text(found.group(1))
    monkeypatch.setattr(operations, "__path__", [*operations.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "answerprint.operations.vignette", raising=False)
    return tmp_path


def test_the_page_makes_an_operation(vignette: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "vignette" in operations.names()
    source, out = card(vignette / "card.mkv"), vignette / "out.mkv"
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


def test_its_operation_keeps_to_a_matte_and_leaves_what_is_no_number(vignette: Path) -> None:
    """The house does both: the page's author wrote nothing for it."""
    operation = operations.load("vignette")
    pixels, matte = torch.full((3, 32, 48), 0.5), torch.zeros(1, 32, 48)
    pixels[:, 2, 2], matte[:, :, :24] = torch.nan, 1
    frame = Frame(pixels, Fraction(0), matte=matte)
    after = next(operation.run(iter([frame]), operation.params_type(), None, torch.device("cpu"))).pixels
    assert torch.equal(after[:, :, 24:], pixels[:, :, 24:])
    assert float(after[0, 0, 0]) < 0.5 and bool(after[:, 2, 2].isnan().all())
    assert int(after.isnan().sum()) == 3
