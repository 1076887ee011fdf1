"""Inpainting beside Telea's, a temporal median along flow, and DIS propagation: clips whose background is known.

Masks are laid on clips that hold no such object: silhouettes cut from other clips, moving, and strokes that stand still
(three random paths, 12 to 30 pixels wide, seeded). 20 frames of 432x240. "Hole": flow is found on frames without what
the masks cover; "whole": on the true frames, and masked afterwards, as the public benchmarks do. PSNR is of whole
frames, the mean over frames and clips; inside, of the pixels that other frames show and of the invented ones. "Smooth"
invents no texture, which PSNR likes and nobody else.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from answerprint.errors import MediaError
from answerprint.frame import Frame, Shot
from answerprint.media import reader
from answerprint.metrics import quality
from answerprint.metrics.tables import Table, at_least, at_most
from answerprint.metrics.words import Cell
from answerprint.motion import flow, propagate
from answerprint.operations import inpaint

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Kind = Literal["object", "stationary"]
Unseen = Literal["patch", "smooth"]

SIZE = (432, 240)
FRAMES, QUICK = 20, 8
CLIPS = {  # name: whether the camera moves
    "davis_goat": True,
    "davis_scooter-black": True,
    "davis_soapbox": True,
    "davis_cows": False,
    "davis_drift-chicane": False,
    "davis_dance-twirl": True,
}
_PAINT = np.array((1.0, 0.1, 0.9), np.float32)
SHAPES = ("dog", "kite-surf", "parkour")


@dataclass(frozen=True, eq=False)
class Case:
    """A clip with masks that hide nothing but itself."""

    kind: Kind
    moving: bool
    frames: list[Array]
    masks: list[Mask]


@dataclass(frozen=True)
class Result:
    """A case filled, and what of it other frames showed.

    Attributes:
        frames: (H, W, 3).
        shown: (H, W) for each.
        seconds: a frame.
    """

    frames: list[Array]
    shown: list[Mask]
    seconds: float


Method = Callable[[Case], tuple[list[Array], list[Mask]]]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """One table for objects, one for stationary masks.

    Args:
        data: folder with `video` and `vos/davis`.
        quick: three clips, eight frames.

    Raises:
        MediaError: the clips are not there.
    """
    folder = data or Path("../shared/data")
    kinds: tuple[Kind, ...] = ("object", "stationary")
    for kind in kinds:
        names = list(CLIPS)[:3] if quick else list(CLIPS)
        cases = [_case(folder, number, name, kind, QUICK if quick else FRAMES) for number, name in enumerate(names)]
        yield _table(kind, cases)


def _case(folder: Path, number: int, name: str, kind: Kind, count: int) -> Case:
    files = sorted((folder / "video").glob(f"{name}_*.mp4"))
    shape = folder / "vos" / "davis" / SHAPES[number % len(SHAPES)] / "masks"
    if not files or not shape.is_dir():
        raise MediaError(f"{folder}: no {name} or no masks there; name the folder of test footage with --data")
    frames = []
    for frame in reader.open(files[0]).frames(0, count):
        picture = np.ascontiguousarray(frame.pixels.numpy().transpose(1, 2, 0))
        frames.append(np.asarray(cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA), np.float32).clip(0, 1))
    if kind == "object":
        masks = [_silhouette(file) for file in sorted(shape.glob("*.png"))[: len(frames)]]
    else:
        masks = [_strokes(np.random.default_rng(number))] * len(frames)
    return Case(kind, CLIPS[name], frames, masks)


def _silhouette(file: Path) -> Mask:
    mask = cv2.resize(np.asarray(cv2.imread(str(file), 0)), SIZE, interpolation=cv2.INTER_NEAREST) > 127
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def _strokes(rng: np.random.Generator) -> Mask:
    canvas = np.zeros(SIZE[::-1], np.uint8)
    for _ in range(3):
        points = np.cumsum(rng.normal(0, 14, (8, 2)), 0) + rng.uniform([80, 50], [350, 190])
        cv2.polylines(canvas, [points.astype(np.int32)], False, 1, int(rng.integers(12, 30)))
    return canvas > 0


def _table(kind: Kind, cases: Sequence[Case]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    frame: dict[str, float] = {}
    wobble: dict[str, float] = {}
    for name, method in METHODS.items():
        results = [_timed(method, case) for case in cases]
        scores = [_score(case, result) for case, result in zip(cases, results, strict=True)]
        mean = [statistics.fmean(values) for values in zip(*scores, strict=True)]
        split = [
            _mean([score[0] for score, case in zip(scores, cases, strict=True) if case.moving is way])
            for way in (True, False)
        ]
        frame[name], wobble[name] = mean[0], mean[5]
        rows.append((name, *mean[:2], *split, *mean[2:5], mean[5], 1000 * mean[6]))
    best, peer = frame["ours, hole"], frame["DIS propagation, hole"]
    more = 1.5 if kind == "object" else 1.0
    targets = (
        at_least(f"{kind}: above DIS propagation", best - peer, more, "dB"),
        at_least(
            f"{kind}, flow of whole frames: above DIS propagation",
            frame["ours, whole"] - frame["DIS propagation, whole"],
            more,
            "dB",
        ),
        at_most(f"{kind}: warping error over the source's", wobble["ours, hole"], 1.1),
    )
    columns = (
        "method", "PSNR dB", "SSIM", "camera moves dB", "camera still dB", "recovered dB", "invented dB", "recovered %",
        "warping error / source's", "ms a frame",
    )  # fmt: skip
    share = 100 * statistics.fmean(float(np.mean(case.masks)) for case in cases)
    notes = [
        f"{len(cases)} clips of {len(cases[0].frames)} frames, {SIZE[0]}x{SIZE[1]}, masks {share:.1f} % of the picture"
    ]
    return Table(f"inpaint, {kind} masks", columns, rows, notes, targets)


def _timed(method: Method, case: Case) -> Result:
    begun = time.perf_counter()
    frames, shown = method(case)
    return Result(frames, shown, (time.perf_counter() - begun) / len(frames))


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return statistics.fmean(finite) if finite else float("nan")


def _score(case: Case, result: Result) -> tuple[float, ...]:
    """PSNR and SSIM of frames, PSNR inside (recovered, invented), recovered share %, warping error ratio, seconds."""
    whole, alike, inside, made, shown, total = [], [], [0.0, 0], [0.0, 0], 0, 0
    for true, mask, filled, seen in zip(case.frames, case.masks, result.frames, result.shown, strict=True):
        first, second = (torch.from_numpy(np.ascontiguousarray(one.transpose(2, 0, 1))) for one in (filled, true))
        whole.append(quality.psnr(first, second))
        alike.append(quality.ssim(first, second))
        error = ((filled - true) ** 2).mean(2)
        for bag, part in ((inside, mask & seen), (made, mask & ~seen)):
            bag[0] += float(error[part].sum())
            bag[1] += int(part.sum())
        shown, total = shown + int((mask & seen).sum()), total + int(mask.sum())
    decibels = [-10 * np.log10(max(bag[0] / bag[1], 1e-9)) if bag[1] else float("nan") for bag in (inside, made)]
    ratio = _warping_error(case, result.frames) / _warping_error(case, case.frames)
    return _mean(whole), _mean(alike), *decibels, 100 * shown / total, ratio, result.seconds


def _warping_error(case: Case, frames: Sequence[Array]) -> float:
    """Mean square difference under the masks between a frame and the one before along the true flow."""
    errors = []
    for number in range(1, len(frames)):
        vectors = _true_flow(case.frames[number], case.frames[number - 1])
        difference = ((frames[number] - flow.warp(frames[number - 1], vectors)) ** 2).mean(2)
        errors.append(float(difference[case.masks[number]].mean()))
    return statistics.fmean(errors)


def _true_flow(first: Array, second: Array) -> Array:
    return flow.flow(propagate.gray(first), propagate.gray(second), "fine")


# ------------------------------------------------------------------------------------------------------------- peers


def _telea(case: Case) -> tuple[list[Array], list[Mask]]:
    return [_painted(*pair) for pair in zip(case.frames, case.masks, strict=True)], [
        np.zeros_like(m) for m in case.masks
    ]


def _painted(picture: Array, mask: Mask) -> Array:
    codes = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    filled = cv2.inpaint(codes, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA).astype(np.float32) / 255
    return np.where(mask[..., None], filled, picture)


def _median(case: Case) -> tuple[list[Array], list[Mask]]:
    """The median of five frames that flow brings here, of those that show the place."""
    painted, _ = _telea(case)
    frames, shown = [], []
    for number, mask in enumerate(case.masks):
        views, seen = [], []
        for other in range(max(number - 2, 0), min(number + 3, len(painted))):
            vectors = _true_flow(painted[number], painted[other])
            views.append(flow.warp(painted[other], vectors))
            seen.append(flow.warp(case.masks[other].astype(np.float32), vectors, 1.0) < 0.01)
        stack = np.where(np.stack(seen)[..., None], np.stack(views), np.nan)
        known: Mask = np.asarray(np.stack(seen).any(0))
        middle = np.nanmedian(np.where(known[None, ..., None], stack, 0), 0)
        frames.append(np.where((mask & known)[..., None], middle, painted[number]).astype(np.float32))
        shown.append(mask & known)
    return frames, shown


def _propagation(case: Case, whole: bool) -> tuple[list[Array], list[Mask]]:
    """Pixels handed on from frame to frame along DIS flow, twice: then by flow of the filled frames."""
    frames, shown = _telea(case)
    for turn in range(2):
        base = case.frames if whole and not turn else frames
        hide = [np.asarray(cv2.dilate(m.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0) for m in case.masks]
        grays = [propagate.gray(frame) for frame in base]
        there = [flow.flow(a, b, "medium") for a, b in pairwise(grays)]
        back = [flow.flow(b, a, "medium") for a, b in pairwise(grays)]
        if not turn:
            there = [_filled(v, hide[i]) for i, v in enumerate(there)]
            back = [_filled(v, hide[i + 1]) for i, v in enumerate(back)]
        handed, known = _sweeps(frames, case.masks, there, back)
        if turn:
            handed = [
                np.where((m & ~k)[..., None], f, h)
                for m, k, f, h in zip(case.masks, known, frames, handed, strict=True)
            ]
            known = [a | b for a, b in zip(known, shown, strict=True)]
        frames, shown = handed, known
    return frames, shown


def _filled(vectors: Array, hidden: Mask) -> Array:
    """Flow continued smoothly into what is hidden."""
    from answerprint.filters.poisson import membrane

    return membrane(vectors, ~hidden)


def _sweeps(
    frames: Sequence[Array], masks: Sequence[Mask], there: Sequence[Array], back: Sequence[Array]
) -> tuple[list[Array], list[Mask]]:
    ways = []
    for order, to, home in (
        (range(len(frames)), lambda i: back[i - 1], lambda i: there[i - 1]),
        (range(len(frames) - 1, -1, -1), lambda i: there[i], lambda i: back[i]),
    ):
        ways.append(_sweep(frames, masks, list(order), to, home))
    results, known = [], []
    for number, mask in enumerate(masks):
        weights = [np.where(mask & ~way[1][number], 1 / (1 + way[2][number]) ** 2, 0) for way in ways]
        total = weights[0] + weights[1]
        mixed = (
            sum(w[..., None] * way[0][number] for w, way in zip(weights, ways, strict=True))
            / np.maximum(total, 1e-6)[..., None]
        )
        picture = np.where((mask & (total > 0))[..., None], mixed, frames[number]).astype(np.float32)
        left = mask & (total == 0)
        results.append(_painted(picture, left) if left.any() else picture)
        known.append(mask & (total > 0))
    return results, known


def _sweep(
    frames: Sequence[Array],
    masks: Sequence[Mask],
    order: list[int],
    to: Callable[[int], Array],
    home: Callable[[int], Array],
) -> tuple[dict[int, Array], dict[int, Mask], dict[int, Array]]:
    """Pictures, what of them is still unknown, and over how many frames it came, in one direction."""
    pictures, unknown, age = dict[int, Array](), dict[int, Mask](), dict[int, Array]()
    before: int | None = None
    for number in order:
        picture, open_, old = frames[number].copy(), masks[number].copy(), np.zeros(masks[number].shape, np.float32)
        if before is not None:
            vectors = to(number)
            away = np.linalg.norm(vectors + flow.warp(home(number), vectors), axis=2)
            good = away < 1 + 0.05 * np.linalg.norm(vectors, axis=2)
            take = open_ & good & (flow.warp(unknown[before].astype(np.float32), vectors, 1.0) < 0.01)
            picture[take] = flow.warp(pictures[before], vectors, how=cv2.INTER_CUBIC)[take]
            old = np.where(take, flow.warp(age[before], vectors) + 1, 0).astype(np.float32)
            open_ = open_ & ~take
        pictures[number], unknown[number], age[number], before = picture, open_, old, number
    return pictures, unknown, age


# -------------------------------------------------------------------------------------------------------------- ours


def _ours(case: Case, whole: bool, unseen: Unseen = "patch") -> tuple[list[Array], list[Mask]]:
    """The operation, with masks that do not grow: here they are exact."""
    params = inpaint.Params(grow=0, unseen=unseen)
    # What is under a mask must not help: it is painted over.
    frames = [
        Frame(_planes(picture), Fraction(number, 24), matte=_planes(mask))
        for number, (picture, mask) in enumerate(_painted_over(case))
    ]
    shot = Shot("001", len(frames), Fraction(24), lambda start, stop: iter(frames[start:stop]))
    flow_of = _TrueFlow(case.frames) if whole else inpaint.search_flow
    with inpaint.Footage(shot, inpaint.masks_of(None, shot), params.working_size) as footage:
        filled, _ = inpaint.fill(footage, params, flow_of, lambda _: None)
        count = range(len(frames))
        return [filled.pictures.read(i) for i in count], [filled.shown.read(i) for i in count]


def _painted_over(case: Case) -> Iterator[tuple[Array, Array]]:
    """Frames (H, W, 3) with paint under their masks, and the masks (H, W, 1)."""
    for picture, mask in zip(case.frames, case.masks, strict=True):
        cover = mask[..., None].astype(np.float32)
        yield picture + cover * (_PAINT - picture), cover


class _TrueFlow:
    """Flow of the true frames, in the order in which the operation asks for it."""

    def __init__(self, frames: Sequence[Array]) -> None:
        self._frames, self._asked = frames, 0

    def __call__(self, _first: Array, _second: Array) -> tuple[Array, Array]:
        number = self._asked % (len(self._frames) - 1)
        self._asked += 1
        one, two = self._frames[number], self._frames[number + 1]
        return _true_flow(one, two), _true_flow(two, one)


def _planes(picture: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


METHODS: dict[str, Method] = {
    "Telea, frame by frame": _telea,
    "median along flow": _median,
    "DIS propagation, hole": partial(_propagation, whole=False),
    "DIS propagation, whole": partial(_propagation, whole=True),
    "ours, hole": partial(_ours, whole=False),
    "ours, whole": partial(_ours, whole=True),
    "ours, hole, smooth": partial(_ours, whole=False, unseen="smooth"),
}
