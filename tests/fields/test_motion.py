"""Fields and pictures beside, warped to the moment of one of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from answerprint.fields import motion


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
        (lines, motion.align_lines(now[:, 0::2], lines), now[:, 1::2]),
        (whole, motion.align_pictures(now, whole), now),
    ):
        for still, found in zip(beside, followed, strict=True):
            inner = (slice(None), slice(8, -8), slice(16, -16))
            assert float((still - truth)[inner].abs().mean()) > 0.1
            assert float((found - truth)[inner].abs().mean()) < (0.01 if light == 1 else 0.02)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("follow", [motion.align_lines, motion.align_pictures])
def test_a_pixel_that_is_no_number_stays_where_it_is(follow: Callable[[Tensor, list[Tensor]], list[Tensor]]) -> None:
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(256.0), indexing="ij")
    now, then = (((x - 4 * t) / 3.1 + y / 9).sin().expand(3, 96, 256) * 0.2 + 0.5 for t in (0, 1))
    then[:, 20:23, 30:33] = torch.nan
    assert 0 < int(follow(now, [then])[0].isnan().any(dim=0).sum()) <= 10 * 10


@pytest.mark.parametrize("follow", [motion.align_lines, motion.align_pictures])
def test_a_picture_too_small_to_find_motion_in_stays(follow: Callable[[Tensor, list[Tensor]], list[Tensor]]) -> None:
    field, other = torch.rand(3, 4, 6), torch.rand(3, 4, 6)
    assert follow(field, [other])[0] is other
