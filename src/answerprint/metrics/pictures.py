"""Pictures of a report: coded small enough for a page, with their levels, scopes and what a browser cannot show."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from answerprint.frame import ColorTags
from answerprint.metrics import scopes
from answerprint.metrics.words import percent

SCOPE = (320, 180)

_DISPLAYABLE = {
    "unknown",
    "bt709",
    "smpte170m",
    "bt470bg",
    "bt470m",
    "smpte240m",
    "iec61966-2-1",
    "bt2020-10",
    "bt2020-12",
}
_ENCODINGS = {
    "arib-std-b67": "HLG",
    "smpte2084": "PQ",
    "linear": "linear light",
    "log100": "logarithmic",
    "log316": "logarithmic",
    "smpte428": "DCI X'Y'Z'",
}
_WIDE = {"bt2020": "BT.2020", "smpte431": "DCI-P3", "smpte432": "Display P3", "smpte428": "CIE XYZ"}


@dataclass(frozen=True)
class Levels:
    """The levels of a picture before anything is clipped, for the page and the JSON.

    Attributes:
        lowest: smallest R', G' or B' of the finite pixels; None where there are none.
        highest: largest.
        mean_luma: mean of Y' by the picture's matrix.
        below: share of pixels with a channel below 0 (a hair of tolerance for rounding).
        above: share with a channel above 1.
        not_finite: share with a channel that is NaN or infinite.
    """

    width: int
    height: int
    lowest: float | None
    highest: float | None
    mean_luma: float | None
    below: float
    above: float
    not_finite: float


def levels(pixels: Tensor, color: ColorTags) -> Levels:
    """The levels of pixels (3, H, W), before any clipping."""
    values = pixels.detach().cpu().float().numpy()
    low, high = values.min(axis=0), values.max(axis=0)  # NaN goes through both
    finite = np.isfinite(low) & np.isfinite(high)
    known = bool(finite.any())
    hair = 1e-4  # far below one code value of 12 bits
    return Levels(
        width=values.shape[-1],
        height=values.shape[-2],
        lowest=float(low[finite].min()) if known else None,
        highest=float(high[finite].max()) if known else None,
        mean_luma=float(scopes.luma(pixels, color)[finite].mean(dtype=np.float64)) if known else None,
        below=float((low[finite] < -hair).sum()) / finite.size,
        above=float((high[finite] > 1 + hair).sum()) / finite.size,
        not_finite=float((~finite).mean()),
    )


def caveat(color: ColorTags) -> str:
    """A warning for a picture that a browser takes for plain display video although it is not; "" if it is."""
    parts = []
    if color.transfer not in _DISPLAYABLE:
        parts.append(f"{_ENCODINGS.get(color.transfer, color.transfer)} encoding")
    if color.primaries in _WIDE:
        parts.append(f"{_WIDE[color.primaries]} primaries")
    return f"{' and '.join(parts)}, shown without a display transform" if parts else ""


def clipping(levels: Levels) -> str:
    """The share of the picture that the page cannot show, in words; "" where it shows all."""
    shares = ((levels.below, "below black"), (levels.above, "above white"), (levels.not_finite, "not finite"))
    parts = [f"{percent(share)} {where}" for share, where in shares if share > 0]
    return f"{', '.join(parts)}, clipped in this picture" if parts else ""


def encode_pair(before: Tensor, after: Tensor, side: int, limit: int) -> tuple[str, str]:
    """Two pictures (3, H, W) as data URIs, coded alike so that the wipe compares only the work.

    Args:
        before, after: R'G'B'; clipped to 0..1.
        side: the longer side, in pixels, at most.
        limit: bytes of each JPEG, about. Quality gives way first, then size, down to two thirds.
    """
    images = (_to_bgr(before), _to_bgr(after))
    smallest = side * 2 // 3
    while True:
        pictures = [_fit(image, side) for image in images]
        for quality in (93, 88, 82, 75, 68, 60, 52):
            coded = [_jpeg(picture, quality) for picture in pictures]
            if sum(map(len, coded)) <= 2 * limit:
                return _uri("image/jpeg", coded[0]), _uri("image/jpeg", coded[1])
        # Grain and foliage: a smaller sharp picture tells more than a large smeared one.
        side = round(min(side, max(max(picture.shape[:2]) for picture in pictures)) * 0.87)
        if side < smallest:
            return _uri("image/jpeg", coded[0]), _uri("image/jpeg", coded[1])


def _jpeg(picture: Any, quality: int) -> bytes:
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    data: bytes = cv2.imencode(".jpg", picture, options)[1].tobytes()
    return data


def _to_bgr(pixels: Tensor) -> Any:
    """Pixels as B, G, R of shape (H, W, 3), clipped to what a browser shows."""
    planes = pixels.detach().cpu().float().numpy()
    return np.clip(np.nan_to_num(planes[::-1].transpose(1, 2, 0), nan=0.0), 0, 1)


def _fit(image: Any, side: int) -> Any:
    """A picture in 8 bits with a long side of at most `side`."""
    import cv2

    high, wide = image.shape[:2]
    scale = side / max(high, wide)
    if scale < 1:
        size = (max(round(wide * scale), 1), max(round(high * scale), 1))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.rint(image * 255).astype(np.uint8)


def encode_scopes(pixels: Tensor, color: ColorTags) -> dict[str, Any]:
    """Scopes of a picture (3, H, W) as data URIs, and the places of the color bars in the vectorscope."""
    return {
        "waveform": _lossless(scopes.waveform(pixels, color, *SCOPE)),
        "parade": _lossless(scopes.parade(pixels, *SCOPE)),
        "vectorscope": _lossless(scopes.vectorscope(pixels, color)),
        "histogram": _lossless(scopes.histogram(pixels, *SCOPE)),
        "targets": scopes.vector_targets(color, pixels.shape[-2]),
    }


def _lossless(image: scopes.Image) -> str:
    import cv2

    # WebP above 100 is lossless, and half the size of PNG for these pictures.
    return _uri("image/webp", cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
