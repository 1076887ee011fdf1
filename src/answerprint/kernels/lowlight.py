"""The mapping of low light at full size, and the share of a window's variance that is no noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from answerprint.kernels import CACHE


@njit(cache=CACHE, nogil=True, fastmath=False)  # type: ignore[untyped-decorator, unused-ignore]
def signal_share(mean: Any, square: Any, noise: Any, weights: Any, share: Any) -> None:
    """Fills in the share of a window's variance that is signal (Lee 1980, equation 8).

    Args:
        mean: (3, H, W) of the window around each pixel.
        square: (H, W) mean of the sum of the squares of the three channels.
        noise: (N,) variance of the noise, where luma is (i / (N - 1))^2.
        weights: (3,) luma weights of R', G', B'.
        share: (H, W) to fill, 0..1.
    """
    last = len(noise) - 1
    for y in range(square.shape[0]):
        for x in range(square.shape[1]):
            r, g, b = mean[0, y, x], mean[1, y, x], mean[2, y, x]
            variance = square[y, x] - (r * r + g * g + b * b)
            luma = min(max(weights[0] * r + weights[1] * g + weights[2] * b, 0.0), 1.0)
            place = np.sqrt(luma) * last
            below = min(int(place), last - 1)
            part = place - below
            here = noise[below] * (1 - part) + noise[below + 1] * part
            share[y, x] = 1.0 if here <= 0 else max(variance - here, 0.0) / max(variance, 1e-12)


# Skin, whatever its depth, lies along one line of hue: (Y - B) / (R - Y) is 0.6 to 1.3 for it.
@njit(cache=CACHE, nogil=True, fastmath=False)  # type: ignore[untyped-decorator, unused-ignore]
def _skin(red: float, blue: float, luma: float) -> float:
    """Likeness of a color to skin, 0..1."""
    toward = red - luma
    if luma < 0.03 or toward < 0.03 * luma:
        return 0.0
    hue = (luma - blue) / toward
    near = min(max((hue - 0.3) / 0.3, 0.0), 1.0) * min(max((1.8 - hue) / 0.5, 0.0), 1.0)
    chroma = toward / luma
    saturation = min(max((chroma - 0.03) / 0.07, 0.0), 1.0) * min(max((0.9 - chroma) / 0.3, 0.0), 1.0)
    return near * saturation * min(max((luma - 0.03) / 0.05, 0.0), 1.0)


@njit(cache=CACHE, nogil=True, fastmath=False)  # type: ignore[untyped-decorator, unused-ignore]
def _at(table: Any, value: float) -> Any:
    """A curve at a value; outside 0..1 it goes on in parallel to the identity."""
    last = len(table) - 1
    if value <= 0.0:
        return table[0] + value
    if value >= 1.0:
        return table[last] + (value - 1.0)
    place = value * last
    below = int(place)
    share = place - below
    return table[below] * (1 - share) + table[below + 1] * share


@njit(cache=CACHE, nogil=True, fastmath=False)  # type: ignore[untyped-decorator, unused-ignore]
def apply_mapping(
    source: Any,
    result: Any,
    tables: Any,
    weights: Any,
    field: Any,
    top: int,
    bottom: int,
    left: int,
    right: int,
    skin: float,
    strength: float,
    share: float,
    color_floor: float,
) -> None:
    """Fills in curves, skin, compensation and the color of deep shadows over one block.

    Args:
        source: (3, H, W); pixels that are not finite stay.
        result: (3, H, W) to fill.
        tables: (3, n) output per channel for inputs at even steps over 0..1.
        weights: (3,) luma weights of R', G', B'.
        field: (3, h, w) color level compensation over the whole picture.
        top: first line of the block.
        bottom: line after its last.
        left: first column of the block.
        right: column after its last.
        skin: how much skin keeps its hue, 0..1.
        strength: 0 leaves the source, 1 maps it.
        share: share of the compensation, 0..1.
        color_floor: signal level under which color is noise; 0 lifts all color.
    """
    height, width = source.shape[1], source.shape[2]
    lines, columns = field.shape[1], field.shape[2]
    for y in range(top, bottom):
        down = min(max((y + 0.5) * lines / height - 0.5, 0.0), lines - 1.0)
        upper = int(down)
        lower = min(upper + 1, lines - 1)
        down -= upper
        for x in range(left, right):
            r, g, b = source[0, y, x], source[1, y, x], source[2, y, x]
            if not (np.isfinite(r) and np.isfinite(g) and np.isfinite(b)):
                for c in range(3):
                    result[c, y, x] = source[c, y, x]
                continue
            red, green, blue = _at(tables[0], r), _at(tables[1], g), _at(tables[2], b)
            luma = weights[0] * red + weights[1] * green + weights[2] * blue
            if skin > 0.0:
                before = weights[0] * r + weights[1] * g + weights[2] * b
                like = skin * _skin(r, b, before) if before > 0.02 else 0.0
                if like > 0.0:
                    # Skin keeps the ratio of its channels, and is lifted half as far above the mid tones.
                    knee = max(before, 0.62)
                    target = luma if luma <= knee else knee + 0.5 * (luma - knee)
                    gain = target / before
                    red += like * (r * gain - red)
                    green += like * (g * gain - green)
                    blue += like * (b * gain - blue)
            if share > 0.0:
                across = min(max((x + 0.5) * columns / width - 0.5, 0.0), columns - 1.0)
                first = int(across)
                second = min(first + 1, columns - 1)
                across -= first
                # Black stays black, whatever the network thinks of letterboxes and of the night, and white white.
                top_level = max(red, green, blue)
                amount = share * min(max(top_level / 0.04, 0.0), 1.0) * min(max((1 - top_level) / 0.15, 0.0), 1.0)
                for c in range(3):
                    one = field[c, upper, first] * (1 - across) + field[c, upper, second] * across
                    other = field[c, lower, first] * (1 - across) + field[c, lower, second] * across
                    extra = amount * (one * (1 - down) + other * down)
                    if c == 0:
                        red += extra
                    elif c == 1:
                        green += extra
                    else:
                        blue += extra
            top_signal = max(r, g, b)
            if color_floor > 0.0 and top_signal < 2 * color_floor:
                place = max(top_signal, 0.0) / (2 * color_floor)
                trust = place * place * (3 - 2 * place)
                luma = weights[0] * red + weights[1] * green + weights[2] * blue
                red, green, blue = (
                    luma + trust * (red - luma),
                    luma + trust * (green - luma),
                    luma + trust * (blue - luma),
                )
            result[0, y, x] = r + strength * (red - r)
            result[1, y, x] = g + strength * (green - g)
            result[2, y, x] = b + strength * (blue - b)
