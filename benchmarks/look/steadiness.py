"""Steadiness in time: warping error over the gain of contrast (tables 1 and 2 of NCST)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from answerprint import arrays
from answerprint.color import spaces, style
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.media import reader
from answerprint.metrics import lpips
from answerprint.metrics.plots import BarPlot
from answerprint.metrics.tables import Table, at_most
from answerprint.motion import flow
from answerprint.shots import boundary
from benchmarks.look.methods import OURS, fit_method, read_pixels

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
    results: dict[int, list[_Steady]] = {5: [], 35: []}
    seconds = list[tuple[float, float]]()
    for index, path in enumerate(clips):
        for shot in shots_of(path):
            flows = {apart: list(_flows(shot, apart, 2 if quick else 3)) for apart in results}
            reference = references[(7 * index + 3) % len(references)]
            transforms, target = _transforms(shot, reference, seconds), read_pixels(reference)
            for apart, own in flows.items():
                if own:
                    results[apart].append(_steady(shot.name, own, transforms, metric, target))
    names = {5: "short-term", 35: "long-term"}
    tables = [_steady_table(names[apart], apart, rows, metric is not None) for apart, rows in results.items()]
    slowest = at_most("slowest fit of a shot, look (extended)", max(wall for wall, _ in seconds), 60, "s")
    note = f"slowest fit of a shot: {max(cpu for _, cpu in seconds):.1f} s of one processor's time, decoding included"
    last = replace(tables[-1], targets=(*tables[-1].targets, slowest), notes=(*tables[-1].notes, note))
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
    transforms: dict[str, Callable[[Frame], Frame]] = {}
    for method in ("none", *_METHODS):
        if method == _EACH_FRAME:
            transforms[method] = partial(_each_frame, reference)
            continue
        start, cpu_start = time.perf_counter(), time.process_time()
        transforms[method], _ = fit_method(method, shot, reference)
        if method == OURS:
            seconds.append((time.perf_counter() - start, time.process_time() - cpu_start))
    return transforms


def _each_frame(reference: Path, frame: Frame) -> Frame:
    """Reinhard's transfer with the statistics of this frame alone, as methods for pictures work on clips."""
    shot = Shot("frame", 1, Fraction(25), lambda *_: iter([frame]))
    return fit_method("reinhard", shot, reference)[0](frame)


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
    target: Tensor,
) -> _Steady:
    measured = {method: _warping(flows, transform, metric, target) for method, transform in transforms.items()}
    columns = ({method: values[i] for method, values in measured.items()} for i in range(4))
    return _Steady(name, *columns)


def _steady_table(name: str, apart: int, results: Sequence[_Steady], by_lpips: bool) -> Table:
    methods = ("none", *_METHODS)
    rows: list[tuple[str | float | None, ...]] = [
        (steady.shot, *(steady.over_gain(method) for method in methods)) for steady in results
    ]
    means = {method: float(np.mean([steady.over_gain(method) for steady in results])) for method in methods if results}
    if results:
        rows.append(("average", *means.values()))
        rows.append(
            ("average, over local contrast", *(float(np.mean([s.over_local(m) for s in results])) for m in methods))
        )
        rows.append(("average, not divided", *(float(np.mean([s.errors[m] for s in results])) for m in methods)))
        rows.append(
            ("average distance to the look", *(float(np.mean([s.distances[m] for s in results])) for m in methods))
        )
    above = [steady.over_gain(OURS) / steady.over_gain("none") for steady in results]
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
                at_most(f"look (extended) beside {method}, average", means[OURS] / means[method], 1.0)
                for method in (_EACH_FRAME, "knn", "combined")
                if results
            ),
        ),
        plots=(BarPlot("warping error over contrast gain", means, ours=(OURS,)),) if results else (),
    )


def _clips(folder: Path, count: int | None) -> list[Path]:
    paths = sorted(folder.glob("*.mp4"))
    if not paths:
        raise SettingsError(f"{folder}: no .mp4 clips for the tables of consistency")
    return paths if count is None else paths[:: max(1, len(paths) // count)][:count]


@dataclass(frozen=True, eq=False)
class _Pair:
    first: Frame
    second: Frame
    vectors: flow.Array
    visible: np.ndarray[Any, np.dtype[np.bool_]]


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
        visible = np.square(returned).sum(2) < 0.01 * (np.square(forth).sum(2) + np.square(back).sum(2)) + 0.5
        # Across a cut flow means nothing.
        if visible.mean() > _SEEN_AGAIN:
            yield _Pair(first, second, forth, visible)


def _flow(first: Frame, second: Frame) -> flow.Array:
    planes = [(spaces.luma(f.pixels)[0].clamp(0, 1) * 255).byte().numpy() for f in (first, second)]
    return flow.flow(planes[0], planes[1], "medium")


def _warping(
    flows: Sequence[_Pair], transform: Callable[[Frame], Frame], metric: lpips.Lpips | None, target: Tensor
) -> tuple[float, float, float, float]:
    """Warping error, the gain of local contrast where it is measured, the gain of the deviation of the whole, and how
    far the look is."""
    errors, gains, spans, distances = list[float](), list[float](), list[float](), list[float]()
    theirs = style.to_lab(style.colors(target, 20_000, seed=1))
    for pair in flows:
        first, second = (transform(frame).pixels.clamp(0, 1) for frame in (pair.first, pair.second))
        other = arrays.to_planes(flow.warp(arrays.to_image(second), pair.vectors))
        visible = torch.from_numpy(pair.visible)
        if metric is not None:
            errors.append(float(metric(first[None], other[None])[0, 0][visible].mean()))
        else:
            errors.append(float((first - other).abs()[:, visible].mean()))
        ours = style.to_lab(style.colors(first, 20_000, seed=1))
        distances.append(float(style.sliced_wasserstein(ours, theirs, seed=9)))
        source = pair.first.pixels.clamp(0, 1)
        gains.append(_local_contrast(first, visible) / max(_local_contrast(source, visible), 1e-6))
        spans.append(float(first.std(dim=(1, 2)).mean() / source.std(dim=(1, 2)).mean().clamp_min(1e-6)))
    gain, span = max(float(np.mean(gains)), 1e-3), max(float(np.mean(spans)), 1e-3)
    return float(np.mean(errors)), gain, span, float(np.mean(distances))


def _local_contrast(pixels: Tensor, visible: Tensor) -> float:
    across, down = pixels.diff(dim=2)[:, :-1].abs(), pixels.diff(dim=1)[:, :, :-1].abs()
    return float((across + down)[:, visible[:-1, :-1]].mean())
