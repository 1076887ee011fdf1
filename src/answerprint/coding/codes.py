"""Artifacts of rounding to 8 bits, halved chroma and coding on planes of codes: measured, and undone within bounds.

Planes are float32 (h, w) in units of one 8-bit code (16..235 where the range is limited). A decoder's value v says that
the picture was within v - 1/2 .. v + 1/2 before it was rounded, and within a part of the coder's quantizer around that
before it was coded: what is done here stays inside such bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.media.quantizer import CELL
from answerprint.motion import flow

Plane = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]


# ---- measures


def banding(plane: Plane) -> float:
    """How much of a plane is a slow gradient cut into steps, 0..1 (after CAMBI, Tandon et al. 2021).

    A pixel shows banding where a step of 1 to 4 codes parts two even areas: at one of three distances up to 12 pixels
    both sides are flat, and they differ by such a step. Grain and texture break the flatness, so they do not count.
    """
    if min(plane.shape) < 32:
        return 0.0
    still = cv2.blur((np.abs(_step(plane, 0)) + np.abs(_step(plane, 1)) > 0.6).astype(np.float32), (5, 5)) < 0.35
    mask = np.zeros(plane.shape, bool)
    for distance in (3, 6, 12):
        for axis in (0, 1):
            jump = np.abs(np.roll(plane, -distance, axis) - plane)
            edge = (jump > 0.6) & (jump < 4.4) & still & np.roll(still, -distance, axis)
            # A step, not a ramp: all of the difference happens within one pixel.
            along = (2 * distance + 1, 1) if axis == 0 else (1, 2 * distance + 1)
            steepest = cv2.dilate(np.abs(_step(plane, axis)), np.ones(along, np.uint8))
            mask |= edge & (steepest > 0.8 * jump) & _inside(plane.shape, distance, axis)
    return float(mask.mean())


def blocking(plane: Plane, size: int = 8) -> float:
    """How much larger steps across the borders of coded blocks are than those beside them: 0 none, 1 twice as large."""
    ratios = []
    for axis in (0, 1):
        if plane.shape[axis] < 4 * size:
            continue
        steps = np.abs(np.diff(plane, axis=axis))
        steps = np.minimum(steps, 8)  # edges of things say nothing of blocks
        lines = steps.mean(axis=1 - axis)
        place = (np.arange(len(lines)) + 1) % size
        beside = lines[(place == 1) | (place == size - 1)].mean()
        ratios.append(float(lines[place == 0].mean() / max(beside, 1e-3) - 1))
    return max(float(np.mean(ratios)), 0.0) if ratios else 0.0


def quantizer(plane: Plane, bits_per_pixel: float) -> float:
    """A guess at the step of a coder's quantizer where nothing tells it, in codes: the rate says it, beside the detail.

    Fitted to H.264 at 0.04 to 0.25 bits a pixel; on ten clips that it was not fitted to it is off by a factor of 1.6
    (one deviation).

    Args:
        plane: luma as decoded.
        bits_per_pixel: of the stream; 0 where it is not known, and then so is the step.
    """
    if not 0 < bits_per_pixel <= 1 or min(plane.shape) < 8:
        return 0.0
    slopes = (np.abs(_step(plane, 0)).mean() + np.abs(_step(plane, 1)).mean()) / 2
    bends = np.abs(_step(_step(plane, 0), 1)).mean()
    level = -1.27 - 1.095 * np.log2(bits_per_pixel) + 1.683 * np.log2(slopes + 0.1) - 0.581 * np.log2(bends + 0.1)
    return float(np.clip(2**level, 0.6, 228))


def _step(plane: Plane, axis: int) -> Plane:
    step: Plane = np.diff(plane, axis=axis, append=plane[-1:] if axis == 0 else plane[:, -1:])
    return step


def _inside(shape: tuple[int, ...], distance: int, axis: int) -> npt.NDArray[np.bool_]:
    inside = np.ones(shape, bool)
    if axis == 0:
        inside[-distance:] = False
    else:
        inside[:, -distance:] = False
    return inside


# ---- neighbors


_SOUGHT = 1_000_000  # pixels from which on motion is sought at half size


def align(onto: Codes, neighbors: Sequence[Sequence[Codes]]) -> list[tuple[Codes, ...]]:
    """The planes of 4:2:0 of neighbors laid onto a frame along their motion.

    Args:
        onto: luma of the frame, (H, W), even sizes.
        neighbors: of each, Y (H, W), then those of half the size (H/2, W/2): Cb, Cr, and what is known of them.
    """
    height, width = onto.shape
    half = (width // 2, height // 2)

    def search_plane(luma: Codes) -> Codes:
        return np.asarray(cv2.resize(luma, half, interpolation=cv2.INTER_AREA) if onto.size > _SOUGHT else luma)

    own = search_plane(onto)

    def warp(planes: Sequence[Codes]) -> tuple[Codes, ...]:
        vectors = flow.flow(own, search_plane(planes[0]), "medium")
        whole, sparse = flow.resized(vectors, width, height), flow.resized(vectors, *half)
        return _warp(planes[0], whole), *(_warp(plane, sparse) for plane in planes[1:])

    # Side by side: a search does not keep all processors busy.
    with ThreadPoolExecutor(max(len(neighbors), 1)) as pool:
        return list(pool.map(warp, neighbors))


def steps_to_levels(steps: npt.NDArray[np.float32] | float, height: int, width: int) -> Codes:
    """Steps of a quantizer as levels of 8 bits, 32 to a doubling of step + 1, at every pixel of a plane of chroma.

    Args:
        steps: in codes: one for all, or (rows, columns) of cells of CELL x CELL pixels of luma.
        height: of the plane.
        width: of the plane.
    """
    levels: Codes = np.rint(32 * np.log2(np.asarray(steps, np.float32) + 1)).clip(0, 255).astype(np.uint8)
    if levels.ndim == 0:
        return np.full((height, width), levels)
    return np.asarray(levels.repeat(CELL // 2, axis=0).repeat(CELL // 2, axis=1)[:height, :width])


def levels_to_steps(levels: Codes) -> npt.NDArray[np.float32]:
    """Steps of a quantizer again of what `steps_to_levels` gives."""
    return np.exp2(levels.astype(np.float32) / 32) - np.float32(1)


def _warp(plane: Codes, vectors: flow.Array) -> Codes:
    return np.asarray(flow.warp(plane, vectors, how=cv2.INTER_CUBIC), np.uint8)


# ---- artifacts of blocks


def deblock(plane: Plane, limit: float, size: int = 8) -> Plane:
    """Steps across the borders of coded blocks evened out where the quantizer can have made them.

    The normal filter of H.264 (ITU-T H.264, 8.7.2.3) on two pixels of each side: the step is shared out, by `limit` at
    most; a step larger than four limits is an edge of the picture and stays, as does a side that is not smooth itself.

    Args:
        plane: (h, w); blocks begin at its corner.
        limit: largest change of a pixel, in codes.
    """
    if limit <= 0:
        return plane
    return _across(_across(plane, limit, size).T, limit, size).T


def _across(plane: Plane, limit: float, size: int) -> Plane:
    """Vertical borders."""
    places = np.arange(size, plane.shape[1] - 1, size)
    if not len(places):
        return plane
    p1, p0, q0, q1 = (plane[:, places + offset] for offset in (-2, -1, 0, 1))
    step = q0 - p0
    smooth = (np.abs(step) < 4 * limit) & (np.abs(p1 - p0) < 2 * limit) & (np.abs(q1 - q0) < 2 * limit)
    delta = np.clip((4 * step + (p1 - q1)) / 8, -limit, limit) * smooth
    result = plane.copy()
    result[:, places - 1] += delta
    result[:, places] -= delta
    result[:, places - 2] += np.clip(delta / 4, -limit, limit)
    result[:, places + 1] -= np.clip(delta / 4, -limit, limit)
    return result


# ---- rounding


_RADII = (4, 12, 36)


def deband(plane: Plane, bound: float, most: float = 1.0) -> Plane:
    """Slow gradients get back the values between the codes; edges, texture and grain stay.

    Guided filters (He, Sun and Tang 2010) of three sizes, the largest where it finds an even slope; where neighboring
    codes change often there is grain, which rounding has already spread: nothing is done there.

    Args:
        plane: (h, w).
        bound: largest change of a pixel in codes: 1/2 for rounding alone.
        most: variance in codes squared up to which a window is a slope in steps.
    """
    if min(plane.shape) < 8 or bound <= 0:
        return plane
    # Beyond its borders the picture goes on along its slope.
    edge = min(2 * _RADII[-1], min(plane.shape) - 1)
    whole = np.pad(plane, edge, mode="reflect", reflect_type="odd")
    result, busy = whole, _busy(whole)
    for radius in _RADII:
        if 2 * radius + 1 > min(plane.shape):
            break
        wide, even = _even(whole, radius, most)
        result = result + even * busy * (wide - result)
    inner = result[edge:-edge, edge:-edge]
    within: Plane = np.clip(inner, plane - bound, plane + bound)
    return within


def _busy(plane: Plane) -> Plane:
    """1 where codes change seldom from pixel to pixel, 0 where they change like grain does."""
    changes = (np.abs(_step(plane, 0)) > 0.5).astype(np.float32) + (np.abs(_step(plane, 1)) > 0.5)
    often: Plane = cv2.blur(changes, (9, 9)) / 2
    calm: Plane = np.clip((0.45 - often) / 0.2, 0, 1).astype(np.float32)
    return calm


def _even(plane: Plane, radius: int, most: float) -> tuple[Plane, Plane]:
    """The plane smoothed along its slope, and how even each window is: what is left around its slope, 0..1."""
    size = (2 * radius + 1, 2 * radius + 1)
    mean = cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT_101)
    smooth = cv2.blur(mean, size, borderType=cv2.BORDER_REFLECT_101)
    # Twice the mean less the mean of means follows a slope that bends.
    wide = 2 * mean - smooth
    residual = plane - wide
    variance = cv2.blur(residual * residual, size, borderType=cv2.BORDER_REFLECT_101)
    even = np.clip((most - variance) / (0.6 * most), 0, 1)
    return wide.astype(np.float32), even.astype(np.float32)


# ---- chroma


def upsample(plane: Plane, height: int, width: int, site: tuple[float, float], down: tuple[int, int]) -> Plane:
    """A chroma plane at every pixel, linearly between its sites.

    Args:
        plane: (h, w).
        height, width: of the result.
        site: horizontal and vertical place of a sample among the pixels it stands for, 0 the first, 1 the last.
        down: pixels per sample, vertically and horizontally.
    """
    rows = (np.arange(height) - site[1] * (down[0] - 1)) / down[0]
    columns = (np.arange(width) - site[0] * (down[1] - 1)) / down[1]
    grid = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    result: Plane = cv2.remap(plane, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return result


def downsample(plane: Plane, height: int, width: int, site: tuple[float, float], down: tuple[int, int]) -> Plane:
    """A plane at the sites of chroma, each the mean of the pixels around it by the weights of linear interpolation."""
    result = plane
    for axis, count, place in ((0, height, site[1]), (1, width, site[0])):
        step = down[axis]
        if step == 1:
            continue
        taps = _taps(step, place)
        kernel = taps[:, None] if axis == 0 else taps[None, :]
        blurred = cv2.filter2D(result, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE)
        middle = np.minimum(np.arange(count) * step + int(place * (step - 1)), result.shape[axis] - 1)
        result = np.ascontiguousarray(blurred.take(middle, axis=axis))
    return result


@cache
def _taps(step: int, place: float) -> Plane:
    """A triangle around the site; the site lies `place` of the way from the first pixel to the last."""
    offset = place * (step - 1) - int(place * (step - 1))
    x = np.arange(-step - 1, step + 2) - offset
    taps = np.clip(1 - np.abs(x) / step, 0, None)
    return np.asarray(taps / taps.sum(), np.float32)


def luma_detail(
    chroma: Plane, luma: Plane, site: tuple[float, float], down: tuple[int, int], noise: float = 10.0
) -> Plane:
    """Detail of chroma between its sites predicted from luma, to add to `upsample`d chroma; 0 where there is none.

    Around each chroma sample C = a Y + b is fitted on the grid of chroma (guided filter of 3 x 3). Where the two go
    together (squared correlation above 0.8), the detail of luma that thinning took away comes in by a, which is held
    below 1/2: with any less care this does harm on most footage.

    Args:
        chroma: (h, w).
        luma: (H, W).
        site, down: see `upsample`.
        noise: variance in codes squared below which luma shows nothing.

    Returns:
        (H, W).
    """
    lines, columns = chroma.shape
    height, width = luma.shape
    light = downsample(luma, lines, columns, site, down)
    mean_c, mean_l = _box(chroma), _box(light)
    covariance = _box(chroma * light) - mean_c * mean_l
    variance = np.maximum(_box(light * light) - mean_l * mean_l, 0) + noise
    own = np.maximum(_box(chroma * chroma) - mean_c * mean_c, 0) + noise / 4
    sure = np.clip((covariance**2 / (variance * own) - 0.8) / 0.2, 0, 1)
    slope = (np.clip(covariance / variance, -0.5, 0.5) * sure).astype(np.float32)
    detail = luma - upsample(light, height, width, site, down)
    result: Plane = upsample(slope, height, width, site, down) * detail
    return result


def _box(values: Any) -> Plane:
    mean: Plane = cv2.blur(values, (3, 3), borderType=cv2.BORDER_REPLICATE)
    return mean
