"""Looks against Reinhard, KNN and both combined: nearness to the reference, structure kept, steadiness, speed."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint.bench import media
from answerprint.color import cube_file, lut, readback, spaces, style
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.media import reader
from answerprint.metrics import lpips, quality
from answerprint.metrics.plots import BarPlot
from answerprint.metrics.tables import Table, at_least, at_most
from answerprint.motion import flow
from answerprint.operations import grade, look, match
from answerprint.shots import boundary

CPU = torch.device("cpu")
_SIZES = {
    "512": (512, 512), "HD": (1280, 720), "FHD": (1920, 1080), "QHD": (2560, 1440), "UHD": (3840, 2160),
    "5K": (5120, 2880), "8K": (7680, 4320),
}  # fmt: skip
_QUICK = 6
_OURS = "look (extended)"


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """Style and content, steadiness (tables 1 and 2 of NCST), speed (its table 3), memory.

    Args:
        data: folder that holds `style/` and `video/`, and perhaps `weights/` with those of LPIPS (`metrics/lpips.py`).
        quick: fewer pairs, clips and sizes.

    Raises:
        SettingsError: no data folder, or nothing in it to compare.
    """
    if data is None or not (data / "style").is_dir():
        raise SettingsError(
            "bench look needs pictures: --data FOLDER with style/photo_contents, style/photo_looks, video"
        )
    yield styles(data, quick)
    yield every_pair(data, quick)
    yield tuning(data, quick)
    yield from steadiness(data, quick)
    yield speed(data, quick)
    yield memory(quick)


# ---- nearness and structure


@dataclass(frozen=True)
class Score:
    """One method on one pair."""

    distance: float
    structure: float
    colorfulness: float


@dataclass(frozen=True)
class Compared:
    """All methods on one pair."""

    name: str
    scores: dict[str, Score]
    seconds: float
    shares: dict[str, float]

    @property
    def won(self) -> bool:
        """Whether the extended look is nearer than Reinhard at equal or higher SSIM."""
        ours, theirs = self.scores["look (extended)"], self.scores["reinhard"]
        return ours.distance < theirs.distance and ours.structure >= theirs.structure


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Contents and the looks of the same number."""
    found = [
        (content, folder / "photo_looks" / content.name) for content in sorted((folder / "photo_contents").iterdir())
    ]
    found = [pair for pair in found if pair[1].is_file()]
    if not found:
        raise SettingsError(f"{folder}: no pictures of the same name in photo_contents and photo_looks")
    return found


def compare(content: Path, reference: Path, methods: Sequence[str] = ("reinhard", "look (extended)")) -> Compared:
    """Scores of methods on one pair of pictures."""
    shot, wanted = _still(content), _pixels(reference)
    source = shot.sample(1)[0].pixels
    scores = {"none": _score(source, source, wanted)}
    seconds, shares = 0.0, dict[str, float]()
    for method in methods:
        begun = time.perf_counter()
        done, findings = graded(method, shot, reference)
        if method == "look (extended)" and findings is not None:
            seconds, shares = time.perf_counter() - begun, findings.shares
        scores[method] = _score(done, source, wanted)
    return Compared(content.stem, scores, seconds, shares)


def graded(method: str, shot: Shot, reference: Path) -> tuple[Tensor, look.Findings | None]:
    """The first frame of a shot by one method."""
    transform, findings = _transform(method, shot, reference)
    return transform(shot.sample(1)[0]).pixels, findings


def _transform(method: str, shot: Shot, reference: Path) -> tuple[Callable[[Frame], Frame], look.Findings | None]:
    if method == "none":
        return lambda frame: frame, None
    if method in ("reinhard", "knn", "combined"):
        params = match.Params.of({"reference": reference, "method": method})
        found = match.analyze(shot, params, CPU)
        return lambda frame: next(match.run(iter([frame]), params, found, CPU)), None
    kinds: dict[str, dict[str, Any]] = {
        "look (7 parameters)": {"method": "ncst"},
        "look (7, network)": {"method": "ncst", "tune": "off"},
        "look (7, network tuned)": {"method": "ncst", "tune": "network"},
        "look (extended)": {},
        "look (extended, network)": {"tune": "off"},
        "look (extended, network tuned)": {"tune": "network"},
        "look + LUT": {"lut": True},
    }
    chosen = look.Params.of({"reference": reference, **kinds[method]})
    findings = look.analyze(shot, chosen, CPU)
    return lambda frame: next(look.run(iter([frame]), chosen, findings, CPU)), findings


def styles(data: Path, quick: bool) -> Table:
    """Sliced Wasserstein distance in CIELAB to the reference, SSIM of luma to the source, colorfulness."""
    methods = ("reinhard", "knn", "combined", "look (7 parameters)", "look (extended)", "look + LUT")
    chosen = pairs(data / "style")[: _QUICK if quick else None]
    found = [compare(*pair, methods) for pair in chosen]
    rows = []
    for method in ("none", *methods):
        scores = [entry.scores[method] for entry in found]
        distance, structure, colors = (
            float(np.mean([getattr(score, name) for score in scores]))
            for name in ("distance", "structure", "colorfulness")
        )
        better = [
            score.distance < entry.scores["reinhard"].distance and score.structure >= entry.scores["reinhard"].structure
            for score, entry in zip(scores, found, strict=True)
        ]
        rows.append((method, distance, structure, colors, float(np.mean(better)) * 100))
    won = float(np.mean([entry.won for entry in found])) * 100
    slowest = max(entry.seconds for entry in found)
    return Table(
        f"style and content over {len(found)} pairs",
        ("method", "distance to the look", "SSIM of luma", "colorfulness", "nearer than Reinhard at equal SSIM, %"),
        rows,
        notes=(
            "distance: sliced Wasserstein (root mean square over 64 directions) in CIELAB, of delivered pixels",
            *(f"{entry.name}: " + ", ".join(f"{k} {v:.0%}" for k, v in entry.shares.items()) for entry in found),
        ),
        targets=(
            at_least("look (extended) nearer than Reinhard at equal or higher SSIM", won, 80, "% of pairs"),
            at_most("slowest fit", slowest, 60, "s"),
        ),
        plots=(
            BarPlot("distance to the look", {row[0]: row[1] for row in rows}, ours=("look (extended)", "look + LUT")),
            BarPlot("colorfulness (CS), as AEPR's figure 11", {row[0]: row[3] for row in rows}, ours=("combined",)),
            BarPlot("SSIM to the source, as AEPR's figure 11", {row[0]: row[2] for row in rows}, ours=("combined",)),
        ),
    )


def every_pair(data: Path, quick: bool) -> Table:
    """The extended look beside Reinhard, over all contents with all looks, whether they suit each other or not."""
    looks = sorted((data / "style" / "photo_looks").iterdir())
    contents = sorted((data / "style" / "photo_contents").iterdir())
    chosen = list(itertools.product(contents, looks))
    # In an order drawn by chance, so that a part of them stands for all.
    chosen = [chosen[i] for i in np.random.default_rng(0).permutation(len(chosen))][: 2 * _QUICK if quick else None]
    # Spawned, not forked: threads of this process may hold locks.
    pool = ProcessPoolExecutor(
        min(os.cpu_count() or 1, 8), multiprocessing.get_context("spawn"), partial(torch.set_num_threads, 1)
    )
    with pool:
        found = list(pool.map(compare, *zip(*chosen, strict=True)))
    return _every_table(found)


def _every_table(found: Sequence[Compared]) -> Table:
    sides = [(entry.scores[_OURS], entry.scores["reinhard"]) for entry in found]
    won = float(np.mean([entry.won for entry in found])) * 100
    nearer = float(np.mean([ours.distance < theirs.distance for ours, theirs in sides])) * 100
    kept = float(np.mean([ours.structure >= theirs.structure for ours, theirs in sides])) * 100
    shares = (5, 25, 50, 75, 95)
    series = {
        "distance to the look, look (extended)": [ours.distance for ours, _ in sides],
        "distance to the look, reinhard": [theirs.distance for _, theirs in sides],
        "distance, look (extended) over reinhard": [ours.distance / theirs.distance for ours, theirs in sides],
        "SSIM of luma, look (extended)": [ours.structure for ours, _ in sides],
        "SSIM of luma, reinhard": [theirs.structure for _, theirs in sides],
        "SSIM of luma, look (extended) less reinhard": [ours.structure - theirs.structure for ours, theirs in sides],
    }
    return Table(
        f"style and content over all pairs: {len(found)}",
        ("", "mean", *(f"{share} % are below" for share in shares)),
        [(name, float(np.mean(row)), *np.percentile(row, shares).tolist()) for name, row in series.items()],
        notes=(
            f"look (extended) is nearer than Reinhard on {nearer:.1f} %, with equal or higher SSIM on {kept:.1f} %",
            "every content with every look, also where one has nothing of the other's kind",
        ),
        targets=(at_least("look (extended) nearer than Reinhard at equal or higher SSIM", won, 80, "% of pairs"),),
    )


_WAYS = (
    "look (7, network)",
    "look (7, network tuned)",
    "look (7 parameters)",
    "look (extended, network)",
    "look (extended, network tuned)",
    "look (extended)",
)


def tuning(data: Path, quick: bool) -> Table:
    """The network's word, the network tuned on the shot, and the parameters themselves tuned on it."""
    rows: list[tuple[str | float | None, ...]] = []
    chosen = pairs(data / "style")[1 :: 20 if quick else 5]
    for method in _WAYS:
        begun = time.perf_counter()
        scores = [compare(*pair, [method]).scores[method] for pair in chosen]
        seconds = (time.perf_counter() - begun) / len(chosen)
        rows.append(
            (
                method,
                float(np.mean([s.distance for s in scores])),
                float(np.mean([s.structure for s in scores])),
                seconds,
            )
        )
    return Table(
        f"ways to find the parameters, over {len(chosen)} pairs",
        ("way", "distance to the look", "SSIM of luma", "seconds"),
        rows,
        notes=(
            "seconds: fit and measuring together; the network is tuned by the paper's losses, not by this distance",
        ),
    )


def _score(done: Tensor, source: Tensor, wanted: Tensor) -> Score:
    delivered = done.clamp(0, 1)
    ours, theirs = (style.to_lab(style.colors(p, 100_000, seed=1)) for p in (delivered, wanted))
    return Score(
        float(style.sliced_wasserstein(ours, theirs, seed=9)),
        quality.ssim(spaces.luma(delivered), spaces.luma(source)),
        quality.colorfulness(delivered),
    )


def _still(path: Path) -> Shot:
    clip = reader.open(path)
    return Shot(path.stem, 1, Fraction(25), clip.frames)


def _pixels(path: Path) -> Tensor:
    return next(iter(reader.open(path).frames(0, 1))).pixels


# ---- steadiness


_METHODS = (
    "reinhard, each frame",
    "reinhard",
    "knn",
    "combined",
    "look (7 parameters)",
    "look (extended)",
    "look + LUT",
)
_EACH_FRAME = _METHODS[0]


def steadiness(data: Path, quick: bool) -> list[Table]:
    """Warping error over the gain of contrast, 5 frames (table 2) and 35 frames (table 1) apart."""
    clips = _clips(data / "video", 2 if quick else None)
    references = sorted((data / "style" / "photo_looks").iterdir())
    weights = data / "weights"
    metric = lpips.load(weights) if weights.is_dir() else None
    found: dict[int, list[_Steady]] = {5: [], 35: []}
    seconds = list[tuple[float, float]]()
    for index, path in enumerate(clips):
        for shot in shots_of(path):
            flows = {apart: list(_flows(shot, apart, 2 if quick else 3)) for apart in found}
            reference = references[(7 * index + 3) % len(references)]
            transforms, wanted = _transforms(shot, reference, seconds), _pixels(reference)
            for apart, own in flows.items():
                if own:
                    found[apart].append(_steady(shot.name, own, transforms, metric, wanted))
    names = {5: "short-term", 35: "long-term"}
    tables = [_steady_table(names[apart], apart, rows, metric is not None) for apart, rows in found.items()]
    slowest = at_most("slowest fit of a shot, look (extended)", max(wall for wall, _ in seconds), 60, "s")
    worked = f"slowest fit of a shot: {max(cpu for _, cpu in seconds):.1f} s of one processor's time, decoding included"
    last = replace(tables[-1], targets=(*tables[-1].targets, slowest), notes=(*tables[-1].notes, worked))
    return [*tables[:-1], last]


_SHOTS = 2  # of a clip: its longest


def shots_of(path: Path) -> list[Shot]:
    """The longest shots of a clip, cut as a job cuts it: a look is fitted to a shot."""
    clip = reader.open(path)
    cut = boundary.detect(clip)
    longest = sorted(sorted(cut, key=lambda own: own.start - own.stop)[:_SHOTS], key=lambda own: own.start)
    return [
        Shot(
            path.stem if len(cut) == 1 else f"{path.stem} {own.name}",
            own.stop - own.start,
            clip.info.rate,
            partial(_part, clip, own.start),
            own.start,
        )
        for own in longest
    ]


def _part(clip: reader.Clip, begin: int, start: int, stop: int) -> Iterator[Frame]:
    return clip.frames(begin + start, begin + stop)


def _transforms(shot: Shot, reference: Path, seconds: list[tuple[float, float]]) -> dict[str, Callable[[Frame], Frame]]:
    """Each method, fitted to the shot; what the look took goes to `seconds`."""
    made: dict[str, Callable[[Frame], Frame]] = {}
    for method in ("none", *_METHODS):
        if method == _EACH_FRAME:
            made[method] = partial(_each_frame, reference)
            continue
        begun, worked = time.perf_counter(), time.process_time()
        made[method], _ = _transform(method, shot, reference)
        if method == _OURS:
            seconds.append((time.perf_counter() - begun, time.process_time() - worked))
    return made


def _each_frame(reference: Path, frame: Frame) -> Frame:
    """Reinhard's transfer with the statistics of this frame alone, as methods for pictures work on clips."""
    shot = Shot("frame", 1, Fraction(25), lambda *_: iter([frame]))
    return _transform("reinhard", shot, reference)[0](frame)


@dataclass(frozen=True)
class _Steady:
    """One shot: the error of each method, the gain of contrast it brings, its distance to the look."""

    shot: str
    errors: dict[str, float]
    gains: dict[str, float]
    spans: dict[str, float]
    distances: dict[str, float]

    def over_gain(self, method: str) -> float:
        return self.errors[method] / self.spans[method]

    def over_local(self, method: str) -> float:
        return self.errors[method] / self.gains[method]


def _steady(
    name: str,
    flows: Sequence[_Pair],
    transforms: dict[str, Callable[[Frame], Frame]],
    metric: lpips.Lpips | None,
    wanted: Tensor,
) -> _Steady:
    measured = {method: _warping(flows, transform, metric, wanted) for method, transform in transforms.items()}
    columns = ({method: found[i] for method, found in measured.items()} for i in range(4))
    return _Steady(name, *columns)


def _steady_table(name: str, apart: int, found: Sequence[_Steady], by_lpips: bool) -> Table:
    methods = ("none", *_METHODS)
    rows: list[tuple[str | float | None, ...]] = [
        (steady.shot, *(steady.over_gain(method) for method in methods)) for steady in found
    ]
    means = {method: float(np.mean([steady.over_gain(method) for steady in found])) for method in methods if found}
    if found:
        rows.append(("average", *means.values()))
        rows.append(
            ("average, over local contrast", *(float(np.mean([s.over_local(m) for s in found])) for m in methods))
        )
        rows.append(("average, not divided", *(float(np.mean([s.errors[m] for s in found])) for m in methods)))
        rows.append(
            ("average distance to the look", *(float(np.mean([s.distances[m] for s in found])) for m in methods))
        )
    above = [steady.over_gain(_OURS) / steady.over_gain("none") for steady in found]
    what = "LPIPS" if by_lpips else "mean absolute difference of R'G'B'"
    return Table(
        f"{name} consistency: warping error over contrast gain, every {apart}th frame",
        ("shot", *methods),
        rows,
        notes=(
            f"{what} to the other frame warped by DIS flow of the source, where flow forth and back agree",
            "divided by the gain of contrast: the deviation of R'G'B' over the picture, after over before; 'over local "
            "contrast' by how much stronger they change from pixel to pixel there, which flatters added grain",
            f"clips are cut into shots, the {_SHOTS} longest of each are measured, and no flow crosses a cut",
            "all but the first are fitted once per shot; knn and combined look at neighborhoods in each frame",
        ),
        targets=(
            at_most("look (extended) over the source, average", float(np.mean(above)) if above else None, 1.02),
            at_most("look (extended) over the source, worst shot", max(above) if above else None, 1.02),
            *(
                at_most(f"look (extended) beside {method}, average", means[_OURS] / means[method], 1.0)
                for method in (_EACH_FRAME, "knn", "combined")
                if found
            ),
        ),
        plots=(BarPlot("warping error over contrast gain", means, ours=(_OURS,)),) if found else (),
    )


def _clips(folder: Path, count: int | None) -> list[Path]:
    found = sorted(folder.glob("*.mp4"))
    if not found:
        raise SettingsError(f"{folder}: no .mp4 clips for the tables of consistency")
    return found if count is None else found[:: max(1, len(found) // count)][:count]


@dataclass(frozen=True, eq=False)
class _Pair:
    first: Frame
    second: Frame
    vectors: flow.Array
    seen: np.ndarray[Any, np.dtype[np.bool_]]


_SEEN_AGAIN = 0.25  # share of a picture that must be found again in the other


def _flows(shot: Shot, apart: int, count: int) -> Iterator[_Pair]:
    """Pairs of frames `apart` frames from each other, with flow and where it can be trusted."""
    for i in range(count):
        start = i * (shot.length - apart - 1) // max(count - 1, 1)
        if start < 0 or start + apart >= shot.length:
            return
        first, second = (next(iter(shot.frames(p, p + 1))) for p in (start, start + apart))
        forth, back = _flow(first, second), _flow(second, first)
        returned = forth + flow.warp(back, forth)
        seen = np.square(returned).sum(2) < 0.01 * (np.square(forth).sum(2) + np.square(back).sum(2)) + 0.5
        # Across a cut flow means nothing.
        if seen.mean() > _SEEN_AGAIN:
            yield _Pair(first, second, forth, seen)


def _flow(first: Frame, second: Frame) -> flow.Array:
    planes = [(spaces.luma(f.pixels)[0].clamp(0, 1) * 255).byte().numpy() for f in (first, second)]
    return flow.flow(planes[0], planes[1], "medium")


def _warping(
    flows: Sequence[_Pair], transform: Callable[[Frame], Frame], metric: lpips.Lpips | None, wanted: Tensor
) -> tuple[float, float, float, float]:
    """Warping error, the gain of local contrast where it is measured, the gain of the deviation of the whole, and how
    far the look is."""
    errors, gains, spans, distances = list[float](), list[float](), list[float](), list[float]()
    theirs = style.to_lab(style.colors(wanted, 20_000, seed=1))
    for pair in flows:
        first, second = (transform(frame).pixels.clamp(0, 1) for frame in (pair.first, pair.second))
        other = torch.from_numpy(flow.warp(np.ascontiguousarray(second.permute(1, 2, 0).numpy()), pair.vectors))
        other, seen = other.permute(2, 0, 1), torch.from_numpy(pair.seen)
        if metric is not None:
            errors.append(float(metric(first[None], other[None])[0, 0][seen].mean()))
        else:
            errors.append(float((first - other).abs()[:, seen].mean()))
        ours = style.to_lab(style.colors(first, 20_000, seed=1))
        distances.append(float(style.sliced_wasserstein(ours, theirs, seed=9)))
        source = pair.first.pixels.clamp(0, 1)
        gains.append(_local_contrast(first, seen) / max(_local_contrast(source, seen), 1e-6))
        spans.append(float(first.std(dim=(1, 2)).mean() / source.std(dim=(1, 2)).mean().clamp_min(1e-6)))
    gain, span = max(float(np.mean(gains)), 1e-3), max(float(np.mean(spans)), 1e-3)
    return float(np.mean(errors)), gain, span, float(np.mean(distances))


def _local_contrast(pixels: Tensor, seen: Tensor) -> float:
    across, down = pixels.diff(dim=2)[:, :-1].abs(), pixels.diff(dim=1)[:, :, :-1].abs()
    return float((across + down)[:, seen[:-1, :-1]].mean())


# ---- speed


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
    photograph = _pixels(pairs(data / "style")[0][0])
    rows: list[tuple[str | float | None, ...]] = []
    for name in list(_SIZES)[:4] if quick else _SIZES:
        for kind, pixels in _inputs(photograph, *_SIZES[name]):
            spent = _in_turn(_contenders(pixels), _rounds(*_SIZES[name]))
            rows.append((name, kind, *_told(spent)))

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
    interleaved = cv2.resize(photograph.permute(1, 2, 0).numpy(), (width, height), interpolation=cv2.INTER_CUBIC)
    yield "photograph", torch.from_numpy(interleaved).permute(2, 0, 1).contiguous()
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
    given = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    result = np.empty_like(given)
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads)
    edges = [given.shape[0] * i // (4 * threads) for i in range(4 * threads + 1)]

    def part(rows: tuple[int, int]) -> None:
        images = (array[slice(*rows)] for array in (given, result))
        processor.apply(*(ocio.PackedImageDesc(image, image.shape[1], image.shape[0], 3) for image in images))

    def go() -> object:
        list(pool.map(part, itertools.pairwise(edges)))
        return result

    return go


def _in_turn(methods: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray[Any, Any]]:
    """Milliseconds of each, (rounds, 2): by the clock and of the processors; a first round counts for nothing."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for _ in range(rounds + 1):
        for name, method in methods.items():
            begun, worked = time.perf_counter(), time.process_time()
            method()
            spent[name].append(((time.perf_counter() - begun) * 1000, (time.process_time() - worked) * 1000))
    return {name: np.array(own[1:]) for name, own in spent.items()}


def _told(spent: Mapping[str, np.ndarray[Any, Any]]) -> tuple[float, ...]:
    """The fastest of each (what else the machine does can only add), their ratios and each round's, processor time."""
    clock, worked = ({name: own[:, i] for name, own in spent.items()} for i in range(2))
    ratios = list[float]()
    for ours, theirs in (("LUT", _OTHERS), ("parameters", ("LUT",)), ("all parameters", ("LUT",))):
        fastest = np.min([clock[name] for name in theirs], 0)
        ratios += [float(clock[ours].min() / fastest.min()), float(np.median(clock[ours] / fastest))]
    return (*(float(own.min()) for own in clock.values()), *ratios, *(float(own.min()) for own in worked.values()))


# ---- memory


def memory(quick: bool) -> Table:
    """Peak memory of one process that renders with a look, by its parameters and by its LUT, up to 8K."""
    rows = list[tuple[str, float, float]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = {"slope": [1.1, 0.95, 0.9], "power": [1.1, 0.95, 1.05], "saturation": 0.9}
        cube_file.write(lut.bake(lambda pixels: pixels**1.1, 33), folder / "look.cube")
        for size in ("UHD",) if quick else ("UHD", "8K"):
            width, height = _SIZES[size]
            source = folder / f"{size}.mov"
            media.footage(source, width, height, 6, codec="prores_ks")
            peaks = [
                media.peak(source, folder / "out.mov", [["grade", chosen]])
                for chosen in (values, {"lut": str(folder / "look.cube")})
            ]
            rows.append((size, peaks[0], peaks[1]))
    return Table(
        "peak memory of a whole render, MB",
        ("size", "parameters", "LUT"),
        rows,
        notes=("ProRes in and out, decoding and encoding included, one process",),
        targets=tuple(at_most(f"memory at {row[0]}", max(row[1], row[2]), 4000, "MB") for row in rows),
    )
