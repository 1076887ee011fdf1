"""Inventory of all that footage holds beside its pictures, and the losses of an output against its source.

The list of the source is compared with that of the output as it was read back, so nothing is lost that no line tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from answerprint.frame import ColorTags, FieldOrder
from answerprint.media import probe, quicktime, sequence, sidedata, tracks
from answerprint.media.container import open_container, video_stream
from answerprint.media.info import Chapter, ClipInfo, StreamInfo
from answerprint.media.presets import Delivery
from answerprint.media.sidedata import SideData
from answerprint.media.tracks import Tracks

if TYPE_CHECKING:
    from answerprint.media.reader import Clip

_LISTED = 12  # tags that a line names; a camera's still has a hundred
_LOOKED_AT = 4  # pictures of an output whose side data is read
# Names of H.273 that mean the same: one formula, or one curve at this precision.
_SAME = {"bt470bg": "smpte170m", "bt2020-10": "bt709", "bt2020-12": "bt709"}
_SAME_CURVE = {"smpte170m": "bt709"}
_WORDS = {"audio": "sound track", "video": "second picture", "data": "data track", "subtitle": "subtitle track"}
_PRECISION = {"u8": 8, "s8": 8, "s16": 16, "s24": 24, "s32": 32, "f32": 33, "f64": 65}


@dataclass(frozen=True)
class Contents:
    """All that footage holds beside its pictures. Tracks of an output have the numbers of the source's."""

    timecode: str | None = None
    reel: str | None = None
    color: ColorTags | None = None
    sar: Fraction = Fraction(1)
    field_order: FieldOrder = "progressive"
    side_data: tuple[SideData, ...] = ()
    streams: tuple[StreamInfo, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    metadata: Mapping[str, str] | None = None


def of_source(source: Clip | None, delivery: Delivery, begin: Fraction, end: Fraction) -> Contents:
    """The inventory that an output of [begin, end) seconds of the source has to have.

    Args:
        source: None has nothing but what the delivery says.
        delivery: timecode, color, aspect and fields as the pictures leave the work.
        begin: seconds of the source where the output begins.
        end: seconds of the source where it ends.
    """
    pictures = delivery.format.pictures
    contents = Contents(
        timecode=tracks.timecode_at(delivery, begin),
        color=None if pictures else delivery.color,
        sar=delivery.sar,
        field_order=delivery.field_order,
    )
    if source is None:
        return contents
    info = source.info
    return replace(
        contents,
        reel=tracks.reel_of(info),
        side_data=info.side_data,
        streams=tuple(stream for stream in info.streams if not tracks.is_timecode(stream)),
        chapters=tuple(chapter for chapter in info.chapters if chapter.stop > begin and chapter.start < end),
        metadata=tracks.picture_tags(info) if pictures and info.kind == "sequence" else tracks.tags_of(info),
    )


def of_file(path: Path, beside: Tracks, captions: bool) -> Contents:
    """The inventory of a video file, by its tables and first pictures.

    Args:
        path: the file.
        beside: the tracks that were written into it.
        captions: whether captions were put into its pictures, if not into the first ones.
    """
    with open_container(str(path)) as container:
        stream = video_stream(container, str(path))
        context, order = stream.codec_context, probe.tagged_order(stream)
        first = probe.first_frame(str(path), container, stream, probe.color_numbers(stream))
        mov = container.format.name.startswith("mov")
        entries = quicktime.entries(path) if mov else []
        items = probe.side_data(str(path), container, first, [], entries)
        if captions and all(item.kind != sidedata.CAPTIONS for item in items):
            items += (SideData(sidedata.CAPTIONS),)
        coded = first.field_order if order == "unknown" else order
        return Contents(
            timecode=probe.timecode(container, stream, first),
            reel=tracks.reel(track.metadata for track in container.streams),
            color=first.color,
            sar=Fraction(stream.sample_aspect_ratio or context.sample_aspect_ratio or 1),
            field_order=coded,
            side_data=items,
            streams=tuple(_renumbered(probe.streams(container, stream, entries), beside)),
            chapters=probe.chapters(container, Fraction(0)),
            metadata=dict(container.metadata),
        )


def _renumbered(streams: Iterable[StreamInfo], beside: Tracks) -> Iterator[StreamInfo]:
    """The tracks that came from the source, with their numbers there."""
    stills = iter(beside.stills)
    for stream in streams:
        if stream.kind == "attachment" or "attached_pic" in stream.disposition:
            number = next(stills, None)
        else:
            number = beside.numbers.get(stream.index)
        if number is not None:
            yield replace(stream, index=number)


def of_picture(path: Path) -> Contents:
    """The inventory of a picture of a sequence."""
    info: ClipInfo = sequence.open_sequence(str(path), {}).info
    return Contents(timecode=info.timecode, reel=tracks.reel_of(info), sar=info.sar, metadata=info.metadata)


def losses(source: Contents, output: Contents, delivery: Delivery, reasons: Mapping[int, str]) -> list[str]:
    """The losses of an output, one sentence each.

    Args:
        source: the inventory that it has to have.
        output: its inventory.
        delivery: how it was made.
        reasons: why a track was not taken as it is, by its number in the source.
    """
    place = "holds pictures only" if delivery.format.pictures else "as written here has no place for that"
    why = f"{delivery.ending} {place}"
    result = [*_facts(source, output, why), *_side_data(source, output, delivery)]
    there = {stream.index: stream for stream in output.streams}
    for stream in source.streams:
        result += _track(stream, there.get(stream.index), reasons.get(stream.index, why), why)
    if len(source.chapters) > len(output.chapters):
        missing = len(source.chapters) - len(output.chapters)
        chapters = "1 chapter is" if missing == 1 else f"{missing} chapters are"
        result.append(f"{chapters} not carried: {why}")
    return [*result, *_tags(source, output, delivery)]


def _tags(source: Contents, output: Contents, delivery: Delivery) -> Iterator[str]:
    there = {key.lower() for key in output.metadata or {}}
    lost = [key for key in source.metadata or {} if key.lower() not in there]
    if lost:
        names = ", ".join(lost[:_LISTED]) + (f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else "")
        subject = f"tag {names} is" if len(lost) == 1 else f"tags {names} are"
        yield f"{subject} not carried: {delivery.ending} as written here has no place for that"


def _facts(source: Contents, output: Contents, why: str) -> Iterator[str]:
    if source.timecode is not None and output.timecode is None:
        yield f"timecode {source.timecode} is not carried: {why}"
    elif source.timecode is not None and source.timecode != output.timecode:
        yield f"timecode {source.timecode} became {output.timecode}: {why}"
    if source.reel is not None and source.reel != output.reel:
        yield f"reel name {source.reel} is not carried: {why}"
    if source.color is not None and output.color is not None:
        yield from _colors(source.color, output.color, why)
    if source.sar not in (0, output.sar) and abs(source.sar - output.sar) > Fraction(1, 1000):
        yield f"sample aspect ratio {source.sar} is not carried: {why}"
    if source.field_order in ("tff", "bff") and source.field_order != output.field_order:
        yield f"field order {source.field_order} is not carried: it is tagged {output.field_order}, for {why}"


def _colors(before: ColorTags, after: ColorTags, why: str) -> Iterator[str]:
    names = ("primaries", "transfer", "matrix")
    values = [getattr(before, name) for name in names]
    lost = [name for name in names if _meaning(name, getattr(after, name)) != _meaning(name, getattr(before, name))]
    lost = [name for name in lost if getattr(before, name) != "unknown"]
    if lost and all(getattr(after, name) == "unknown" for name in lost):
        yield f"color tags ({', '.join(values)}) are not carried: {why}"
    else:
        yield from (f"{name} {getattr(before, name)} became {getattr(after, name)}: {why}" for name in lost)
    if before.range == "full" and after.range != "full" and before.matrix != "rgb":
        yield f"range full is not carried: {why}"


def _meaning(name: str, value: str) -> str:
    value = _SAME.get(value, value)
    return _SAME_CURVE.get(value, value) if name == "transfer" else value


def _side_data(source: Contents, output: Contents, delivery: Delivery) -> Iterator[str]:
    there = {item.kind: item for item in output.side_data}
    for item in source.side_data:
        if item.kind in there:
            continue
        value = f" ({item.text})" if item.text else ""
        if item.kind in sidedata.DYNAMIC:
            why = "it describes each picture as it came, and these were worked on"
        elif item.box and item.box not in delivery.boxes and not delivery.format.pictures:
            why = "it describes the pictures as they were, and their color or size changed"
        else:
            why = f"{delivery.preset} in {delivery.ending} as written here has no place for that"
        verb = "are" if item.kind == sidedata.CAPTIONS else "is"
        yield f"{item.kind}{value} {verb} not carried: {why}"


def _track(before: StreamInfo, after: StreamInfo | None, reason: str, why: str) -> Iterator[str]:
    """The losses of one track; `reason` tells of the whole track, `why` of what it says of itself."""
    cover = "attached_pic" in before.disposition
    word = "cover art" if cover else _WORDS.get(before.kind, before.kind)
    name = f"{word} {before.index}"
    if after is None or after.kind != before.kind:
        yield f"{name} ({before.metadata.get('filename', before.codec)}) is not carried: {reason}"
        return
    if before.codec != after.codec and not _as_precise(before.codec, after.codec):
        yield f"{name} was encoded anew as {after.codec}: {reason}"
    if before.kind == "audio" and (rate := before.detail.partition(" Hz")[0]) != after.detail.partition(" Hz")[0]:
        yield f"{name} was {rate} Hz and is {after.detail.partition(' Hz')[0]}: {reason}"
    if before.language != "und" and tracks.bibliographic(before.language) != tracks.bibliographic(after.language):
        yield f"{name}: language {before.language} is not carried: {why}"
    if before.title and before.title != after.title:
        yield f"{name}: title {before.title} is not carried: {why}"
    lost = [flag for flag in before.disposition if flag not in ("default", *after.disposition)]
    if lost and not cover:
        yield f"{name}: {', '.join(lost).replace('_', ' ')} is not carried: {why}"


def _as_precise(before: str, after: str) -> bool:
    """Whether a codec of sound is uncompressed like another, and holds its samples whole."""
    bits = [_PRECISION.get(name.removeprefix("pcm_").removesuffix("le").removesuffix("be")) for name in (before, after)]
    return bits[0] is not None and bits[1] is not None and bits[0] <= bits[1]
