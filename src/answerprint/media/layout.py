"""Planar pixel formats by their FFmpeg names, and what their code values stand for.

Quantization: ITU-R BT.601-7, BT.709-6, BT.2020-2, SMPTE ST 240 (limited range: black 16, white 235, chroma 16..240
times 2^(n-8)); full range: 0..2^n-1. The luma weights Kr and Kb give the matrix: Cb = (B - Y) / (2 (1 - Kb)), Cr
likewise.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from answerprint.color.spaces import LUMA_WEIGHTS
from answerprint.errors import MediaError

MATRICES = (*LUMA_WEIGHTS, "ycgco", "rgb")
_SUBSAMPLING = {"444": (0, 0), "440": (0, 1), "422": (1, 0), "420": (1, 1), "411": (2, 0), "410": (2, 2)}


@dataclass(frozen=True)
class Layout:
    """A planar pixel format.

    Attributes:
        name: FFmpeg pixel format name without endianness ("yuv422p10").
        family: "yuv", "rgb" or "gray".
        bits: bits per sample.
        floating: samples are floats.
        chroma_shift_x: log2 of luma samples per chroma sample, horizontally.
        chroma_shift_y: the same vertically.
        alpha: there is an alpha plane, the last one.
    """

    name: str
    family: str
    bits: int
    floating: bool
    chroma_shift_x: int
    chroma_shift_y: int
    alpha: bool

    @property
    def dtype(self) -> torch.dtype:
        """Type that one sample is stored in."""
        if self.floating:
            return torch.float32
        return torch.uint8 if self.bits <= 8 else torch.uint16

    @property
    def plane_count(self) -> int:
        """Number of planes, alpha included."""
        return (1 if self.family == "gray" else 3) + self.alpha

    @property
    def subsampling(self) -> tuple[int, int]:
        """log2 of luma samples per chroma sample: horizontally, vertically."""
        return self.chroma_shift_x, self.chroma_shift_y

    @property
    def subsampled(self) -> bool:
        """Whether chroma has fewer samples than luma."""
        return self.subsampling != (0, 0)

    def chroma_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the chroma planes of a picture of that many luma samples."""
        return -(-height >> self.chroma_shift_y), -(-width >> self.chroma_shift_x)


@functools.cache
def parse_layout(name: str) -> Layout:
    """The layout that a planar FFmpeg pixel format name means, with or without endianness.

    Raises:
        MediaError: the name is of a packed or unknown format.
    """
    bare = re.sub(r"(?<=\d)(le|be)$", "", name)
    if match := re.fullmatch(r"yuv(a|j)?(444|440|422|420|411|410)p(\d+)?", bare):
        shift_x, shift_y = _SUBSAMPLING[match[2]]
        return Layout(bare, "yuv", int(match[3] or 8), False, shift_x, shift_y, match[1] == "a")
    if match := re.fullmatch(r"gbr(a)?p(f)?(\d+)?", bare):
        return Layout(bare, "rgb", int(match[3] or 8), bool(match[2]), 0, 0, bool(match[1]))
    if match := re.fullmatch(r"(gray|ya)(f)?(\d+)?", bare):
        return Layout(bare, "gray", int(match[3] or 8), bool(match[2]), 0, 0, match[1] == "ya")
    raise MediaError(f"pixel format '{name}' is not one of the planar formats that can be worked on")


class CodeScale(NamedTuple):
    """The linear map from codes to values: (code - zero) * step."""

    zero: np.float32
    step: np.float32


def code_scales(layout: Layout, range_: str) -> tuple[CodeScale, CodeScale]:
    """Scales of luma (or R'G'B') and of chroma.

    Args:
        layout: of the picture.
        range_: "limited" or "full".

    Raises:
        MediaError: another range.
    """
    if layout.floating:
        return CodeScale(np.float32(0), np.float32(1)), CodeScale(np.float32(0), np.float32(1))
    unit = 2.0 ** (layout.bits - 8)
    middle = np.float32(128 * unit)
    if range_ == "full" or layout.name.startswith("yuvj"):
        step = np.float32(1 / ((1 << layout.bits) - 1))
        return CodeScale(np.float32(0), step), CodeScale(middle, step)
    if range_ != "limited":
        raise MediaError(f"range '{range_}' is not known; known: limited, full")
    luma = CodeScale(np.float32(16 * unit), np.float32(1 / (219 * unit)))
    return luma, CodeScale(middle, np.float32(1 / (224 * unit)))


@functools.cache
def to_rgb_matrix(matrix: str) -> NDArray[Any]:
    """(3, 2) float32: how much of Cb and Cr is added to Y for R, G and B.

    Raises:
        MediaError: the matrix is not known.
    """
    if matrix == "ycgco":
        return np.array([[-1, 1], [1, 0], [-1, -1]], dtype=np.float32)  # chroma order Cg, Co
    kr, kb = _luma_weights(matrix)
    kg = 1 - kr - kb
    return np.array(
        [[0, 2 * (1 - kr)], [-2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg], [2 * (1 - kb), 0]], dtype=np.float32
    )


@functools.cache
def from_rgb_matrix(matrix: str) -> NDArray[Any]:
    """(3, 3) float32: Y, Cb, Cr from R, G, B; the inverse of `to_rgb_matrix` taken in double precision.

    Raises:
        MediaError: the matrix is not known.
    """
    if matrix == "ycgco":
        return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0, -0.5]], dtype=np.float32)
    kr, kb = _luma_weights(matrix)
    y = np.array([kr, 1 - kr - kb, kb])
    cb = (np.array([0, 0, 1]) - y) / (2 * (1 - kb))
    cr = (np.array([1, 0, 0]) - y) / (2 * (1 - kr))
    return np.stack([y, cb, cr]).astype(np.float32)


def _luma_weights(matrix: str) -> tuple[float, float]:
    """Kr and Kb."""
    try:
        return LUMA_WEIGHTS[matrix]
    except KeyError:
        raise MediaError(f"color matrix '{matrix}' is not known; known: {', '.join(MATRICES)}") from None
