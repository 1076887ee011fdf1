"""The residual LUT of a grade: what a smooth 3D LUT adds to a color, fitted to pairs of colors.

Regularized least squares on the points of a lattice, after Lin, Lu, Kim and Brown, "Nonuniform Lattice Regression for
Modeling the Camera Imaging Pipeline" (ECCV 2012) and Garcia and Gupta, "Lattice Regression" (NIPS 2009): interpolating
the table gives the graded colors, while it bends as little as they allow. The residual is *added* to a color, so that
where no color was seen the table fades back to adding nothing, and the grade in front of it goes on. There it is also
kept monotone: more red in never gives less red out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.nn import functional as F

from answerprint.color import lut

Array = NDArray[np.float64]

_ROBUST = 0.03  # difference, in units of white, from which on a pixel counts less: it is no matter of color
_FADE = 1e-3  # pull towards adding nothing, as a share of the pull towards smoothness
_SLOWEST = 0.05  # least slope of the whole along its own channel, where it is held monotone
_FEW = 0.5  # pixels (of average weight) at a point under which it counts as empty
_ROUNDS = 3
_MARGIN = 1  # cells beyond 0..1 on each side, where super-whites and sub-blacks are moved as white and black are


def residual_cube(residual: Tensor) -> lut.Cube:
    """A LUT that adds `residual` (n, n, n, 3), table[blue, green, red], to the color; differentiable in it.

    It reaches one cell beyond 0..1, where the residual goes on as it is at the border.
    """
    n = residual.shape[0]
    margin = _MARGIN / (n - 1)
    padded = F.pad(residual.permute(3, 0, 1, 2)[None], (_MARGIN,) * 6, mode="replicate")[0].permute(1, 2, 3, 0)
    ramp = torch.linspace(-margin, 1 + margin, n + 2 * _MARGIN, dtype=torch.float64).float().to(residual.device)
    blue, green, red = torch.meshgrid(ramp, ramp, ramp, indexing="ij")
    table = torch.stack([red, green, blue], -1) + padded
    return lut.Cube(table, (-margin,) * 3, (1 + margin,) * 3)


def roughness(residual: Tensor) -> Tensor:
    """Mean square of the second differences along the three axes of a grid (n, n, n, 3), a scalar, differentiable."""
    n = residual.shape[0]
    bends = [residual.diff(n=2, dim=axis).square().sum() for axis in range(3)]
    return torch.stack(bends).sum() * (n - 1) ** 2 / residual.numel()


@dataclass(frozen=True, eq=False)
class Colors:
    """Colors before and after, with how much each counts.

    Attributes:
        before, after: float (n, 3), display-encoded; before is looked up between 0 and 1.
        weight: (n,), above 0.
    """

    before: Array
    after: Array
    weight: Array

    def __getitem__(self, index: NDArray[Any]) -> Colors:
        return Colors(self.before[index], self.after[index], self.weight[index])


def balance(colors: Array, cells: int = 17, power: float = 0.5) -> Array:
    """Weights (n,) by which a frequent color does not outweigh a rare one; 1 on average.

    Args:
        colors: (n, 3), display-encoded.
        cells: per axis of the color cube, in which colors are counted.
        power: 0 leaves all alike, 1 gives each occupied cell of the color cube the same say.
    """
    place = (colors.clip(0, 1) * (cells - 1)).round().astype(np.int64) @ np.array([cells * cells, cells, 1])
    _, which, count = np.unique(place, return_inverse=True, return_counts=True)
    weight: Array = count[which].astype(np.float64) ** -power
    weight /= weight.mean()
    return weight


def fit(colors: Colors, points: int, smooth: float) -> Tensor:
    """The residual of a LUT of `points` per axis: float32 (n, n, n, 3), table[blue, green, red].

    Args:
        colors: pairs that it is fitted to.
        points: per axis.
        smooth: cost of bending; about 1e-5 (follows the colors closely) to 1e-1 (hardly bends).
    """
    corners = _corners(colors.before, points)
    bending = _bending(points)
    target = colors.after - colors.before
    weight = colors.weight / colors.weight.sum()
    table = np.zeros((points**3, 3))
    robust = weight.copy()
    for _ in range(_ROUNDS):
        table = _solve(corners, robust, target, smooth * bending)
        error = np.linalg.norm(corners @ table - target, axis=1)
        robust = weight / np.sqrt(1 + (error / _ROBUST) ** 2)
    table = _monotone(table, _System(corners, robust, target, smooth * bending), points)
    return torch.from_numpy(table.reshape(points, points, points, 3)).float()


def lookup(residual: Tensor, colors: Array) -> Array:
    """The residual (n, n, n, 3) at colors (m, 3), interpolated in tetrahedra as it is rendered: (m, 3)."""
    points = residual.shape[0]
    added: Array = _corners(colors, points) @ residual.double().numpy().reshape(-1, 3)
    return added


def _corners(colors: Array, points: int) -> Any:
    """Sparse (colors, points^3): the four corners of each color's tetrahedron and their shares (Kasson et al. 1995)."""
    place = colors.clip(0, 1) * (points - 1)
    base = np.minimum(np.floor(place), points - 2)
    part = place - base
    order = np.argsort(-part, axis=1, kind="stable")
    falling = np.take_along_axis(part, order, 1)
    steps = np.array([1, points, points * points])
    index = np.empty((len(colors), 4), np.int64)
    index[:, 0] = base.astype(np.int64) @ steps
    index[:, 1:] = index[:, :1] + np.cumsum(steps[order], 1)
    ones, zeros = np.ones((len(colors), 1)), np.zeros((len(colors), 1))
    share = -np.diff(np.concatenate([ones, falling, zeros], 1), axis=1)
    rows = np.repeat(np.arange(len(colors)), 4)
    return sparse.csr_matrix((share.ravel(), (rows, index.ravel())), shape=(len(colors), points**3))


def _bending(points: int) -> Any:
    """Mean square of second differences along the three axes and of twists, in units of the cube's edge; and fading."""
    eye, second = sparse.eye(points), _differences(points, 2)
    first = _differences(points, 1)
    parts = [_kron(second, eye, eye), _kron(eye, second, eye), _kron(eye, eye, second)]
    twists = [_kron(first, first, eye), _kron(first, eye, first), _kron(eye, first, first)]
    # Half of a twist: it stands for both mixed derivatives, and is what lets one channel lean on another.
    squares = sum(part.T @ part for part in parts) + sum(part.T @ part for part in twists)
    return (squares * (points - 1) ** 4 / points**3 + sparse.eye(points**3) * (_FADE / points**3)).tocsc()


def _differences(points: int, order: int) -> Any:
    matrix = sparse.eye(points, format="csr")
    for _ in range(order):
        matrix = matrix[1:] - matrix[:-1]
    return matrix


def _kron(first: Any, second: Any, third: Any) -> Any:
    return sparse.kron(sparse.kron(first, second), third).tocsr()


def _solve(corners: Any, weight: Array, target: Array, rest: Any) -> Array:
    weighted = corners.multiply(weight[:, None]).tocsr()
    table: Array = splu((corners.T @ weighted + rest).tocsc()).solve(weighted.T @ target)
    return table


@dataclass(frozen=True, eq=False)
class _System:
    """The weighted least squares of a table.

    Attributes:
        corners: sparse (colors, points^3), see `_corners`.
        weight: of each color, (n,).
        target: what is to be added to each color, (n, 3).
        rest: sparse (points^3, points^3), the cost of bending.
    """

    corners: Any
    weight: Array
    target: Array
    rest: Any


def _monotone(table: Array, system: _System, points: int) -> Array:
    """The table (points^3, 3) with the whole rising along each channel's own axis wherever no color says otherwise."""
    corners, weight, rest = system.corners, system.weight, system.rest
    occupied = np.asarray(corners.T @ weight).ravel() > _FEW * weight.mean()
    grid, step = np.arange(points**3).reshape(points, points, points), 1 / (points - 1)
    result = table.copy()
    for channel, axis in enumerate((2, 1, 0)):
        low = np.moveaxis(grid, axis, 0)[:-1].ravel()
        high = np.moveaxis(grid, axis, 0)[1:].ravel()
        free = ~(occupied[low] & occupied[high])
        for _ in range(_ROUNDS):
            falls = free & (result[high, channel] - result[low, channel] + step < (_SLOWEST - 0.01) * step)
            if not falls.any():
                break
            edges, slope = _edge_differences(low[falls], high[falls], points), (_SLOWEST - 1) * step
            strict = 1e3 * rest.diagonal().mean()
            weighted = corners.multiply(weight[:, None]).tocsr()
            right = weighted.T @ system.target[:, channel] + strict * slope * np.asarray(edges.sum(0)).ravel()
            matrix = (corners.T @ weighted + rest + strict * edges.T @ edges).tocsc()
            result[:, channel] = splu(matrix).solve(right)
    return result


def _edge_differences(low: NDArray[Any], high: NDArray[Any], points: int) -> Any:
    """Sparse (edges, points^3): each row gives the difference of the ends of one edge."""
    rows = np.arange(len(low))
    ones = np.ones(len(low))
    return sparse.csr_matrix(
        (np.concatenate([ones, -ones]), (np.concatenate([rows, rows]), np.concatenate([high, low]))),
        shape=(len(low), points**3),
    )
