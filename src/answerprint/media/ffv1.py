"""Checksums of FFV1 (RFC 9043, 4.9): the decoder only logs a slice that does not match, and shows what it has."""

from __future__ import annotations

import itertools
import zlib

from av.container import InputContainer
from av.video.stream import VideoStream

from answerprint.media.index import whole_packets

_FOOTER = 8  # bytes at the end of a slice: 3 of its size, 1 of status, 4 of checksum
_LOOK = 4  # packets
_MIRRORED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
# The checksum of a slice with its footer ends where it began: at 0, in version 4 at another value.
_STARTS = (0, 0x79408C7A)


def is_intact(packet: bytes) -> bool:
    """Whether the checksums of all slices of a packet match; False also where its slices have none."""
    slices = _slices(packet)
    return bool(slices) and any(all(_matches(part, start) for part in slices) for start in _STARTS)


def has_checksums(container: InputContainer, stream: VideoStream) -> bool:
    """Whether slices of a stream have checksums, by its first packets; it is left a few packets further.

    A packet that is damaged has none that match, so one is not enough to tell.
    """
    packets = (packet for packet in whole_packets(container, stream) if packet.size)
    return any(is_intact(bytes(packet)) for packet in itertools.islice(packets, _LOOK))


def _slices(packet: bytes) -> list[bytes]:
    """The slices with their footers, from the last; none where their sizes do not add up."""
    slices, end = [], len(packet)
    while end > 0:
        if end < _FOOTER:
            return []
        size = int.from_bytes(packet[end - _FOOTER : end - _FOOTER + 3], "big") + _FOOTER
        if size > end:
            return []
        slices.append(packet[end - size : end])
        end -= size
    return slices


def _matches(part: bytes, start: int) -> bool:
    # FFV1 takes the bits of a byte from the highest down, zlib from the lowest up and inverts both ends.
    return zlib.crc32(part.translate(_MIRRORED), _mirrored(start) ^ 0xFFFFFFFF) ^ 0xFFFFFFFF == _mirrored(start)


def _mirrored(value: int) -> int:
    """A number of 32 bits from the other end."""
    return int(f"{value:032b}"[::-1], 2)
