"""A grade in one pass over a picture on the CPU, block by block in the cache, shared among threads.

A picture goes through memory once however many steps its `Program` has.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color.program import Program
from answerprint.kernels.grade import BLOCK, POLYNOMIALS, grade

Array = NDArray[np.float32]

# Pixels that are worth a thread's while; below two such parts one thread is faster.
_SHARE = 32768


class Spare:
    """Memory of released pictures, reused for the next ones of the same size.

    A fresh picture costs as many page faults as it has pages, and they cost as much time as a LUT.
    """

    _COUNT = 2

    def __init__(self) -> None:
        self._free: deque[Array] = deque(maxlen=self._COUNT)

    def take(self, shape: Sequence[int]) -> Tensor:
        """An uninitialized float32 tensor of this shape; its memory comes back once no view of it is left."""
        count = math.prod(shape)
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(0, np.float32)
        if memory.size != count:
            # NumPy asks for large pages, torch does not: a new UHD picture would cost 25,000 page faults.
            memory = np.empty(count, np.float32)
        # Not `memory` itself: the tensor and all its views hold this array, and nothing else does.
        array = memory.reshape(tuple(shape))
        weakref.finalize(array, self._free.append, memory).atexit = False
        return torch.from_numpy(array)


def run(
    program: Program,
    pixels: Tensor,
    weight: Tensor | float = 1.0,
    pool: ThreadPoolExecutor | None = None,
    spare: Spare | None = None,
) -> Tensor:
    """The graded picture, float32 (3, H, W), a new tensor.

    Args:
        program: the steps.
        pixels: float32 (3, H, W) on the CPU.
        weight: opacity of the grade, a number or float32 (1, H, W), 0..1; at 0 the source value is kept bit for bit, at
            1 the graded one.
        pool: threads that share the picture with this one; None works in this one only.
        spare: memory for the result.
    """
    source = pixels.detach().contiguous()
    result = (spare or Spare()).take(source.shape)
    flat, out = source.numpy().reshape(3, -1), result.numpy().reshape(3, -1)
    if isinstance(weight, Tensor):
        weights = weight.detach().to("cpu", torch.float32).contiguous().numpy().reshape(-1)
    else:
        weights = np.full(1, weight, np.float32)

    def part(*bounds: int) -> None:
        arguments: tuple[Any, ...] = (flat, out, weights, *_arguments(program), *bounds)
        grade(*arguments)

    _distribute(part, flat.shape[1], pool)
    return result


def _arguments(p: Program) -> tuple[Any, ...]:
    return p.kinds, p.numbers, POLYNOMIALS, p.curves, p.curves_low, p.curves_scale, p.table, p.size, p.low, p.scale


def _distribute(part: Callable[..., None], count: int, pool: ThreadPoolExecutor | None) -> None:
    """Runs `part(start, stop)` over `count` pixels on this thread and those of the pool."""
    threads = torch.get_num_threads() if pool is not None else 1
    # More parts than threads: on a shared machine one thread may be slower than the others. Whole blocks: the last bits
    # of a pixel depend on its place in a block, and must not depend on how many threads there are.
    parts = max(1, min(8 * threads, count // _SHARE)) if threads > 1 else 1
    edges = [count * i // parts // BLOCK * BLOCK for i in range(parts)] + [count]
    waiting = deque(pairwise(edges))

    def work() -> None:
        while True:
            try:
                bounds = waiting.popleft()
            except IndexError:
                return
            part(*bounds)

    helpers = [pool.submit(work) for _ in range(min(threads, parts) - 1)] if pool is not None else []
    work()
    for helper in helpers:
        # One that has not begun yet finds nothing left to do.
        if not helper.cancel():
            helper.result()
