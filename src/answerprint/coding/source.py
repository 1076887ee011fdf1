"""Codec, bits per pixel and quantizer of a file, where its decoder or its headers tell them.

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
from answerprint.media.container import open_path
from answerprint.media.reader import Clip

_QUANTIZER_PICTURES, _RATE_PICTURES = 6, 120  # pictures that the quantizer and the rate are measured on
_LOG_LOCK = Lock()
_ENTRY = re.compile(r"(\w+)\s+[01]+ = (-?\d+)\s*$")

# How cameras write the names of their curves into tags; Sony's and Panasonic's are inside XML.
_LOG_CURVES = {
    "s-log2": r"s-?log ?2",
    "s-log3": r"s-?log ?3",
    "c-log3": r"(c|canon)-? ?log ?3",
    "c-log2": r"(c|canon)-? ?log ?2",
    "c-log": r"c-log|canon ?log",
    "v-log": r"v-?log",
    "log-c": r"log-?c",
    "f-log": r"f-?log",
}


def measure_coding(clip: Clip, start: int = 0) -> Coding:
    """Codec, bits per pixel, quantizer and log curve of a clip.

    Only the codec is known of a sequence of pictures, or where the file cannot be read.

    Args:
        clip: the footage.
        start: number of the frame from which a few are decoded for the quantizer.
    """
    info = clip.info
    if info.kind != "file":
        return Coding(info.codec)
    try:
        with open_path(info.path) as container:
            stream = container.streams.video[0]
            pixels = info.width * info.height
            rate = _picture_bits(container, clip, start) / pixels if pixels else 0.0
            _seek(container, clip, start)
            step = mean_step(container, stream, _QUANTIZER_PICTURES, info.bits)
            log = _log_curve([*container.metadata.values(), *stream.metadata.values()])
            return Coding(info.codec, round(rate, 5), round(step, 3), log)
    except (av.error.FFmpegError, IndexError):
        # The reader has its own ways with broken files; here nothing is lost but a hint.
        return Coding(info.codec)


def mean_step(container: InputContainer, stream: VideoStream, pictures: int, bits: int = 8) -> float:
    """Mean step of the quantizer, in codes; 0 where the stream does not tell it.

    Args:
        container: open, at the first picture to measure.
        stream: the picture.
        pictures: how many are measured.
        bits: depth that the step is given in codes of.

    Raises:
        av.error.FFmpegError: they cannot be read.
    """
    if stream.codec_context.codec.canonical_name in ("hevc", "av1"):
        steps = _header_steps(container, stream, pictures, bits)
    else:
        quantizer.request_export(stream)
        maps = (quantizer.step_map(frame, bits) for frame in islice(container.decode(stream), pictures))
        # The mean of levels, as coders count them: steps double along these.
        steps = [float(np.exp(np.log(cells).mean())) for cells in maps if cells is not None]
    return float(np.mean(steps)) if steps else 0.0


def _seek(container: InputContainer, clip: Clip, start: int) -> None:
    if start:
        container.seek(int(float(clip.info.start + clip.times[start]) * 1_000_000))


def _picture_bits(container: InputContainer, clip: Clip, start: int) -> float:
    """Mean bits of a picture. Only MOV and MP4 know the size of a stream: others tell a ceiling, or the whole file."""
    bit_rate = container.streams.video[0].bit_rate
    if bit_rate and "mov" in container.format.name.split(","):
        return float(bit_rate / clip.info.rate)
    with open_path(clip.info.path) as other:
        _seek(other, clip, start)
        packets = islice(other.demux(other.streams.video[0]), _RATE_PICTURES)
        sizes = [packet.size for packet in packets if packet.size]
    return 8 * float(np.mean(sizes)) if sizes else 0.0


def _log_curve(tags: list[str]) -> str:
    """The log curve that tags name as a word of its own; "" where none does."""
    for tag in tags:
        for name, pattern in _LOG_CURVES.items():
            if re.search(rf"(?<![a-z])({pattern})(?![a-z])", tag.lower()):
                return name
    return ""


def _header_steps(container: InputContainer, stream: VideoStream, pictures: int, bits: int) -> list[float]:
    """Steps of pictures (slices, in HEVC) of HEVC or AV1 from their headers."""
    with _capture_log() as lines:
        trace = BitStreamFilterContext("trace_headers", stream)
        for packet in islice((packet for packet in container.demux(stream) if packet.size), pictures):
            trace.filter(packet)
    entries = [(match[1], int(match[2])) for _, _, line in lines if (match := _ENTRY.search(line))]
    indices = [index for name, index in entries if name == "base_q_idx"]
    return _hevc_steps(entries, bits) + [quantizer.step_of_index(index, bits) for index in indices]


@contextmanager
def _capture_log() -> Iterator[list[tuple[int, str, str]]]:
    """Collects what FFmpeg logs in this thread. Its log level is one for the process: one thread at a time."""
    with _LOG_LOCK:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture(local=True) as lines:
                yield lines
        finally:
            av.logging.set_level(before)


def _hevc_steps(entries: list[tuple[str, int]], bits: int) -> list[float]:
    """26 + init_qp_minus26 of the picture parameter set + slice_qp_delta (ITU-T H.265, 7-54), each slice's step."""
    initial: dict[int, int] = {}
    written, current, steps = 0, 0, []
    for name, value in entries:
        if name == "pps_pic_parameter_set_id":
            written = value
        elif name == "init_qp_minus26":
            initial[written] = 26 + value
        elif name == "slice_pic_parameter_set_id":
            current = value
        elif name == "slice_qp_delta":
            steps.append(quantizer.step_of_qp(initial.get(current, 26) + value + 6 * (bits - 8)))
    return steps
