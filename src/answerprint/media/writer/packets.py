"""The packets of chunks with their times in the output that they are joined to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from answerprint.errors import DeliveryError
from answerprint.media.container import open_path
from answerprint.media.presets import Delivery


class _Timed(NamedTuple):
    """A packet with its times in the output, in ticks."""

    packet: Any
    pts: int
    dts: int
    duration: int


def video_packets(
    chunks: Sequence[Path], video: Any, delivery: Delivery, base: Fraction, start: Fraction, stop: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """The packets of all chunks for the stream `video`, each with the time it is decoded at, in seconds.

    Args:
        chunks: in the order of their times.
        video: the stream of the output.
        delivery: how the chunks were made.
        base: seconds that times in the output are whole multiples of.
        start: time in the source that becomes the start of the output.
        stop: time in the source where the output ends.
    """
    end = round((stop - start) / base)
    order = _in_order if delivery.format.intra else _in_coding_order
    for packet, pts, dts, duration in order(chunks, base, start, end):
        packet.time_base, packet.pts, packet.dts, packet.duration = base, pts, dts, duration
        packet.stream = video
        yield dts * base, packet


def open_chunk(chunk: Path) -> Any:
    """A chunk as an open container.

    Raises:
        DeliveryError: it cannot be read.
    """
    try:
        return open_path(chunk)
    except (OSError, av.error.FFmpegError) as error:
        raise DeliveryError(f"{chunk}: this chunk cannot be read; delete it and run the job again") from error


def _in_order(chunks: Sequence[Path], base: Fraction, start: Fraction, end: int) -> Iterator[_Timed]:
    """Packets of a codec whose frames stand alone."""
    last: tuple[Any, int] | None = None
    for chunk in chunks:
        for pts, packet in _demux(chunk, base, start, intra=True):
            if last is not None:
                pts = max(pts, last[1] + 1)  # a coarse time base must not put two frames on one tick
                yield _Timed(last[0], last[1], last[1], pts - last[1])
            last = packet, pts
    if last is not None:
        yield _Timed(last[0], last[1], last[1], max(end - last[1], 1))


def _in_coding_order(chunks: Sequence[Path], base: Fraction, start: Fraction, end: int) -> Iterator[_Timed]:
    """Packets of a codec that sends frames before those they are shown after.

    The n-th packet is decoded at the time that the frame `delay` places before it in the order of showing has: that
    never is later than its own showing, and rises for any spacing of the frames.
    """
    sequence = [pts for chunk in chunks for pts, _ in _demux(chunk, base, start, intra=False)]
    order = sorted(sequence)
    place = {pts: number for number, pts in enumerate(order)}
    delay = max(number - place[pts] for number, pts in enumerate(sequence))
    step = order[1] - order[0] if len(order) > 1 else 1
    number = 0
    for chunk in chunks:
        for pts, packet in _demux(chunk, base, start, intra=False):
            dts = order[number - delay] if number >= delay else order[0] - (delay - number) * step
            after = place[pts] + 1
            yield _Timed(packet, pts, dts, max((order[after] if after < len(order) else end) - pts, 1))
            number += 1


def _demux(chunk: Path, base: Fraction, start: Fraction, intra: bool) -> Iterator[tuple[int, Any]]:
    """The packets of a chunk as they are stored, each with its time in the output in ticks of `base`."""
    with open_chunk(chunk) as container:
        stream = container.streams.video[0]
        tick = stream.time_base or base
        first = Fraction(container.metadata["comment"]) - start
        packets: Any = (packet for packet in container.demux(stream) if packet.size and packet.pts is not None)
        zero = None
        if not intra:
            packets = list(packets)
            zero = min(packet.pts for packet in packets)
        for packet in packets:
            zero = packet.pts if zero is None else zero
            yield round(((packet.pts - zero) * tick + first) / base), packet
