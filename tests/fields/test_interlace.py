"""Fields: lines that are made, combs that are seen, order and cadence that are measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from answerprint.fields import interlace
from answerprint.fields.interlace import Around


def bars(shift: float, angle: float, height: int = 80, width: int = 160) -> Tensor:
    """A soft-edged slanted bar; `angle` is its run in pixels per line."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    across = (x - angle * y - shift) % 60
    picture = torch.sigmoid((across - 15) * 2) * torch.sigmoid((45 - across) * 2)
    return picture.expand(3, height, width).contiguous()


def psnr(one: Tensor, other: Tensor) -> float:
    return float(-10 * torch.log10((one - other).square().mean().clamp(min=1e-12)))


@pytest.mark.parametrize("angle", [2.0, 3.0, -2.5])
def test_slanted_edges_are_not_jagged(angle: float) -> None:
    picture = bars(0, angle)
    made = interlace.fill(picture, 0)
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
    for around in (None, Around(*parts[1:])):
        made = interlace.fill(parts[0], parity, around)
        assert torch.equal(made[:, parity::2], parts[0][:, parity::2])
        assert torch.equal(interlace.fill(spoiled, parity, around), made)


def test_threads_change_no_value() -> None:
    generator = torch.Generator().manual_seed(2)
    parts = [torch.rand((3, 200, 64), generator=generator) for _ in range(5)]
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(interlace.fill(parts[0], 1, Around(*parts[1:]), 0.01))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_combs_are_seen_where_things_move_and_fine_still_lines_are_not_combs() -> None:
    one, two = bars(0, 0.3)[0], bars(9, 0.3)[0]
    assert interlace.combed(interlace.weave(one, two), [one, two])
    assert not interlace.combed(one, [two])
    stripes = torch.zeros(64, 64)
    stripes[::2] = 1.0
    assert not interlace.combed(stripes, [stripes, stripes])


def test_noise_level_is_measured_on_still_and_moving_pictures() -> None:
    generator = torch.Generator().manual_seed(3)
    for second in (bars(0, 0.3)[0], bars(11, 0.3)[0]):
        noisy = [part + 0.02 * torch.randn(part.shape, generator=generator) for part in (bars(0, 0.3)[0], second)]
        assert interlace.noise_level(*noisy) == pytest.approx(0.02, rel=0.25)
    assert interlace.noise_level(bars(0, 0.3)[0], bars(11, 0.3)[0]) < 0.002


def test_nothing_that_moves_says_nothing_of_the_order() -> None:
    still = bars(0, 0.3)[0]
    assert interlace.field_order([interlace.pairing(still, still, 0.0)] * 4).name == "unknown"
    assert interlace.field_order([]).name == "unknown"
    assert interlace.pulldown({}).sure == 0.0
    assert interlace.pulldown(dict.fromkeys(range(20), 0.0)).sure == 0.0


def test_only_a_steady_pattern_is_a_pulldown() -> None:
    steady = {u: 0.0 if u % 5 == 4 else 1.0 for u in range(24)}
    assert interlace.pulldown(steady) == interlace.Pulldown(phase=2, sure=1.0)
    video = {u: 1.0 + 0.1 * (u % 3) for u in range(24)}
    assert interlace.pulldown(video).sure < 0.2
    # One still moment in the middle is no cadence.
    moment = {u: 0.0 if u == 9 else 1.0 for u in range(24)}
    assert interlace.pulldown(moment).sure < 0.4


@pytest.mark.parametrize("light", [1.0, 0.9])
def test_fields_and_pictures_beside_are_moved_to_where_things_are_now_in_the_light_of_now(light: float) -> None:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(160.0), indexing="ij")

    def moment(t: float) -> Tensor:
        u, v = x - 4 * t, y - 2 * t
        plane = 0.5 + 0.2 * torch.sin(u / 3.1 + v / 9) + 0.2 * torch.sin(v / 6.3 - u / 17)
        return torch.stack([plane, plane * 0.8, 1 - plane])

    now, whole = moment(0), [moment(-1) * light, moment(1) / light]
    lines = [picture[:, 1::2] for picture in whole]
    for beside, followed, truth in (
        (lines, interlace.moved(now[:, 0::2], lines), now[:, 1::2]),
        (whole, interlace.aligned(now, whole), now),
    ):
        for still, found in zip(beside, followed, strict=True):
            inner = (slice(None), slice(8, -8), slice(16, -16))
            assert float((still - truth)[inner].abs().mean()) > 0.1
            assert float((found - truth)[inner].abs().mean()) < (0.01 if light == 1 else 0.02)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("follow", [interlace.moved, interlace.aligned])
def test_a_pixel_that_is_no_number_stays_where_it_is(follow: Callable[[Tensor, list[Tensor]], list[Tensor]]) -> None:
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(256.0), indexing="ij")
    now, then = (((x - 4 * t) / 3.1 + y / 9).sin().expand(3, 96, 256) * 0.2 + 0.5 for t in (0, 1))
    then[:, 20:23, 30:33] = torch.nan
    assert 0 < int(follow(now, [then])[0].isnan().any(dim=0).sum()) <= 10 * 10


@pytest.mark.parametrize("follow", [interlace.moved, interlace.aligned])
def test_a_picture_too_small_to_find_motion_in_stays(follow: Callable[[Tensor, list[Tensor]], list[Tensor]]) -> None:
    field, other = torch.rand(3, 4, 6), torch.rand(3, 4, 6)
    assert follow(field, [other])[0] is other
