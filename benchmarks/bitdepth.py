"""Bit depth beside its peers: masters coded as consumer cameras code, brought back, and graded hard.

Peers: the decoder alone, FFmpeg's `deblock`, `gradfun` and `deband` (the last in 10 bits), TOFlow where weights of it
are there. Masters are clips, and photographs that a camera glides over (only what the weights have not seen, as their
cards tell), both at half size by area, which gives them more than 8 bits; and a slow gradient made here, whose right
answer is exact. CodedClip as H.264, 8 bits, 4:2:0; measured on the middle frame of seven, as the paper does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from av.filter import Graph
from numpy.typing import NDArray
from torch import Tensor

from answerprint import arrays
from answerprint.coding import codes
from answerprint.color import spaces
from answerprint.errors import SettingsError
from answerprint.frame import ColorTags, Frame
from answerprint.inference import weights
from answerprint.media import reader
from answerprint.media.planes import from_rgb, to_rgb
from answerprint.media.presets import repeatable
from answerprint.metrics.plots import LinePlot
from answerprint.metrics.quality import psnr, ssim
from answerprint.metrics.tables import Table, at_least, at_most
from answerprint.metrics.words import Cell
from answerprint.operations import bitdepth
from answerprint.render.pipeline import shot_after
from answerprint.shots.boundary import ShotRange
from answerprint.train import data as training

CPU = torch.device("cpu")
RATES = (0.0417, 0.12, 0.2504)  # bits a pixel: the paper's range
LENGTH = 7
GRADIENT = "a slow gradient, made"
TAGS = ColorTags("bt709", "bt709", "bt709", "limited", "left")
PAPER = {10: (10.48, 70.85), 11: (5.30, 85.06), 12: (2.63, 92.40)}  # Eder, table 1
FILTERS = {
    "deblock": ("yuv420p", "deblock", "filter=strong"),
    "gradfun": ("yuv420p", "gradfun", ""),
    "deband": ("yuv420p10le", "deband", ""),
}

Method = Callable[["CodedClip"], Tensor]


@dataclass(frozen=True, eq=False)
class CodedClip:
    """A master and what the coder made of it.

    Attributes:
        name: of the master.
        rate: bits a pixel that were asked for.
        truth: the master's middle frame, (3, H, W).
        clip: the coded clip.
        frames: its frames.
    """

    name: str
    rate: float
    truth: Tensor
    clip: reader.Clip
    frames: tuple[Frame, ...]

    @property
    def middle(self) -> Frame:
        return self.frames[LENGTH // 2]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """The tables of this bench.

    Args:
        data: folder with clips and photographs that nothing was trained or tuned on.
        quick: fewer of them.

    Raises:
        SettingsError: no data was named.
    """
    if data is None:
        raise SettingsError("bench bitdepth needs --data: a folder of clips or photographs")
    masters = {GRADIENT: _gradient(), **_masters(data, 1 if quick else 4)}
    methods = _methods()
    with tempfile.TemporaryDirectory(prefix="answerprint-bench-") as folder:
        coded = [_code(name, frames, rate, Path(folder)) for name, frames in masters.items() for rate in RATES]
        pictures_by_method = {name: [method(each) for each in coded] for name, method in methods.items()}
        yield _quality(coded, pictures_by_method)
        yield _precision(coded, pictures_by_method)
        yield _bands(coded, pictures_by_method)


# ---- tables


def _quality(coded: Sequence[CodedClip], results: dict[str, list[Tensor]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    means: dict[str, float] = {}
    for name, pictures in results.items():
        by_kind: dict[str, list[tuple[float, float]]] = {}
        for picture, each in zip(pictures, coded, strict=True):
            cut = picture.clamp(0, 1)
            kind = "gradient" if each.name == GRADIENT else f"{each.rate:g}"
            by_kind.setdefault(kind, []).append((psnr(cut, each.truth), ssim(cut, each.truth)))
        real = [figures for kind, own in by_kind.items() if kind != "gradient" for figures in own]
        means[name] = float(np.mean([decibels for decibels, _ in real]))
        for kind, own in {**by_kind, "all but gradient": real}.items():
            rows.append((kind, name, *(float(value) for value in np.mean(own, axis=0))))
    targets = [at_least("ours above decoded only", means["ours"] - means["decoded only"], 1.0, "dB")]
    if "TOFlow" in means:
        targets.append(at_least("ours above TOFlow", means["ours"] - means["TOFlow"], 0.0, "dB"))
    notes = [
        "the paper's TOFlow on its own 6K set: 39.67 dB, 0.9726",
        "without TOFlow: there are no weights of it" if "TOFlow" not in means else "TOFlow as trained here",
        f"{len(coded) // len(RATES)} masters: " + ", ".join(dict.fromkeys(each.name for each in coded)),
    ]
    return Table(
        "as near to the master", ("bits a pixel", "method", "PSNR dB", "SSIM"), tuple(rows), notes, tuple(targets)
    )


def _precision(coded: Sequence[CodedClip], results: dict[str, list[Tensor]]) -> Table:
    """The paper's table 1: pixels right within a code of so many bits, and pixels that left their 8-bit value."""
    rows: list[tuple[Cell, ...]] = []
    for bits, paper in PAPER.items():
        rows.append((bits, "the paper, on its own set", *paper))
        steps = 2**bits - 1
        for name, pictures in results.items():
            right, added = [], []
            for picture, each in zip(pictures, coded, strict=True):
                if each.name == GRADIENT:
                    continue
                codes_made = (picture.clamp(0, 1) * steps).round()
                eight = (each.middle.pixels.clamp(0, 1) * 255).round() / 255
                right.append(float((codes_made == (each.truth * steps).round()).float().mean()))
                added.append(float((codes_made != (eight * steps).round()).float().mean()))
            rows.append((bits, name, 100 * float(np.mean(right)), 100 * float(np.mean(added))))
    columns = ("bits", "method", "right %", "added precision %")
    plots = (_histogram(coded, results),)
    notes = [
        "added precision says that a value moved, not that it moved to the right place: 4:2:0 to R'G'B' alone does it",
        "without the gradient that is made here: the paper has none",
    ]
    return Table("precision of R'G'B' (the paper's table 1)", columns, tuple(rows), notes, plots=plots)


def _histogram(coded: Sequence[CodedClip], results: dict[str, list[Tensor]]) -> LinePlot:
    """The paper's figure 1: luma of 10 bits before, after and in the master, on the first that is no synthetic one."""
    index = next((i for i, each in enumerate(coded) if each.name != GRADIENT and each.rate == RATES[-1]), 0)
    panels = {"decoded": results["decoded only"][index], "ours": results["ours"][index], "master": coded[index].truth}
    lines = {}
    for name, picture in panels.items():
        luma = (_luma(picture) - 16) / 219 * 1023
        low = float(np.percentile(_luma(coded[index].truth), 40) - 16) / 219 * 1023
        counts, edges = np.histogram(luma, bins=80, range=(low, low + 80))
        lines[name] = [(float(x), float(y)) for x, y in zip(edges, counts, strict=False)]
    return LinePlot(f"luma of {coded[index].name} in 10-bit codes, 80 of them", lines, "code", "pixels")


def _bands(coded: Sequence[CodedClip], results: dict[str, list[Tensor]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    graded: dict[str, float] = {}
    real = [index for index, each in enumerate(coded) if each.name != GRADIENT]
    truth = [(_banding(each.truth), _banding(_grade(each.truth))) for each in coded]
    for name, pictures in {**results, "master": [each.truth for each in coded]}.items():
        strengths = truth if name == "master" else [(_banding(p), _banding(_grade(p))) for p in pictures]
        for kind, chosen in (("gradient", set(range(len(coded))) - set(real)), ("all but gradient", set(real))):
            plain, strong = (100 * float(value) for value in np.mean([strengths[i] for i in chosen], axis=0))
            rows.append((kind, name, plain, strong))
        graded[name] = strong
    share = graded["ours"] / max(graded["decoded only"], 1e-9)
    target = at_most("banding after the grade, ours / decoded only", share, 0.5)
    notes = ["grade: contrast times 2.5 around the mean of the picture; measured as coding/codes.py says, on luma"]
    return Table(
        "banding, percent of pixels",
        ("masters", "method", "as it is", "after a strong grade"),
        tuple(rows),
        notes,
        (target,),
    )


def _banding(picture: Tensor) -> float:
    return codes.banding(_luma(picture))


def _grade(picture: Tensor) -> Tensor:
    middle = float(picture.mean())
    return ((picture - middle) * 2.5 + middle).clamp(0, 1)


def _luma(picture: Tensor) -> NDArray[np.float32]:
    """In 8-bit codes, with all that lies between them."""
    return np.asarray(16 + 219 * spaces.luma(picture)[0].numpy(), np.float32)


# ---- methods


def _methods() -> dict[str, Method]:
    methods: dict[str, Method] = {"decoded only": lambda coded: coded.middle.pixels}
    for name in FILTERS:
        methods[f"FFmpeg {name}"] = lambda coded, name=name: _filtered(coded, name)  # type: ignore[misc]
    if any(entry.card.name == "toflow" for entry in weights.listing()[0]):
        methods["TOFlow"] = lambda coded: _ours(coded, "toflow")
    default = bitdepth.Params().model
    others: tuple[bitdepth.Model, ...] = ("bounds", "network")
    for model in others:
        there = model == "bounds" or any(entry.card.name == "bitdepth" for entry in weights.listing()[0])
        if model != default and there:
            methods[f"ours, {model} alone"] = lambda coded, model=model: _ours(coded, model)  # type: ignore[misc]
    methods["ours"] = lambda coded: _ours(coded, default)
    return methods


def _ours(coded: CodedClip, model: bitdepth.Model) -> Tensor:
    params = bitdepth.Params(model=model)
    shot = shot_after(coded.clip, ShotRange("001", 0, len(coded.clip)), [], CPU)
    findings = bitdepth.analyze(shot, params, CPU)
    frames_out = bitdepth.run(iter(coded.frames), params, findings, CPU)
    return next(islice(frames_out, LENGTH // 2, None)).pixels


def _filtered(coded: CodedClip, name: str) -> Tensor:
    """The middle frame through a filter of FFmpeg."""
    form, filter_name, arguments = FILTERS[name]
    origin = coded.middle.origin
    if origin is None:
        raise SettingsError(f"{coded.name}: no stored planes to filter")
    deep = form != "yuv420p"
    planes = [plane.numpy().astype(np.uint16) * 4 if deep else plane.numpy() for plane in origin.planes]
    frame = av.VideoFrame(coded.middle.width, coded.middle.height, form)
    _fill(frame, planes)
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add(filter_name, arguments), graph.add("buffersink")).configure()
    for number in range(2):
        frame.pts = number
        graph.push(frame)
    picture: Any = graph.pull()
    back = tuple(torch.from_numpy(_plane(plane, deep)) for plane in picture.planes)
    return to_rgb(back, form.removesuffix("le"), origin.color)


def _fill(frame: av.VideoFrame, planes: Sequence[NDArray[Any]]) -> None:
    for plane, source in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(plane, dtype=source.dtype).reshape(plane.height, plane.line_size // source.itemsize)
        lines[: source.shape[0], : source.shape[1]] = source


def _plane(plane: Any, deep: bool) -> NDArray[Any]:
    kind = np.uint16 if deep else np.uint8
    lines = np.frombuffer(plane, dtype=kind).reshape(plane.height, plane.line_size // np.dtype(kind).itemsize)
    return lines[:, : plane.width].copy()


# ---- masters


def _gradient() -> list[Tensor]:
    """A sky of 22 codes over 480 pixels, a soft disc in front of it, moving slowly."""
    y, x = np.mgrid[:270, :480].astype(np.float32)
    frames = []
    for number in range(LENGTH):
        disc = 1 / (1 + np.exp((np.hypot(x - 240 - 2 * number, y - 170) - 60) / 14))
        value = 0.35 + 0.09 * x / 480 + 0.04 * y / 270 + 0.06 * disc
        frames.append(torch.from_numpy(np.stack([value, 1.05 * value + 0.01 * disc, 1.15 * value])))
    return frames


def _masters(data: Path, count: int) -> dict[str, list[Tensor]]:
    sources = training.unseen(data, ("bitdepth", "toflow"))
    stills = [s for s in sources if len(s.files) == 1 and s.files[0].suffix.lower() in training.PICTURES]
    clips = [source for source in sources if source not in stills]
    masters: dict[str, list[Tensor]] = {}
    for source in _spread(clips, count):
        library = training.load(list(source.files), longest=LENGTH).training
        masters[source.name] = [
            _halved(code.astype(np.float32) / np.float32(255)) for code in library.clips[0].versions[0]
        ]
    for source in _spread(stills, count):
        code = np.asarray(cv2.imread(str(source.files[0]), cv2.IMREAD_COLOR))[..., ::-1].astype(
            np.float32
        ) / np.float32(255)
        small = _halved(code)
        height, width = small.shape[1] // 2 * 2, (small.shape[2] - 2 * LENGTH) // 2 * 2
        masters[source.name] = [small[:, :height, 2 * t : 2 * t + width].contiguous() for t in range(LENGTH)]
    return {name: frames for name, frames in masters.items() if len(frames) == LENGTH}


def _halved(code: NDArray[np.float32]) -> Tensor:
    size = (code.shape[1] // 4 * 2, code.shape[0] // 4 * 2)
    return arrays.to_planes(arrays.resize(code, size))


def _spread(sources: Sequence[training.ClipSource], count: int) -> Sequence[training.ClipSource]:
    count = min(count, len(sources))
    return [sources[i * len(sources) // count] for i in range(count)]


def _code(name: str, frames: Sequence[Tensor], rate: float, folder: Path) -> CodedClip:
    """H.264 at a rate, found by halving the range of the constant rate factor."""
    path = folder / f"{len(list(folder.iterdir())):03}.mp4"
    target_bits = rate * frames[0][0].numel() * LENGTH / 8
    low, high = 0.0, 51.0
    for _ in range(6):
        factor = (low + high) / 2
        _encode(frames, path, factor)
        low, high = (factor, high) if _bytes(path) > target_bits else (low, factor)
    clip = reader.open(path)
    return CodedClip(name, rate, frames[LENGTH // 2], clip, tuple(clip.frames(quantizers=True)))


def _bytes(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size for packet in container.demux(video=0))


def _encode(frames: Sequence[Tensor], path: Path, factor: float) -> None:
    with av.open(str(path), "w") as container:
        options = {"crf": f"{factor:.2f}", "preset": "fast"} | repeatable("libx264")
        stream: Any = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[2], frames[0].shape[1], "yuv420p"
        context = stream.codec_context
        context.thread_count = 1
        context.color_primaries = context.color_trc = context.colorspace = context.color_range = 1
        for number, picture in enumerate(frames):
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
            _fill(frame, [plane.numpy() for plane in from_rgb(picture, "yuv420p", TAGS)])
            frame.pts = number
            frame.color_primaries = frame.color_trc = frame.colorspace = frame.color_range = 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
