"""A grade in one pass over a picture: affine steps, powers, curves, a 3D LUT and a matte, block by block in the cache.

The functions of `grade.py` and `lut.py` say what a grade is, in torch and differentiable; this file is only the same
arithmetic, fused, for the CPU. A picture goes through memory once however many steps there are.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
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
Block = tuple[Array, Array, Array]  # red, green, blue

AFFINE, POWER, MIRRORED_POWER, TOED_POWER, TONE_CURVES = 0, 1, 2, 3, 4

# Pixels worked at a time: few enough that they stay in the second cache from step to step, many enough that what comes
# before a loop does not count.
_BLOCK = 2048
# Pixels that are worth a thread's while; below two such parts one thread is faster.
_SHARE = 32768
_F = np.float32
_I = np.int32
_U = np.uint32
_ZERO, _ONE = _F(0.0), _F(1.0)
_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), 3e38
# log2(1 + f) = f P(f) on [sqrt(1/2) - 1, sqrt(2) - 1], minimax, to 5e-8; 2^f = 1 + f Q(f) on [-1/2, 1/2], minimax of
# the relative error, to 9e-8. Handed to the kernel as an array: constants of its own would be loaded for every value.
_LOGARITHM = (1.44269477, -0.72135715, 0.48093944, -0.36008731, 0.28670756, -0.25006825, 0.2368896, -0.14574582)
_EXPONENTIAL = (0.69314698, 0.24022242, 0.05550734, 0.00967151, 0.00132647)
_POLYNOMIALS: Array = np.array([*_LOGARITHM, *_EXPONENTIAL], np.float32)
_SHIFT, _EXPONENT, _ROOT = _I(23), _I(-(1 << 23)), _I(0x3F3504F3)  # the last is sqrt(1/2)
_ROUND = _F(1.5 * 2**23)  # a sum with it is rounded to a whole number, which stands in the lowest bits

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
        kinds: AFFINE, POWER (values up to 0 pass unchanged), MIRRORED_POWER, TOED_POWER or TONE_CURVES per step.
        numbers: float32 (steps, n): of each step what `affine`, `power`, `Toed.numbers` or `tone_curves` give; the
            rest of the row is not read.
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


class Spare:
    """Memory of pictures that nobody holds any more, for the next ones of the same size.

    A fresh picture costs as many page faults as it has pages, and they cost as much time as a LUT.
    """

    _KEPT = 2

    def __init__(self) -> None:
        self._free: deque[Array] = deque(maxlen=self._KEPT)

    def take(self, shape: Sequence[int]) -> Tensor:
        """A tensor of this shape with anything in it; its memory comes back by itself once no view of it is left."""
        count = math.prod(shape)
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(0, np.float32)
        if memory.size != count:
            # NumPy asks for large pages, torch does not: a new UHD picture would cost 25,000 page faults.
            memory = np.empty(count, np.float32)
        # Not `memory` itself: the tensor and all its views hold this array, and nothing else does.
        lent = memory.reshape(tuple(shape))
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return torch.from_numpy(lent)


def run(
    program: Program,
    pixels: Tensor,
    weight: Tensor | float = 1.0,
    pool: ThreadPoolExecutor | None = None,
    spare: Spare | None = None,
) -> Tensor:
    """The graded picture.

    Args:
        program: the steps.
        pixels: float32 (3, H, W) on the CPU.
        weight: how much of the result is taken, a number or float32 (1, H, W), 0..1; where it is 0 the source value is
            kept bit for bit, where it is 1 the graded one.
        pool: threads that share the picture with this one; None works in this one only.
        spare: where memory for the result may come from.

    Returns:
        float32 (3, H, W), a new tensor.
    """
    source = pixels.detach().contiguous()
    result = (spare or Spare()).take(source.shape)
    flat, out = source.numpy().reshape(3, -1), result.numpy().reshape(3, -1)
    if isinstance(weight, Tensor):
        weights = weight.detach().to("cpu", torch.float32).contiguous().numpy().reshape(-1)
    else:
        weights = np.full(1, weight, np.float32)

    def part(*bounds: int) -> None:
        arguments: tuple[Any, ...] = (flat, out, weights, *_arguments(program), *bounds)
        _grade(*arguments)

    _shared(part, flat.shape[1], pool)
    return result


def _shared(part: Callable[..., None], count: int, pool: ThreadPoolExecutor | None) -> None:
    """Has this thread and those of the pool work through `count` pixels."""
    threads = torch.get_num_threads() if pool is not None else 1
    # More parts than threads: on a shared machine one thread may be slower than the others. Whole blocks: the last bits
    # of a pixel depend on its place in a block, and must not depend on how many threads there are.
    parts = max(1, min(8 * threads, count // _SHARE)) if threads > 1 else 1
    edges = [count * i // parts // _BLOCK * _BLOCK for i in range(parts)] + [count]
    waiting = deque(pairwise(edges))

    def work() -> None:
        while True:
            try:
                bounds = waiting.popleft()
            except IndexError:
                return
            part(*bounds)

    helpers = [pool.submit(work) for _ in range(min(threads, parts) - 1)] if pool is not None else []
    work()
    for helper in helpers:
        # One that has not begun yet finds nothing left to do.
        if not helper.cancel():
            helper.result()


@dataclass(frozen=True)
class Toed:
    """A straight toe up to the knee and a power above it, the same for all three channels.

    y = toe * x + lift where x <= knee, else gain * (inner * x + shift) ** exponent + end; the knee is not below 0.
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
        return np.array([*astuple(self), *_range(self.exponent)], np.float64).astype(_F)


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
    return Program(kinds=np.array([kind for kind, _ in steps], np.int32), numbers=rows([n for _, n in steps]))


def rows(numbers: Sequence[Array]) -> Array:
    """The numbers of several steps as a program has them, short rows filled with zeros."""
    result = np.zeros((len(numbers), max(map(len, numbers), default=0)), np.float32)
    for row, values in zip(result, numbers, strict=True):
        row[: len(values)] = values
    return result


def affine(matrix: Sequence[Sequence[float]] | NDArray[Any], offset: Sequence[float] | NDArray[Any]) -> Array:
    """The numbers of an AFFINE step."""
    return (
        np.concatenate([np.asarray(matrix, np.float64), np.asarray(offset, np.float64)[:, None]], 1).astype(_F).ravel()
    )


def power(exponents: Sequence[float] | NDArray[Any]) -> Array:
    """The numbers of a POWER or MIRRORED_POWER step; exponents above 0."""
    ranges = np.array([_range(float(exponent)) for exponent in exponents])
    return np.concatenate([np.asarray(exponents, np.float64), *ranges.T]).astype(_F)


def _range(exponent: float) -> tuple[float, float]:
    """Between which values a power neither overflows nor leaves the normal numbers."""
    return max(_SMALLEST, 2 ** max(-126.0, -125 / exponent)), min(_LARGEST, 2 ** min(127.0, 126 / exponent))


def tone_curves(inputs: NDArray[Any], outputs: NDArray[Any], slopes: NDArray[Any]) -> Array:
    """The numbers of a TONE_CURVES step: through points, cubic between them, straight on beyond the first and last.

    Args:
        inputs: (n,) rising.
        outputs, slopes: (3, n), value and slope at each point, per channel.
    """
    channels = [_tone_curve(inputs, output, slope) for output, slope in zip(outputs, slopes, strict=True)]
    return np.concatenate([[len(inputs) - 1], *channels]).astype(_F)


def _tone_curve(x: NDArray[np.float64], y: NDArray[np.float64], slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """One channel of `tone_curves`, float64.

    Whether it changes anything; first point; slope below; last point; slope above; first value; then per piece start,
    width and the three coefficients of a cubic that is 0 at its start.
    """
    width = np.diff(x)
    secant, before, after = np.diff(y) / width, slope[:-1], slope[1:]
    second, third = (3 * secant - 2 * before - after) / width, (before + after - 2 * secant) / width**2
    pieces = np.stack([x[:-1], width, before, second, third], 1)
    return np.concatenate([[float((x != y).any()), x[0], slope[0], x[-1], slope[-1], y[0]], pieces.ravel()])


def _arguments(p: Program) -> tuple[Any, ...]:
    return p.kinds, p.numbers, _POLYNOMIALS, p.curves, p.curves_low, p.curves_scale, p.table, p.size, p.low, p.scale


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


# Steps read one block and write another: written over what it read, a value that a condition chooses would become a
# masked store, which takes many times as long.


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
    """Whether any weight of a block is not 0: outside a matte nothing is worked out."""
    if weight.shape[0] == 1:
        return bool(weight[0] != _ZERO)
    found = _ZERO
    for j in range(start, start + n):
        found = found if weight[j] == _ZERO else _ONE
    return bool(found != _ZERO)


@_inline
def _rows(array: Any, start: Any, stop: Any) -> Any:
    return array[0, start:stop], array[1, start:stop], array[2, start:stop]


@_jit
def _grade(
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
    work = np.empty((2, 3, _BLOCK), np.float32)
    index = np.empty((3, _BLOCK), np.int32)
    weights = np.empty((4, _BLOCK), np.float32)
    plain = weight.shape[0] == 1 and weight[0] == _ONE
    steps = kinds.shape[0]
    before_table = steps + (1 if curves.shape[0] > 0 else 0)
    for begin in range(start, stop, _BLOCK):
        n = min(_BLOCK, stop - begin)
        given, wanted = _rows(source, begin, begin + n), _rows(out, begin, begin + n)
        if not plain and not _any(weight, begin, n):
            for c in range(3):
                wanted[c][:] = given[c]
            continue
        now = given
        for s in range(before_table):
            then = wanted if plain and size == 0 and s == before_table - 1 else _rows(work[s % 2], 0, n)
            if s == steps:
                _table_step(now, then, n, curves, curves_low, curves_scale)
            elif kinds[s] == AFFINE:
                _affine_step(now, then, n, numbers[s])
            elif kinds[s] == TOED_POWER:
                _toed_step(now, then, n, numbers[s], polynomials)
            elif kinds[s] == TONE_CURVES:
                _tone_curves_step(now, then, n, numbers[s])
            else:
                _power_step(now, then, n, numbers[s], kinds[s] == MIRRORED_POWER, polynomials)
            now = then
        if size > 0:
            then = wanted if plain else _rows(work[before_table % 2], 0, n)
            _places(now[0], now[1], now[2], n, size, low, scale, index, weights)
            _lut_step(then[0], then[1], then[2], n, table, size, index, weights)
            now = then
        if not plain or before_table + size == 0:
            _mix(given, now, wanted, weight, begin, n)
