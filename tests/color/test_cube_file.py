"""LUT files: as other programs write them, and messages that say where a file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from answerprint.color import cube_file, lut
from answerprint.errors import ColorError


def rows(n: int) -> str:
    """An inverting table of n points, red fastest."""
    steps = [1 - i / (n - 1) for i in range(n)]
    return "\n".join(f"{r} {g} {b}" for b in steps for g in steps for r in steps) + "\n"


def test_red_runs_fastest_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "swap.cube"
    grid = [(r, g, b) for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    path.write_text(
        '# a comment\nTITLE "red and blue # swapped"\n\nLUT_3D_SIZE 2\n' + "".join(f"{b} {g} {r}\n" for r, g, b in grid)
    )
    cube = cube_file.read(path)
    assert isinstance(cube, lut.Cube) and cube.title == "red and blue # swapped"
    assert cube.apply(torch.tensor([0.2, 0.4, 0.9]).view(3, 1, 1)).flatten().tolist() == pytest.approx([0.9, 0.4, 0.2])


def test_one_dimensional_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "curve.cube"
    path.write_text("LUT_1D_SIZE 3\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n0 0 0\n0.7 0.5 0.3\n1 1 1\n")
    curves = cube_file.read(path)
    assert isinstance(curves, lut.Curves)
    pixels = torch.tensor([0.25, 0.5, 0.75]).view(3, 1, 1)
    assert curves.apply(pixels).flatten().tolist() == pytest.approx([0.35, 0.5, 0.65])


@pytest.mark.parametrize("text", ["LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0.0 2.0\n", "LUT_3D_SIZE 2\nDOMAIN_MAX 2 2 2\n"])
def test_both_range_keywords_are_honored(tmp_path: Path, text: str) -> None:
    path = tmp_path / "range.cube"
    path.write_text(text + rows(2))
    cube = cube_file.read(path)
    assert float(cube.apply(torch.full((3, 1, 1), 1.0))[0]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LUT_3D_SIZE 3\n" + rows(2), r"bad\.cube: LUT_3D_SIZE 3 needs 27 rows, the file has 8"),
        ("LUT_3D_SIZE 2\n" + rows(3), r"bad\.cube:10: LUT_3D_SIZE 2 needs 8 rows, the file has more than 8"),
        ("LUT_3D_SIZE 1\n0 0 0\n", r"bad\.cube:1: LUT_3D_SIZE is 1; allowed: 2 to 256"),
        ("LUT_3D_SIZE 257\n0 0 0\n", r"bad\.cube:1: LUT_3D_SIZE is 257; allowed: 2 to 256"),
        ("LUT_3D_SIZE two\n" + rows(2), r"bad\.cube:1: LUT_3D_SIZE needs one whole number, found 'two'"),
        (rows(2), "no LUT_3D_SIZE"),
        (
            "hello, I am a letter\nand no LUT\n",
            r"bad\.cube:1: 'hello,' is not a keyword of a \.cube LUT; allowed: .*LUT_3D_SIZE",
        ),
        ("LUT_3D_SIZE 2\nLUT_3D_RANGE 0 1\n" + rows(2), r"bad\.cube:2: 'LUT_3D_RANGE' is not a keyword"),
        (
            "LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0\n" + rows(2),
            r"bad\.cube:2: LUT_3D_INPUT_RANGE needs 2 numbers, found '0'",
        ),
        ("LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 1 0\n" + rows(2), r"bad\.cube:2: the input range 1 1 1 to 0 0 0 is empty"),
        ("LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0 1023\n" + rows(2), r"bad\.cube:2: .* counts in code values"),
        ("LUT_3D_SIZE 2\nDOMAIN_MIN 0 0 1\n" + rows(2), r"bad\.cube:2: the input range 0 0 1 to 1 1 1 is empty"),
        ("LUT_3D_SIZE 2\nDOMAIN_MIN 0 0\n" + rows(2), r"bad\.cube:2: DOMAIN_MIN needs 3 numbers, found '0 0'"),
        ("LUT_3D_SIZE 2\nDOMAIN_MAX 1 1 1\nLUT_3D_INPUT_RANGE 0 1\n" + rows(2), r"bad\.cube:3: .* both give the range"),
        ("LUT_3D_SIZE 2\nLUT_3D_SIZE 2\n" + rows(2), r"bad\.cube:2: LUT_3D_SIZE stands twice"),
        ("LUT_3D_SIZE 2\n" + rows(2).replace("0.0 0.0 1.0", "0.0 nan 1.0"), r"bad\.cube:\d+: NaN or infinity"),
        (
            "LUT_3D_SIZE 2\n" + rows(2).replace("0.0 0.0 1.0", "0.0 0.0"),
            r"bad\.cube:\d+: a row of the table is three numbers",
        ),
        ("LUT_3D_SIZE 2\n" + rows(2).replace("0.0 0.0 1.0", "a b c"), r"bad\.cube:\d+: a row .* found 'a b c'"),
        ("", "is empty"),
        ("\0\1\2", "not a text file"),
    ],
)
def test_a_bad_file_is_answered_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.cube"
    path.write_text(text)
    with pytest.raises(ColorError, match=message):
        cube_file.read(path)


def test_a_missing_file_and_an_unwritable_place_are_answered(tmp_path: Path) -> None:
    with pytest.raises(ColorError, match=r"none\.cube: LUT cannot be read \(No such file"):
        cube_file.read(tmp_path / "none.cube")
    with pytest.raises(ColorError, match="cannot be written"):
        cube_file.write(lut.identity(2), tmp_path / "no folder" / "a.cube")


def test_nan_is_never_written(tmp_path: Path) -> None:
    table = torch.full((2, 2, 2, 3), 0.5)
    table[0, 0, 0, 0] = float("nan")
    with pytest.raises(ColorError, match="was not written"):
        cube_file.write(lut.Cube(table), tmp_path / "a.cube")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["3D", "1D", "shaper"])
def test_a_lut_for_video_range_has_the_colors_that_resolve_shows(tmp_path: Path, form: str) -> None:
    """A gain of 0.8 on red around black, in 10-bit video range: 64 stays 64 and 940 becomes 764.8."""
    black, white = 64 / 1023, 940 / 1023

    def red(code: float) -> float:
        return black + 0.8 * (code - black)

    axis = [0.0, 0.25, 0.5, 0.75, 1.0]
    line = "\n".join(f"{red(v):.9f} {v} {v}" for v in axis)
    cube = "\n".join(f"{red(r):.9f} {g} {b}" for b in axis for g in axis for r in axis)
    identity = "\n".join(f"{v} {v} {v}" for v in axis)
    tables = {
        "3D": f"LUT_3D_SIZE 5\nLUT_IN_VIDEO_RANGE\nLUT_OUT_VIDEO_RANGE\n{cube}",
        "1D": f"LUT_IN_VIDEO_RANGE\nLUT_OUT_VIDEO_RANGE\nLUT_1D_SIZE 5\n{line}",
        "shaper": f"LUT_1D_SIZE 5\nLUT_3D_SIZE 5\nLUT_IN_VIDEO_RANGE\nLUT_OUT_VIDEO_RANGE\n{identity}\n{cube}",
    }
    (tmp_path / "a.cube").write_text(tables[form] + "\n")
    pixels = torch.tensor([0.0, 0.3, 1.0, 1.05]).expand(3, 1, 4).contiguous()
    graded = cube_file.read(tmp_path / "a.cube").apply(pixels)
    assert graded[0, 0].tolist() == pytest.approx([0.0, 0.24, 0.8, 0.84], abs=1e-5)
    assert graded[1, 0].tolist() == pytest.approx([0.0, 0.3, 1.0, 1.05], abs=1e-5)
    assert red(white) * 1023 == pytest.approx(764.8)


def test_a_lut_of_which_only_the_input_is_in_video_range(tmp_path: Path) -> None:
    (tmp_path / "a.cube").write_text(
        "LUT_3D_SIZE 2\nLUT_IN_VIDEO_RANGE\n"
        + "\n".join(f"{r} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    )
    pixels = torch.tensor([0.0, 1.0]).expand(3, 1, 2).contiguous()
    assert cube_file.read(tmp_path / "a.cube").apply(pixels)[0, 0].tolist() == pytest.approx([64 / 1023, 940 / 1023])
