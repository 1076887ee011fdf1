"""Black bars around the picture: letterbox and pillarbox, which are no picture and must take no look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

# Display-encoded: four code values of 8 bits and their ringing lie under it, what anyone can see lies above.
_BLACK = 0.03
_MIN_SHARE = 0.01  # share of the height or width under which a border is blanking, not a bar
_MAX_SHARE = 0.7  # share that both bars of a pair may take together; above it the shot is just dark
_UNEVEN = 0.02  # share by which the two bars of a pair may differ
_RIM, _DIM = 3, 0.7  # lines that filtering leaves half bar, half picture, at most; how dim such a line is


class BlackBars(NamedTuple):
    """Lines of black from each edge."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def inside(self, plane: Tensor) -> Tensor:
        """The picture alone, a view of `plane` (..., H, W)."""
        height, width = plane.shape[-2:]
        return plane[..., self.top : height - self.bottom, self.left : width - self.right]


def find_bars(pictures: Iterable[Tensor]) -> BlackBars:
    """The bars that all pictures of a shot share.

    Args:
        pictures: display-encoded, (3, H, W) each, of one size.


    Bars come in pairs of about equal size; one dark edge alone is a night sky or a floor, and stays picture.
    """
    rows = columns = torch.zeros(2, 0)
    for picture in pictures:
        brightest = torch.nan_to_num(picture, nan=0.0).amax(0)
        rows, columns = _brighter(rows, brightest), _brighter(columns, brightest.T)
    return BlackBars(*_pair(*rows), *_pair(*columns))


def _brighter(levels: Tensor, plane: Tensor) -> Tensor:
    """The largest and the mean value of every line, the largest of what was and what is: (2, lines)."""
    own = torch.stack([plane.amax(1), plane.mean(1)])
    return torch.maximum(levels, own) if levels.shape[1] else own


def _pair(largest: Tensor, mean: Tensor) -> tuple[int, int]:
    size = len(largest)
    lit = torch.nonzero(largest > _BLACK)
    if not len(lit):
        return 0, 0
    first, last = int(lit[0]), size - 1 - int(lit[-1])
    fits = min(first, last) >= max(1, _MIN_SHARE * size) and first + last <= _MAX_SHARE * size
    if not fits or abs(first - last) > max(2, _UNEVEN * size):
        return 0, 0
    return first + _rim(mean[first:]), last + _rim(mean.flip(0)[last:])


def _rim(mean: Tensor) -> int:
    """Number of lines at the start that are only half picture."""
    reach = min(_RIM, len(mean) - 1)
    return next((line for line in range(reach) if mean[line] >= _DIM * mean[reach]), reach)
