"""Background from other frames: followed along its flow until a wire no longer hides it, and sampled there once.

A wire is cut into cells. A cell takes its background from the nearest frames before and after that show it; beside the
wire that frame is laid on the present one once more (Lucas and Kanade 1981) and brought to its light, and how well it
fits there says how far to believe it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from answerprint.motion.wires.trail import Cover
from answerprint.operations.wires.window import VISIBLE, Window

Array = NDArray[np.float32]
Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

RIM = 9.0  # pixels beside a wire, that a frame must fit
CELL = 20.0  # pixels along a wire, that are taken from one frame
_SOURCES = 2  # frames before, and after, that a cell is taken from
_WHOLE = 0.98  # of a cell that a frame must show to be one of them
_HOME = 1.0  # pixels of error of flow there and back, with a tenth of the motion, that are borne
_SHIFT = 2.0  # pixels by which a frame may be laid on another
_STIFF = 4e-4  # what alignment must gain for a pixel
_LIGHT = 0.12  # difference of light that is evened out, at the most
_ODD = 0.06  # difference beyond which a pixel of the rim tells nothing of the light
_FEW = 12  # pixels of rim in a cell that say something
_FLOOR = 1.5e-5  # variance of error at the least
_UNFIT = 4.0  # of a cell's variance of error, that others may have beside the best
_NEAR = 3.0  # pixels along a wire over which frames are compared with each other
_OWN, _APART = 1.3, 1.3  # weights of the misfit beside a wire, and of what frames differ by, in the error
_WIDE = 30000  # places that OpenCV samples in a row


@dataclass(frozen=True, eq=False)
class Propagated:
    """Values for the pixels of a cover.

    Attributes:
        values: (N, 3).
        variances: (N,) of the error to expect, of R'G'B' of 0..1; inf where no frame shows the background.
        share: (N,) part of the variance of the picture's grain that is left in the mean of several frames.
    """

    values: Values
    variances: Values
    share: Values


@dataclass(eq=False)
class _Places:
    """Pixels of a wire and beside it: where they are in the present frame, their cell, and which of them are rim."""

    x: Values
    y: Values
    cell: NDArray[np.intp]
    position: Values
    rim: Flags
    core: Flags
    cells: int
    own: Values
    slope: Values


def propagate(window: Window, number: int, cover: Cover, reach: int) -> Propagated:
    """The background under a wire as other frames show it.

    Args:
        window: frames around the present one.
        number: of the present one.
        cover: what the wire covers of it, and the pixels beside.
        reach: frames that are looked at on each side.
    """
    places = _places(window, number, cover)
    options = [one for step in (1, -1) for one in _one_way(window, number, places, step, reach)]
    if not options:
        nothing = np.zeros((len(cover.rows), 3))
        return Propagated(nothing, np.full(len(nothing), np.inf), np.ones(len(nothing)))
    values, variances = (np.stack(each) for each in zip(*options, strict=True))
    return _joined(values, variances, places)


def _joined(values: Values, variances: Values, places: _Places) -> Propagated:
    """Several frames' values (F, N, 3) as one: the better, the more; what they differ by is an error too."""
    best = variances.min(axis=0)
    ratio = np.divide(best, variances, out=np.zeros_like(variances), where=np.isfinite(variances))
    share = np.where(ratio > 1 / _UNFIT, ratio**2, 0)
    weight = np.maximum(share.sum(axis=0), 1e-12)
    mean = (share[..., None] * values).sum(axis=0) / weight[:, None]
    spread = (share * ((values - mean) ** 2).mean(axis=2)).sum(axis=0) / weight
    several = (share > 0).sum(axis=0) > 1
    spread = _along(np.where(several, spread, best), places, np.isfinite(best) & places.core)
    kept = (share**2).sum(axis=0) / weight**2
    variance = _OWN * best + _APART * spread
    return Propagated(mean, np.where(np.isfinite(best), variance, np.inf), np.where(np.isfinite(best), kept, 1))


def _along(values: Values, places: _Places, valid: Flags) -> Values:
    """Values (N,) averaged over what lies at the same place along a wire."""
    at = np.clip(np.rint(places.position * CELL).astype(int), 0, None)
    length = int(at.max()) + 1
    count = ndimage.gaussian_filter1d(np.bincount(at[valid], minlength=length).astype(float), _NEAR, mode="nearest")
    total = ndimage.gaussian_filter1d(np.bincount(at[valid], values[valid], length), _NEAR, mode="nearest")
    return np.asarray((total / np.maximum(count, 1e-6))[at])


def _places(window: Window, number: int, cover: Cover) -> _Places:
    planes = window.planes(number)
    rows, columns = cover.rows, cover.columns
    core = cover.opacity > VISIBLE
    rim = window.hidden(number)[rows, columns] == 0
    position = cover.along / CELL
    cell = np.clip(position.astype(int), 0, None)
    own = planes[:, rows, columns].T.astype(np.float64)
    gray = planes.mean(axis=0)
    slope = np.stack([cv2.Sobel(gray, cv2.CV_32F, *axis, scale=1 / 8)[rows, columns] for axis in ((1, 0), (0, 1))], 1)
    return _Places(
        columns.astype(float), rows.astype(float), cell, position, rim, core, int(cell.max()) + 1, own, slope
    )  # fmt: skip


def _one_way(window: Window, number: int, places: _Places, step: int, reach: int) -> list[tuple[Values, Values]]:
    """Values and variances of the frames that cells are taken from, one way in time."""
    x, y = places.x.copy(), places.y.copy()
    good = np.ones(len(x), bool)
    height, width = window.size
    taken = np.zeros(places.cells, int)
    size = np.bincount(places.cell[places.core], minlength=places.cells)
    taken[size == 0] = _SOURCES
    result = list[tuple[Values, Values]]()
    for away in range(1, reach + 1):
        before = number + step * (away - 1)
        if before + step not in window:
            break
        x, y, good = _onward(window, before, step, x, y, good)
        other = before + step
        inside = (x > 1) & (y > 1) & (x < width - 2) & (y < height - 2)
        clear = good & inside & (_sample(window.hidden(other)[..., None], x, y)[:, 0] == 0)
        shown = np.bincount(places.cell[places.core & clear], minlength=places.cells)
        cells = (taken < _SOURCES) & (shown >= _WHOLE * size)
        # What no frame shows whole is better taken in part than not at all.
        cells |= (taken == 0) & (shown > 0.25 * size)
        if cells.any():
            result.append(_aligned(window, other, places, x, y, clear & cells[places.cell]))
            taken[cells & (shown >= _WHOLE * size)] += 1
        if (taken >= _SOURCES).all():
            break
    return result


def _onward(window: Window, number: int, step: int, x: Values, y: Values, good: Flags) -> tuple[Values, Values, Flags]:
    """Places of a frame in the next one, and which of them came there surely."""
    there, back = window.flows(number, step)
    height, width = window.size
    scale = np.array([width / there.shape[1], height / there.shape[0]])
    own = _sample(there, (x + 0.5) / scale[0] - 0.5, (y + 0.5) / scale[1] - 0.5) * scale
    nx, ny = x + own[:, 0], y + own[:, 1]
    home = _sample(back, (nx + 0.5) / scale[0] - 0.5, (ny + 0.5) / scale[1] - 0.5) * scale
    off = np.hypot(*(own + home).T)
    return nx, ny, good & (off < _HOME + 0.1 * np.hypot(*own.T))


def _sample(image: NDArray[np.generic], x: Values, y: Values, how: int = cv2.INTER_LINEAR) -> Values:
    """An image (H, W, C) at places (N,): (N, C)."""
    count = len(x)
    if not count:
        return np.zeros((0, image.shape[2]))
    wide = min(count, _WIDE)
    pad = -count % wide
    at = [np.pad(one, (0, pad)).reshape(-1, wide).astype(np.float32) for one in (x, y)]
    result = cv2.remap(np.asarray(image), at[0], at[1], how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(result.reshape(count + pad, -1)[:count], np.float64)


def _picture_at(planes: Array, x: Values, y: Values) -> Values:
    """Planes (3, H, W) at places (N,), cubic: (N, 3)."""
    return np.concatenate([_sample(plane[..., None], x, y, cv2.INTER_CUBIC) for plane in planes], axis=1)


def _aligned(window: Window, other: int, places: _Places, x: Values, y: Values, usable: Flags) -> tuple[Values, Values]:
    """Values (N, 3) and variances (N,) of a frame for the cells that use it; the variance is inf elsewhere."""
    planes = window.planes(other)
    rim = places.rim & usable
    shift = np.zeros((places.cells, 2))
    for _ in range(2):
        moved = _spread(places, shift)
        values = _picture_at(planes, (x + moved[:, 0])[rim], (y + moved[:, 1])[rim])
        shift = np.clip(shift + _pull(places, rim, values), -_SHIFT, _SHIFT)
    moved = _spread(places, shift)
    values = np.zeros((len(x), 3))
    values[usable] = _picture_at(planes, (x + moved[:, 0])[usable], (y + moved[:, 1])[usable])
    light, variance = _lit(places, rim, values)
    values += _spread(places, light)
    result = _spread(places, variance[:, None])[:, 0]
    return values, np.where(usable, result, np.inf)


def _pull(places: _Places, rim: Flags, values: Values) -> Values:
    """The shift (cells, 2) that lays a frame on the present one, by what differs along the rim."""
    cell = places.cell[rim]
    count = np.maximum(np.bincount(cell, minlength=places.cells), 1)
    off = (places.own[rim] - values).mean(axis=1)
    mean = np.bincount(cell, off, places.cells) / count
    off = off - mean[cell]
    off = np.clip(off, -_ODD, _ODD)
    slope = places.slope[rim]
    matrix = np.zeros((places.cells, 2, 2))
    right = np.zeros((places.cells, 2))
    for row in range(2):
        right[:, row] = np.bincount(cell, slope[:, row] * off, places.cells)
        for column in range(2):
            matrix[:, row, column] = np.bincount(cell, slope[:, row] * slope[:, column], places.cells)
    # Neighbors move alike: what a cell cannot tell, those beside it can.
    matrix, right = _smoothed(matrix), _smoothed(right)
    matrix += _STIFF * _smoothed(count.astype(float))[:, None, None] * np.eye(2) / 4
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])


def _smoothed(cells: NDArray[Any]) -> Values:
    padded = np.concatenate((cells[:1], cells, cells[-1:]))
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)


def _lit(places: _Places, rim: Flags, values: Values) -> tuple[Values, Values]:
    """Difference of light (cells, 3) and variance of what else differs (cells,), along the rim."""
    cell = places.cell[rim]
    off = places.own[rim] - values[rim]
    weight = np.exp(-((np.abs(off).mean(axis=1) / _ODD) ** 2)) + 1e-6
    count = np.bincount(cell, minlength=places.cells)
    total = _smoothed(np.bincount(cell, weight, places.cells)) + 1e-9
    sums = np.stack([np.bincount(cell, weight * off[:, one], places.cells) for one in range(3)], axis=1)
    light = np.clip(_smoothed(sums) / total[:, None], -_LIGHT, _LIGHT)
    rest = ((off - light[cell]) ** 2).mean(axis=1)
    variance = _smoothed(np.bincount(cell, rest, places.cells)) / np.maximum(_smoothed(count.astype(float)), 1e-9)
    few = count < _FEW
    return np.where(few[:, None], 0, light), np.where(few, np.maximum(variance, 4e-3), variance) + _FLOOR


def _spread(places: _Places, cells: Values) -> Values:
    """Values of cells (cells, C) at all places (N, C), between the middles of the cells."""
    middles = np.arange(places.cells) + 0.5
    return np.stack([np.interp(places.position, middles, cells[:, one]) for one in range(cells.shape[1])], axis=1)
