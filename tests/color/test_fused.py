"""The fused kernels: the numbers of the double-precision reference, broken values, memory that is handed out again."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from answerprint.color import fused, grade, program
from answerprint.color.steps import GradeSteps
from answerprint.color.values import CURVE
from answerprint.operations import grade as operation

FULL = {
    "temperature": 12, "tint": -5, "slope": (1.15, 0.95, 0.9), "offset": (0.02, -0.03, 0.03), "power": (1.2, 0.9, 1.05),
    "saturation": 1.2, "contrast": 1.15, "gamma": 1.1, "hue": -8,
}  # fmt: skip
BENT = (0.02, 0.09, 0.2, 0.5, 0.8, 0.93, 0.98)


def picture(low: float = -0.5, high: float = 3.0) -> Tensor:
    """Sub-blacks and super-whites; odd in size, so that no block is whole."""
    return torch.rand(3, 67, 101, generator=torch.Generator().manual_seed(3)) * (high - low) + low


def stepped(step: program.Step, pixels: Tensor) -> Tensor:
    return fused.run(program.Program().after([step]), pixels)


def of(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).expand(3, 1, -1).contiguous()


@pytest.mark.parametrize("exponent", [0.1, 1 / 2.4, 0.9, 1.1, 2.2, 8.0])
def test_a_power_is_exact_to_single_precision(exponent: float) -> None:
    pixels = picture()
    found = stepped(program.power([exponent, 1.0, exponent]), pixels)
    wanted = grade.raised(pixels.double(), torch.tensor(exponent, dtype=torch.float64))
    error = (found - wanted).abs() / wanted.abs().clamp_min(1.0)
    assert float(error[[0, 2]].max()) < 3e-7 + 5e-7 * exponent
    assert torch.equal(found[1], pixels[1])


def test_values_that_a_power_cannot_take_stay_in_bounds() -> None:
    odd = [0.0, -0.0, -1.0, 1.0, 1e-40, 1e30, float("inf"), float("nan")]
    for exponent in (0.01, 0.5, 3.0, 100.0):
        found = stepped(program.power([exponent] * 3), of(odd))[0, 0].tolist()
        assert found[:4] == [0.0, 0.0, -1.0, 1.0]
        assert 0 <= found[4] < 1 and 1 < found[5] <= found[6] * 1.001 and np.isfinite(found[6]) and np.isnan(found[7])
        mirrored = stepped(program.power([exponent] * 3, mirrored=True), of([-0.5, 0.5, 0.0, -1.0]))[0, 0].tolist()
        assert mirrored[0] == -mirrored[1] and mirrored[2:] == [0.0, -1.0]


def test_tone_curves_are_the_differentiable_ones_and_go_on_straight() -> None:
    pixels = picture(-2, 5)
    outputs = np.array([BENT, CURVE, (*CURVE[:-1], 1.1)])
    grading = GradeSteps((("tone curves", np.array([CURVE, *outputs])),), None)
    wanted = grade.curve(pixels.double(), CURVE, torch.from_numpy(outputs))
    graded = fused.run(grading.program, pixels)
    assert float((graded - wanted).abs().max()) < 2e-6
    assert torch.equal(graded[1], pixels[1])  # the neutral one is exactly neutral
    assert float((grading.apply(pixels) - graded).abs().max()) < 3e-6


@pytest.mark.parametrize("low,high,bound", [(0.0, 1.0, 2e-6), (-0.5, 3.0, 6e-6)])
def test_a_full_grade_is_the_reference_to_single_precision(low: float, high: float, bound: float) -> None:
    pixels = picture(low, high)
    params = operation.Params.of(FULL)
    curves = ("tone curves", np.array([CURVE, BENT, CURVE, BENT]))
    grading = GradeSteps((*operation.steps(params).steps, curves), None)
    wanted = grade.white_balance(pixels.double(), 12.0, -5.0)
    wanted = grade.cdl(wanted, FULL["slope"], FULL["offset"], FULL["power"], FULL["saturation"])
    wanted = grade.hue(grade.gamma(grade.contrast(wanted, FULL["contrast"]), FULL["gamma"]), FULL["hue"])
    wanted = grade.curve(wanted, CURVE, torch.tensor([BENT, CURVE, BENT], dtype=torch.float64))
    assert float((fused.run(grading.program, pixels) - wanted).abs().max()) < bound


def test_a_large_picture_is_shared_by_threads_bit_for_bit() -> None:
    pixels = torch.rand(3, 300, 401, generator=torch.Generator().manual_seed(1))
    program = operation.steps(operation.Params.of(FULL)).program
    alone = fused.run(program, pixels)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(3) as pool:
            assert torch.equal(fused.run(program, pixels, pool=pool), alone)
    finally:
        torch.set_num_threads(threads)


def test_memory_is_used_again_only_when_no_view_of_it_is_left() -> None:
    spare = fused.Spare()
    first = spare.take((3, 4, 5))
    row, place = first[1, 2], first.data_ptr()
    row.fill_(7.0)
    del first
    other = spare.take((3, 4, 5))
    assert other.data_ptr() != place
    other.fill_(0.0)
    assert row.tolist() == [7.0] * 5
    del row
    again = spare.take((3, 4, 5))
    assert again.data_ptr() == place
    del again
    assert spare.take((3, 5, 5)).shape == (3, 5, 5)  # another size is other memory
    array = spare.take((3, 4, 5)).numpy()  # held by NumPy only
    array[:] = 5.0
    spare.take((3, 4, 5)).fill_(1.0)
    assert float(array.min()) == 5.0
