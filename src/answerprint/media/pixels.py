"""Planes of stored code values to R'G'B' floats and back: exact matrix, range and chroma siting, nothing clipped.

Quantization: ITU-R BT.601-7, BT.709-6, BT.2020-2, SMPTE ST 240 (limited range: black 16, white 235, chroma 16..240
times 2^(n-8)); full range: 0..2^n-1. The luma weights Kr and Kb give the matrix: Cb = (B - Y) / (2 (1 - Kb)), Cr
likewise.

Chroma of 4:2:2, 4:2:0, 4:1:1 and 4:1:0 is interpolated linearly between its sites. What leads back is the dual of that
interpolator (the LeGall 5/3 low pass for co-sited chroma; D. Le Gall and A. Tabatabai 1988, "Sub-band coding of
digital images using symmetric short kernel filters"), so that down(up(chroma)) is the chroma itself: decoding and
encoding alone changes no code value.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from answerprint.color.spaces import LUMA_WEIGHTS
from answerprint.errors import MediaError
from answerprint.frame import ColorTags, Frame

Array = NDArray[Any]

MATRICES = (*LUMA_WEIGHTS, "ycgco", "rgb")
# Horizontal and vertical place of a chroma sample among the luma samples it stands for: 0 first, 0.5 middle, 1 last.
SITES = {
    "left": (0.0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.5, 0.0),
    "bottomleft": (0.0, 1.0),
    "bottom": (0.5, 1.0),
}
DITHERED_BITS = 14  # 16-bit codes are finer than any display or eye: rounding them is not seen


@dataclass(frozen=True)
class Layout:
    """How a planar picture is stored.

    Attributes:
        name: FFmpeg pixel format name without endianness ("yuv422p10").
        family: "yuv", "rgb" or "gray".
        bits: bits per sample.
        floating: samples are floats.
        across: log2 of luma samples per chroma sample, horizontally.
        down: the same vertically.
        alpha: there is an alpha plane, the last one.
    """

    name: str
    family: str
    bits: int
    floating: bool
    across: int
    down: int
    alpha: bool

    @property
    def dtype(self) -> torch.dtype:
        """What one sample is kept in."""
        if self.floating:
            return torch.float32
        return torch.uint8 if self.bits <= 8 else torch.uint16

    @property
    def count(self) -> int:
        """Number of planes."""
        return (1 if self.family == "gray" else 3) + self.alpha

    def chroma_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the chroma planes of a picture."""
        return -(-height >> self.down), -(-width >> self.across)


_SUBSAMPLING = {"444": (0, 0), "440": (0, 1), "422": (1, 0), "420": (1, 1), "411": (2, 0), "410": (2, 2)}


@functools.cache
def layout(name: str) -> Layout:
    """Reads a planar FFmpeg pixel format name.

    Raises:
        MediaError: the name is of a packed or unknown format.
    """
    bare = re.sub(r"(?<=\d)(le|be)$", "", name)
    if found := re.fullmatch(r"yuv(a|j)?(444|440|422|420|411|410)p(\d+)?", bare):
        across, down = _SUBSAMPLING[found[2]]
        return Layout(bare, "yuv", int(found[3] or 8), False, across, down, found[1] == "a")
    if found := re.fullmatch(r"gbr(a)?p(f)?(\d+)?", bare):
        return Layout(bare, "rgb", int(found[3] or 8), bool(found[2]), 0, 0, bool(found[1]))
    if found := re.fullmatch(r"(gray|ya)(f)?(\d+)?", bare):
        return Layout(bare, "gray", int(found[3] or 8), bool(found[2]), 0, 0, found[1] == "ya")
    raise MediaError(f"pixel format '{name}' is not one of the planar formats that can be worked on")


def to_rgb(
    planes: tuple[Tensor, ...], layout: str, color: ColorTags, interlaced: bool = False, out: Tensor | None = None
) -> Tensor:
    """Code values to R'G'B'.

    Args:
        planes: one tensor (h, w) per plane: Y, Cb, Cr or R, G, B or gray; a further alpha plane is left alone.
        layout: planar pixel format name.
        color: resolved tags (matrix, range and siting count; none of them "unknown").
        interlaced: chroma was taken per field (4:2:0 of interlaced footage).
        out: where to put the result, float32 (3, H, W) contiguous; made when absent.

    Returns:
        float32 (3, H, W), nominal black 0 and white 1, nothing clipped.

    Raises:
        MediaError: a matrix or siting that is not known.
    """
    form = _layout(layout)
    height, width = planes[0].shape
    result = torch.empty((3, height, width), dtype=torch.float32) if out is None else out
    rgb = result.numpy()
    luma, chroma = _quantizers(form, color.range)
    if form.family != "yuv":
        for channel in range(3):
            if form.family == "rgb" or channel == 0:
                _decode_plane(*_flat(planes[channel]), rgb[channel], *luma)
            else:
                rgb[channel] = rgb[0]
        return result
    if color.matrix == "rgb":
        # R'G'B' carried in a Y'CbCr format: G, B, R in this order (H.264 and HEVC matrix 0), all with luma's range.
        for channel, plane in zip((1, 2, 0), planes[:3], strict=True):
            _decode_plane(*_flat(plane), rgb[channel], *luma)
        return result
    site = _site(color.siting)
    rows, weights = _up_table(height, form.down, site[1], interlaced and form.down > 0)
    (y, y_step), (u, u_step), (v, v_step) = (_flat(plane) for plane in planes[:3])
    _decode(
        y, y_step, u, v, u_step, v_step, rgb, rows, weights,
        form.across, np.float32(site[0] / 2), np.float32((1 - site[0]) / 2),
        _to_rgb_matrix(color.matrix), *luma, *chroma,
    )  # fmt: skip
    return result


def alpha_of(planes: tuple[Tensor, ...], layout: str) -> Tensor | None:
    """The alpha plane as float32 (1, H, W) in 0..1 (alpha is always full range); None where there is none."""
    form = _layout(layout)
    if not form.alpha:
        return None
    plane = planes[form.count - 1]
    result = torch.empty((1, *plane.shape), dtype=torch.float32)
    top = np.float32(1 if form.floating else 1 / ((1 << form.bits) - 1))
    _decode_plane(*_flat(plane), result.numpy()[0], np.float32(0), top)
    return result


def from_rgb(
    pixels: Tensor, layout: str, color: ColorTags, interlaced: bool = False, dither: int | None = None
) -> tuple[Tensor, ...]:
    """R'G'B' to code values, rounded to nearest and clipped to 0..2^n-1.

    Args:
        pixels: float32 (3, H, W).
        layout: planar pixel format name; an alpha plane is not made here.
        color: resolved tags of the output.
        interlaced: take chroma per field.
        dither: seed of the dither (triangular, 2 code values wide); None rounds only.

    Returns:
        The planes in the order of `to_rgb`.
    """
    return _encode(pixels, _layout(layout), color, interlaced, dither, None, None)


def encode_planes(frame: Frame, layout: str, color: ColorTags, dither: bool) -> tuple[Tensor, ...]:
    """The planes of a frame for delivery; what nobody changed keeps the code values it was decoded from.

    Luma of an unchanged pixel, and chroma to which no changed pixel contributes, are copied from the source where
    layout, matrix, range and siting are the source's; elsewhere they are converted without dither.

    Args:
        frame: what to write.
        layout: planar pixel format name.
        color: resolved tags of the output.
        dither: dither what was changed, where the output has 14 bits or fewer.
    """
    form, origin = _layout(layout), frame.origin
    # Chroma per field is a matter of how it was sampled: what was taken so is given back so.
    interlaced = origin.interlaced if origin is not None else frame.field_order in ("tff", "bff")
    same = origin is not None and _stored_alike(_layout(origin.layout), form, origin.color, color)
    kept = origin.planes if origin is not None and same else None
    if origin is not None and kept is not None and frame.pixels is origin.pixels:
        planes = kept[: 1 if form.family == "gray" else 3]
    else:
        seed = time_seed(frame.time) if dither and form.bits <= DITHERED_BITS else None
        old = origin.pixels if origin is not None and origin.pixels.shape == frame.pixels.shape else None
        planes = _encode(frame.pixels, form, color, interlaced, seed, old, kept if old is not None else None)
    if not form.alpha:
        return planes
    return (*planes, _alpha_plane(frame, form, planes[0]))


def time_seed(time: Fraction) -> int:
    """A seed from a frame's time: the same frame has the same dither in every chunk and every run."""
    return (time.numerator * 0x9E3779B1 ^ time.denominator * 0x85EBCA77) & 0xFFFFFFFF


# --- what the numbers are --------------------------------------------------------------------------------------------

_layout = layout  # `layout` is the name of an argument in most functions


def _stored_alike(source: Layout, output: Layout, before: ColorTags, after: ColorTags) -> bool:
    shape = (source.family, source.bits, source.floating, source.across, source.down)
    if shape != (output.family, output.bits, output.floating, output.across, output.down):
        return False
    if before.range != after.range and not source.floating:
        return False
    if source.family != "yuv":
        return True
    sited = source.across or source.down
    return before.matrix == after.matrix and (not sited or before.siting == after.siting)


def _site(siting: str) -> tuple[float, float]:
    try:
        return SITES[siting]
    except KeyError:
        raise MediaError(f"chroma siting '{siting}' is not known; known: {', '.join(SITES)}") from None


def _quantizers(form: Layout, range_: str) -> tuple[tuple[np.float32, np.float32], tuple[np.float32, np.float32]]:
    """For luma and for chroma: the code value of zero, and the size of one code value."""
    if form.floating:
        return (np.float32(0), np.float32(1)), (np.float32(0), np.float32(1))
    step = 2.0 ** (form.bits - 8)
    middle = 128 * step
    if range_ == "full" or form.name.startswith("yuvj"):
        size = np.float32(1 / ((1 << form.bits) - 1))
        return (np.float32(0), size), (np.float32(middle), size)
    if range_ != "limited":
        raise MediaError(f"range '{range_}' is not known; known: limited, full")
    return (np.float32(16 * step), np.float32(1 / (219 * step))), (np.float32(middle), np.float32(1 / (224 * step)))


@functools.cache
def _to_rgb_matrix(matrix: str) -> Array:
    """(3, 2) float32: how much of Cb and Cr is added to Y for R, G and B."""
    if matrix == "ycgco":
        return np.array([[-1, 1], [1, 0], [-1, -1]], dtype=np.float32)  # chroma order Cg, Co
    kr, kb = _weights(matrix)
    kg = 1 - kr - kb
    return np.array(
        [[0, 2 * (1 - kr)], [-2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg], [2 * (1 - kb), 0]], dtype=np.float32
    )


@functools.cache
def _from_rgb_matrix(matrix: str) -> Array:
    """(3, 3) float32: Y, Cb, Cr from R, G, B; the inverse of `_to_rgb_matrix` taken in double precision."""
    if matrix == "ycgco":
        return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0, -0.5]], dtype=np.float32)
    kr, kb = _weights(matrix)
    y = np.array([kr, 1 - kr - kb, kb])
    cb = (np.array([0, 0, 1]) - y) / (2 * (1 - kb))
    cr = (np.array([1, 0, 0]) - y) / (2 * (1 - kr))
    return np.stack([y, cb, cr]).astype(np.float32)


def _weights(matrix: str) -> tuple[float, float]:
    try:
        return LUMA_WEIGHTS[matrix]
    except KeyError:
        raise MediaError(f"color matrix '{matrix}' is not known; known: {', '.join(MATRICES)}") from None


def _flat(plane: Tensor) -> tuple[Array, int]:
    """A plane as one row of memory and the distance between its lines: lines may be padded, samples not apart."""
    if plane.stride(1) != 1 and plane.shape[1] > 1:
        plane = plane.contiguous()
    height, width = plane.shape
    step = plane.stride(0) if height > 1 else width
    return plane.as_strided(((height - 1) * step + width,), (1,)).numpy(), step


# --- chroma: up, and the dual that leads back ------------------------------------------------------------------------


def _dual(phase: float) -> list[float]:
    """Weights of luma positions 2j-2 .. 2j+2 that undo linear interpolation from chroma sited at 2j + phase.

    With x[2j] = (1-a) c[j] + a c[j-1] and x[2j+1] = (1-b) c[j] + b c[j+1], the four weights that give c[j] back leave
    one freedom, spent on the least gain of noise. Co-sited chroma (a = 0) allows the five of LeGall and Tabatabai.
    """
    a, b = phase / 2, (1 - phase) / 2
    if a == 0:
        return [-1 / 8, 2 / 8, 6 / 8, 2 / 8, -1 / 8]
    left, right = a / (1 - b), b / (1 - a)
    first, second = 1 - a - left * b, 1 - b - right * a
    scaled = first / (1 + left**2), second / (1 + right**2)
    total = scaled[0] * first + scaled[1] * second
    beta, gamma = scaled[0] / total, scaled[1] / total
    return [0.0, -left * beta, beta, gamma, -right * gamma]


def _up_once(size: int, phase: float) -> Any:
    """Sparse (size, ceil(size / 2)): linear interpolation; the edge samples stand in for those beyond."""
    half, a, b = -(-size // 2), phase / 2, (1 - phase) / 2
    full = sparse.lil_array((size, half))
    for x in range(size):
        j = x // 2
        near, weight = (max(j - 1, 0), a) if x % 2 == 0 else (min(j + 1, half - 1), b)
        full[x, j] += 1 - weight
        full[x, near] += weight
    return full.tocsr()


def _down_once(size: int, phase: float) -> Any:
    """Sparse (ceil(size / 2), size), with `_down_once @ _up_once` the identity."""
    half, a = -(-size // 2), phase / 2
    full = sparse.lil_array((half, size))
    for j in range(half):
        if j and a and 2 * j + 1 == size:
            # The last chroma sample stands for one line only: solved from it and from the sample before.
            for x in full.rows[j - 1]:
                full[j, x] = full[j - 1, x] * (-a / (1 - a))
            full[j, size - 1] += 1 / (1 - a)
            continue
        for tap, weight in enumerate(_dual(phase)):
            full[j, min(max(2 * j - 2 + tap, 0), size - 1)] += weight
    return full.tocsr()


def _stages(size: int, shift: int) -> list[int]:
    """The sizes on the way down: [1080, 540] for a factor of 4."""
    return [-(-size >> step) for step in range(shift)]


def _fields(table: Any, other: Any, rows: int, columns: int) -> Any:
    """Puts the tables of the top and the bottom field together, line about line."""
    full = sparse.lil_array((rows, columns))
    full[0::2, 0::2] = table
    full[1::2, 1::2] = other
    return full.tocsr()


@functools.lru_cache(maxsize=64)
def _up_matrix(size: int, shift: int, phase: float, interlaced: bool) -> Any:
    if interlaced:
        # Chroma line k lies at luma line 2k + phase of the frame (ISO/IEC 13818-2, 6.1.1.8); here in lines of a field.
        top, bottom = -(-size // 2), size // 2
        tables = _up_once(top, phase / 2), _up_once(bottom, (1 + phase) / 2)
        return _fields(*tables, size, tables[0].shape[1] + tables[1].shape[1])
    table = sparse.eye_array(size, format="csr")
    for stage in _stages(size, shift):
        table = table @ _up_once(stage, phase)
    return table


@functools.lru_cache(maxsize=64)
def _down_matrix(size: int, shift: int, phase: float, interlaced: bool) -> Any:
    if interlaced:
        top, bottom = -(-size // 2), size // 2
        tables = _down_once(top, phase / 2), _down_once(bottom, (1 + phase) / 2)
        return _fields(*tables, tables[0].shape[0] + tables[1].shape[0], size)
    table = sparse.eye_array(size, format="csr")
    for stage in _stages(size, shift):
        table = _down_once(stage, phase) @ table
    return table


def _taps(table: Any) -> tuple[Array, Array]:
    """A sparse table as (rows, taps) of line numbers and weights, filled up with weight 0."""
    table.sum_duplicates()
    table.eliminate_zeros()
    counts = np.diff(table.indptr)
    lines = np.zeros((table.shape[0], max(int(counts.max()), 1)), dtype=np.int64)
    weights = np.zeros(lines.shape, dtype=np.float32)
    for row in range(table.shape[0]):
        part = slice(table.indptr[row], table.indptr[row + 1])
        lines[row, : counts[row]], weights[row, : counts[row]] = table.indices[part], table.data[part]
        lines[row, counts[row] :] = lines[row, 0]
    return lines, weights


@functools.lru_cache(maxsize=64)
def _up_table(size: int, shift: int, phase: float, interlaced: bool) -> tuple[Array, Array]:
    return _taps(_up_matrix(size, shift, phase, interlaced and size > 1))


@functools.lru_cache(maxsize=64)
def _down_table(size: int, shift: int, phase: float, interlaced: bool) -> tuple[Array, Array]:
    return _taps(_down_matrix(size, shift, phase, interlaced and size > 1))


# --- encoding --------------------------------------------------------------------------------------------------------


def _encode(
    pixels: Tensor,
    form: Layout,
    color: ColorTags,
    interlaced: bool,
    seed: int | None,
    old: Tensor | None,
    kept: tuple[Tensor, ...] | None,
) -> tuple[Tensor, ...]:
    """All planes but alpha. `old`: what the pixels were decoded to; `kept`: the codes that unchanged ones keep."""
    _, height, width = pixels.shape
    pixels = pixels.detach().cpu().contiguous()
    if form.floating:
        return _encode_float(pixels, form, color)
    is_rgb = form.family == "rgb" or (form.family == "yuv" and color.matrix == "rgb")
    shapes = [(height, width)] * (1 if form.family == "gray" else 3)
    if form.family == "yuv":
        shapes[1:] = [form.chroma_size(height, width)] * 2
    planes = tuple(torch.empty(shape, dtype=form.dtype) for shape in shapes)
    luma, chroma = _quantizers(form, color.range)
    common = (
        pixels.numpy(),
        (old if old is not None else pixels).contiguous().numpy(),
        old is not None,
        [plane.numpy() for plane in planes],
        [_flat(plane) for plane in (kept[: len(planes)] if kept is not None else planes)],
        kept is not None,
    )
    rounding = (np.float32((1 << form.bits) - 1), np.uint32(seed or 0), seed is not None)
    if is_rgb:
        _encode_channels(*common, luma, rounding, (1, 2, 0) if form.family == "yuv" else (0, 1, 2))
        return planes
    matrix = "bt709" if color.matrix == "rgb" else color.matrix
    site = _site(color.siting) if form.family == "yuv" and (form.across or form.down) else (0.0, 0.0)
    _encode_yuv(*common, form, matrix, site, interlaced, luma, chroma, rounding)
    return planes


def _encode_channels(
    new: Array, old: Array, compare: bool, out: list[Array], kept: list[tuple[Array, int]], keep: bool,
    luma: tuple[Any, Any], rounding: tuple[Any, Any, bool], order: tuple[int, int, int],
) -> None:  # fmt: skip
    zero, size = luma
    for plane, channel in enumerate(order):
        _encode_plane(new, old, compare, channel, out[plane], *kept[plane], keep, zero, 1 / size, plane, *rounding)


def _encode_yuv(
    new: Array, old: Array, compare: bool, out: list[Array], kept: list[tuple[Array, int]], keep: bool,
    form: Layout, matrix: str, site: tuple[float, float], interlaced: bool,
    luma: tuple[Any, Any], chroma: tuple[Any, Any], rounding: tuple[Any, Any, bool],
) -> None:  # fmt: skip
    height, width = new.shape[1:]
    gray = form.family == "gray"
    lines, weights = _down_table(height, form.down, site[1], interlaced and form.down > 0)
    tall = height if form.down else 1  # lines wait for their neighbors only where chroma is vertically sampled
    narrow = -(-width >> form.across)
    waiting = np.empty((2, tall, narrow), dtype=np.float32)
    changed = np.ones((tall, narrow), dtype=np.uint8)  # what is not compared counts as changed
    u, v = (out[0], out[0]) if gray else (out[1], out[2])
    (kept_u, step_u), (kept_v, step_v) = (kept[0], kept[0]) if gray else (kept[1], kept[2])
    _encode_rows(
        new, old, compare, out[0], u, v, *kept[0], kept_u, step_u, kept_v, step_v, keep, gray, form.down > 0,
        form.across, np.array(_dual(site[0]), dtype=np.float32), np.float32(site[0] / 2),
        waiting, changed, _from_rgb_matrix(matrix), luma[0], 1 / luma[1], chroma[0], 1 / chroma[1], *rounding,
    )  # fmt: skip
    if form.down:
        for plane in (1, 2):
            _encode_lines(
                waiting[plane - 1], changed, lines, weights, out[plane], *kept[plane], keep,
                chroma[0], 1 / chroma[1], plane, *rounding,
            )  # fmt: skip


def _encode_float(pixels: Tensor, form: Layout, color: ColorTags) -> tuple[Tensor, ...]:
    """Floats are stored as they are; half precision is for whoever writes the file."""
    if form.family == "rgb":
        return tuple(pixels)
    weights = torch.from_numpy(_from_rgb_matrix("bt709" if color.matrix == "rgb" else color.matrix)[0].copy())
    return (torch.einsum("c,chw->hw", weights, pixels),)


def _alpha_plane(frame: Frame, form: Layout, like: Tensor) -> Tensor:
    """The alpha of a frame, opaque where it has none; the source's own codes where they give it."""
    top = 1 if form.floating else (1 << form.bits) - 1
    if frame.alpha is None:
        return torch.full(like.shape, top, dtype=form.dtype)
    origin = frame.origin
    if origin is not None:
        source = _layout(origin.layout)
        if source.alpha and (source.bits, source.floating) == (form.bits, form.floating):
            codes = origin.planes[source.count - 1]
            before = alpha_of(origin.planes, origin.layout)
            if before is not None and before.shape == frame.alpha.shape and torch.equal(before, frame.alpha):
                return codes
    if form.floating:
        return frame.alpha[0]
    return (frame.alpha[0].nan_to_num(0.0) * top).round().clamp(0, top).to(torch.int32).to(form.dtype)


# --- kernels: one pass, line by line; nogil so that decoding, work and encoding overlap ------------------------------

_compiled = functools.partial(numba.njit, cache=True, nogil=True, error_model="numpy")


@_compiled
def _decode_plane(codes: Array, step: int, out: Array, zero: np.float32, size: np.float32) -> None:
    height, width = out.shape
    for i in range(height):
        line = codes[i * step : i * step + width]
        to = out[i]
        for x in range(width):
            to[x] = (np.float32(line[x]) - zero) * size


@_compiled
def _widen(c: Array, out: Array, a: np.float32, b: np.float32) -> None:
    """Twice the samples; see `_up_once`."""
    half, width = c.shape[0], out.shape[0]
    a1, b1 = np.float32(1) - a, np.float32(1) - b
    out[0] = c[0]
    if half > 1:
        out[1] = c[0] * b1 + c[1] * b
    inner = c[1 : half - 1]
    before = c[0 : half - 2]
    after = c[2:half]
    to = out[2:]
    for j in range(inner.shape[0]):
        to[2 * j] = inner[j] * a1 + before[j] * a
        to[2 * j + 1] = inner[j] * b1 + after[j] * b
    if half > 1:
        out[2 * half - 2] = c[half - 1] * a1 + c[half - 2] * a
    if width % 2 == 0:
        out[width - 1] = c[half - 1]


@_compiled
def _mix_lines(
    codes: Array, step: int, lines: Array, weights: Array, out: Array, zero: np.float32, size: np.float32
) -> None:
    """One line of chroma between the stored lines, as numbers around 0."""
    width = out.shape[0]
    if lines.shape[0] == 1:
        line = codes[lines[0] * step : lines[0] * step + width]
        for x in range(width):
            out[x] = (np.float32(line[x]) - zero) * size
        return
    first = codes[lines[0] * step : lines[0] * step + width]
    second = codes[lines[1] * step : lines[1] * step + width]
    w0, w1 = weights[0] * size, weights[1] * size
    for x in range(width):
        out[x] = (np.float32(first[x]) - zero) * w0 + (np.float32(second[x]) - zero) * w1
    for tap in range(2, lines.shape[0]):
        line = codes[lines[tap] * step : lines[tap] * step + width]
        w = weights[tap] * size
        for x in range(width):
            out[x] += (np.float32(line[x]) - zero) * w


@_compiled
def _spread(c: Array, half: Array, full: Array, across: int, a: np.float32, b: np.float32) -> Array:
    """A chroma line at luma's width."""
    if across == 0:
        return c
    if across == 1:
        _widen(c, full, a, b)
    else:
        _widen(c, half, a, b)
        _widen(half, full, a, b)
    return full


@_compiled
def _decode(
    y: Array, y_step: int, u: Array, v: Array, u_step: int, v_step: int, out: Array, lines: Array, weights: Array,
    across: int, a: np.float32, b: np.float32, matrix: Array,
    y_zero: np.float32, y_size: np.float32, c_zero: np.float32, c_size: np.float32,
) -> None:  # fmt: skip
    _, height, width = out.shape
    narrow = (width + (1 << across) - 1) >> across
    row = np.empty((6, width), dtype=np.float32)
    half = (width + 1) >> 1
    ru, rv, gu, gv, bu, bv = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1], matrix[2, 0], matrix[2, 1]
    for i in range(height):
        _mix_lines(u, u_step, lines[i], weights[i], row[0, :narrow], c_zero, c_size)
        _mix_lines(v, v_step, lines[i], weights[i], row[1, :narrow], c_zero, c_size)
        cb = _spread(row[0, :narrow], row[2, :half], row[3], across, a, b)
        cr = _spread(row[1, :narrow], row[2, :half], row[4], across, a, b)
        line = y[i * y_step : i * y_step + width]
        red, green, blue = out[0, i], out[1, i], out[2, i]
        for x in range(width):
            light = (np.float32(line[x]) - y_zero) * y_size
            red[x] = light + ru * cb[x] + rv * cr[x]
            green[x] = light + gu * cb[x] + gv * cr[x]
            blue[x] = light + bu * cb[x] + bv * cr[x]


@_compiled
def _noise(x: np.uint32) -> np.float32:
    """Triangular noise in -1..1 from an integer (hash: C. Wellons, lowbias32; the two halves of its bits are added)."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    x = np.uint32(x ^ (x >> np.uint32(16)))
    both = np.int32(x & np.uint32(0xFFFF)) + np.int32(x >> np.uint32(16))
    return np.float32(both - np.int32(0xFFFF)) * np.float32(1 / 65536)


@_compiled
def _round(
    values: Array, changed: Array, out: Array, kept: Array, keep: bool,
    zero: np.float32, scale: np.float32, top: np.float32, start: np.uint32, dither: bool,
) -> None:  # fmt: skip
    """One line of numbers to code values; where some are kept or dithered, values change in place on the way."""
    width = out.shape[0]
    base = zero + np.float32(0.5)
    if not dither and not keep:
        for x in range(width):
            # Written so that NaN goes to 0.
            code = values[x] * scale + base
            code = code if code > np.float32(0) else np.float32(0)
            code = code if code < top else top
            out[x] = np.int32(code)
        return
    if dither:
        for x in range(width):
            noise = _noise(np.uint32(start + np.uint32(x)))
            values[x] = values[x] * scale + base + (noise if changed[x] else np.float32(0))
    else:
        for x in range(width):
            values[x] = values[x] * scale + base
    for x in range(width):
        code = values[x] if values[x] > np.float32(0) else np.float32(0)
        code = code if code < top else top
        out[x] = np.int32(code) if changed[x] or not keep else np.int32(kept[x])


@_compiled
def _compare(new: Array, old: Array, i: int, changed: Array) -> None:
    width = changed.shape[0]
    r, g, b = new[0, i], new[1, i], new[2, i]
    r0, g0, b0 = old[0, i], old[1, i], old[2, i]
    for x in range(width):
        changed[x] = (r[x] != r0[x]) | (g[x] != g0[x]) | (b[x] != b0[x])


@_compiled
def _encode_plane(
    new: Array, old: Array, compare: bool, channel: int, out: Array, kept: Array, step: int, keep: bool,
    zero: np.float32, scale: np.float32, plane: int, top: np.float32, seed: np.uint32, dither: bool,
) -> None:  # fmt: skip
    height, width = out.shape
    changed = np.ones(width, dtype=np.uint8)
    values = np.empty(width, dtype=np.float32)
    for i in range(height):
        if compare:
            _compare(new, old, i, changed)
        values[:] = new[channel, i]
        start = np.uint32(seed + np.uint32((plane * height + i) * width))
        _round(values, changed, out[i], kept[i * step : i * step + width], keep, zero, scale, top, start, dither)


@_compiled
def _narrow(x: Array, width: int, out: Array, parts: Array, taps: Array, a: np.float32) -> None:
    """Half the samples; x holds its line from index 2 on, with two places free on each side; see `_down_once`."""
    x[0], x[1] = x[2], x[2]
    x[width + 2], x[width + 3] = x[width + 1], x[width + 1]
    t0, t1, t2, t3, t4 = taps[0], taps[1], taps[2], taps[3], taps[4]
    half = out.shape[0]
    # Even and odd samples apart first: five taps two samples apart would be gathered one by one.
    even, odd = parts[0], parts[1]
    for j in range(half + 1):
        even[j], odd[j] = x[2 * j], x[2 * j + 1]
    even[half + 1] = x[2 * half + 2]
    next_even, next_odd, last_even = even[1:], odd[1:], even[2:]
    for j in range(half):
        out[j] = t0 * even[j] + t1 * odd[j] + t2 * next_even[j] + t3 * next_odd[j] + t4 * last_even[j]
    if width % 2 and a != 0:
        if half > 1:
            out[half - 1] = (x[width + 1] - a * out[half - 2]) / (np.float32(1) - a)
        else:
            out[0] = x[2]


@_compiled
def _narrow_changed(m: Array, width: int, out: Array) -> None:
    """Chroma counts as changed where one of the pixels that it is made of changed; m is laid out as in `_narrow`."""
    m[0], m[1] = 0, 0
    m[width + 2], m[width + 3] = 0, 0
    for j in range(out.shape[0]):
        out[j] = m[2 * j] | m[2 * j + 1] | m[2 * j + 2] | m[2 * j + 3] | m[2 * j + 4]
    if width % 2 and out.shape[0] > 1:
        # The odd last sample also leans on the one before it.
        out[out.shape[0] - 1] |= out[out.shape[0] - 2]


@_compiled
def _gather(
    x: Array, spare: Array, parts: Array, width: int, out: Array, across: int, taps: Array, a: np.float32
) -> None:
    """A line of full-width chroma (from index 2 on) at its own width."""
    if across == 0:
        out[:] = x[2 : width + 2]
    elif across == 1:
        _narrow(x, width, out, parts, taps, a)
    else:
        half = (width + 1) >> 1
        _narrow(x, width, spare[2 : half + 2], parts, taps, a)
        _narrow(spare, half, out, parts, taps, a)


@_compiled
def _gather_changed(m: Array, spare: Array, width: int, out: Array, across: int) -> None:
    if across == 0:
        out[:] = m[2 : width + 2]
    elif across == 1:
        _narrow_changed(m, width, out)
    else:
        half = (width + 1) >> 1
        _narrow_changed(m, width, spare[2 : half + 2])
        _narrow_changed(spare, half, out)


@_compiled
def _encode_rows(
    new: Array, old: Array, compare: bool, y: Array, u: Array, v: Array,
    kept_y: Array, step_y: int, kept_u: Array, step_u: int, kept_v: Array, step_v: int, keep: bool,
    gray: bool, wait: bool, across: int, taps: Array, a: np.float32, waiting: Array, changed: Array, matrix: Array,
    y_zero: np.float32, y_scale: np.float32, c_zero: np.float32, c_scale: np.float32,
    top: np.float32, seed: np.uint32, dither: bool,
) -> None:  # fmt: skip
    """Luma; and chroma, which waits at its own width for `_encode_lines` where it is sampled vertically too."""
    height, width = y.shape
    narrow = waiting.shape[2]
    row = np.empty((4, width + 4), dtype=np.float32)
    parts = np.empty((2, width // 2 + 3), dtype=np.float32)
    marks = np.ones((2, width + 4), dtype=np.uint8)
    light, mark = row[0, 2 : width + 2], marks[0, 2 : width + 2]
    cb, cr = row[1, 2 : width + 2], row[2, 2 : width + 2]
    m = matrix
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = (
        m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2], m[2, 0], m[2, 1], m[2, 2]
    )  # fmt: skip
    for i in range(height):
        if compare:
            _compare(new, old, i, mark)
        red, green, blue = new[0, i], new[1, i], new[2, i]
        for x in range(width):
            r, g, b = red[x], green[x], blue[x]
            light[x] = m00 * r + m01 * g + m02 * b
            cb[x] = m10 * r + m11 * g + m12 * b
            cr[x] = m20 * r + m21 * g + m22 * b
        start = np.uint32(seed + np.uint32(i * width))
        _round(light, mark, y[i], kept_y[i * step_y : i * step_y + width], keep, y_zero, y_scale, top, start, dither)
        if gray:
            continue
        at = i if wait else 0
        _gather(row[1], row[3], parts, width, waiting[0, at], across, taps, a)
        _gather(row[2], row[3], parts, width, waiting[1, at], across, taps, a)
        if compare:
            _gather_changed(marks[0], marks[1], width, changed[at], across)
        if not wait:
            line = kept_u[i * step_u : i * step_u + narrow]
            start = np.uint32(seed + np.uint32((height + i) * width))
            _round(waiting[0, 0], changed[0], u[i], line, keep, c_zero, c_scale, top, start, dither)
            line = kept_v[i * step_v : i * step_v + narrow]
            start = np.uint32(seed + np.uint32((2 * height + i) * width))
            _round(waiting[1, 0], changed[0], v[i], line, keep, c_zero, c_scale, top, start, dither)


@_compiled
def _encode_lines(
    waiting: Array, changed: Array, lines: Array, weights: Array, out: Array, kept: Array, step: int, keep: bool,
    zero: np.float32, scale: np.float32, plane: int, top: np.float32, seed: np.uint32, dither: bool,
) -> None:  # fmt: skip
    height, width = out.shape
    values = np.empty(width, dtype=np.float32)
    mark = np.empty(width, dtype=np.uint8)
    for i in range(height):
        values[:] = 0
        mark[:] = 0
        for tap in range(lines.shape[1]):
            weight, line, moved = weights[i, tap], waiting[lines[i, tap]], changed[lines[i, tap]]
            if weight != 0:
                for x in range(width):
                    values[x] += weight * line[x]
                    mark[x] |= moved[x]
        start = np.uint32(seed + np.uint32((plane * waiting.shape[0] + i) * width))
        _round(values, mark, out[i], kept[i * step : i * step + width], keep, zero, scale, top, start, dither)
