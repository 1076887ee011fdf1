"""The mask of every frame: from a picture, a sequence or clip, keys, or the matte of the frame itself."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame, Shot
from answerprint.operations.cutout import prior

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
MaskOf = Callable[[int, Frame], Mask]
"""Gives the mask (H, W) of a frame by its number in the shot."""

_COVERED = 0.1  # of a pixel: the noise of a coded matte is below, its soft edge above


def masks_of(path: Path | None, shot: Shot) -> MaskOf:
    """The masks that a file holds for a shot, or the mattes of its frames where there is none.

    Raises:
        MediaError: the file cannot be read.
        SettingsError: it holds too few masks, or masks of another size.
    """
    if path is None:
        return _matte
    if path.suffix.lower() == ".json":
        return _Keys(path, shot)
    return _from_clip(path, shot)


def _matte(_: int, frame: Frame) -> Mask:
    if frame.matte is None:
        raise SettingsError(
            f"frame at {float(frame.time):.3f} s: there is no mask; give --mask, or cut the object out before in the "
            "chain (cutout with deliver = 'keep')"
        )
    return np.asarray(frame.matte[0].cpu().numpy() > _COVERED)


def _from_clip(path: Path, shot: Shot) -> MaskOf:
    from answerprint.media import reader

    try:
        clip = reader.open(path, nonfinite="zero")
    except MediaError as error:
        raise MediaError(f"mask {error}") from error
    single, first = len(clip) == 1, shot.start
    if not single and len(clip) < first + shot.length:
        raise SettingsError(
            f"mask {path}: holds {len(clip)} pictures, shot {shot.name} ends with frame {first + shot.length - 1}; "
            f"give one picture for each frame of the clip (at least {first + shot.length}), or one for all"
        )
    frames = iter(()) if single else clip.frames(first, first + shot.length)
    fixed = next(iter(clip.frames(0, 1))) if single else None

    def mask(_: int, frame: Frame) -> Mask:
        picture = fixed if fixed is not None else next(frames)
        if (picture.height, picture.width) != (frame.height, frame.width):
            raise SettingsError(
                f"mask {path}: is {picture.width}x{picture.height}, the clip {frame.width}x{frame.height}; "
                "give masks of the clip's size"
            )
        return covered(picture)

    return mask


def covered(picture: Frame) -> Mask:
    """The mask in a picture: its alpha where that says anything, else its brightest channel."""
    alpha = picture.alpha
    if alpha is not None and bool((alpha != alpha.flatten()[0]).any()):
        return np.asarray(alpha[0].cpu().numpy() > _COVERED)
    return np.asarray(picture.pixels.amax(0).cpu().numpy() > _COVERED)


class _Keys:
    """Masks drawn on key frames and changed from one to the next: they move, and their outlines blend."""

    def __init__(self, path: Path, shot: Shot) -> None:
        self._path, self._start = path, shot.start
        self._sources = prior.find(path)
        self._numbers = sorted(self._sources)
        self._shapes: dict[int, Mask] = {}

    def __call__(self, number: int, frame: Frame) -> Mask:
        place = number + self._start
        after = bisect_right(self._numbers, place)
        ends = self._numbers[max(after - 1, 0)], self._numbers[min(after, len(self._numbers) - 1)]
        first, last = (self._shape(key, (frame.width, frame.height)) for key in ends)
        if ends[0] == ends[1] or place <= ends[0]:
            return first
        return _between(first, last, (place - ends[0]) / (ends[1] - ends[0]))

    def _shape(self, key: int, size: tuple[int, int]) -> Mask:
        if key not in self._shapes:
            source, file = self._sources[key]
            drawn = prior.read(source, file, size, size)
            shape = drawn.foreground if drawn.shape is None else drawn.shape | drawn.foreground
            self._shapes = {other: self._shapes[other] for other in list(self._shapes)[-1:]}
            self._shapes[key] = shape & ~drawn.background
        return self._shapes[key]


def _between(first: Mask, last: Mask, share: float) -> Mask:
    """The mask at a share of the way from one to another: moved, then blended by distance from the outline."""
    (one, here), (other, there) = ((_distance(mask), _center(mask)) for mask in (first, last))
    way = there - here
    blended = (1 - share) * _moved(one, share * way) + share * _moved(other, (share - 1) * way)
    return np.asarray(blended > 0)


def _distance(mask: Mask) -> Array:
    """Distance from the outline in pixels, (H, W), positive inside."""
    inside, outside = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (mask, ~mask))
    return np.asarray(inside - outside, np.float32)


def _center(mask: Mask) -> NDArray[np.float64]:
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()]) if len(rows) else np.zeros(2)


def _moved(plane: Array, by: NDArray[Any]) -> Array:
    turn = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32)
    return np.asarray(cv2.warpAffine(plane, turn, plane.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32)
