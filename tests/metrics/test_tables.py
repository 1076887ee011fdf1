"""Bench tables say the same on the terminal, in the page and in the JSON, and never call a missing figure met."""

import json
import math
import xml.etree.ElementTree as ET
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from answerprint.errors import DeliveryError
from answerprint.metrics.plots import BarPlot, LinePlot, PicturePlot
from answerprint.metrics.tables import Table, at_least, at_most, write


def table(**changes: object) -> Table:
    values: dict[str, object] = {
        "title": "LUT on <UHD>",
        "columns": ("what", "ms", "same"),
        "rows": (("ours [bold]", 21.234, True), ("lut3d", math.nan, None)),
        "notes": ("Median of 7 runs.",),
        "targets": (at_most("ratio", 1.24, 1.3), at_least("speed", 0.61, 0.7, "fps")),
    }
    return Table(**{**values, **changes})


def printed(shown: Table) -> str:
    out = StringIO()
    shown.print(Console(file=out, width=120))
    return out.getvalue()


def test_the_terminal_shows_cells_notes_and_targets() -> None:
    text = printed(table())
    assert "ours [bold]" in text and "21.23" in text and "yes" in text and "Median of 7 runs." in text
    assert "met     ratio: 1.24, asked for at most 1.3" in text
    assert "MISSED  speed: 0.61 fps, asked for at least 0.7 fps" in text


def test_nothing_of_a_wide_table_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    heads = tuple(f"heading of column {i}" for i in range(9))
    wide = table(columns=heads, rows=(tuple(f"cell number {i}" for i in range(9)),), targets=())
    wide.print()
    text = capsys.readouterr().out
    assert all(head in text for head in heads) and "cell number 8" in text
    narrow = StringIO()
    wide.print(Console(file=narrow, width=60))
    assert "…" not in narrow.getvalue()


def test_met_needs_every_target_and_every_figure() -> None:
    assert table(targets=(at_most("a", 1.0, 1.0), at_least("b", 1.0, 1.0))).met
    assert not table().met
    assert not table(targets=(at_most("a", None, 1.0),)).met
    assert not table(targets=(at_most("a", math.nan, 1.0),)).met


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="3 columns, but a row has 1"):
        table(rows=(("alone",),))


def test_json_is_valid_and_says_what_was_missed(tmp_path: Path) -> None:
    write([table()], tmp_path / "b.html", tmp_path / "b.json", title="make bench NAME=media")
    data = json.loads((tmp_path / "b.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert data["format"] == "answerprint.bench/1"
    assert data["met"] is False
    assert data["tables"][0]["rows"] == [["ours [bold]", 21.234, True], ["lut3d", None, None]]
    assert [target["met"] for target in data["tables"][0]["targets"]] == [True, False]
    assert data["versions"]["answerprint"] and data["versions"]["processors"]


def test_the_page_escapes_and_loads_nothing(tmp_path: Path) -> None:
    plots = (BarPlot("time & <less>", {"ours": 1.0}, "ms"), LinePlot("memory", {"a": [(0, 1), (1, 2)]}, "s", "MB"))
    write([table(plots=plots)], tmp_path / "b.html", tmp_path / "b.json")
    page = (tmp_path / "b.html").read_text()
    assert "LUT on &lt;UHD&gt;" in page and "<UHD>" not in page and "<less>" not in page
    assert page.count("<svg") == 2
    assert "http" not in page


@pytest.mark.parametrize(
    "plot",
    [
        BarPlot("a & b", {"<x>": 3.0, "y": -1.0, "nan": math.nan}, "ms", ("<x>",)),
        BarPlot("none", {}),
        LinePlot("a < b", {"one": [(0, 1.0), (10, 5.0), (20, math.nan)], "two": [(5, 1e6)]}, "x", "y"),
        LinePlot("one point", {"p": [(3, 3)]}),
        LinePlot("nothing", {"p": []}),
    ],
)
def test_plots_are_well_formed(plot: BarPlot | LinePlot) -> None:
    root = ET.fromstring(plot.svg())
    assert "nan" not in "".join(value for node in root.iter() for value in node.attrib.values())


def test_a_longer_bar_is_a_larger_value() -> None:
    root = ET.fromstring(BarPlot("t", {"small": 10.0, "large": 40.0}).svg())
    small, large = (float(bar.attrib["width"]) for bar in root.iter("rect"))
    assert large == pytest.approx(4 * small, rel=0.02)


def test_an_unwritable_place_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"b\.json.*cannot be written"):
        write([table()], tmp_path / "no" / "b.html", tmp_path / "no" / "b.json")


def test_pictures_stand_in_the_page_itself_with_their_names() -> None:
    drawn = PicturePlot("frame 3", {"before": b"\xff\xd8one", "after & above": b"\xff\xd8two"}, 320, 180).svg()
    assert drawn.count("data:image/jpeg;base64,") == 2
    assert "before" in drawn and "after &amp; above" in drawn
    ET.fromstring(drawn)
