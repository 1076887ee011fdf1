"""A shot on disk as inpainting reads it: frames at full and at working size, masks, flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.motion import complete, flow
from answerprint.motion.complete import grow
from answerprint.motion.propagate import Box, shrink
from answerprint.operations.inpaint.masks import MaskOf
from answerprint.operations.inpaint.store import Patched, Pictures, Store

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
FlowOf = Callable[[Array, Array], tuple[Array, Array]]
"""Flow (h, w, 2) between two pictures (h, w, 3), there and back."""


class Footage:
    """The frames of a shot with their masks.

    Args:
        shot: as the operations before leave it.
        mask_of: gives the mask of a frame.
        longest: side of the working size.

    Attributes:
        full, masks: frames (H, W, 3) and what is removed of them (H, W).
        small, small_masks: the same at the working size; the same objects where that is the full size.
        times: of the frames.
        areas: share of each picture that is removed.
    """

    def __init__(self, shot: Shot, mask_of: MaskOf, longest: int) -> None:
        self._open = ExitStack()
        self.times: list[Fraction] = []
        self.areas: list[float] = []
        try:
            for number, frame in enumerate(shot.frames()):
                if not number:
                    self._begin(frame, longest)
                self._add(number, frame, mask_of(number, frame), shot)
        except BaseException:
            self.close()
            raise
        if not self.times:
            raise SettingsError(f"shot {shot.name} holds no frame")

    def _begin(self, frame: Frame, longest: int) -> None:
        scale = min(1.0, longest / max(frame.height, frame.width))
        self.size = (frame.height, frame.width)
        self.work = (max(16, round(frame.height * scale)), max(16, round(frame.width * scale)))
        self.full, self.masks = self.pictures(*self.size), self.store(*self.size, dtype=np.bool_)
        if scale < 1:
            self.small, self.small_masks = self.pictures(*self.work), self.store(*self.work, dtype=np.bool_)
        else:
            self.work, self.small, self.small_masks = self.size, self.full, self.masks

    def _add(self, number: int, frame: Frame, mask: Mask, shot: Shot) -> None:
        where = f"frame {shot.start + number}"
        if frame.field_order in ("tff", "bff"):
            raise SettingsError(
                f"{where} is interlaced, and every other line of a mask belongs to another moment; "
                "deinterlace first: answerprint deinterlace INPUT -o OUTPUT, or deinterlace before in the chain"
            )
        if mask.all():
            raise SettingsError(f"{where}: the mask covers the whole picture; leave something to go by")
        picture = finite(frame)
        self.full.write(number, picture)
        self._put_mask(number, mask)
        if self.small is not self.full:
            small = cv2.resize(picture, self.work[::-1], interpolation=cv2.INTER_AREA)
            self.small.write(number, small)
        self.times.append(frame.time)
        self.areas.append(float(mask.mean()))

    def __len__(self) -> int:
        return len(self.times)

    def grow(self, radius: Callable[[int], Mask] | int) -> None:
        """Grows all masks by a number of pixels of the full size, or by a mask for each frame."""
        for number in self.numbers():
            mask = self.masks.read(number)
            wider = grow(mask, radius) if isinstance(radius, int) else mask | radius(number)
            self._put_mask(number, wider)
            self.areas[number] = float(wider.mean())

    def numbers(self) -> Iterator[int]:
        """Frames that something is removed from, in order."""
        return (number for number, area in enumerate(self.areas) if area > 0)

    def store(self, *shape: int, dtype: type = np.float32) -> Store:
        """Room on disk for an array a frame; closed with the footage."""
        return self._open.enter_context(Store(shape, dtype))

    def pictures(self, height: int, width: int) -> Pictures:
        """Room on disk for a picture a frame; closed with the footage."""
        return self._open.enter_context(Pictures(height, width))

    def patched(self) -> Patched:
        """The frames at full size, to be replaced in parts; closed with the footage."""
        return self._open.enter_context(Patched(self.full))

    def close(self) -> None:
        """Frees the disk."""
        self._open.close()

    def _put_mask(self, number: int, mask: Mask) -> None:
        self.masks.write(number, mask)
        if self.small_masks is not self.masks:
            self.small_masks.write(number, shrink(mask, self.work))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def finite(frame: Frame) -> Array:
    """The picture of a frame (H, W, 3), with 0 or 1 for what is no finite number."""
    pixels = frame.pixels.detach().cpu()
    if not bool(pixels.sum().isfinite()):  # a sum is, only where all are
        pixels = pixels.nan_to_num(nan=0.0, posinf=1.0, neginf=0.0)
    return np.ascontiguousarray(pixels.numpy().transpose(1, 2, 0))


def enlarge(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask at another size (height, width), its outline smooth."""
    large = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(large > 0.5)


class Flows:
    """Flow between neighbors of a shot, complete behind what hides it.

    Args:
        forward: room for the flow of every frame to the next, (h, w, 2).
        backward: and from the next back.
    """

    def __init__(self, forward: Store, backward: Store) -> None:
        self.forward, self.backward = forward, backward
        self.field = forward.shape[0], forward.shape[1]

    def update(self, count: int, picture: Callable[[int], Array], hidden: Callable[[int], Mask], of: FlowOf) -> None:
        """Finds the flow of a shot anew.

        Args:
            count: frames.
            picture: gives a frame, (h, w, 3).
            hidden: gives what of its flow is not to be trusted, (h, w).
            of: finds flow.
        """
        first = (picture(0), hidden(0))
        for number in range(1, count):
            second = (picture(number), hidden(number))
            there, back = of(first[0], second[0])
            self.forward.write(number - 1, _completed(there, first[1], second[1]))
            self.backward.write(number - 1, _completed(back, second[1], first[1]))
            first = second

    def part(self, number: int, step: int, box: Box) -> Array:
        """Part of the flow from a frame to the one before (step -1) or after (1)."""
        store, place = (self.forward, number) if step > 0 else (self.backward, number - 1)
        return store.read(place, box).astype(np.float32)


def _completed(vectors: Array, here: Mask, there: Mask) -> Array:
    """The flow with what is hidden at either end replaced."""
    return complete.complete(vectors, here | (flow.warp(there.astype(np.float32), vectors) > 0.01))


class Motion(Protocol):
    """Flow between neighbors of a shot."""

    @property
    def field(self) -> tuple[int, int]:
        """Height and width."""

    def part(self, number: int, step: int, box: Box) -> Array:
        """Part of the flow from a frame to the one before (step -1) or after (1)."""


@dataclass(frozen=True)
class StoredScene:
    """What propagation looks at: pictures, what of them is no background, and flow.

    Attributes:
        count: frames.
        pictures: (H, W, 3) each.
        unknown_of: gives part of what is unknown of a frame.
        motion: flow.
    """

    count: int
    pictures: Pictures | Patched
    unknown_of: Callable[[int, Box], Mask]
    motion: Motion

    @property
    def size(self) -> tuple[int, int]:
        return self.pictures.shape[0], self.pictures.shape[1]

    @property
    def field(self) -> tuple[int, int]:
        return self.motion.field

    def picture(self, number: int, box: Box) -> Array:
        return self.pictures.read(number, box)

    def unknown(self, number: int, box: Box) -> Mask:
        return self.unknown_of(number, box)

    def flow(self, number: int, step: int, box: Box) -> Array:
        return self.motion.part(number, step, box)
