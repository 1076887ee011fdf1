"""K-nearest-neighbor regression from 3x3 neighborhoods, exact, for every pixel of a frame.

A general-purpose tree is asked two million questions per 1080p frame here, and most of its time goes into walking the
tree. This search knows what a 3x3 neighborhood of a picture looks like and does three things differently:

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
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from scipy import fft
from torch import Tensor

Array = npt.NDArray[np.float32]

_BLOCK = 16  # samples measured at once: two AVX or one AVX-512 register
_BLOCKS_PER_SLAB = 4
_SLAB = _BLOCK * _BLOCKS_PER_SLAB
_FAR = 1e8  # where the filling samples stand: farther than any picture, and its square fits single precision


class NeighborRegression:
    """Values predicted as the distance-weighted mean over the k nearest samples.

    Args:
        patches: (n, 9) sample neighborhoods, n >= 1.
        values: (n, v) what each sample says.
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
        """Asks for the 3x3 neighborhood of every pixel (borders mirrored).

        Args:
            plane: (H, W), of the same scale as the samples.
            spread: of how many of the values, the first ones, the variance is wanted.

        Returns:
            The predicted values (v, H, W); how much the neighbors disagree, the weighted variance around the
            prediction summed over the first `spread` values (H, W); and the distance to the nearest sample (H, W).
        """
        height, width = plane.shape
        # Not a number would end no search: there it is asked for 0, and a finite bound keeps squares finite.
        asked = torch.nan_to_num(plane.detach().cpu().float(), nan=0.0).clamp(-_FAR / 100, _FAR / 100)
        padded = np.pad(asked.numpy(), 1, mode="symmetric")
        size = self._values.shape[1]
        mean = np.empty((size, height, width), dtype=np.float32)
        variance = np.empty((height, width), dtype=np.float32)
        nearest = np.empty_like(variance)
        basis = _cosine_basis().astype(np.float32)

        def rows(start: int) -> None:
            stop = min(start + _ROWS, height)
            _search(
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


# One long function: what it called would be compiled into it anyway, and nine coordinates must stay in registers.
# Of the fast arithmetic all but "no NaN, no infinity": comparisons must keep their meaning.
@njit(  # type: ignore[untyped-decorator, unused-ignore]
    cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"}
)
def _search(
    samples: Any, lively: Any, slabs: Any, values: Any, basis: Any, padded: Any, start: int, stop: int, k: int,
    wanted: int, mean: Any, variance: Any, nearest: Any,
) -> None:  # fmt: skip
    """Fills rows [start, stop) of `mean`, `nearest`, and `variance` of the first `wanted` values."""
    slab_count = slabs.shape[0]
    size = values.shape[1]
    found_distance = np.empty(k, np.float32)
    found = np.zeros(k, np.int64)
    block_distance = np.empty(16, np.float32)
    question = np.empty(9, np.float32)
    for y in range(start, stop):
        for x in range(mean.shape[2]):
            for c in range(9):
                total = np.float32(0)
                for j in range(9):
                    total += basis[c, j] * padded[y + j // 3, x + j % 3]
                question[c] = total
            q0, q1, q2 = question[0], question[1], question[2]
            q3, q4, q5 = question[3], question[4], question[5]
            q6, q7, q8 = question[6], question[7], question[8]
            own = np.sqrt(q1 * q1 + q2 * q2 + q3 * q3 + q4 * q4 + q5 * q5 + q6 * q6 + q7 * q7 + q8 * q8)

            # The farthest of the left pixel's neighbors bounds the answer; a hair more, so that it can be found again.
            bound = np.float32(1e30)
            if x > 0:
                bound = np.float32(0)
                for j in range(k):
                    sample = samples[found[j] >> 4]
                    total = np.float32(0)
                    for c in range(9):
                        t = question[c] - sample[c, found[j] & 15]
                        total += t * t
                    bound = max(bound, total)
                bound = bound * np.float32(1.0001) + np.float32(1e-9)
            for j in range(k):
                found_distance[j] = bound

            low, high = 0, slab_count
            while low < high:
                middle = (low + high) >> 1
                if slabs[middle, 1] < q0:
                    low = middle + 1
                else:
                    high = middle
            right, left = low, low - 1
            while left >= 0 or right < slab_count:
                to_left = q0 - slabs[left, 1] if left >= 0 else np.float32(1e15)
                to_right = max(slabs[right, 0] - q0, np.float32(0)) if right < slab_count else np.float32(1e15)
                if to_left < to_right:
                    slab, away = left, to_left * to_left
                    left -= 1
                else:
                    slab, away = right, to_right * to_right
                    right += 1
                if away >= bound:
                    break
                for block in range(slab * 4, slab * 4 + 4):
                    gap = max(max(lively[block, 0] - own, own - lively[block, 1]), np.float32(0))
                    if away + gap * gap >= bound:
                        continue
                    sample = samples[block]
                    nearer = np.float32(0)
                    # Written out: in this form the compiler measures all 16 side by side.
                    for i in range(16):
                        t0, t1, t2 = q0 - sample[0, i], q1 - sample[1, i], q2 - sample[2, i]
                        t3, t4, t5 = q3 - sample[3, i], q4 - sample[4, i], q5 - sample[5, i]
                        t6, t7, t8 = q6 - sample[6, i], q7 - sample[7, i], q8 - sample[8, i]
                        d = t0 * t0 + t1 * t1 + t2 * t2 + t3 * t3 + t4 * t4 + t5 * t5 + t6 * t6 + t7 * t7 + t8 * t8
                        block_distance[i] = d
                        # Counted in single precision, so that the counting is done side by side too.
                        nearer += np.float32(1) if d < bound else np.float32(0)
                    if nearer == np.float32(0):
                        continue
                    for i in range(16):
                        d = block_distance[i]
                        if d < bound:
                            j = k - 1
                            while j > 0 and found_distance[j - 1] > d:
                                found_distance[j] = found_distance[j - 1]
                                found[j] = found[j - 1]
                                j -= 1
                            found_distance[j] = d
                            found[j] = block * 16 + i
                            bound = found_distance[k - 1]

            nearest[y, x] = np.sqrt(found_distance[0])
            weights = np.float32(0)
            for j in range(k):
                # The small floor stands in for the infinite weight of a sample that is met exactly.
                found_distance[j] = np.float32(1) / (np.sqrt(found_distance[j]) + np.float32(1e-5))
                weights += found_distance[j]
            disagreement = np.float32(0)
            for c in range(size):
                total = np.float32(0)
                for j in range(k):
                    total += found_distance[j] * values[found[j], c]
                center = total / weights
                mean[c, y, x] = center
                if c < wanted:
                    for j in range(k):
                        t = values[found[j], c] - center
                        disagreement += found_distance[j] * t * t
            variance[y, x] = disagreement / weights
