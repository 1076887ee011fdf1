"""Dense optical flow by inverse search (Kroeger et al. 2016, OpenCV), its confidence, and warping by it."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

Preset = Literal["fast", "medium", "fine"]

_PRESETS = {
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    "fine": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
LARGE = 2_500_000  # pixels from which on motion is sought at half size
_LEAST = 16  # DIS needs a few patches; a smaller picture is repeated at its border


def flow(first: Picture, second: Picture, quality: Preset = "fast") -> Array:
    """The displacement of every pixel of `first` to where it is in `second`.

    Args:
        first: (H, W) gray.
        second: (H, W) gray.
        quality: medium costs about three times as much as fast; fine, which goes on to the full size, twice as medium.

    Returns:
        (H, W, 2), x then y, in pixels.
    """
    first, second = np.ascontiguousarray(first), np.ascontiguousarray(second)
    height, width = first.shape
    down, across = max(0, _LEAST - height), max(0, _LEAST - width)
    if down or across:
        first, second = (
            cv2.copyMakeBorder(picture, 0, down, 0, across, cv2.BORDER_REPLICATE) for picture in (first, second)
        )
    search: Any = cv2.DISOpticalFlow_create(_PRESETS[quality])  # type: ignore[attr-defined, unused-ignore]
    if quality == "fine":
        search.setFinestScale(0)
        search.setPatchStride(4)
    vectors: Array = search.calc(first, second, None)
    return np.ascontiguousarray(vectors[:height, :width])


def resized(vectors: Array, width: int, height: int) -> Array:
    """Vectors (H, W, 2) for the same picture at another size, in its pixels: (height, width, 2)."""
    size = vectors.shape[1], vectors.shape[0]
    if size == (width, height):
        return vectors
    interpolation = cv2.INTER_LINEAR if width > size[0] else cv2.INTER_AREA
    scale = np.array([width / size[0], height / size[1]], np.float32)
    result: Array = cv2.resize(vectors, (width, height), interpolation=interpolation).astype(np.float32) * scale
    return result


def warp(
    image: npt.NDArray[Any], vectors: Array, border: float | None = None, how: int = cv2.INTER_LINEAR
) -> npt.NDArray[Any]:
    """Warps an image: result(p) = image(p + vectors(p)).

    Args:
        image: (H, W) or (H, W, C).
        vectors: (H, W, 2).
        border: value outside the picture; its edge is repeated where None.
        how: interpolation between pixels, as OpenCV names it.
    """
    height, width = vectors.shape[:2]
    x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    result: npt.NDArray[Any] = cv2.remap(
        image,
        x + vectors[..., 0],
        y + vectors[..., 1],
        how,
        borderMode=mode,
        borderValue=0 if border is None else border,
    )
    return result


def confidence(forward: Array, backward: Array) -> Array:
    """Forward-backward consistency of a flow, (H, W) in 0..1.

    exp(-e^2 / (2 s^2)) with e the distance between a pixel and where forward and backward flow take it together, and s
    one pixel plus 5 % of the displacement. A pixel that leaves the picture has none.

    Args:
        forward: (H, W, 2) from the first picture to the second.
        backward: (H, W, 2) from the second to the first.
    """
    height, width = forward.shape[:2]
    away = forward + warp(backward, forward)
    spread = 1.0 + 0.05 * np.hypot(forward[..., 0], forward[..., 1])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + forward[..., 0], y + forward[..., 1]
    inside = (x > -1) & (y > -1) & (x < width) & (y < height)
    result: Array = (np.exp(-(away[..., 0] ** 2 + away[..., 1] ** 2) / (2 * spread**2)) * inside).astype(np.float32)
    return result
