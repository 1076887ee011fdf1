"""LUTs: tetrahedral interpolation, and baking a grade into a LUT.

Interpolation: tetrahedral, as OpenColorIO's INTERP_TETRAHEDRAL and FFmpeg's `lut3d`. Files: `cube_file.py`.

Inputs outside the domain are clamped to it, as in every grading system: with the usual domain of 0..1, a super-white is
looked up as 1 and a sub-black as 0. A LUT that must keep them needs a wider domain or a shaper. NaN becomes the lower
end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color import fused
from answerprint.color.program import Program
from answerprint.errors import ColorError

Triple = tuple[float, float, float]
LARGEST = 256  # points per axis of a 3D LUT


@dataclass(frozen=True, eq=False)
class Curves:
    """A table per channel (a 1D LUT), linear between its entries.

    Attributes:
        table: float32 (n, 3).
        low, high: input of the first and the last entry, per channel.
    """

    table: Tensor
    low: Triple = (0.0, 0.0, 0.0)
    high: Triple = (1.0, 1.0, 1.0)

    def apply(self, pixels: Tensor) -> Tensor:
        """The table's values at `pixels` (..., 3, H, W), differentiable; inputs outside the domain are clamped."""
        n = self.table.shape[0]
        place = _place(pixels, self.low, self.high, n)
        below = place.detach().floor().clamp(max=n - 2)
        fraction, start = place - below, below.long()
        table = self.table.to(pixels)
        parts = []
        for c in range(3):
            i, f = start.select(-3, c), fraction.select(-3, c)
            parts.append(table[i, c] * (1 - f) + table[i + 1, c] * f)
        return torch.stack(parts, -3)

    def program(self) -> Program:
        """The LUT as a program of the fused kernel."""
        n = self.table.shape[0]
        return Program(
            curves=_plain(self.table), curves_low=_float32(self.low), curves_scale=_scale(self.low, self.high, n)
        )


@dataclass(frozen=True, eq=False)
class Cube:
    """A 3D LUT.

    Attributes:
        table: float32 (n, n, n, 3): table[blue, green, red] is the output color; red runs fastest, as in the file.
        low, high: the domain, per channel.
        title: one line; free text.
        comments: lines that stand at the head of the file.
        shaper: curves that are applied first; they map to the domain of the table.
    """

    table: Tensor
    low: Triple = (0.0, 0.0, 0.0)
    high: Triple = (1.0, 1.0, 1.0)
    title: str = ""
    comments: tuple[str, ...] = ()
    shaper: Curves | None = None

    @property
    def size(self) -> int:
        return int(self.table.shape[0])

    def apply(self, pixels: Tensor) -> Tensor:
        """Tetrahedral interpolation of `pixels`, float32 (..., 3, H, W), on any device.

        Differentiable in the pixels and in the table. On the CPU and without a gradient it takes the fused kernel.
        """
        if pixels.device.type == "cpu" and pixels.ndim == 3 and pixels.dtype == torch.float32:
            differentiable = torch.is_grad_enabled() and (pixels.requires_grad or self.table.requires_grad)
            if not differentiable:
                return fused.run(self.program(), pixels)
        shaped = self.shaper.apply(pixels) if self.shaper is not None else pixels
        return _tetrahedral(shaped, self.table.to(pixels), self.low, self.high)

    def program(self) -> Program:
        """The LUT as a program of the fused kernel."""
        front = self.shaper.program() if self.shaper is not None else Program()
        return replace(
            front,
            table=np.pad(_plain(self.table.reshape(-1, 3)), ((0, 0), (0, 1))),
            size=self.size,
            low=_float32(self.low),
            scale=_scale(self.low, self.high, self.size),
        )


def bake(
    transform: Callable[[Tensor], Tensor],
    size: int = 33,
    title: str = "",
    comments: tuple[str, ...] = (),
    shaper: Curves | None = None,
) -> Cube:
    """A LUT sampled from a function of colors at the points of a grid over 0..1, both ends exactly.

    Args:
        transform: pixels float32 (3, H, W) to pixels of the same shape, pointwise.
        size: points per axis, 2..256.
        title: one line.
        comments: lines for the head of the file.
        shaper: curves in front of the table; `transform` then gets shaped values.

    Raises:
        ColorError: the size is out of range or the transform gives NaN or infinity.
    """
    if not 2 <= size <= LARGEST:
        raise ColorError(f"bake: LUT_3D_SIZE is {size}; allowed: 2 to {LARGEST}")
    ramp = torch.linspace(0, 1, size, dtype=torch.float64).to(torch.float32)
    blue, green, red = torch.meshgrid(ramp, ramp, ramp, indexing="ij")
    grid = torch.stack([red, green, blue]).reshape(3, size, size * size)
    with torch.no_grad():
        graded = transform(grid)
    if not bool(torch.isfinite(graded).all()):
        raise ColorError(f"LUT '{title}': the grade gives NaN or infinity between 0 and 1; make it milder")
    table = graded.reshape(3, -1).T.reshape(size, size, size, 3).contiguous()
    return Cube(table, title=title, comments=comments, shaper=shaper)


def identity(size: int = 33) -> Cube:
    """The LUT that changes nothing."""
    return bake(lambda pixels: pixels, size, title="identity")


def _tetrahedral(pixels: Tensor, table: Tensor, low: Triple, high: Triple) -> Tensor:
    """The same corners and weights as the kernel `_corners`, in torch."""
    n = table.shape[0]
    place = _place(pixels, low, high, n)
    below = place.detach().floor().clamp(max=n - 2)
    fraction = place - below
    steps = torch.tensor([1, n, n * n], device=pixels.device)
    base = (below.long() * steps.view(3, 1, 1)).sum(-3)
    ordered, axes = fraction.sort(dim=-3, descending=True)
    walk = steps[axes]
    big, middle, small = ordered.unbind(-3)
    corners = (base, base + walk.select(-3, 0), base + walk.select(-3, 0) + walk.select(-3, 1), base + int(steps.sum()))
    weights = (1 - big, big - middle, middle - small, small)
    flat = table.reshape(-1, 3)
    mixed = sum((flat[i] * w.unsqueeze(-1) for i, w in zip(corners, weights, strict=True)), flat.new_zeros(()))
    return mixed.movedim(-1, -3)


def _place(pixels: Tensor, low: Triple, high: Triple, n: int) -> Tensor:
    """Pixels as positions 0..n-1 in a table."""
    start, span = _column(low, pixels), _column(high, pixels) - _column(low, pixels)
    return torch.nan_to_num((pixels - start) * ((n - 1) / span), nan=0.0, posinf=n - 1.0, neginf=0.0).clamp(0, n - 1)


def _column(triple: Triple, like: Tensor) -> Tensor:
    return torch.tensor(triple, dtype=like.dtype, device=like.device).view(3, 1, 1)


def _plain(table: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(table.detach().to("cpu", torch.float32).numpy())


def _float32(triple: Triple) -> NDArray[np.float32]:
    return np.asarray(triple, np.float32)


def _scale(low: Triple, high: Triple, n: int) -> NDArray[np.float32]:
    return ((n - 1) / (np.asarray(high, np.float64) - np.asarray(low, np.float64))).astype(np.float32)
