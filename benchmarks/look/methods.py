"""The methods that are compared, and their scores on one pair of pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from answerprint.color import spaces, style
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.media import reader
from answerprint.metrics import quality
from answerprint.operations import look, match

CPU = torch.device("cpu")
SIZES = {
    "512": (512, 512), "HD": (1280, 720), "FHD": (1920, 1080), "QHD": (2560, 1440), "UHD": (3840, 2160),
    "5K": (5120, 2880), "8K": (7680, 4320),
}  # fmt: skip
OURS = "look (extended)"


@dataclass(frozen=True)
class Score:
    """One method on one pair."""

    distance: float
    structure: float
    colorfulness: float


@dataclass(frozen=True)
class Comparison:
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
    matches = [
        (content, folder / "photo_looks" / content.name) for content in sorted((folder / "photo_contents").iterdir())
    ]
    matches = [pair for pair in matches if pair[1].is_file()]
    if not matches:
        raise SettingsError(f"{folder}: no pictures of the same name in photo_contents and photo_looks")
    return matches


def compare(content: Path, reference: Path, methods: Sequence[str] = ("reinhard", "look (extended)")) -> Comparison:
    """Scores of methods on one pair of pictures."""
    shot, target = read_still(content), read_pixels(reference)
    source = shot.sample(1)[0].pixels
    scores = {"none": score(source, source, target)}
    seconds, shares = 0.0, dict[str, float]()
    for method in methods:
        start = time.perf_counter()
        result, findings = graded(method, shot, reference)
        if method == "look (extended)" and findings is not None:
            seconds, shares = time.perf_counter() - start, findings.shares
        scores[method] = score(result, source, target)
    return Comparison(content.stem, scores, seconds, shares)


def graded(method: str, shot: Shot, reference: Path) -> tuple[Tensor, look.Findings | None]:
    """The first frame of a shot by one method."""
    transform, findings = fit_method(method, shot, reference)
    return transform(shot.sample(1)[0]).pixels, findings


def fit_method(method: str, shot: Shot, reference: Path) -> tuple[Callable[[Frame], Frame], look.Findings | None]:
    if method == "none":
        return lambda frame: frame, None
    if method in ("reinhard", "knn", "combined"):
        params = match.Params.of({"reference": reference, "method": method})
        fitted = match.analyze(shot, params, CPU)
        return lambda frame: next(match.run(iter([frame]), params, fitted, CPU)), None
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


def score(result: Tensor, source: Tensor, target: Tensor) -> Score:
    delivered = result.clamp(0, 1)
    ours, theirs = (style.to_lab(style.colors(p, 100_000, seed=1)) for p in (delivered, target))
    return Score(
        float(style.sliced_wasserstein(ours, theirs, seed=9)),
        quality.ssim(spaces.luma(delivered), spaces.luma(source)),
        quality.colorfulness(delivered),
    )


def read_still(path: Path) -> Shot:
    clip = reader.open(path)
    return Shot(path.stem, 1, Fraction(25), clip.frames)


def read_pixels(path: Path) -> Tensor:
    return next(iter(reader.open(path).frames(0, 1))).pixels
