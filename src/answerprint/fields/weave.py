"""Fields and whole pictures: weaving two fields, and filling the missing lines of one.

A field is every second line of a frame: parity 0 is the top field (rows 0, 2, ...), parity 1 the bottom field. Fields
are counted in the order they were taken: frame `n` holds fields `2 n` and `2 n + 1`. Pictures are float32 (C, H, W);
measuring works on brightness, float32 (H, W). Nothing here knows files, frames' times or shots.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.kernels.lines import MARGIN, fill_rows


@dataclass(frozen=True)
class FieldNeighbors:
    """The pictures that hold the fields around the present one in time; each float32 (C, H, W).

    Attributes:
        before: holds the field just before (the lines that are missing, one field earlier).
        after: holds the field just after (the lines that are missing, one field later).
        earlier: holds the field two before (the same lines as the present field).
        later: holds the field two after (the same lines as the present field).
    """

    before: Tensor
    after: Tensor
    earlier: Tensor
    later: Tensor


def weave(top: Tensor, bottom: Tensor) -> Tensor:
    """The top field of one picture with the bottom field of another; both (..., H, W), as is the result."""
    woven = top.clone()
    woven[..., 1::2, :] = bottom[..., 1::2, :]
    return woven


def fill(picture: Tensor, parity: int, neighbors: FieldNeighbors | None = None, noise: float = 0.0) -> Tensor:
    """One field of a picture with the lines of the other made.

    Where nothing moved within two fields either way, the lines beside it in time are woven in as they are. Elsewhere
    they come from the lines above and below, along the edge found there (Doyle 1998: the direction of least
    difference), with the fine detail of the fields beside it added, bounded by how much the picture changes in time
    (yadif, bwdif).

    Args:
        picture: (C, H, W), its other field is ignored.
        parity: 0 keeps the top field, 1 the bottom field.
        neighbors: the fields beside it in time; None where there are none: from its own lines only.
        noise: standard deviation of the noise, of a white of 1; smaller differences in time than three count as none.

    Returns:
        (C, H, W); the kept lines are those of `picture`, bit for bit.
    """
    out = picture.detach().cpu().clone(memory_format=torch.contiguous_format)
    height = picture.shape[1]
    if height < 2:
        return picture
    # Without neighbors in time the picture stands in for them, unread.
    parts = [out] * 4 if neighbors is None else [neighbors.before, neighbors.after, neighbors.earlier, neighbors.later]
    sources = [_array(part) for part in parts]
    bright = _array(_padded(out))
    missing = range(1 - parity, height, 2)
    limit = np.float32(3 * noise)

    def work(rows: tuple[int, int]) -> None:
        fill_rows(_array(out), *sources, bright, *rows, neighbors is None, limit)

    # Rows are independent: the split changes the speed, never a value.
    workers = max(1, min(torch.get_num_threads(), len(missing) // 32))
    bounds = [missing[0] + 2 * (len(missing) * i // workers) for i in range(workers)] + [height]
    if workers == 1:
        work((bounds[0], bounds[1]))
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, itertools.pairwise(bounds)))
    return out.to(picture.device)


def brightness(picture: Tensor) -> Tensor:
    """Brightness for measuring, (H, W): the mean of R', G', G' and B' of a picture (3, H, W)."""
    return (picture[0] + 2 * picture[1] + picture[2]) / 4


def _array(picture: Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = picture.detach().cpu().contiguous().numpy()
    return result


def _padded(picture: Tensor) -> Tensor:
    """Brightness with its border repeated sideways, so that searches need no bounds; (H, W + 2 MARGIN)."""
    plane = brightness(picture) if picture.shape[0] == 3 else picture.mean(0)
    return torch.nn.functional.pad(plane[None], (MARGIN, MARGIN), mode="replicate")[0]
