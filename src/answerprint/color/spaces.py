"""Color spaces: transfer functions, RGB and XYZ, CIELAB, l-alpha-beta, luma, color difference.

Pure functions of tensors (..., 3, H, W), differentiable with finite gradients, also at 0. Values below 0 are mirrored
by the transfer functions, so that sub-blacks survive a round trip; values above 1 go on along the same curve. Names are
FFmpeg's (and so ITU-T H.273's): "bt709", "smpte2084", "arib-std-b67", "bt2020", ...
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.errors import ColorError

Plane = TypeVar("Plane", Tensor, NDArray[Any])

# ---- transfer functions; nonlinear signal 0..1 <-> linear light 0..1


def decode(signal: Tensor, transfer: str) -> Tensor:
    """Encoded values to linear light.

    The camera curves ("bt709", "smpte170m", "bt2020-10", "bt2020-12", "smpte240m", "arib-std-b67") give scene light, 1
    at nominal white; "iec61966-2-1" (sRGB), "gamma22", "gamma28", "bt1886" give display light; "smpte2084" (PQ) gives
    display light with 1 = 10,000 cd/m2.

    Raises:
        ColorError: the transfer is unknown.
    """
    return _mirrored(signal, _transfer(transfer)[0])


def encode(light: Tensor, transfer: str) -> Tensor:
    """Linear light to encoded values; the inverse of `decode`.

    Raises:
        ColorError: the transfer is unknown.
    """
    return _mirrored(light, _transfer(transfer)[1])


def _mirrored(values: Tensor, curve: Callable[[Tensor], Tensor]) -> Tensor:
    sign = torch.where(values < 0, -1.0, 1.0).to(values)
    return sign * curve(values * sign)


def _power(values: Tensor, exponent: float) -> Tensor:
    """values ** exponent for values >= 0, with gradient 0 at 0, where the true one may be infinite."""
    positive = values > 0
    return torch.where(positive, torch.where(positive, values, 1.0) ** exponent, 0.0)


def _with_toe(values: Tensor, knee: float, toe: Callable[[Tensor], Tensor], rest: Callable[[Tensor], Tensor]) -> Tensor:
    """`toe` up to the knee and `rest` above; each branch only sees values that it is meant for."""
    low = values <= knee
    return torch.where(low, toe(torch.where(low, values, 0.0)), rest(torch.where(low, 1.0, values)))


def _srgb_decode(v: Tensor) -> Tensor:
    """IEC 61966-2-1:1999, 5.2."""
    return _with_toe(v, 0.04045, lambda x: x / 12.92, lambda x: ((x + 0.055) / 1.055) ** 2.4)


def _srgb_encode(v: Tensor) -> Tensor:
    return _with_toe(v, 0.0031308, lambda x: x * 12.92, lambda x: 1.055 * x ** (1 / 2.4) - 0.055)


# BT.2020 table 4 with full precision; BT.709 rounds them to 1.099 and 0.018.
_ALPHA, _BETA = 1.09929682680944, 0.018053968510807


def _bt709_decode(v: Tensor) -> Tensor:
    """BT.709-6, 1.2 and BT.2020-2, table 4: inverse of the camera curve."""
    return _with_toe(v, 4.5 * _BETA, lambda x: x / 4.5, lambda x: ((x + _ALPHA - 1) / _ALPHA) ** (1 / 0.45))


def _bt709_encode(v: Tensor) -> Tensor:
    return _with_toe(v, _BETA, lambda x: x * 4.5, lambda x: _ALPHA * x**0.45 - (_ALPHA - 1))


def _smpte240_decode(v: Tensor) -> Tensor:
    """SMPTE 240M-1999, 4.1."""
    return _with_toe(v, 0.0913, lambda x: x / 4.0, lambda x: ((x + 0.1115) / 1.1115) ** (1 / 0.45))


def _smpte240_encode(v: Tensor) -> Tensor:
    return _with_toe(v, 0.022825, lambda x: x * 4.0, lambda x: 1.1115 * x**0.45 - 0.1115)


_HLG_A = 0.17883277
_HLG_B = 1 - 4 * _HLG_A
_HLG_C = 0.5 - _HLG_A * math.log(4 * _HLG_A)


def _hlg_decode(v: Tensor) -> Tensor:
    """BT.2100-2, table 5, inverse OETF."""
    return _with_toe(v, 0.5, lambda x: x**2 / 3, lambda x: (torch.exp((x - _HLG_C) / _HLG_A) + _HLG_B) / 12)


def _hlg_encode(v: Tensor) -> Tensor:
    def log(x: Tensor) -> Tensor:
        return _HLG_A * torch.log(12 * x - _HLG_B) + _HLG_C

    return _with_toe(v, 1 / 12, lambda x: _power(3 * x, 0.5), log)


_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def _pq_decode(v: Tensor) -> Tensor:
    """SMPTE ST 2084:2014, eq. 4.1 (BT.2100-2, table 4)."""
    n = _power(v, 1 / _PQ_M2)
    # Beyond about 1.9 the formula has its pole; no picture goes there, and nothing infinite may come of it.
    return _power((n - _PQ_C1).clamp_min(0) / (_PQ_C2 - _PQ_C3 * n).clamp_min(1e-3), 1 / _PQ_M1)


def _pq_encode(v: Tensor) -> Tensor:
    n = _power(v, _PQ_M1)
    # The curve meets 0 at 7e-7, not at 0: subtracting it would break the standard's values.
    return ((_PQ_C1 + _PQ_C2 * n) / (1 + _PQ_C3 * n)) ** _PQ_M2


def _pure(gamma: float) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    return (lambda v: _power(v, gamma)), (lambda v: _power(v, 1 / gamma))


def _transfer(name: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    curves = {
        "linear": (lambda v: v, lambda v: v),
        "iec61966-2-1": (_srgb_decode, _srgb_encode),
        "bt709": (_bt709_decode, _bt709_encode),
        "smpte170m": (_bt709_decode, _bt709_encode),
        "bt2020-10": (_bt709_decode, _bt709_encode),
        "bt2020-12": (_bt709_decode, _bt709_encode),
        "smpte240m": (_smpte240_decode, _smpte240_encode),
        "gamma22": _pure(2.2),
        "gamma28": _pure(2.8),
        "bt1886": _pure(2.4),
        "arib-std-b67": (_hlg_decode, _hlg_encode),
        "smpte2084": (_pq_decode, _pq_encode),
    }
    if name not in curves:
        raise ColorError(f"transfer '{name}' is unknown; known: {', '.join(curves)}")
    return curves[name]


def convert(pixels: Tensor, source: str, target: str) -> Tensor:
    """Between two color spaces of OpenColorIO's built-in studio config, by name: "ARRI LogC3 (EI800)", "ACEScct", ...

    Not differentiable; on the CPU.

    Raises:
        ColorError: a name is unknown.
    """
    import PyOpenColorIO as ocio  # noqa: N813

    config = ocio.Config.CreateFromBuiltinConfig("studio-config-latest")
    try:
        processor = config.getProcessor(source, target).getDefaultCPUProcessor()
    except ocio.Exception as error:
        raise ColorError(f"color space '{source}' or '{target}': {' '.join(str(error).split())}") from None
    interleaved = np.ascontiguousarray(pixels.detach().cpu().movedim(-3, -1).numpy().astype(np.float32))
    processor.applyRGB(interleaved)
    return torch.from_numpy(interleaved).movedim(-1, -3).contiguous()


# ---- primaries

_D65, _DCI_WHITE, _C_WHITE = (0.3127, 0.3290), (0.314, 0.351), (0.310, 0.316)
# x, y of red, green, blue and white: ITU-T H.273 table 2.
PRIMARIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    "bt470m": ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), _C_WHITE),
    "bt470bg": ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), _D65),
    "smpte170m": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    "smpte240m": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    "smpte431": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI_WHITE),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}


def rgb_to_xyz_matrix(primaries: str) -> Tensor:
    """3 x 3, float64, of linear RGB to CIE XYZ with Y = 1 at white (SMPTE RP 177-1993).

    Raises:
        ColorError: the primaries are unknown.
    """
    if primaries not in PRIMARIES:
        raise ColorError(f"primaries '{primaries}' are unknown; known: {', '.join(PRIMARIES)}")
    *colors, white = [torch.tensor([x / y, 1.0, (1 - x - y) / y], dtype=torch.float64) for x, y in PRIMARIES[primaries]]
    columns = torch.stack(colors, 1)
    amounts: Tensor = torch.linalg.solve(columns, white)
    return columns * amounts


def rgb_to_xyz(light: Tensor, primaries: str = "bt709") -> Tensor:
    """Linear RGB to CIE XYZ."""
    return _by_matrix(rgb_to_xyz_matrix(primaries), light)


def xyz_to_rgb(xyz: Tensor, primaries: str = "bt709") -> Tensor:
    """CIE XYZ to linear RGB."""
    return _by_matrix(torch.linalg.inv(rgb_to_xyz_matrix(primaries)), xyz)


def _by_matrix(matrix: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("ij,...jhw->...ihw", matrix.to(values), values)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like).view(3, 1, 1)


# ---- CIELAB

_DELTA = 6 / 29


def xyz_to_lab(xyz: Tensor, primaries: str = "bt709") -> Tensor:
    """CIE 1976 L*a*b* (CIE 15:2018, 8.2.1) against the white of `primaries`; L 0..100."""
    white = rgb_to_xyz_matrix(primaries).sum(1)
    ratio = xyz / _column(white, xyz)
    bright = ratio > _DELTA**3
    root = torch.where(bright, ratio, 1.0) ** (1 / 3)
    f = torch.where(bright, root, ratio / (3 * _DELTA**2) + 4 / 29)
    x, y, z = f.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def lab_to_xyz(lab: Tensor, primaries: str = "bt709") -> Tensor:
    """The inverse of `xyz_to_lab`."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], -3)
    ratio = torch.where(f > _DELTA, f**3, 3 * _DELTA**2 * (f - 4 / 29))
    return ratio * _column(rgb_to_xyz_matrix(primaries).sum(1), lab)


def rgb_to_lab(pixels: Tensor, primaries: str = "bt709", transfer: str = "iec61966-2-1") -> Tensor:
    """Encoded R'G'B' to CIELAB; by default as sRGB, which is near what a BT.709 picture looks like on its display."""
    return xyz_to_lab(rgb_to_xyz(decode(pixels, transfer), primaries), primaries)


def lab_to_rgb(lab: Tensor, primaries: str = "bt709", transfer: str = "iec61966-2-1") -> Tensor:
    """The inverse of `rgb_to_lab`; colors that the primaries do not reach come out below 0 or above 1."""
    return encode(xyz_to_rgb(lab_to_xyz(lab, primaries), primaries), transfer)


# ---- l-alpha-beta

# Reinhard, Ashikhmin, Gooch and Shirley 2001, "Color Transfer between Images", eq. 4.
_LMS = torch.tensor([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]], dtype=torch.float64)
# Ruderman, Cronin and Chiao 1998; Reinhard 2001, eq. 6.
_OPPONENT = torch.diag(torch.tensor([3.0, 6.0, 2.0], dtype=torch.float64).rsqrt()) @ torch.tensor(
    [[1.0, 1.0, 1.0], [1.0, 1.0, -2.0], [1.0, -1.0, 0.0]], dtype=torch.float64
)
# Below this the logarithm goes on as its tangent: invertible through 0 and below. About one code value of 10 bits.
_LOG_FLOOR = 1 / 1024


def rgb_to_lalphabeta(pixels: Tensor) -> Tensor:
    """RGB to Ruderman's decorrelated l, alpha, beta of log LMS, with Reinhard's matrix.

    Reinhard applies it to the pixels as they are. The inverse matrix is computed, not the rounded one of the paper, so
    a round trip is exact.
    """
    lms = _by_matrix(_LMS, pixels)
    low = lms < _LOG_FLOOR
    logs = torch.log10(torch.where(low, 1.0, lms))
    tangent = math.log10(_LOG_FLOOR) + (lms - _LOG_FLOOR) / (_LOG_FLOOR * math.log(10))
    return _by_matrix(_OPPONENT, torch.where(low, tangent, logs))


def lalphabeta_to_rgb(values: Tensor) -> Tensor:
    """The inverse of `rgb_to_lalphabeta`."""
    logs = _by_matrix(_OPPONENT.T, values)
    floor = math.log10(_LOG_FLOOR)
    low = logs < floor
    lms = torch.where(low, _LOG_FLOOR * (1 + (logs - floor) * math.log(10)), 10.0 ** torch.where(low, 0.0, logs))
    return _by_matrix(torch.linalg.inv(_LMS), lms)


# ---- luma

# Of R', G', B' in ITU-R BT.709.
LUMA_709 = (0.2126, 0.7152, 0.0722)
# Kr, Kb by FFmpeg's name of the matrix: ITU-T H.273 table 4. smpte170m and bt470bg are the two names of BT.601.
LUMA_WEIGHTS = {
    "bt709": (LUMA_709[0], LUMA_709[2]),
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}


def luma(pixels: Tensor, matrix: str = "bt709") -> Tensor:
    """Y' of R'G'B' by the matrix of that name ("rgb" is taken as bt709), shape (..., 1, H, W).

    Raises:
        ColorError: the matrix is unknown.
    """
    name = "bt709" if matrix == "rgb" else matrix
    if name not in LUMA_WEIGHTS:
        raise ColorError(f"matrix '{matrix}' is unknown; known: {', '.join(LUMA_WEIGHTS)}, rgb")
    red, blue = LUMA_WEIGHTS[name]
    weights = torch.tensor([red, 1 - red - blue, blue], dtype=torch.float64)
    return (pixels * _column(weights, pixels)).sum(-3, keepdim=True)


def luma_matrix(matrix: str, primaries: str) -> str:
    """The matrix whose weights give the luma of a picture with these tags.

    Storage as RGB has no matrix: there the primaries decide between BT.2020 and BT.709.
    """
    if matrix in ("rgb", "unknown", "ycgco"):
        return "bt2020nc" if primaries == "bt2020" else "bt709"
    return matrix


def to_ycbcr(red: Plane, green: Plane, blue: Plane, matrix: str) -> tuple[Plane, Plane, Plane]:
    """Y', Cb, Cr of R', G', B', or of differences of them: Y' in 0..1, Cb and Cr in -0.5..0.5 (ITU-T H.273, 8.3).

    An unknown matrix is taken as bt709.
    """
    kr, kb = LUMA_WEIGHTS.get(matrix, LUMA_WEIGHTS["bt709"])
    y = kr * red + (1 - kr - kb) * green + kb * blue
    return y, (blue - y) / (1 - kb) / 2, (red - y) / (1 - kr) / 2


def from_ycbcr(y: Plane, cb: Plane, cr: Plane, matrix: str) -> tuple[Plane, Plane, Plane]:
    """The way back: R', G', B'."""
    kr, kb = LUMA_WEIGHTS.get(matrix, LUMA_WEIGHTS["bt709"])
    red, blue = 2 * (1 - kr) * cr, 2 * (1 - kb) * cb
    return y + red, y - (kr * red + kb * blue) / (1 - kr - kb), y + blue


# ---- color difference


def delta_e_76(first: Tensor, second: Tensor) -> Tensor:
    """CIE 1976 color difference of two CIELAB pictures, shape (..., H, W)."""
    return _root((first - second).square().sum(-3))


def delta_e_2000(first: Tensor, second: Tensor) -> Tensor:
    """CIEDE2000 of two CIELAB pictures, shape (..., H, W), with kL = kC = kH = 1.

    Source: Sharma, Wu and Dalal 2005, "The CIEDE2000 color-difference formula", eq. 2-22.
    """
    l1, a1, b1 = first.unbind(-3)
    l2, a2, b2 = second.unbind(-3)
    chroma = (_root(a1**2 + b1**2) + _root(a2**2 + b2**2)) / 2
    stretch = 1.5 - 0.5 * _root(chroma**7 / (chroma**7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = _root(a1**2 + b1**2), _root(a2**2 + b2**2)
    h1, h2 = _angle(a1, b1), _angle(a2, b2)
    colored = (a1**2 + b1**2 > 0) & (a2**2 + b2**2 > 0)
    turn = h2 - h1
    turn = torch.where(turn > math.pi, turn - 2 * math.pi, torch.where(turn < -math.pi, turn + 2 * math.pi, turn))
    turn = torch.where(colored, turn, 0.0)
    # The mean hue on the short way round; where one color has no hue, the other's counts (their sum in the formula).
    far, total = (h1 - h2).abs() > math.pi, h1 + h2
    around = torch.where(total < 2 * math.pi, total + 2 * math.pi, total - 2 * math.pi)
    hue = torch.where(colored, torch.where(far, around, total) / 2, total)
    lightness, c = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    middle = (lightness - 50) ** 2
    dl = (l2 - l1) / (1 + 0.015 * middle / torch.sqrt(20 + middle))
    dc = (c2 - c1) / (1 + 0.045 * c)
    dh = 2 * _root(c1 * c2) * torch.sin(turn / 2) / (1 + 0.015 * c * t)
    spread = math.radians(30) * torch.exp(-(((hue * (180 / math.pi) - 275) / 25) ** 2))
    rotation = -2 * _root(c**7 / (c**7 + 25.0**7)) * torch.sin(2 * spread)
    return _root(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def _root(values: Tensor) -> Tensor:
    """Square root with gradient 0 at 0."""
    positive = values > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, values, 1.0)), 0.0)


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Hue angle 0..2 pi; 0 for gray."""
    gray = (a == 0) & (b == 0)
    angle = torch.atan2(b, torch.where(gray, 1.0, a))
    return torch.where(angle < 0, angle + 2 * math.pi, angle)
