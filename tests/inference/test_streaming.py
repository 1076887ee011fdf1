"""Temporal networks on large pictures: no seam in space, nothing lost in time, memory that does not grow."""

import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from answerprint.inference import streaming
from answerprint.nets.denoise import Config, Denoiser, Streamed

CPU = torch.device("cpu")


def network() -> Denoiser:
    torch.manual_seed(3)
    net = Denoiser(Config(widths=(8, 12, 16), blocks=(1, 1, 1), temporal=True)).eval()
    with torch.no_grad():
        for stage in net.stages:
            torch.nn.init.normal_(stage.neighbors.weight, std=0.05)
        net.head.weight.mul_(6)
    return net


def footage(count: int, height: int, width: int, seed: int = 1) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        noisy = torch.rand(1, 3, height, width, generator=generator)
        yield noisy, torch.full_like(noisy, 0.1), torch.zeros(1, 1, height, width)


def run(stream: Streamed, count: int, size: tuple[int, int], **how: Any) -> list[Tensor]:
    how = {"multiple": 8, "tile": 128, "overlap": 64} | how
    return list(streaming.frames(stream, footage(count, *size), **how))


@torch.no_grad()
def test_tiles_have_no_seam_and_no_frame_is_lost() -> None:
    stream, size = Streamed(network(), CPU, "fp32"), (150, 237)
    whole, tiles = run(stream, 8, size, tile=256), run(stream, 8, size)
    assert len(whole) == len(tiles) == 8 and tiles[0].shape == (1, 3, *size)
    for t, (clean, noisy) in enumerate(zip(whole, footage(8, *size), strict=True)):
        change = float((clean - noisy[0]).abs().mean())
        error = (clean - tiles[t]).abs()[0].mean(0)
        assert change > 0.005
        assert -10 * math.log10(float((clean - tiles[t]).square().mean()) + 1e-30) > 70
        assert float(error.mean(0).max()) < 0.02 * change and float(error.mean(1).max()) < 0.02 * change


@torch.no_grad()
@pytest.mark.parametrize("most", [1, 3])
def test_memory_on_disk_and_turns_of_several_frames_change_nothing(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, size = Streamed(network(), CPU, "fp32"), (136, 200)
    held = run(stream, 7, size)
    monkeypatch.setattr(streaming, "MOST", most)
    for room in (0, 300_000):
        assert all(torch.equal(a, b) for a, b in zip(held, run(stream, 7, size, room=room), strict=True))


@torch.no_grad()
@pytest.mark.parametrize("count", [0, 1, 2, 6])
def test_shots_of_any_length(count: int) -> None:
    assert len(run(Streamed(network(), CPU, "fp32"), count, (136, 200))) == count


@torch.no_grad()
def test_chunks_of_a_large_picture_are_the_whole_bit_for_bit() -> None:
    stream, size = Streamed(network(), CPU, "fp32"), (136, 200)
    frames = list(footage(16, *size))
    how = {"multiple": 8, "tile": 128, "overlap": 64}
    whole = list(streaming.frames(stream, iter(frames), **how))
    chunk = list(streaming.frames(stream, iter(frames[1:14]), **how))
    for t in range(6, 9):
        assert torch.equal(chunk[t - 1], whole[t])


PEAK = """
import torch
from answerprint.inference import streaming
from answerprint.nets.denoise import Config, Denoiser, Streamed
torch.set_num_threads(1)
def footage(height, width):
    for t in range(8):
        noisy = torch.rand(1, 3, height, width)
        yield noisy, torch.full_like(noisy, 0.1), torch.zeros(1, 1, height, width)
net = Denoiser(Config(widths=(64, 64, 64), blocks=(1, 1, 1), temporal=True)).eval()
stream = Streamed(net, torch.device("cpu"), "fp32")
for _ in streaming.frames(stream, footage(512, 768), multiple=8, tile=192, room={room}):
    pass
# Not getrusage: its peak outlives exec, and would be that of the tests.
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_what_tiles_remember() -> None:
    held, parked = (
        int(subprocess.run([sys.executable, "-c", PEAK.format(room=room)], capture_output=True, check=True).stdout)
        for room in (1 << 40, 0)
    )
    remembered = 500 * 512 * 768  # what the five stages of this network remember of a picture of this size
    assert parked < held - 0.6 * remembered
