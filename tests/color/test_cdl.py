"""CDL files in all three forms, and which correction of a collection is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from answerprint.color import cdl
from answerprint.errors import ColorError

WARM = cdl.Correction((1.1, 1.0, 0.9), (0.01, 0.0, -0.02), (1.2, 1.0, 0.95), 0.85, id="sh010", description="warm")
COLD = cdl.Correction((0.9, 1.0, 1.1), id="sh020")

CC = """<?xml version="1.0" encoding="UTF-8"?>
<ColorCorrection id="cc03340">
  <SOPNode><Slope>1.2 1 0.8</Slope><Offset>-0.1 0 0.1</Offset><Power>1 1.5 1</Power></SOPNode>
  <SatNode><Saturation>1.3</Saturation></SatNode>
</ColorCorrection>
"""


@pytest.mark.parametrize("ending", ["cc", "ccc", "cdl"])
def test_what_is_written_is_read_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"look.{ending}"
    cdl.write([WARM], path)
    assert cdl.read(path) == [WARM]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "a.cc"
    path.write_text(CC)
    wanted = cdl.Correction((1.2, 1.0, 0.8), (-0.1, 0.0, 0.1), (1.0, 1.5, 1.0), 1.3, id="cc03340")
    assert cdl.choose(path) == wanted
    # The same file, changed on disk: the new one counts.
    path.write_text(CC.replace("1.3", "0.5"))
    assert cdl.choose(path).saturation == 0.5


def test_a_collection_is_chosen_from_by_id(tmp_path: Path) -> None:
    path = tmp_path / "shots.ccc"
    cdl.write([WARM, COLD], path)
    assert cdl.choose(path, "sh020") == COLD
    with pytest.raises(ColorError, match="2 corrections in it; choose one by its id: sh010, sh020"):
        cdl.choose(path)
    with pytest.raises(ColorError, match="no correction with the id 'sh030'; it has sh010, sh020"):
        cdl.choose(path, "sh030")


def test_bad_files_are_answered(tmp_path: Path) -> None:
    letter = tmp_path / "letter.cc"
    letter.write_text("dear colorist")
    with pytest.raises(ColorError, match=r"letter\.cc: not a readable CDL"):
        cdl.read(letter)
    with pytest.raises(ColorError, match="not found"):
        cdl.read(tmp_path / "none.cdl")
    with pytest.raises(ColorError, match=r"\.cdl, \.cc or \.ccc"):
        cdl.read(tmp_path / "look.xml")
    negative = tmp_path / "negative.cc"
    negative.write_text(CC.replace("1 1.5 1", "1 -1.5 1"))
    with pytest.raises(ColorError, match="power"):
        cdl.choose(negative)
    with pytest.raises(ColorError, match="one correction, found 2"):
        cdl.write([WARM, COLD], tmp_path / "two.cc")
    with pytest.raises(ColorError, match="cannot be written"):
        cdl.write([WARM], tmp_path / "no folder" / "a.cc")
