"""LUT files read back through other programs: OpenColorIO and FFmpeg's `lut3d`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from answerprint.color import cube_file
from answerprint.color.lut import Cube
from answerprint.errors import ColorError
from answerprint.text import utf8_path

if TYPE_CHECKING:
    from av import VideoFrame


@dataclass(frozen=True)
class Difference:
    """Difference of a reader of the file from the direct transform, in units of nominal white."""

    reader: str
    largest: float
    mean: float


def verify(
    direct: Cube | Callable[[Tensor], Tensor], path: Path, samples: int = 40000, seed: int = 0
) -> list[Difference]:
    """Differences of a `.cube`, as OpenColorIO and FFmpeg's `lut3d` read it, from the direct transform.

    Args:
        direct: the cube that was written (the difference is then only rounding) or the function that it was baked from
            (the difference is then also what the grid cannot hold).
        path: the file.
        samples: how many random colors inside the domain; the corners of the domain are added.

    Returns:
        One entry per reader. FFmpeg knows no shaper and is left out where the file has one.

    Raises:
        ColorError: a reader refuses the file.
    """
    cube = cube_file.read(path)
    front = cube.shaper if isinstance(cube, Cube) and cube.shaper is not None else cube
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(3, 1, samples, generator=generator)
    corners = torch.tensor([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], dtype=torch.float32).T.reshape(3, 1, 8)
    low, high = torch.tensor(front.low).view(3, 1, 1), torch.tensor(front.high).view(3, 1, 1)
    colors = low + torch.cat([unit, corners], 2) * (high - low)
    with torch.no_grad():
        expected = direct.apply(colors) if isinstance(direct, Cube) else direct(colors)
    readers = {"OpenColorIO": _by_opencolorio}
    if isinstance(cube, Cube) and cube.shaper is None:
        readers["FFmpeg lut3d"] = _by_ffmpeg
    differences = []
    for name, reader in readers.items():
        error = (reader(path, colors) - expected).abs().double()
        differences.append(Difference(name, float(error.max()), float(error.mean())))
    return differences


def _by_opencolorio(path: Path, colors: Tensor) -> Tensor:
    import PyOpenColorIO as ocio  # noqa: N813

    transform = ocio.FileTransform(utf8_path(path.resolve()), interpolation=ocio.INTERP_TETRAHEDRAL)
    try:
        processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    except ocio.Exception as error:
        raise ColorError(f"{path}: OpenColorIO cannot read this LUT ({str(error).splitlines()[0]})") from None
    interleaved = np.ascontiguousarray(colors.reshape(3, -1).T.numpy())
    processor.applyRGB(interleaved)
    return torch.from_numpy(interleaved).T.reshape(colors.shape)


_PLANES = (1, 2, 0)  # of FFmpeg's planar R'G'B': green, blue, red


def lut3d(path: Path, colors: Tensor, threads: int = 0) -> Callable[[], VideoFrame]:
    """A function that runs FFmpeg's `lut3d` over the same colors; the LUT is read once.

    Args:
        path: the LUT.
        colors: finite, (3, H, W).
        threads: of the filter; 0 for as many as FFmpeg likes.

    Raises:
        ColorError: FFmpeg cannot read the LUT.
    """
    import av

    height, width = int(colors.shape[1]), int(colors.shape[2])
    frame, graph = _planar(colors), av.filter.Graph()
    graph.threads = threads
    try:
        source = graph.add_buffer(width=width, height=height, format="gbrpf32le", time_base="1/25")
        lut, sink = graph.add("lut3d", file=utf8_path(path), interp="tetrahedral"), graph.add("buffersink")
        source.link_to(lut)
        lut.link_to(sink)
        graph.configure()
    except av.FFmpegError as error:
        raise ColorError(f"{path}: FFmpeg cannot read this LUT ({error.strerror})") from None

    def go() -> VideoFrame:
        source.push(frame)
        _ = graph  # must live as long as this is called
        graded: Any = sink.pull()
        return graded  # type: ignore[no-any-return, unused-ignore]

    return go


def _planar(colors: Tensor) -> VideoFrame:
    """Colors (3, H, W) as a frame; rows are padded with 0, since NaN in the padding would end the filter."""
    import av

    height, width = int(colors.shape[1]), int(colors.shape[2])
    frame = av.VideoFrame(width, height, "gbrpf32le")
    for plane, channel in zip(frame.planes, _PLANES, strict=True):
        rows = np.frombuffer(plane, np.float32).reshape(-1, plane.line_size // 4)
        rows[:] = 0
        rows[:height, :width] = colors[channel].numpy()
    return frame


def _by_ffmpeg(path: Path, colors: Tensor) -> Tensor:
    height, width = int(colors.shape[1]), int(colors.shape[2])
    result = lut3d(path, colors)()
    planes = [np.frombuffer(p, np.float32).reshape(-1, p.line_size // 4)[:height, :width] for p in result.planes]
    return torch.from_numpy(np.stack([planes[_PLANES.index(c)] for c in range(3)]))
