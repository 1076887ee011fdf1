"""Color profiles of pictures (ICC.1:2022): read where three curves and a matrix say all, and made from color tags.

Profiles of tables, of CMYK and of Lab are left to their readers: they describe devices, not encodings.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color import spaces
from answerprint.errors import ColorError

# XYZ of the profile connection space (7.2.16), and Bradford's cone responses (Annex E).
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# Transfers that a profile may be known by; those of cameras that differ little from bt709 go under that name.
_TRANSFERS = ("iec61966-2-1", "bt709", "gamma22", "gamma28", "linear", "smpte240m")
# Profiles of one space differ by what rounding and chromatic adaptation their makers chose: Apple's, Adobe's, HP's
# and Google's of sRGB and Display P3 lie within half of these.
_SAME_COLORANT, _SAME_CURVE = 0.003, 0.006

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Profile:
    """A color profile.

    Attributes:
        name: its description.
        matrix: 3 x 3, linear RGB to XYZ under D50.
        curves: encoded values to light, one sampled curve over 0..1 for each of R, G, B.
    """

    name: str
    matrix: Array
    curves: tuple[Array, Array, Array]

    @property
    def primaries(self) -> str | None:
        """FFmpeg's name of its primaries, None where they have none."""
        for name in spaces.PRIMARIES:
            if float(np.abs(_colorants(name) - self.matrix).max()) < _SAME_COLORANT:
                return name
        return None

    @property
    def transfer(self) -> str | None:
        """FFmpeg's name of its transfer, None where it has none."""
        for name in _TRANSFERS:
            if all(_same_curve(curve, name) for curve in self.curves):
                return name
        return None

    def convert(self, pixels: Tensor, primaries: str, transfer: str) -> Tensor:
        """R'G'B' (3, H, W) of this profile as R'G'B' of other primaries and another transfer; nothing is clipped."""
        planes = pixels.to(torch.float64).numpy()
        light = np.stack([_decode(plane, curve) for plane, curve in zip(planes, self.curves, strict=True)])
        matrix = np.linalg.inv(_colorants(primaries)) @ self.matrix
        return spaces.encode(torch.from_numpy(np.einsum("ij,jhw->ihw", matrix, light)), transfer).to(torch.float32)


def parse(data: bytes) -> Profile:
    """The profile that stands in a picture.

    Raises:
        ColorError: it holds more than a matrix and curves, or is damaged; the message begins with its name.
    """
    name = "without a name"
    try:
        tags = _tags(data)
        name = f"'{_description(tags)}'"
        kind = data[16:20].decode("latin-1").strip()
        if kind == "GRAY" and "kTRC" in tags:
            curve = _curve(tags["kTRC"])
            return Profile(name, _colorants("bt709"), (curve, curve, curve))
        if kind != "RGB" or not {"rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC"} <= tags.keys():
            raise ColorError(f"{name} is a table or of {kind} values")
        matrix = np.stack([_xyz(tags[f"{channel}XYZ"]) for channel in "rgb"], axis=1)
        if abs(np.linalg.det(matrix)) < 1e-4 or np.abs(matrix).max() > 4:
            raise ColorError(f"{name} has colors that span no space")
        red, green, blue = (_curve(tags[f"{channel}TRC"]) for channel in "rgb")
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        if isinstance(error, ColorError):
            raise
        raise ColorError(f"{name} is damaged") from None
    return Profile(name, matrix, (red, green, blue))


@cache
def profile_of(primaries: str, transfer: str) -> Profile | None:
    """The profile that color tags stand for; None where no curve is known by that name, or it is not of 0..1."""
    if primaries not in spaces.PRIMARIES or transfer not in (*_TRANSFERS, "smpte170m", "bt2020-10", "bt2020-12"):
        return None
    signal = torch.linspace(0, 1, 1024, dtype=torch.float64)
    curve = spaces.decode(signal, transfer).numpy()
    return Profile(f"{primaries} {transfer}", _colorants(primaries), (curve, curve, curve))


def to_bytes(profile: Profile) -> bytes:
    """A profile as a file holds it: version 2, matrix and curves, for a display."""
    text = profile.name.encode("ascii", "replace") + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    curves = [
        b"curv\0\0\0\0" + struct.pack(">I", len(curve)) + np.round(curve * 65535).astype(">u2").tobytes()
        for curve in profile.curves
    ]
    entries = [(b"desc", description), (b"cprt", b"text\0\0\0\0CC0\0"), (b"wtpt", _pack_xyz(_D50))]
    entries += [(sign, _pack_xyz(profile.matrix[:, i])) for i, sign in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    entries += list(zip((b"rTRC", b"gTRC", b"bTRC"), curves, strict=True))
    offset, table, body = 128 + 4 + 12 * len(entries), b"", b""
    for sign, content in entries:
        table += sign + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = offset + len(body)
    header = struct.pack(">I4sI4s4s4s6H4s", size, bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ", *[0] * 6, b"acsp")
    header = header.ljust(68, b"\0") + _pack_xyz(_D50)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(entries)) + table + body


def _tags(data: bytes) -> Mapping[str, bytes]:
    """The contents of a profile by signature."""
    (count,) = struct.unpack_from(">I", data, 128)
    if data[36:40] != b"acsp" or count > 1000:
        raise ValueError
    entries = (struct.unpack_from(">4sII", data, 132 + 12 * i) for i in range(count))
    return {sign.decode("latin-1"): data[offset : offset + size] for sign, offset, size in entries}


def _description(tags: Mapping[str, bytes]) -> str:
    """The name, of `desc` (version 2) or the first text of `mluc` (version 4)."""
    content = tags.get("desc", b"")
    if content[:4] == b"mluc":
        size, offset = struct.unpack_from(">II", content, 20)
        text = content[offset : offset + size].decode("utf-16-be", "replace")
    else:
        size = struct.unpack_from(">I", content, 8)[0] if len(content) >= 12 else 0
        text = content[12 : 12 + size].decode("latin-1")
    return "".join(letter for letter in text if letter.isprintable())[:80].strip()


def _xyz(content: bytes) -> Array:
    return np.array(struct.unpack_from(">3i", content, 8)) / 65536


def _pack_xyz(values: Array) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _curve(content: bytes) -> Array:
    """A curve (10.6) or a parametric curve (10.18), sampled."""
    signal = np.linspace(0, 1, 4096)
    if content[:4] == b"para":
        kind = struct.unpack_from(">H", content, 8)[0]
        numbers = [number / 65536 for number in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", content, 12)]
        curve = _parametric(signal, kind, numbers)
    elif content[:4] == b"curv":
        (count,) = struct.unpack_from(">I", content, 8)
        if count == 0:
            curve = signal
        elif count == 1:
            curve = signal ** (struct.unpack_from(">H", content, 12)[0] / 256)
        else:
            curve = np.frombuffer(content, ">u2", count, 12) / 65535
    else:
        raise ValueError
    if not np.isfinite(curve).all():
        raise ValueError
    return np.asarray(curve, dtype=np.float64)


def _parametric(signal: Array, kind: int, numbers: list[float]) -> Array:
    """Table 68 of the standard: a power with an offset above a point, a line below it."""
    g, a, b, c, d, e, f = [*numbers, *[0.0] * (7 - len(numbers))]
    a = a if kind else 1.0
    if a == 0:
        raise ValueError
    if kind in (1, 2):
        # c is added to all; the line below the point is level.
        c, d, e, f = 0.0, -b / a, c, c
    power: Any = np.maximum(a * signal + b, 0) ** g + e
    return np.where(signal >= d, power, c * signal + f)


def _decode(plane: Any, curve: Array) -> Array:
    """Encoded values to light; beyond 0..1, where only floats go, the curve's ends go on as lines."""
    grid = np.linspace(0, 1, len(curve))
    light = np.interp(plane, grid, curve)
    step = grid[1]
    below = curve[0] + plane * (curve[1] - curve[0]) / step
    above = curve[-1] + (plane - 1) * (curve[-1] - curve[-2]) / step
    result: Array = np.where(plane < 0, below, np.where(plane > 1, above, light))
    return result


def _same_curve(curve: Array, transfer: str) -> bool:
    """Whether a curve is that of a transfer: encoded again, its light comes to the signal."""
    light = torch.from_numpy(_decode(np.linspace(0, 1, 65), curve))
    signal = spaces.encode(light, transfer).numpy()
    return float(np.abs(signal - np.linspace(0, 1, 65)).max()) < _SAME_CURVE


@cache
def _colorants(primaries: str) -> Array:
    """Linear RGB to XYZ under D50, adapted after Bradford."""
    matrix = spaces.rgb_to_xyz_matrix(primaries).numpy()
    gain = (_BRADFORD @ _D50) / (_BRADFORD @ matrix.sum(1))
    adapted: Array = np.linalg.inv(_BRADFORD) @ np.diag(gain) @ _BRADFORD @ matrix
    return adapted
