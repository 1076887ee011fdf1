"""Aspect ratio, display and aperture of a Matroska video track, which FFmpeg's muxer cannot be given through PyAV.

The muxer takes them from fields of the stream that PyAV does not set. So the track is written with a placeholder for a
name, and the bytes of that name are replaced by what belongs there (RFC 9559: DisplayWidth, DisplayHeight, DisplayUnit;
PixelCrop...; MasteringMetadata, MaxCLL, MaxFALL) once the file is whole. No other byte moves.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from answerprint.errors import DeliveryError
from answerprint.media import sidedata

_ASPECT, _BOXES = 48, 224  # bytes of the placeholder that the aspect ratio needs, and what boxes hold
_HEADER = 1 << 20  # the track entries lie in the first MiB
_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_NAME, _CRC, _VOID = 0x536E, 0xBF, 0xEC
_DISPLAY = {0x54B0, 0x54BA, 0x54B2}
_COLOUR = 0x55B0
_SIDES = (0x54CC, 0x54BB, 0x54DD, 0x54AA)  # left, top, right, bottom of PixelCrop

Element = tuple[int, bytes]


def placeholder(sar: Fraction, boxes: Mapping[str, str]) -> str:
    """The name of the track until `describe`; "" where there is nothing to describe."""
    return "-" * (_ASPECT * (sar != 1) + _BOXES * bool(boxes))


def describe(path: Path, size: tuple[int, int], sar: Fraction, boxes: Mapping[str, str]) -> None:
    """Writes aspect ratio, display and aperture of the video track in the place of its placeholder name.

    Args:
        path: a Matroska file whose video track has the title `placeholder` gives.
        size: stored columns and lines.
        sar: sample aspect ratio.
        boxes: QuickTime boxes as hexadecimal digits, by name.

    Raises:
        DeliveryError: the file is not laid out as FFmpeg does it.
    """
    display = _display(*size, sar) if sar != 1 else b""
    picture = _Picture(placeholder(sar, boxes), display + _crop(size, boxes), _light(boxes))
    with path.open("r+b") as file:
        head = file.read(_HEADER)
        begin, end = _find_tracks(head, path)
        tracks = _replace_in_tracks(head[begin:end], picture, path)
        file.seek(begin)
        file.write(tracks)


def crop(path: Path | str) -> tuple[int, int, int, int]:
    """Columns and lines left, above, right and below what is shown of the first video track; zeros where all is."""
    sides = dict.fromkeys(_SIDES, 0)
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEADER)
        begin, end = _find_tracks(head, Path(path))
        tracks = [_elements(body) for kind, body in _elements(head[begin:end]) if kind == _TRACK]
        videos = [body for track in tracks for kind, body in track if kind == _VIDEO]
        sides |= {kind: int.from_bytes(body, "big") for kind, body in _elements(videos[0]) if kind in sides}
    except (IndexError, DeliveryError):
        pass  # no table where it is looked for: the decoder tells what is broken
    left, above, right, below = sides.values()
    return left, above, right, below


class _Picture(NamedTuple):
    """The placeholder, and the elements that take its place: of the video, and of its color."""

    placeholder: str
    video: bytes
    color: bytes


def _find_tracks(head: bytes, path: Path) -> tuple[int, int]:
    """Positions in `head` where the content of Tracks begins and ends."""
    at = 0
    while at < len(head) - 12:
        kind, size, content = _header(head, at)
        if kind == _TRACKS and content + size <= len(head):
            return content, content + size
        at = content if kind == _SEGMENT else content + size
    raise DeliveryError(f"{path}: aspect ratio and display cannot be written into this file")


def _replace_in_tracks(tracks: bytes, picture: _Picture, path: Path) -> bytes:
    """The content of Tracks, of the same length, with the picture described in its track."""
    elements = [
        (kind, _replace_in_track(body, picture) if kind == _TRACK else body) for kind, body in _elements(tracks)
    ]
    has_crc = elements[0][0] == _CRC
    rest = b"".join(_element(*element) for element in elements[has_crc:])
    if has_crc:
        rest = _element(_CRC, zlib.crc32(rest).to_bytes(4, "little")) + rest
    room = len(tracks) - len(rest)
    if room < 0 or room == 1:
        raise DeliveryError(f"{path}: aspect ratio and display cannot be written into this file")
    if not room:
        return rest
    # What is left of the name becomes a Void; it counts for the checksum too.
    rest = rest[6 * has_crc :] + _void(room)
    return (_element(_CRC, zlib.crc32(rest).to_bytes(4, "little")) if has_crc else b"") + rest


def _replace_in_track(track: bytes, picture: _Picture) -> bytes:
    """The content of a track entry, its placeholder name replaced by what describes the picture."""
    elements = _elements(track)
    if (_NAME, picture.placeholder.encode()) not in elements:
        return track
    result = b""
    for kind, body in elements:
        if kind == _VIDEO:
            result += _element(kind, _replace_in_video(body, picture))
        elif kind != _NAME:
            result += _element(kind, body)
    return result


def _replace_in_video(video: bytes, picture: _Picture) -> bytes:
    dropped = _DISPLAY if any(kind in _DISPLAY for kind, _ in _elements(picture.video)) else set()
    elements = [(kind, body) for kind, body in _elements(video) if kind not in dropped]
    if picture.color and not any(kind == _COLOUR for kind, _ in elements):
        elements.append((_COLOUR, b""))
    fields = (_element(kind, body + picture.color if kind == _COLOUR else body) for kind, body in elements)
    return b"".join(fields) + picture.video


def _crop(size: tuple[int, int], boxes: Mapping[str, str]) -> bytes:
    """The lines and columns outside a clean aperture, where they are whole numbers."""
    sides = sidedata.crop(bytes.fromhex(boxes["clap"]), size) if "clap" in boxes else None
    if sides is None:
        return b""
    return b"".join(_element(kind, side.to_bytes(2, "big")) for kind, side in zip(_SIDES, sides, strict=True))


def _light(boxes: Mapping[str, str]) -> bytes:
    """Mastering display and light level as elements of a color."""
    result = b""
    if "mdcv" in boxes:
        (green, blue, red, white), most, least = sidedata.mastering(bytes.fromhex(boxes["mdcv"]))
        corners = [value / 50000 for corner in (red, green, blue, white) for value in corner]
        values = [*corners, most / 10000, least / 10000]
        result += _element(0x55D0, b"".join(_element(0x55D1 + i, struct.pack(">d", v)) for i, v in enumerate(values)))
    if "clli" in boxes:
        brightest, average = sidedata.light(bytes.fromhex(boxes["clli"]))
        result += _element(0x55BC, brightest.to_bytes(2, "big")) + _element(0x55BD, average.to_bytes(2, "big"))
    return result


def _display(width: int, height: int, sar: Fraction) -> bytes:
    """The display size in pixels where they come out whole, else as an aspect ratio."""
    display_width = width * sar
    if display_width.denominator == 1:
        across, down, unit = int(display_width), height, 0
    else:
        across, down, unit = width * sar.numerator, height * sar.denominator, 3
        divisor = math.gcd(across, down)
        across, down = across // divisor, down // divisor
    sizes = _element(0x54B0, across.to_bytes(4, "big")) + _element(0x54BA, down.to_bytes(4, "big"))
    return sizes + _element(0x54B2, unit.to_bytes(1, "big"))


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Id and size of an element, and where its content begins (EBML, RFC 8794)."""
    length = 9 - data[at].bit_length()
    kind = int.from_bytes(data[at : at + length], "big")
    at += length
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") & ((1 << (7 * length)) - 1)
    return kind, size, at + length


def _elements(data: bytes) -> list[Element]:
    """(id, content) of the elements in the content of another."""
    elements, at = [], 0
    while at < len(data):
        kind, size, at = _header(data, at)
        elements.append((kind, data[at : at + size]))
        at += size
    return elements


def _element(kind: int, body: bytes) -> bytes:
    """An element of that id and content."""
    length = 1
    while len(body) >= (1 << (7 * length)) - 1:
        length += 1
    size = (len(body) | 1 << (7 * length)).to_bytes(length, "big")
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + size + body


def _void(room: int) -> bytes:
    """Elements of `room` bytes (2 or more) that say nothing."""
    if room > 128:
        return _void(100) + _void(room - 100)
    return _element(_VOID, bytes(room - 2))
