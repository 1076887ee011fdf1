"""Decoded FFmpeg frames as planes of code values, without a copy where the format is planar.

The planar formats are viewed in place: a tensor keeps its FFmpeg frame alive, and the decoder never writes into a
frame that somebody holds. Packed formats go through swscale to the planar format that holds the same code values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from torch import Tensor

from answerprint.errors import MediaError
from answerprint.media.layout import parse_layout

# The planar format with the same code values, by packed or semi-planar format.
_PLANAR_TWIN = {
    **dict.fromkeys(("rgb24", "bgr24", "rgb0", "bgr0", "0rgb", "0bgr", "pal8", "bgr8", "rgb8"), "gbrp"),
    **dict.fromkeys(("rgb565", "rgb555", "bgr565", "bgr555", "rgb444", "bgr444"), "gbrp"),
    **dict.fromkeys(("rgba", "bgra", "argb", "abgr"), "gbrap"),
    **dict.fromkeys(("rgb48", "bgr48"), "gbrp16"),
    **dict.fromkeys(("rgba64", "bgra64"), "gbrap16"),
    **dict.fromkeys(("rgbf32", "gbrpf16"), "gbrpf32"),
    **dict.fromkeys(("rgbaf32", "rgbaf16", "gbrapf16"), "gbrapf32"),
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
    **dict.fromkeys(("nv16", "uyvy422", "yuyv422", "yvyu422"), "yuv422p"),
    **dict.fromkeys(("nv24", "nv42", "vuyx", "vyu444"), "yuv444p"),
    **dict.fromkeys(("vuya", "ayuv", "uyva"), "yuva444p"),
    "xv48": "yuv444p16",
    "uyyvyy411": "yuv411p",
    "nv20": "yuv422p10",
    "y210": "yuv422p10",
    "v30x": "yuv444p10",
    "xv30": "yuv444p10",
    "x2rgb10": "gbrp10",
    "x2bgr10": "gbrp10",
    "y212": "yuv422p12",
    "y216": "yuv422p16",
    "yuv444p10msb": "yuv444p10",
    "xv36": "yuv444p12",
    "yuv444p12msb": "yuv444p12",
    "ayuv64": "yuva444p16",
    "monow": "gray",
    "monob": "gray",
    "grayf16": "grayf32",
}
# Luma plane and interleaved chroma, samples in the upper bits: swscale dithers these, so they are shifted here.
_SEMI_PLANAR = {f"p{c}{b}": f"yuv4{'4' if c == 4 else '2'}{c}p{b}" for c in (0, 2, 4) for b in (10, 12, 16)}
_GRAY_ALPHA = {"ya8": "ya8", "ya16": "ya16"}
_TWINS = _PLANAR_TWIN | _SEMI_PLANAR | _GRAY_ALPHA
_PLANAR = re.compile(r"(yuva?4[0-4][0-4]p|gbra?p|gray)(f32|9|10|12|14|16)?")


@dataclass(frozen=True)
class Storage:
    """The pixel format of a stream, and the planar format that it is read as.

    Attributes:
        stored: FFmpeg's pixel format without endianness.
        native: with endianness, as the decoder names it.
        layout: the planar format that they are read as.
        bits: bits per sample.
        floating: whether samples are float32.
        full: whether the pixel format is full range by its name (yuvj*).
    """

    stored: str
    native: str
    layout: str
    bits: int
    floating: bool
    full: bool


def storage(pix_fmt: str, path: str) -> Storage:
    """The storage of an FFmpeg pixel format; `path` is for the message.

    Raises:
        MediaError: the format holds no picture that can be shown as R'G'B' (Bayer mosaics, XYZ, hardware surfaces).
    """
    stored = re.sub(r"(le|be)$", "", pix_fmt)
    full = stored.startswith("yuvj")
    stored = stored.replace("yuvj", "yuv")
    layout = stored if _PLANAR.fullmatch(stored) else _TWINS.get(stored)
    if layout is None:
        raise MediaError(
            f"{path}: pictures stored as {pix_fmt} cannot be read; convert the file to Y'CbCr or R'G'B' first"
        )
    floating = "f32" in layout
    bits = 16 if "f16" in stored else 32 if floating else parse_layout(layout).bits
    return Storage(stored, pix_fmt, layout, bits, floating, full)


def planes(frame: VideoFrame, form: Storage) -> tuple[Tensor, ...]:
    """The code values of a decoded frame, one tensor (h, w) each: Y, Cb, Cr or R, G, B, then alpha."""
    if form.stored in _GRAY_ALPHA:
        return _gray_alpha(frame, form)
    if form.stored in _SEMI_PLANAR:
        return _semi_planar(frame, form)
    if form.native.endswith("be") or form.stored != form.layout:
        frame = _reformat(frame, form)
    views = [_view(plane, form) for plane in frame.planes]
    if form.layout.startswith("gbr"):
        views[:3] = [views[2], views[0], views[1]]
    return tuple(views)


def _reformat(frame: VideoFrame, form: Storage) -> VideoFrame:
    """The planar twin: the same code values in another order, so nothing may depend on the color tags."""
    target = form.layout if form.bits == 8 or form.layout in ("gbrp", "gbrap", "gray") else form.layout + "le"
    # In more than one thread swscale 8 now and then leaves the first samples of a slice wrong.
    return frame.reformat(format=target, threads=1)


def _view(plane: av.video.plane.VideoPlane, form: Storage) -> Tensor:
    """A plane (h, w) in place."""
    kind = np.float32 if form.floating else np.uint8 if form.bits == 8 else np.dtype("<u2")
    return torch.from_numpy(_lines(plane, np.dtype(kind), plane.width))


def _lines(plane: av.video.plane.VideoPlane, kind: np.dtype[Any], width: int) -> NDArray[Any]:
    """(h, width) samples of a plane, top line first."""
    stride = abs(plane.line_size)
    if stride % kind.itemsize:
        raise MediaError(f"a decoder gave lines of {stride} bytes for samples of {kind.itemsize}: the file is damaged")
    lines = np.frombuffer(plane, dtype=kind).reshape(plane.height, stride // kind.itemsize)[:, :width]
    # A negative line size means that memory starts with the bottom line; torch knows no negative strides.
    return np.ascontiguousarray(lines[::-1]) if plane.line_size < 0 else lines


def _gray_alpha(frame: VideoFrame, form: Storage) -> tuple[Tensor, ...]:
    plane = frame.planes[0]
    kind = np.dtype(np.uint8 if form.bits == 8 else ">u2" if form.native.endswith("be") else "<u2")
    pairs = _lines(plane, kind, 2 * plane.width).astype(kind.newbyteorder("="))
    gray, alpha = (torch.from_numpy(np.ascontiguousarray(pairs[:, i::2])) for i in (0, 1))
    return gray, alpha


def _semi_planar(frame: VideoFrame, form: Storage) -> tuple[Tensor, ...]:
    kind = np.dtype(">u2" if form.native.endswith("be") else "<u2")
    luma, chroma = frame.planes
    lines = (_lines(luma, kind, luma.width), _lines(chroma, kind, 2 * chroma.width))
    y, c = (plane.astype(np.uint16) >> (16 - form.bits) for plane in lines)
    return tuple(torch.from_numpy(np.ascontiguousarray(plane)) for plane in (y, c[:, 0::2], c[:, 1::2]))
