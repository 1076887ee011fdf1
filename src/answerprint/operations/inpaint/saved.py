"""The fill of a shot as an asset of the decision list: pixels under the mask, frame by frame."""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from answerprint.assets import Assets
from answerprint.errors import SettingsError
from answerprint.motion.complete import grow
from answerprint.motion.propagate import Box

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LOW, _HIGH = -0.5, 1.5  # values that 16 bits hold to 3e-5 of full scale; others are kept as floats
_RIM = 2  # pixels around the mask by which the frame is known again
_OTHER = 2e-3  # difference of the rim's mean from which on it is another picture


@dataclass(frozen=True)
class Fill:
    """What stands in for the pixels under a frame's mask.

    Attributes:
        box: of the mask.
        mask: (h, w) in it.
        values: (n, 3) of the pixels under the mask, line by line.
        rim: mean (3) of the frame around the mask.
    """

    box: Box
    mask: Mask
    values: Array
    rim: tuple[float, ...]

    def whole_mask(self, height: int, width: int) -> Mask:
        """The mask of the whole picture (H, W)."""
        whole = np.zeros((height, width), bool)
        whole[self.box.slices] = self.mask
        return whole


def rim_of(picture: Array, mask: Mask) -> tuple[float, ...]:
    """Mean (3) of a picture (H, W, 3) around a mask (H, W), by which the picture is known again."""
    box = Box.around(mask, 2 * _RIM)
    inside = mask[box.slices]
    ring = grow(inside, _RIM) & ~inside
    if not ring.any():
        return (0.0, 0.0, 0.0)
    return tuple(float(value) for value in picture[box.slices][ring].astype(np.float64).mean(0))


class FillWriter:
    """Writes the fills of a shot, in order, to an asset; they are never in memory together."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="answerprint-fill-", suffix=".zip")  # noqa: SIM115
        self._archive = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)

    def add(self, number: int, before: Array, after: Array, mask: Mask) -> None:
        """Keeps the pixels under a mask (H, W) that is not empty, of a frame (H, W, 3) before and after."""
        box = Box.around(mask, 0)
        inside = mask[box.slices]
        values = after[box.slices][inside]
        narrow = bool(values.min() >= _LOW and values.max() < _HIGH)
        if narrow:
            stored = np.rint((values - _LOW) * (65535 / (_HIGH - _LOW))).astype(np.uint16).tobytes()
        else:
            stored = values.astype(np.float32).tobytes()
        facts = {"box": [box.top, box.bottom, box.left, box.right], "narrow": narrow, "rim": rim_of(before, mask)}
        head, cover = json.dumps(facts).encode(), zlib.compress(np.packbits(inside).tobytes(), 6)
        self._write(str(number), b"%d %d\n" % (len(head), len(cover)) + head + cover + zlib.compress(stored, 1))

    def finish(self, times: list[Fraction], assets: Assets) -> str:
        """Puts the fills among the assets, with the times of all frames; gives the asset's name.

        Raises:
            MediaError: it cannot be written.
        """
        self._write("times", "\n".join(str(time) for time in times).encode())
        self._archive.close()
        self._file.flush()
        name = assets.take(Path(self._file.name), ".zip")
        self.close()
        return name

    def close(self) -> None:
        """Frees the disk."""
        self._archive.close()
        self._file.close()

    def _write(self, name: str, data: bytes) -> None:
        self._archive.writestr(zipfile.ZipInfo(name), data)  # ZipInfo's date is fixed: the same fills, the same bytes


class SavedFill:
    """The fills of a shot among the assets.

    Args:
        path: the asset's file.

    Raises:
        SettingsError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                times = archive.read("times").decode().split("\n")
                self._names = {Fraction(time): str(number) for number, time in enumerate(times)}
                self._present = set(archive.namelist())
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise SettingsError(f"{path}: is damaged ({error}); analyze the clip again") from None

    def at(self, time: Fraction) -> Fill | None:
        """The fill of the frame of that time; None where nothing is removed.

        Raises:
            SettingsError: the shot has no frame of that time.
        """
        name = self._names.get(time)
        if name is None:
            raise SettingsError(
                f"frame at {float(time):.3f} s is none of those that the shot was analyzed with; analyze the clip again"
            )
        if name not in self._present:
            return None
        with zipfile.ZipFile(self._path) as archive:
            line, _, rest = archive.read(name).partition(b"\n")
        head, cover = (int(part) for part in line.split())
        facts = json.loads(rest[:head])
        box = Box(*facts["box"])
        width, height = box.size
        bits = np.frombuffer(zlib.decompress(rest[head : head + cover]), np.uint8)
        mask = np.unpackbits(bits, count=width * height).reshape(height, width).astype(bool)
        stored = zlib.decompress(rest[head + cover :])
        if facts["narrow"]:
            values = np.frombuffer(stored, np.uint16).astype(np.float32) * ((_HIGH - _LOW) / 65535) + _LOW
        else:
            values = np.frombuffer(stored, np.float32)
        return Fill(box, mask, values.reshape(-1, 3).astype(np.float32), tuple(facts["rim"]))


def is_same(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Whether two rims are of the same picture."""
    return max(abs(one - other) for one, other in zip(first, second, strict=True)) <= _OTHER * max(
        1.0, *(abs(value) for value in first)
    )
