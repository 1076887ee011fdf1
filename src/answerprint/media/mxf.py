"""The order of fields in an MXF file, which FFmpeg's muxer writes for codecs only that tell it themselves.

The picture descriptor holds it (SMPTE ST 377-1, annex F): FrameLayout, the heights of a field, and VideoLineMap, whose
two lines add up to an odd number where the top field is first. All have their place already; no byte moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from answerprint.errors import DeliveryError
from answerprint.frame import FieldOrder

_HEADER = 1 << 20  # the header metadata lies in the first MiB
_SET = bytes.fromhex("060e2b34025301010d010101010101")  # key of a local set, but for its kind and a last byte
_PICTURES = (0x27, 0x28, 0x29, 0x51)  # generic, CDCI, RGBA and MPEG picture descriptor
_LAYOUT, _LINES = 0x320C, 0x320D
_HEIGHTS = (0x3202, 0x3204, 0x3208)  # stored, sampled, displayed
_FIRST = {1080: (21, 584), 576: (23, 336), 486: (21, 284), 480: (20, 283)}  # top field first, by lines of a frame


def set_fields(path: Path, order: FieldOrder, height: int) -> None:
    """Marks the pictures as two fields of that order.

    Args:
        path: an MXF file, marked progressive.
        order: "tff" or "bff".
        height: lines of a frame.

    Raises:
        DeliveryError: the file is not laid out as FFmpeg does it.
    """
    with path.open("r+b") as file:
        head = bytearray(file.read(_HEADER))
        descriptors = [fields for fields in _descriptors(head) if _LAYOUT in fields and _LINES in fields]
        if not descriptors:
            raise DeliveryError(f"{path}: the order of fields cannot be written into this file")
        first, second = _FIRST.get(height, (1, height // 2 + 2 - height // 2 % 2))
        lines = (first, second if order == "tff" else second - 1)
        for fields in descriptors:
            head[fields[_LAYOUT][0]] = 1
            at, _ = fields[_LINES]
            head[at + 8 : at + 16] = b"".join(line.to_bytes(4, "big") for line in lines)
            for tag in _HEIGHTS:
                if tag in fields:
                    at, size = fields[tag]
                    value = int.from_bytes(head[at : at + size], "big")
                    head[at : at + size] = (value // 2).to_bytes(size, "big")
        file.seek(0)
        file.write(head)


def _descriptors(data: bytearray) -> Iterator[dict[int, tuple[int, int]]]:
    """Place and size of every property of each picture descriptor, by its local tag."""
    at = data.find(_SET[:13])
    while at >= 0:
        start = at + 16
        length, start = _length(data, start)
        if data[at + 14] in _PICTURES:
            yield dict(_properties(data, start, min(start + length, len(data))))
        at = data.find(_SET[:13], start)


def _properties(data: bytearray, at: int, stop: int) -> Iterator[tuple[int, tuple[int, int]]]:
    while at + 4 <= stop:
        tag, size = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        yield tag, (at + 4, size)
        at += 4 + size


def _length(data: bytearray, at: int) -> tuple[int, int]:
    """A BER length, and where it ends."""
    if data[at] < 0x80:
        return data[at], at + 1
    count = data[at] & 0x7F
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count
