"""How hard a file was coded: codec, bits per pixel, and the quantizer where its decoder or its headers tell it.

Decoders of H.264, MPEG-2 and VP9 export the quantizer of every block (media/quantizer.py). HEVC and AV1 tell that of
each picture in its headers, which FFmpeg's `trace_headers` reads; how blocks differ from it is not seen there.
"""

from __future__ import annotations

import re
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
from answerprint.media import quantizer
from answerprint.media.reader import Clip

_LOOKED_AT, _WEIGHED = 6, 120  # pictures, for the quantizer and for the rate
_TELLING = Lock()
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
        quantizer.export(stream)
        pictured = (quantizer.steps(frame, bits) for frame in islice(container.decode(stream), pictures))
        # The mean of levels, as coders count them: steps double along these.
        found = [float(np.exp(np.log(cells).mean())) for cells in pictured if cells is not None]
    return float(np.mean(found)) if found else 0.0


def _of_headers(container: InputContainer, stream: VideoStream, pictures: int, bits: int) -> list[float]:
    """Steps of pictures of HEVC or AV1 from their headers."""
    with _told_all() as lines:
        reading = BitStreamFilterContext("trace_headers", stream)
        for packet in islice((packet for packet in container.demux(stream) if packet.size), pictures):
            reading.filter(packet)
    entries = [(found[1], int(found[2])) for _, _, line in lines if (found := _ENTRY.search(line))]
    return _hevc(entries, bits) + [quantizer.indexed(index, bits) for name, index in entries if name == "base_q_idx"]


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
            found.append(quantizer.doubling(begun.get(used, 26) + value + 6 * (bits - 8)))
    return found
