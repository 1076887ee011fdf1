"""Speed beside FFmpeg's lut3d and OpenColorIO (table 3 of NCST)."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint import arrays
from answerprint.color import cube_file, readback
from answerprint.frame import Frame
from answerprint.metrics.tables import Table, at_most
from answerprint.operations import grade, look
from benchmarks.look.methods import CPU, SIZES, pairs, read_pixels

_FINDINGS = look.Findings(
    slope=((1.1, 0.95, 0.9),), offset=((0.02, 0.0, 0.03),), power=((1.1, 0.95, 1.05),), saturation=(0.9,),
    curve_red=((0.0, 0.08, 0.22, 0.5, 0.78, 0.92, 1.0),),
)  # fmt: skip
_FULL = look.Findings(
    temperature=(10.0,), brightness=(0.02,), slope=((1.1, 0.95, 0.9),), offset=((0.02, 0.01, 0.03),),
    power=((1.1, 0.95, 1.05),), saturation=(0.9,), contrast=(1.1,), gamma=(1.05,), hue=(5.0,),
    curve_red=((0.0, 0.08, 0.22, 0.5, 0.78, 0.92, 1.0),), curve_green=((0.0, 0.09, 0.24, 0.5, 0.77, 0.91, 1.0),),
    curve_blue=((0.01, 0.1, 0.26, 0.5, 0.74, 0.9, 0.97),),
)  # fmt: skip
_OTHERS = ("FFmpeg lut3d", "OpenColorIO")


def speed(data: Path, quick: bool) -> Table:
    """Milliseconds a frame for parameters and for the LUT, with FFmpeg's lut3d and OpenColorIO in the same run."""
    photograph = read_pixels(pairs(data / "style")[0][0])
    rows: list[tuple[str | float | None, ...]] = []
    for name in list(SIZES)[:4] if quick else SIZES:
        for kind, pixels in _inputs(photograph, *SIZES[name]):
            times = _in_turn(_contenders(pixels), _rounds(*SIZES[name]))
            rows.append((name, kind, *_figures(times)))

    def worst(ratio: Callable[[Any], float]) -> float:
        return max(map(ratio, rows))

    return Table(
        "milliseconds a frame",
        (
            "size", "picture", "parameters", "all parameters", "LUT", *_OTHERS, "LUT / faster other", "median",
            "parameters / LUT", "median", "all / LUT", "median",
            "processor: parameters", "all parameters", "LUT", *_OTHERS,
        ),
        rows,
        notes=(
            f"float in and out, tetrahedral, 33 points, {torch.get_num_threads()} threads each; the fastest of many "
            "rounds, in turn; each works from memory that is there into memory that it may use again",
            "what is laid out for a method is not counted: planes for FFmpeg (one frame, pushed and pulled through its "
            "filter), interleaved for OpenColorIO (not over its input, rows shared by threads); ours is the render of "
            "`look` and `grade` as a job runs them",
            "parameters: slope, offset, power, saturation, one curve; all parameters: none neutral, three curves",
            "median: of the ratios in each round; processor: all threads together; on a machine that does other things "
            "too, the clock tells who found the cores free, the processor time who is faster",
            "photograph: scaled to the size; noise: every color anywhere, where a table is out of the cache",
        ),
        targets=(
            at_most("our LUT over the faster of the two, worst size", worst(lambda row: row[7]), 1.0),
            at_most("parameters over LUT, worst size", worst(lambda row: row[9]), 3.0),
            at_most("all parameters over LUT, worst size", worst(lambda row: row[11]), 3.0),
            at_most("the same LUT by processor time", worst(lambda row: row[15] / min(row[16:])), 1.0),
            at_most("all parameters over LUT by processor time", worst(lambda row: row[14] / row[15]), 3.0),
        ),
    )  # fmt: skip


def _inputs(photograph: Tensor, width: int, height: int) -> Iterator[tuple[str, Tensor]]:
    yield "photograph", arrays.resize_planes(photograph, (width, height), cv2.INTER_CUBIC)
    yield "noise", torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def _rounds(width: int, height: int) -> int:
    return max(8, min(400, 200_000_000 // (width * height)))


def _contenders(pixels: Tensor) -> dict[str, Callable[[], object]]:
    frame, params = Frame(pixels, Fraction(0)), look.Params()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "look.cube"
        cube_file.write(look.cube(params, _FINDINGS, 33), path)
        by_lut = grade.run(itertools.repeat(frame), grade.Params(lut=path), CPU)
        next(by_lut)  # it reads the file now
        return {
            "parameters": partial(next, look.run(itertools.repeat(frame), params, _FINDINGS, CPU)),
            "all parameters": partial(next, look.run(itertools.repeat(frame), params, _FULL, CPU)),
            "LUT": partial(next, by_lut),
            "FFmpeg lut3d": readback.lut3d(path, pixels, torch.get_num_threads()),
            "OpenColorIO": _opencolorio(path, pixels),
        }


def _opencolorio(path: Path, pixels: Tensor) -> Callable[[], object]:
    import PyOpenColorIO as ocio  # noqa: N813

    transform = ocio.FileTransform(str(path), interpolation=ocio.INTERP_TETRAHEDRAL)
    processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    image_in = arrays.to_image(pixels)
    result = np.empty_like(image_in)
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads)
    edges = [image_in.shape[0] * i // (4 * threads) for i in range(4 * threads + 1)]

    def part(rows: tuple[int, int]) -> None:
        images = (array[slice(*rows)] for array in (image_in, result))
        processor.apply(*(ocio.PackedImageDesc(image, image.shape[1], image.shape[0], 3) for image in images))

    def go() -> object:
        list(pool.map(part, itertools.pairwise(edges)))
        return result

    return go


def _in_turn(methods: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray[Any, Any]]:
    """Milliseconds of each, (rounds, 2): by the clock and of the processors; a first round counts for nothing."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for _ in range(rounds + 1):
        for name, method in methods.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            method()
            times[name].append(((time.perf_counter() - start) * 1000, (time.process_time() - cpu_start) * 1000))
    return {name: np.array(own[1:]) for name, own in times.items()}


def _figures(times: Mapping[str, np.ndarray[Any, Any]]) -> tuple[float, ...]:
    """The fastest of each (what else the machine does can only add), their ratios and each round's, processor time."""
    clock, cpu = ({name: own[:, i] for name, own in times.items()} for i in range(2))
    ratios = list[float]()
    for ours, theirs in (("LUT", _OTHERS), ("parameters", ("LUT",)), ("all parameters", ("LUT",))):
        fastest = np.min([clock[name] for name in theirs], 0)
        ratios += [float(clock[ours].min() / fastest.min()), float(np.median(clock[ours] / fastest))]
    return (*(float(own.min()) for own in clock.values()), *ratios, *(float(own.min()) for own in cpu.values()))
