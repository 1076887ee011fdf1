"""Planes of stored code values to R'G'B' floats and back: exact matrix, range and chroma siting, nothing clipped.

`layout.py` has the numbers of the standards, `siting.py` the resampling of chroma, `kernels/` the loops.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.frame import ColorTags, Frame
from answerprint.kernels.decode_planes import decode_plane, decode_ycbcr
from answerprint.kernels.encode_planes import encode_chroma, encode_luma, encode_plane
from answerprint.media.layout import (
    CodeScale,
    Layout,
    code_scales,
    from_rgb_matrix,
    parse_layout,
    to_rgb_matrix,
)
from answerprint.media.siting import chroma_site, downsampling_lines, dual_filter, upsampling_lines

Array = NDArray[Any]

DITHERED_BITS = 14  # 16-bit codes are finer than any display or eye: rounding them is not seen


def to_rgb(
    planes: tuple[Tensor, ...], layout: str, color: ColorTags, interlaced: bool = False, out: Tensor | None = None
) -> Tensor:
    """Code values as R'G'B'.

    Args:
        planes: one tensor (h, w) per plane: Y, Cb, Cr or R, G, B or gray; a further alpha plane is left alone.
        layout: planar pixel format name.
        color: resolved tags (matrix, range and siting count; none of them "unknown").
        interlaced: chroma was taken per field (4:2:0 of interlaced footage).
        out: where to put the result, float32 (3, H, W) contiguous; allocated when absent.

    Returns:
        float32 (3, H, W), nominal black 0 and white 1, nothing clipped.

    Raises:
        MediaError: a matrix or siting that is not known.
    """
    form = parse_layout(layout)
    height, width = planes[0].shape
    result = torch.empty((3, height, width), dtype=torch.float32) if out is None else out
    rgb = result.numpy()
    luma, chroma = code_scales(form, color.range)
    if form.family != "yuv":
        for channel in range(3):
            if form.family == "rgb" or channel == 0:
                decode_plane(*_flat(planes[channel]), rgb[channel], *luma)
            else:
                rgb[channel] = rgb[0]
        return result
    if color.matrix == "rgb":
        # R'G'B' carried in a Y'CbCr format: G, B, R in this order (H.264 and HEVC matrix 0), all with luma's range.
        for channel, plane in zip((1, 2, 0), planes[:3], strict=True):
            decode_plane(*_flat(plane), rgb[channel], *luma)
        return result
    x, y = chroma_site(color.siting)
    lines, weights = upsampling_lines(height, form.chroma_shift_y, y, interlaced)
    (y_codes, y_stride), (u_codes, u_stride), (v_codes, v_stride) = (_flat(plane) for plane in planes[:3])
    decode_ycbcr(
        y_codes, y_stride, u_codes, v_codes, u_stride, v_stride, rgb, lines, weights,
        form.chroma_shift_x, np.float32(x / 2), np.float32((1 - x) / 2),
        to_rgb_matrix(color.matrix), *luma, *chroma,
    )  # fmt: skip
    return result


def decode_alpha(planes: tuple[Tensor, ...], layout: str) -> Tensor | None:
    """The alpha plane as float32 (1, H, W) in 0..1 (alpha is always full range); None where there is none."""
    form = parse_layout(layout)
    if not form.alpha:
        return None
    plane = planes[form.plane_count - 1]
    result = torch.empty((1, *plane.shape), dtype=torch.float32)
    step = np.float32(1 if form.floating else 1 / ((1 << form.bits) - 1))
    decode_plane(*_flat(plane), result.numpy()[0], np.float32(0), step)
    return result


def from_rgb(
    pixels: Tensor, layout: str, color: ColorTags, interlaced: bool = False, dither: int | None = None
) -> tuple[Tensor, ...]:
    """R'G'B' as code values, rounded to nearest and clipped to 0..2^n-1.

    Args:
        pixels: float32 (3, H, W).
        layout: planar pixel format name; an alpha plane is not made here.
        color: resolved tags of the output.
        interlaced: take chroma per field.
        dither: seed of the dither (triangular, 2 code values wide); None rounds only.

    Returns:
        The planes in the order of `to_rgb`.
    """
    return _encode(pixels, _Target(parse_layout(layout), color, interlaced, dither), None)


def encode_frame(frame: Frame, layout: str, color: ColorTags, dither: bool) -> tuple[Tensor, ...]:
    """The planes of a frame for delivery; pixels that no operation changed keep their original code values.

    Luma of an unchanged pixel, and chroma to which no changed pixel contributes, are copied from the source where
    layout, matrix, range and siting are the source's; elsewhere they are converted without dither.

    Args:
        frame: the picture.
        layout: planar pixel format name.
        color: resolved tags of the output.
        dither: dither the changed pixels, where the output has 14 bits or fewer.

    Returns:
        The planes in the order of `to_rgb`, then alpha where the layout has it.
    """
    form, origin = parse_layout(layout), frame.origin
    # Chroma per field is a matter of how it was sampled: what was taken so is given back so.
    interlaced = origin.interlaced if origin is not None else frame.field_order in ("tff", "bff")
    alike = origin is not None and _stored_alike(parse_layout(origin.layout), form, origin.color, color)
    codes = origin.planes if origin is not None and alike else None
    if origin is not None and codes is not None and frame.pixels is origin.pixels:
        planes = codes[: 1 if form.family == "gray" else 3]
    else:
        seed = dither_seed(frame.time) if dither and form.bits <= DITHERED_BITS else None
        source = None
        if origin is not None and origin.pixels.shape == frame.pixels.shape:
            source = _Source(origin.pixels, codes)
        planes = _encode(frame.pixels, _Target(form, color, interlaced, seed), source)
    if not form.alpha:
        return planes
    return (*planes, _encode_alpha(frame, form, planes[0]))


def dither_seed(time: Fraction) -> int:
    """A seed from a frame's time: the same frame has the same dither in every chunk and every run."""
    return (time.numerator * 0x9E3779B1 ^ time.denominator * 0x85EBCA77) & 0xFFFFFFFF


@dataclass(frozen=True)
class _Target:
    """The form to encode to; `seed` is that of the dither, None rounds only."""

    layout: Layout
    color: ColorTags
    interlaced: bool
    seed: int | None


@dataclass(frozen=True)
class _Source:
    """The codes that a frame was decoded from, and what they decode to.

    Attributes:
        pixels: float32 (3, H, W); a pixel that still equals it is not dithered.
        codes: planes whose codes unchanged pixels keep; None where the target is stored in another way.
    """

    pixels: Tensor
    codes: tuple[Tensor, ...] | None


@dataclass(frozen=True)
class _Buffers:
    """The arrays of one picture as the compiled loops take them (see `kernels/encode_planes.py`)."""

    new: Array
    old: Array
    compare: bool
    out: list[Array]
    codes: list[tuple[Array, int]]
    reuse: bool
    rounding: tuple[np.float32, np.uint32, bool]


def _stored_alike(source: Layout, output: Layout, before: ColorTags, after: ColorTags) -> bool:
    """Whether the same picture has the same codes in both."""
    samples = (source.family, source.bits, source.floating, source.subsampling)
    if samples != (output.family, output.bits, output.floating, output.subsampling):
        return False
    if before.range != after.range and not source.floating:
        return False
    if source.family != "yuv":
        return True
    return before.matrix == after.matrix and (not source.subsampled or before.siting == after.siting)


def _flat(plane: Tensor) -> tuple[Array, int]:
    """A plane as one row of memory and the distance between its lines: lines may be padded, samples not apart."""
    if plane.stride(1) != 1 and plane.shape[1] > 1:
        plane = plane.contiguous()
    height, width = plane.shape
    stride = plane.stride(0) if height > 1 else width
    return plane.as_strided(((height - 1) * stride + width,), (1,)).numpy(), stride


def _encode(pixels: Tensor, target: _Target, source: _Source | None) -> tuple[Tensor, ...]:
    """All planes but alpha."""
    _, height, width = pixels.shape
    pixels = pixels.detach().cpu().contiguous()
    form, color = target.layout, target.color
    if form.floating:
        return _encode_float(pixels, form, color)
    shapes = [(height, width)] * (1 if form.family == "gray" else 3)
    if form.family == "yuv":
        shapes[1:] = [form.chroma_size(height, width)] * 2
    planes = tuple(torch.empty(shape, dtype=form.dtype) for shape in shapes)
    codes = source.codes if source is not None else None
    buffers = _Buffers(
        new=pixels.numpy(),
        old=(source.pixels if source is not None else pixels).contiguous().numpy(),
        compare=source is not None,
        out=[plane.numpy() for plane in planes],
        codes=[_flat(plane) for plane in (codes[: len(planes)] if codes is not None else planes)],
        reuse=codes is not None,
        rounding=(np.float32((1 << form.bits) - 1), np.uint32(target.seed or 0), target.seed is not None),
    )
    if form.family == "rgb" or (form.family == "yuv" and color.matrix == "rgb"):
        _encode_channels(buffers, code_scales(form, color.range)[0], (1, 2, 0) if form.family == "yuv" else (0, 1, 2))
    else:
        _encode_ycbcr(buffers, target)
    return planes


def _encode_channels(buffers: _Buffers, scale: CodeScale, order: tuple[int, int, int]) -> None:
    """R'G'B' planes; `order` has the channel of each."""
    zero, step = scale
    b = buffers
    for plane, channel in enumerate(order):
        encode_plane(
            b.new, b.old, b.compare, channel, b.out[plane], *b.codes[plane], b.reuse, zero, 1 / step, plane, *b.rounding
        )


def _encode_ycbcr(buffers: _Buffers, target: _Target) -> None:
    """Luma and chroma planes, or gray."""
    b, form, color = buffers, target.layout, target.color
    height, width = b.new.shape[1:]
    luma, chroma = code_scales(form, color.range)
    x, y = chroma_site(color.siting) if form.family == "yuv" and form.subsampled else (0.0, 0.0)
    across, down = form.chroma_shift_x, form.chroma_shift_y
    gray = form.family == "gray"
    rows = height if down else 1  # lines wait for their neighbors only where chroma is vertically sampled
    full_height = np.empty((2, rows, -(-width >> across)), dtype=np.float32)
    changed = np.ones(full_height.shape[1:], dtype=np.uint8)  # what is not compared counts as changed
    u, v = (0, 0) if gray else (1, 2)
    encode_luma(
        b.new, b.old, b.compare, b.out[0], b.out[u], b.out[v], *b.codes[0], *b.codes[u], *b.codes[v], b.reuse,
        gray, down > 0, across, np.array(dual_filter(x), dtype=np.float32), np.float32(x / 2),
        full_height, changed, from_rgb_matrix("bt709" if color.matrix == "rgb" else color.matrix),
        luma.zero, 1 / luma.step, chroma.zero, 1 / chroma.step, *b.rounding,
    )  # fmt: skip
    if not down:
        return
    lines, weights = downsampling_lines(height, down, y, target.interlaced)
    for plane in (1, 2):
        encode_chroma(
            full_height[plane - 1], changed, lines, weights, b.out[plane], *b.codes[plane], b.reuse,
            chroma.zero, 1 / chroma.step, plane, *b.rounding,
        )  # fmt: skip


def _encode_float(pixels: Tensor, form: Layout, color: ColorTags) -> tuple[Tensor, ...]:
    """Floats are stored as they are; half precision is for whoever writes the file."""
    if form.family == "rgb":
        return tuple(pixels)
    weights = torch.from_numpy(from_rgb_matrix("bt709" if color.matrix == "rgb" else color.matrix)[0].copy())
    return (torch.einsum("c,chw->hw", weights, pixels),)


def _encode_alpha(frame: Frame, form: Layout, like: Tensor) -> Tensor:
    """Alpha codes (H, W) of a frame, opaque where it has no alpha; the source's own codes where they give it."""
    top = 1 if form.floating else (1 << form.bits) - 1
    if frame.alpha is None:
        return torch.full(like.shape, top, dtype=form.dtype)
    origin = frame.origin
    if origin is not None:
        source = parse_layout(origin.layout)
        if source.alpha and (source.bits, source.floating) == (form.bits, form.floating):
            codes = origin.planes[source.plane_count - 1]
            before = decode_alpha(origin.planes, origin.layout)
            if before is not None and before.shape == frame.alpha.shape and torch.equal(before, frame.alpha):
                return codes
    if form.floating:
        return frame.alpha[0]
    return (frame.alpha[0].nan_to_num(0.0) * top).round().clamp(0, top).to(torch.int32).to(form.dtype)
