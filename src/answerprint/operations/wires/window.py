"""The frames around the present one, on disk: pictures, what wires hide of them, and flow behind the wires.

What the window holds does not grow with the shot, and hardly any of it is memory: only what is looked at is read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from answerprint.frame import Frame
from answerprint.motion import flow
from answerprint.motion.wires.trail import Cover
from answerprint.operations.wires.spatial import interpolate

Array = NDArray[np.float32]
Codes = NDArray[np.uint8]

VISIBLE = 0.004  # opacity below which a wire changes nothing that matters
_GROWN = 2  # pixels around what is covered, that are hidden too


class Window:
    """Up to `reach` frames before and after the present one.

    Args:
        reach: frames on each side.
    """

    def __init__(self, reach: int) -> None:
        self._count = 2 * reach + 2
        self._frames: dict[int, Frame] = {}
        self._covers: dict[int, tuple[Cover, ...]] = {}
        self._files: list[Any] = []
        self._pictures: NDArray[np.float32] = np.zeros((0, 0, 0, 0), np.float32)
        self._flows: NDArray[np.float32] = np.zeros((0, 0, 0, 0, 0), np.float32)
        self._hidden: NDArray[np.uint8] = np.zeros((0, 0, 0), np.uint8)
        self._gray: Codes | None = None

    def put(self, number: int, frame: Frame, covers: tuple[Cover, ...]) -> None:
        """Adds the next frame; the one that it takes the place of is gone.

        Args:
            number: of the frame; they come in order, without gaps.
            frame: itself.
            covers: of the wires in it.
        """
        if not self._files:
            self._open(frame)
        slot = number % self._count
        self._frames.pop(number - self._count, None)
        self._covers.pop(number - self._count, None)
        self._pictures[slot] = frame.pixels.detach().cpu().numpy()
        # The frame waits on disk as well: its pixels are those of the window.
        pixels = torch.from_numpy(self._pictures[slot])
        origin = frame.origin
        if origin is not None and origin.pixels is frame.pixels:
            origin = replace(origin, pixels=pixels)
        self._frames[number] = replace(frame, pixels=pixels, origin=origin)
        self._covers[number] = covers
        self._hidden[slot] = hidden(covers, pixels.shape[1:])
        gray = self._background(slot, covers)
        if self._gray is not None and len(self._frames) > 1:
            self._put_flows(number, self._gray, gray)
        self._gray = gray

    def _open(self, frame: Frame) -> None:
        height, width = frame.height, frame.width
        scale = 2 if height * width > flow.LARGE else 1
        small = max(1, height // scale), max(1, width // scale)
        self._pictures = self._map((self._count, 3, height, width), np.float32)
        self._hidden = self._map((self._count, height, width), np.uint8)
        self._flows = self._map((self._count, 2, *small, 2), np.float32)

    def _map(self, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        file = tempfile.TemporaryFile(prefix="answerprint-wires-")  # noqa: SIM115
        self._files.append(file)
        return np.memmap(file, dtype=kind, mode="w+", shape=shape).view(np.ndarray)

    def close(self) -> None:
        """Gives the disk back."""
        for file in self._files:
            file.close()

    def __contains__(self, number: int) -> bool:
        return number in self._frames

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return int(self._pictures.shape[2]), int(self._pictures.shape[3])

    def frame(self, number: int) -> Frame:
        """A frame as it came, in memory of its own."""
        held = self._frames[number]
        pixels = held.pixels.clone()
        origin = held.origin
        if origin is not None and origin.pixels is held.pixels:
            origin = replace(origin, pixels=pixels)
        return replace(held, pixels=pixels, origin=origin)

    def covers(self, number: int) -> tuple[Cover, ...]:
        """What wires cover of a frame."""
        return self._covers[number]

    def planes(self, number: int) -> Array:
        """The picture (3, H, W) of a frame; not to be written to."""
        return np.asarray(self._pictures[number % self._count])

    def hidden(self, number: int) -> Codes:
        """(H, W), 1 where a wire hides or dims the background, or is near."""
        return np.asarray(self._hidden[number % self._count])

    def flows(self, number: int, step: int) -> tuple[Array, Array]:
        """Flow (h, w, 2) of the background from a frame to the next (step 1) or the one before (-1), and back."""
        if step > 0:
            there, back = self._flows[(number + 1) % self._count]
            return there, back
        back, there = self._flows[number % self._count]
        return there, back

    def _background(self, slot: int, covers: Sequence[Cover]) -> Codes:
        """The frame in gray at the size of flow, with the background continued under the wires: for the search only."""
        red, green, blue = self._pictures[slot]
        gray = 0.299 * red + 0.587 * green + 0.114 * blue
        for one in covers:
            some = one.opacity > VISIBLE
            if some.any():
                half = float(np.abs(one.across[some]).max()) + 1.0
                gray[one.rows[some], one.columns[some]] = interpolate(gray[None], one, half).values[some, 0]
        height, width = self._flows.shape[2:4]
        if gray.shape != (height, width):
            gray = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(np.rint(gray.clip(0, 1) * 255), np.uint8)

    def _put_flows(self, number: int, before: Codes, after: Codes) -> None:
        pair = flow.flow(before, after, "medium"), flow.flow(after, before, "medium")
        for way, vectors in enumerate(pair):
            self._flows[number % self._count, way] = vectors


def hidden(covers: Sequence[Cover], size: Sequence[int]) -> Codes:
    """(H, W), 1 where wires cover a picture, or are near."""
    mask = np.zeros((int(size[0]), int(size[1])), np.uint8)
    for one in covers:
        some = one.opacity > VISIBLE
        mask[one.rows[some], one.columns[some]] = 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _GROWN + 1, 2 * _GROWN + 1))
    return np.asarray(cv2.dilate(mask, disk), np.uint8)
