"""Optical flow beside OpenCV's, on moving layers with exact truth (train/flights.py), by size of motion.

Textures are photographs that the weights were neither trained on nor chosen by, as their card tells. Occlusion is what
leaves the picture or does not come home, for everyone by the same rule; confidence is judged by how well it tells
pixels whose error is under one pixel (area under the curve). DIS and Farneback get theirs from the way there and back.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.errors import SettingsError
from answerprint.metrics import motion
from answerprint.metrics.tables import Table, Target, at_most
from answerprint.metrics.words import Cell
from answerprint.motion import evidence
from answerprint.motion import flow as search
from answerprint.motion.field import Flow, FlowPair
from answerprint.nets.flow.estimate import Quality, both_ways
from answerprint.train import data as training
from answerprint.train import flights

SIZE = (384, 512)
PAIRS, QUICK = 20, 5  # for each range of motion

Method = Callable[[Tensor, Tensor], FlowPair]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """How one pair came out.

    Attributes:
        mean: of the distance to the truth in pixels.
        median: of the same.
        far: share of pixels farther than 3 pixels from it.
        occlusion: F1 of the pixels said to be hidden.
        confidence: area under the curve of "error under one pixel"; NaN where all or none are.
        seconds: both ways.
    """

    mean: float
    median: float
    far: float
    occlusion: float
    confidence: float
    seconds: float


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """The tables of this bench.

    Args:
        data: folder of photographs.
        quick: fewer pairs.

    Raises:
        SettingsError: no data was named.
        TrainingError: no photographs are left of it.
    """
    if data is None:
        raise SettingsError("bench flow needs --data: a folder of photographs")
    sources = training.unseen(data, ("flow",))
    photos = training.load([source.files[0] for source in sources], scales=(1.0, 0.5), ratio=(1, 0, 0)).training
    for number, pace in enumerate(flights.RANGES):
        pairs = [
            flights.flight(photos, np.random.default_rng((7, number, index)), SIZE, pace)
            for index in range(QUICK if quick else PAIRS)
        ]
        yield _table(pace, pairs)
    yield _still(photos)


def _table(pace: str, pairs: list[flights.Flight]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    means: dict[str, Score] = {}
    for name, method in METHODS.items():
        scores = [_scored(method, pair) for pair in pairs]
        means[name] = mean = Score(
            **{key: statistics.fmean(_finite([getattr(s, key) for s in scores])) for key in vars(scores[0])}
        )
        figures = mean.mean, mean.median, 100 * mean.far, mean.occlusion, mean.confidence, 1000 * mean.seconds
        rows.append((name, *figures))
    dis, best = means["DIS medium"], means["ours, best"]
    targets = (
        at_most(f"{pace}: mean error over that of DIS", best.mean / dis.mean, 0.7),
        at_most(f"{pace}: median error above that of DIS", best.median - dis.median, 0.03, "px"),
    )
    low, high = flights.RANGES[pace]
    columns = ("method", "mean px", "median px", "> 3 px %", "occlusion F1", "confidence AUC", "ms both ways")
    notes = [f"{len(pairs)} pairs of {SIZE[1]}x{SIZE[0]}, motion drawn from {low:g} to {high:g} pixels"]
    return Table(f"flow, {pace} motion", columns, rows, notes, targets)


def _still(photos: training.Library) -> Table:
    """Two frames that are the same must not move at all."""
    picture = flights.flight(photos, np.random.default_rng(1), SIZE, "small").first
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    for quality in get_args(Quality):
        largest = float(both_ways(picture, picture.clone(), quality).forward.vectors.abs().max())
        rows.append((f"ours, {quality}", largest))
        targets.append(Target(f"still pictures, {quality}", largest, 0.0, "exactly", "px"))
    return Table("flow, still pictures", ("method", "largest vector px"), rows, [], tuple(targets))


def _scored(method: Method, pair: flights.Flight) -> Score:
    begun = time.perf_counter()
    found = method(pair.first, pair.second)
    seconds = time.perf_counter() - begun
    error = (found.forward.vectors - pair.flow).norm(dim=0)
    return Score(
        float(error.mean()),
        float(error.median()),
        float((error > 3).float().mean()),
        motion.f1(found.occluded(), ~pair.visible),
        motion.area(found.forward.confidence, error < 1),
        seconds,
    )


def _finite(values: list[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)] or [float("nan")]


def _peer(find: Callable[[evidence.Codes, evidence.Codes], Array]) -> Method:
    """A method of OpenCV, both ways, with the confidence of coming home."""

    def method(first: Tensor, second: Tensor) -> FlowPair:
        one, two = (evidence.codes(evidence.luma(picture)) for picture in (first, second))
        there, back = find(one, two), find(two, one)
        return FlowPair(_with_trust(there, back), _with_trust(back, there))

    return method


def _with_trust(vectors: Array, back: Array) -> Flow:
    planes = torch.from_numpy(np.ascontiguousarray(vectors.transpose(2, 0, 1)))
    return Flow(planes, torch.from_numpy(search.confidence(vectors, back)))


def _farneback(first: evidence.Codes, second: evidence.Codes) -> Array:
    return np.asarray(cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 5, 15, 3, 5, 1.2, 0), np.float32)


METHODS: dict[str, Method] = {
    "DIS medium": _peer(lambda first, second: search.flow(first, second, "medium")),
    "Farneback": _peer(_farneback),
    "ours, fast": lambda first, second: both_ways(first, second, "fast"),
    "ours, best": lambda first, second: both_ways(first, second, "best"),
}
