"""Sound, subtitles, chapters, metadata and timecode of a source, brought to an output."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from answerprint.media import timecode
from answerprint.media.container import open_path
from answerprint.media.presets import Delivery

if TYPE_CHECKING:
    from answerprint.media.reader import Clip

# Sound that is copied as it is, by ending; "pcm" stands for all kinds of it.
_COPIABLE = {
    ".mov": ("pcm", "aac", "ac3", "eac3", "alac", "mp3", "mp2"),
    ".mp4": ("aac", "ac3", "eac3", "alac", "mp3", "mp2", "flac", "opus"),
    ".mkv": ("pcm", "aac", "ac3", "eac3", "alac", "mp3", "mp2", "flac", "opus", "vorbis", "dts", "truehd", "mlp"),
    ".mxf": ("pcm_s16le", "pcm_s24le"),
    ".avi": ("pcm_s16le", "pcm_s24le", "pcm_u8", "aac", "ac3", "mp3", "mp2"),
}
_NEW = {".mp4": "aac"}  # everything else: pcm_s24le, which no sound loses anything by
# Kinds of PCM that nobody else reads, or that a container does not take, become this.
_PCM = {"s16": "pcm_s16le", "s32": "pcm_s24le", "flt": "pcm_f32le", "dbl": "pcm_f64le", "u8": "pcm_u8"}
# QuickTime and Matroska know languages by the bibliographic code of ISO 639-2, MP4 by the terminological one.
_BIBLIOGRAPHIC = {
    "bod": "tib", "ces": "cze", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "fra": "fre",
    "hye": "arm", "isl": "ice", "kat": "geo", "mkd": "mac", "mri": "mao", "msa": "may", "mya": "bur", "nld": "dut",
    "ron": "rum", "slk": "slo", "sqi": "alb", "zho": "chi",
}  # fmt: skip
_OWN_TAGS = {
    "major_brand", "minor_version", "compatible_brands", "creation_time", "encoder", "timecode", "duration",
    "handler_name", "vendor_id", "operational_pattern_ul", "modification_date", "uid", "generation_uid",
    "product_uid", "material_package_umid", "company_name", "product_name", "product_version", "toolkit_version",
    "application_platform",
}  # fmt: skip


def timecode_at(delivery: Delivery, start: Fraction) -> str | None:
    """The timecode of the output's first frame: the source's, moved on by what was cut off before it."""
    if delivery.timecode is None or not timecode.is_timecode(delivery.timecode):
        return None
    return timecode.shift(delivery.timecode, round(start * delivery.rate), delivery.rate)


class Tracks:
    """All tracks of a source that an output takes, cut to its range.

    Args:
        source: None, or a picture sequence, has none.
        out: the output, its video stream already there.
        ending: its file ending.
        start: time in the source where the output begins.
        stop: time in the source where it ends.
        stack: closes what is opened here.

    Attributes:
        notes: what cannot be brought along, one sentence each.
    """

    def __init__(
        self, source: Clip | None, out: Any, ending: str, start: Fraction, stop: Fraction, stack: contextlib.ExitStack
    ) -> None:
        self.notes: list[str] = []
        self._routes: dict[int, _CopiedTrack | _EncodedTrack] = {}
        self._container: Any = None
        self._start, self._stop = start, stop
        if source is None or source.info.kind != "file":
            return
        info = source.info
        self._zero = info.start + start  # file time that becomes 0
        half = 1 / info.rate / 2
        # Sound may run on after the last picture: an output of the whole source keeps it.
        self._whole = start <= 0 and stop >= info.duration - half
        self._length = None if self._whole else stop - start
        out.metadata.update({k: v for k, v in (info.metadata or {}).items() if k.lower() not in _OWN_TAGS})
        self._chapters(source, out, ending)
        self._container = stack.enter_context(open_path(info.path, metadata_errors="replace"))
        for stream in self._container.streams:
            self._add(stream, out, ending)

    def interleave(self, video: Iterator[tuple[Fraction, Any]]) -> Iterator[Any]:
        """The packets of all tracks and of the pictures, in the order of their times."""
        pictures = ((time, 0, packet) for time, packet in video)
        others = ((time, 1, packet) for time, packet in self._packets())
        for _, _, packet in heapq.merge(pictures, others, key=lambda entry: entry[:2]):
            yield packet

    def _packets(self) -> Iterator[tuple[Fraction, Any]]:
        if not self._routes:
            return
        before = self._zero - 10
        if before > 0:
            self._container.seek(int(before * av.time_base), backward=True)
        streams = [self._container.streams[index] for index in self._routes]
        for packet in self._container.demux(streams):
            if not packet.size or packet.pts is None:
                continue
            if self._length is not None and packet.pts * packet.time_base - self._zero > self._length + 10:
                break
            yield from self._routes[packet.stream.index].convert(packet)
        for route in self._routes.values():
            yield from route.flush()

    def _add(self, stream: Any, out: Any, ending: str) -> None:
        if stream.type == "audio":
            self._add_sound(stream, out, ending)
        elif stream.type == "subtitle":
            self._add_subtitles(stream, out, ending)
        elif stream.type == "attachment":
            if ending == ".mkv":
                name = stream.metadata.get("filename", f"attachment {stream.index}")
                out.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
            else:
                self.notes.append(f"attachment {stream.index} is not carried: {ending} has no place for it")
        elif stream.type == "data" and not _is_timecode(stream):
            name = stream.name or "unknown kind"
            self.notes.append(f"data track {stream.index} ({name}) is not carried")

    def _add_sound(self, stream: Any, out: Any, ending: str) -> None:
        context = stream.codec_context
        if context is None:
            self.notes.append(f"sound track {stream.index} is not carried: its codec is not known")
            return
        name = context.name
        copies = any(name == kind or name.startswith(f"{kind}_") for kind in _COPIABLE[ending])
        pcm = name.startswith("pcm_")
        if copies and (self._whole or not pcm):
            new = out.add_stream_from_template(stream)
            self._routes[stream.index] = _CopiedTrack(new, self._zero, self._length, preroll=ending in (".mov", ".mp4"))
        else:
            codec = name if copies else _NEW.get(ending) or _pcm_for(context.format.packed.name, ending)
            rate = 48000 if ending == ".mxf" else context.sample_rate
            new = out.add_stream(codec, rate=rate, layout=context.layout.name)
            if codec == "aac":
                new.bit_rate = 160_000 * max(context.layout.nb_channels // 2, 1)
            self._routes[stream.index] = _EncodedTrack(stream, new, self._zero, self._length)
            if not pcm or codec == "aac":
                why = f"{ending} does not take {name}"
                self.notes.append(f"sound track {stream.index} was encoded anew as {codec}: {why}")
        _copy_tags(new, stream, ending)

    def _add_subtitles(self, stream: Any, out: Any, ending: str) -> None:
        try:
            if ending not in (".mkv", ".mp4", ".mov"):
                raise ValueError
            new = out.add_stream_from_template(stream)
        except ValueError:
            name = stream.codec_context.name if stream.codec_context else "unknown kind"
            self.notes.append(f"subtitle track {stream.index} ({name}) is not carried: {ending} does not take it")
            return
        _copy_tags(new, stream, ending)
        self._routes[stream.index] = _CopiedTrack(new, self._zero, self._length, preroll=False)

    def _chapters(self, source: Clip, out: Any, ending: str) -> None:
        chapters = []
        for chapter in source.info.chapters:
            begin = max(chapter.start, self._start) - self._start
            end = (chapter.stop if self._whole else min(chapter.stop, self._stop)) - self._start
            if end > begin:
                chapters.append((begin, end, chapter.title))
        if chapters and ending in (".mxf", ".avi"):
            self.notes.append(f"{len(chapters)} chapters are not carried: {ending} has no place for them")
            return
        base = Fraction(1, 1_000_000_000 if ending == ".mkv" else 90_000)
        out.set_chapters(
            [
                {
                    "id": number, "start": round(begin / base), "end": round(end / base), "time_base": base,
                    "metadata": {"title": title} if title else {},
                }
                for number, (begin, end, title) in enumerate(chapters, 1)
            ]
        )  # fmt: skip


class _CopiedTrack:
    """A track whose packets are copied; cut at whole packets."""

    def __init__(self, stream: Any, zero: Fraction, length: Fraction | None, preroll: bool) -> None:
        self._stream, self._zero, self._length, self._preroll = stream, zero, length, preroll

    def convert(self, packet: Any) -> Iterator[tuple[Fraction, Any]]:
        tick = packet.time_base
        begin = packet.pts * tick - self._zero
        end = begin + (packet.duration or 0) * tick
        # A packet that reaches into the range is kept where the container can hide what lies before it; elsewhere it
        # would move the pictures to a later start.
        if begin < 0 and not self._preroll:
            return
        if self._length is not None and (end <= 0 or begin >= self._length):
            return
        shift = round(self._zero / tick)
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = self._stream
        yield packet.dts * tick, packet

    def flush(self) -> Iterator[tuple[Fraction, Any]]:
        return iter(())


class _EncodedTrack:
    """A sound track that is decoded and encoded again; cut to the sample."""

    def __init__(self, source: Any, stream: Any, zero: Fraction, length: Fraction | None) -> None:
        self._source, self._stream, self._zero, self._length = source, stream, zero, length
        context = stream.codec_context
        self._resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=context.sample_rate)

    def convert(self, packet: Any) -> Iterator[tuple[Fraction, Any]]:
        for frame in packet.decode():
            cut = self._cut(frame)
            if cut is not None:
                for part in self._resampler.resample(cut):
                    yield from self._encode(part)

    def flush(self) -> Iterator[tuple[Fraction, Any]]:
        for frame in self._source.decode(None):
            cut = self._cut(frame)
            if cut is not None:
                for part in self._resampler.resample(cut):
                    yield from self._encode(part)
        for part in self._resampler.resample(None):
            yield from self._encode(part)
        yield from self._encode(None)

    def _encode(self, frame: Any) -> Iterator[tuple[Fraction, Any]]:
        for packet in self._stream.encode(frame):
            yield (packet.dts or 0) * packet.time_base, packet

    def _cut(self, frame: Any) -> Any:
        """The samples of a frame that lie in the range, their time counted from its start."""
        rate = frame.sample_rate
        first = round((frame.pts * frame.time_base - self._zero) * rate)
        length = None if self._length is None else round(self._length * rate)
        begin = max(-first, 0)
        end = frame.samples if length is None else min(frame.samples, length - first)
        if begin >= end:
            return None
        if begin > 0 or end < frame.samples:
            samples = frame.to_ndarray()
            width = 1 if frame.format.is_planar else frame.layout.nb_channels
            part = np.ascontiguousarray(samples[:, begin * width : end * width])
            cut = av.AudioFrame.from_ndarray(part, format=frame.format.name, layout=frame.layout.name)
            cut.sample_rate = rate
        else:
            cut = frame
        cut.pts = first + begin
        cut.time_base = Fraction(1, rate)
        return cut


def _pcm_for(packed: str, ending: str) -> str:
    """A PCM that loses nothing of decoded samples, and that the container takes."""
    codec = _PCM.get(packed, "pcm_s24le")
    if ending in (".mxf", ".avi") and codec not in ("pcm_s16le", "pcm_s24le"):
        return "pcm_s24le"
    return codec


def _is_timecode(stream: Any) -> bool:
    return "timecode" in stream.metadata or stream.name in ("tmcd", None, "bin_data")


def _copy_tags(new: Any, old: Any, ending: str) -> None:
    """Gives a track the language, title and disposition of the source's."""
    labels = {k: v for k, v in old.metadata.items() if k in ("language", "title", "handler_name")}
    if "language" in labels and ending in (".mov", ".mkv"):
        labels["language"] = _BIBLIOGRAPHIC.get(labels["language"], labels["language"])
    new.metadata.update(labels)
    new.disposition = old.disposition
