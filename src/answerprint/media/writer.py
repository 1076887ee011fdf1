"""Frames to files: chunks of a job, and the output that they are joined to without encoding again.

A chunk is one file (or one folder of pictures) that is complete or not there. Times in it count from its first frame;
that frame's own time stands in the chunk's metadata, exactly. Joining takes the packets as they are, sets their times
anew, and brings what the source had beside its pictures.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import queue
import shutil
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np
from av.filter import Graph

from answerprint.errors import AnswerprintError, DeliveryError
from answerprint.frame import Frame
from answerprint.media import matroska, pictures, pixels, sequence, tags, timecode, tracks
from answerprint.media.presets import VIDEO_FORMATS, Delivery, repeatable

if TYPE_CHECKING:
    from answerprint.media.reader import Clip

# AV_FIELD_PROGRESSIVE, _TT, _BB: read alike by everyone, which the "swapped" _TB and _BT are not.
_FIELDS = {"progressive": 1, "tff": 2, "bff": 3}
_PACKED = {"gbrp": "bgr0", "gbrap": "bgra"}  # FFV1 has 8-bit R'G'B' only so


_FRAMES_BEHIND = 16  # that a picture may be decoded before it is shown: more than any encoder here reorders


class ChunkWriter:
    """Encodes the frames of one chunk; use it as a context manager.

    The file (a folder for pictures) gets its name when all frames are in it; nothing is left when an error leaves the
    `with`. Without a frame nothing is made.

    Args:
        path: the chunk to make.
        delivery: how.
        called: what messages name instead of the path.
    """

    def __init__(self, path: Path | str, delivery: Delivery, called: Path | None = None) -> None:
        self.path = Path(path)
        self.delivery = delivery
        self._called = called or self.path
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._encoder: _VideoEncoder | _PictureEncoder | None = None

    def write(self, frame: Frame) -> None:
        """Encodes one frame; frames come in the order of their times.

        Raises:
            DeliveryError: disk full, folder not writable, a size that the codec cannot take or that changed.
        """
        with _told(self._called):
            if self._encoder is None and self.delivery.how.pictures:
                self._encoder = _PictureEncoder(self._part, self.delivery)
            elif self._encoder is None:
                self._encoder = _VideoEncoder(self._part, self.delivery, frame)
            self._encoder.write(frame)

    def close(self) -> None:
        """Finishes the chunk and gives it its name."""
        if self._encoder is None:
            return
        try:
            with _told(self._called):
                self._encoder.close()
                if self._part.is_dir() or self.path.is_dir():
                    _remove(self.path)  # a folder does not replace anything by itself
                self._part.replace(self.path)
        except BaseException:
            self.discard()
            raise
        self._encoder = None

    def discard(self) -> None:
        """Drops what was written."""
        if self._encoder is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError):
                self._encoder.close()
            self._encoder = None
        _remove(self._part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


class Writer:
    """Frames straight to an output: `ChunkWriter` and `join` in one, encoding in a thread of its own.

    Args:
        out: the output.
        delivery: how.
        source: whose sound, subtitles, chapters, metadata and timecode come along.

    Attributes:
        notes: after closing, what could not be brought along, one sentence each.
    """

    def __init__(self, out: Path | str, delivery: Delivery, source: Clip | None = None) -> None:
        self.out, self.delivery, self.source = Path(out), delivery, source
        self.notes: list[str] = []
        if source is not None:
            refuse_same(Path(source.info.path), self.out)
        self._chunk = self.out.with_name(f".{self.out.name.replace('%', '_')}.{os.getpid()}.chunk")
        self._writer = ChunkWriter(self._chunk, delivery, self.out)
        self._frames: queue.Queue[Frame | None] = queue.Queue(maxsize=3)
        self._error: BaseException | None = None
        self._first: Fraction | None = None
        self._last = Fraction(0)
        self._thread = threading.Thread(target=self._encode, name="encode", daemon=True)
        self._thread.start()

    def write(self, frame: Frame) -> None:
        """Hands a frame to the encoder; waits while three are waiting.

        Raises:
            DeliveryError: what went wrong with an earlier frame.
        """
        if self._error is not None:
            raise self._error
        self._first = frame.time if self._first is None else self._first
        self._last = frame.time
        self._frames.put(frame)

    def close(self) -> None:
        """Finishes the output and moves it into place."""
        self._frames.put(None)
        self._thread.join()
        try:
            if self._error is not None:
                raise self._error
            if self._first is None:
                raise DeliveryError(f"{self.out}: there are no frames to write")
            self._writer.close()
            stop = self._last + 1 / self.delivery.rate
            self.notes = join([self._chunk], self.out, self.delivery, self.source, self._first, stop)
        finally:
            self._writer.discard()
            _remove(self._chunk)

    def discard(self) -> None:
        """Drops what was written; nothing is left."""
        self._frames.put(None)
        self._thread.join()
        self._writer.discard()
        _remove(self._chunk)

    def _encode(self) -> None:
        while (frame := self._frames.get()) is not None:
            if self._error is None:
                try:
                    self._writer.write(frame)
                except BaseException as error:  # handed to the thread that writes
                    self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


def join(
    chunks: Sequence[Path], out: Path | str, delivery: Delivery, source: Clip | None, start: Fraction, stop: Fraction
) -> list[str]:
    """Makes the output of the chunks, without encoding a picture again.

    Args:
        chunks: in the order of their times.
        out: the output; a pattern for pictures.
        delivery: how the chunks were made.
        source: whose sound, subtitles, chapters, metadata and timecode come along; None for none.
        start: time in the source that becomes the start of the output.
        stop: time in the source where the output ends.

    Returns:
        What could not be brought along, one sentence each.

    Raises:
        DeliveryError: disk full, folder not writable, output equal to the source; nothing stands under the name then.
    """
    out = Path(out)
    if source is not None:
        refuse_same(Path(source.info.path), out)
    if not chunks:
        raise DeliveryError(f"{out}: there are no frames to write")
    if delivery.how.pictures:
        with _told(out):
            return _join_pictures(chunks, out, delivery, source, start)
    part = out.with_name(f".{out.name}.part{out.suffix}")
    try:
        with _told(out):
            notes = _mux(chunks, part, delivery, source, start, stop)
            if delivery.ending == ".mkv" and delivery.sar != 1:
                matroska.set_aspect(part, *_stored_size(chunks[0]), delivery.sar)
            _sync(part)
            part.replace(out)
            return notes
    finally:
        _remove(part)


def refuse_same(source: Path, out: Path) -> None:
    """The source is never written to.

    Raises:
        DeliveryError: both are the same file.
    """
    if source.absolute() == out.absolute() or (source.exists() and out.exists() and source.samefile(out)):
        raise DeliveryError(f"{out}: is the source itself; choose another output, the source is never written to")


def refuse_one(out: Path, count: int) -> None:
    """One name is not enough for several pictures.

    Raises:
        DeliveryError: it is that of one, and `count` are to be written.
    """
    if count > 1 and not pictures.holds_many(out):
        pattern = out.with_name(f"{out.stem}.%04d{out.suffix}")
        raise DeliveryError(f"{out}: holds one picture, {count} are to be written; use {pattern}")


def refuse_size(delivery: Delivery, width: int, height: int) -> None:
    """Encoders of chroma by halves cannot take odd sizes; said before they say it in their own words.

    Raises:
        DeliveryError: the delivery does not take pictures of this size.
    """
    codec, form = delivery.how.codec, pixels.layout(delivery.layout)
    if codec == "ffv1" or delivery.how.pictures:
        return
    if codec == "dnxhd" and (width < 256 or height < 120):
        raise DeliveryError(f"{width} x {height}: DNxHR takes pictures from 256 x 120 on; use ffv1 or prores")
    if (form.across and width % 2) or (form.down and height % 2):
        raise DeliveryError(
            f"{width} x {height}: {delivery.preset} takes even sizes only; use ffv1, prores-4444 or pictures"
        )


# --- encoding --------------------------------------------------------------------------------------------------------


class _VideoEncoder:
    """Frames of one chunk to one file."""

    def __init__(self, path: Path, delivery: Delivery, first: Frame) -> None:
        self._delivery, self._first, self._size = delivery, first.time, (first.height, first.width)
        preset = delivery.how
        refuse_size(delivery, first.width, first.height)
        base = delivery.time_base
        options = {"video_track_timescale": str(base.denominator)} if preset.chunk == "mov" else {}
        self._container = av.open(
            str(path), "w", format=preset.chunk, container_options=options | {"fflags": "+bitexact"}
        )
        self._container.metadata["comment"] = str(first.time)
        self._stream: Any = self._container.add_stream(
            preset.codec, rate=delivery.rate, options=_options(delivery, first.width, first.height)
        )
        self._numbers = _configure(self._stream, delivery, first.width, first.height)
        self._stored = _stored_layout(delivery)
        self._fields = preset.fields and delivery.field_order in ("tff", "bff")
        self._graph: Graph | None = None
        self._behind = math.ceil(_FRAMES_BEHIND / delivery.rate / self._stream.codec_context.time_base)

    def write(self, frame: Frame) -> None:
        if (frame.height, frame.width) != self._size:
            raise DeliveryError(
                f"frame at {float(frame.time):.3f} s is {frame.width} x {frame.height}, those before it "
                f"{self._size[1]} x {self._size[0]}: one output has one size"
            )
        picture = self._marked(self._picture(frame))
        for packet in self._stream.encode(picture):
            self._mux(packet)

    def close(self) -> None:
        try:
            for packet in self._stream.encode(None):
                self._mux(packet)
        finally:
            self._container.close()

    def _mux(self, packet: Any) -> None:
        # x265 has no decoding time for a chunk of fewer frames than it looks ahead and hands out whatever its memory
        # held. Joining gives every packet its own; here it only must not be absurd.
        if packet.dts is None or not packet.pts - self._behind <= packet.dts <= packet.pts:
            packet.dts = packet.pts
        self._container.mux_one(packet)

    def _picture(self, frame: Frame) -> av.VideoFrame:
        delivery = self._delivery
        planes = pixels.encode_planes(frame, delivery.layout, delivery.color, dither=True)
        if delivery.layout.startswith("gbr"):
            planes = (planes[1], planes[2], planes[0], *planes[3:])
        picture = av.VideoFrame(frame.width, frame.height, _native(delivery.layout))
        for plane, codes in zip(picture.planes, planes, strict=True):
            _fill(plane, codes.numpy())
        if self._stored != delivery.layout:
            # One thread: swscale's slices in several have been seen to race.
            picture = picture.reformat(format=_native(self._stored), threads=1)
        picture.pts = round((frame.time - self._first) / delivery.time_base)
        picture.time_base = delivery.time_base
        picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range = self._numbers
        return picture

    def _marked(self, picture: av.VideoFrame) -> av.VideoFrame:
        """With field order and sample aspect ratio on the frame itself, where ProRes, H.264 and FFV1 take them from."""
        delivery = self._delivery
        if not self._fields and delivery.sar == 1:
            return picture
        if self._graph is None:
            self._graph = _marking(picture, delivery, self._fields)
        self._graph.push(picture)
        marked: av.VideoFrame = self._graph.pull()
        marked.pts, marked.time_base = picture.pts, picture.time_base
        return marked


class _PictureEncoder:
    """Frames of one chunk to one folder of pictures, named by their number in the clip."""

    def __init__(self, path: Path, delivery: Delivery) -> None:
        self._folder, self._delivery = path, delivery
        _remove(path)
        path.mkdir()

    def write(self, frame: Frame) -> None:
        delivery = self._delivery
        planes = pixels.encode_planes(frame, delivery.layout, delivery.color, dither=True)
        number = pictures.frame_number(frame.time, delivery.rate)
        label = None if delivery.timecode is None else timecode.shift(delivery.timecode, number, delivery.rate)
        file = self._folder / f"{number:09d}{delivery.ending}"
        pictures.write_picture(file, planes, delivery, timecode=label, depth=frame.depth, associated=frame.associated)

    def close(self) -> None:
        """Every picture is already whole."""


def set_color(context: Any, delivery: Delivery) -> tuple[int, int, int, int]:
    """Writes the tags into a codec context; the numbers of H.273 for primaries, transfer, matrix, and range."""
    tables = (tags.PRIMARIES, tags.TRANSFERS, tags.MATRICES, tags.RANGES)
    names = (delivery.primaries, delivery.transfer, delivery.matrix, delivery.range)
    numbers = [
        next((number for number, known in table.items() if known == name), 2)
        for table, name in zip(tables, names, strict=True)
    ]
    if _PACKED.get(delivery.layout) and delivery.how.codec == "ffv1":
        numbers[3] = 2
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = numbers
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _configure(stream: Any, delivery: Delivery, width: int, height: int) -> tuple[int, int, int, int]:
    """Tells an encoder all of a delivery; gives the numbers of its color, which ProRes wants on frames too."""
    preset, context = delivery.how, stream.codec_context
    stream.width, stream.height, stream.pix_fmt = width, height, _native(_stored_layout(delivery))
    context.time_base = delivery.time_base
    context.sample_aspect_ratio = delivery.sar
    context.field_order = _FIELDS.get(delivery.field_order, 0)
    context.thread_count = preset.threads
    if preset.fields and delivery.field_order in ("tff", "bff"):
        context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
    return set_color(context, delivery)


def _stored_layout(delivery: Delivery) -> str:
    return _PACKED.get(delivery.layout, delivery.layout) if delivery.how.codec == "ffv1" else delivery.layout


def _options(delivery: Delivery, width: int, height: int) -> dict[str, str]:
    options, form = dict(delivery.how.options) | repeatable(delivery.how.codec), pixels.layout(delivery.layout)
    if form.across or form.down:
        options["chroma_sample_location"] = delivery.siting
    odd = (form.across or form.down) and (width % 2 or height % 2)
    if delivery.how.codec == "ffv1" and (odd or min(width, height) < 16):
        options["slices"] = "1"  # FFV1 cannot cut such pictures
    return options


def _native(layout: str) -> str:
    return f"{layout}le" if layout[-1].isdigit() and layout[-2:] != "p8" and pixels_bits(layout) > 8 else layout


def pixels_bits(layout: str) -> int:
    """Bits per sample, also of the packed forms."""
    return 8 if layout in _PACKED.values() else pixels.layout(layout).bits


def _fill(plane: Any, codes: np.ndarray[tuple[int, ...], np.dtype[Any]]) -> None:
    height, width = codes.shape
    lines = np.frombuffer(plane, dtype=codes.dtype).reshape(plane.height, plane.line_size // codes.itemsize)
    np.copyto(lines[:height, :width], codes)


def _marking(picture: av.VideoFrame, delivery: Delivery, fields: bool) -> Graph:
    graph = Graph()
    nodes = [
        graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=delivery.time_base
        ),
        graph.add("setsar", f"{delivery.sar.numerator}/{delivery.sar.denominator}"),
        graph.add("setfield", delivery.field_order if fields else "prog"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes)
    graph.configure()
    return graph


# --- joining ---------------------------------------------------------------------------------------------------------


def _mux(
    chunks: Sequence[Path], part: Path, delivery: Delivery, source: Clip | None, start: Fraction, stop: Fraction
) -> list[str]:
    ending = delivery.ending
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(_opened(chunks[0]))
        out = stack.enter_context(
            av.open(str(part), "w", format=VIDEO_FORMATS[ending], container_options=_muxer_options(delivery))
        )
        video = _video_stream(out, first.streams.video[0], delivery)
        if ending == ".mkv" and delivery.sar != 1:
            video.metadata["title"] = matroska.PLACEHOLDER
        base = 1 / delivery.rate if ending in (".avi", ".mxf") else delivery.time_base
        video.time_base = base
        notes = _unsaid(delivery)
        carried = tracks.Tracks(source, out, ending, start, stop, stack)
        notes += carried.notes
        if delivery.alpha:
            said = out.metadata.get("comment")
            told = sequence.ALPHA_LABELS[delivery.alpha]
            out.metadata["comment"] = f"{said}; {told}" if said and told not in said else told
        label = tracks.timecode_at(delivery, start)
        if label is not None and ending == ".avi":
            notes.append(f"timecode {label} is not carried: .avi has no place for it")
        elif label is not None:
            (out if ending == ".mkv" else video).metadata["timecode"] = label
        pictures_ = _packets(chunks, video, delivery, base, start, stop)
        out.start_encoding()
        for packet in carried.interleaved(pictures_):
            out.mux_one(packet)
    return notes


def _video_stream(out: Any, chunk: Any, delivery: Delivery) -> Any:
    """The stream of the output: as in the chunks, with all tags."""
    if delivery.how.codec == "ffv1" and delivery.ending == ".mkv":
        # Opened as an encoder of the same settings, it has the same header, and where chroma lies besides.
        width, height = chunk.codec_context.width, chunk.codec_context.height
        made = out.add_stream("ffv1", rate=delivery.rate, options=_options(delivery, width, height))
        _configure(made, delivery, width, height)
        return made
    video = out.add_stream_from_template(chunk, opaque=True)
    context = video.codec_context
    if delivery.how.codec == "prores_ks":
        context.codec_tag = chunk.codec_context.codec_tag  # all that tells Proxy from HQ
    context.framerate = delivery.rate
    context.sample_aspect_ratio = delivery.sar
    context.field_order = _FIELDS.get(delivery.field_order, 0)
    set_color(context, delivery)
    if delivery.how.codec == "libx265" and delivery.ending in (".mov", ".mp4"):
        context.codec_tag = "hvc1"  # QuickTime plays nothing else
    return video


def _stored_size(chunk: Path) -> tuple[int, int]:
    with av.open(str(chunk)) as container:
        context = container.streams.video[0].codec_context
        return context.width, context.height


def _muxer_options(delivery: Delivery) -> dict[str, str]:
    options = {"fflags": "+bitexact"}
    if delivery.ending in (".mov", ".mp4"):
        scale = delivery.time_base.denominator
        options |= {"movflags": "+write_colr", "video_track_timescale": str(scale), "write_tmcd": "1"}
        # Edit lists are counted in this: fine enough for a sample of sound and for a frame.
        fine = int(np.lcm(scale, 48000))
        options["movie_timescale"] = str(fine if fine < 2**31 else 48000)
    return options


def _unsaid(delivery: Delivery) -> list[str]:
    """What the container has no place for."""
    notes, ending = [], delivery.ending
    if ending == ".avi":
        notes.append(
            f"color tags ({delivery.primaries}, {delivery.transfer}, {delivery.matrix}) are not carried: "
            ".avi has no place for them"
        )
    if delivery.variable_rate and ending == ".mkv":
        notes.append("frame times are rounded to a millisecond: .mkv counts in milliseconds")
    if delivery.variable_rate and ending in (".avi", ".mxf"):
        notes.append(f"frame times are rounded to the frame rate: {ending} has a constant rate")
    if delivery.sar != 1 and ending in (".mxf", ".avi"):
        notes.append(f"sample aspect ratio {delivery.sar} is not carried: {ending} as written here has no place for it")
    return notes


def _packets(
    chunks: Sequence[Path], video: Any, delivery: Delivery, base: Fraction, start: Fraction, stop: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """The packets of all chunks with their times in the output, and when each is decoded."""
    end = round((stop - start) / base)
    timed = _in_order(chunks, base, start, end) if delivery.how.intra else _reordered(chunks, base, start, end)
    for packet, shown, decoded, duration in timed:
        packet.time_base, packet.pts, packet.dts, packet.duration = base, shown, decoded, duration
        packet.stream = video
        yield decoded * base, packet


def _in_order(chunks: Sequence[Path], base: Fraction, start: Fraction, end: int) -> Iterator[tuple[Any, int, int, int]]:
    """Packets of a codec whose frames stand alone: (packet, shown, decoded, duration) in ticks of `base`."""
    held: tuple[Any, int] | None = None
    for chunk in chunks:
        for shown, packet in _demuxed(chunk, base, start, intra=True):
            if held is not None:
                shown = max(shown, held[1] + 1)  # a coarse time base must not put two frames on one tick
                yield held[0], held[1], held[1], shown - held[1]
            held = packet, shown
    if held is not None:
        yield held[0], held[1], held[1], max(end - held[1], 1)


def _reordered(
    chunks: Sequence[Path], base: Fraction, start: Fraction, end: int
) -> Iterator[tuple[Any, int, int, int]]:
    """Packets of a codec that sends frames before those they are shown after.

    The n-th packet is decoded at the time that the frame `delay` places before it in the order of showing has: that
    never is later than its own showing, and rises for any spacing of the frames.
    """
    sent = [shown for chunk in chunks for shown, _ in _demuxed(chunk, base, start, intra=False)]
    order = sorted(sent)
    place = {shown: number for number, shown in enumerate(order)}
    delay = max(number - place[shown] for number, shown in enumerate(sent))
    step = order[1] - order[0] if len(order) > 1 else 1
    number = 0
    for chunk in chunks:
        for shown, packet in _demuxed(chunk, base, start, intra=False):
            decoded = order[number - delay] if number >= delay else order[0] - (delay - number) * step
            after = place[shown] + 1
            yield packet, shown, decoded, max((order[after] if after < len(order) else end) - shown, 1)
            number += 1


def _demuxed(chunk: Path, base: Fraction, start: Fraction, intra: bool) -> Iterator[tuple[int, Any]]:
    """The packets of a chunk as they are stored, each with its time in the output in ticks of `base`."""
    with _opened(chunk) as container:
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


def _opened(chunk: Path) -> Any:
    try:
        return av.open(str(chunk))
    except (OSError, av.error.FFmpegError) as error:
        raise DeliveryError(f"{chunk}: this chunk cannot be read; delete it and run the job again") from error


def _join_pictures(
    chunks: Sequence[Path], out: Path, delivery: Delivery, source: Clip | None, start: Fraction
) -> list[str]:
    """Every picture under a temporary name beside its place, then all of them moved into place."""
    files = [file for chunk in chunks for file in sorted(chunk.iterdir())]
    refuse_one(out, len(files))
    named = pictures.first_number(out)
    begin = delivery.first_number if named is None else named
    zero = pictures.frame_number(start, delivery.rate)
    staged: list[tuple[Path, Path]] = []
    try:
        for file in files:
            place = pictures.numbered(out, begin + int(file.stem) - zero)
            part = place.with_name(f".{place.name}.part")
            staged.append((part, place))
            _copy(file, part)
        for part, place in staged:
            part.replace(place)
    finally:
        for part, _ in staged:
            _remove(part)
    info = source.info if source is not None else None
    if info is not None and any(stream.kind == "audio" for stream in info.streams):
        return [f"sound is not carried: {delivery.ending} holds pictures only"]
    return []


# --- files -----------------------------------------------------------------------------------------------------------


def _copy(file: Path, to: Path) -> None:
    """A second name for the same bytes where the file system can, so that a chunk stays for a resumed job."""
    _remove(to)
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system or an encoder refuses, in one line with the path."""
    try:
        yield
    except AnswerprintError:
        raise
    except (OSError, av.error.FFmpegError, ValueError) as error:
        raise DeliveryError(f"{path}: {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run it again"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"folder {path.parent} cannot be written to; choose another or mend its permissions"
    if number == errno.ENOENT and not path.parent.exists():
        return f"folder {path.parent} does not exist; make it first"
    if number == errno.ENOTDIR or (number == errno.EEXIST and path.is_dir()):
        return "is in the way of the output: not a folder, or a folder where a file should be"
    return f"cannot be written: {getattr(error, 'strerror', None) or error}"
