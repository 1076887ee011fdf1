"""Sound, subtitles, chapters, metadata and timecode of a source, brought to an output."""

from __future__ import annotations

import contextlib
import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.stream import Disposition

from answerprint.media import timecode
from answerprint.media.container import open_path
from answerprint.media.info import ClipInfo, StreamInfo
from answerprint.media.pictures import header
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
_STILLS = {"mjpeg": "jpeg", "png": "png"}  # kinds of cover art, by codec
_NEW = {".mp4": "aac"}  # everything else: pcm_s24le, which no sound loses anything by
# Kinds of PCM that nobody else reads, or that a container does not take, become this.
_PCM = {"s16": "pcm_s16le", "s32": "pcm_s24le", "flt": "pcm_f32le", "dbl": "pcm_f64le", "u8": "pcm_u8"}
# QuickTime and Matroska know languages by the bibliographic code of ISO 639-2, MP4 by the terminological one; but for
# four, as FFmpeg writes QuickTime.
_BIBLIOGRAPHIC = {
    "bod": "tib", "ces": "cze", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "fra": "fre",
    "hye": "arm", "isl": "ice", "kat": "geo", "mkd": "mac", "mri": "mao", "msa": "may", "mya": "bur", "nld": "dut",
    "ron": "rum", "slk": "slo", "sqi": "alb", "zho": "chi",
}  # fmt: skip
_IN_QUICKTIME = {"cze": "ces", "fre": "fra", "rum": "ron", "slo": "slk"}
# Tags that the usual list of a QuickTime or MP4 file has a place for; others need Apple's list of keys and values.
_USUAL_TAGS = {
    ".mov": {"title", "artist", "album", "date", "comment", "genre", "copyright", "location", "make", "model"},
    ".mp4": {
        "title", "artist", "album", "album_artist", "composer", "date", "comment", "genre", "copyright", "description",
        "location", "keywords", "grouping", "lyrics", "synopsis", "show", "episode_id", "network", "track", "disc",
    },
}  # fmt: skip
# Data tracks that FFmpeg can write, by ending and kind.
_DATA = {".mov": ("gpmd",), ".mp4": ("gpmd",)}
_OWN_TAGS = {
    "major_brand", "minor_version", "compatible_brands", "encoder", "timecode", "duration", "location-eng",
    "handler_name", "vendor_id", "operational_pattern_ul", "modification_date", "uid", "generation_uid",
    "product_uid", "material_package_umid", "company_name", "product_name", "product_version", "toolkit_version",
    "application_platform", "product_version_num", "toolkit_version_num",
}  # fmt: skip

# Tags of pictures that video files have names for.
_OF_PICTURES = {
    "Copyright": "copyright", "Artist": "artist", "Make": "make", "Model": "model", "ImageDescription": "comment",
    "DateTime": "date",
}  # fmt: skip
_DATE = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)")  # as TIFF has it, and all pictures here


def timecode_at(delivery: Delivery, start: Fraction) -> str | None:
    """The timecode of the output's first frame: the source's, moved on by what was cut off before it."""
    if delivery.timecode is None or not timecode.is_timecode(delivery.timecode):
        return None
    return timecode.shift(delivery.timecode, round(start * delivery.rate), delivery.rate)


def carried_tags(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Those tags of a container that are of the footage, not of the file that it came in."""
    tags = {key: value for key, value in (metadata or {}).items() if key.lower() not in _OWN_TAGS}
    # A date of zero is none.
    return {k: v for k, v in tags.items() if k.lower() != "creation_time" or not v.startswith(("1970-01-01", "1904-"))}


def picture_tags(info: ClipInfo) -> dict[str, str]:
    """Those tags of a picture sequence that are of the footage, but for the name of the reel."""
    tags = header.footage_tags(info.metadata or {}, Path(info.path).suffix.lower())
    return {key: value for key, value in tags.items() if key != header.REEL}


def tags_of(info: ClipInfo) -> dict[str, str]:
    """The tags of footage, by the names that a video file has for them."""
    if info.kind == "file":
        return carried_tags(info.metadata)
    tags = picture_tags(info)
    if match := _DATE.fullmatch(tags.get("DateTime", "")):
        tags["DateTime"] = "{}-{}-{}T{}".format(*match.groups())
    return {_OF_PICTURES.get(key, key): value for key, value in tags.items()}


def container_tags(info: ClipInfo) -> dict[str, str]:
    """Those tags of footage that go into a video file; of a picture's those that such files have names for."""
    tags = tags_of(info)
    return tags if info.kind == "file" else {key: tags[key] for key in _OF_PICTURES.values() if key in tags}


def reel_of(info: ClipInfo) -> str | None:
    """The name of the reel that the timecode of footage counts on."""
    if info.kind == "sequence":
        return (info.metadata or {}).get(header.REEL)
    return reel(stream.metadata for stream in info.streams)


def reel(tables: Iterable[Mapping[str, str]]) -> str | None:
    """The name of the reel that timecode counts on, from the tags of tracks."""
    labels = (value for table in tables for key, value in table.items() if key.lower() == "reel_name")
    return next(labels, None)


def muxer_flags(source: Clip | None, ending: str) -> str:
    """Flags of FFmpeg's QuickTime muxer that the tags of the source need."""
    usual = _USUAL_TAGS.get(ending, set()) | {"creation_time"}
    tags = {} if source is None else container_tags(source.info)
    return "+use_metadata_tags" if any(key.lower() not in usual for key in tags) else ""


def bibliographic(language: str) -> str:
    """The code of a language that QuickTime and Matroska know it by."""
    return _BIBLIOGRAPHIC.get(language, language)


def is_timecode(stream: StreamInfo) -> bool:
    """Whether a track is written anew from what else is known: timecode, or the names of chapters."""
    return stream.kind == "data" and ("timecode" in stream.metadata or stream.codec in ("tmcd", "text"))


class Tracks:
    """All tracks of a source that an output takes, cut to its range.

    Args:
        source: None has none, a picture sequence only tags.
        out: the output, its video stream already there.
        ending: its file ending.
        start: time in the source where the output begins.
        stop: time in the source where it ends.
        stack: closes what is opened here.

    Attributes:
        reasons: why a track is not taken, or not as it is, by its number in the source.
        numbers: of tracks in the source, by their number in the output.
        stills: numbers in the source of attachments and cover art that were taken, in the order of the output.
    """

    def __init__(
        self, source: Clip | None, out: Any, ending: str, start: Fraction, stop: Fraction, stack: contextlib.ExitStack
    ) -> None:
        self.reasons: dict[int, str] = {}
        self.numbers: dict[int, int] = {}
        self.stills: list[int] = []
        self._routes: dict[int, _CopiedTrack | _EncodedTrack] = {}
        self._covers: list[Any] = []
        self._container: Any = None
        self._start, self._stop = start, stop
        if source is None:
            return
        info = source.info
        out.metadata.update(container_tags(info))
        if info.kind != "file":
            return
        self._zero = info.start + start  # file time that becomes 0
        half = 1 / info.rate / 2
        # Sound may run on after the last picture: an output of the whole source keeps it.
        self._whole = start <= 0 and stop >= info.duration - half
        self._length = None if self._whole else stop - start
        self._chapters(source, out, ending)
        self._container = stack.enter_context(open_path(info.path, metadata_errors="replace"))
        known = {stream.index: stream for stream in info.streams}
        # Attachments and cover art come last in every container, whatever their number was.
        for stream in sorted(self._container.streams, key=lambda stream: _is_still(stream)):
            if stream.index in known and not is_timecode(known[stream.index]):
                new = self._add(stream, known[stream.index], out, ending)
                if new is not None and _is_still(stream):
                    self.stills.append(stream.index)
                elif new is not None:
                    self.numbers[new.index] = stream.index

    def interleave(self, video: Iterator[tuple[Fraction, Any]]) -> Iterator[Any]:
        """The packets of all tracks and of the pictures, in the order of their times."""
        yield from self._covers
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

    def _add(self, stream: Any, known: StreamInfo, out: Any, ending: str) -> Any:
        """The track of the output that takes this one; None where it takes none."""
        if _is_still(stream):
            return self._add_still(stream, out, ending)
        if stream.type == "audio":
            return self._add_sound(stream, out, ending)
        if stream.type == "subtitle":
            return self._add_subtitles(stream, out, ending)
        if stream.type == "data" and known.codec in _DATA.get(ending, ()):
            new = out.add_stream_from_template(stream)
            self._routes[stream.index] = _CopiedTrack(new, self._zero, self._length, preroll=False)
            return new
        return None

    def _add_still(self, stream: Any, out: Any, ending: str) -> Any:
        """An attachment, or cover art, which is one in Matroska and a picture of its own in MP4."""
        if ending == ".mkv" and stream.type == "attachment":
            name = stream.metadata.get("filename", f"attachment {stream.index}")
            return out.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
        if stream.type == "attachment" or ending not in (".mkv", ".mp4"):
            return None
        kind = _STILLS.get(stream.codec_context.name if stream.codec_context else "")
        packet = next((packet for packet in self._container.demux(stream) if packet.size), None)
        self._container.seek(0)
        if kind is None or packet is None:
            return None
        if ending == ".mkv":
            return out.add_attachment(stream.metadata.get("filename", f"cover.{kind}"), f"image/{kind}", bytes(packet))
        new = out.add_stream_from_template(stream, opaque=True)
        new.disposition = stream.disposition
        packet.stream, packet.pts, packet.dts = new, 0, 0
        self._covers.append(packet)
        return new

    def _add_sound(self, stream: Any, out: Any, ending: str) -> Any:
        context = stream.codec_context
        if context is None:
            self.reasons[stream.index] = "its codec is not known"
            return None
        name = context.codec.canonical_name  # "mp3", whichever decoder there is
        copies = any(name == kind or name.startswith(f"{kind}_") for kind in _COPIABLE[ending])
        pcm = name.startswith("pcm_")
        if copies and (self._whole or not pcm):
            new = out.add_stream_from_template(stream)
            self._routes[stream.index] = _CopiedTrack(new, self._zero, self._length, preroll=ending in (".mov", ".mp4"))
        else:
            codec = name if copies else _NEW.get(ending) or _pcm_for(context.format.packed.name, ending)
            rate = 48000 if ending == ".mxf" else context.sample_rate
            new = out.add_stream(codec, rate=rate, layout=_layout(context))
            if codec == "aac":
                new.bit_rate = 160_000 * max(context.layout.nb_channels // 2, 1)
            self._routes[stream.index] = _EncodedTrack(stream, new, self._zero, self._length)
            self.reasons[stream.index] = f"{ending} does not take {name}"
        _copy_tags(new, stream, ending)
        return new

    def _add_subtitles(self, stream: Any, out: Any, ending: str) -> Any:
        try:
            if ending not in (".mkv", ".mp4", ".mov"):
                raise ValueError
            new = out.add_stream_from_template(stream)
        except ValueError:
            self.reasons[stream.index] = f"{ending} does not take it"
            return None
        _copy_tags(new, stream, ending)
        self._routes[stream.index] = _CopiedTrack(new, self._zero, self._length, preroll=False)
        return new

    def _chapters(self, source: Clip, out: Any, ending: str) -> None:
        chapters = []
        for chapter in source.info.chapters:
            begin = max(chapter.start, self._start) - self._start
            end = (chapter.stop if self._whole else min(chapter.stop, self._stop)) - self._start
            if end > begin:
                chapters.append((begin, end, chapter.title))
        if ending in (".mxf", ".avi"):
            return  # no place for them
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


def _is_still(stream: Any) -> bool:
    """Whether it is an attachment or cover art, which has no time."""
    return stream.type == "attachment" or bool(stream.disposition & Disposition.attached_pic)


def _copy_tags(new: Any, old: Any, ending: str) -> None:
    """Gives a track the language, title and disposition of the source's."""
    labels = {k: v for k, v in old.metadata.items() if k in ("language", "title", "handler_name")}
    if "name" in old.metadata:
        labels.setdefault("title", old.metadata["name"])  # as QuickTime calls it
    if "language" in labels and ending in (".mov", ".mkv"):
        language = bibliographic(labels["language"])
        labels["language"] = _IN_QUICKTIME.get(language, language) if ending == ".mov" else language
    new.metadata.update(labels)
    new.disposition = old.disposition


def _layout(context: Any) -> str:
    """The channels of a sound track; those that do not say where they lie are taken for the usual ones."""
    name: str = context.layout.name
    if name.endswith(" channels"):
        return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(context.layout.nb_channels, name)
    return name
