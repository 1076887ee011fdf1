"""The background in place of a wire: un-mixed where the wire lets it through, filled in where it does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from answerprint.motion.wires.trail import Cover
from answerprint.operations.wires.spatial import Interpolated, interpolate
from answerprint.operations.wires.temporal import propagate
from answerprint.operations.wires.window import VISIBLE, Window

Array = NDArray[np.float32]
Values = NDArray[np.float64]

_SHARP = 2.0  # power by which the better of two guesses outweighs the other
_CORE = 0.2  # opacity up to which a side is un-mixed before what lies between is interpolated
_THROUGH = 0.6  # opacity above which nothing is un-mixed
_SLIP = 0.05  # pixels of error of a wire's place
_MISJUDGED = 0.025  # error of its opacity beside that
_UNEVEN = 0.03  # error of its color
_GRAIN = 1.5e-5  # variance of the grain of a picture, at the least
_SPAN = 2.0  # pixels along a wire over which its color is one
_HABIT = 0.4  # weight of the color that a wire mostly has, against what is seen at a place


def removed(window: Window, number: int, cover: Cover, usual: Array, reach: int) -> tuple[Values, Values]:
    """The background (N, 3) for the pixels of a cover, and which part (N,) of a picture's grain is missing in it.

    Args:
        window: frames around the present one.
        number: of the present one.
        cover: what the wire covers, and pixels beside.
        usual: (M, 3) colors of the wire.
        reach: frames that are looked at on each side.
    """
    planes = window.planes(number)
    own = planes[:, cover.rows, cover.columns].T.astype(np.float64)
    some = cover.opacity > VISIBLE
    if not some.any():
        return own, np.zeros(len(own))
    near, far = _across(planes, own, cover, usual), propagate(window, number, cover, reach)
    weights = np.stack([1 / near.variances**_SHARP, 1 / far.variances**_SHARP])
    weights /= weights.sum(axis=0)
    filled = weights[0][:, None] * near.values + weights[1][:, None] * far.values
    variance = 1 / (1 / near.variances + 1 / far.variances)
    kept = weights[0] ** 2 * near.share + weights[1] ** 2 * far.share
    return _unmixed(own, cover, filled, variance, usual, kept)


def _across(planes: Array, own: Values, cover: Cover, usual: Array) -> Interpolated:
    """The background from both sides of the wire; what it hardly covers is un-mixed first, which narrows the gap."""
    wide = interpolate(planes, cover, _half(cover, VISIBLE))
    thin = (cover.opacity > VISIBLE) & (cover.opacity < _CORE)
    color = _color(own, cover, wide.values, usual)[thin]
    share = cover.opacity[thin, None]
    clear = planes.copy()
    clear[:, cover.rows[thin], cover.columns[thin]] = ((own[thin] - share * color) / (1 - share)).T
    return interpolate(clear, cover, _half(cover, _CORE))


def _half(cover: Cover, opacity: float) -> float:
    """Pixels from the middle of a wire, at which its opacity is below that."""
    some = cover.opacity > opacity
    return float(np.abs(cover.across[some]).max()) + 1.0 if some.any() else 1.5


def _unmixed(
    own: Values, cover: Cover, filled: Values, variance: Values, usual: Array, kept: Values
) -> tuple[Values, Values]:
    """What is filled in, joined with what the wire lets through, each as far as it is sure."""
    opacity = cover.opacity
    color = _color(own, cover, filled, usual)
    clear = np.maximum(1 - opacity, 1e-3)
    through = (own - opacity[:, None] * color) / clear[:, None]
    contrast = ((color - filled) ** 2).mean(axis=1)
    wrong = _MISJUDGED**2 * np.minimum(4 * opacity, 1) + (_SLIP * _slopes(cover)) ** 2
    doubt = (_GRAIN + wrong * contrast + (_UNEVEN * opacity) ** 2) / clear**2
    share = np.where(opacity < _THROUGH, variance / (variance + doubt), 0)
    # Past its ends nobody knows whether there is any wire to be un-mixed.
    share[(cover.along < 0) | (cover.along > len(cover.line) - 1)] = 0
    # Nothing jumps where un-mixing ends.
    share *= np.clip((_THROUGH - opacity) / 0.15, 0, 1)
    share = np.where(opacity > VISIBLE, share, 1)
    values = share[:, None] * through + (1 - share[:, None]) * filled
    values[opacity <= VISIBLE] = own[opacity <= VISIBLE]
    grain = share**2 + (1 - share) ** 2 * kept
    return values, np.where(opacity > VISIBLE, np.clip(1 - grain, 0, 1), 0)


def _slopes(cover: Cover) -> Values:
    """How fast (N,) opacity changes for a pixel across, by its own pixels."""
    order = np.argsort(cover.across)
    smooth = ndimage.uniform_filter1d(cover.opacity[order], max(3, len(order) // 60), mode="nearest")
    steep = np.abs(np.gradient(smooth, np.maximum.accumulate(cover.across[order]) + np.arange(len(order)) * 1e-9))
    result = np.empty(len(order))
    result[order] = ndimage.uniform_filter1d(np.nan_to_num(steep), max(3, len(order) // 60), mode="nearest")
    return np.asarray(result)


def _color(own: Values, cover: Cover, filled: Values, usual: Array) -> Values:
    """The color (N, 3) of the wire at its pixels, by what it adds to the background."""
    length = len(cover.line)
    place = np.clip(np.rint(cover.along).astype(int), 0, length - 1)
    opacity = cover.opacity
    added = opacity[:, None] * (own - (1 - opacity)[:, None] * filled)
    power = ndimage.gaussian_filter1d(np.bincount(place, opacity**2, length), _SPAN, mode="nearest")
    total = np.stack([np.bincount(place, added[:, one], length) for one in range(3)], axis=1)
    total = ndimage.gaussian_filter1d(total, _SPAN, axis=0, mode="nearest")
    if not len(usual):
        return np.asarray((total / np.maximum(power, 1e-3)[:, None])[place])
    rough = total / np.maximum(power, 0.1)[:, None]
    nearest = ((rough[:, None] - usual[None]) ** 2).sum(axis=2).argmin(axis=1)
    color = (total + _HABIT * usual[nearest]) / (power + _HABIT)[:, None]
    return np.asarray(color[place])
