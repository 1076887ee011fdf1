"""A hole filled with pieces of the picture around it (Wexler, Shechtman and Irani 2007; Barnes et al. 2009).

From coarse to fine: for every patch that touches the hole the most similar whole patch elsewhere is sought, and every
pixel of the hole becomes what the patches over it say; repeated until it is of one piece.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.filters.poisson import membrane
from answerprint.kernels import patches as loops

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Places = NDArray[np.int32]

_RADIUS = 3  # of patches, 7 x 7 pixels
_THIN = 3.0  # pixels from rim to core of a hole at the coarsest level
_LEAST = 24  # pixels a side of the coarsest level
_SELECTIVE = 0.1  # of the median distance: how much better patches outweigh others; averages are blurred
_ROUNDS = 6  # of search and vote on each level
_WIDE = 1.0  # of the hole's size: how much of the picture around it pieces are taken from
_NEAR = 48  # pixels of that at the least


def synthesize(picture: Array, hole: Mask, taboo: Mask | None = None, seed: int = 0) -> Array:
    """The picture (H, W, 3) with its hole (H, W) filled from what is around it.

    Args:
        picture: finite values of any range.
        hole: what is filled.
        taboo: (H, W), what no piece may be taken from beside the hole.
        seed: of the search.

    Returns:
        (H, W, 3), unchanged outside the hole; smooth inside where the picture holds no whole patch.
    """
    if not hole.any():
        return picture
    rows, columns = _surroundings(hole)
    part = np.ascontiguousarray(picture[rows, columns], np.float32)
    inside = np.ascontiguousarray(hole[rows, columns])
    forbidden = inside if taboo is None else inside | taboo[rows, columns]
    result = picture.copy()
    result[rows, columns] = np.where(inside[..., None], _filled(part, inside, forbidden, seed), part)
    return result


def _surroundings(hole: Mask) -> tuple[slice, slice]:
    spans = []
    for axis in (1, 0):
        where = np.flatnonzero(hole.any(axis))
        first, last = int(where[0]), int(where[-1]) + 1
        more = max(_NEAR, round(_WIDE * (last - first)))
        spans.append(slice(max(first - more, 0), last + more))
    return spans[0], spans[1]


def _filled(picture: Array, hole: Mask, forbidden: Mask, seed: int) -> Array:
    levels = [(picture, hole, forbidden)]
    while _thickness(levels[-1][1]) > _THIN and min(levels[-1][1].shape) >= 2 * _LEAST:
        levels.append(_halved(*levels[-1]))
    guess = _peeled(*levels[-1])
    match: Places | None = None
    for number, (level, inside, closed) in enumerate(reversed(levels)):
        if number:
            size = level.shape[1], level.shape[0]
            guess = np.asarray(cv2.resize(guess, size, interpolation=cv2.INTER_LINEAR), np.float32)
        guess = np.where(inside[..., None], guess, level).astype(np.float32)
        source = _whole_patches(closed)
        if not source.any():
            match = None
            continue
        guess, match = _settle(guess, inside, source, match, seed + number)
    return guess


def _peeled(picture: Array, hole: Mask, forbidden: Mask) -> Array:
    """The coarsest picture with its hole filled from the rim inward; a smooth guess would attract plain patches."""
    result = membrane(picture, ~hole)
    places = np.argwhere(_whole_patches(forbidden)).astype(np.int32)
    unknown = hole.copy()
    while unknown.any() and len(places):
        rim = unknown & (cv2.dilate((~unknown).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
        if not rim.any():
            break
        loops.peel(result, unknown, np.argwhere(rim).astype(np.int32), places, _RADIUS)
        unknown &= ~rim
    return result


def _settle(guess: Array, hole: Mask, source: Mask, match: Places | None, seed: int) -> tuple[Array, Places]:
    """Search and vote in turns on one level; gives the picture and the matches (H, W, 2)."""
    height, width = hole.shape
    near = cv2.dilate(hole.astype(np.uint8), np.ones((2 * _RADIUS + 1, 2 * _RADIUS + 1), np.uint8)) > 0
    targets = np.argwhere(near).astype(np.int32)
    start = _first_match(near, source, match, seed)
    cost = np.full((height, width), np.inf, np.float32)
    for turn in range(_ROUNDS):
        loops.measure(guess, targets, start, cost, _RADIUS)
        loops.search(guess, source, targets, start, cost, _RADIUS, seed * _ROUNDS + turn)
        spread = _SELECTIVE * float(np.median(cost[near])) + 1e-6
        guess = loops.vote(guess, hole, targets, start, cost, _RADIUS, spread)
    return guess, start


def _first_match(near: Mask, source: Mask, coarse: Places | None, seed: int) -> Places:
    """Matches (H, W, 2) to begin with: those of the coarser level where they can be taken, random ones elsewhere."""
    height, width = near.shape
    places = np.argwhere(source)
    drawn = np.random.default_rng(seed).integers(0, len(places), (height, width))
    match = places[drawn].astype(np.int32)
    if coarse is not None:
        y, x = np.mgrid[0:height, 0:width]
        up = coarse[np.minimum(y // 2, coarse.shape[0] - 1), np.minimum(x // 2, coarse.shape[1] - 1)]
        up = up * 2 + np.dstack([y % 2, x % 2])
        usable = (up[..., 0] < height) & (up[..., 1] < width)
        up = np.where(usable[..., None], up, 0)
        usable &= source[up[..., 0], up[..., 1]]
        match = np.where(usable[..., None], up, match).astype(np.int32)
    return np.ascontiguousarray(match)


def _thickness(hole: Mask) -> float:
    return float(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max())


def _halved(picture: Array, hole: Mask, forbidden: Mask) -> tuple[Array, Mask, Mask]:
    """Half the size; what is known is averaged over its known pixels alone."""
    size = (picture.shape[1] + 1) // 2, (picture.shape[0] + 1) // 2
    known = (~hole).astype(np.float32)
    total = cv2.resize(picture * known[..., None], size, interpolation=cv2.INTER_AREA)
    share = np.asarray(cv2.resize(known, size, interpolation=cv2.INTER_AREA), np.float32)
    closed = cv2.resize(forbidden.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    return np.asarray(total / np.maximum(share, 1e-4)[..., None], np.float32), share < 0.5, np.asarray(closed)


def _whole_patches(forbidden: Mask) -> Mask:
    """Centers of patches (H, W) that lie in the picture and touch nothing forbidden."""
    side = 2 * _RADIUS + 1
    touched = cv2.dilate(forbidden.astype(np.uint8), np.ones((side, side), np.uint8), borderValue=1)
    free = np.asarray(touched == 0)
    free[:_RADIUS], free[-_RADIUS:], free[:, :_RADIUS], free[:, -_RADIUS:] = False, False, False, False
    return free
