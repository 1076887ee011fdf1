"""Chunks to one output without encoding again.

Joining takes the packets as they are, sets their times anew, and brings what the source had beside its pictures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from answerprint.errors import DeliveryError
from answerprint.media import matroska, tracks
from answerprint.media.pictures import names
from answerprint.media.pictures.header import ALPHA_LABELS
from answerprint.media.presets import VIDEO_FORMATS, Delivery
from answerprint.media.writer.checks import check_not_source, check_picture_count
from answerprint.media.writer.encoder import FIELD_ORDERS, configure, encoder_options, set_color_tags
from answerprint.media.writer.files import delivery_errors, link, remove, sync
from answerprint.media.writer.packets import open_chunk, video_packets

if TYPE_CHECKING:
    from answerprint.media.reader import Clip


def join(
    chunks: Sequence[Path], out: Path | str, delivery: Delivery, source: Clip | None, start: Fraction, stop: Fraction
) -> list[str]:
    """Makes the output of the chunks, without encoding a picture again.

    Args:
        chunks: in the order of their times.
        out: the output; a pattern for pictures.
        delivery: how the chunks were made.
        source: whose sound, subtitles, chapters, metadata and timecode come along; None for none.
        start: time in the source, in seconds, that becomes the start of the output.
        stop: time in the source where the output ends.

    Returns:
        What could not be brought along, one sentence each.

    Raises:
        DeliveryError: disk full, folder not writable, output equal to the source; nothing stands under the name then.
    """
    out = Path(out)
    if source is not None:
        check_not_source(out, Path(source.info.path))
    if not chunks:
        raise DeliveryError(f"{out}: there are no frames to write")
    if delivery.format.pictures:
        with delivery_errors(out):
            return _join_pictures(chunks, out, delivery, source, start)
    part = out.with_name(f".{out.name}.part{out.suffix}")
    try:
        with delivery_errors(out):
            notes = _mux(chunks, part, delivery, source, start, stop)
            if delivery.ending == ".mkv" and delivery.sar != 1:
                matroska.set_aspect(part, *_stored_size(chunks[0]), delivery.sar)
            sync(part)
            part.replace(out)
            return notes
    finally:
        remove(part)


def _mux(
    chunks: Sequence[Path], part: Path, delivery: Delivery, source: Clip | None, start: Fraction, stop: Fraction
) -> list[str]:
    ending = delivery.ending
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(open_chunk(chunks[0]))
        out = stack.enter_context(
            av.open(str(part), "w", format=VIDEO_FORMATS[ending], container_options=_muxer_options(delivery))
        )
        video = _add_video(out, first.streams.video[0], delivery)
        if ending == ".mkv" and delivery.sar != 1:
            video.metadata["title"] = matroska.PLACEHOLDER
        base = 1 / delivery.rate if ending in (".avi", ".mxf") else delivery.time_base
        video.time_base = base
        notes = _limits(delivery)
        others = tracks.Tracks(source, out, ending, start, stop, stack)
        notes += others.notes
        if delivery.alpha:
            comment = out.metadata.get("comment")
            kind = ALPHA_LABELS[delivery.alpha]
            out.metadata["comment"] = f"{comment}; {kind}" if comment and kind not in comment else kind
        label = tracks.timecode_at(delivery, start)
        if label is not None and ending == ".avi":
            notes.append(f"timecode {label} is not carried: .avi has no place for it")
        elif label is not None:
            (out if ending == ".mkv" else video).metadata["timecode"] = label
        packets = video_packets(chunks, video, delivery, base, start, stop)
        out.start_encoding()
        for packet in others.interleave(packets):
            out.mux_one(packet)
    return notes


def _add_video(out: Any, chunk: Any, delivery: Delivery) -> Any:
    """The video stream of the output: as in the chunks, with all tags."""
    if delivery.format.codec == "ffv1" and delivery.ending == ".mkv":
        # Opened as an encoder of the same settings, it has the same header, and where chroma lies besides.
        width, height = chunk.codec_context.width, chunk.codec_context.height
        stream = out.add_stream("ffv1", rate=delivery.rate, options=encoder_options(delivery, width, height))
        configure(stream, delivery, width, height)
        return stream
    video = out.add_stream_from_template(chunk, opaque=True)
    context = video.codec_context
    if delivery.format.codec == "prores_ks":
        context.codec_tag = chunk.codec_context.codec_tag  # all that tells Proxy from HQ
    context.framerate = delivery.rate
    context.sample_aspect_ratio = delivery.sar
    context.field_order = FIELD_ORDERS.get(delivery.field_order, 0)
    set_color_tags(context, delivery)
    if delivery.format.codec == "libx265" and delivery.ending in (".mov", ".mp4"):
        context.codec_tag = "hvc1"  # QuickTime plays nothing else
    return video


def _stored_size(chunk: Path) -> tuple[int, int]:
    """Width and height of the pictures in a chunk."""
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


def _limits(delivery: Delivery) -> list[str]:
    """Notes on what the container has no place for."""
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


def _join_pictures(
    chunks: Sequence[Path], out: Path, delivery: Delivery, source: Clip | None, start: Fraction
) -> list[str]:
    """Links every picture under a temporary name beside its place, then moves all of them into place."""
    files = [file for chunk in chunks for file in sorted(chunk.iterdir())]
    check_picture_count(out, len(files))
    begin = first_number(out, source, start)
    zero = names.frame_number(start, delivery.rate)
    moves: list[tuple[Path, Path]] = []
    try:
        for file in files:
            place = names.picture_path(out, begin + int(file.stem) - zero)
            part = place.with_name(f".{place.name}.part")
            moves.append((part, place))
            link(file, part)
        for part, place in moves:
            part.replace(place)
    finally:
        for part, _ in moves:
            remove(part)
    info = source.info if source is not None else None
    if info is not None and any(stream.kind == "audio" for stream in info.streams):
        return [f"sound is not carried: {delivery.ending} holds pictures only"]
    return []


def first_number(out: Path, source: Clip | None, start: Fraction) -> int:
    """Number of an output's first picture: as its name says, else that of the source's picture, else 1.

    Args:
        out: the output.
        source: of the job; None for none.
        start: time in the source, in seconds, that becomes the start of the output.
    """
    own = names.first_number(out)
    if own is not None:
        return own
    if source is None or source.info.first_number is None:
        return 1
    return source.info.first_number + names.frame_number(start, source.info.rate)
