"""Search of the k nearest samples for every pixel of a picture (see operations/match/neighbors.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from answerprint.kernels import CACHE


# One long function: what it called would be compiled into it anyway, and nine coordinates must stay in registers.
# Of the fast arithmetic all but "no NaN, no infinity": comparisons must keep their meaning.
@njit(  # type: ignore[untyped-decorator, unused-ignore]
    cache=CACHE, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"}
)
def search(
    samples: Any, lively: Any, slabs: Any, values: Any, basis: Any, padded: Any, start: int, stop: int, k: int,
    spread: int, mean: Any, variance: Any, nearest: Any,
) -> None:  # fmt: skip
    """Fills rows [start, stop) of `mean`, `nearest`, and `variance` of the first `spread` values."""
    slab_count = slabs.shape[0]
    size = values.shape[1]
    distances = np.empty(k, np.float32)
    neighbors = np.zeros(k, np.int64)
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
            liveliness = np.sqrt(q1 * q1 + q2 * q2 + q3 * q3 + q4 * q4 + q5 * q5 + q6 * q6 + q7 * q7 + q8 * q8)

            # The farthest of the left pixel's neighbors bounds the answer; a hair more, so that it can be found again.
            bound = np.float32(1e30)
            if x > 0:
                bound = np.float32(0)
                for j in range(k):
                    sample = samples[neighbors[j] >> 4]
                    total = np.float32(0)
                    for c in range(9):
                        t = question[c] - sample[c, neighbors[j] & 15]
                        total += t * t
                    bound = max(bound, total)
                bound = bound * np.float32(1.0001) + np.float32(1e-9)
            for j in range(k):
                distances[j] = bound

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
                    gap = max(max(lively[block, 0] - liveliness, liveliness - lively[block, 1]), np.float32(0))
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
                            while j > 0 and distances[j - 1] > d:
                                distances[j] = distances[j - 1]
                                neighbors[j] = neighbors[j - 1]
                                j -= 1
                            distances[j] = d
                            neighbors[j] = block * 16 + i
                            bound = distances[k - 1]

            nearest[y, x] = np.sqrt(distances[0])
            weights = np.float32(0)
            for j in range(k):
                # The small floor stands in for the infinite weight of a sample that is met exactly.
                distances[j] = np.float32(1) / (np.sqrt(distances[j]) + np.float32(1e-5))
                weights += distances[j]
            disagreement = np.float32(0)
            for c in range(size):
                total = np.float32(0)
                for j in range(k):
                    total += distances[j] * values[neighbors[j], c]
                center = total / weights
                mean[c, y, x] = center
                if c < spread:
                    for j in range(k):
                        t = values[neighbors[j], c] - center
                        disagreement += distances[j] * t * t
            variance[y, x] = disagreement / weights
