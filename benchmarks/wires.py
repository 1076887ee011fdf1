"""Wires rendered over real clips: tracked from one drawn line, and removed, beside Telea's and a temporal median.

Each wire is drawn once, by hand as it were: a few points, 2 pixels off, on the frame a third into the clip. Recall and
precision are of the pixels that a wire covers by a tenth or more. PSNR is of these pixels, against the clip without the
wire. Peers are given the true mask. Clips and wires are not those that the method was made on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from answerprint.assets import Assets
from answerprint.errors import MediaError
from answerprint.frame import Frame, Shot
from answerprint.media import reader
from answerprint.metrics.tables import Table, at_least
from answerprint.metrics.words import Cell
from answerprint.motion import flow, propagate
from answerprint.motion.wires import course, trail
from answerprint.operations import wires
from answerprint.operations.wires import saved
from answerprint.operations.wires.follow import follow
from answerprint.operations.wires.lines import Line
from benchmarks.rendered import RenderedWire, some

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

CLIPS = {  # name: whether the background moves, and the size it is taken at
    "tokyo_walk": (True, 1.0),
    "davis_goat": (True, 1.0),
    "davis_scooter-black": (True, 1.0),
    "dance": (True, 1.0),
    "cockatoo": (False, 0.5),
    "street_night": (False, 1.0),
}
FRAMES, QUICK = 60, 16
WIRES = 2  # over each clip
_SEED = 404
_COVERED = 0.1


@dataclass(frozen=True, eq=False)
class Case:
    """A clip, and the same under a wire."""

    moving: bool
    wire: RenderedWire
    clean: list[Array]
    under: list[Array]
    opacity: list[Array]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """One table.

    Args:
        data: folder with `video`.
        quick: two clips of 16 frames, one wire each.

    Raises:
        MediaError: the clips are not there.
    """
    folder = data or Path("../shared/data")
    names = ["davis_goat", "cockatoo"] if quick else list(CLIPS)
    count = QUICK if quick else FRAMES
    cases = [
        case for place, name in enumerate(names) for case in _cases(folder, name, place, count, 1 if quick else WIRES)
    ]
    yield _table(cases)


def _cases(folder: Path, name: str, place: int, count: int, wires_each: int) -> Iterator[Case]:
    """A clip under wires; over all clips they are 1 to 6 pixels wide."""
    files = sorted((folder / "video").glob(f"{name}_*.mp4"))
    if not files:
        raise MediaError(f"{folder}: no {name} there; name the folder of test footage with --data")
    moving, scale = CLIPS[name]
    clean = []
    for frame in reader.open(files[0]).frames(0, count):
        picture = np.ascontiguousarray(frame.pixels.numpy().transpose(1, 2, 0)).clip(0, 1)
        if scale != 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        clean.append(np.asarray(picture, np.float32))
    kinds = some(6, clean[0].shape[:2], _SEED + place)
    for wire in (kinds[(place + 3 * number) % 6] for number in range(wires_each)):
        pairs = [wire.over(picture, number) for number, picture in enumerate(clean)]
        under = [np.asarray(np.rint(picture.clip(0, 1) * 1023) / 1023, np.float32) for picture, _ in pairs]
        yield Case(moving, wire, clean, under, [opacity for _, opacity in pairs])


def _table(cases: list[Case]) -> Table:
    rows, tracked = list[tuple[Cell, ...]](), list[tuple[float, float]]()
    inside: dict[str, dict[bool, list[float]]] = {name: {True: [], False: []} for name in METHODS}
    outside, seconds = True, list[float]()
    for case in cases:
        begun = time.perf_counter()
        cleaned, masks = _ours(case)
        seconds.append((time.perf_counter() - begun) / len(case.under))
        tracked.append(_agreement(case, masks))
        outside &= all(
            bool((after == before)[~mask].all()) for after, before, mask in zip(cleaned, case.under, masks, strict=True)
        )
        for name, method in METHODS.items():
            result = cleaned if method is None else method(case)
            inside[name][case.moving].append(_inside(case, result))
        rows.append((
            f"{case.wire.width:g} px, {case.wire.speed:g} px a frame, {'moving' if case.moving else 'still'}",
            *(100 * share for share in tracked[-1]),
            *(inside[name][case.moving][-1] for name in METHODS),
            1000 * seconds[-1],
        ))  # fmt: skip
    recall, precision = (statistics.fmean(values) for values in zip(*tracked, strict=True))
    targets = [at_least("recall", recall, 0.95), at_least("precision", precision, 0.9)]
    for moving, floor in ((True, 33.0), (False, 37.0)):
        ours, *peers = (statistics.fmean(inside[name][moving] or [float("nan")]) for name in METHODS)
        ground = "moving" if moving else "still"
        targets.append(at_least(f"inside, {ground} background", ours, floor, "dB"))
        targets.append(at_least(f"above the better peer, {ground} background", ours - max(peers), 2.0, "dB"))
    targets.append(at_least("pixels outside equal to the source", float(outside), 1.0))
    columns = ("wire", "recall %", "precision %", *(f"{name} dB" for name in METHODS), "ms a frame")
    return Table("wires", columns, rows, [f"{len(cases)} wires, {len(cases[0].clean)} frames or fewer"], tuple(targets))


def _shot(case: Case) -> tuple[Shot, list[Frame]]:
    frames = [
        Frame(torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))), Fraction(number, 24))
        for number, picture in enumerate(case.under)
    ]
    return Shot("001", len(frames), Fraction(24), lambda start, stop: iter(frames[start:stop])), frames


def _ours(case: Case) -> tuple[list[Array], list[Mask]]:
    """The clip without the wire, and where it was thought to be."""
    shot, frames = _shot(case)
    key, size = len(frames) // 3, case.under[0].shape[:2]
    points = case.wire.points(key)
    points = points[course.inside(points, size, 0)]
    chosen = points[np.linspace(0, len(points) - 1, 5 if case.wire.sag else 3).astype(int)]
    drawn = chosen + np.random.default_rng(case.wire.seed).normal(0, 2.0, chosen.shape)
    assets = Assets()
    trails = follow(shot, [Line(key, drawn)])
    name = saved.save(trails, [frame.time for frame in frames], assets)
    findings = wires.Findings(tracks=name, removed=(1,))
    cleaned = [
        np.ascontiguousarray(frame.pixels.numpy().transpose(1, 2, 0))
        for frame in wires.run(iter(frames), wires.Params(grain=0.0), findings, assets)
    ]
    return cleaned, [_mask(trails[0], number, size) for number in range(len(frames))]


def _mask(track: trail.Trail, number: int, size: tuple[int, int]) -> Mask:
    cover = trail.cover(track, number, size)
    result = np.zeros(size, np.float32)
    if cover is not None:
        result[cover.rows, cover.columns] = cover.opacity
    return result > 0.004


def _agreement(case: Case, masks: list[Mask]) -> tuple[float, float]:
    """Recall of the pixels that the wire covers by a tenth, and precision: of those it covers at all."""
    hit = sum(int((mask & (alpha >= _COVERED)).sum()) for mask, alpha in zip(masks, case.opacity, strict=True))
    right = sum(int((mask & (alpha > 0.002)).sum()) for mask, alpha in zip(masks, case.opacity, strict=True))
    there = sum(int((alpha >= _COVERED).sum()) for alpha in case.opacity)
    return hit / max(there, 1), right / max(sum(int(mask.sum()) for mask in masks), 1)


def _inside(case: Case, result: list[Array]) -> float:
    total, count = 0.0, 0
    for after, before, alpha in zip(result, case.clean, case.opacity, strict=True):
        under = alpha >= _COVERED
        total += float(((after - before)[under] ** 2).sum()) / 3
        count += int(under.sum())
    return float(-10 * np.log10(max(total / max(count, 1), 1e-9)))


def _telea(case: Case) -> list[Array]:
    return [_painted(picture, alpha > 0.02) for picture, alpha in zip(case.under, case.opacity, strict=True)]


def _painted(picture: Array, mask: Mask) -> Array:
    codes = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    filled = cv2.inpaint(codes, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA).astype(np.float32) / 255
    return np.where(mask[..., None], filled, picture)


def _median(case: Case) -> list[Array]:
    """The median of five frames that flow brings here, of those that show the place."""
    painted = _telea(case)
    grays = [propagate.gray(picture) for picture in painted]
    results = []
    for number, picture in enumerate(painted):
        views, seen = [], []
        for other in range(max(number - 2, 0), min(number + 3, len(painted))):
            if other == number:
                continue
            vectors = flow.flow(grays[number], grays[other], "medium")
            views.append(flow.warp(painted[other], vectors))
            seen.append(flow.warp((case.opacity[other] > 0.02).astype(np.float32), vectors, 1.0) < 0.01)
        known: Mask = np.asarray(np.stack(seen).any(0))
        stack = np.where(np.stack(seen)[..., None], np.stack(views), np.nan)
        middle = np.nanmedian(np.where(known[None, ..., None], stack, 0), 0)
        use = known & (case.opacity[number] > 0.02)
        results.append(np.where(use[..., None], middle, picture).astype(np.float32))
    return results


METHODS = {"ours": None, "Telea": _telea, "median along flow": _median}
