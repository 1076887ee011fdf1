"""Combs: how strongly lines of two moments stand out against each other where things move; float32 (H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint.fields.weave import weave


def combing(picture: Tensor) -> Tensor:
    """How far each pixel stands out from the lines above and below to the same side; (H, W) to (H, W).

    The lesser of both steps: 0 on slopes and at plain edges, the height of the comb's teeth on combs (and on lines one
    row thin, so compare with another weave of the same picture or ask where things move).
    """
    comb = torch.zeros_like(picture)
    if picture.shape[0] < 3:
        return comb
    above = picture[1:-1] - picture[:-2]
    below = picture[1:-1] - picture[2:]
    same = (above > 0) == (below > 0)
    comb[1:-1] = torch.where(same, torch.minimum(above.abs(), below.abs()), torch.zeros_like(above))
    return comb


def motion_mask(one: Tensor, other: Tensor, noise: float) -> Tensor:
    """Where two pictures differ by more than noise, one line up and down and one pixel sideways included; (H, W)."""
    change = ((one - other).abs() > difference_floor(noise)).to(torch.uint8)
    # Not max_pool2d, which takes sixteen times as long.
    wider = cv2.dilate(change.cpu().numpy(), np.ones((3, 3), np.uint8))
    return torch.from_numpy(np.asarray(wider, np.uint8)).bool().to(one.device)


def difference_floor(noise: float) -> float:
    """The smallest difference that counts, for a noise of this standard deviation."""
    return max(4 * noise, 4 / 255)


@dataclass(frozen=True)
class PairCombs:
    """Combs where things move, of two successive frames and of their fields woven crosswise; sums over pixels.

    Attributes:
        inside: the two frames as they are (mean of both).
        top_first: the later top field with the earlier bottom field: neighbors in time where the top field is first.
        bottom_first: the earlier top field with the later bottom field.
    """

    inside: float
    top_first: float
    bottom_first: float


def measure_pair(one: Tensor, next_one: Tensor, noise: float) -> PairCombs:
    """Measures two successive frames, (H, W) each."""
    mask = motion_mask(one, next_one, noise)
    return PairCombs(
        inside=(_combs(one, mask, noise) + _combs(next_one, mask, noise)) / 2,
        top_first=_combs(weave(next_one, one), mask, noise),
        bottom_first=_combs(weave(one, next_one), mask, noise),
    )


def moment_share(picture: Tensor, neighbors: Sequence[Tensor], noise: float) -> float | None:
    """How far both fields of a picture are of two moments: its combs as a share of those of two moments; all (H, W).

    Judged where it moves against its neighbors. Fields of one moment comb less than those of this picture and the next
    woven crosswise; fields of two moments comb as much as the nearer of both ways to weave crosswise.

    Returns:
        About 1 for two moments, near 0 for one; None where nothing moves.
    """
    own = crossed = 0.0
    teeth = _teeth(picture, noise)
    for other in neighbors:
        mask = motion_mask(picture, other, noise)
        own += _sum_within(teeth, mask)
        crossed += min(_combs(weave(*pair), mask, noise) for pair in ((picture, other), (other, picture)))
    return own / crossed if crossed > 0 else None


def _combs(picture: Tensor, mask: Tensor, noise: float) -> float:
    return _sum_within(_teeth(picture, noise), mask)


def _teeth(picture: Tensor, noise: float) -> Tensor:
    return (combing(picture) - 2 * noise).clamp(min=0)


def _sum_within(values: Tensor, mask: Tensor) -> float:
    """Their sum where the mask is; not `values[mask]`, which takes eight times as long."""
    return float(torch.where(mask, values, 0.0).sum())


def is_combed(picture: Tensor, neighbors: Sequence[Tensor], noise: float = 0.0) -> bool:
    """Whether combs are visible: in some 16 x 16 block a good part of the moving pixels is combed; all (H, W)."""
    if picture.shape[0] < 5 or not neighbors:
        return False
    moves = torch.zeros_like(picture, dtype=torch.bool)
    for other in neighbors:
        moves |= motion_mask(picture, other, noise)
    # Teeth repeat: a pixel counts where those two rows on are teeth to the same side.
    step = picture[2:-2] - (picture[1:-3] + picture[3:-1]) / 2
    teeth = combing(picture)[2:-2]
    far = (picture[:-4] + picture[4:]) / 2 - (picture[1:-3] + picture[3:-1]) / 2
    hit = (
        (teeth > difference_floor(noise) * 1.5)
        & (step.sign() == far.sign())
        & (far.abs() > 0.5 * step.abs())
        & moves[2:-2]
    ).float()
    block = (min(16, hit.shape[0]), min(16, hit.shape[1]))
    share = torch.nn.functional.avg_pool2d(hit[None, None], block, 8)
    return bool(share.max() > 0.3)


def noise_level(one: Tensor, other: Tensor) -> float:
    """Standard deviation of the noise in two pictures of the same parity, (H, W) each, from their stillest blocks.

    The tenth part of all 16 x 16 blocks that differ least in time or are flattest in space, the lesser of both; so a
    scene that moves everywhere is not taken for noise, nor a textured one that stands still.
    """
    pool = torch.nn.functional.avg_pool2d
    if min(one.shape) < 18:
        return 0.0
    in_time = pool((one - other).abs()[None, None], 16)
    # Mean |difference| of two samples of a normal distribution: 2 / sqrt(pi) sigma.
    curve = (one[:, 1:-1] - (one[:, :-2] + one[:, 2:]) / 2).abs()
    in_space = pool(curve[None, None], 16)
    time_sigma = float(torch.quantile(in_time.flatten(), 0.1)) / 1.1284
    space_sigma = float(torch.quantile(in_space.flatten(), 0.1)) / (0.7979 * 1.2247)
    return min(time_sigma, space_sigma)
