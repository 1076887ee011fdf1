"""Closed captions that ride in the pictures of a stream (CEA-608 and 708 by ATSC A/53 part 4), from packet to packet.

They are read from the packets of H.264, H.265 and MPEG-2 without decoding a picture, and put into those of H.264 and
H.265 as a message of their own before the picture (ITU-T H.264 annex D, H.265 annex D: registered user data).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from answerprint.media import sidedata
from answerprint.media.container import open_container, video_stream
from answerprint.media.index import whole_packets
from answerprint.media.presets import Delivery

if TYPE_CHECKING:
    from answerprint.media.reader import Clip

# How the message begins: country and provider (but in MPEG-2, where it is user data of the picture), "GA94", kind 3.
_BEGINS = {"h264": b"\xb5\x00\x31GA94\x03", "hevc": b"\xb5\x00\x31GA94\x03", "mpeg2video": b"\x00\x00\x01\xb2GA94\x03"}
_ENDS = 2 + 3 * 31 + 32  # bytes that hold a message for certain, escapes included
_MOST = 31  # triplets of a message
_START = re.compile(rb"\x00\x00\x01")
_INTO = ("libx264", "libx265")


@dataclass(frozen=True)
class Captions:
    """Caption data of successive moments: seconds of the output, rising, and triplets of bytes for each."""

    times: Sequence[Fraction]
    data: Sequence[bytes]

    def between(self, start: Fraction, stop: Fraction) -> bytes:
        """The data of the moments [start, stop)."""
        return b"".join(self.data[bisect_left(self.times, start) : bisect_left(self.times, stop)])


def read(source: Clip | None, delivery: Delivery, start: Fraction, stop: Fraction) -> Captions | None:
    """The captions of a source that an output takes; None where there are none, or it takes none.

    Args:
        source: the footage.
        delivery: how the output is encoded.
        start: seconds of the source where the output begins.
        stop: seconds of the source where it ends.
    """
    if source is None or delivery.format.codec not in _INTO or source.info.codec not in _BEGINS:
        return None
    if not any(item.kind == sidedata.CAPTIONS for item in source.info.side_data):
        return None
    moments: list[tuple[Fraction, bytes]] = []
    zero = source.info.start + start
    with open_container(source.info.path) as container:
        stream = video_stream(container, source.info.path)
        before = max(zero - 10, Fraction(0))
        if before > 0:
            container.seek(int(before * av.time_base), backward=True)
        for packet in whole_packets(container, stream):
            if not packet.size or packet.pts is None:
                continue
            time = packet.pts * packet.time_base - zero
            if time > stop - start + 10:
                break
            data = _extract(bytes(packet), source.info.codec)
            if data and -Fraction(1, 2) / source.info.rate <= time < stop - start:
                moments.append((max(time, Fraction(0)), data))
    moments.sort(key=lambda moment: moment[0])
    return Captions([time for time, _ in moments], [data for _, data in moments])


def insert(
    packets: Iterator[tuple[Fraction, Any]], captions: Captions | None, codec: str
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of pictures with the captions of their time in them.

    Args:
        packets: (time of decoding, packet).
        captions: None changes nothing.
        codec: FFmpeg's name of the encoder.
    """
    for time, packet in packets:
        if captions is None:
            yield time, packet
            continue
        base = packet.time_base
        begin, length = packet.pts * base, packet.duration * base
        # A picture takes what lies nearest to it; the lengths of all cover the output without a gap.
        early = -Fraction(1) if packet.pts <= 0 else begin - length / 2
        data = captions.between(early, begin + length / 2)
        yield time, _with_message(packet, data, codec) if data else packet


def _extract(data: bytes, codec: str) -> bytes:
    """The triplets of all messages in a packet."""
    result, begins = b"", _BEGINS[codec]
    at = data.find(begins)
    while at >= 0:
        at += len(begins)
        body = data[at : at + _ENDS]
        if codec != "mpeg2video":
            body = body.replace(b"\x00\x00\x03", b"\x00\x00")
        if len(body) >= 2 and body[0] & 0x40:
            triplets = body[2 : 2 + 3 * (body[0] & 0x1F)]
            result += triplets[: len(triplets) // 3 * 3]
        at = data.find(begins, at)
    return result


def _with_message(packet: Any, data: bytes, codec: str) -> Any:
    """A copy of the packet with the message before its picture."""
    raw = bytes(packet)
    at = _picture_start(raw, codec)
    messages = b"".join(_message(data[i : i + 3 * _MOST], codec) for i in range(0, len(data), 3 * _MOST))
    copy = av.Packet(raw[:at] + messages + raw[at:])
    for name in ("pts", "dts", "duration", "time_base", "stream", "is_keyframe"):
        setattr(copy, name, getattr(packet, name))
    return copy


def _picture_start(raw: bytes, codec: str) -> int:
    """Where the start code of the first slice begins (Annex B)."""
    for start in _START.finditer(raw):
        if start.end() < len(raw):
            kind = raw[start.end()] & 0x1F if codec == "libx264" else raw[start.end()] >> 1 & 0x3F
            if kind in (1, 5) if codec == "libx264" else kind < 32:
                return start.start() - (start.start() > 0 and raw[start.start() - 1] == 0)
    return len(raw)


def _message(triplets: bytes, codec: str) -> bytes:
    """A unit of supplemental enhancement information that holds the triplets."""
    content = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(triplets) // 3, 0xFF]) + triplets + b"\xff"
    head = b"\x06" if codec == "libx264" else b"\x4e\x01"
    unit = bytes([4, len(content)]) + content + b"\x80"
    escaped = re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", unit)
    return b"\x00\x00\x00\x01" + head + escaped
