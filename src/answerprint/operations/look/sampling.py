"""Pixels of a shot that a look is fitted to: colors, small frames, pieces at full size, the same things seen twice."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint import arrays
from answerprint.color import spaces, style
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.motion import flow

if TYPE_CHECKING:
    from answerprint.operations.look import Params

COLORS = 3072  # of the shot
TRUSTED = 0.6  # confidence in flow from which on two pixels show the same thing
_TWINS = 2048  # colors of a shot that are followed
_APART = (Fraction(1, 5), Fraction(1))  # seconds between twins
_PIECE = 40  # pixels on each side of a piece
_PLASTIC = (0.7548776662, 0.5698402910)  # powers of the inverse of the plastic number


def colors(frames: Sequence[Frame], params: Params) -> Tensor:
    """About `COLORS` colors of the shot, inside its matte where it has one: (n, 3).

    Raises:
        SettingsError: no pixel is finite.
    """
    share = -(-COLORS // len(frames))
    matted = any(_matted(frame) for frame in frames)
    parts = [
        style.colors(frame.pixels, share, params.seed, frame.matte if matted else None)
        for frame in frames
        if not matted or _matted(frame)
    ]
    joined = torch.cat(parts)
    if not len(joined):
        raise SettingsError(f"the frame at {float(frames[0].time):.3f} s holds no finite pixel; nothing can be fitted")
    return joined


def _matted(frame: Frame) -> bool:
    return frame.matte is not None and bool((frame.matte > 0).any())


def shrink(frames: Sequence[Frame], pixels: int) -> list[Tensor]:
    """Frames of at most `pixels` pixels each, of one shape, finite: (3, h, w) each."""
    shape = shrink_pixels(frames[0].pixels, pixels).shape
    return [resize(frame.pixels, shape) for frame in frames]


def shrink_pixels(pixels: Tensor, count: int) -> Tensor:
    """A picture (3, H, W) of at most `count` pixels, finite: (3, h, w)."""
    height, width = pixels.shape[1:]
    scale = min(1.0, (count / (height * width)) ** 0.5)
    return resize(pixels, (3, max(1, round(height * scale)), max(1, round(width * scale))))


def resize(pixels: Tensor, shape: Sequence[int]) -> Tensor:
    """A picture (3, H, W) as `shape` (3, h, w), by area, finite."""
    return arrays.resize_planes(arrays.finite(pixels.cpu()), (shape[2], shape[1]))


def pieces(frames: Sequence[Frame], count: int) -> list[Tensor]:
    """`count` pieces of the frames at full size, spread over them, (3, 40, 40) each or as large as the frame allows.

    What happens to grain and texture shows there only.
    """
    side = min(_PIECE, *(min(frame.height, frame.width) for frame in frames))
    result = []
    for i in range(count):
        frame = frames[i % len(frames)]
        # Additive recurrence of the plastic number: evenly spread, however many there are.
        y, x = (
            int((0.5 + (i + 1) * step) % 1 * (size - side + 1))
            for step, size in zip(_PLASTIC, frame.pixels.shape[1:], strict=True)
        )
        result.append(arrays.finite(frame.pixels[:, y : y + side, x : x + side].cpu()))
    return result


def twins(frames: Sequence[Frame], places: Sequence[int], shot: Shot, params: Params) -> list[Tensor]:
    """Colors of the same things a fifth of a second and a second apart, matched by optical flow: (2, n, 3) each.

    What they differ by is flicker, grain and coding. A shot of one frame has none.

    Args:
        frames: of the shot.
        places: their numbers in the shot.
        shot: where the later frames are read from.
        params: steadiness 0 asks for none; the seed of the drawing.
    """
    if params.steadiness == 0 or shot.length == 1:
        return []
    share = -(-_TWINS // len(frames))
    distances = {min(max(1, round(shot.rate * seconds)), shot.length - 1) for seconds in _APART}
    result = []
    for distance in sorted(distances):
        parts = []
        for frame, place in zip(frames, places, strict=True):
            other = place + distance if place + distance < shot.length else max(place - distance, 0)
            parts += [_twins(frame, there, share, params.seed) for there in shot.frames(other, other + 1)]
        result += [torch.cat(parts, 1)] if parts else []
    return result


def _twins(frame: Frame, other: Frame, count: int, seed: int) -> Tensor:
    """Up to `count` colors of a frame and of the other in their place, where flow can be trusted: (2, n, 3)."""
    if other.pixels.shape != frame.pixels.shape:
        return torch.zeros(2, 0, 3)
    here, there = (arrays.to_image(arrays.finite(each.pixels.cpu())) for each in (frame, other))
    planes = [gray_codes(torch.from_numpy(image).movedim(-1, 0)) for image in (here, there)]
    forth, back = flow.flow(planes[0], planes[1]), flow.flow(planes[1], planes[0])
    trusted = flow.confidence(forth, back) > TRUSTED
    if frame.matte is not None and bool((frame.matte > 0).any()):
        trusted &= frame.matte[0].cpu().numpy() > 0.5 * float(frame.matte.max())
    keep = np.random.default_rng(seed).permutation(np.flatnonzero(trusted))[:count]
    return torch.from_numpy(np.stack([side.reshape(-1, 3)[keep] for side in (here, flow.warp(there, forth))]))


def gray_codes(pixels: Tensor) -> NDArray[Any]:
    """Luma of a finite picture (3, H, W) as 8-bit codes (H, W), for optical flow."""
    codes: NDArray[Any] = (spaces.luma(pixels)[0].clamp(0, 1) * 255).byte().numpy()
    return codes
