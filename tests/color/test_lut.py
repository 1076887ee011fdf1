"""LUTs: exact interpolation, and baking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813
import pytest
import torch
from torch import Tensor

from answerprint.color import cube_file, lut
from answerprint.errors import ColorError


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def opencolorio(path: Path, pixels: Tensor) -> Tensor:
    transform = ocio.FileTransform(str(path), interpolation=ocio.INTERP_TETRAHEDRAL)
    processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    data = np.ascontiguousarray(pixels.reshape(3, -1).T.numpy())
    processor.applyRGB(data)
    return torch.from_numpy(data).T.reshape(pixels.shape)


@pytest.mark.parametrize("size", [2, 17, 33])
def test_interpolation_is_opencolorios(tmp_path: Path, size: int) -> None:
    cube = lut.Cube(noise(size, size, size, 3), title="noise")
    cube_file.write(cube, tmp_path / "noise.cube")
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
    cube_file.write(cube, tmp_path / "wide.cube")
    pixels = noise(3, 20, 30) * 3 - 1
    assert float((cube.apply(pixels) - opencolorio(tmp_path / "wide.cube", pixels)).abs().max()) < 1e-5
    again = cube_file.read(tmp_path / "wide.cube")
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


def test_baking_samples_both_ends_exactly() -> None:
    cube = lut.bake(lambda pixels: pixels**2.2 * 0.9 + 0.05, 17)
    ends = torch.tensor([[0.0, 1.0]] * 3).view(3, 1, 2)
    assert torch.equal(cube.apply(ends), ends**2.2 * 0.9 + 0.05)


def test_gradients_reach_the_table_and_the_pixels() -> None:
    table = noise(5, 5, 5, 3).double().requires_grad_()
    pixels = (noise(3, 2, 3, seed=2).double() * 0.9 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(lambda t, p: lut.Cube(t).apply(p), (table, pixels))


def test_nan_is_never_baked() -> None:
    with pytest.raises(ColorError, match="NaN or infinity"):
        lut.bake(lambda pixels: pixels.log(), 5, title="log")
