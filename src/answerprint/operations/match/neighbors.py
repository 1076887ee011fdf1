"""K-nearest-neighbor regression from 3x3 neighborhoods, exact, for every pixel of a frame.

A general-purpose tree would be asked two million questions per 1080p frame here, and most of its time would go into
walking the tree. This search knows what a 3x3 neighborhood of a picture looks like and does three things differently:

- Neighborhoods are turned into the orthonormal 3x3 cosine basis (distances stay the same). The first coordinate is
  the mean, which carries most of the distance; the length of the other eight says how lively the neighborhood is. Both
  give lower bounds on a distance (|m - m'| and, by the triangle inequality, |v - v'|), so samples are sorted by mean
  into slabs of 64 and by liveliness inside a slab into blocks of 16. Slabs are visited outward from the mean of
  the question, blocks that cannot hold a nearer sample are skipped, and the search ends at the first slab that cannot.
- A block is measured at once: 16 distances in single precision side by side in vector registers.
- The neighbors found for the pixel to the left are a first guess: the farthest of them bounds the answer before the
  search begins.

None of this approximates: the neighbors are those that a full search finds (to single precision), so equal
neighborhoods get equal answers wherever they stand in the picture or the shot. Rows are shared among threads
(the loop holds no interpreter lock).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from scipy import fft
from torch import Tensor

from answerprint.kernels.neighbors import search

Array = npt.NDArray[np.float32]

_BLOCK = 16  # samples measured at once: two AVX or one AVX-512 register
_BLOCKS_PER_SLAB = 4
_SLAB = _BLOCK * _BLOCKS_PER_SLAB
_FAR = 1e8  # where the filling samples stand: farther than any picture, and its square fits single precision


class NeighborRegression:
    """Values predicted as the distance-weighted mean over the k nearest samples.

    Args:
        patches: (n, 9) sample neighborhoods, n >= 1.
        values: (n, v), what is predicted, for each sample.
        k: how many neighbors are averaged; fewer where there are fewer samples.
    """

    def __init__(self, patches: Array, values: Array, k: int) -> None:
        if patches.ndim != 2 or patches.shape[1] != 9 or len(patches) != len(values) or not len(patches):
            raise ValueError(f"patches must be (n, 9) beside (n, v) values, got {patches.shape} and {values.shape}")
        self.k = min(k, len(patches))
        points = patches.astype(np.float64) @ _cosine_basis().T
        order = np.argsort(points[:, 0], kind="stable")
        points, values = points[order], values[order]
        missing = -len(points) % _SLAB
        points = np.concatenate([points, np.full((missing, 9), _FAR)]).astype(np.float32)
        values = np.concatenate([values, np.zeros((missing, values.shape[1]))]).astype(np.float32)
        self._slabs = np.ascontiguousarray(points[:, 0].reshape(-1, _SLAB)[:, [0, -1]])
        lively = np.linalg.norm(points[:, 1:], axis=1)
        inside = np.argsort(lively.reshape(-1, _SLAB), axis=1, kind="stable")
        order = (inside + np.arange(0, len(points), _SLAB)[:, None]).ravel()
        self._samples = np.ascontiguousarray(points[order].reshape(-1, _BLOCK, 9).transpose(0, 2, 1))
        self._lively = np.ascontiguousarray(lively[order].reshape(-1, _BLOCK)[:, [0, -1]].astype(np.float32))
        self._values = np.ascontiguousarray(values[order])

    def predict(self, plane: Tensor, spread: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Values for the 3x3 neighborhood of every pixel (borders mirrored).

        Args:
            plane: (H, W), in the units of the samples.
            spread: how many of the values, the first ones, the variance is summed over.

        Returns:
            The predicted values (v, H, W); their variance among the neighbors around the prediction, weighted and
            summed over the first `spread` values (H, W); and the distance to the nearest sample (H, W).
        """
        height, width = plane.shape
        # NaN would end no search: it is taken as 0, and a finite bound keeps squares finite.
        finite = torch.nan_to_num(plane.detach().cpu().float(), nan=0.0).clamp(-_FAR / 100, _FAR / 100)
        padded = np.pad(finite.numpy(), 1, mode="symmetric")
        size = self._values.shape[1]
        mean = np.empty((size, height, width), dtype=np.float32)
        variance = np.empty((height, width), dtype=np.float32)
        nearest = np.empty_like(variance)
        basis = _cosine_basis().astype(np.float32)

        def rows(start: int) -> None:
            stop = min(start + _ROWS, height)
            search(
                self._samples, self._lively, self._slabs, self._values, basis, padded, start, stop, self.k, spread,
                mean, variance, nearest,
            )  # fmt: skip

        with ThreadPoolExecutor(_cores()) as pool:
            list(pool.map(rows, range(0, height, _ROWS)))
        return torch.from_numpy(mean), torch.from_numpy(variance), torch.from_numpy(nearest)


_ROWS = 16  # rows a thread takes at once: enough to keep threads evenly busy, few enough to amortize the call


def _cores() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _cosine_basis() -> npt.NDArray[np.float64]:
    """Orthonormal 3x3 cosine basis, (9, 9): row 0 is the mean, neighborhoods flattened row by row."""
    lines = fft.dct(np.eye(3), axis=0, norm="ortho")
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2)]
    return np.stack([np.outer(lines[i], lines[j]).ravel() for i, j in pairs])
