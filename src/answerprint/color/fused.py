"""A grade in one pass over a picture: affine steps, powers, curves, a 3D LUT and a matte, block by block in the cache.

The functions of `grade.py` and `lut.py` say what a grade is, in torch and differentiable; this file is only the same
arithmetic, fused, for the CPU. A picture goes through memory once however many steps there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color.spaces import rgb_to_xyz_matrix

Array = NDArray[np.float32]

AFFINE, POWER, MIRRORED_POWER, TOED_POWER = 0, 1, 2, 3

# Pixels worked at a time: 3 channels, 4 weights and 3 indices of them stay in the first cache levels.
_BLOCK = 512
_F = np.float32
_I = np.int32
_U = np.uint32
_ZERO, _ONE, _HALF, _SQRT2, _TINY = _F(0.0), _F(1.0), _F(0.5), _F(math.sqrt(2.0)), _F(np.finfo(np.float32).tiny)
_LOG2E = _F(1.0 / math.log(2.0))
# Cephes logf (Moshier 1989): log(1 + f) = f - f^2/2 + f^3 P(f) on [sqrt(1/2) - 1, sqrt(2) - 1].
_L = tuple(
    _F(c)
    for c in (
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    )
)
# Cephes exp2f: 2^f = 1 + f P(f) on [-1/2, 1/2].
_E = tuple(
    _F(c)
    for c in (
        1.535336188319500e-4,
        1.339887440266574e-3,
        9.618437357674640e-3,
        5.550332471162809e-2,
        2.402264791363012e-1,
        6.931472028550421e-1,
    )
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = _L
_E0, _E1, _E2, _E3, _E4, _E5 = _E
_MANTISSA, _BIAS, _ONE_BITS = _I(0x007FFFFF), _I(127), _I(0x3F800000)
_SHIFT = _I(23)
_LOWEST, _HIGHEST = _F(-126.0), _F(127.0)

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz", "arcp"}, "error_model": "numpy"}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _jit(function: _Function) -> _Function:
    compiled: _Function = numba.njit(**_OPTIONS, cache=True)(function)
    return compiled


def _inline(function: _Function) -> _Function:
    # A loop with a call in it is not vectorized.
    compiled: _Function = numba.njit(**_OPTIONS, forceinline=True)(function)
    return compiled


@dataclass(frozen=True, eq=False)
class Program:
    """The steps of a grade, ready for the kernel.

    Attributes:
        kinds: AFFINE, POWER (values up to 0 pass unchanged), MIRRORED_POWER or TOED_POWER per step.
        numbers: float32 (steps, 12): a 3 x 4 matrix row by row, or 3 exponents, or the eight of a `Toed`.
        curves: float32 (n, 3), a table per channel applied after the steps; n = 0 for none.
        curves_low, curves_scale: float32 (3,), input of the first entry, entries per unit of input.
        table: float32 (n^3, 4), red fastest, a column of padding, applied last; n = 0 for none.
        size, low, scale: of `table`, as above.
    """

    kinds: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    numbers: Array = field(default_factory=lambda: np.zeros((0, 12), np.float32))
    curves: Array = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    curves_low: Array = field(default_factory=lambda: np.zeros(3, np.float32))
    curves_scale: Array = field(default_factory=lambda: np.ones(3, np.float32))
    table: Array = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    size: int = 0
    low: Array = field(default_factory=lambda: np.zeros(3, np.float32))
    scale: Array = field(default_factory=lambda: np.ones(3, np.float32))

    @property
    def empty(self) -> bool:
        """Whether it changes nothing."""
        return not (len(self.kinds) or len(self.curves) or self.size)


def run(
    program: Program, pixels: Tensor, weight: Tensor | float = 1.0, pool: ThreadPoolExecutor | None = None
) -> Tensor:
    """The graded picture.

    Args:
        program: the steps.
        pixels: float32 (3, H, W) on the CPU.
        weight: how much of the result is taken, a number or float32 (1, H, W), 0..1; where it is 0 the source value is
            kept bit for bit, where it is 1 the graded one.
        pool: threads that share the picture; None works in this one.

    Returns:
        float32 (3, H, W), a new tensor.
    """
    source = pixels.detach().contiguous()
    # NumPy asks for large pages, torch does not: a new UHD picture would cost 25,000 page faults.
    result = torch.from_numpy(np.empty(source.shape, np.float32))
    flat, out = source.numpy().reshape(3, -1), result.numpy().reshape(3, -1)
    if isinstance(weight, Tensor):
        weights = weight.detach().to("cpu", torch.float32).contiguous().numpy().reshape(-1)
    else:
        weights = np.full(1, weight, np.float32)
    count = flat.shape[1]

    def part(bounds: tuple[int, int]) -> None:
        arguments: tuple[Any, ...] = (flat, out, weights, *_arguments(program), *bounds)
        _grade(*arguments)

    if pool is None:
        part((0, count))
    else:
        # More parts than threads: on a shared machine one thread may be slower than the others. Whole blocks: the last
        # bits of a pixel depend on its place in a block, and must not depend on how many threads there are.
        parts = 8 * torch.get_num_threads()
        edges = [count * i // parts // _BLOCK * _BLOCK for i in range(parts)] + [count]
        list(pool.map(part, pairwise(edges)))
    return result


@dataclass(frozen=True)
class Toed:
    """A straight toe up to the knee and a power above it, the same for all three channels.

    y = toe * x + lift where x <= knee, else gain * (inner * x + shift) ** exponent + end.
    """

    knee: float
    toe: float
    lift: float
    inner: float
    shift: float
    exponent: float
    gain: float
    end: float
    mirrored: bool = False  # values below 0 as those above, with the other sign

    def numbers(self) -> Array:
        """As a step has them."""
        return np.array([*astuple(self), 0, 0, 0], np.float64).astype(_F)


_SRGB_DECODE = Toed(0.04045, 1 / 12.92, 0, 1 / 1.055, 0.055 / 1.055, 2.4, 1, 0, True)  # as `spaces.decode`
_SRGB_ENCODE = Toed(0.0031308, 12.92, 0, 1, 0, 1 / 2.4, 1.055, -0.055, True)
_DELTA = 6 / 29
_LAB_ROOT = Toed(_DELTA**3, 1 / (3 * _DELTA**2), 4 / 29, 1, 0, 1 / 3, 1, 0)  # as `spaces.xyz_to_lab`
_LAB_CUBE = Toed(_DELTA, 3 * _DELTA**2, -12 / 29 * _DELTA**2, 1, 0, 3, 1, 0)
_LAB_AXES = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]], np.float64)


def lab_program() -> Program:
    """`spaces.rgb_to_lab` of R'G'B' encoded as sRGB, to single precision."""
    matrix = rgb_to_xyz_matrix("bt709").numpy()
    to_ratio = affine(matrix / matrix.sum(1, keepdims=True), np.zeros(3))
    axes = affine(_LAB_AXES, [-16, 0, 0])
    return _program(
        (TOED_POWER, _SRGB_DECODE.numbers()), (AFFINE, to_ratio), (TOED_POWER, _LAB_ROOT.numbers()), (AFFINE, axes)
    )


def rgb_program() -> Program:
    """`spaces.lab_to_rgb`, the inverse of `lab_program`."""
    matrix = rgb_to_xyz_matrix("bt709").numpy()
    back = np.linalg.inv(_LAB_AXES)
    from_ratio = affine(np.linalg.inv(matrix / matrix.sum(1, keepdims=True)), np.zeros(3))
    return _program(
        (AFFINE, affine(back, back @ [16, 0, 0])),
        (TOED_POWER, _LAB_CUBE.numbers()),
        (AFFINE, from_ratio),
        (TOED_POWER, _SRGB_ENCODE.numbers()),
    )


def _program(*steps: tuple[int, Array]) -> Program:
    return Program(kinds=np.array([kind for kind, _ in steps], np.int32), numbers=np.stack([n for _, n in steps]))


def affine(matrix: Sequence[Sequence[float]] | NDArray[Any], offset: Sequence[float] | NDArray[Any]) -> Array:
    """The numbers of an AFFINE step."""
    return (
        np.concatenate([np.asarray(matrix, np.float64), np.asarray(offset, np.float64)[:, None]], 1).astype(_F).ravel()
    )


def power(exponents: Sequence[float] | NDArray[Any]) -> Array:
    """The numbers of a POWER or MIRRORED_POWER step."""
    return np.concatenate([np.asarray(exponents, np.float32), np.zeros(9, np.float32)])


def _arguments(p: Program) -> tuple[Any, ...]:
    return p.kinds, p.numbers, p.curves, p.curves_low, p.curves_scale, p.table, p.size, p.low, p.scale


@_inline
def _power(x: Any, exponent: Any) -> Any:
    """x ** exponent for x > 0, to about 2e-7 relative where x > 0.01; made of what the compiler can vectorize."""
    x = _F(x if x > _TINY else _TINY)
    bits = x.view(_I)
    e = _I((bits >> _SHIFT) - _BIAS)
    m = _I((bits & _MANTISSA) | _ONE_BITS).view(_F)
    high = m > _SQRT2
    m = m * _HALF if high else m
    e = _I(e + _I(1)) if high else e
    f = m - _ONE
    p = _L0 * f + _L1
    p = p * f + _L2
    p = p * f + _L3
    p = p * f + _L4
    p = p * f + _L5
    p = p * f + _L6
    p = p * f + _L7
    p = p * f + _L8
    square = f * f
    z = exponent * (_F(e) + _LOG2E * (f - square * _HALF + square * f * p))
    z = z if z > _LOWEST else _LOWEST
    z = z if z < _HIGHEST else _HIGHEST
    # Truncation after a shift to positive numbers is rounding to the nearest.
    n = _I(_I(z + _F(128.5)) - _I(128))
    f = z - _F(n)
    q = _E0 * f + _E1
    q = q * f + _E2
    q = q * f + _E3
    q = q * f + _E4
    q = q * f + _E5
    return (q * f + _ONE) * _I((n + _BIAS) << _SHIFT).view(_F)


@_jit
def _affine_step(buf: Array, n: int, k: Array) -> None:
    r, g, b = buf[0], buf[1], buf[2]
    k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11 = (
        k[0],
        k[1],
        k[2],
        k[3],
        k[4],
        k[5],
        k[6],
        k[7],
        k[8],
        k[9],
        k[10],
        k[11],
    )
    for j in range(n):
        x, y, z = r[j], g[j], b[j]
        r[j] = k0 * x + k1 * y + k2 * z + k3
        g[j] = k4 * x + k5 * y + k6 * z + k7
        b[j] = k8 * x + k9 * y + k10 * z + k11


@_jit
def _power_step(buf: Array, n: int, k: Array, mirrored: bool) -> None:
    for c in range(3):
        v, exponent = buf[c], k[c]
        if exponent == _ONE:
            continue
        if mirrored:
            for j in range(n):
                x = v[j]
                a = _power(abs(x), exponent)
                v[j] = a if x > _ZERO else (-a if x < _ZERO else x)
        else:
            for j in range(n):
                x = v[j]
                v[j] = _power(x, exponent) if x > _ZERO else x


@_jit
def _toed_step(buf: Array, n: int, k: Array) -> None:
    knee, toe, lift, inner, shift, exponent, gain, end = k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7]
    for c in range(3):
        v = buf[c]
        if k[8] != _ZERO:
            for j in range(n):
                x = v[j]
                a = abs(x)
                y = toe * a + lift if a <= knee else gain * _power(inner * a + shift, exponent) + end
                v[j] = y if x >= _ZERO else -y
        else:
            for j in range(n):
                x = v[j]
                v[j] = gain * _power(inner * x + shift, exponent) + end if x > knee else toe * x + lift


@_jit
def _curves_step(buf: Array, n: int, table: Array, low: Array, scale: Array) -> None:
    last = _I(table.shape[0] - 2)
    top = _F(table.shape[0] - 1)
    for c in range(3):
        v, start, per_unit = buf[c], low[c], scale[c]
        for j in range(n):
            x = (v[j] - start) * per_unit
            x = x if x > _ZERO else _ZERO
            x = x if x < top else top
            i = min(_I(x), last)
            f = x - _F(i)
            v[j] = table[_U(i), c] * (_ONE - f) + table[_U(i + _I(1)), c] * f


@_jit
def _places(
    red: Array,
    green: Array,
    blue: Array,
    n: int,
    size: int,
    low: Array,
    scale: Array,
    index: NDArray[np.int32],
    weights: Array,
) -> None:
    """Which three of the four corners, and the weights of all four: branchless, so that it is vectorized.

    The fractions in falling order tell the tetrahedron: from the lower corner one walks along the axis of the largest
    fraction first, along that of the smallest last (Kasson, Nin, Plouffe and Hafner 1995).
    """
    top, last = _F(size - 1), _I(size - 2)
    # Every sum is cast back: numba would go on in 64 bits, where a vector holds half as many.
    step_r, step_g, step_b = _I(1), _I(size), _I(size * size)
    whole = _I(step_r + step_g + step_b)
    low_r, low_g, low_b, per_r, per_g, per_b = low[0], low[1], low[2], scale[0], scale[1], scale[2]
    first, second, third = index[0], index[1], index[2]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for j in range(n):
        r, g, b = (red[j] - low_r) * per_r, (green[j] - low_g) * per_g, (blue[j] - low_b) * per_b
        # Written so that NaN becomes 0, as OpenColorIO has it.
        r = r if r > _ZERO else _ZERO
        g = g if g > _ZERO else _ZERO
        b = b if b > _ZERO else _ZERO
        r = r if r < top else top
        g = g if g < top else top
        b = b if b < top else top
        ir, ig, ib = _I(r), _I(g), _I(b)
        ir = ir if ir < last else last
        ig = ig if ig < last else last
        ib = ib if ib < last else last
        r, g, b = r - _F(ir), g - _F(ig), b - _F(ib)
        base = _I(_I(ir + _I(ig * step_g)) + _I(ib * step_b))
        greater, lesser = (r if r > g else g), (g if r > g else r)
        step_greater, step_lesser = (step_r if r > g else step_g), (step_g if r > g else step_r)
        big, step_big = (greater if greater > b else b), (step_greater if greater > b else step_b)
        small, step_small = (lesser if lesser < b else b), (step_lesser if lesser < b else step_b)
        rest = b if greater > b else greater
        middle = lesser if lesser > rest else rest
        w0[j], w1[j], w2[j], w3[j] = _ONE - big, big - middle, middle - small, small
        first[j], second[j], third[j] = base, _I(base + step_big), _I(base + _I(whole - step_small))


def _four_pixels(
    typing: Any, table: Any, index: Any, weights: Any, red: Any, green: Any, blue: Any, j: Any, last: Any
) -> Any:
    """Interpolates pixels j to j + 3 in vector registers; numba's own vectorizer does not find this.

    `table` is (n^3, 4), `index` (3, block), `weights` (4, block); `last` is from the first corner of a cell to the
    opposite one. A corner's color is one load of four numbers; at the end four pixels are transposed into the planes.
    """
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, index, weights, *planes = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:6], arguments[:6], strict=True)
        )
        word, place = ir.IntType(32), ir.IntType(64)
        numbers, floats = ir.VectorType(word, 4), ir.VectorType(ir.FloatType(), 4)
        start = builder.mul(arguments[6], place(4))

        def at(base: Any, offset: Any, kind: Any) -> Any:
            byte = builder.gep(builder.bitcast(base, ir.IntType(8).as_pointer()), [offset])
            return builder.bitcast(byte, kind.as_pointer())

        def row(array: Any, number: int, kind: Any) -> Any:
            stride = cgutils.unpack_tuple(builder, array.strides, 2)[0]
            return builder.load(at(array.data, builder.add(builder.mul(stride, place(number)), start), kind), align=4)

        def pick(first: Any, second: Any, lanes: list[int]) -> Any:
            return builder.shuffle_vector(first, second, ir.Constant(numbers, lanes))

        corners = [row(index, i, numbers) for i in range(3)]
        last = builder.insert_element(ir.Constant(numbers, ir.Undefined), arguments[7], word(0))
        corners.append(builder.add(corners[0], pick(last, last, [0] * 4)))
        shares = [row(weights, i, floats) for i in range(4)]
        colors = []
        for pixel in range(4):
            color = None
            for corner, share in zip(corners, shares, strict=True):
                entry = builder.zext(builder.extract_element(corner, word(pixel)), place)
                value = builder.load(at(table.data, builder.shl(entry, place(4)), floats), align=4)
                part = builder.fmul(value, pick(share, share, [pixel] * 4), flags=("contract",))
                color = part if color is None else builder.fadd(color, part, flags=("contract",))
            colors.append(color)
        red_green = [pick(colors[i], colors[i + 1], [0, 4, 1, 5]) for i in (0, 2)]
        blue_rest = [pick(colors[i], colors[i + 1], [2, 6, 3, 7]) for i in (0, 2)]
        results = [
            pick(red_green[0], red_green[1], [0, 1, 4, 5]),
            pick(red_green[0], red_green[1], [2, 3, 6, 7]),
            pick(blue_rest[0], blue_rest[1], [0, 1, 4, 5]),
        ]
        for plane, result in zip(planes, results, strict=True):
            builder.store(result, at(plane.data, start, floats), align=4)
        return context.get_dummy_value()

    return numba.types.void(table, index, weights, red, green, blue, j, last), generate


_interpolate_four: Any = intrinsic(_four_pixels)


@_jit
def _lut_step(
    red: Array,
    green: Array,
    blue: Array,
    n: int,
    table: Array,
    size: int,
    index: NDArray[np.int32],
    weights: Array,
) -> None:
    last = _I(1 + size + size * size)
    fours = n - n % 4
    for j in range(0, fours, 4):
        _interpolate_four(table, index, weights, red, green, blue, j, last)
    for j in range(fours, n):
        # Unsigned: numba would otherwise look whether an index counts from the end.
        i, k, m, o = _U(index[0, j]), _U(index[1, j]), _U(index[2, j]), _U(index[0, j] + last)
        a, b, c, d = weights[0, j], weights[1, j], weights[2, j], weights[3, j]
        red[j] = table[i, 0] * a + table[k, 0] * b + table[m, 0] * c + table[o, 0] * d
        green[j] = table[i, 1] * a + table[k, 1] * b + table[m, 1] * c + table[o, 1] * d
        blue[j] = table[i, 2] * a + table[k, 2] * b + table[m, 2] * c + table[o, 2] * d


@_jit
def _mix(source: Array, buf: Array, out: Array, weight: Array, start: int, n: int) -> None:
    for c in range(3):
        s, v, d = source[c], buf[c], out[c]
        for j in range(n):
            w = weight[start + j] if weight.shape[0] > 1 else weight[0]
            x = s[start + j]
            y = v[j]
            mixed = x + (y - x) * w
            d[start + j] = x if w == _ZERO else (y if w == _ONE else mixed)


@_jit
def _grade(
    source: Array,
    out: Array,
    weight: Array,
    kinds: NDArray[np.int32],
    numbers: Array,
    curves: Array,
    curves_low: Array,
    curves_scale: Array,
    table: Array,
    size: int,
    low: Array,
    scale: Array,
    start: int,
    stop: int,
) -> None:
    buf = np.empty((3, _BLOCK), np.float32)
    index = np.empty((3, _BLOCK), np.int32)
    weights = np.empty((4, _BLOCK), np.float32)
    plain = weight.shape[0] == 1 and weight[0] == _ONE
    only_table = size > 0 and kinds.shape[0] == 0 and curves.shape[0] == 0
    for begin in range(start, stop, _BLOCK):
        n = min(_BLOCK, stop - begin)
        end = begin + n
        if only_table:
            r, g, b = source[0, begin:end], source[1, begin:end], source[2, begin:end]
            _places(r, g, b, n, size, low, scale, index, weights)
        else:
            for c in range(3):
                buf[c, :n] = source[c, begin:end]
            for s in range(kinds.shape[0]):
                if kinds[s] == AFFINE:
                    _affine_step(buf, n, numbers[s])
                elif kinds[s] == TOED_POWER:
                    _toed_step(buf, n, numbers[s])
                else:
                    _power_step(buf, n, numbers[s], kinds[s] == MIRRORED_POWER)
            if curves.shape[0] > 0:
                _curves_step(buf, n, curves, curves_low, curves_scale)
            if size > 0:
                _places(buf[0], buf[1], buf[2], n, size, low, scale, index, weights)
        if size > 0 and plain:
            r, g, b = out[0, begin:end], out[1, begin:end], out[2, begin:end]
            _lut_step(r, g, b, n, table, size, index, weights)
        elif size > 0:
            _lut_step(buf[0], buf[1], buf[2], n, table, size, index, weights)
        if not plain:
            _mix(source, buf, out, weight, begin, n)
        elif size == 0:
            for c in range(3):
                out[c, begin:end] = buf[c, :n]
