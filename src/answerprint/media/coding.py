"""How hard a file was coded: codec, bits per pixel, and the quantizer where its decoder or its headers tell it.

FFmpeg's decoders of H.264, MPEG-2 and VP9 export the quantizer of every block (AVVideoEncParams). HEVC and AV1 tell
that of each picture in its headers, which FFmpeg's `trace_headers` reads; how blocks differ from it is not seen there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Lock

import av
import av.logging
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.stream import VideoStream

from answerprint.frame import Coding
from answerprint.media.reader import Clip

_LOOKED_AT, _WEIGHED = 6, 120  # pictures, for the quantizer and for the rate
_TELLING = Lock()
# AVVideoEncParams: count, offset and size of the blocks, kind of coder, quantizer of the picture; libavutil.
_HEAD = "<I4xQQii"
_VP9, _H264, _MPEG2 = 0, 1, 2
_ENTRY = re.compile(r"(\w+)\s+[01]+ = (-?\d+)\s*$")

# How cameras write the names of their curves into tags; Sony's and Panasonic's are inside XML.
_LOGS = {
    "s-log2": r"s-?log ?2",
    "s-log3": r"s-?log ?3",
    "c-log3": r"(c|canon)-? ?log ?3",
    "c-log2": r"(c|canon)-? ?log ?2",
    "c-log": r"c-log|canon ?log",
    "v-log": r"v-?log",
    "log-c": r"log-?c",
    "f-log": r"f-?log",
}

# AC quantizers of AV1 and VP9 at 8 bits (AV1 specification 7.12.2, Ac_Qlookup): straight between these, within 1 %.
_INDICES = (0, 1, 95, 120, 137, 150, 160, 169, 176, 189, 203, 217, 230, 243, 255)
_QUANTIZERS = (4, 8, 102, 152, 203, 255, 305, 359, 408, 520, 676, 881, 1129, 1451, 1828)
# The same at 10 bits below index 96; above it they are four times those of 8 bits, within 2 %.
_DEEP_INDICES, _DEEP_QUANTIZERS = (0, 1, 12, 24, 60, 95), (4, 9, 40, 88, 249, 401)


def of(clip: Clip, start: int = 0) -> Coding:
    """What is known of the coding of a clip.

    Args:
        start: frame from which a few are looked at for the quantizer.
    """
    info = clip.info
    if info.kind != "file":
        return Coding(info.codec)
    try:
        with av.open(info.path) as container:
            stream = container.streams.video[0]
            pixels = info.width * info.height
            rate = _bits(container, clip, start) / pixels if pixels else 0.0
            _go(container, clip, start)
            found = step(container, stream, _LOOKED_AT, info.bits)
            log = _log([*container.metadata.values(), *stream.metadata.values()])
            return Coding(info.codec, round(rate, 5), round(found, 3), log)
    except (av.error.FFmpegError, IndexError):
        # The reader has its own ways with broken files; here nothing is lost but a hint.
        return Coding(info.codec)


def _go(container: InputContainer, clip: Clip, start: int) -> None:
    if start:
        container.seek(int(float(clip.info.start + clip.times[start]) * 1_000_000))


def _bits(container: InputContainer, clip: Clip, start: int) -> float:
    """Mean bits of a picture. Only MOV and MP4 know the size of a stream: others tell a ceiling, or the whole file."""
    told = container.streams.video[0].bit_rate
    if told and "mov" in container.format.name.split(","):
        return float(told / clip.info.rate)
    with av.open(clip.info.path) as other:
        _go(other, clip, start)
        packets = islice(other.demux(other.streams.video[0]), _WEIGHED)
        sizes = [packet.size for packet in packets if packet.size]
    return 8 * float(np.mean(sizes)) if sizes else 0.0


def _log(tags: list[str]) -> str:
    """The log curve that tags name as a word of its own; "" where none does."""
    for tag in tags:
        for name, pattern in _LOGS.items():
            if re.search(rf"(?<![a-z])({pattern})(?![a-z])", tag.lower()):
                return name
    return ""


def step(container: InputContainer, stream: VideoStream, pictures: int, bits: int = 8) -> float:
    """Mean step of the quantizer over so many pictures from here, in codes of that depth; 0 where nothing tells it.

    Raises:
        av.error.FFmpegError: they cannot be read.
    """
    if stream.codec_context.codec.canonical_name in ("hevc", "av1"):
        found = _of_headers(container, stream, pictures, bits)
    else:
        stream.codec_context.options = {"export_side_data": "venc_params"}
        found = [one for frame in islice(container.decode(stream), pictures) for one in _of_blocks(frame, bits)]
    return float(np.mean(found)) if found else 0.0


def _of_headers(container: InputContainer, stream: VideoStream, pictures: int, bits: int) -> list[float]:
    """Steps of pictures of HEVC or AV1 from their headers."""
    with _told_all() as lines:
        reading = BitStreamFilterContext("trace_headers", stream)
        for packet in islice((packet for packet in container.demux(stream) if packet.size), pictures):
            reading.filter(packet)
    entries = [(found[1], int(found[2])) for _, _, line in lines if (found := _ENTRY.search(line))]
    return _hevc(entries, bits) + [_indexed(index, bits) for name, index in entries if name == "base_q_idx"]


@contextmanager
def _told_all() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg tells this thread meanwhile. Its level of telling is one for the process: one thread at a time."""
    with _TELLING:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture(local=True) as lines:
                yield lines
        finally:
            av.logging.set_level(before)


def _hevc(entries: list[tuple[str, int]], bits: int) -> list[float]:
    """26 + init_qp_minus26 of the picture parameter set + slice_qp_delta (ITU-T H.265, 7-54), each slice's step."""
    begun: dict[int, int] = {}
    parameters, used, found = 0, 0, []
    for name, value in entries:
        if name == "pps_pic_parameter_set_id":
            parameters = value
        elif name == "init_qp_minus26":
            begun[parameters] = 26 + value
        elif name == "slice_pic_parameter_set_id":
            used = value
        elif name == "slice_qp_delta":
            found.append(_doubling(begun.get(used, 26) + value + 6 * (bits - 8)))
    return found


def _doubling(level: float) -> float:
    return float(0.625 * 2 ** (level / 6))  # ITU-T H.264, table 8-15: doubles with every 6


def _indexed(index: float, bits: int) -> float:
    """Step of AV1 and VP9, whose transforms are scaled by 8."""
    if bits > 8 and index < 96:
        return float(np.interp(index, _DEEP_INDICES, _DEEP_QUANTIZERS)) / 8 * 2.0 ** (bits - 10)
    return float(np.interp(index, _INDICES, _QUANTIZERS)) / 8 * 2.0 ** (bits - 8)


def _of_blocks(frame: av.VideoFrame, bits: int) -> list[float]:
    """Mean quantizer step of a picture, as its decoder exports it."""
    return [_step(bytes(data), bits) for data in frame.side_data if "VIDEO_ENC_PARAMS" in str(data.type)]


def _step(data: bytes, bits: int) -> float:
    """Mean quantizer step of a picture, in codes: the size of a step of an orthonormal transform."""
    count, offset, size, kind, base = struct.unpack_from(_HEAD, data)
    # A block: its place, width and height, then how much its quantizer differs; five 32-bit numbers.
    blocks = np.frombuffer(data, "<i4", count * size // 4, offset).reshape(count, size // 4)
    level = base + (float(blocks[:, 4].mean()) if count else 0.0)
    if kind == _H264:
        return _doubling(level)
    if kind == _VP9:
        return _indexed(level, bits)
    return level if kind == _MPEG2 else 0.0
