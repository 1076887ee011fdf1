"""Place and time of every frame of a video stream, read without decoding wherever that can be trusted."""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import overload

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from answerprint.media.container import open_container, video_stream

# One packet is one picture in these; others have packets that show nothing (VP8's hidden frames, DivX's packed ones).
_INTRA = frozenset(
    [
        "prores",
        "dnxhd",
        "ffv1",
        "dvvideo",
        "v210",
        "v308",
        "v408",
        "v410",
        "r210",
        "rawvideo",
        "mjpeg",
        "jpeg2000",
        "cfhd",
        "huffyuv",
        "ffvhuff",
        "utvideo",
        "qtrle",
        "png",
        "tiff",
        "magicyuv",
        "hap",
        "prores_raw",
    ]
)
_ONE_TO_ONE = _INTRA | {"h264", "hevc", "av1", "vp9", "vvc", "mpeg1video", "mpeg2video"}
_TRUSTED_PTS = frozenset(
    ("mov", "matroska", "mxf", "mpegts", "mpeg", "avi", "mpegvideo", "dv", "flv", "obu", "ivf", "nut")
)
_SEEKABLE = frozenset(("mov", "matroska", "mxf", "mpegts", "mpeg", "avi", "flv", "nut"))


class Times(Sequence[Fraction]):
    """Presentation time of every frame in seconds from the first, exact; kept as whole ticks."""

    def __init__(self, ticks: array[int], tick: Fraction, zero: int | None = None) -> None:
        """Args:
        ticks: one per frame, rising.
        tick: seconds.
        zero: the tick that times count from; the first of `ticks` where not given.
        """
        self._ticks = ticks
        self._tick = tick
        self._zero = zero if zero is not None else ticks[0] if ticks else 0

    def __len__(self) -> int:
        return len(self._ticks)

    @overload
    def __getitem__(self, index: int) -> Fraction: ...
    @overload
    def __getitem__(self, index: slice) -> Times: ...
    def __getitem__(self, index: int | slice) -> Fraction | Times:
        if isinstance(index, slice):
            return Times(self._ticks[index], self._tick, self._zero)
        return (self._ticks[index] - self._zero) * self._tick

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Index:
    """The frames of a stream in the order they are shown.

    Attributes:
        pts: presentation time in ticks of `tick`, one per frame, rising; empty in an `ordinal` index.
        count: number of frames.
        tick: seconds.
        keys: (place to seek to, presentation time) of every packet that decoding can start from, by presentation time.
        last_duration: of the last frame in ticks, 0 where unknown.
        seekable: whether seeking can be tried.
        ordinal: frames carry no usable times: they are told apart by counting, and time is count / rate.
        preroll: how many keyframes before the wanted one decoding starts.
        lost_frames: that the container names but that are not in the file; 0 where nothing is lost or nothing is known.
        truncated: whether the file ends before it should.
        notes: defects of the stream, in words.
    """

    pts: array[int]
    count: int
    tick: Fraction
    keys: tuple[tuple[int, int], ...]
    last_duration: int
    seekable: bool
    ordinal: bool
    preroll: int = 0
    lost_frames: int = 0
    truncated: bool = False
    notes: tuple[str, ...] = ()

    def key_before(self, frame: int) -> int | None:
        """Number of the key that decoding starts from to reach a frame, None for the start of the file."""
        if not self.seekable or not self.keys or self.ordinal:
            return None
        key = bisect.bisect_right([pts for _, pts in self.keys], self.pts[frame]) - 1 - self.preroll
        return key if key > 0 else None

    def number(self, pts: int | None) -> int | None:
        """Number of the frame shown at `pts`, None where there is none."""
        if pts is None:
            return None
        place = bisect.bisect_left(self.pts, pts)
        return place if place < len(self.pts) and self.pts[place] == pts else None


@dataclass
class _Packets:
    """Times and keyframes of the packets of a stream.

    Attributes:
        pts: presentation times, as stored.
        keys: (place to seek to, presentation time) of every keyframe.
        untimed: packets without a presentation time.
        corrupt: packets that the container calls so.
        count: of all packets.
        last_duration: of the frame that is shown last, in ticks.
        first_is_key: whether the first packet is a keyframe.
        error: why reading ended early, "" where it did not.
        slots: places for a frame up to the end of the last packet, in ticks.
    """

    pts: list[int]
    keys: list[tuple[int, int]]
    untimed: int = 0
    corrupt: int = 0
    count: int = 0
    last_duration: int = 0
    first_is_key: bool = True
    error: str = ""
    slots: int = 0


def build(path: str, container: InputContainer, stream: VideoStream, size: int, salvage: bool = False) -> Index:
    """Reads the packets of an opened file from its start.

    Args:
        path: the file.
        container: just opened, nothing read yet.
        stream: the picture.
        size: bytes of the file.
        salvage: everything is decoded, and only frames that can be had are counted.
    """
    family = container.format.name.split(",")[0]
    codec = stream.codec_context.codec.canonical_name
    packets, messages = _read(container, stream, family, size)
    truncated, lost = _loss(path, stream, family, packets, messages)
    pts = sorted(packets.pts)
    notes: list[str] = []
    ordinal = False
    if salvage or not pts or not _has_frame_times(packets, pts, family, codec):
        pts, ordinal, count = _by_decoding(path, notes)
    else:
        if not packets.first_is_key or pts[0] < packets.keys[0][1]:
            pts = _without_broken_head(path, pts, packets.keys[0][1] if packets.keys else pts[0], notes)
        count = len(pts)
    return Index(
        pts=array("q", pts),
        count=count,
        tick=Fraction(stream.time_base or 1),
        keys=tuple(sorted(packets.keys, key=lambda key: key[1])),
        last_duration=packets.last_duration,
        seekable=family in _SEEKABLE and not packets.untimed,
        ordinal=ordinal,
        preroll=1 if codec not in _INTRA and family not in ("mov", "matroska") else 0,
        lost_frames=lost,
        truncated=truncated,
        notes=tuple(notes),
    )


def _read(container: InputContainer, stream: VideoStream, family: str, size: int) -> tuple[_Packets, list[str]]:
    """The packets of the stream, and FFmpeg's warnings meanwhile."""
    codec = stream.codec_context.codec.canonical_name
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture(local=False) as messages:
            packets = _table(stream, size) if family == "mov" and codec in _INTRA else None
            if packets is None:
                packets = _packets(container, stream, by_pts=family == "matroska")
    finally:
        av.logging.set_level(None)
    return packets, [text for _, _, text in messages]


def _has_frame_times(packets: _Packets, pts: list[int], family: str, codec: str) -> bool:
    """Whether the times of packets, `pts` in rising order, are those of the frames."""
    if codec not in _ONE_TO_ONE or family not in _TRUSTED_PTS:
        return False
    if packets.untimed or packets.corrupt or len(set(pts)) != len(pts):
        return False
    # Packets of MPEG streams without a time of their own got one that may be out of order.
    return family not in ("mpeg", "mpegts") or _even(pts)


def _table(stream: VideoStream, size: int) -> _Packets | None:
    """The packets of an intra codec by a QuickTime file's table of frames, without reading the frames.

    An hour of ProRes is 100 GB. None where the table cannot be trusted to give times as packets do.
    """
    entries = stream.index_entries
    count = len(entries)
    if count < 2 or count != stream.frames:
        return None
    table = [entries[i] for i in range(count)]
    pts = [entry.timestamp for entry in table]
    # A start that is not the first entry means an edit list or reordered pictures.
    if stream.start_time != pts[0] or any(entry.pos + entry.size > size for entry in table):
        return None
    if not all(entry.is_keyframe and not entry.is_discard for entry in table):
        return None
    if any(a >= b for a, b in itertools.pairwise(pts)):
        return None
    end = (stream.start_time or 0) + (stream.duration or 0)
    last_duration = end - pts[-1] if end > pts[-1] else pts[-1] - pts[-2]
    return _Packets(pts=pts, keys=[(time, time) for time in pts], count=count, last_duration=last_duration)


def _packets(container: InputContainer, stream: VideoStream, by_pts: bool) -> _Packets:
    """The packets by reading all of them; keys are sought by presentation time, or by decoding time."""
    packets = _Packets([], [])
    latest = None
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packets.count == 0:
                packets.first_is_key = packet.is_keyframe
            packets.count += 1
            if packet.dts is not None:
                packets.slots = packet.dts + (packet.duration or 1)
            if packet.pts is None:
                packets.untimed += 1
                continue
            if packet.is_keyframe:
                place = packet.pts if by_pts or packet.dts is None else packet.dts
                packets.keys.append((place, packet.pts))
            if packet.is_discard:
                continue
            packets.corrupt += packet.is_corrupt
            packets.pts.append(packet.pts)
            if latest is None or packet.pts > latest:
                latest, packets.last_duration = packet.pts, packet.duration or 0
    except av.error.FFmpegError as error:
        packets.error = str(error.strerror or error)
    return packets


def _loss(path: str, stream: VideoStream, family: str, packets: _Packets, messages: list[str]) -> tuple[bool, int]:
    """Whether the file is cut off, and how many frames its own tables say are lost."""
    if family == "mov":
        entries = stream.index_entries
        size = Path(path).stat().st_size
        lost = sum(entries[i].pos + entries[i].size > size for i in range(len(entries)))
        return lost > 0, lost
    if family == "avi":
        # A slot may be empty: the frame before it stays. Slots are lost where the file itself is cut off.
        lost = stream.frames - max(packets.count, packets.slots)
        return (lost > 0 and not _whole_riff(path)), max(lost, 0)
    marks = ("partial file", "ended prematurely", "Truncat", "truncat")
    ended = any(mark in text for text in messages for mark in marks)
    lost = 0
    if stream.duration and stream.time_base and family == "mxf":
        lost = max(stream.duration - packets.count, 0)
    return ended or bool(packets.error) or lost > 0, lost


def _whole_riff(path: str) -> bool:
    """Whether every RIFF list of an AVI file is as long as it says."""
    with Path(path).open("rb") as file:
        size, at = file.seek(0, 2), 0
        while at + 12 <= size:
            file.seek(at)
            name, length = file.read(4), int.from_bytes(file.read(4), "little")
            if name != b"RIFF" or not length:
                return False
            at += 8 + length + length % 2
    return at <= size + 1


def whole_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Packets up to the place where the container itself is broken; missing frames tell the rest."""
    packets = container.demux(stream)
    while True:
        try:
            yield next(packets)
        except (StopIteration, av.error.FFmpegError):
            return


def _even(pts: list[int]) -> bool:
    """Whether times are evenly spaced but for rounding."""
    steps = [b - a for a, b in itertools.pairwise(pts)]
    return not steps or max(steps) - min(steps) <= 0.1 * max(steps)


def _by_decoding(path: str, notes: list[str]) -> tuple[list[int], bool, int]:
    """Times by decoding everything: (times, whether they are of no use, number of frames)."""
    pts: list[int | None] = []
    damaged: list[int] = []
    with open_container(path) as container:
        stream = video_stream(container, path)
        for packet in whole_packets(container, stream):
            try:
                for frame in packet.decode():
                    if frame.is_corrupt:
                        damaged.append(len(pts))
                    pts.append(frame.pts)
            except av.error.FFmpegError:
                # A damaged packet shows nothing; the frames that come after it do.
                continue
    while damaged and damaged[-1] == len(pts) - 1:
        # A last picture of which a part is missing was cut off with the file.
        del damaged[-1], pts[-1]
    if damaged:
        count = "1 frame is" if len(damaged) == 1 else f"{len(damaged)} frames are"
        notes.append(f"{count} damaged, the first is frame {damaged[0]}")
    times = [time for time in pts if time is not None]
    ordered = all(a < b for a, b in itertools.pairwise(times))
    if len(times) == len(pts) and ordered:
        return times, False, len(times)
    return [], True, len(pts)


def _without_broken_head(path: str, pts: list[int], key: int, notes: list[str]) -> list[int]:
    """Drops the frames before the first keyframe that need pictures from before the file began."""
    decodable: set[int] = set()
    with open_container(path) as container:
        stream = video_stream(container, path)
        for packet in whole_packets(container, stream):
            try:
                decodable.update(frame.pts for frame in packet.decode() if frame.pts is not None)
            except av.error.FFmpegError:
                continue
            if sum(time > key for time in decodable) > 2:
                break
    border = max(decodable, default=pts[0])
    remaining = [time for time in pts if time in decodable or time > border]
    if len(remaining) < len(pts):
        notes.append(
            "the file begins inside a group of pictures: "
            f"{len(pts) - len(remaining)} frames before it cannot be decoded"
        )
    return remaining
