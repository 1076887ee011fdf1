"""Contours of a shot as an asset of the decision list, and the shot's small pictures on disk while it is analyzed."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt
import torch

from answerprint.assets import Assets
from answerprint.errors import SettingsError
from answerprint.frame import Frame
from answerprint.motion import flow
from answerprint.motion.plate import Plates

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

_STEPS = 16  # of a stored distance per pixel
_RANGE = 7.9  # pixels of distance that are stored


class Contours:
    """Signed distances of a shot's frames, (N, h, w) each, packed: some ten kilobytes a frame."""

    def __init__(self) -> None:
        self._packed: dict[int, bytes] = {}
        self.shape = (0, 0)

    def __setitem__(self, number: int, planes: Array) -> None:
        self.shape = (planes.shape[-2], planes.shape[-1])
        codes = np.rint(planes.clip(-_RANGE, _RANGE) * _STEPS).astype(np.int8)
        self._packed[number] = zlib.compress(codes.tobytes(), 6)

    def __getitem__(self, number: int) -> Array:
        return _unpacked(self._packed[number], self.shape)

    def __contains__(self, number: int) -> bool:
        return number in self._packed

    def save(self, times: list[Fraction], assets: Assets) -> str:
        """Puts the contours of all frames, in order, among the assets; gives the asset's name.

        Raises:
            MediaError: it cannot be written.
        """
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
            # ZipInfo's date is fixed: the same contours are the same bytes.
            archive.writestr(
                zipfile.ZipInfo("times"),
                "\n".join([f"{self.shape[0]} {self.shape[1]}", *(str(time) for time in times)]),
            )
            for number in range(len(times)):
                archive.writestr(zipfile.ZipInfo(str(number)), self._packed[number])
        return assets.put(data.getvalue(), ".zip")


class SavedContours:
    """The contours of a shot among the assets: that of a frame by its time.

    Args:
        path: the asset's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(self.path) as archive:
            first, *times = archive.read("times").decode().split("\n")
        height, width = first.split()
        self.shape = (int(height), int(width))
        self._numbers = {Fraction(time): number for number, time in enumerate(times)}

    def at(self, time: Fraction) -> Array:
        """The signed distances of the frame at a time, (N, h, w) at the working size: of areas, of thin parts.

        Raises:
            SettingsError: the shot that was analyzed has no frame at that time.
        """
        number = self._numbers.get(time)
        if number is None:
            raise SettingsError(
                f"no contour for the frame at {float(time):.3f} s: the shot was analyzed otherwise; analyze again"
            )
        with zipfile.ZipFile(self.path) as archive:
            return _unpacked(archive.read(str(number)), self.shape)


def _unpacked(packed: bytes, shape: tuple[int, int]) -> Array:
    codes = np.frombuffer(zlib.decompress(packed), np.int8).reshape(-1, *shape)
    return codes.astype(np.float32) / np.float32(_STEPS)


class Strip:
    """The frames of a shot at the working size, 8 bits, on disk; gone when closed.

    Args:
        frames: the shot.
        longest: long side to work at, in pixels.
    """

    def __init__(self, frames: Iterator[Frame], longest: int) -> None:
        self.times: list[Fraction] = []
        self.size = self.work = (0, 0)
        self.depths: dict[int, Array] = {}
        self.holds_depth = False
        self._reading = Lock()
        self._file = tempfile.TemporaryFile(prefix="answerprint-cutout-")  # noqa: SIM115
        gain, spreads = 0.0, list[float]()
        for number, frame in enumerate(frames):
            if not number:
                self.size = (frame.width, frame.height)
                scale = min(1.0, longest / max(self.size))
                self.work = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
            top = _top(frame)
            if not number or top * gain > _BRIGHTEST:
                before, gain = gain, _gain(top)
                self._dim(gain / before if number else 1.0)
                spreads = [gain / before * spread for spread in spreads]
            codes = _codes(frame.pixels, self.work, gain)
            spreads.append(float(cv2.meanStdDev(codes.reshape(-1, 1))[1][0, 0]))
            self._file.write(codes.tobytes())
            self.times.append(frame.time)
            self.holds_depth |= frame.depth is not None
        self.blank = [number for number, spread in enumerate(spreads) if spread < 1.5]
        self._file.flush()
        self.flows = lru_cache(maxsize=24)(self._flows)
        self.plates = Plates(self.__getitem__, len(self))

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, number: int) -> Picture:
        count = self.work[0] * self.work[1] * 3
        with self._reading:  # several threads do
            self._file.seek(number * count)
            codes = np.frombuffer(self._file.read(count), np.uint8)
        return codes.reshape(self.work[1], self.work[0], 3)

    def _dim(self, share: float) -> None:
        """Brings what is there already to another gain: the shot fades in, or its first frames were dark."""
        for number in range(len(self)):
            dimmed = np.rint(self[number] * np.float32(share)).astype(np.uint8)
            self._file.seek(number * dimmed.size)
            self._file.write(dimmed.tobytes())

    def gray(self, number: int) -> Picture:
        """A frame in gray, (h, w) uint8."""
        result: Picture = cv2.cvtColor(self[number], cv2.COLOR_RGB2GRAY)
        return result

    def _flows(self, first: int, second: int) -> tuple[Array, Array]:
        """Flow from a frame to another, and back."""
        a, b = _match_brightness(self.gray(first), self.gray(second))
        return flow.flow(a, b), flow.flow(b, a)

    def close(self) -> None:
        self._file.close()


def _match_brightness(first: Picture, second: Picture) -> tuple[Picture, Picture]:
    """Two gray pictures with the darker one as bright as the other: in a fade flow would follow the light.

    What moves in and out of a picture changes its light, too: only more than that is evened.
    """
    (middle, spread), (other, wide) = ([float(x[0, 0]) for x in cv2.meanStdDev(one)] for one in (first, second))
    if spread > wide:
        second, first = _match_brightness(second, first)
        return first, second
    if spread < 1 or (wide < 1.15 * spread and abs(other - middle) < 8):
        return first, second
    bright = cv2.convertScaleAbs(np.maximum((first - middle) * (wide / spread) + other, 0))
    return np.asarray(bright, np.uint8), second


_BRIGHTEST = 1.2  # what is brighter would be cut off


def _top(frame: Frame) -> float:
    """The level above which the brightest hundredth of a frame lies."""
    thin = max(1, int((frame.height * frame.width / 8_000) ** 0.5))
    bright = frame.pixels[:, ::thin, ::thin].amax(0).flatten()
    bright = bright[torch.isfinite(bright)]
    return float(torch.quantile(bright, 0.99)) if len(bright) else 1.0


def _gain(top: float) -> float:
    """A dark or overbright shot (linear light, underexposure) is brought to where 8 bits suffice."""
    return 1.0 if 0.25 < top <= _BRIGHTEST else min(max(0.9 / max(top, 1e-3), 0.05), 20.0)


def _codes(pixels: torch.Tensor, work: tuple[int, int], gain: float) -> Picture:
    """(h, w, 3) at the working size, 8 bits."""
    pixels = pixels.detach().cpu()
    if not bool(pixels.sum().isfinite()):  # a sum is, only where all are
        pixels = pixels.nan_to_num(nan=0.0, posinf=1.0, neginf=0.0)
    if (pixels.shape[2], pixels.shape[1]) != work:
        planes = [cv2.resize(plane, work, interpolation=cv2.INTER_AREA) for plane in pixels.numpy()]
        pixels = torch.from_numpy(np.stack(planes))
    codes = (pixels * (255 * gain)).round_().clamp_(0, 255).to(torch.uint8)
    result: Picture = cv2.merge(list(codes.numpy()))
    return result
