"""Decoding of a file from any frame on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from answerprint.media.ffv1 import is_intact
from answerprint.media.index import Index, whole_packets


class FrameDecoder:
    """Decodes from a place before a frame that gives that frame whole, and tells frames apart by their times.

    Attributes:
        error: the last packet that could not be decoded, in FFmpeg's words; "" where all could.
        damaged: numbers of the frames whose checksum does not match, and of those that build on them.

    Args:
        index: where the frames are.
        container: opened, nothing read yet.
        stream: the picture.
        start: number of the first frame that is wanted.
        checksums: whether its packets have checksums as FFV1 has them.
    """

    def __init__(
        self, index: Index, container: InputContainer, stream: VideoStream, start: int, checksums: bool = False
    ) -> None:
        self.error = ""
        self.damaged: set[int | None] = set()
        self._checksums = checksums
        self._broken = False
        self._index = index
        self._container = container
        self._stream = stream
        self._key = index.key_before(start)

    def frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """Decoded frames of the clip with their numbers, from the start frame or earlier."""
        if self._key is not None:
            frames = self._seek(self._key)
            if frames is not None:
                yield from frames
                return
            # Back to the first packet: the smallest place that seeking knows.
            self._container.seek(min(place for place, _ in self._index.keys), stream=self._stream)
        yield from self._decode(whole_packets(self._container, self._stream))

    def _seek(self, key: int) -> Iterator[tuple[int, VideoFrame]] | None:
        """Frames from a keyframe on, None where this cannot be had whole.

        Some containers land elsewhere than asked: the first packet tells. Some streams mark pictures as keys from which
        decoding only recovers slowly (intra refresh): there the first frame shown is not the key.
        """
        place, key_pts = self._index.keys[key]
        self._container.seek(place, stream=self._stream)
        packets = whole_packets(self._container, self._stream)
        first = next(packets, None)
        if first is None or first.pts is None or not first.is_keyframe or first.pts > key_pts:
            return None
        landing = self._index.number(first.pts)
        frames = self._decode(itertools.chain((first,), packets))
        for number, frame in frames:
            if landing is not None and number > landing:
                return None
            if number == landing:
                # A key that the decoder does not trust, since no recovery point is told there: all after it would be
                # called damaged too.
                return None if frame.is_corrupt else itertools.chain(((number, frame),), frames)
        return None

    def _decode(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[tuple[int, VideoFrame]]:
        count = packet_count = 0
        for packet in packets:
            if self._checksums and packet.size:
                self._check(packet, packet_count if self._index.ordinal else self._index.number(packet.pts))
                packet_count += 1
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                # Reported with the number of the frame that then does not come.
                self.error = str(error.strerror or error)
                continue
            for frame in frames:
                number = count if self._index.ordinal else self._index.number(frame.pts)
                count += 1
                if number is not None:
                    yield number, frame

    def _check(self, packet: Packet[VideoStream], number: int | None) -> None:
        """Notes a frame whose checksum does not match; what follows builds on it, up to the next keyframe."""
        intact = is_intact(bytes(packet))
        self._broken = not intact or (self._broken and not packet.is_keyframe)
        if self._broken:
            self.damaged.add(number)
