"""Where every frame of a video stream is and when it is shown, found without decoding wherever that can be trusted."""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import overload

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from answerprint.media.container import opened, picture

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
        last: duration of the last frame in ticks, 0 where unknown.
        seekable: whether seeking can be tried.
        ordinal: frames carry no usable times: they are told apart by counting, and time is count / rate.
        steps: how many keyframes before the wanted one decoding starts.
        lost: frames that the container names but that are not in the file; 0 where nothing is lost or nothing is known.
        cut: whether the file ends before it should.
        notes: what was found out of order, in words.
    """

    pts: array[int]
    count: int
    tick: Fraction
    keys: tuple[tuple[int, int], ...]
    last: int
    seekable: bool
    ordinal: bool
    steps: int = 0
    lost: int = 0
    cut: bool = False
    notes: tuple[str, ...] = ()

    def key_before(self, frame: int) -> int | None:
        """Number of the key that decoding starts from to reach a frame, None for the start of the file."""
        if not self.seekable or not self.keys or self.ordinal:
            return None
        found = bisect.bisect_right([pts for _, pts in self.keys], self.pts[frame]) - 1 - self.steps
        return found if found > 0 else None

    def number(self, pts: int | None) -> int | None:
        """Number of the frame shown at `pts`, None where there is none."""
        if pts is None:
            return None
        place = bisect.bisect_left(self.pts, pts)
        return place if place < len(self.pts) and self.pts[place] == pts else None


@dataclass
class _Packets:
    """What the packets of a stream say."""

    pts: list[int]
    keys: list[tuple[int, int]]
    missing: int = 0
    corrupt: int = 0
    count: int = 0
    last: int = 0
    first_is_key: bool = True
    broke: str = ""


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
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture(local=False) as said:
            found = _table(stream, size) if family == "mov" and codec in _INTRA else None
            if found is None:
                found = _packets(container, stream, by_pts=family == "matroska")
    finally:
        av.logging.set_level(None)
    cut, lost = _missing(stream, family, found, size, [text for _, _, text in said])
    tick = Fraction(stream.time_base or 1)
    sound = (
        not salvage
        and codec in _ONE_TO_ONE
        and family in _TRUSTED_PTS
        and not (found.missing or found.corrupt)
        and len(set(found.pts)) == len(found.pts)
    )
    pts = sorted(found.pts)
    notes: list[str] = []
    ordinal = False
    if sound and family in ("mpeg", "mpegts") and not _even(pts):
        # Packets without a time of their own got one that may be out of order.
        sound = False
    if not sound or not pts:
        pts, ordinal, count = _by_decoding(path, notes)
    else:
        if not found.first_is_key or pts[0] < found.keys[0][1]:
            pts = _without_broken_head(path, pts, found.keys[0][1] if found.keys else pts[0], notes)
        count = len(pts)
    return Index(
        pts=array("q", pts),
        count=count,
        tick=tick,
        keys=tuple(sorted(found.keys, key=lambda key: key[1])),
        last=found.last,
        seekable=family in _SEEKABLE and not found.missing,
        ordinal=ordinal,
        steps=1 if codec not in _INTRA and family not in ("mov", "matroska") else 0,
        lost=lost,
        cut=cut,
        notes=tuple(notes),
    )


def _table(stream: VideoStream, size: int) -> _Packets | None:
    """What the table of frames of a QuickTime file says of an intra codec, without reading the frames.

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
    last = end - pts[-1] if end > pts[-1] else pts[-1] - pts[-2]
    return _Packets(pts=pts, keys=[(time, time) for time in pts], count=count, last=last)


def _packets(container: InputContainer, stream: VideoStream, by_pts: bool) -> _Packets:
    found = _Packets([], [])
    latest = None
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if found.count == 0:
                found.first_is_key = packet.is_keyframe
            found.count += 1
            if packet.pts is None:
                found.missing += 1
                continue
            if packet.is_keyframe:
                place = packet.pts if by_pts or packet.dts is None else packet.dts
                found.keys.append((place, packet.pts))
            if packet.is_discard:
                continue
            found.corrupt += packet.is_corrupt
            found.pts.append(packet.pts)
            if latest is None or packet.pts > latest:
                latest, found.last = packet.pts, packet.duration or 0
    except av.error.FFmpegError as error:
        found.broke = str(error.strerror or error)
    return found


def _missing(stream: VideoStream, family: str, found: _Packets, size: int, said: list[str]) -> tuple[bool, int]:
    """Whether the file is cut off, and how many frames its own tables say are lost."""
    if family == "mov":
        entries = stream.index_entries
        lost = sum(entries[i].pos + entries[i].size > size for i in range(len(entries)))
        return lost > 0, lost
    if family == "avi" and stream.frames > found.count:
        return True, stream.frames - found.count
    ended = any(mark in text for text in said for mark in ("partial file", "ended prematurely", "Truncat", "truncat"))
    lost = 0
    if stream.duration and stream.time_base and family == "mxf":
        lost = max(stream.duration - found.count, 0)
    return ended or bool(found.broke) or lost > 0, lost


def whole_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Packets up to the place where the container itself is broken; what is missing after it is told by its frames."""
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
    with opened(path) as container:
        stream = picture(container, path)
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
    known = [time for time in pts if time is not None]
    ordered = all(a < b for a, b in itertools.pairwise(known))
    if len(known) == len(pts) and ordered:
        return known, False, len(known)
    return [], True, len(pts)


def _without_broken_head(path: str, pts: list[int], key: int, notes: list[str]) -> list[int]:
    """Drops the frames before the first keyframe that need pictures from before the file began."""
    shown: set[int] = set()
    with opened(path) as container:
        stream = picture(container, path)
        for packet in whole_packets(container, stream):
            try:
                shown.update(frame.pts for frame in packet.decode() if frame.pts is not None)
            except av.error.FFmpegError:
                continue
            if sum(time > key for time in shown) > 2:
                break
    border = max(shown, default=pts[0])
    kept = [time for time in pts if time in shown or time > border]
    if len(kept) < len(pts):
        notes.append(
            f"the file begins inside a group of pictures: {len(pts) - len(kept)} frames before it cannot be decoded"
        )
    return kept
