"""Missing lines that are made."""

from __future__ import annotations

import pytest
import torch

from answerprint.fields import weave
from answerprint.fields.weave import FieldNeighbors
from pictures import bars, psnr


@pytest.mark.parametrize("angle", [2.0, 3.0, -2.5])
def test_slanted_edges_are_not_jagged(angle: float) -> None:
    picture = bars(0, angle)
    made = weave.fill(picture, 0)
    plain = picture.clone()
    plain[:, 1:-1:2] = (picture[:, :-2:2] + picture[:, 2::2]) / 2
    inside = (slice(None), slice(4, -4), slice(12, -12))
    assert psnr(made[inside], picture[inside]) > psnr(plain[inside], picture[inside]) + 4


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("size", [(40, 33), (41, 20), (2, 5), (3, 3)])
def test_own_lines_are_kept_and_other_field_is_not_read(parity: int, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    parts = [torch.rand((3, *size), generator=generator) for _ in range(5)]
    spoiled = parts[0].clone()
    spoiled[:, 1 - parity :: 2] = 7.0
    for neighbors in (None, FieldNeighbors(*parts[1:])):
        made = weave.fill(parts[0], parity, neighbors)
        assert torch.equal(made[:, parity::2], parts[0][:, parity::2])
        assert torch.equal(weave.fill(spoiled, parity, neighbors), made)


def test_threads_change_no_value() -> None:
    generator = torch.Generator().manual_seed(2)
    parts = [torch.rand((3, 200, 64), generator=generator) for _ in range(5)]
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(weave.fill(parts[0], 1, FieldNeighbors(*parts[1:]), 0.01))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
