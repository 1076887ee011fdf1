"""A grade on blocks of pixels: affine steps, powers, curves and a 3D LUT, mixed with the source by a weight.

All of it stands in one file: Numba compiles what a function calls into it, and looks for changes in its own file only.

A block is three rows of float32, red, green and blue, of up to `BLOCK` pixels; a step reads one block and writes
another. Written over what it read, a value that a condition chooses would become a masked store, which takes many times
as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from answerprint.kernels import CACHE

Array = NDArray[np.float32]
Block = tuple[Array, Array, Array]  # red, green, blue: (BLOCK,) each

AFFINE, POWER, MIRRORED_POWER, TOED_POWER, TONE_CURVES = 0, 1, 2, 3, 4  # kinds of steps

# Pixels worked on at a time: few enough that they stay in the second cache from step to step, many enough that what
# comes before a loop does not count.
BLOCK = 2048
_F = np.float32
_I = np.int32
_U = np.uint32
_ZERO, _ONE = _F(0.0), _F(1.0)
# log2(1 + f) = f P(f) on [sqrt(1/2) - 1, sqrt(2) - 1], minimax, to 5e-8; 2^f = 1 + f Q(f) on [-1/2, 1/2], minimax of
# the relative error, to 9e-8. Handed to the kernel as an array: constants of its own would be loaded for every value.
_LOGARITHM = (1.44269477, -0.72135715, 0.48093944, -0.36008731, 0.28670756, -0.25006825, 0.2368896, -0.14574582)
_EXPONENTIAL = (0.69314698, 0.24022242, 0.05550734, 0.00967151, 0.00132647)
POLYNOMIALS: Array = np.array([*_LOGARITHM, *_EXPONENTIAL], np.float32)
_SHIFT, _EXPONENT, _ROOT = _I(23), _I(-(1 << 23)), _I(0x3F3504F3)  # the last is sqrt(1/2)
_ROUND = _F(1.5 * 2**23)  # a sum with it is rounded to a whole number, which stands in the lowest bits

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz", "arcp"}, "error_model": "numpy"}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _jit(function: _Function) -> _Function:
    compiled: _Function = numba.njit(**_OPTIONS, cache=CACHE)(function)
    return compiled


def _inline(function: _Function) -> _Function:
    # A loop with a call in it is not vectorized.
    compiled: _Function = numba.njit(**_OPTIONS, forceinline=True)(function)
    return compiled


@_inline
def _logarithms(
    source: Array, result: Array, n: int, p: Array, a: Any, b: Any, low: Any, high: Any, times: Any
) -> None:
    """times * log2(a |x| + b), the argument clamped to low..high."""
    p0, p1, p2, p3, p4, p5, p6, p7 = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
    for j in range(n):
        x = a * abs(source[j]) + b
        x = x if x > low else low
        x = _F(x if x < high else high)
        bits = x.view(_I)
        up = _I(_I(bits - _ROOT) & _EXPONENT)
        f = _I(bits - up).view(_F) - _ONE
        f2 = f * f
        # Summed in pairs: one after the other they would wait for each other.
        q = ((p7 * f + p6) * f2 + (p5 * f + p4)) * (f2 * f2) + ((p3 * f + p2) * f2 + (p1 * f + p0))
        result[j] = times * (q * f + _F(_I(up >> _SHIFT)))


@_inline
def _exp2(z: Any, p1: Any, p2: Any, p3: Any, p4: Any, p5: Any) -> Any:
    """For z in -126..127."""
    t = z + _ROUND
    f = z - (t - _ROUND)
    f2 = f * f
    q = ((p5 * f + p4) * f2 + (p3 * f + p2)) * f2 + (p1 * f + _ONE)
    return _I(_F(q).view(_I) + _I(_F(t).view(_I) << _SHIFT)).view(_F)


@_jit
def _affine_step(source: Block, result: Block, n: int, k: Array) -> None:
    r, g, b = source
    x, y, z = result
    k0, k1, k2, k3, k4, k5 = k[0], k[1], k[2], k[3], k[4], k[5]
    k6, k7, k8, k9, k10, k11 = k[6], k[7], k[8], k[9], k[10], k[11]
    for j in range(n):
        red, green, blue = r[j], g[j], b[j]
        x[j] = k0 * red + k1 * green + k2 * blue + k3
        y[j] = k4 * red + k5 * green + k6 * blue + k7
        z[j] = k8 * red + k9 * green + k10 * blue + k11


@_jit
def _power_step(source: Block, result: Block, n: int, k: Array, mirrored: bool, p: Array) -> None:
    """To about 3e-7 times the exponent, relative, where x > 0.01."""
    p1, p2, p3, p4, p5 = p[8], p[9], p[10], p[11], p[12]
    for c in range(3):
        s, v, exponent, low, high = source[c], result[c], k[c], k[3 + c], k[6 + c]
        if exponent == _ONE:
            v[:n] = s[:n]
            continue
        # Logarithm and power in loops of their own: the processor works on more values at once in a short loop.
        _logarithms(s, v, n, p, _ONE, _ZERO, low, high, exponent)
        if mirrored:
            for j in range(n):
                x, y = s[j], _exp2(v[j], p1, p2, p3, p4, p5)
                v[j] = y if x > _ZERO else (-y if x < _ZERO else x)
        else:
            for j in range(n):
                x, y = s[j], _exp2(v[j], p1, p2, p3, p4, p5)
                v[j] = y if x > _ZERO else x


@_jit
def _toed_step(source: Block, result: Block, n: int, k: Array, p: Array) -> None:
    knee, toe, lift, inner, shift, exponent, gain, end = k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7]
    p1, p2, p3, p4, p5 = p[8], p[9], p[10], p[11], p[12]
    for c in range(3):
        s, v = source[c], result[c]
        _logarithms(s, v, n, p, inner, shift, k[9], k[10], exponent)
        if k[8] != _ZERO:
            for j in range(n):
                x, y = s[j], _exp2(v[j], p1, p2, p3, p4, p5)
                a = abs(x)
                y = gain * y + end if a > knee else toe * a + lift
                v[j] = y if x >= _ZERO else -y
        else:
            for j in range(n):
                x, y = s[j], _exp2(v[j], p1, p2, p3, p4, p5)
                v[j] = gain * y + end if x > knee else toe * x + lift


@_jit
def _tone_curves_step(source: Block, result: Block, n: int, k: Array) -> None:
    """A sum of pieces, each constant outside its own range: no search, no table."""
    pieces = int(k[0])
    for c in range(3):
        s, v = source[c], result[c]
        at = 1 + c * (6 + 5 * pieces)
        if k[at] == _ZERO:
            v[:n] = s[:n]
            continue
        first, below, last, above, base = k[at + 1], k[at + 2], k[at + 3], k[at + 4], k[at + 5]
        for j in range(n):
            x = s[j]
            under, over = x - first, x - last
            under = under if under < _ZERO else _ZERO
            over = over if over > _ZERO else _ZERO
            v[j] = below * under + (above * over + base)
        for i in range(pieces):
            place = at + 6 + 5 * i
            start, width, one, two, three = k[place], k[place + 1], k[place + 2], k[place + 3], k[place + 4]
            for j in range(n):
                t = s[j] - start
                t = t if t > _ZERO else _ZERO
                t = t if t < width else width
                v[j] = ((three * t + two) * t + one) * t + v[j]


@_jit
def _table_step(source: Block, result: Block, n: int, table: Array, low: Array, scale: Array) -> None:
    last = _I(table.shape[0] - 2)
    top = _F(table.shape[0] - 1)
    for c in range(3):
        s, v, start, per_unit = source[c], result[c], low[c], scale[c]
        for j in range(n):
            x = (s[j] - start) * per_unit
            x = x if x > _ZERO else _ZERO
            x = x if x < top else top
            i = min(_I(x), last)
            f = x - _F(i)
            v[j] = table[_U(i), c] * (_ONE - f) + table[_U(i + _I(1)), c] * f


@_jit
def _corners(
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
    """Indices of the first three corners of each pixel's tetrahedron, and the weights of all four; vectorized.

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
def _mix(source: Block, graded: Block, out: Block, weight: Array, start: int, n: int) -> None:
    for c in range(3):
        s, v, d = source[c], graded[c], out[c]
        for j in range(n):
            w = weight[start + j] if weight.shape[0] > 1 else weight[0]
            x = s[j]
            y = v[j]
            mixed = x + (y - x) * w
            d[j] = x if w == _ZERO else (y if w == _ONE else mixed)


@_jit
def _any(weight: Array, start: int, n: int) -> bool:
    """True where any weight of a block is not 0: outside a matte nothing is computed."""
    if weight.shape[0] == 1:
        return bool(weight[0] != _ZERO)
    any_weight = _ZERO
    for j in range(start, start + n):
        any_weight = any_weight if weight[j] == _ZERO else _ONE
    return bool(any_weight != _ZERO)


@_inline
def _rows(array: Any, start: Any, stop: Any) -> Any:
    return array[0, start:stop], array[1, start:stop], array[2, start:stop]


@_jit
def grade(
    source: Array,
    out: Array,
    weight: Array,
    kinds: NDArray[np.int32],
    numbers: Array,
    polynomials: Array,
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
    """Fills pixels `start` to `stop` of `out` with the graded `source`, mixed by `weight`.

    Args:
        source, out: (3, n).
        weight: (n,), or (1,) for all pixels, 0..1; at 0 the source value is kept bit for bit, at 1 the graded one.
        kinds: (steps,), AFFINE, ...
        numbers: (steps, m), the numbers of each step.
        polynomials: `POLYNOMIALS`.
        curves, curves_low, curves_scale: (m, 3), (3,), (3,); m = 0 for none.
        table: (size^3, 4), red fastest, the fourth column is padding; size = 0 for none.
        low, scale: (3,), of `table`.
        start, stop: `start` is a multiple of `BLOCK`.
    """
    work = np.empty((2, 3, BLOCK), np.float32)
    index = np.empty((3, BLOCK), np.int32)
    weights = np.empty((4, BLOCK), np.float32)
    plain = weight.shape[0] == 1 and weight[0] == _ONE
    steps = kinds.shape[0]
    before_table = steps + (1 if curves.shape[0] > 0 else 0)
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        before, after = _rows(source, begin, begin + n), _rows(out, begin, begin + n)
        if not plain and not _any(weight, begin, n):
            for c in range(3):
                after[c][:] = before[c]
            continue
        block = before
        for s in range(before_table):
            result = after if plain and size == 0 and s == before_table - 1 else _rows(work[s % 2], 0, n)
            if s == steps:
                _table_step(block, result, n, curves, curves_low, curves_scale)
            elif kinds[s] == AFFINE:
                _affine_step(block, result, n, numbers[s])
            elif kinds[s] == TOED_POWER:
                _toed_step(block, result, n, numbers[s], polynomials)
            elif kinds[s] == TONE_CURVES:
                _tone_curves_step(block, result, n, numbers[s])
            else:
                _power_step(block, result, n, numbers[s], kinds[s] == MIRRORED_POWER, polynomials)
            block = result
        if size > 0:
            result = after if plain else _rows(work[before_table % 2], 0, n)
            _corners(block[0], block[1], block[2], n, size, low, scale, index, weights)
            _lut_step(result[0], result[1], result[2], n, table, size, index, weights)
            block = result
        if not plain or before_table + size == 0:
            _mix(before, block, after, weight, begin, n)
