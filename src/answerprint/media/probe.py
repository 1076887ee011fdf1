"""The parts of a file's `ClipInfo`: first frame, rate, field order, tracks, chapters, timecode, orientation."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from answerprint.errors import MediaError, SettingsError
from answerprint.frame import ColorTags, FieldOrder
from answerprint.media import fieldorder, matroska, pulldown, sidedata, tags, unpack
from answerprint.media.container import open_container, video_stream
from answerprint.media.index import Index
from answerprint.media.info import Chapter, StreamInfo, clock
from answerprint.media.orientation import Orientation
from answerprint.media.quicktime import Entry
from answerprint.media.sidedata import SideData

# FFmpeg's AVFieldOrder. Where fields are stored interleaved, 4 (QuickTime's 9) is top field first, 5 bottom first.
_FIELDS: dict[int, FieldOrder] = {1: "progressive", 2: "tff", 3: "bff", 4: "tff", 5: "bff"}
_FLAGS: dict[str, FieldOrder] = {"P": "progressive", "T": "tff", "B": "bff"}
_PLACES = 4  # where in a clip field order is measured
_RUN = 4  # successive frames at each place


@dataclass(frozen=True)
class FirstFrame:
    """Facts that the first frame and the decoder add to those of the container.

    Attributes:
        storage: how the pictures are stored.
        width: stored columns.
        height: stored lines.
        color: tags of stream and frame.
        field_order: as the picture is flagged.
        orientation: how it is made upright.
        timecode: of an MPEG-2 group of pictures, or None.
        side_data: see `sidedata.on_frame`.
    """

    storage: unpack.Storage
    width: int
    height: int
    color: ColorTags
    field_order: FieldOrder
    orientation: Orientation
    timecode: str | None
    side_data: dict[str, bytes]


def first_frame(
    path: str, container: InputContainer, stream: VideoStream, stream_color: tuple[int, int, int, int]
) -> FirstFrame:
    """Decodes one frame and reads what it tells.

    Args:
        path: the file.
        container: it, open, at its start.
        stream: the picture.
        stream_color: primaries, transfer, matrix and range as numbers, from the stream before anything was decoded.

    Raises:
        MediaError: nothing can be decoded.
    """
    # Frames decoded ahead in other threads would go on while this one is asked about: their warnings wait for Python's
    # lock, and the end of their decoder, which holds it, for them.
    stream.thread_type = "SLICE"
    frame = _decode_first(path, container, stream)
    text = _showinfo(frame, stream)
    storage = unpack.storage(frame.format.name, path)
    numbers = (
        int(frame.color_primaries),
        int(frame.color_trc),
        int(frame.colorspace),
        int(frame.color_range),
    )
    siting = match[1] if (match := re.search(r" cl:(\w+)", text)) else "unspecified"
    order = match[1] if (match := re.search(r" i:(\w)", text)) else "P"
    timecode = match[1] if (match := re.search(r"GOP timecode: ?(\S+)", text)) else None
    return FirstFrame(
        storage=storage,
        width=frame.width,
        height=frame.height,
        color=tags.parse_tags(stream_color, numbers, siting, storage.full),
        field_order=_FLAGS.get(order, "progressive"),
        orientation=_orientation(frame),
        timecode=timecode,
        side_data=sidedata.on_frame(frame),
    )


def _decode_first(path: str, container: InputContainer, stream: VideoStream) -> VideoFrame:
    reason = ""
    for packet in container.demux(stream):
        try:
            for frame in packet.decode():
                return frame
        except av.error.FFmpegError as error:
            reason = f" ({error.strerror or error})"
    raise MediaError(f"{path}: no frame of its picture can be decoded{reason}; the file is damaged or empty")


def _showinfo(frame: VideoFrame, stream: VideoStream) -> str:
    """The text of FFmpeg's showinfo filter on a frame: siting and field order have no other way out of PyAV."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=stream.time_base or Fraction(1, 1000),
    )
    show, sink = graph.add("showinfo", "checksum=0:udu_sei_as_ascii=0"), graph.add("buffersink")
    source.link_to(show)
    show.link_to(sink)
    graph.configure()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture(local=False) as messages:
            graph.push(frame)
            graph.pull()
    finally:
        av.logging.set_level(None)
    return "".join(text for _, name, text in messages if name == "showinfo")


def _orientation(frame: VideoFrame) -> Orientation:
    """The orientation that FFmpeg would apply: the display matrix maps stored to shown positions, 16.16 fixed point."""
    matrix = sidedata.of_frame(frame).get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(matrix)[:36])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(across=a < 0, down=d < 0)
    return Orientation(transpose=True, across=c < 0, down=b < 0)


def rate(stream: VideoStream, index: Index) -> tuple[Fraction, bool, bool]:
    """Frames per second: (rate, whether it varies, whether times are n / rate but for the container's rounding)."""
    guesses = [Fraction(g) for g in (stream.guessed_rate, stream.base_rate, stream.average_rate) if g]
    if index.ordinal or index.count < 2:
        return (guesses[0] if guesses else Fraction(25)), False, True
    pts = np.asarray(index.pts, dtype=np.int64) - index.pts[0]
    steps = np.diff(pts)
    if (steps == steps[0]).all():
        return 1 / (int(steps[0]) * index.tick), False, False
    for guess in guesses:
        ticks = 1 / (guess * index.tick)
        ideal = np.arange(len(pts)) * float(ticks)
        # Rounding of each time to a tick, and of the first one, is not a variable rate.
        if np.abs(pts - ideal).max() <= 1.01:
            return guess, False, True
    nominal = 1 / (int(np.median(steps)) * index.tick)
    close = [g for g in guesses if abs(g / nominal - 1) < Fraction(1, 50)]
    return (close[0] if close else nominal.limit_denominator(1001)), True, False


def film_rates(stream: VideoStream, index: Index) -> tuple[Fraction, Fraction] | None:
    """Pictures a second as shown and as coded, where the stream is film with repeated fields; else None."""
    coded = {Fraction(g) for g in (stream.codec_context.framerate, stream.guessed_rate, stream.base_rate) if g}
    rates = ((pulldown.film_rate(index, rate), rate) for rate in sorted(coded))
    return next(((film, rate) for film, rate in rates if film is not None), None)


def gaps(index: Index, times: Sequence[Fraction], slots: bool) -> list[str]:
    """Notes on longer steps between frames; `slots` says that the container has a place for each frame (AVI)."""
    steps = np.diff(np.asarray(index.pts, dtype=np.int64))
    long = np.flatnonzero(steps > 1.8 * np.median(steps))
    if not len(long):
        return []
    first = int(long[0])
    if slots:
        empty = int(sum(round(step / np.median(steps)) - 1 for step in steps[long]))
        holds = "1 slot of the file is empty" if empty == 1 else f"{empty} slots of the file are empty"
        return [
            f"{holds}, the first after frame {first} at {clock(times[first])}: the capture dropped what belongs there; "
            "the frame before is shown longer"
        ]
    count = "1 step" if len(long) == 1 else f"{len(long)} steps"
    return [
        f"{count} between frames took twice the usual time or more, the first after frame {first} at "
        f"{clock(times[first])}: frames were dropped by the camera or are missing"
    ]


@dataclass(frozen=True)
class Fields:
    """Field order as used, as the file says and as the pictures show, with notes on it."""

    order: FieldOrder
    tagged: FieldOrder
    measured: FieldOrder
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Samples:
    """A few successive frames from places spread through the clip: luma of each, and side data of all."""

    lumas: list[list[NDArray[np.generic]]]
    side_data: list[dict[str, bytes]]


def fields(
    samples: Samples, storage: unpack.Storage, container: FieldOrder, coded: FieldOrder, override: str | None
) -> Fields:
    """The field order to use.

    Args:
        samples: frames of the clip.
        storage: how its pictures are stored.
        container: field order as the container says.
        coded: as the first picture is flagged.
        override: as the user says, or None.

    Raises:
        SettingsError: what the user says is no field order.
    """
    measured = fieldorder.measure(samples.lumas, 0 if storage.floating else storage.bits)
    tagged = coded if container == "unknown" and coded != "progressive" else container
    if override is not None:
        order = _parse_order(override)
        note = f"field order {order} as asked for (the file says {tagged}, the pictures show {measured})"
        return Fields(order, tagged, measured, (note,))
    if tagged == "unknown":
        if measured in ("tff", "bff"):
            return Fields(measured, tagged, measured, (f"field order is not tagged: {measured} measured",))
        return Fields("progressive", tagged, measured)
    notes = []
    if coded not in (tagged, "progressive"):
        notes.append(f"the container says {tagged}, the pictures are flagged {coded}: they are read as {tagged}")
    if measured not in ("unknown", tagged):
        notes.append(
            f"the file says {tagged}, but the pictures measure {measured}: they are read as {tagged} (deinterlace "
            "measures each shot itself); set the field order if that is wrong"
        )
    return Fields(tagged, tagged, measured, tuple(notes))


def _parse_order(text: str) -> FieldOrder:
    orders: tuple[FieldOrder, ...] = ("progressive", "tff", "bff")
    for order in orders:
        if text == order:
            return order
    raise SettingsError(f"field order '{text}' is unknown; allowed: {', '.join(orders)}")


def sample(path: str, index: Index, storage: unpack.Storage) -> Samples:
    """A few successive frames after keyframes spread through the clip."""
    samples = Samples([], [])
    spread = sorted({index.keys[i * (len(index.keys) - 1) // _PLACES] for i in range(_PLACES)}) if index.keys else []
    with open_container(path) as container:
        stream = video_stream(container, path)
        for place, _ in spread if index.seekable and len(spread) > 1 else [(None, 0)]:
            if place is not None:
                container.seek(place, stream=stream)
            samples.lumas.append(_run(container, stream, storage, samples.side_data))
    return samples


def _run(
    container: InputContainer, stream: VideoStream, storage: unpack.Storage, side_data: list[dict[str, bytes]]
) -> list[NDArray[np.generic]]:
    lumas: list[NDArray[np.generic]] = []
    try:
        for frame in container.decode(stream):
            plane = unpack.planes(frame, storage)[0]
            lumas.append(plane.numpy())
            side_data.append(sidedata.on_frame(frame))
            if len(lumas) == _RUN:
                break
    except av.error.FFmpegError:
        # Measuring is an extra: reading the frames themselves tells what is broken, and where.
        return lumas
    return lumas


def streams(container: InputContainer, video: VideoStream, entries: Sequence[Entry]) -> tuple[StreamInfo, ...]:
    """All tracks beside the picture; `entries` names those that FFmpeg knows no codec of."""
    kinds = {entry.track: entry.kind for entry in entries}
    return tuple(
        _stream(stream, kinds.get(stream.id, "unknown")) for stream in container.streams if stream.index != video.index
    )


def _stream(stream: Any, kind: str) -> StreamInfo:
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else stream.metadata.get("data_type", kind)
    detail = ""
    if stream.type == "audio" and context is not None:
        detail = f"{context.rate} Hz, {context.layout.name}, {context.format.name if context.format else 'unknown'}"
    elif stream.type == "video" and context is not None:
        detail = f"{context.width} x {context.height}"
    elif "timecode" in stream.metadata:
        detail = f"timecode {stream.metadata['timecode']}"
    return StreamInfo(
        index=stream.index,
        kind=stream.type or "unknown",
        codec=codec,
        language=stream.metadata.get("language", "und"),
        title=stream.metadata.get("title") or stream.metadata.get("name", ""),  # QuickTime has a name
        detail=detail,
        metadata=dict(stream.metadata),
        disposition=tuple(flag.name for flag in Disposition if flag & stream.disposition and flag.name),
    )


def side_data(
    path: str, container: InputContainer, first: FirstFrame, others: list[dict[str, bytes]], entries: Sequence[Entry]
) -> tuple[SideData, ...]:
    """The side data of a file: of its first picture, of some others, and of its table."""
    items = sidedata.read([first.side_data, *others], entries)
    if container.format.name.startswith("matroska"):
        aperture = sidedata.of_crop(matroska.crop(path), (first.width, first.height))
        items += () if aperture is None else (aperture,)
    return items


def chapters(container: InputContainer, start: Fraction) -> tuple[Chapter, ...]:
    """Chapters in seconds from the first frame."""
    result = []
    for chapter in container.chapters():
        base = Fraction(chapter["time_base"] or 1)
        bounds = [max(chapter[end] * base - start, Fraction(0)) for end in ("start", "end")]
        result.append(Chapter(bounds[0], bounds[1], chapter.get("metadata", {}).get("title", "")))
    return tuple(result)


def timecode(container: InputContainer, stream: VideoStream, first: FirstFrame) -> str | None:
    """Timecode of the first frame: of the picture, a timecode track, the container, or an MPEG-2 group of pictures."""
    tracks = [stream, *(s for s in container.streams if s.index != stream.index)]
    tables = [*(track.metadata for track in tracks), container.metadata]
    # Matroska spells it in capitals.
    labels = [table.get(key) for table in tables for key in ("timecode", "TIMECODE")]
    return next((text for text in [*labels, first.timecode] if text), None)


def color_numbers(stream: VideoStream) -> tuple[int, int, int, int]:
    """Primaries, transfer, matrix and range as the container says, where nothing was decoded yet."""
    context = stream.codec_context
    return int(context.color_primaries), int(context.color_trc), int(context.colorspace), int(context.color_range)


def tagged_order(stream: VideoStream) -> FieldOrder:
    """Field order as the container says."""
    return _FIELDS.get(int(stream.codec_context.field_order), "unknown")
