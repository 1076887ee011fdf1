"""The bench of deinterlacing compares like with like: every method gives every moment, at its place in time."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from answerprint.errors import SettingsError
from answerprint.metrics.quality import psnr
from benchmarks import deinterlace as bench


def moments(count: int = 10, height: int = 64, width: int = 96) -> list[Tensor]:
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    planes = [0.5 + 0.3 * torch.sin((x - 2.5 * t) / 7 + y / 9) for t in range(count)]
    return [plane.expand(3, -1, -1).contiguous() for plane in planes]


@pytest.mark.parametrize("name", [*bench.PEERS, "ours", "ours, 2 passes", "ours, 3 passes", "ours, adaptive"])
def test_every_method_gives_every_moment_at_its_place(name: str) -> None:
    truth = moments()
    made = bench._methods("field", bench.woven(truth))[name]()
    assert len(made) == len(truth)
    for u in range(bench.EDGE, len(truth) - bench.EDGE):
        here = psnr(made[u], truth[u])
        assert here > 32
        assert here > psnr(made[u], truth[u - 1]) + 5 and here > psnr(made[u], truth[u + 1]) + 5


@pytest.mark.parametrize("name", [*bench.PEERS, "ours"])
def test_at_frame_rate_the_first_field_of_each_frame_is_shown(name: str) -> None:
    truth = moments()
    made = bench._methods("frame", bench.woven(truth))[name]()
    assert len(made) == len(truth) // 2
    assert psnr(made[2], truth[4]) > psnr(made[2], truth[5]) + 5


def test_it_needs_clips(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs --data"):
        next(bench.run(None, True))
