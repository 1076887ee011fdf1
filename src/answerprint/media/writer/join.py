"""Chunks to one output without encoding again.

Joining takes the packets as they are, sets their times anew, and brings what the source had beside its pictures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from answerprint import disk
from answerprint.errors import DeliveryError
from answerprint.media import captions, inventory, matroska, mxf, quicktime, tracks
from answerprint.media.container import open_path
from answerprint.media.pictures.header import ALPHA_LABELS
from answerprint.media.presets import VIDEO_FORMATS, Delivery
from answerprint.media.writer.checks import check_not_source
from answerprint.media.writer.encoder import FIELD_ORDERS, configure, encoder_options, set_color_tags
from answerprint.media.writer.files import delivery_errors
from answerprint.media.writer.packets import open_chunk, video_packets
from answerprint.media.writer.pictures import join_pictures

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
            first = join_pictures(chunks, out, delivery, source, start)
            wanted = inventory.of_source(source, delivery, start, stop)
            return inventory.losses(wanted, inventory.of_picture(first), delivery, {})
    part = out.with_name(f".{out.name}.part{out.suffix}")
    try:
        with delivery_errors(out):
            disk.create(part)
            others, captioned = _mux(chunks, part, delivery, source, start, stop)
            _describe(part, delivery, chunks[0])
            wanted = inventory.of_source(source, delivery, start, stop)
            arrived = inventory.of_file(part, others, captioned)
            disk.publish(part, out)
            return [*_limits(delivery), *inventory.losses(wanted, arrived, delivery, others.reasons)]
    finally:
        disk.remove(part)


def _mux(
    chunks: Sequence[Path], part: Path, delivery: Delivery, source: Clip | None, start: Fraction, stop: Fraction
) -> tuple[tracks.Tracks, bool]:
    """Writes the file; gives the tracks beside the picture, and whether captions are in it."""
    ending = delivery.ending
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(open_chunk(chunks[0]))
        options = _muxer_options(delivery, tracks.muxer_flags(source, ending))
        out = stack.enter_context(open_path(part, "w", format=VIDEO_FORMATS[ending], container_options=options))
        video = _add_video(out, first.streams.video[0], delivery)
        if title := _placeholder(delivery):
            video.metadata["title"] = title
        base = 1 / delivery.rate if ending in (".avi", ".mxf") else delivery.time_base
        video.time_base = base
        others = tracks.Tracks(source, out, ending, start, stop, stack)
        if delivery.alpha:
            comment = out.metadata.get("comment")
            kind = ALPHA_LABELS[delivery.alpha]
            out.metadata["comment"] = f"{comment}; {kind}" if comment and kind not in comment else kind
        label = tracks.timecode_at(delivery, start)
        if label is not None and ending != ".avi":
            (out if ending == ".mkv" else video).metadata["timecode"] = label
            if source is not None and (reel := tracks.reel_of(source.info)):
                video.metadata["reel_name"] = reel
        packets = video_packets(chunks, video, delivery, base, start, stop)
        texts = captions.read(source, delivery, start, stop)
        packets = captions.insert(packets, texts, delivery.format.codec)
        out.start_encoding()
        for packet in others.interleave(packets):
            out.mux_one(packet)
    return others, texts is not None


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


def _placeholder(delivery: Delivery) -> str:
    """The name of a Matroska track until `_describe`, "" for none."""
    if delivery.ending != ".mkv":
        return ""
    # Other codecs say it themselves, or a chunk of theirs does.
    return matroska.placeholder(delivery.sar, delivery.boxes if delivery.format.codec == "ffv1" else {})


def _describe(part: Path, delivery: Delivery, chunk: Path) -> None:
    """Writes into the whole file what the muxer could not be given."""
    preset, ending = delivery.format, delivery.ending
    interlaced = delivery.field_order in ("tff", "bff")
    if _placeholder(delivery):
        boxes = delivery.boxes if preset.codec == "ffv1" else {}
        matroska.describe(part, _stored_size(chunk), delivery.sar, boxes)
    if ending in (".mov", ".mp4"):
        boxes = {} if preset.chunk == "mov" else delivery.boxes
        written = {name: bytes.fromhex(content) for name, content in boxes.items()}
        if preset.codec == "dnxhd" and interlaced:
            written["fiel"] = _FIELDS[delivery.field_order]
        quicktime.add_boxes(part, written)
    if ending == ".mxf" and interlaced and (lines := _stored_size(chunk)[1]) % 2 == 0:
        mxf.set_fields(part, delivery.field_order, lines)


_FIELDS = {"tff": b"\x02\x09", "bff": b"\x02\x0e"}  # two fields, interleaved (QuickTime File Format, `fiel`)


def _stored_size(chunk: Path) -> tuple[int, int]:
    """Width and height of the pictures in a chunk."""
    with open_path(chunk) as container:
        context = container.streams.video[0].codec_context
        return context.width, context.height


def _muxer_options(delivery: Delivery, flags: str) -> dict[str, str]:
    options = {"fflags": "+bitexact"}
    if delivery.ending in (".mov", ".mp4"):
        scale = delivery.time_base.denominator
        options |= {"movflags": f"+write_colr{flags}", "video_track_timescale": str(scale), "write_tmcd": "1"}
        # Edit lists are counted in this: fine enough for a sample of sound and for a frame.
        fine = int(np.lcm(scale, 48000))
        options["movie_timescale"] = str(fine if fine < 2**31 else 48000)
    return options


def _limits(delivery: Delivery) -> list[str]:
    """Notes on frame times that the container rounds."""
    notes, ending = [], delivery.ending
    if delivery.variable_rate and ending == ".mkv":
        notes.append("frame times are rounded to a millisecond: .mkv counts in milliseconds")
    if delivery.variable_rate and ending in (".avi", ".mxf"):
        notes.append(f"frame times are rounded to the frame rate: {ending} has a constant rate")
    return notes
