"""Facts of a clip: `ClipInfo`, as a table for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass
from fractions import Fraction
from typing import Any, Literal

from answerprint.frame import ColorTags, FieldOrder, Framing
from answerprint.media.sidedata import SideData


@dataclass(frozen=True)
class StreamInfo:
    """One track of a file beside the picture.

    Attributes:
        index: number of the track in the file.
        kind: "audio", "subtitle", "data", "attachment", or "video" for a second picture.
        codec: FFmpeg's name, "unknown" where the decoder is not known.
        language: as tagged, "und" where not.
        title: as tagged, may be empty.
        detail: format of this kind, in words ("48000 Hz, stereo, s32").
        metadata: all tags of the track.
        disposition: what it is for, in FFmpeg's words: "default", "forced", "attached_pic", ...
    """

    index: int
    kind: str
    codec: str
    language: str
    title: str
    detail: str
    metadata: dict[str, str]
    disposition: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """A named stretch of the clip, in seconds from its first frame."""

    start: Fraction
    stop: Fraction
    title: str


@dataclass(frozen=True)
class ClipInfo:
    """Everything about a clip that can be told without decoding every picture.

    Attributes:
        path: the file, or the pattern of the sequence.
        kind: "file" or "sequence".
        container: FFmpeg's short name ("mov", "matroska"), or the kind of picture ("openexr").
        codec: FFmpeg's codec name ("prores"), for sequences the compression or the kind of picture.
        profile: the codec's profile, may be empty.
        width: columns, after rotation; those of `framing.canvas` where there is one.
        height: lines, likewise.
        layout: the planar FFmpeg pixel format that planes are delivered in ("yuv422p10").
        stored: the pixel format as decoded ("p010", "rgb24"); equals `layout` where planes are used as they are.
        bits: bits per sample (16 for half float, 32 for float).
        floating: whether samples are floating point.
        rate: frames per second, exact; nominal where the rate is variable.
        variable_rate: whether frame times are not evenly spaced.
        frames: number of frames.
        duration: seconds, exact.
        start: presentation time of the first frame in the file, in seconds; all other times count from it.
        sar: sample aspect ratio.
        rotation: degrees clockwise that were applied on reading, 0, 90, 180 or 270.
        flipped: whether the pictures were also mirrored on reading.
        field_order: how lines were taken, as used.
        tagged_field_order: as the container says.
        measured_field_order: as the pictures say; "unknown" where nothing moves.
        color: tags as the file has them.
        assumed: tags as used, no entry unknown.
        timecode: of the first frame ("01:00:00:00", ";" before frames for drop frame), or None.
        streams: audio, subtitle, data and attachment tracks.
        chapters: named stretches.
        metadata: tags of the container.
        side_data: what the file says of its pictures beside color and time.
        notes: every policy that was applied, one sentence each.
        first_number: number in the name of a sequence's first picture; None where it has none.
        framing: windows of a sequence whose pictures hold not just what is shown; `data` is that of the first.
        passes: layers of its pictures that are not worked on, with their channels.
        film: DPX's name of an encoding that no color tag names ("Printing density"), else empty.
    """

    path: str
    kind: Literal["file", "sequence"]
    container: str
    codec: str
    profile: str
    width: int
    height: int
    layout: str
    stored: str
    bits: int
    floating: bool
    rate: Fraction
    variable_rate: bool
    frames: int
    duration: Fraction
    start: Fraction
    sar: Fraction
    rotation: int
    flipped: bool
    field_order: FieldOrder
    tagged_field_order: FieldOrder
    measured_field_order: FieldOrder
    color: ColorTags
    assumed: ColorTags
    timecode: str | None
    streams: tuple[StreamInfo, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    metadata: dict[str, str] | None = None
    side_data: tuple[SideData, ...] = ()
    notes: tuple[str, ...] = ()
    first_number: int | None = None
    framing: Framing | None = None
    passes: tuple[str, ...] = ()
    film: str = ""

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height of what is shown."""
        shown = self.framing.display if self.framing is not None else self
        return shown.width, shown.height

    @property
    def interlaced(self) -> bool:
        """Whether two fields of different moments make a picture."""
        return self.field_order in ("tff", "bff")


_FIELD_ORDERS = {
    "progressive": "progressive",
    "tff": "interlaced, top field first",
    "bff": "interlaced, bottom field first",
    "unknown": "unknown",
}


def table(info: ClipInfo) -> list[tuple[str, str]]:
    """(label, value) rows for `answerprint info`, in the order of reading."""
    rows = [
        ("path", info.path),
        ("container", info.container),
        ("codec", f"{info.codec} ({info.profile})" if info.profile else info.codec),
        ("size", _size(info)),
        ("pixels", _pixels(info)),
        ("rate", _rate(info)),
        ("length", f"{info.frames} frame{'s' * (info.frames != 1)}, {clock(info.duration)}"),
        ("fields", _fields(info)),
        ("color", _color(info)),
        ("timecode", info.timecode or "none"),
    ]
    if info.rotation or info.flipped:
        mirrored = ", mirrored" * info.flipped
        rows.append(("rotation", f"{info.rotation} degrees clockwise{mirrored}, applied on reading"))
    if info.framing is not None:
        rows.append(("windows", f"display {info.framing.display}; data {info.framing.data} (first picture)"))
    if info.first_number is not None:
        rows.append(("numbers", f"{info.first_number} to {info.first_number + info.frames - 1}"))
    rows += [("layer", f"{layer}, not worked on") for layer in info.passes]
    rows += [(item.kind, item.text or "present") for item in info.side_data]
    rows += [(f"{stream.kind} {stream.index}", _stream(stream)) for stream in info.streams]
    rows += [
        (f"chapter {number}", f"{clock(chapter.start)} - {clock(chapter.stop)}  {chapter.title}".rstrip())
        for number, chapter in enumerate(info.chapters, 1)
    ]
    rows += [(f"tag {key}", value) for key, value in (info.metadata or {}).items()]
    return rows + [("note", note) for note in info.notes]


def to_json(info: ClipInfo) -> dict[str, Any]:
    """All fields as plain JSON values; fractions as "30000/1001", times in exact seconds the same way."""
    values: dict[str, Any] = _plain({field.name: getattr(info, field.name) for field in fields(info)})
    return values


def clock(seconds: Fraction) -> str:
    """Seconds as HH:MM:SS.mmm, rounded to the millisecond."""
    total = round(seconds * 1000)
    sign, total = ("-", -total) if total < 0 else ("", total)
    return f"{sign}{total // 3600000:02d}:{total // 60000 % 60:02d}:{total // 1000 % 60:02d}.{total % 1000:03d}"


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return value


def _size(info: ClipInfo) -> str:
    width, height = info.display_size
    text = f"{width} x {height}"
    if info.sar == 1:
        return text
    return f"{text}, sample aspect {info.sar.numerator}:{info.sar.denominator}"


def _pixels(info: ClipInfo) -> str:
    planar = f" read as {info.layout}" if info.stored != info.layout else ""
    return f"{info.stored}{planar}, {info.bits}" + ("-bit float" if info.floating else " bit")


def _rate(info: ClipInfo) -> str:
    text = f"{float(info.rate):.6g} fps"
    if info.rate.denominator != 1:
        text += f" ({info.rate})"
    return f"variable, nominally {text}" if info.variable_rate else text


def _fields(info: ClipInfo) -> str:
    text = _FIELD_ORDERS[info.field_order]
    if info.measured_field_order not in ("unknown", info.field_order):
        text += f" (tagged {info.tagged_field_order}, measured {info.measured_field_order})"
    return text


def _color(info: ClipInfo) -> str:
    parts = []
    for field in fields(ColorTags):
        value, tag = getattr(info.assumed, field.name), getattr(info.color, field.name)
        source = "" if value == tag else " (assumed)" if tag == "unknown" else f" (tagged {tag})"
        parts.append(f"{field.name} {value}{source}")
    return ", ".join(parts)


def _stream(stream: StreamInfo) -> str:
    language = stream.language if stream.language != "und" else ""
    purpose = ", ".join(word.replace("_", " ") for word in stream.disposition if word != "default")
    return ", ".join(part for part in (stream.codec, stream.detail, language, stream.title, purpose) if part)
