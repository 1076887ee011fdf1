"""The sample aspect ratio of a Matroska video track, which FFmpeg's muxer cannot be given through PyAV.

The muxer takes it from a field of the stream that PyAV does not set. So the track is written with a placeholder for a
name, and the bytes of that name are replaced by the display size (RFC 9559, DisplayWidth, DisplayHeight, DisplayUnit)
once the file is whole. No other byte moves.
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
    """Writes the display size of the video track in the place of its placeholder name.

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
        tracks = _replace_in_tracks(head[begin:end], _display(width, height, sar), path)
        file.seek(begin)
        file.write(tracks)


def _find_tracks(head: bytes, path: Path) -> tuple[int, int]:
    """Positions in `head` where the content of Tracks begins and ends."""
    at = 0
    while at < len(head) - 12:
        kind, size, content = _header(head, at)
        if kind == _TRACKS and content + size <= len(head):
            return content, content + size
        at = content if kind == _SEGMENT else content + size
    raise DeliveryError(f"{path}: the sample aspect ratio cannot be written into this file")


def _replace_in_tracks(tracks: bytes, display: bytes, path: Path) -> bytes:
    """The content of Tracks, of the same length, with the display size in the video track."""
    elements = [
        (kind, _replace_in_track(body, display) if kind == _TRACK else body) for kind, body in _elements(tracks)
    ]
    has_crc = elements[0][0] == _CRC
    rest = b"".join(_element(*element) for element in elements[has_crc:])
    if has_crc:
        rest = _element(_CRC, zlib.crc32(rest).to_bytes(4, "little")) + rest
    room = len(tracks) - len(rest)
    if room < 0 or room == 1:
        raise DeliveryError(f"{path}: the sample aspect ratio cannot be written into this file")
    if not room:
        return rest
    # What is left of the name becomes a Void; it counts for the checksum too.
    rest = rest[6 * has_crc :] + _void(room)
    return (_element(_CRC, zlib.crc32(rest).to_bytes(4, "little")) if has_crc else b"") + rest


def _replace_in_track(track: bytes, display: bytes) -> bytes:
    """The content of a track entry, its placeholder name replaced by the display size."""
    elements = _elements(track)
    if (_NAME, PLACEHOLDER.encode()) not in elements:
        return track
    result = b""
    for kind, body in elements:
        if kind == _VIDEO:
            fields = b"".join(_element(*element) for element in _elements(body) if element[0] not in _DISPLAY)
            result += _element(kind, fields + display)
        elif kind != _NAME:
            result += _element(kind, body)
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
    """An element of `room` bytes (2 to 128) that says nothing."""
    return _element(_VOID, bytes(room - 2))
