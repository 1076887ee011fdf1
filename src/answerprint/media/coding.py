"""How hard a file was coded: codec, bits per pixel, and the quantizer where the decoder tells it.

FFmpeg's decoders of H.264 and MPEG-2 export the quantizer of every block (AVVideoEncParams); others do not.
"""

from __future__ import annotations

import struct
from itertools import islice

import av
import numpy as np

from answerprint.frame import Coding
from answerprint.media.reader import Clip

_LOOKED_AT = 6
# AVVideoEncParams: count, offset and size of the blocks, kind of coder, quantizer of the picture; libavutil.
_HEAD = "<I4xQQii"
_H264, _MPEG2 = 1, 2


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
            stream.codec_context.options = {"export_side_data": "venc_params"}
            if start:
                container.seek(int(float(info.start + clip.times[start]) * 1_000_000))
            found = [step for frame in islice(container.decode(stream), _LOOKED_AT) for step in steps(frame)]
            step = float(np.mean(found)) if found else 0.0
            return Coding(info.codec, round(rate / pixels, 5) if pixels else 0.0, round(step, 3))
    except (av.error.FFmpegError, IndexError):
        # The reader has its own ways with broken files; here nothing is lost but a hint.
        return Coding(info.codec)


def steps(frame: av.VideoFrame) -> list[float]:
    """Mean quantizer step of a picture; nothing unless its decoder was told `export_side_data=venc_params`."""
    return [_step(bytes(data)) for data in frame.side_data if "VIDEO_ENC_PARAMS" in str(data.type)]


def _step(data: bytes) -> float:
    """Mean quantizer step of a picture, in codes: the size of a step of an orthonormal transform."""
    count, offset, size, kind, base = struct.unpack_from(_HEAD, data)
    # A block: its place, width and height, then how much its quantizer differs; five 32-bit numbers.
    blocks = np.frombuffer(data, "<i4", count * size // 4, offset).reshape(count, size // 4)
    level = base + (float(blocks[:, 4].mean()) if count else 0.0)
    if kind == _H264:
        return float(0.625 * 2 ** (level / 6))  # ITU-T H.264, table 8-15: doubles with every 6
    return level if kind == _MPEG2 else 0.0
