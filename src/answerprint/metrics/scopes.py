"""Waveform, parade, vectorscope and histogram of a picture, as uint8 images drawn from its float pixels.

Everything is measured before any clipping: a level axis runs from -10 % to 110 % of nominal black to nominal white, so
sub-blacks and super-whites are seen. Luma and color difference follow the picture's own matrix (ITU-R BT.601-7 section
2.5.1, BT.709-6 section 3, BT.2020-2 table 4, SMPTE ST 240: 1999). Images are uint8 (h, w, 3) in R, G, B order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from answerprint.color.spaces import LUMA_WEIGHTS
from answerprint.frame import ColorTags

Image = NDArray[np.uint8]
Values = NDArray[np.float32]

LOW, HIGH = -0.1, 1.1  # ends of every level axis
VECTOR_REACH = 0.62  # color difference at the border of the vectorscope; 100 % bars reach 0.5 on one axis
BARS = {"R": (1, 0, 0), "Yl": (1, 1, 0), "G": (0, 1, 0), "Cy": (0, 1, 1), "B": (0, 0, 1), "Mg": (1, 0, 1)}

_BACK, _LINE, _EDGE = 13, 46, 88  # gray of the background, of graticule lines, of the 0 and 100 % lines
_STEPS = 9  # brightness steps of a trace: enough for the eye, and a PNG of it stays small
# The reds, greens and blues of a trace are the ones a monitor shows well on black, not the primaries themselves;
# their sum is neutral.
_TRACES = np.array([(255, 78, 70), (74, 207, 98), (86, 130, 247)], dtype=np.float32)
_GRAY = np.array((222, 222, 222), dtype=np.float32)


def weights(color: ColorTags, height: int) -> tuple[float, float]:
    """Kr and Kb of the matrix in `color`; R'G'B' and untagged pictures: BT.601 below 720 lines, else BT.709."""
    known = LUMA_WEIGHTS.get(color.matrix.replace("bt2020c", "bt2020nc"))
    if known is not None:
        return known
    if color.primaries == "bt2020":
        return LUMA_WEIGHTS["bt2020nc"]
    return LUMA_WEIGHTS["smpte170m" if height < 720 and color.matrix == "unknown" else "bt709"]


def luma(pixels: Tensor, color: ColorTags) -> Values:
    """Y' of pixels (3, H, W), shape (H, W), nominal 0 to 1."""
    return _luma(_finite(pixels), *weights(color, pixels.shape[-2]))


def waveform(pixels: Tensor, color: ColorTags, width: int = 384, height: int = 216, graticule: bool = True) -> Image:
    """Luma over picture columns: left is left, up is bright; lines at every quarter from 0 to 100 %.

    Args:
        pixels: float (3, H, W), any range.
        color: the tags of `pixels`; the matrix decides luma.
        width: columns of the image.
        height: rows of the image, from 110 % at the top to -10 % at the bottom.
        graticule: whether level lines are drawn.
    """
    canvas = _levels_canvas(height, width, graticule)
    _expose(canvas, _columns(luma(pixels, color), width, height), _GRAY)
    return _eight(canvas)


def parade(pixels: Tensor, width: int = 384, height: int = 216, graticule: bool = True) -> Image:
    """The waveforms of R', G' and B' side by side; arguments as for `waveform`."""
    canvas = _levels_canvas(height, width, graticule)
    channels = _finite(pixels)
    edges = [round(width * i / 3) for i in range(4)]
    for channel in range(3):
        left, right = edges[channel] + 2, edges[channel + 1] - 2
        _expose(canvas[:, left:right], _columns(channels[channel], right - left, height), _TRACES[channel])
    return _eight(canvas)


def vectorscope(pixels: Tensor, color: ColorTags, size: int = 216, graticule: bool = True) -> Image:
    """Cb to the right, Cr up, by the picture's own matrix; boxes at the 75 % bars, a line where skin tends to lie.

    Args:
        pixels: float (3, H, W), any range.
        color: the tags of `pixels`.
        size: rows and columns of the image; its border is a color difference of 0.62 (100 % bars reach 0.5).
        graticule: whether axes, bars and the skin line are drawn.
    """
    canvas = np.full((size, size, 3), _BACK, dtype=np.float32)
    if graticule:
        _vector_graticule(canvas, color, pixels.shape[-2])
    planes = _finite(pixels)
    _, cb, cr = _difference(planes, color)
    x, y = _vector_place(cb, size), _vector_place(-cr, size)
    counts = np.bincount((y * size + x).ravel(), minlength=size * size).reshape(size, size)
    _expose(canvas, counts / max(cb.size, 1) * 4000.0, _GRAY)
    return _eight(canvas)


def vector_targets(color: ColorTags, height: int, level: float = 0.75) -> dict[str, tuple[float, float]]:
    """Places of the color bars of `level` in a vectorscope, as shares (x, y) of its size from the top left."""
    places = {}
    for name, rgb in BARS.items():
        bar = np.array(rgb, dtype=np.float32).reshape(3, 1, 1) * np.float32(level)
        _, cb, cr = _difference(bar, color, height)
        places[name] = (
            0.5 + float(cb[0, 0]) / (2 * VECTOR_REACH),
            0.5 - float(cr[0, 0]) / (2 * VECTOR_REACH),
        )
    return places


def histogram(pixels: Tensor, width: int = 384, height: int = 216, graticule: bool = True) -> Image:
    """Frequency of each level of R\', G\' and B\', added as light: where all three agree the area is gray.

    Args:
        pixels: float (3, H, W), any range; what lies outside -10 % to 110 % is counted at the ends.
        width: columns of the image, one bin each.
        height: rows; the square root of the count is drawn, so that small areas stay visible.
        graticule: whether level lines are drawn.
    """
    canvas = np.full((height, width, 3), _BACK, dtype=np.float32)
    if graticule:
        for level in (0.0, 0.25, 0.5, 0.75, 1.0):
            column = _clip_index((level - LOW) / (HIGH - LOW) * width, width)
            canvas[:, column] = _EDGE if level in (0.0, 1.0) else _LINE
    channels = _finite(pixels)
    places = [_clip_index((plane - LOW) / (HIGH - LOW) * width, width) for plane in channels]
    counts = np.stack([np.bincount(place.ravel(), minlength=width) for place in places]).astype(np.float32)
    # Levels of 8-bit footage lie further apart than bins: unsmoothed they would show as a comb.
    counts = ndimage.gaussian_filter1d(counts, width / 160, axis=1)
    # One flat area (bars, a black border) would press all else to the floor: the tallest bins are cut off.
    top = max(float(np.quantile(counts, 0.99)), float(counts.max()) / 12, 1.0)
    bars = np.minimum(np.sqrt(counts / top), 1.0) * (height - 4)
    rows = np.arange(height, 0, -1, dtype=np.float32)[:, None]
    for channel in range(3):
        canvas += (rows <= bars[channel]).astype(np.float32)[..., None] * _TRACES[channel] * np.float32(0.48)
    return _eight(canvas)


def _finite(pixels: Tensor) -> Values:
    """Pixels on the processor; NaN counts as black, infinities as far outside."""
    values: Values = pixels.detach().cpu().float().numpy()
    return values if np.isfinite(values).all() else np.nan_to_num(values, nan=0.0, posinf=1e4, neginf=-1e4)


def _luma(planes: Values, kr: float, kb: float) -> Values:
    y: Values = np.float32(kr) * planes[0] + np.float32(1 - kr - kb) * planes[1] + np.float32(kb) * planes[2]
    return y


def _difference(planes: Values, color: ColorTags, height: int | None = None) -> tuple[Values, Values, Values]:
    """Y', Cb, Cr of R'G'B' planes; Cb and Cr lie in -0.5..0.5 for R'G'B' in 0..1."""
    kr, kb = weights(color, planes.shape[-2] if height is None else height)
    y = _luma(planes, kr, kb)
    return y, (planes[2] - y) / np.float32(2 * (1 - kb)), (planes[0] - y) / np.float32(2 * (1 - kr))


def _clip_index(place: Any, size: int) -> Any:
    return np.clip(np.floor(place), 0, size - 1).astype(np.int64)


def _rows(values: Any, height: int) -> Any:
    return _clip_index((HIGH - values) / (HIGH - LOW) * height, height)


def _columns(plane: Values, width: int, height: int) -> NDArray[np.float64]:
    """Pixels of a plane (H, W) on each place of a waveform (height, width), scaled alike for every picture size."""
    across = plane.shape[1]
    columns = np.arange(across, dtype=np.int64) * width // across
    place = _rows(plane, height) * width + columns
    counts = np.bincount(place.ravel(), minlength=height * width).reshape(height, width)
    # A picture narrower than its scope leaves columns empty: they repeat their neighbor.
    if across < width:
        counts = counts[:, (np.arange(width) * across // width) * width // across]
    # A beam has a width: without it the trace is noise to the eye and to the PNG.
    soft = ndimage.gaussian_filter(counts.astype(np.float64), (0.8, 0.6))
    return np.asarray(soft * (height / max(plane.size / min(width, across), 1)) * 0.35)


def _expose(canvas: Values, density: Any, trace: Values) -> None:
    """Lights the canvas by a trace as a phosphor does: more hits are brighter, but never blow out."""
    light = 1 - np.exp(-np.sqrt(np.asarray(density, dtype=np.float32)) * 1.4)
    light = (np.rint(light * _STEPS) / _STEPS)[..., None]
    canvas += (trace - canvas) * light


def _levels_canvas(height: int, width: int, graticule: bool) -> Values:
    canvas = np.full((height, width, 3), _BACK, dtype=np.float32)
    if graticule:
        for level in (0.0, 0.25, 0.5, 0.75, 1.0):
            canvas[int(_rows(np.float32(level), height))] = _EDGE if level in (0.0, 1.0) else _LINE
    return canvas


def _vector_place(values: Any, size: int) -> Any:
    return _clip_index((values / (2 * VECTOR_REACH) + 0.5) * size, size)


def _vector_graticule(canvas: Values, color: ColorTags, height: int) -> None:
    import cv2

    size = canvas.shape[0]
    middle = size // 2
    canvas[middle], canvas[:, middle] = _LINE, _LINE
    cv2.circle(canvas, (middle, middle), round(size * 0.5 / VECTOR_REACH / 2), (_LINE,) * 3, 1, cv2.LINE_AA)
    # 123 degrees from +Cb: the I axis of NTSC, along which skin of every tone lies.
    reach = size * 0.5 / VECTOR_REACH / 2
    tip = (round(middle + reach * np.cos(np.deg2rad(123))), round(middle - reach * np.sin(np.deg2rad(123))))
    cv2.line(canvas, (middle, middle), tip, (_EDGE,) * 3, 1, cv2.LINE_AA)
    for x, y in vector_targets(color, height).values():
        left, top, half = round(x * size), round(y * size), max(size // 54, 2)
        cv2.rectangle(canvas, (left - half, top - half), (left + half, top + half), (_EDGE,) * 3, 1)


def _eight(canvas: Values) -> Image:
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
