"""Footage in: a file or a sequence of pictures as frames, from any place, on exact time.

    clip = reader.open("scene.mov")
    for frame in clip.frames(100, 200): ...

A frame is bit for bit the same whether it was reached by seeking or by decoding from the start.
"""

from __future__ import annotations

import builtins
import itertools
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import av
import torch
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from answerprint.errors import MediaError
from answerprint.frame import ColorTags, FieldOrder, Frame, Origin
from answerprint.media import index as indexing
from answerprint.media import pixels, probe, quantizer, sequence, tags, unpack
from answerprint.media.ahead import LARGE, ahead
from answerprint.media.container import check_readable, opened, picture
from answerprint.media.index import Index, Times
from answerprint.media.info import ClipInfo, clock

_AHEAD = 2  # frames made before they are asked for
_HELD = 32  # frames that a decoder may give early before one that is missing is given up


class Source(Protocol):
    """What a clip reads from; picklable, holds no open file."""

    @property
    def info(self) -> ClipInfo: ...

    @property
    def times(self) -> Sequence[Fraction]: ...

    def read(self, start: int, stop: int, threads: int | None, quantizers: bool) -> Iterator[Frame]: ...


class Clip:
    """Footage that frames can be read from, in any process: it holds a path and what was found out, no open file.

    Attributes:
        path: as it was opened.
        overrides: what was said of it when it was opened, as text, by the names of `open`'s keywords.
    """

    def __init__(self, source: Source, path: str, overrides: Mapping[str, str]) -> None:
        self._source = source
        self.path = path
        self.overrides = overrides

    @property
    def info(self) -> ClipInfo:
        """All that is known of the clip."""
        return self._source.info

    @property
    def times(self) -> Sequence[Fraction]:
        """Presentation time of every frame in seconds from the first, exact."""
        return self._source.times

    def __len__(self) -> int:
        return len(self._source.times)

    def __repr__(self) -> str:
        return f"Clip({self.info.path!r}, {len(self)} frames)"

    def frames(
        self, start: int = 0, stop: int | None = None, *, threads: int | None = None, quantizers: bool = False
    ) -> Iterator[Frame]:
        """Frames [start, stop), clamped to the clip, decoded ahead in a background thread.

        Args:
            start: number of the first frame.
            stop: number after the last frame; None for the end of the clip.
            threads: threads of the decoder; None for as many as there are processors.
            quantizers: whether `Origin.steps` are wanted; H.264 then decodes several frames at a time no more.

        Raises:
            MediaError: a frame cannot be decoded; the message names it.
        """
        stop = len(self) if stop is None else min(stop, len(self))
        start = max(start, 0)
        if start >= stop:
            return iter(())
        large = self.info.width * self.info.height > LARGE
        return ahead(self._source.read(start, stop, threads, quantizers), 1 if large else _AHEAD)


def open(  # the name that reads well as reader.open
    path: str | Path,
    *,
    matrix: str | None = None,
    range: str | None = None,
    siting: str | None = None,
    rate: Fraction | int | str | None = None,
    field_order: str | None = None,
    incomplete: Literal["error", "keep"] | None = None,
    nonfinite: Literal["error", "zero"] = "error",
) -> Clip:
    """Opens a video file, a sequence of pictures or a single still.

    Args:
        path: a file; a pattern (`shot.%04d.exr`, `shot.####.dpx`); a folder that holds one sequence; a still.
        matrix: Y'CbCr matrix to use instead of the file's ("bt709", "smpte170m", "bt2020nc", ...).
        range: "limited" or "full" instead of the file's.
        siting: chroma siting to use instead of the file's ("left", "center", "topleft", ...).
        rate: frames per second of a sequence (24 where not given), or a constant rate for a file instead of its own.
        field_order: "progressive", "tff" or "bff" instead of the file's.
        incomplete: what to do with a file that is cut off or damaged: refuse it, or keep what is there. None keeps
            MXF and transport streams, which are made to be read while they grow, and refuses the others.
        nonfinite: NaN and infinity in float pictures are an error, or become zero.

    Raises:
        NotMediaError: the path holds no footage.
        MediaError: the footage is broken, cut off or unreadable; for sequences, pictures are missing or differ in size.
        SettingsError: an override does not exist or does not fit the footage.
    """
    path = str(path)
    said = {
        "matrix": matrix,
        "range": range,
        "siting": siting,
        "rate": rate,
        "field_order": field_order,
        "incomplete": incomplete,
        "nonfinite": nonfinite if nonfinite != "error" else None,
    }
    overrides = {name: str(value) for name, value in said.items() if value is not None}
    given = None if rate is None else sequence.parse_rate(rate)
    if sequence.is_sequence(path):
        tags_said = {"field_order": field_order, "matrix": matrix, "range": range}
        found = sequence.find(path, rate=given, nonfinite=nonfinite, **tags_said)
        return Clip(found, path, overrides)
    asked = _Asked(matrix, range, siting, given, field_order, incomplete, nonfinite)
    return Clip(_open_file(path, asked), path, overrides)


@dataclass(frozen=True)
class _Asked:
    """What the user overrides."""

    matrix: str | None
    range: str | None
    siting: str | None
    rate: Fraction | None
    field_order: str | None
    incomplete: str | None
    nonfinite: str


@dataclass(frozen=True)
class FileSource:
    """A video file: where its frames are and how they are stored."""

    path: str
    info: ClipInfo
    index: Index
    times: Sequence[Fraction]
    storage: unpack.Storage
    coded: tuple[int, int]
    turn: probe.Turn
    field_order_given: bool
    keep_damaged: bool
    nonfinite: str

    def read(self, start: int, stop: int, threads: int | None, quantizers: bool) -> Iterator[Frame]:
        """Frames [start, stop) in order."""
        with opened(self.path) as container:
            stream = picture(container, self.path, threads)
            if quantizers:
                quantizer.export(stream)
            for number, decoded in _wanted(self, container, stream, start, stop):
                yield self._frame(number, decoded)

    def check(self, number: int, decoded: VideoFrame) -> None:
        """Refuses a frame that is damaged or not like the first one.

        Raises:
            MediaError: it is; the message names the frame.
        """
        if decoded.is_corrupt and not self.keep_damaged:
            raise MediaError(f"{self.where(number)} is damaged; copy the file again, or ask to keep what is there")
        if (decoded.width, decoded.height) != self.coded:
            raise MediaError(
                f"{self.where(number)} is {decoded.width} x {decoded.height}, the clip began with "
                f"{self.coded[0]} x {self.coded[1]}; cut the file there and work on each part"
            )
        if (
            decoded.format.name != self.storage.native
            and unpack.storage(decoded.format.name, self.path) != self.storage
        ):
            raise MediaError(
                f"{self.where(number)} is stored as {decoded.format.name}, the clip began with {self.storage.native}; "
                "cut the file there and work on each part"
            )

    def _frame(self, number: int, decoded: VideoFrame) -> Frame:
        order = self.order(decoded)
        planes = unpack.planes(decoded, self.storage)
        if self.storage.floating:
            planes = sequence.finite(planes, self.where(number), self.nonfinite)
        made = make_frame(
            planes, self.storage.layout, self.info, self.times[number], order, _steps(decoded, self.info.bits)
        )
        return made if self.turn.nothing else _turned(made, self.turn)

    def order(self, decoded: VideoFrame) -> FieldOrder:
        """A progressive picture in interlaced footage (film in a broadcast) says so itself."""
        order = self.info.field_order
        flagged = self.info.tagged_field_order != "unknown"
        if order in ("tff", "bff") and flagged and not self.field_order_given and not decoded.interlaced_frame:
            return "progressive"
        return order

    def where(self, number: int) -> str:
        """A frame in words."""
        return f"{self.path}: frame {number} at {clock(self.times[number])}"


def _steps(decoded: VideoFrame, bits: int) -> Tensor | None:
    found = quantizer.steps(decoded, bits)
    return None if found is None else torch.from_numpy(found)


def make_frame(
    planes: tuple[Tensor, ...],
    layout: str,
    info: ClipInfo,
    time: Fraction,
    order: FieldOrder,
    steps: Tensor | None = None,
) -> Frame:
    """A frame from code values, with its origin."""
    color = info.assumed
    interlaced = order in ("tff", "bff") and "420" in layout
    rgb = pixels.to_rgb(planes, layout, color, interlaced)
    return Frame(
        pixels=rgb,
        time=time,
        color=color,
        alpha=pixels.alpha_of(planes, layout),
        field_order=order,
        origin=Origin(planes, layout, color, rgb, interlaced, steps),
    )


def _turned(frame: Frame, turn: probe.Turn) -> Frame:
    """An upright picture no longer lies as its code values do, so it has no origin."""
    alpha = None if frame.alpha is None else probe.turn(frame.alpha, turn)
    return replace(frame, pixels=probe.turn(frame.pixels, turn), alpha=alpha, origin=None)


def _wanted(
    source: FileSource, container: InputContainer, stream: VideoStream, start: int, stop: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Decoded frames [start, stop) in order, each with its number."""
    decoder = _Decoder(source.index, container, stream, start)
    expected = start
    early: dict[int, VideoFrame] = {}
    for number, decoded in decoder.frames():
        if number < expected or number >= stop + _HELD:
            continue
        source.check(number, decoded)
        early[number] = decoded
        while expected in early:
            yield expected, early.pop(expected)
            expected += 1
            if expected == stop:
                return
        if len(early) > _HELD:
            break
    why = f" ({decoder.failed})" if decoder.failed else ""
    raise MediaError(f"{source.where(expected)} cannot be decoded{why}; the file is damaged there")


class _Decoder:
    """Decodes from a place before a frame that gives that frame whole, and tells frames apart by their times."""

    def __init__(self, index: Index, container: InputContainer, stream: VideoStream, start: int) -> None:
        self.failed = ""
        self._index = index
        self._container = container
        self._stream = stream
        self._key = index.key_before(start)

    def frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """Decoded frames of the clip with their numbers, from the start frame or earlier."""
        if self._key is not None:
            found = self._seek(self._key)
            if found is not None:
                yield from found
                return
            # Back to the first packet: the smallest place that seeking knows.
            self._container.seek(min(place for place, _ in self._index.keys), stream=self._stream)
        yield from self._decoded(indexing.whole_packets(self._container, self._stream))

    def _seek(self, key: int) -> Iterator[tuple[int, VideoFrame]] | None:
        """Frames from a keyframe on, None where this cannot be had whole.

        Some containers land elsewhere than asked: the first packet tells. Some streams mark pictures as keys from which
        decoding only recovers slowly (intra refresh): there the first frame shown is not the key.
        """
        place, wanted = self._index.keys[key]
        self._container.seek(place, stream=self._stream)
        packets = indexing.whole_packets(self._container, self._stream)
        first = next(packets, None)
        if first is None or first.pts is None or not first.is_keyframe or first.pts > wanted:
            return None
        landed = self._index.number(first.pts)
        frames = self._decoded(itertools.chain((first,), packets))
        for number, frame in frames:
            if landed is not None and number > landed:
                return None
            if number == landed:
                # A key that the decoder does not trust, since no recovery point is told there: all after it would be
                # called damaged too.
                return None if frame.is_corrupt else itertools.chain(((number, frame),), frames)
        return None

    def _decoded(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[tuple[int, VideoFrame]]:
        count = 0
        for packet in packets:
            try:
                decoded = packet.decode()
            except av.error.FFmpegError as error:
                # Told with the number of the frame that then does not come.
                self.failed = str(error.strerror or error)
                continue
            for frame in decoded:
                number = count if self._index.ordinal else self._index.number(frame.pts)
                count += 1
                if number is not None:
                    yield number, frame


def _open_file(path: str, asked: _Asked) -> FileSource:
    says, tagged, index = _indexed(path, asked.incomplete == "keep")
    with opened(path) as container:
        stream = picture(container, path)
        first = probe.first(path, container, stream, says)
        timing = _timing(stream, index, asked.rate)
        notes = [*index.notes, *_incomplete(path, container, index, timing.times, asked.incomplete), *timing.notes]
        fields = probe.fields(path, index, first.storage, tagged, first.coded_order, asked.field_order)
        color, color_notes = tags.resolve(
            first.color,
            height=first.height,
            layout=first.storage.layout,
            codec=stream.codec_context.codec.canonical_name,
            matrix=asked.matrix,
            range=asked.range,
            siting=asked.siting,
        )
        notes += [*fields.notes, *color_notes]
        if not first.turn.nothing:
            notes.append("the pictures are turned upright on reading, as the file asks")
        info = _info(path, container, stream, first, timing, fields, color, index, tuple(notes))
    return FileSource(
        path=path,
        info=info,
        index=index,
        times=timing.times,
        storage=first.storage,
        coded=(first.width, first.height),
        turn=first.turn,
        field_order_given=asked.field_order is not None,
        keep_damaged=_keeps(asked.incomplete, info.container),
        nonfinite=asked.nonfinite,
    )


def _indexed(path: str, salvage: bool) -> tuple[tuple[int, int, int, int], FieldOrder, Index]:
    """What the container alone says: color numbers, field order, and where the frames are.

    Asked before anything is decoded, because decoders write what they find over what the container says.
    """
    size = check_readable(path)
    with opened(path) as container:
        stream = picture(container, path)
        context = stream.codec_context
        says = (
            int(context.color_primaries),
            int(context.color_trc),
            int(context.colorspace),
            int(context.color_range),
        )
        tagged = probe.tagged_order(stream)
        index = indexing.build(path, container, stream, size, salvage)
    if index.count == 0:
        raise MediaError(f"{path}: no frame of its picture can be decoded; the file is damaged or cut off")
    return says, tagged, index


@dataclass(frozen=True)
class _Timing:
    """When frames are shown."""

    rate: Fraction
    variable: bool
    times: Times
    duration: Fraction
    notes: list[str]


def _timing(stream: VideoStream, index: Index, asked: Fraction | None) -> _Timing:
    rate, variable, constant = probe.rate(stream, index)
    if asked is not None:
        rate, variable, constant, notes = asked, False, True, [f"rate {asked} as asked for"]
    elif index.ordinal:
        notes = [f"the file has no usable frame times: a constant {rate} fps is used"]
    elif constant:
        notes = [f"the container rounds times; a constant {rate} fps fits them and is used"]
    else:
        notes = probe.gaps(index, Times(index.pts, index.tick)) if variable else []
    if constant:
        times = Times(array("q", builtins.range(index.count)), 1 / rate)
        return _Timing(rate, variable, times, index.count / rate, notes)
    times = Times(index.pts, index.tick)
    return _Timing(rate, variable, times, times[-1] + (index.last * index.tick or 1 / rate), notes)


def _info(
    path: str,
    container: InputContainer,
    stream: VideoStream,
    first: probe.First,
    timing: _Timing,
    fields: probe.Fields,
    color: ColorTags,
    index: Index,
    notes: tuple[str, ...],
) -> ClipInfo:
    start = (index.pts[0] if index.pts else 0) * index.tick
    turned = first.turn.transpose
    sar = Fraction(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
    return ClipInfo(
        path=path,
        kind="file",
        container=container.format.name.split(",")[0],
        codec=stream.codec_context.codec.canonical_name,
        profile=stream.codec_context.profile or "",
        width=first.height if turned else first.width,
        height=first.width if turned else first.height,
        layout=first.storage.layout,
        stored=first.storage.stored,
        bits=first.storage.bits,
        floating=first.storage.floating,
        rate=timing.rate,
        variable_rate=timing.variable,
        frames=index.count,
        duration=timing.duration,
        start=start,
        sar=1 / sar if turned else sar,
        rotation=first.turn.degrees,
        flipped=first.turn.mirrored,
        field_order=fields.order,
        tagged_field_order=fields.tagged,
        measured_field_order=fields.measured,
        color=first.color,
        assumed=color,
        timecode=probe.timecode(container, stream, first),
        streams=probe.streams(container, stream),
        chapters=probe.chapters(container, start),
        metadata=dict(container.metadata),
        notes=notes,
    )


def _incomplete(
    path: str, container: InputContainer, index: Index, times: Sequence[Fraction], asked: str | None
) -> list[str]:
    """What is to be said of a file that ends too early.

    Raises:
        MediaError: it is not to be kept.
    """
    if not index.cut:
        return []
    family = container.format.name.split(",")[0]
    there = f"ends after frame {index.count - 1} at {clock(times[-1])}"
    missing = f", {index.lost} frames that it names are missing" if index.lost else ""
    if _keeps(asked, family):
        return [f"the file is cut off: it {there}{missing}"]
    raise MediaError(f"{path}: is cut off: it {there}{missing}; copy the file again, or ask to keep what is there")


def _keeps(asked: str | None, family: str) -> bool:
    return asked == "keep" or (asked is None and family in ("mxf", "mpegts", "mpeg"))
