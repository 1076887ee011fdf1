"""LUT files read back through OpenColorIO and FFmpeg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from answerprint.color import cube_file, lut, readback


def test_a_written_lut_reads_back_the_same_everywhere(tmp_path: Path) -> None:
    def look(pixels: Tensor) -> Tensor:
        return pixels.clamp_min(0) ** 0.8 * torch.tensor([1.1, 1.0, 0.9]).view(3, 1, 1)

    for size in (17, 33, 65):
        path = tmp_path / f"look.{size}.cube"
        cube = lut.bake(look, size, title='a "look"', comments=("input: bt709", "output: bt709"))
        cube_file.write(cube, path)
        assert "TITLE \"a 'look'\"" in path.read_text() and "RANGE" not in path.read_text()
        found = {difference.reader: difference for difference in readback.verify(cube, path)}
        assert set(found) == {"OpenColorIO", "FFmpeg lut3d"}
        assert all(difference.largest < 1e-6 for difference in found.values())
        direct = readback.verify(look, path)
        assert all(1e-6 < difference.largest < 0.05 and difference.mean < 1e-3 for difference in direct)


def test_verify_finds_a_file_that_is_another_lut(tmp_path: Path) -> None:
    cube_file.write(lut.identity(17), tmp_path / "a.cube")
    wrong = lut.bake(lambda pixels: 1 - pixels, 17)
    assert all(difference.largest > 0.9 for difference in readback.verify(wrong, tmp_path / "a.cube"))


def test_a_shaper_carries_log_footage_beyond_one(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 4, 4096)
    shaper = lut.Curves((torch.log2(ramp + 0.05) + 5).div(8)[:, None].repeat(1, 3), (0.0,) * 3, (4.0,) * 3)
    cube = lut.bake(lambda pixels: pixels * 0.5, 17, shaper=shaper, title="log")
    cube_file.write(cube, tmp_path / "log.cube")
    (found,) = readback.verify(cube, tmp_path / "log.cube")
    assert found.reader == "OpenColorIO" and found.largest < 1e-5
    bright = cube.apply(torch.full((3, 1, 1), 3.0))
    assert float(bright[0]) == pytest.approx((np.log2(3.05) + 5) / 16, abs=1e-4)


def test_rows_for_ffmpeg_are_padded_with_what_its_filter_can_bear() -> None:
    import av

    def planes(frame: av.VideoFrame) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
        return [np.frombuffer(plane, np.float32).reshape(-1, plane.line_size // 4) for plane in frame.planes]

    for _ in range(8):  # memory that was used before: what pads the rows is there by chance
        for rows in planes(av.VideoFrame(101, 67, "gbrpf32le")):
            rows[:] = np.nan
    colors = torch.rand(3, 67, 101, generator=torch.Generator().manual_seed(1))
    for rows in planes(readback._planar(colors)):
        assert rows.shape[1] > 101 and bool((rows[:, 101:] == 0).all())
