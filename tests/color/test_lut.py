"""LUTs: files as other programs write them, exact interpolation, and messages that say where a file is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813
import pytest
import torch
from torch import Tensor

from answerprint.color import lut
from answerprint.errors import ColorError


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def rows(n: int) -> str:
    """An inverting table of n points, red fastest."""
    steps = [1 - i / (n - 1) for i in range(n)]
    return "\n".join(f"{r} {g} {b}" for b in steps for g in steps for r in steps) + "\n"


def opencolorio(path: Path, pixels: Tensor) -> Tensor:
    transform = ocio.FileTransform(str(path), interpolation=ocio.INTERP_TETRAHEDRAL)
    processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    data = np.ascontiguousarray(pixels.reshape(3, -1).T.numpy())
    processor.applyRGB(data)
    return torch.from_numpy(data).T.reshape(pixels.shape)


@pytest.mark.parametrize("size", [2, 17, 33])
def test_interpolation_is_opencolorios(tmp_path: Path, size: int) -> None:
    cube = lut.Cube(noise(size, size, size, 3), title="noise")
    lut.write(cube, tmp_path / "noise.cube")
    pixels = noise(3, 67, 131, seed=1) * 1.4 - 0.2
    pixels[:, 0, :8] = torch.tensor(
        [[0, 1, 0, 0, 1, 1, 0.5, 1.0], [0, 0, 1, 0, 1, 0, 0.5, 1], [0, 0, 0, 1, 0, 1, 0.5, 1]]
    )
    wanted = opencolorio(tmp_path / "noise.cube", pixels)
    assert float((cube.apply(pixels) - wanted).abs().max()) < 1e-6
    # The same in torch, which other devices and training use.
    assert float((cube.apply(pixels.requires_grad_()).detach() - wanted).abs().max()) < 1e-6


def test_domain_other_than_unit_is_opencolorios(tmp_path: Path) -> None:
    cube = lut.Cube(noise(9, 9, 9, 3), low=(-0.5, 0.0, 0.1), high=(2.0, 1.5, 0.9))
    lut.write(cube, tmp_path / "wide.cube")
    pixels = noise(3, 20, 30) * 3 - 1
    assert float((cube.apply(pixels) - opencolorio(tmp_path / "wide.cube", pixels)).abs().max()) < 1e-5
    again = lut.read(tmp_path / "wide.cube")
    assert isinstance(again, lut.Cube)
    assert again.low == cube.low and again.high == cube.high


def test_super_whites_are_looked_up_as_the_end_of_the_domain_and_nan_as_its_start() -> None:
    cube = lut.Cube(noise(5, 5, 5, 3))
    pixels = torch.tensor([[1.3, -0.4, float("nan"), float("inf")]] * 3).view(3, 1, 4)
    ends = torch.tensor([[1.0, 0.0, 0.0, 1.0]] * 3).view(3, 1, 4)
    assert torch.equal(cube.apply(pixels), cube.apply(ends))


def test_identity_stays_identity_on_a_fine_ramp() -> None:
    ramp = torch.linspace(0, 1, 4097).expand(3, 1, 4097).contiguous()
    assert float((lut.identity(33).apply(ramp) - ramp).abs().max()) < 2e-7


def test_red_runs_fastest_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "swap.cube"
    grid = [(r, g, b) for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    path.write_text(
        '# a comment\nTITLE "red and blue # swapped"\n\nLUT_3D_SIZE 2\n' + "".join(f"{b} {g} {r}\n" for r, g, b in grid)
    )
    cube = lut.read(path)
    assert isinstance(cube, lut.Cube) and cube.title == "red and blue # swapped"
    assert cube.apply(torch.tensor([0.2, 0.4, 0.9]).view(3, 1, 1)).flatten().tolist() == pytest.approx([0.9, 0.4, 0.2])


def test_baking_samples_both_ends_exactly() -> None:
    cube = lut.bake(lambda pixels: pixels**2.2 * 0.9 + 0.05, 17)
    ends = torch.tensor([[0.0, 1.0]] * 3).view(3, 1, 2)
    assert torch.equal(cube.apply(ends), ends**2.2 * 0.9 + 0.05)


def test_a_written_lut_reads_back_the_same_everywhere(tmp_path: Path) -> None:
    def look(pixels: Tensor) -> Tensor:
        return pixels.clamp_min(0) ** 0.8 * torch.tensor([1.1, 1.0, 0.9]).view(3, 1, 1)

    for size in (17, 33, 65):
        path = tmp_path / f"look.{size}.cube"
        cube = lut.bake(look, size, title='a "look"', comments=("input: bt709", "output: bt709"))
        lut.write(cube, path)
        assert "TITLE \"a 'look'\"" in path.read_text() and "RANGE" not in path.read_text()
        found = {difference.reader: difference for difference in lut.verify(cube, path)}
        assert set(found) == {"OpenColorIO", "FFmpeg lut3d"}
        assert all(difference.largest < 1e-6 for difference in found.values())
        direct = lut.verify(look, path)
        assert all(1e-6 < difference.largest < 0.05 and difference.mean < 1e-3 for difference in direct)


def test_verify_finds_a_file_that_is_another_lut(tmp_path: Path) -> None:
    lut.write(lut.identity(17), tmp_path / "a.cube")
    wrong = lut.bake(lambda pixels: 1 - pixels, 17)
    assert all(difference.largest > 0.9 for difference in lut.verify(wrong, tmp_path / "a.cube"))


def test_a_shaper_carries_log_footage_beyond_one(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 4, 4096)
    shaper = lut.Curves((torch.log2(ramp + 0.05) + 5).div(8)[:, None].repeat(1, 3), (0.0,) * 3, (4.0,) * 3)
    cube = lut.bake(lambda pixels: pixels * 0.5, 17, shaper=shaper, title="log")
    lut.write(cube, tmp_path / "log.cube")
    (found,) = lut.verify(cube, tmp_path / "log.cube")
    assert found.reader == "OpenColorIO" and found.largest < 1e-5
    bright = cube.apply(torch.full((3, 1, 1), 3.0))
    assert float(bright[0]) == pytest.approx((np.log2(3.05) + 5) / 16, abs=1e-4)


def test_one_dimensional_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "curve.cube"
    path.write_text("LUT_1D_SIZE 3\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n0 0 0\n0.7 0.5 0.3\n1 1 1\n")
    curves = lut.read(path)
    assert isinstance(curves, lut.Curves)
    pixels = torch.tensor([0.25, 0.5, 0.75]).view(3, 1, 1)
    assert curves.apply(pixels).flatten().tolist() == pytest.approx([0.35, 0.5, 0.65])


def test_gradients_reach_the_table_and_the_pixels() -> None:
    table = noise(5, 5, 5, 3).double().requires_grad_()
    pixels = (noise(3, 2, 3, seed=2).double() * 0.9 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(lambda t, p: lut.Cube(t).apply(p), (table, pixels))


@pytest.mark.parametrize("text", ["LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0.0 2.0\n", "LUT_3D_SIZE 2\nDOMAIN_MAX 2 2 2\n"])
def test_both_range_keywords_are_honored(tmp_path: Path, text: str) -> None:
    path = tmp_path / "range.cube"
    path.write_text(text + rows(2))
    cube = lut.read(path)
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
        lut.read(path)


def test_a_missing_file_and_an_unwritable_place_are_answered(tmp_path: Path) -> None:
    with pytest.raises(ColorError, match=r"none\.cube: LUT cannot be read \(No such file"):
        lut.read(tmp_path / "none.cube")
    with pytest.raises(ColorError, match="cannot be written"):
        lut.write(lut.identity(2), tmp_path / "no folder" / "a.cube")


def test_nan_is_never_baked_or_written(tmp_path: Path) -> None:
    with pytest.raises(ColorError, match="NaN or infinity"):
        lut.bake(lambda pixels: pixels.log(), 5, title="log")
    table = noise(2, 2, 2, 3)
    table[0, 0, 0, 0] = float("nan")
    with pytest.raises(ColorError, match="was not written"):
        lut.write(lut.Cube(table), tmp_path / "a.cube")
    assert not list(tmp_path.iterdir())


def test_rows_for_ffmpeg_are_padded_with_what_its_filter_can_bear() -> None:
    import av

    def planes(frame: av.VideoFrame) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
        return [np.frombuffer(plane, np.float32).reshape(-1, plane.line_size // 4) for plane in frame.planes]

    for _ in range(8):  # memory that was used before: what pads the rows is there by chance
        for rows in planes(av.VideoFrame(101, 67, "gbrpf32le")):
            rows[:] = np.nan
    colors = torch.rand(3, 67, 101, generator=torch.Generator().manual_seed(1))
    for rows in planes(lut._planar(colors)):
        assert rows.shape[1] > 101 and bool((rows[:, 101:] == 0).all())
