"""The one thing that FFmpeg's muxer cannot be told through PyAV: the sample aspect ratio of a Matroska video track.

The muxer takes it from a field of the stream that PyAV does not set. So the track is written with a placeholder for a
name, and the bytes of that name are given to the display size (RFC 9559, DisplayWidth, DisplayHeight, DisplayUnit) once
the file is whole. No other byte moves.
"""

from __future__ import annotations

import math
import zlib
from fractions import Fraction
from pathlib import Path

from answerprint.errors import DeliveryError

PLACEHOLDER = "-" * 48  # the name of the track until then
_HEADER = 1 << 20  # the track entries lie in the first MiB
_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_NAME, _CRC, _VOID = 0x536E, 0xBF, 0xEC
_DISPLAY = {0x54B0, 0x54BA, 0x54B2}

Element = tuple[int, bytes]


def set_aspect(path: Path, width: int, height: int, sar: Fraction) -> None:
    """Gives the video track of a file its display size, in the place of its placeholder name.

    Args:
        path: a Matroska file whose video track has the title `PLACEHOLDER`.
        width: stored columns.
        height: stored lines.
        sar: sample aspect ratio.

    Raises:
        DeliveryError: the file is not laid out as FFmpeg does it.
    """
    with path.open("r+b") as file:
        head = file.read(_HEADER)
        begin, end = _find_tracks(head, path)
        tracks = _changed_tracks(head[begin:end], _display(width, height, sar), path)
        file.seek(begin)
        file.write(tracks)


def _find_tracks(head: bytes, path: Path) -> tuple[int, int]:
    """Where the content of Tracks begins and ends."""
    at = 0
    while at < len(head) - 12:
        kind, size, content = _header(head, at)
        if kind == _TRACKS and content + size <= len(head):
            return content, content + size
        at = content if kind == _SEGMENT else content + size
    raise DeliveryError(f"{path}: the sample aspect ratio cannot be written into this file")


def _changed_tracks(tracks: bytes, display: bytes, path: Path) -> bytes:
    """The content of Tracks, of the same length, with the display size in the video track."""
    elements = [(kind, _changed_track(body, display) if kind == _TRACK else body) for kind, body in _elements(tracks)]
    checked = elements[0][0] == _CRC
    rest = b"".join(_written(*element) for element in elements[checked:])
    if checked:
        rest = _written(_CRC, zlib.crc32(rest).to_bytes(4, "little")) + rest
    room = len(tracks) - len(rest)
    if room < 0 or room == 1:
        raise DeliveryError(f"{path}: the sample aspect ratio cannot be written into this file")
    if not room:
        return rest
    # What is left of the name becomes a Void; it counts for the checksum too.
    rest = rest[6 * checked :] + _void(room)
    return (_written(_CRC, zlib.crc32(rest).to_bytes(4, "little")) if checked else b"") + rest


def _changed_track(track: bytes, display: bytes) -> bytes:
    elements = _elements(track)
    if (_NAME, PLACEHOLDER.encode()) not in elements:
        return track
    made = b""
    for kind, body in elements:
        if kind == _VIDEO:
            kept = b"".join(_written(*element) for element in _elements(body) if element[0] not in _DISPLAY)
            made += _written(kind, kept + display)
        elif kind != _NAME:
            made += _written(kind, body)
    return made


def _display(width: int, height: int, sar: Fraction) -> bytes:
    """In pixels where they come out whole, else as an aspect ratio."""
    shown = width * sar
    if shown.denominator == 1:
        across, down, unit = int(shown), height, 0
    else:
        across, down, unit = width * sar.numerator, height * sar.denominator, 3
        shared = math.gcd(across, down)
        across, down = across // shared, down // shared
    sizes = _written(0x54B0, across.to_bytes(4, "big")) + _written(0x54BA, down.to_bytes(4, "big"))
    return sizes + _written(0x54B2, unit.to_bytes(1, "big"))


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Id and size of an element, and where its content begins (EBML, RFC 8794)."""
    length = 9 - data[at].bit_length()
    kind = int.from_bytes(data[at : at + length], "big")
    at += length
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") & ((1 << (7 * length)) - 1)
    return kind, size, at + length


def _elements(data: bytes) -> list[Element]:
    found, at = [], 0
    while at < len(data):
        kind, size, at = _header(data, at)
        found.append((kind, data[at : at + size]))
        at += size
    return found


def _written(kind: int, body: bytes) -> bytes:
    length = 1
    while len(body) >= (1 << (7 * length)) - 1:
        length += 1
    size = (len(body) | 1 << (7 * length)).to_bytes(length, "big")
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + size + body


def _void(room: int) -> bytes:
    """An element of `room` bytes (2 to 128) that says nothing."""
    return _written(_VOID, bytes(room - 2))
