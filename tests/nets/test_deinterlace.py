"""The deinterlacer as a network: small, turned over it is the same, what stands still is woven back."""

from typing import Any

import pytest
import torch
from torch import Tensor

from answerprint.inference import engine
from answerprint.nets import deinterlace as nets
from answerprint.nets.deinterlace import Config, Deinterlacer

CPU = torch.device("cpu")
SMALL = {"widths": (8, 8, 8)}


def network(**dimensions: Any) -> Deinterlacer:
    torch.manual_seed(1)
    return Deinterlacer(Config(told="differences", **dimensions)).eval()


def pictures(count: int = 5, height: int = 64, width: int = 64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.rand(3, height, width, generator=generator) for _ in range(count)]


def planes(moments: list[Tensor]) -> list[Tensor]:
    return [part[None] for part in nets.first_inputs(moments)]


def test_it_is_small() -> None:
    assert sum(parameter.numel() for parameter in network().parameters()) <= 150_000


def test_it_is_told_the_lines_of_the_moments() -> None:
    # Too small to look for motion in: what is moved stays as it is.
    moments = [torch.full((3, 6, 4), float(t)) + torch.arange(6.0)[:, None] / 10 for t in range(5)]
    lines, between = torch.tensor([0.0, 0.2, 0.4]), torch.tensor([0.1, 0.3, 0.4])
    fields = [2.0 + lines, 1.1 + lines, 3.1 + lines, 0.0 + lines, 4.0 + lines]
    first = [*fields, 1.1 + lines, 3.1 + lines, 2.0 + between, torch.zeros(3)]
    for expected, part in zip(first, nets.first_inputs(moments), strict=True):
        assert torch.allclose(part[0, :, 0], expected)
    made = [moment + 0.01 for moment in moments[1:4]]
    second = [*fields, 1.11 + lines, 3.11 + lines, 2.11 + lines, torch.ones(3)]
    for expected, part in zip(second, nets.refinement_inputs(moments, made), strict=True):
        assert torch.allclose(part[0, :, 0], expected)


@torch.no_grad()
def test_it_answers_in_the_fields_own_size() -> None:
    assert network(**SMALL)(*planes(pictures())).shape == (1, 3, 32, 64)


@torch.no_grad()
def test_folding_keeps_every_pixel_at_its_place() -> None:
    lines = torch.rand(2, 1, 6, 16)
    assert torch.equal(nets._unfold(nets._fold(lines)), lines)


@torch.no_grad()
@pytest.mark.parametrize("guess", range(5))
def test_a_guess_it_is_sure_of_comes_out_as_it_is(guess: int) -> None:
    made = network(**SMALL)
    made.head.weight.zero_()
    made.head.bias.zero_()
    made.head.bias[guess * nets.FOLD : (guess + 1) * nets.FOLD] = 60.0
    told = planes(pictures())
    _, before, after, _, _, came, goes, expected, _ = told
    guesses = (expected, before, after, came, goes)
    assert torch.allclose(made(*told), guesses[guess], atol=1e-6)


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("size", [(64, 96), (65, 70), (3, 5), (2, 2)])
def test_the_kept_lines_stay_and_what_stands_still_is_woven(parity: int, size: tuple[int, int]) -> None:
    run = engine.ready(nets.Steady(network(**SMALL)), CPU, "fp32")
    check_lines(run, parity, size)


def test_the_quickest_way_to_run_it_is_as_true() -> None:
    check_lines(nets.ready(network(**SMALL), CPU), 0, (402, 512))


def check_lines(run: Any, parity: int, size: tuple[int, int]) -> None:
    moving = [torch.rand(3, *size, generator=torch.Generator().manual_seed(t)) for t in range(5)]
    for before in (None, tuple(moving[1:4])):
        made = nets.fill(run, moving, parity, last_pass=before)
        assert torch.equal(made[:, parity::2], moving[2][:, parity::2])
        assert made.shape == (3, *size)
        assert torch.equal(nets.fill(run, [moving[0]] * 5, parity, last_pass=before), moving[0])


@pytest.mark.parametrize("over", [False, True])
def test_a_bottom_field_is_a_top_field_upside_down(over: bool) -> None:
    run = engine.ready(nets.Steady(network(**SMALL)), CPU, "fp32")
    moments = [torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(t)) for t in range(5)]
    turned = [moment.flip(-2) for moment in moments]
    made, made_turned = (tuple(each[1:4]) if over else None for each in (moments, turned))
    upright = nets.fill(run, turned, 0, last_pass=made_turned)
    assert torch.equal(nets.fill(run, moments, 1, last_pass=made), upright.flip(-2))


@pytest.mark.parametrize("moves", [False, True])
def test_under_noise_what_stands_still_is_woven_and_what_moves_is_not(moves: bool) -> None:
    run = engine.ready(nets.Steady(network(**SMALL)), CPU, "fp32")
    stripes = torch.zeros(3, 64, 96)
    stripes[:, ::2] = 1.0  # one-line stripes: half of them in no field but the other
    moments = [torch.roll(stripes, 5 * t * moves, 2) for t in range(5)]
    if moves:
        moments = [moment.clone() for moment in moments]
        for t, moment in enumerate(moments):
            moment[:, :, 12 * t : 12 * t + 30] = 0.4
    noisy = [m + 0.01 * torch.randn(m.shape, generator=torch.Generator().manual_seed(t)) for t, m in enumerate(moments)]
    made = nets.fill(run, noisy, 0, noise=0.01)
    woven = (noisy[1] + noisy[3])[:, 1::2] / 2
    same = float((made[:, 1::2] - woven).abs().lt(1e-6).float().mean())
    assert same < 0.7 if moves else same > 0.99
