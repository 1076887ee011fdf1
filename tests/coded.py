"""Coded clips of a texture that moves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from answerprint.frame import Frame

NTSC = Fraction(30000, 1001)


def texture(number: int, height: int, width: int) -> np.ndarray:
    """A soft texture that moves two columns a frame."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = x + 2 * number
    planes = [128 + 100 * np.sin(x / 9 + c) * np.cos(y / 7 + 2 * c) for c in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def encode_clip(
    path: Path,
    codec: str,
    pix_fmt: str,
    count: int = 30,
    size: tuple[int, int] = (64, 96),
    rate: Fraction = NTSC,
    pts: list[int] | None = None,
    **options: str,
) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(texture(number, *size), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (pts[number] if pts else number), 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def planes_of(frame: Frame) -> tuple[torch.Tensor, ...]:
    assert frame.origin is not None
    return frame.origin.planes


def same(a: Frame, b: Frame) -> bool:
    return (
        a.time == b.time
        and all(torch.equal(x, y) for x, y in zip(planes_of(a), planes_of(b), strict=True))
        and torch.equal(a.pixels, b.pixels)
    )
