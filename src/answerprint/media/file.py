"""Video files as footage."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from answerprint.errors import MediaError, SettingsError
from answerprint.frame import ColorTags, FieldOrder, Frame, Origin
from answerprint.media import content, ffv1, probe, quantizer, quicktime, tags, timecode, unpack
from answerprint.media import index as indexing
from answerprint.media.container import check_readable, open_container, video_stream
from answerprint.media.decoder import FrameDecoder
from answerprint.media.index import Index, Times
from answerprint.media.info import ClipInfo, clock
from answerprint.media.orientation import Orientation
from answerprint.media.planes import decode_alpha, to_rgb
from answerprint.media.sequence import finite
from answerprint.media.source import Overrides, rate_of

_EARLY = 32  # frames that a decoder may give early before one that is missing is given up


@dataclass(frozen=True)
class FileSource:
    """A video file: where its frames are and how they are stored.

    Attributes:
        path: the file.
        info: all that is known of it.
        index: where its frames are.
        times: presentation time of every frame in seconds from the first.
        storage: how its pictures are stored.
        coded: width and height of its pictures as stored.
        orientation: how its pictures are made upright.
        field_order_override: the user says the field order; flags on pictures do not count.
        keep_damaged: damaged frames are read as they are, and noted in `damage`.
        checksums: its packets have checksums, as FFV1's.
        nonfinite: "error", or "zero" to put 0 in the place of NaN and infinity.
        damage: damaged frames that were read, each in a line.
    """

    path: str
    info: ClipInfo
    index: Index
    times: Sequence[Fraction]
    storage: unpack.Storage
    coded: tuple[int, int]
    orientation: Orientation
    field_order_override: bool
    keep_damaged: bool
    checksums: bool
    nonfinite: str
    damage: dict[int, str] = field(default_factory=dict, compare=False)

    def read(self, start: int, stop: int, threads: int | None, quantizers: bool) -> Iterator[Frame]:
        """Frames [start, stop) in order."""
        with open_container(self.path) as container:
            stream = video_stream(container, self.path, threads)
            if quantizers:
                quantizer.request_export(stream)
            for number, picture in self._decode(container, stream, start, stop):
                yield self._frame(number, picture)

    def files(self, start: int, stop: int) -> Sequence[str]:  # noqa: ARG002 - it is one for all
        """The path of the file."""
        return (self.path,)

    def content(self, start: int, stop: int) -> str:
        """A hash of the packets that frames [start, stop) are decoded from."""
        return content.of_packets(self.path, self.index, start, stop)

    def _decode(
        self, container: InputContainer, stream: VideoStream, start: int, stop: int
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Decoded frames [start, stop) in order, each with its number."""
        decoder = FrameDecoder(self.index, container, stream, start, self.checksums)
        expected = start
        early: dict[int, VideoFrame] = {}
        for number, picture in decoder.frames():
            if number < expected or number >= stop + _EARLY:
                continue
            self._check(number, picture)
            early[number] = picture
            while expected in early:
                self._check_damage(expected, early[expected], expected in decoder.damaged)
                yield expected, early.pop(expected)
                expected += 1
                if expected == stop:
                    return
            if len(early) > _EARLY:
                break
        why = f" ({decoder.error})" if decoder.error else ""
        raise MediaError(f"{self._where(expected)} cannot be decoded{why}; the file is damaged there")

    def _check_damage(self, number: int, picture: VideoFrame, mismatch: bool) -> None:
        """Refuses or notes a frame that is damaged; `mismatch`: its checksum does not match."""
        if picture.is_corrupt or mismatch:
            what = f"{self._where(number)} is damaged" + " (its checksum does not match)" * mismatch
            if not self.keep_damaged:
                raise MediaError(f"{what}; copy the file again, or keep what is there: --input-damaged keep")
            self.damage[number] = f"{what}; it is kept as it was decoded"

    def _check(self, number: int, picture: VideoFrame) -> None:
        """Refuses a frame that is not like the first one."""
        if (picture.width, picture.height) != self.coded:
            raise MediaError(
                f"{self._where(number)} is {picture.width} x {picture.height}, the clip began with "
                f"{self.coded[0]} x {self.coded[1]}; cut the file there and work on each part"
            )
        if (
            picture.format.name != self.storage.native
            and unpack.storage(picture.format.name, self.path) != self.storage
        ):
            raise MediaError(
                f"{self._where(number)} is stored as {picture.format.name}, the clip began with {self.storage.native}; "
                "cut the file there and work on each part"
            )

    def _frame(self, number: int, picture: VideoFrame) -> Frame:
        order = self._order(picture)
        planes = unpack.planes(picture, self.storage)
        if self.storage.floating:
            planes = finite(planes, self._where(number), self.nonfinite)
        color, layout = self.info.assumed, self.storage.layout
        interlaced = order in ("tff", "bff") and "420" in layout
        rgb = to_rgb(planes, layout, color, interlaced)
        frame = Frame(
            pixels=rgb,
            time=self.times[number],
            color=color,
            alpha=decode_alpha(planes, layout),
            field_order=order,
            sar=self.info.sar or Fraction(1),
            origin=Origin(planes, layout, color, rgb, interlaced, _steps(picture, self.info.bits)),
        )
        return frame if self.orientation.upright else _upright(frame, self.orientation)

    def _order(self, picture: VideoFrame) -> FieldOrder:
        """Field order of a picture: a progressive one in interlaced footage (film in a broadcast) says so itself."""
        order = self.info.field_order
        flagged = self.info.tagged_field_order != "unknown"
        if order in ("tff", "bff") and flagged and not self.field_order_override and not picture.interlaced_frame:
            return "progressive"
        return order

    def _where(self, number: int) -> str:
        """A frame in words."""
        return f"{self.path}: frame {number} at {clock(self.times[number])}"


def _steps(picture: VideoFrame, bits: int) -> Tensor | None:
    steps = quantizer.step_map(picture, bits)
    return None if steps is None else torch.from_numpy(steps)


def _upright(frame: Frame, orientation: Orientation) -> Frame:
    """The frame turned upright; its pixels no longer lie as its code values do, so it has no origin."""
    alpha = None if frame.alpha is None else orientation.apply(frame.alpha)
    return replace(frame, pixels=orientation.apply(frame.pixels), alpha=alpha, origin=None)


@dataclass(frozen=True)
class _Timing:
    """When frames are shown; `labels` is the rate that timecode counts by, where that is another."""

    rate: Fraction
    variable: bool
    times: Times
    duration: Fraction
    notes: list[str]
    labels: Fraction | None = None


@dataclass(frozen=True)
class _Header:
    """Color numbers, field order and index as the container alone gives them.

    Read before anything is decoded, because decoders write what they find over what the container says.
    """

    color: tuple[int, int, int, int]
    field_order: FieldOrder
    index: Index


@dataclass(frozen=True)
class _Facts:
    """All that a ClipInfo is made of, beside what the container and the stream hold."""

    first: probe.FirstFrame
    timing: _Timing
    fields: probe.Fields
    color: ColorTags
    index: Index
    side_data: list[dict[str, bytes]]
    notes: list[str]


def open_file(path: str, overrides: Overrides) -> FileSource:
    """A video file, its packets read and its first pictures looked at.

    Raises:
        NotMediaError: it is no footage.
        MediaError: it is broken, cut off or unreadable.
        SettingsError: an override does not exist or does not fit the file.
    """
    rate, incomplete = rate_of(overrides), overrides.get("incomplete")
    if overrides.get("layer") is not None:
        raise SettingsError(f"{path}: layer '{overrides['layer']}' cannot be read: only pictures have layers")
    head = _header(path, incomplete == "keep")
    index = head.index
    with open_container(path) as container:
        stream = video_stream(container, path)
        first = probe.first_frame(path, container, stream, head.color)
        timing = _timing(stream, index, rate, slots=container.format.name == "avi")
        notes = [*index.notes, *_check_complete(path, container, index, timing.times, incomplete), *timing.notes]
        samples = probe.sample(path, index, first.storage)
        fields = probe.fields(samples, first.storage, head.field_order, first.field_order, overrides.get("field_order"))
        codec = stream.codec_context.codec.canonical_name
        color, color_notes = tags.resolve(
            first.color, overrides, height=first.height, layout=first.storage.layout, codec=codec
        )
        notes += [*fields.notes, *color_notes]
        if not first.orientation.upright:
            notes.append("the pictures are turned upright on reading, as the file asks")
        checksums = codec == "ffv1" and _has_checksums(path)
        info = _info(path, container, stream, _Facts(first, timing, fields, color, index, samples.side_data, notes))
    return FileSource(
        path=path,
        info=info,
        index=index,
        times=timing.times,
        storage=first.storage,
        coded=(first.width, first.height),
        orientation=first.orientation,
        field_order_override=overrides.get("field_order") is not None,
        keep_damaged=(overrides.get("damaged") or incomplete) == "keep",
        checksums=checksums,
        nonfinite=overrides.get("nonfinite") or "error",
    )


def _has_checksums(path: str) -> bool:
    with open_container(path) as container:
        return ffv1.has_checksums(container, video_stream(container, path))


def _header(path: str, salvage: bool) -> _Header:
    size = check_readable(path)
    with open_container(path) as container:
        stream = video_stream(container, path)
        color = probe.color_numbers(stream)
        field_order = probe.tagged_order(stream)
        index = indexing.build(path, container, stream, size, salvage)
    if index.count == 0:
        raise MediaError(f"{path}: no frame of its picture can be decoded; the file is damaged or cut off")
    return _Header(color, field_order, index)


def _timing(stream: VideoStream, index: Index, override: Fraction | None, slots: bool) -> _Timing:
    rate, variable, constant = probe.rate(stream, index)
    labels = None
    if override is not None:
        rate, variable, constant, notes = override, False, True, [f"rate {override} as asked for"]
    elif index.ordinal:
        notes = [f"the file has no usable frame times: a constant {rate} fps is used"]
    elif (film := probe.film_rates(stream, index)) is not None:
        (rate, labels), variable, constant = film, False, True
        notes = [f"film coded with repeated fields (soft telecine): its own {timecode.show_rate(rate)} fps are used"]
    elif constant:
        notes = [f"the container rounds times; a constant {rate} fps fits them and is used"]
    else:
        notes = probe.gaps(index, Times(index.pts, index.tick), slots) if variable else []
    if constant:
        times = Times(array("q", range(index.count)), 1 / rate)
        return _Timing(rate, variable, times, index.count / rate, notes, labels)
    times = Times(index.pts, index.tick)
    return _Timing(rate, variable, times, times[-1] + (index.last_duration * index.tick or 1 / rate), notes)


def _info(path: str, container: InputContainer, stream: VideoStream, facts: _Facts) -> ClipInfo:
    first, timing, fields, index = facts.first, facts.timing, facts.fields, facts.index
    start = (index.pts[0] if index.pts else 0) * index.tick
    turned = first.orientation.transpose
    entries = quicktime.entries(path) if container.format.name.startswith("mov") else []
    label = probe.timecode(container, stream, first)
    if label is not None and timing.labels is not None and timecode.is_timecode(label):
        label = timecode.relabel(label, timing.labels, timing.rate)
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
        rotation=first.orientation.degrees,
        flipped=first.orientation.mirrored,
        field_order=fields.order,
        tagged_field_order=fields.tagged,
        measured_field_order=fields.measured,
        color=first.color,
        assumed=facts.color,
        timecode=label,
        streams=probe.streams(container, stream, entries),
        chapters=probe.chapters(container, start),
        metadata=dict(container.metadata),
        side_data=probe.side_data(path, container, first, facts.side_data, entries),
        notes=tuple(facts.notes),
    )


def _check_complete(
    path: str, container: InputContainer, index: Index, times: Sequence[Fraction], incomplete: str | None
) -> list[str]:
    """Refuses a file that ends too early, or notes it where it is to be kept.

    Raises:
        MediaError: it is not to be kept.
    """
    if not index.truncated:
        return []
    family = container.format.name.split(",")[0]
    end = f"ends after frame {index.count - 1} at {clock(times[-1])}"
    missing = f", {index.lost_frames} frames that it names are missing" if index.lost_frames else ""
    if _keeps_incomplete(incomplete, family):
        return [f"the file is cut off: it {end}{missing}"]
    raise MediaError(f"{path}: is cut off: it {end}{missing}; copy the file again, or ask to keep what is there")


def _keeps_incomplete(incomplete: str | None, family: str) -> bool:
    """Whether a file that is cut off is read as far as it goes."""
    return incomplete == "keep" or (incomplete is None and family in ("mxf", "mpegts", "mpeg"))
