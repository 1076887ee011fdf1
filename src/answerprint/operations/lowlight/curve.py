"""The curve that carries an enhancement over from a small picture: mixed histogram matching (AEPR 3.3, steps 3 and 4).

`match_histogram` is equation 6, `rare_levels` are equations 7 and 8. Curves are tables of `LEVELS` outputs for the
inputs 0..1; histograms have as many steps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LEVELS = 1024
Array = npt.NDArray[np.float64]


def histogram(planes: list[Tensor]) -> Array:
    """Counts (LEVELS,) of the steps of 0..1 in all planes (H, W) together; what lies outside counts at the ends."""
    counts = np.zeros(LEVELS)
    for plane in planes:
        counts += torch.histc(plane.float().clamp(0, 1), bins=LEVELS, min=0, max=1).double().cpu().numpy()
    return counts


def match_histogram(original: Array, reference: Array) -> Array:
    """Histogram matching (AEPR, equation 6): M[i_t] = i_s with F_s[i_s] <= F_t[i_t] <= F_s[i_s + 1].

    F are the cumulative histograms; between i_s and i_s + 1 the place is interpolated, so no level is quantized.

    Args:
        original: (LEVELS,) counts of the picture that is mapped (t).
        reference: (LEVELS,) counts of the picture that it is to look like (s).

    Returns:
        (LEVELS,) for each level of the original its value in the reference, 0..1, rising.
    """
    if not original.sum() or not reference.sum():
        return level_centers()
    # Half of a level counts as below it: a level that holds many pixels goes to their middle.
    share = (np.cumsum(original) - original / 2) / original.sum()
    reference_share = (np.cumsum(reference) - reference / 2) / reference.sum()
    occurs = reference > 0
    curve: Array = np.interp(share, reference_share[occurs], level_centers()[occurs])
    return curve


def rare_levels(counts: Array, share: float) -> npt.NDArray[np.bool_]:
    """Noise gray levels (AEPR, equations 7 and 8): Q = {i_k | H[i_k] <= T} in the order H[i_0] <= H[i_1] <= ...

    The rarest levels say nothing of how the picture is to be mapped: what they say is chance.

    Args:
        counts: (LEVELS,) how often each level occurs.
        share: T, as a share of all pixels.

    Returns:
        (LEVELS,) whether a level is noise.
    """
    order = np.argsort(counts, kind="stable")
    noise = np.zeros(len(counts), dtype=bool)
    noise[order[counts[order] <= share * counts.sum()]] = True
    return noise


def join_levels(curve: Array, noise: npt.NDArray[np.bool_], width: float = 8.0) -> Array:
    """The mapping curve without its noise levels: gaps joined by straight lines, then smoothed (AEPR 3.3, step 4).

    Black stays black and white stays white; the curve never falls.

    Args:
        curve: (LEVELS,) output of each level, 0..1.
        noise: (LEVELS,) levels to leave out.
        width: deviation of the smoothing in levels.
    """
    x = level_centers()
    places = np.concatenate(([0.0], x[~noise], [1.0]))
    heights = np.concatenate(([0.0], curve[~noise], [1.0]))
    straight = np.maximum.accumulate(np.interp(x, places, heights))
    # Around (0, 0) and (1, 1) the curve goes on mirrored through the point, so smoothing leaves both where they are.
    reach = int(4 * width)
    before, after = -straight[:reach][::-1], 2 - straight[-reach:][::-1]
    long = np.concatenate((before, straight, after))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    smooth: Array = np.convolve(long, taps / taps.sum(), mode="valid")
    return np.clip(np.maximum.accumulate(smooth), 0, 1)


def protect_ends(curve: Array, max_gain: float, highlights: float) -> Array:
    """The curve (LEVELS,) with blacks and highlights protected.

    Args:
        curve: (LEVELS,) output of each level, 0..1.
        max_gain: upper limit of the gain of the darkest values.
        highlights: smallest slope toward white, 0..1: below the diagonal of that slope through white the curve is
            pressed, so that what was bright keeps differences and does not clip.
    """
    x = level_centers()
    limited: Array = np.minimum(curve, np.minimum(max_gain * x, 1 - highlights * (1 - x)))
    return np.maximum(limited, np.minimum(x, curve))


def level_centers() -> Array:
    """(LEVELS,) the value in the middle of each level."""
    centers: Array = (np.arange(LEVELS) + 0.5) / LEVELS
    return centers
