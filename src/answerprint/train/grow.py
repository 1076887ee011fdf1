"""Wider networks that start from narrower ones."""

from __future__ import annotations

from torch import Tensor


def widen(narrow: Tensor, wide: Tensor) -> Tensor:
    """Weights of a narrower layer as the first channels of a wider one (after Chen et al. 2016, Net2Net).

    Its outputs stay the same, for it reads none of the new channels yet; these start as in `wide`.

    Args:
        narrow: weights of any shape.
        wide: initial weights of the wider layer.

    Returns:
        As `wide`; `narrow` itself where it is no part of it.
    """
    if (
        narrow.shape == wide.shape
        or narrow.dim() != wide.dim()
        or any(a > b for a, b in zip(narrow.shape, wide.shape, strict=True))
    ):
        return narrow
    result = wide.clone()
    result[: len(narrow)] = 0
    result[tuple(slice(size) for size in narrow.shape)] = narrow
    return result
