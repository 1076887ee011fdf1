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

from answerprint.media import sidedata

CELL = 8  # pixels of luma along a side of the cells that a coder's quantizer is given in

# AVVideoEncParams: count, offset and size of the blocks, kind of coder, quantizer of the picture; libavutil.
_HEAD = "<I4xQQii"
_VP9, _H264, _MPEG2 = 0, 1, 2

# AC quantizers of AV1 and VP9 at 8 bits (AV1 specification 7.12.2, Ac_Qlookup): straight between these, within 1 %.
_INDICES = (0, 1, 95, 120, 137, 150, 160, 169, 176, 189, 203, 217, 230, 243, 255)
_QUANTIZERS = (4, 8, 102, 152, 203, 255, 305, 359, 408, 520, 676, 881, 1129, 1451, 1828)
# The same at 10 bits below index 96; above it they are four times those of 8 bits, within 2 %.
_DEEP_INDICES, _DEEP_QUANTIZERS = (0, 1, 12, 24, 60, 95), (4, 9, 40, 88, 249, 401)


def request_export(stream: VideoStream) -> None:
    """Has the decoder export its quantizers; call it before the first frame.

    FFmpeg's decoder of H.264 reads them off when a frame is shown, which with threads by frame may be before it is
    decoded: blocks then had those of another picture, or none, by chance.
    """
    stream.codec_context.options = {"export_side_data": "venc_params"}
    stream.thread_type = "SLICE"


def step_map(frame: av.VideoFrame, bits: int = 8) -> NDArray[np.float32] | None:
    """The quantizer's step in every cell of CELL x CELL pixels; None where the decoder does not export it.

    Args:
        frame: decoded after `request_export`.
        bits: depth that steps are given in codes of.

    Returns:
        float32 (rows, columns), above 0.
    """
    data = sidedata.of_frame(frame).get("VIDEO_ENC_PARAMS")
    return None if data is None else _read_params(bytes(data), frame.height, frame.width, bits)


def _read_params(data: bytes, height: int, width: int, bits: int) -> NDArray[np.float32] | None:
    """The step map, (rows, columns), of FFmpeg's AVVideoEncParams for a picture of that size."""
    count, offset, size, kind, base = struct.unpack_from(_HEAD, data)
    if kind not in (_VP9, _H264, _MPEG2):
        return None
    rows, columns = -(-height // CELL), -(-width // CELL)
    if not count:
        # Without blocks of their own the whole picture has one.
        return np.full((rows, columns), _step_of_level(base, kind, bits), np.float32)
    # A block: its place, width and height, then how much its quantizer differs; five 32-bit numbers.
    blocks = np.frombuffer(data, "<i4", count * size // 4, offset).reshape(count, size // 4)[:, :5]
    levels = base + blocks[:, 4]
    lowest = int(levels.min())
    table = [_step_of_level(level, kind, bits) for level in range(lowest, int(levels.max()) + 1)]
    steps = np.array(table, np.float32)[levels - lowest]
    if kind != _VP9:
        # Macroblocks of 16 x 16 pixels, line by line; where sizes do not agree, no place is sure.
        across = -(-width // 16)
        if count % across:
            return None
        return np.asarray(steps.reshape(-1, across).repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns])
    return _fill_blocks(blocks[:, :4] // CELL, steps, rows, columns)


def _fill_blocks(blocks: NDArray[np.int32], steps: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """A map (rows, columns) with each block's step in its cells.

    Args:
        blocks: (count, 4), left, top, width and height in cells.
        steps: (count,).
        rows: of the map.
        columns: of the map.
    """
    cells = np.zeros((rows, columns), np.float32)
    left, top, wide, high = blocks.T
    for across, down in np.unique(blocks[:, 2:], axis=0):
        same = (wide == across) & (high == down)
        for row, column in np.ndindex(max(down, 1), max(across, 1)):
            y, x = np.minimum(top[same] + row, rows - 1), np.minimum(left[same] + column, columns - 1)
            cells[y, x] = steps[same]
    return cells


def _step_of_level(level: int, kind: int, bits: int) -> float:
    """Step of a quantizer as the coder of that kind counts it."""
    if kind == _H264:
        return step_of_qp(level)
    return step_of_index(level, bits) if kind == _VP9 else float(level)


def step_of_qp(qp: float) -> float:
    """Step of H.264 and HEVC, in codes, from their quantization parameter."""
    return float(0.625 * 2 ** (qp / 6))  # ITU-T H.264, table 8-15: doubles with every 6


def step_of_index(index: float, bits: int) -> float:
    """Step of AV1 and VP9, in codes of `bits`, from their quantizer index 0..255.

    Their transforms are scaled by 8.
    """
    if bits > 8 and index < 96:
        return float(np.interp(index, _DEEP_INDICES, _DEEP_QUANTIZERS)) / 8 * 2.0 ** (bits - 10)
    return float(np.interp(index, _INDICES, _QUANTIZERS)) / 8 * 2.0 ** (bits - 8)
