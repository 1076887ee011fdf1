"""Nearest patches and their vote: the compiled loops of `filters/patches.py`."""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from answerprint.kernels import CACHE

Array = NDArray[Any]

_compiled = functools.partial(numba.njit, cache=CACHE, nogil=True, error_model="numpy")


@_compiled
def _distance(picture: Array, y: int, x: int, v: int, u: int, radius: int, limit: np.float32) -> np.float32:
    """Sum of squared differences of two patches, given up above a limit; what lies outside the picture is left out."""
    height, width, _ = picture.shape
    total = np.float32(0)
    for dy in range(-radius, radius + 1):
        if y + dy < 0 or y + dy >= height:
            continue
        for dx in range(-radius, radius + 1):
            if x + dx < 0 or x + dx >= width:
                continue
            for c in range(3):
                d = picture[y + dy, x + dx, c] - picture[v + dy, u + dx, c]
                total += d * d
        if total > limit:
            return total
    return total


@_compiled
def search(picture: Array, source: Array, targets: Array, match: Array, cost: Array, radius: int, seed: int) -> None:
    """One sweep of PatchMatch (Barnes et al. 2009) there and one back: neighbors' matches, then random ones.

    Args:
        picture: (H, W, 3) float32.
        source: (H, W) bool, centers of patches that may be taken.
        targets: (n, 2) int32, lines and columns of the patches to find matches for, line by line.
        match: (H, W, 2) int32, lines and columns of the matches, changed in place.
        cost: (H, W) float32, their distances, changed in place; infinite where there is no match yet.
        radius: of patches.
        seed: of what is random.
    """
    height, width, _ = picture.shape
    state = np.uint64(seed * 2 + 1)
    for back in range(2):
        step = -1 if back == 0 else 1
        for place in range(len(targets)):
            y, x = targets[place if back == 0 else len(targets) - 1 - place]
            best = cost[y, x]
            v, u = match[y, x]
            for axis in range(2):
                ny, nx = (y + step, x) if axis == 0 else (y, x + step)
                if ny < 0 or ny >= height or nx < 0 or nx >= width or not np.isfinite(cost[ny, nx]):
                    continue
                cv, cu = match[ny, nx, 0] - (ny - y), match[ny, nx, 1] - (nx - x)
                if cv < 0 or cv >= height or cu < 0 or cu >= width or not source[cv, cu]:
                    continue
                d = _distance(picture, y, x, cv, cu, radius, best)
                if d < best:
                    best, v, u = d, cv, cu
            reach = max(height, width)
            while reach >= 1:
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                cv = v + np.int64(np.uint64(state >> np.uint64(33)) % np.uint64(2 * reach + 1)) - reach
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                cu = u + np.int64(np.uint64(state >> np.uint64(33)) % np.uint64(2 * reach + 1)) - reach
                reach //= 2
                if cv < 0 or cv >= height or cu < 0 or cu >= width or not source[cv, cu]:
                    continue
                d = _distance(picture, y, x, cv, cu, radius, best)
                if d < best:
                    best, v, u = d, cv, cu
            match[y, x, 0], match[y, x, 1], cost[y, x] = v, u, best


@_compiled
def measure(picture: Array, targets: Array, match: Array, cost: Array, radius: int) -> None:
    """Distances (H, W) of the matches in a picture that has changed, in place."""
    for place in range(len(targets)):
        y, x = targets[place]
        cost[y, x] = _distance(picture, y, x, match[y, x, 0], match[y, x, 1], radius, np.float32(np.inf))


@_compiled
def vote(picture: Array, hole: Array, targets: Array, match: Array, cost: Array, radius: int, spread: float) -> Array:
    """The picture (H, W, 3) with every pixel of the hole as the patches over it have it, weighted by how well they fit.

    Args:
        picture: (H, W, 3) float32.
        hole: (H, W) bool.
        targets: (n, 2) int32, patches.
        match: (H, W, 2) int32, their matches.
        cost: (H, W) float32, their distances.
        radius: of patches.
        spread: distance at which a match weighs e times less.
    """
    height, width, _ = picture.shape
    total = np.zeros((height, width, 4), np.float32)
    for place in range(len(targets)):
        y, x = targets[place]
        v, u = match[y, x]
        weight = np.float32(np.exp(-cost[y, x] / spread)) + np.float32(1e-6)
        for dy in range(-radius, radius + 1):
            if y + dy < 0 or y + dy >= height:
                continue
            for dx in range(-radius, radius + 1):
                if x + dx < 0 or x + dx >= width or not hole[y + dy, x + dx]:
                    continue
                for c in range(3):
                    total[y + dy, x + dx, c] += weight * picture[v + dy, u + dx, c]
                total[y + dy, x + dx, 3] += weight
    result = picture.copy()
    for y in range(height):
        for x in range(width):
            if hole[y, x] and total[y, x, 3] > 0:
                for c in range(3):
                    result[y, x, c] = total[y, x, c] / total[y, x, 3]
    return result


@_compiled
def peel(picture: Array, unknown: Array, layer: Array, source: Array, radius: int) -> None:
    """Gives pixels at the rim of a hole the value that the most similar patch of the picture has in its middle.

    Only what is known of a patch is compared. The search is exhaustive: for small pictures.

    Args:
        picture: (H, W, 3) float32, changed in place.
        unknown: (H, W) bool, what no patch is compared by.
        layer: (n, 2) int32, lines and columns of the pixels.
        source: (m, 2) int32, centers of patches that may be taken.
        radius: of patches.
    """
    height, width, _ = picture.shape
    for place in range(len(layer)):
        y, x = layer[place]
        best, chosen = np.float32(np.inf), 0
        for number in range(len(source)):
            v, u = source[number]
            total = np.float32(0)
            for dy in range(-radius, radius + 1):
                if y + dy < 0 or y + dy >= height or total >= best:
                    continue
                for dx in range(-radius, radius + 1):
                    if x + dx < 0 or x + dx >= width or unknown[y + dy, x + dx]:
                        continue
                    for c in range(3):
                        d = picture[y + dy, x + dx, c] - picture[v + dy, u + dx, c]
                        total += d * d
            if total < best:
                best, chosen = total, number
        v, u = source[chosen]
        for c in range(3):
            picture[y, x, c] = picture[v, u, c]
