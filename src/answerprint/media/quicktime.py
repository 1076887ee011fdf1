"""Boxes of a QuickTime or MP4 file that FFmpeg's demuxer keeps to itself, or its muxer cannot be given through PyAV.

They lie in the sample description of a track (QuickTime File Format; ISO/IEC 14496-12, 8.5.2): clean aperture (`clap`),
mastering display (`mdcv`), light level (`clli`), fields (`fiel`). The muxer here writes its table (`moov`) last, so
that boxes can be added to it without moving a byte of the footage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from answerprint.errors import DeliveryError

_LARGEST = 1 << 28  # bytes of a table that is read: days of footage
_INTO = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_VISUAL, _SOUND = 86, 36  # bytes of a sample entry before its boxes
_LISTS = {b"stsd": 16, b"trak": 8, b"mdia": 8, b"minf": 8, b"stbl": 8, b"moov": 8}  # bytes before the first child


@dataclass(frozen=True)
class Entry:
    """The first sample description of a track.

    Attributes:
        track: the track's id.
        handler: kind of track: "vide", "soun", "meta", "tmcd", ...
        kind: code of the description: "apch", "gpmd", ...
        boxes: content of each box in it, by name; of a picture only.
    """

    track: int
    handler: str
    kind: str
    boxes: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Box:
    """A box within bytes: where it begins and ends, and its name."""

    name: bytes
    start: int
    stop: int


def entries(path: Path | str) -> list[Entry]:
    """The first sample description of every track; nothing where the file has no table that can be read."""
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        at = 0
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            length = length or size - at
            if head[4:8] == b"moov" and 8 <= length <= min(_LARGEST, size - at):
                file.seek(at)
                return list(_tracks(file.read(length)))
            if length < 8:
                break
            at += length
    return []


def add_boxes(path: Path, boxes: Mapping[str, bytes]) -> None:
    """Adds boxes to the sample description of the picture, in the place of those of the same name.

    Raises:
        DeliveryError: the file is not laid out as FFmpeg does it.
    """
    if not boxes:
        return
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        at, length = 0, 0
        while at + 16 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:16], "big") if length == 1 else length
            if head[4:8] == b"moov" or length < 8:
                break
            at += length
        file.seek(at)
        table = file.read()
        if table[4:8] != b"moov" or len(table) != length:
            raise DeliveryError(f"{path}: boxes {', '.join(boxes)} cannot be written into this file")
        file.seek(at)
        file.write(_extended(table, boxes, path))


def _tracks(table: bytes) -> Iterator[Entry]:
    for track in _children(table, 8, len(table)):
        if track.name != b"trak":
            continue
        head = _find(table, track, (b"tkhd",))
        media = _find(table, track, (b"mdia", b"hdlr"))
        descriptions = _find(table, track, (b"mdia", b"minf", b"stbl", b"stsd"))
        if head is None or media is None or descriptions is None:
            continue
        version = table[head.start + 8] if head.start + 8 < head.stop else 0
        number = head.start + (28 if version == 1 else 20)
        handler = table[media.start + 16 : media.start + 20].decode("latin-1")
        first = next(_children(table, descriptions.start + 16, descriptions.stop), None)
        if first is None:
            continue
        boxes: dict[str, bytes] = {}
        if handler == "vide":
            for box in _children(table, first.start + _VISUAL, first.stop):
                boxes.setdefault(box.name.decode("latin-1"), table[box.start + 8 : box.stop])
        track_id = int.from_bytes(table[number : number + 4], "big")
        yield Entry(track_id, handler, first.name.decode("latin-1"), boxes)


def _children(data: bytes, start: int, stop: int) -> Iterator[_Box]:
    """The boxes between two positions; ends at one that does not fit."""
    while start + 8 <= stop:
        length = int.from_bytes(data[start : start + 4], "big")
        if length < 8 or start + length > stop:
            return
        yield _Box(data[start + 4 : start + 8], start, start + length)
        start += length


def _find(data: bytes, box: _Box, names: tuple[bytes, ...]) -> _Box | None:
    """The box of the last name, each within the one before."""
    for name in names:
        inner = (child for child in _children(data, box.start + 8, box.stop) if child.name == name)
        found = next(inner, None)
        if found is None:
            return None
        box = found
    return box


def _extended(table: bytes, boxes: Mapping[str, bytes], path: Path) -> bytes:
    """The table with the boxes in the picture's sample description, every size on the way there corrected."""
    for track in _children(table, 8, len(table)):
        media = _find(table, track, (b"mdia", b"hdlr")) if track.name == b"trak" else None
        if media is None or table[media.start + 16 : media.start + 20] != b"vide":
            continue
        way = [_Box(b"moov", 0, len(table)), track]
        for name in (b"mdia", b"minf", b"stbl", b"stsd"):
            inner = _find(table, way[-1], (name,))
            if inner is None:
                break
            way.append(inner)
        entry = next(_children(table, way[-1].start + 16, way[-1].stop), None)
        if len(way) < 6 or entry is None:
            continue
        old = list(_children(table, entry.start + _VISUAL, entry.stop))
        rest = table[old[-1].stop : entry.stop] if old else b""  # Avid's padding
        keep = [table[box.start : box.stop] for box in old if box.name.decode("latin-1") not in boxes]
        new = [(len(body) + 8).to_bytes(4, "big") + name.encode("latin-1") + body for name, body in boxes.items()]
        body = table[entry.start : entry.start + _VISUAL] + b"".join(keep + new) + rest
        result = bytearray(table[: entry.start] + body + table[entry.stop :])
        growth = len(result) - len(table)
        for box in (*way, entry):
            length = box.stop - box.start + growth
            result[box.start : box.start + 4] = length.to_bytes(4, "big")
        return bytes(result)
    raise DeliveryError(f"{path}: boxes {', '.join(boxes)} cannot be written into this file")
