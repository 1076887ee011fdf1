"""Motion between fields, and between whole pictures, followed to the moment of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint import arrays
from answerprint.motion import flow

Image = NDArray[np.float32]  # (h, w, 3)

_BRIGHTNESS = np.array([[0.25, 0.5, 0.25]], np.float32)
_LIGHT = (33, 17)  # pixels and lines around a place over which brightness is matched
_SMALLEST = 32  # below this, flow has too few patches to go by


def align_lines(field: Tensor, others: Sequence[Tensor]) -> list[Tensor]:
    """Lines of fields beside this one in time, warped to where things are at its moment.

    Dense inverse search (Kroeger et al. 2016, OpenCV's), from what the missing lines look like at first sight, the mean
    of the lines above and below, to the lines at the same places in the other fields.

    Args:
        field: (3, h, w), the lines above the missing ones.
        others: (3, h, w) each, lines at the places of the missing ones, at other moments.

    Returns:
        One (3, h, w) for each of `others`; the same as it where the picture is too small to find motion.
    """
    lines = arrays.to_image(field)
    return _follow((lines + np.concatenate((lines[1:], lines[-1:]))) * np.float32(0.5), others, _LINES)


def align_pictures(picture: Tensor, others: Sequence[Tensor]) -> list[Tensor]:
    """Whole pictures beside this one in time, warped to where things are at its moment, as `align_lines` has it.

    By patches that lie closer, with more iterations of the refinement, and sampled by a sharper kernel: it is worth
    more here.

    Args:
        picture: (3, H, W).
        others: (3, H, W) each.

    Returns:
        One (3, H, W) for each of `others`; the same as it where the picture is too small to find motion.
    """
    return _follow(arrays.to_image(picture), others, _PICTURES)


@dataclass(frozen=True)
class _FlowSettings:
    """How motion is estimated and followed.

    Attributes:
        width: share of the picture's width at which motion is estimated.
        stride: pixels from patch to patch.
        refinements: iterations of the variational refinement.
        smoothing: side in pixels of the box that vectors are averaged over.
        softening: share that the lines above and below each have in a line of the other picture.
        interpolation: between pixels, as OpenCV names it.
    """

    width: float
    stride: int
    refinements: int
    smoothing: int
    softening: float
    interpolation: int


# Set by the PSNR of the deinterlacer. Means of two lines are searched for among single lines: softened, these look more
# like them. Three quarters of a picture's width take a quarter less time, for 0.01 dB.
_LINES = _FlowSettings(width=1, stride=7, refinements=3, smoothing=3, softening=0.12, interpolation=cv2.INTER_CUBIC)
_PICTURES = _FlowSettings(
    width=0.75, stride=4, refinements=5, smoothing=1, softening=0.0, interpolation=cv2.INTER_LANCZOS4
)


def _follow(base: Image, others: Sequence[Tensor], search: _FlowSettings) -> list[Tensor]:
    """Each of `others`, (3, h, w), warped to `base`, (h, w, 3), with the local brightness that `base` has.

    Brightness is matched by the mean around each place: old film changes in it from picture to picture.
    """
    height, width = base.shape[:2]
    size = (round(width * search.width), height)
    if min(size) < _SMALLEST:
        return list(others)
    base_codes = arrays.resize(_codes(base), size)

    def warp(other: Tensor) -> Tensor:
        image = arrays.to_image(other)
        codes = arrays.resize(_soften(_codes(image), search.softening), size)
        vectors = cv2.blur(_estimator(search).calc(base_codes, codes, None), (search.smoothing, search.smoothing))
        vectors = flow.resized(np.asarray(vectors, np.float32), width, height)
        warped = np.asarray(flow.warp(image, vectors, how=search.interpolation), np.float32)
        # NaN would spread along its line and column, for box means are running sums.
        difference = np.nan_to_num(cv2.transform(base - warped, _BRIGHTNESS), posinf=0, neginf=0)
        difference[-1] = difference[-2]  # the last line of `base` is made of one line, not of two
        light = cv2.blur(difference, _LIGHT, borderType=cv2.BORDER_REFLECT)
        return torch.stack([torch.from_numpy(plane + light) for plane in cv2.split(warped)])

    # Side by side: a search does not keep all processors busy.
    with ThreadPoolExecutor(max(len(others), 1)) as pool:
        return list(pool.map(warp, others))


def _soften(codes: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Each line with `share` of the lines above and below it; (h, w) to (h, w)."""
    taps = np.array([share, 1 - 2 * share, share], np.float32)
    edge = cv2.BORDER_REPLICATE
    return np.asarray(cv2.sepFilter2D(codes, -1, np.ones(1, np.float32), taps, borderType=edge), np.uint8)


def _estimator(how: _FlowSettings) -> Any:
    """Dense inverse search by patches of 8 pixels, down to the full size of what it gets."""
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined, unused-ignore]
    estimator.setFinestScale(0)
    estimator.setPatchSize(8)
    estimator.setPatchStride(how.stride)
    estimator.setGradientDescentIterations(6)
    estimator.setVariationalRefinementIterations(how.refinements)
    return estimator


def _codes(lines: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Brightness of (h, w, 3) in codes of 8 bits, (h, w)."""
    scaled = cv2.transform(lines, _BRIGHTNESS * 255)
    return np.asarray(np.clip(np.rint(scaled), 0, 255), dtype=np.uint8).reshape(lines.shape[:2])
