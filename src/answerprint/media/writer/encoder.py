"""Encoders of one chunk: frames to one video file, or to one folder of pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph

from answerprint import disk
from answerprint.errors import DeliveryError
from answerprint.frame import Frame
from answerprint.media import quicktime, sidedata, tags, timecode
from answerprint.media.container import open_path
from answerprint.media.layout import parse_layout
from answerprint.media.pictures import names
from answerprint.media.pictures.write import write_picture
from answerprint.media.planes import encode_frame
from answerprint.media.presets import Delivery, repeatable
from answerprint.media.writer.checks import check_size

# AV_FIELD_PROGRESSIVE, _TT, _BB: read alike by everyone, which the "swapped" _TB and _BT are not.
FIELD_ORDERS = {"progressive": 1, "tff": 2, "bff": 3}
_PACKED = {"gbrp": "bgr0", "gbrap": "bgra"}  # FFV1 has 8-bit R'G'B' only so
_REORDER = 16  # frames that a picture may be decoded before it is shown: more than any encoder here reorders


class VideoEncoder:
    """Frames of one chunk to one file.

    Args:
        path: the file to make.
        delivery: preset, layout, color, rate and the rest of what an encoder needs.
        first: the first frame, which gives the size and the time that the others count from.
    """

    def __init__(self, path: Path, delivery: Delivery, first: Frame) -> None:
        self._path, self._delivery = path, delivery
        self._first, self._size = first.time, (first.height, first.width)
        preset = delivery.format
        check_size(delivery, first.width, first.height)
        base = delivery.time_base
        options = {"video_track_timescale": str(base.denominator)} if preset.chunk == "mov" else {}
        disk.create(path)
        self._container = open_path(path, "w", format=preset.chunk, container_options=options | {"fflags": "+bitexact"})
        self._container.metadata["comment"] = str(first.time)
        self._stream: Any = self._container.add_stream(
            preset.codec, rate=delivery.rate, options=encoder_options(delivery, first.width, first.height)
        )
        self._color = configure(self._stream, delivery, first.width, first.height)
        self._stored = _stored_layout(delivery)
        self._fields = preset.fields and delivery.field_order in ("tff", "bff")
        self._graph: Graph | None = None
        self._frames = self._packets = 0
        self._reorder = math.ceil(_REORDER / delivery.rate / self._stream.codec_context.time_base)

    def write(self, frame: Frame) -> None:
        """Encodes one frame.

        Raises:
            DeliveryError: it has another size than the first.
        """
        if (frame.height, frame.width) != self._size:
            raise DeliveryError(
                f"frame at {float(frame.time):.3f} s is {frame.width} x {frame.height}, those before it "
                f"{self._size[1]} x {self._size[0]}: one output has one size"
            )
        self._frames += 1
        picture = self._with_fields_and_aspect(self._picture(frame))
        for packet in self._stream.encode(picture):
            self._mux(packet)

    def close(self) -> None:
        """Writes what the encoder still holds, and closes the file.

        Raises:
            DeliveryError: the encoder gave another number of pictures than it was given.
        """
        try:
            for packet in self._stream.encode(None):
                self._mux(packet)
        finally:
            self._container.close()
        if self._packets != self._frames:
            codec = self._delivery.format.codec
            raise DeliveryError(f"{codec} gave {self._packets} pictures of {self._frames}; choose another preset")
        if self._delivery.format.chunk == "mov":
            # Joining takes these from the chunk, whatever the container of the output.
            quicktime.add_boxes(self._path, {name: bytes.fromhex(text) for name, text in self._delivery.boxes.items()})

    def _mux(self, packet: Any) -> None:
        # x265 has no decoding time for a chunk of fewer frames than it looks ahead and hands out whatever its memory
        # held. Joining gives every packet its own; here it only must not be absurd.
        if packet.dts is None or not packet.pts - self._reorder <= packet.dts <= packet.pts:
            packet.dts = packet.pts
        self._container.mux_one(packet)
        self._packets += 1

    def _picture(self, frame: Frame) -> av.VideoFrame:
        delivery = self._delivery
        planes = encode_frame(frame, delivery.layout, delivery.color, dither=True)
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
        picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range = self._color
        return picture

    def _with_fields_and_aspect(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Sets field order and sample aspect ratio on the frame, where ProRes, H.264 and FFV1 take them from."""
        delivery = self._delivery
        if not self._fields and delivery.sar == 1:
            return picture
        if self._graph is None:
            self._graph = _fields_and_aspect(picture, delivery, self._fields)
        self._graph.push(picture)
        result: av.VideoFrame = self._graph.pull()
        result.pts, result.time_base = picture.pts, picture.time_base
        return result


class PictureEncoder:
    """Frames of one chunk to one folder of pictures, named by their number in the clip."""

    def __init__(self, path: Path, delivery: Delivery) -> None:
        self._folder, self._delivery = path, delivery
        disk.remove(path)
        path.mkdir()

    def write(self, frame: Frame) -> None:
        """Writes one picture."""
        delivery = self._delivery
        if delivery.format.codec == "openexr" and frame.framing is not None:
            frame = frame.within(frame.framing.data)
        planes = encode_frame(frame, delivery.layout, delivery.color, dither=True)
        number = names.frame_number(frame.time, delivery.rate)
        label = None if delivery.timecode is None else timecode.shift(delivery.timecode, number, delivery.rate)
        file = self._folder / f"{number:09d}{delivery.ending}"
        write_picture(file, planes, frame, delivery, label)

    def close(self) -> None:
        """Every picture is already whole."""


def set_color_tags(context: Any, delivery: Delivery) -> tuple[int, int, int, int]:
    """Writes the color tags into a codec context; returns primaries, transfer, matrix (numbers of H.273) and range."""
    tables = (tags.PRIMARIES, tags.TRANSFERS, tags.MATRICES, tags.RANGES)
    values = (delivery.primaries, delivery.transfer, delivery.matrix, delivery.range)
    numbers = [
        next((number for number, name in table.items() if name == value), 2)
        for table, value in zip(tables, values, strict=True)
    ]
    if _PACKED.get(delivery.layout) and delivery.format.codec == "ffv1":
        numbers[3] = 2
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = numbers
    return numbers[0], numbers[1], numbers[2], numbers[3]


def configure(stream: Any, delivery: Delivery, width: int, height: int) -> tuple[int, int, int, int]:
    """Sets up an encoder; returns the numbers of its color tags, which ProRes wants on frames too."""
    preset, context = delivery.format, stream.codec_context
    stream.width, stream.height, stream.pix_fmt = width, height, _native(_stored_layout(delivery))
    context.time_base = delivery.time_base
    context.sample_aspect_ratio = delivery.sar
    context.field_order = FIELD_ORDERS.get(delivery.field_order, 0)
    context.thread_count = preset.threads
    if preset.fields and delivery.field_order in ("tff", "bff"):
        context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
    return set_color_tags(context, delivery)


def encoder_options(delivery: Delivery, width: int, height: int) -> dict[str, str]:
    """FFmpeg's private options of the encoder for pictures of this size."""
    options, form = dict(delivery.format.options) | repeatable(delivery.format.codec), parse_layout(delivery.layout)
    name, text = sidedata.encoder_options(delivery.format.codec, delivery.boxes)
    if delivery.format.codec == "libx264" and delivery.field_order == "bff":
        name, text = "x264-params", f"bff=1:{text}".strip(":")  # x264 takes the first frame for top field first
    if text:
        options[name] = f"{options[name]}:{text}" if name in options else text
    if form.subsampled:
        options["chroma_sample_location"] = delivery.siting
    odd = form.subsampled and (width % 2 or height % 2)
    if delivery.format.codec == "ffv1" and (odd or min(width, height) < 16):
        options["slices"] = "1"  # FFV1 cannot cut such pictures
    return options


def _stored_layout(delivery: Delivery) -> str:
    """The pixel format that the encoder takes."""
    return _PACKED.get(delivery.layout, delivery.layout) if delivery.format.codec == "ffv1" else delivery.layout


def _native(layout: str) -> str:
    """A pixel format with its endianness, where it has one."""
    bits = 8 if layout in _PACKED.values() else parse_layout(layout).bits
    return f"{layout}le" if layout[-1].isdigit() and layout[-2:] != "p8" and bits > 8 else layout


def _fill(plane: Any, codes: np.ndarray[tuple[int, ...], np.dtype[Any]]) -> None:
    """Copies codes (h, w) into a plane of an FFmpeg frame, whose lines may be padded."""
    height, width = codes.shape
    lines = np.frombuffer(plane, dtype=codes.dtype).reshape(plane.height, plane.line_size // codes.itemsize)
    np.copyto(lines[:height, :width], codes)


def _fields_and_aspect(picture: av.VideoFrame, delivery: Delivery, fields: bool) -> Graph:
    """A filter graph that sets field order and sample aspect ratio."""
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
