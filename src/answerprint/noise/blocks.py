"""Collaborative Wiener filtering: blocks of a picture that look alike are freed of noise together.

The second stage of BM3D (Dabov, Foi, Katkovnik and Egiazarian 2007) with a pilot of one's own in place of its first:
blocks alike are looked for in the pilot, stacked, and brought into a transform in which what they share comes together
in few numbers. How much of each number of the noisy stack is kept, the same number of the pilot's stack says: P^2 /
(P^2 + noise^2). Every block of a stack goes back to its place, and what lies over each other is averaged, the cleaner
stacks counting more.

A network looks at a few dozen pixels and at what it learned; what repeats across a picture, bricks, cloth, letters, is
told apart from noise here.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from scipy import fft
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 32  # pixels of a side below which too few blocks are in reach
BLOCK = 8
STRIDE = 3  # pixels from one stack's own block to the next
STACK = 32  # blocks; a power of 2
FAR, COARSE = 18, 2  # how far away blocks are looked for, and in which steps
TILE = 120  # pixels of a side that are worked on at a time: memory does not grow with the picture
AT_ONCE = 400  # stacks
# How much of the noise is held against a number, of brightness and of the two colors: of brightness the pilot has lost
# some of what is there, of color it has kept some noise.
HELD_AGAINST = (0.65, 1.2, 1.2)
NUMBERS = BLOCK * BLOCK  # that say what a block is

# Three colors to brightness and two differences, orthonormal: white noise stays white and as strong as it was.
_OPPONENT = torch.from_numpy(fft.dct(np.eye(3), axis=0, norm="ortho")).float()


def filter_stacks(noisy: Tensor, pilot: Tensor, sigma: Tensor, reach: float = 0.0) -> Tensor:
    """A picture whose noise is taken out in stacks of blocks alike.

    Args:
        noisy: (3, H, W) R'G'B', sides of at least `SMALLEST`.
        pilot: the same picture as clean as is known already.
        sigma: standard deviation of the noise in `noisy`, (3, H, W).
        reach: pixels over which the noise hangs together, as the width of a Gaussian; 0 for white noise.

    Returns:
        (3, H, W).
    """
    _, height, width = noisy.shape
    device = noisy.device
    opponent = _OPPONENT.to(device)
    planes = [torch.tensordot(opponent, picture.float(), 1) for picture in (noisy, pilot)]
    variance = torch.tensordot(opponent.square(), sigma.float().square(), 1)
    spectrum = _spectrum(reach).to(device)
    window = (
        torch.from_numpy(np.outer(np.kaiser(BLOCK, 2.0), np.kaiser(BLOCK, 2.0)).reshape(NUMBERS, 1)).float().to(device)
    )
    above, below = torch.zeros_like(planes[0]), torch.zeros_like(planes[0])
    for rows in _tiles(height):
        for columns in _tiles(width):
            # The tile with all that its blocks may be stacked with.
            top, bottom = max(rows[0] - FAR, 0), min(rows[-1] + FAR + BLOCK, height)
            left, right = max(columns[0] - FAR, 0), min(columns[-1] + FAR + BLOCK, width)
            part = (slice(None), slice(top, bottom), slice(left, right))
            own = (torch.tensor(rows, device=device) - top, torch.tensor(columns, device=device) - left)
            blocks, counts = _filter_tile(planes[0][part], planes[1][part], variance[part], own, spectrum)
            size = (bottom - top, right - left)
            above[part] += F.fold((blocks * window).reshape(1, 3 * NUMBERS, -1), size, BLOCK)[0]
            below[part] += F.fold((counts[:, None] * window).reshape(1, 3 * NUMBERS, -1), size, BLOCK)[0]
    result: Tensor = torch.tensordot(opponent.T.contiguous(), above / below, 1)
    return result


def _filter_tile(
    noisy: Tensor, pilot: Tensor, variance: Tensor, own: tuple[Tensor, Tensor], spectrum: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted sums of all estimates of every block of a tile, (3, NUMBERS, blocks), and weights, (3, blocks).

    Args:
        noisy: (3, h, w) opponent colors.
        pilot: the same.
        variance: of the noise, the same.
        own: rows and columns of the blocks that stacks are built around.
        spectrum: variance of each of a block's NUMBERS numbers beside that of white noise.
    """
    places = _alike(pilot, own)
    across = noisy.shape[-1] - BLOCK + 1
    level = F.avg_pool2d(variance[None], BLOCK, 1)[0].flatten(1)
    centers = (own[0][:, None] * across + own[1]).flatten()
    assumed = level * torch.tensor(HELD_AGAINST, device=level.device)[:, None]
    noise = (assumed[:, centers].T[:, None, :, None] * spectrum).clamp_min(1e-10)  # (stacks, 1, 3, NUMBERS)
    basis, stack = _block_basis().to(noisy.device), _haar(STACK).to(noisy.device)
    numbers, expected = (_numbers(picture, basis) for picture in (noisy, pilot))
    total, counts = torch.zeros_like(numbers), torch.zeros(len(numbers), 3, device=noisy.device)
    for begin in range(0, len(places), AT_ONCE):
        chosen = places[begin : begin + AT_ONCE]
        flat, count = chosen.flatten(), len(chosen)
        powers = torch.matmul(stack, expected[flat].reshape(count, STACK, -1)).square_().view(count, STACK, 3, NUMBERS)
        share = powers.div_(powers + noise[begin : begin + AT_ONCE])
        weight = share.square().sum(dim=(1, 3)).mul_(level[:, centers[begin : begin + AT_ONCE]].T)
        weight = weight.clamp_min_(1e-12).reciprocal_()  # of each stack and color: 1 / variance of what noise is left
        shrunk = torch.matmul(stack, numbers[flat].reshape(count, STACK, -1)).mul_(share.view(count, STACK, -1))
        back = torch.matmul(stack.T, shrunk).view(count, STACK, 3, NUMBERS) * weight[:, None, :, None]
        total.index_add_(0, flat, back.view(-1, 3 * NUMBERS))
        counts.index_add_(0, flat, weight[:, None].expand(-1, STACK, -1).reshape(-1, 3))
    return torch.matmul(basis.T, total.view(-1, 3, NUMBERS).permute(1, 2, 0)), counts.T


def _alike(picture: Tensor, own: tuple[Tensor, Tensor]) -> Tensor:
    """Places of the STACK blocks nearest in looks to each of `own`, itself first: (stacks, STACK), of all blocks."""
    rows, columns = own
    down, across = (side - BLOCK + 1 for side in picture.shape[-2:])
    first, last = (int(rows[0]), int(columns[0])), (int(rows[-1]) + BLOCK, int(columns[-1]) + BLOCK)
    center = picture[:, first[0] : last[0], first[1] : last[1]]
    around = F.pad(picture, (FAR, FAR, FAR, FAR))
    moves = [(0, 0)]
    moves += [(y, x) for y in range(-FAR, FAR + 1, COARSE) for x in range(-FAR, FAR + 1, COARSE) if (y, x) != (0, 0)]
    distances = torch.empty(len(moves), len(rows), len(columns), device=picture.device)
    distances[0] = -1
    tops, lefts = rows - first[0], columns - first[1]
    for index, (y, x) in enumerate(moves[1:], start=1):
        there = around[:, FAR + first[0] + y : FAR + last[0] + y, FAR + first[1] + x : FAR + last[1] + x]
        apart = F.pad((center - there).square().sum(dim=0).cumsum(dim=0), (0, 0, 1, 0))
        apart = F.pad((apart[tops + BLOCK] - apart[tops]).cumsum(dim=1), (1, 0))
        distances[index] = apart[:, lefts + BLOCK] - apart[:, lefts]
        inside = ((rows + y >= 0) & (rows + y < down))[:, None] & (columns + x >= 0) & (columns + x < across)
        distances[index].masked_fill_(~inside, math.inf)
    nearest = distances.flatten(1).topk(STACK, dim=0, largest=False).indices
    steps = torch.tensor([y * across + x for y, x in moves], device=picture.device)
    return ((rows[:, None] * across + columns).flatten() + steps[nearest]).T.contiguous()


def _numbers(picture: Tensor, basis: Tensor) -> Tensor:
    """(3, h, w) to (blocks, 3 * NUMBERS): every block in the cosine basis."""
    blocks = F.unfold(picture[None], BLOCK)[0].view(3, NUMBERS, -1)
    return torch.matmul(basis, blocks).permute(2, 0, 1).reshape(-1, 3 * NUMBERS)


def _tiles(length: int) -> list[list[int]]:
    """Where stacks' own blocks begin along a side, in runs of TILE pixels; the last block ends with the picture."""
    begins = sorted({*range(0, length - BLOCK, STRIDE), length - BLOCK})
    count = math.ceil(length / TILE)
    return [part.tolist() for part in np.array_split(np.array(begins), count)]


@lru_cache(maxsize=1)
def _block_basis() -> Tensor:
    """Orthonormal cosine basis of a block, (NUMBERS, NUMBERS)."""
    line = torch.from_numpy(fft.dct(np.eye(BLOCK), axis=0, norm="ortho"))
    return torch.kron(line, line).float()


@lru_cache(maxsize=1)
def _haar(count: int) -> Tensor:
    """Orthonormal Haar basis, (count, count): the blocks most alike, which come first, share the finest differences."""
    basis = torch.ones(1, 1)
    while len(basis) < count:
        mean, difference = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, -1.0]])
        basis = torch.cat((torch.kron(basis, mean), torch.kron(torch.eye(len(basis)), difference))) / math.sqrt(2)
    return basis


@lru_cache(maxsize=8)
def _spectrum(reach: float) -> Tensor:
    """Variance of each number of a block under noise of this reach, beside that under white noise, (NUMBERS,)."""
    apart = torch.arange(BLOCK)[:, None] - torch.arange(BLOCK)
    # White noise blurred by a Gaussian of this width is alike over twice its square.
    alike = torch.exp(-(apart.double() ** 2) / (4 * reach * reach)) if reach > 0 else torch.eye(BLOCK).double()
    basis = _block_basis().double()
    return (basis @ torch.kron(alike, alike) @ basis.T).diagonal().float()
