"""How hard a file was coded: codec, bits per pixel, and the quantizer where its decoder or its headers tell it.

FFmpeg's decoders of H.264, MPEG-2 and VP9 export the quantizer of every block (AVVideoEncParams). HEVC and AV1 tell
that of each picture in its headers, which FFmpeg's `trace_headers` reads; how blocks differ from it is not seen there.
"""

from __future__ import annotations

import re
import struct
from itertools import islice

import av
import av.logging
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.stream import VideoStream

from answerprint.frame import Coding
from answerprint.media.reader import Clip

_LOOKED_AT = 6
# AVVideoEncParams: count, offset and size of the blocks, kind of coder, quantizer of the picture; libavutil.
_HEAD = "<I4xQQii"
_VP9, _H264, _MPEG2 = 0, 1, 2
_ENTRY = re.compile(r"(\w+)\s+[01]+ = (-?\d+)\s*$")

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
            rate = stream.bit_rate or container.bit_rate or 0
            pixels = float(info.width * info.height * info.rate)
            if start:
                container.seek(int(float(info.start + clip.times[start]) * 1_000_000))
            look = _of_headers if info.codec in ("hevc", "av1") else _of_blocks
            found = look(container, stream, info.bits)
            step = float(np.mean(found)) if found else 0.0
            return Coding(info.codec, round(rate / pixels, 5) if pixels else 0.0, round(step, 3))
    except (av.error.FFmpegError, IndexError):
        # The reader has its own ways with broken files; here nothing is lost but a hint.
        return Coding(info.codec)


def _of_blocks(container: InputContainer, stream: VideoStream, bits: int) -> list[float]:
    """Steps of a few pictures as their decoder exports them."""
    stream.codec_context.options = {"export_side_data": "venc_params"}
    return [step for frame in islice(container.decode(stream), _LOOKED_AT) for step in steps(frame, bits)]


def _of_headers(container: InputContainer, stream: VideoStream, bits: int) -> list[float]:
    """Steps of a few pictures of HEVC or AV1 from their headers."""
    told = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture(local=True) as lines:
            reading = BitStreamFilterContext("trace_headers", stream)
            for packet in islice((packet for packet in container.demux(stream) if packet.size), _LOOKED_AT):
                reading.filter(packet)
    finally:
        av.logging.set_level(told)
    entries = [(found[1], int(found[2])) for _, _, line in lines if (found := _ENTRY.search(line))]
    return _hevc(entries, bits) + [_indexed(index, bits) for name, index in entries if name == "base_q_idx"]


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


def steps(frame: av.VideoFrame, bits: int = 8) -> list[float]:
    """Mean quantizer step of a picture; nothing unless its decoder was told `export_side_data=venc_params`."""
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
