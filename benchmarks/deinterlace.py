"""Deinterlacing beside FFmpeg's filters: progressive clips split into fields, every moment made again and compared.

Two successive pictures of a clip become the two fields of one frame, top field first; everyone is told so and gives one
picture per field. Ours goes by what its analysis finds, as it does for its users: film that repeats pictures is film to
it, in fields too. Clips that the weights were trained on, as their card tells, are left out. FFmpeg (bwdif, w3fdif,
estdif, yadif) is run through PyAV on planar R'G'B' of 8 bits, so that no conversion of color stands between; ours is
rounded to the same 8 bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.filter import Graph
from numpy.typing import NDArray
from torch import Tensor

from answerprint import arrays
from answerprint.errors import SettingsError
from answerprint.fields.weave import weave
from answerprint.frame import Frame, Shot
from answerprint.metrics.quality import psnr, ssim
from answerprint.metrics.tables import Table, at_least
from answerprint.metrics.words import Cell
from answerprint.operations import deinterlace
from answerprint.train import data as training

CPU = torch.device("cpu")
RATE = Fraction(25)
PEERS = {
    "bwdif": "mode=send_field:parity=tff:deint=all",
    "w3fdif": "filter=complex:mode=field:parity=tff:deint=all",
    "estdif": "mode=field:parity=tff:deint=all",
    "yadif": "mode=send_field:parity=tff:deint=all",
}
INTERLACED = ("*_480i_*", "*_1080i_*")  # no progressive pictures to compare with
EDGE = 2  # pictures at each end of a clip that are not compared: there fields are missing

Method = Callable[[], list[Tensor]]
Codes = NDArray[np.uint8]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """The tables of this bench.

    Args:
        data: folder of progressive clips.
        quick: fewer and shorter clips.

    Raises:
        SettingsError: no data was named, or no clips are in it.
        TrainingError: nothing is left of it.
    """
    if data is None:
        raise SettingsError("bench deinterlace needs --data: a folder of progressive clips")
    sources = [
        source
        for source in training.unseen(data, ("deinterlace",), INTERLACED)
        if len(source.files) > 1 or source.files[0].suffix.lower() in training.VIDEOS
    ]
    if not sources:
        raise SettingsError(f"{data}: no clips in there that the weights were not trained on")
    chosen = sources[: 2 if quick else None]
    clips = {_shortly(source): _moments(source, 12 if quick else 20) for source in chosen}
    yield _quality(clips)
    yield _speed(max(clips.values(), key=lambda moments: moments[0].numel()), 6 if quick else 16)


def _quality(clips: dict[str, list[Tensor]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    totals: dict[str, list[float]] = {}
    likeness: dict[str, list[float]] = {name: [] for name in _SHOWN}
    for clip, moments in clips.items():
        inner = slice(EDGE, len(moments) - EDGE)
        for name, method in _methods("field", woven(moments)).items():
            pairs = list(zip(method()[inner], moments[inner], strict=True))
            totals.setdefault(name, []).append(float(np.mean([psnr(a, b) for a, b in pairs])))
            if name in _SHOWN:
                likeness[name].append(float(np.mean([ssim(a, b) for a, b in pairs])))
        rows.append((clip, *(scores[-1] for scores in totals.values()), *(likeness[each][-1] for each in _SHOWN)))
    means = {name: float(np.mean(scores)) for name, scores in totals.items()}
    rows.append(("mean", *means.values(), *(float(np.mean(likeness[each])) for each in _SHOWN)))
    targets = [
        at_least("ours above bwdif", means["ours"] - means["bwdif"], 3.0, "dB"),
        at_least("ours, 3 passes, above bwdif", means["ours, 3 passes"] - means["bwdif"], 3.0, "dB"),
        at_least("ours above w3fdif", means["ours"] - means["w3fdif"], 0.0, "dB"),
        at_least("ours above estdif", means["ours"] - means["estdif"], 0.0, "dB"),
    ]
    columns = ("clip", *(f"{name} dB" for name in totals), *(f"{name} SSIM" for name in _SHOWN))
    notes = ["mean over the pictures of a clip, then over clips; whole pictures, the kept lines with them"]
    return Table("one picture per field, clips not trained on", columns, rows, notes, targets)


_SHOWN = ("ours", "bwdif")


def _speed(moments: Sequence[Tensor], count: int) -> Table:
    """Frames of 720 x 576 in, as many out; methods by turns, so that what slows the machine slows all."""
    small = [arrays.resize_planes(moment, (720, 576)) for moment in moments]
    frames = woven([small[i % len(small)] for i in range(2 * count)])
    methods = _methods("frame", frames)
    best = dict.fromkeys(methods, float("inf"))
    for _ in range(4):
        for name, method in methods.items():
            start = time.perf_counter()
            result = method()
            best[name] = min(best[name], (time.perf_counter() - start) / len(result))
    rows: list[tuple[Cell, ...]] = [(name, 1000 * seconds, 1 / seconds) for name, seconds in best.items()]
    target = at_least("576i, ours", 1 / best["ours"], 12.0, "frames a second")
    notes = [
        f"best of 4 runs over {count} frames, float in memory to float in memory, {torch.get_num_threads()} threads"
    ]
    return Table("576i to 576p at frame rate", ("method", "ms a frame", "frames a second"), rows, notes, (target,))


def woven(moments: Sequence[Tensor]) -> list[Tensor]:
    """Pictures of twice the rate to interlaced ones, top field first."""
    return [weave(top, bottom) for top, bottom in zip(moments[::2], moments[1::2], strict=False)]


def _methods(rate: str, pictures: list[Tensor]) -> dict[str, Method]:
    """Methods that make whole pictures of these; ours with its analysis done, as it is once per shot."""
    frames = [Frame(picture, i / RATE, field_order="tff") for i, picture in enumerate(pictures)]
    shot = Shot("001", len(frames), RATE, lambda start, stop: iter(frames[start:stop]))
    findings = deinterlace.analyze(shot, _params(rate), CPU)

    def ours(**options: object) -> list[Tensor]:
        results = deinterlace.run(iter(frames), _params(rate, **options), findings, CPU)
        return [frame.pixels.mul(255).round().clamp(0, 255).div(255) for frame in results]

    methods: dict[str, Method] = {
        "ours": ours,
        "ours, 2 passes": lambda: ours(passes=2),
        "ours, 3 passes": lambda: ours(passes=3),
        "ours, adaptive": lambda: ours(method="adaptive"),
    }
    for name, options in PEERS.items():
        filter_options = (
            options if rate == "field" else options.replace("send_field", "send_frame").replace("=field", "=frame")
        )
        methods[name] = lambda name=name, filter_options=filter_options: filtered(pictures, name, filter_options)  # type: ignore[misc]
    return methods


def _params(rate: str, **options: object) -> deinterlace.Params:
    return deinterlace.Params.of({"rate": rate, "telecine": "off", "field_order": "tff", **options})


def filtered(pictures: Sequence[Tensor], name: str, options: str) -> list[Tensor]:
    """Interlaced pictures through one of FFmpeg's filters; top field first, 8 bits."""
    _, height, width = pictures[0].shape
    graph = Graph()
    graph.threads = torch.get_num_threads()
    source = graph.add(
        "buffer", f"video_size={width}x{height}:pix_fmt=gbrp:time_base=1/50:pixel_aspect=1/1:frame_rate=25"
    )
    sink = graph.add("buffersink")
    middle = graph.add(name, options)
    source.link_to(middle)
    middle.link_to(sink)
    graph.configure()
    outputs: list[Tensor] = []
    for number, picture in enumerate(pictures):
        frame = _frame(picture)
        frame.pts, frame.time_base = 2 * number, Fraction(1, 50)
        source.push(frame)
        outputs.extend(_pulled(sink))
    source.push(None)
    outputs.extend(_pulled(sink))
    return outputs


def _frame(picture: Tensor) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(arrays.to_codes(picture), format="gbrp")


def _pulled(sink: av.filter.context.FilterContext) -> Iterator[Tensor]:
    while True:
        try:
            frame = sink.pull()
        except (BlockingIOError, EOFError):
            return
        yield arrays.from_codes(frame.to_ndarray())


def _shortly(source: training.ClipSource) -> str:
    return source.name if len(source.files) > 1 else Path(source.name).stem


def _moments(source: training.ClipSource, longest: int) -> list[Tensor]:
    folder = source.files if len(source.files) == 1 else [source.files[0].parent]
    codes: Codes = training.load(folder, longest=longest, ratio=(1, 0, 0)).training.clips[0].versions[0]
    even = codes[: len(codes) // 2 * 2, : codes.shape[1] // 2 * 2, : codes.shape[2] // 2 * 2]
    return [arrays.from_codes(code) for code in even]
