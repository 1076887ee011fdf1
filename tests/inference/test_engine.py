"""The engine: no seam, any size, fast back ends near float32."""

import importlib.util
import itertools
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from answerprint.inference import engine
from answerprint.nets.denoise import Config, Denoiser, Streamed

CPU = torch.device("cpu")


def trained_like(widths: tuple[int, ...] = (16, 24, 32)) -> Denoiser:
    """Weights that do something of the size a trained denoiser does."""
    torch.manual_seed(3)
    net = Denoiser(Config(widths=widths, blocks=(1, 1, 2)))
    with torch.no_grad():
        net.head.weight.mul_(4)
    return net.eval()


def planes(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    noisy = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    return noisy, torch.full_like(noisy, 0.1), torch.zeros(1, 1, height, width)


def decibels(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(float((a - b).double().square().mean()) + 1e-30)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 31), (64, 48)])
def test_any_size_comes_back_as_it_was(size: tuple[int, int]) -> None:
    run = engine.ready(trained_like(), CPU, "fp32")
    made = engine.tiled(run, planes(*size))
    assert made.shape == (1, 3, *size) and bool(torch.isfinite(made).all())


def test_a_picture_in_tiles_has_no_seam() -> None:
    run = engine.ready(trained_like(), CPU, "fp32")
    inputs = planes(200, 264)
    whole, tiles = run(*inputs), engine.tiled(run, inputs, tile=128, overlap=64)
    changed = (whole - inputs[0]).abs().mean()
    assert float(changed) > 0.005  # the network does something
    assert decibels(whole, tiles) > 70
    # No line of the difference stands out: a seam would be a row or column of much larger error.
    error = (whole - tiles).abs()[0].mean(0)
    assert float(error.mean(0).max()) < 0.02 * float(changed) and float(error.mean(1).max()) < 0.02 * float(changed)


def test_tiles_cover_everything_and_fade_into_each_other() -> None:
    total = torch.zeros(300, 410)
    tiles = engine.grid(300, 410, 128, 32)
    assert {(tile.height, tile.width) for tile in tiles} == {(122, 128)}, "no larger than needed"
    for tile in tiles:
        tile.cut(total).add_(engine.feather(tile, 300, 410, 32))
    assert float(total.min()) > 0.3
    steps = engine.feather(tiles[0], 300, 410, 32)[5].diff().abs()
    assert float(steps.max()) < 0.1 and float(engine.feather(tiles[0], 300, 410, 32)[0, 0]) == 1


@pytest.mark.parametrize("length", [129, 136, 200, 1080, 1088, 2160, 4320])
@pytest.mark.parametrize("multiple", [1, 8])
def test_neighboring_tiles_share_at_least_the_overlap(length: int, multiple: int) -> None:
    length += -length % multiple
    tiles = engine.grid(8, length, 128, 32, multiple)
    ends = [tile.left + tile.width for tile in tiles]
    assert tiles[0].left == 0 and ends[-1] == length
    for before, after in itertools.pairwise(tiles):
        assert before.left + before.width - after.left >= 32
    assert {tile.width for tile in tiles} == {tiles[0].width} and tiles[0].width <= 128
    assert all(tile.left % multiple == 0 and tile.width % multiple == 0 for tile in tiles)


def test_memory_does_not_grow_with_the_picture() -> None:
    seen = []

    def run(picture: Tensor) -> Tensor:
        seen.append(picture.shape[-2] * picture.shape[-1])
        return picture

    picture = torch.rand(1, 3, 700, 900)
    assert torch.allclose(engine.tiled(run, [picture], tile=256, overlap=32), picture, atol=1e-5)
    assert max(seen) <= 256 * 256


@pytest.mark.parametrize("backend", ["bf16", "openvino"])
def test_fast_back_ends_are_within_70_db_of_float32(backend: str) -> None:
    if backend == "openvino" and not importlib.util.find_spec("openvino"):
        pytest.skip("openvino is not installed")
    net, inputs = trained_like(), planes(64, 96)
    exact = engine.ready(net, CPU, "fp32")(*inputs)
    fast = engine.ready(net, CPU, backend)(*inputs)
    assert fast.dtype == torch.float32
    assert decibels(exact, fast) > 70
    assert decibels(exact, inputs[0]) < 45  # it did take something away


def test_what_a_network_leaves_of_the_picture_is_not_rounded_to_bf16() -> None:
    """The picture itself has to come through a fast back end whole: only the change may be coarse."""
    net = trained_like()
    torch.nn.init.zeros_(net.head.weight)
    inputs = planes(16, 24)
    assert torch.equal(engine.ready(net, CPU, "bf16")(*inputs), inputs[0])


@pytest.mark.parametrize("backend", ["bf16", "openvino"])
def test_streaming_runs_on_the_fast_back_ends_too(backend: str) -> None:
    if backend == "openvino" and not importlib.util.find_spec("openvino"):
        pytest.skip("openvino is not installed")
    torch.manual_seed(3)
    net = Denoiser(Config(widths=(8, 12, 16), blocks=(1, 1, 1), temporal=True)).eval()
    for stage in net.stages:
        torch.nn.init.normal_(stage.neighbors.weight, std=0.05)
    frames = [planes(32, 48) for _ in range(3)]
    exact = list(Streamed(net, CPU, "fp32").frames(iter(frames)))
    fast = list(Streamed(net, CPU, backend).frames(iter(frames)))
    assert min(decibels(a, b) for a, b in zip(exact, fast, strict=True)) > 70


def test_the_back_end_is_one_that_runs_here() -> None:
    backend = engine.choose(CPU)
    made = engine.ready(torch.nn.Conv2d(3, 3, 3, padding=1), CPU, backend)(torch.rand(1, 3, 16, 16))
    assert made.shape == (1, 3, 16, 16)


def test_padding_mirrors_and_repeats_where_there_is_too_little() -> None:
    (mirrored,) = engine.padded([torch.arange(6.0).view(1, 1, 1, 6).expand(1, 1, 6, 6)], 8)
    assert mirrored[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 4, 3]
    (repeated,) = engine.padded([torch.ones(1, 1, 1, 1)], 8)
    assert torch.equal(repeated, F.pad(torch.ones(1, 1, 1, 1), (0, 7, 0, 7), mode="replicate"))


def test_nothing_of_the_network_leaves_the_machine(tmp_path: Path) -> None:
    """OpenVINO tells its maker of every use, under a name that it leaves in the home folder."""
    if not importlib.util.find_spec("openvino"):
        pytest.skip("openvino is not installed")
    script = (
        "import sys, torch\n"
        "from answerprint.inference import engine\n"
        "made = engine.ready(torch.nn.Conv2d(3, 3, 1), torch.device('cpu'), 'openvino')(torch.rand(1, 3, 16, 16))\n"
        "assert made.shape == (1, 3, 16, 16)\n"
        "assert sys.modules.get('openvino_telemetry') is None\n"
    )
    watched = {"CI", "TF_BUILD", "JENKINS_URL"}  # where it keeps quiet by itself
    environment = {name: value for name, value in os.environ.items() if name not in watched}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment | {"HOME": str(tmp_path)})
    assert not list(tmp_path.iterdir())


def test_a_network_that_goes_by_the_size_of_its_input_is_made_ready_in_silence() -> None:
    if not importlib.util.find_spec("openvino"):
        pytest.skip("openvino is not installed")

    class Halved(torch.nn.Module):
        def forward(self, plane: Tensor) -> Tensor:
            return plane * 0.5 if plane.shape[-1] > 8 else plane / len(plane[0])

    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        made = engine.ready(Halved(), CPU, "openvino")(torch.ones(1, 3, 16, 16))
    assert torch.allclose(made, torch.full((1, 3, 16, 16), 0.5))
