"""Grading functions: pointwise, smooth, differentiable in pixels and parameters, exactly neutral at neutral.

All take pixels (..., 3, H, W), display-encoded R'G'B' with black at 0 and white at 1, and keep values below 0 and above
1. A parameter is a number, or a tensor: one value per picture of a batch (shape (...)), or one per channel (shape
(..., 3)) where the text says "per channel". Gradients are finite everywhere, also at 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from answerprint.color.spaces import LUMA_709

Number = float | Tensor
PerChannel = float | Sequence[float] | Tensor

# Mid gray, 18 %, as the camera curve of BT.709 encodes it: 1.099 * 0.18^0.45 - 0.099.
MID_GRAY = 0.409
_SMALLEST = 1e-12


def exposure(pixels: Tensor, stops: Number) -> Tensor:
    """Brightens by `stops` of scene light; 0 is neutral.

    The pixels are encoded, so light is not what is multiplied: the camera curve of BT.709 is close to a square root
    (Poynton 2012, "Digital Video and HD", ch. 27), and so is the lower half of HLG (BT.2100), so a stop multiplies the
    code value by sqrt(2). In log and PQ footage it is a gain all the same, and a stop there is not a stop of light.
    """
    return pixels * 2.0 ** (_number(stops, pixels) / 2.0)


def brightness(pixels: Tensor, amount: Number) -> Tensor:
    """Adds `amount` to all channels; 0 is neutral."""
    return pixels + _number(amount, pixels)


def white_balance(pixels: Tensor, temperature: Number, tint: Number = 0.0) -> Tensor:
    """Warms (temperature > 0) or cools, and shifts to magenta (tint > 0) or green; 0 and 0 are neutral.

    Gains per channel; the luma of white stays. 100 of temperature makes red / blue twice what it was in code value,
    four times in light: about what lies between daylight (6500 K) and tungsten (3200 K). 100 of tint divides
    green by sqrt(2).
    """
    return pixels * white_balance_gains(_bare(temperature, pixels), _bare(tint, pixels))[..., None, None]


def white_balance_gains(temperature: Tensor, tint: Tensor) -> Tensor:
    """Gains for red, green, blue, shape (..., 3); see `white_balance`."""
    none = torch.zeros_like(temperature + tint)
    stops = torch.stack([temperature / 200 + none, none - tint / 200, none - temperature / 200], -1)
    gains: Tensor = 2.0**stops
    # A ratio of equal sums: exactly 1 where all gains are.
    luma = gains.new_tensor(LUMA_709)
    return gains * (luma.sum() / (gains * luma).sum(-1, keepdim=True))


def cdl(
    pixels: Tensor,
    slope: PerChannel = 1.0,
    offset: PerChannel = 0.0,
    power: PerChannel = 1.0,
    saturation: Number = 1.0,
    clamp: bool = False,
) -> Tensor:
    """ASC CDL v1.2 (Pines and Reisner 2009): (in * slope + offset) ^ power per channel, then saturation.

    Args:
        slope, offset, power: per channel; power must be above 0.
        saturation: 1 is neutral, 0 is gray.
        clamp: clamp to 0..1 before the power and at the end, as the specification has it. Without (the default, and
            OpenColorIO's CDL_NO_CLAMP) super-whites and sub-blacks survive; values up to 0 pass the power unchanged.
    """
    result = pixels * _channels(slope, pixels) + _channels(offset, pixels)
    result = result.clamp(0.0, 1.0) if clamp else result
    result = raised(result, _channels(power, pixels))
    result = saturate(result, saturation)
    return result.clamp(0.0, 1.0) if clamp else result


def saturate(pixels: Tensor, saturation: Number) -> Tensor:
    """Scales the distance from luma (Rec. 709 weights, as ASC CDL); 1 is neutral."""
    gray = (pixels * _column(LUMA_709, pixels)).sum(-3, keepdim=True)
    # Written so that 1 gives the very same pixels.
    return pixels + (pixels - gray) * (_number(saturation, pixels) - 1.0)


def raised(pixels: Tensor, exponent: Tensor) -> Tensor:
    """Power for values above 0; values up to 0 pass unchanged."""
    positive = pixels > 0
    base = torch.where(positive, pixels, torch.ones_like(pixels)).clamp_min(_SMALLEST)
    return torch.where(positive, base**exponent, pixels)


def contrast(pixels: Tensor, amount: Number, pivot: Number = MID_GRAY) -> Tensor:
    """Scales the distance from `pivot`, which stays where it is; 1 is neutral."""
    return pixels + (pixels - _number(pivot, pixels)) * (_number(amount, pixels) - 1.0)


def gamma(pixels: Tensor, amount: Number) -> Tensor:
    """Power 1 / amount: above 1 lifts the midtones, black and white stay; 1 is neutral. Values below 0 are mirrored."""
    size = pixels.abs()
    positive = size > 0
    base = torch.where(positive, size, torch.ones_like(size)).clamp_min(_SMALLEST)
    return torch.where(positive, pixels.sign() * base ** (1.0 / _number(amount, pixels)), pixels)


def hue(pixels: Tensor, degrees: Number) -> Tensor:
    """Turns the colors about the gray axis; luma (Rec. 709) and grays stay; 0 is neutral.

    A rotation of the (B' - Y', R' - Y') plane in its Cb, Cr scaling: +90 degrees turns Cb into Cr (blue towards red).
    """
    matrix = hue_matrix(_bare(degrees, pixels)).to(pixels)
    return pixels + torch.einsum("...ij,...jhw->...ihw", matrix - torch.eye(3).to(pixels), pixels)


def hue_matrix(degrees: Tensor) -> Tensor:
    """The 3 x 3 matrix of `hue`, float64, shape (..., 3, 3); exactly the identity at 0."""
    red, green, blue = LUMA_709
    forward = torch.tensor(
        [
            [red, green, blue],
            [-red / (2 * (1 - blue)), -green / (2 * (1 - blue)), 0.5],
            [0.5, -green / (2 * (1 - red)), -blue / (2 * (1 - red))],
        ],
        dtype=torch.float64,
        device=degrees.device,
    )
    angle = degrees.double() * (math.pi / 180)
    zero, c, s = torch.zeros_like(angle), torch.cos(angle) - 1, torch.sin(angle)
    turn = torch.stack(
        [torch.stack([zero, zero, zero], -1), torch.stack([zero, c, -s], -1), torch.stack([zero, s, c], -1)], -2
    )
    backward: Tensor = torch.linalg.inv(forward)
    return torch.eye(3, dtype=torch.float64, device=degrees.device) + backward @ turn @ forward


def lift_gamma_gain(pixels: Tensor, lift: PerChannel = 0.0, gamma: PerChannel = 1.0, gain: PerChannel = 1.0) -> Tensor:
    """The three wheels, per channel: lift moves black and keeps white, gain scales, gamma bends; 0, 1, 1 are neutral.

    (in + lift * (1 - in)) * gain, then power 1 / gamma for values above 0.
    """
    values = pixels + _channels(lift, pixels) * (1.0 - pixels)
    return raised(values * _channels(gain, pixels), 1.0 / _channels(gamma, pixels))


def curve(pixels: Tensor, inputs: Sequence[float] | Tensor, outputs: Tensor) -> Tensor:
    """A tone curve through points: monotone cubic (Fritsch and Carlson 1980; slopes of Fritsch and Butland 1984).

    Never overshoots between rising points; beyond the first and the last point it goes on straight. The curve through
    outputs == inputs is the identity.

    Args:
        inputs: n >= 2 rising positions.
        outputs: values there, shape (n,) for all channels or (3, n) per channel; differentiable.
    """
    x = torch.as_tensor(inputs, dtype=pixels.dtype, device=pixels.device)
    y = outputs.to(pixels)
    if y.ndim == 1:
        return _hermite(pixels, x, y)
    return torch.stack([_hermite(pixels.select(-3, c), x, y[c]) for c in range(3)], -3)


def curve_slopes(x: Tensor, y: Tensor) -> Tensor:
    """Slopes at the points that keep the curve monotone."""
    width, secant = x.diff(), y.diff() / x.diff()
    if len(secant) == 1:
        return secant.repeat(2)
    before, after = secant[:-1], secant[1:]
    weight_before, weight_after = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    same = before * after > 0
    safe_before, safe_after = torch.where(same, before, 1.0), torch.where(same, after, 1.0)
    mean = (weight_before + weight_after) / (weight_before / safe_before + weight_after / safe_after)
    inner = torch.where(same, mean, torch.zeros_like(mean))
    return torch.cat([secant[:1], inner, secant[-1:]])


def _hermite(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    slopes = curve_slopes(x, y)
    part = torch.searchsorted(x, values.detach().contiguous(), right=True).sub(1).clamp(0, len(x) - 2)
    width = (x[1:] - x[:-1])[part]
    t = (values - x[part]) / width
    inside = t.clamp(0, 1)
    left, right = y[part], y[part + 1]
    m0, m1 = slopes[part] * width, slopes[part + 1] * width
    rest = 1 - inside
    # Straight line plus a bump that is zero at both points: exact there, and exact for a straight line.
    line = left + inside * (right - left)
    bump = inside * rest * (rest * (m0 - (right - left)) - inside * (m1 - (right - left)))
    beyond = torch.where(t < 0, t * m0, torch.where(t > 1, (t - 1) * m1, torch.zeros_like(t)))
    return line + bump + beyond


def _bare(value: Number, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _number(value: Number, like: Tensor) -> Tensor:
    """One value per picture, against (..., 3, H, W)."""
    return _bare(value, like)[..., None, None, None] if isinstance(value, Tensor) and value.ndim else _bare(value, like)


def _channels(value: PerChannel, like: Tensor) -> Tensor:
    """One value per channel, against (..., 3, H, W)."""
    tensor = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return tensor[..., None, None] if tensor.ndim else tensor


def _column(triple: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(triple, dtype=like.dtype, device=like.device).view(3, 1, 1)
