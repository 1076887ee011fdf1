"""The bench of speed: every contender does the same work, and the table tells what it measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from answerprint.frame import Frame
from benchmarks.look import speed
from footage import shared


def test_all_who_take_the_lut_give_the_same_picture(tmp_path: Path) -> None:
    pixels = torch.rand(3, 54, 96, generator=torch.Generator().manual_seed(1))
    contenders = speed._contenders(pixels)
    ours = contenders["LUT"]()
    assert isinstance(ours, Frame)
    theirs = contenders["FFmpeg lut3d"]()
    planes = [np.frombuffer(p, np.float32).reshape(-1, p.line_size // 4)[:54, :96] for p in theirs.planes]  # type: ignore[attr-defined]
    assert float(np.abs(np.stack([planes[2], planes[0], planes[1]]) - ours.pixels.numpy()).max()) < 1e-5
    numbers = contenders["parameters"]()
    assert isinstance(numbers, Frame)
    assert float((numbers.pixels - ours.pixels).abs().mean()) < 1e-3  # the LUT is of these parameters
    interleaved = contenders["OpenColorIO"]()
    assert isinstance(interleaved, np.ndarray)
    assert float(np.abs(interleaved.transpose(2, 0, 1) - ours.pixels.numpy()).max()) < 1e-5


@pytest.mark.footage
def test_the_table_holds_every_size_and_asks_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    data = shared("style").parent
    monkeypatch.setattr(speed, "SIZES", {"small": (96, 54), "odd": (101, 67)})
    monkeypatch.setattr(speed, "_rounds", lambda width, height: 2)
    table = speed.speed(data, quick=False)
    assert [row[:2] for row in table.rows] == [
        (size, kind) for size in ("small", "odd") for kind in ("photograph", "noise")
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert all(
        isinstance(number, float) and math.isfinite(number) and number > 0 for row in table.rows for number in row[2:]
    )
    worst = max(float(row[7] or 0) for row in table.rows)
    assert table.targets[0].figure == worst
