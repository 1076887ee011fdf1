"""The coder's quantizer at every place of a picture, as FFmpeg's decoders of H.264, MPEG-2 and VP9 export it.

A step is given as that of an orthonormal transform, in codes of the picture's depth, so that coders can be compared: it
is about the largest error that rounding leaves in one coefficient, twice.
"""

from __future__ import annotations

import struct

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

CELL = 8  # pixels of luma along a side of the cells in which a coder's quantizer is told

# AVVideoEncParams: count, offset and size of the blocks, kind of coder, quantizer of the picture; libavutil.
_HEAD = "<I4xQQii"
_VP9, _H264, _MPEG2 = 0, 1, 2

# AC quantizers of AV1 and VP9 at 8 bits (AV1 specification 7.12.2, Ac_Qlookup): straight between these, within 1 %.
_INDICES = (0, 1, 95, 120, 137, 150, 160, 169, 176, 189, 203, 217, 230, 243, 255)
_QUANTIZERS = (4, 8, 102, 152, 203, 255, 305, 359, 408, 520, 676, 881, 1129, 1451, 1828)
# The same at 10 bits below index 96; above it they are four times those of 8 bits, within 2 %.
_DEEP_INDICES, _DEEP_QUANTIZERS = (0, 1, 12, 24, 60, 95), (4, 9, 40, 88, 249, 401)


def export(stream: VideoStream) -> None:
    """Asks the decoder for them, before the first frame.

    FFmpeg's decoder of H.264 reads them off when a frame is shown, which with threads by frame may be before it is
    decoded: blocks then had those of another picture, or none, by chance.
    """
    stream.codec_context.options = {"export_side_data": "venc_params"}
    stream.thread_type = "SLICE"


def steps(frame: av.VideoFrame, bits: int = 8) -> NDArray[np.float32] | None:
    """The step in every cell of CELL x CELL pixels, (rows, columns); None where the decoder does not tell."""
    for data in frame.side_data:
        if "VIDEO_ENC_PARAMS" in str(data.type):
            return _painted(bytes(data), frame.height, frame.width, bits)
    return None


def _painted(data: bytes, height: int, width: int, bits: int) -> NDArray[np.float32] | None:
    count, offset, size, kind, base = struct.unpack_from(_HEAD, data)
    if kind not in (_VP9, _H264, _MPEG2):
        return None
    rows, columns = -(-height // CELL), -(-width // CELL)
    if not count:
        # Without blocks of their own the whole picture has one.
        return np.full((rows, columns), _of_level(base, kind, bits), np.float32)
    # A block: its place, width and height, then how much its quantizer differs; five 32-bit numbers.
    blocks = np.frombuffer(data, "<i4", count * size // 4, offset).reshape(count, size // 4)[:, :5]
    levels = base + blocks[:, 4]
    lowest = int(levels.min())
    table = [_of_level(level, kind, bits) for level in range(lowest, int(levels.max()) + 1)]
    found = np.array(table, np.float32)[levels - lowest]
    if kind != _VP9:
        # Macroblocks of 16 x 16 pixels, line by line; where sizes do not agree, no place is sure.
        across = -(-width // 16)
        if count % across:
            return None
        return np.asarray(found.reshape(-1, across).repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns])
    return _laid_out(blocks[:, :4] // CELL, found, rows, columns)


def _laid_out(blocks: NDArray[np.int32], found: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Blocks of all sizes, (count, 4): left, top, width, height in cells."""
    cells = np.zeros((rows, columns), np.float32)
    left, top, wide, high = blocks.T
    for across, down in np.unique(blocks[:, 2:], axis=0):
        same = (wide == across) & (high == down)
        for row, column in np.ndindex(max(down, 1), max(across, 1)):
            y, x = np.minimum(top[same] + row, rows - 1), np.minimum(left[same] + column, columns - 1)
            cells[y, x] = found[same]
    return cells


def _of_level(level: int, kind: int, bits: int) -> float:
    if kind == _H264:
        return doubling(level)
    return indexed(level, bits) if kind == _VP9 else float(level)


def doubling(level: float) -> float:
    """Step of H.264 and HEVC."""
    return float(0.625 * 2 ** (level / 6))  # ITU-T H.264, table 8-15: doubles with every 6


def indexed(index: float, bits: int) -> float:
    """Step of AV1 and VP9, whose transforms are scaled by 8."""
    if bits > 8 and index < 96:
        return float(np.interp(index, _DEEP_INDICES, _DEEP_QUANTIZERS)) / 8 * 2.0 ** (bits - 10)
    return float(np.interp(index, _INDICES, _QUANTIZERS)) / 8 * 2.0 ** (bits - 8)
