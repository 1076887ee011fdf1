"""The bench of looks compares like with like: shots as a job cuts them, every content with every look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from answerprint.errors import SettingsError
from benchmarks import look
from benchmarks.look import nearness, steadiness


def _scene(seed: int, height: int = 72, width: int = 96) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((6, 8, 3), np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder, seeds in (("photo_contents", (1, 2)), ("photo_looks", (3, 4))):
        (tmp_path / "style" / folder).mkdir(parents=True)
        for seed in seeds:
            cv2.imwrite(str(tmp_path / "style" / folder / f"{seed}.png"), (_scene(seed) * 255).astype(np.uint8))
    return tmp_path


def _clip(folder: Path, lengths: tuple[int, ...]) -> Path:
    """A folder of frames: one scene after the other, each sliding a pixel a frame."""
    folder.mkdir()
    numbers = iter(range(100))
    for seed, length in enumerate(lengths):
        wide = _scene(10 + seed, width=160)
        for i in range(length):
            cv2.imwrite(str(folder / f"f{next(numbers):03}.png"), (wide[:, i : i + 96] * 255).astype(np.uint8))
    return folder


def test_a_clip_is_cut_as_a_job_cuts_it_and_its_longest_shots_are_taken(tmp_path: Path) -> None:
    shots = steadiness.shots_of(_clip(tmp_path / "clip", (14, 9, 17)))
    assert [(shot.name, shot.start, shot.length) for shot in shots] == [("clip 001", 0, 14), ("clip 003", 23, 17)]
    first = next(iter(shots[1].frames(0, 1))).pixels
    assert torch.allclose(first, torch.from_numpy(_scene(12, width=160)[:, :96, ::-1].copy()).movedim(-1, 0), atol=0.01)
    assert len(list(shots[0].frames())) == 14, "no frame of the next shot"


def test_every_content_meets_every_look(data: Path) -> None:
    table = nearness.every_pair(data, quick=False)
    assert table.title.endswith(": 4")
    rows: dict[Any, Any] = {row[0]: row[1] for row in table.rows}
    assert rows["distance to the look, look (extended)"] < rows["distance to the look, reinhard"]
    assert rows["SSIM of luma, look (extended)"] >= rows["SSIM of luma, reinhard"]
    assert table.met


def test_it_needs_data(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--data"):
        next(look.run(None, quick=True))
    with pytest.raises(SettingsError, match="--data"):
        next(look.run(tmp_path, quick=True))
