"""Cutout beside three-frame difference, basic Chan-Vese, GrabCut and morphological Chan-Vese, on masked sequences.

J is region similarity (intersection over union), F the boundary measure (harmonic mean of precision and recall of the
contour within 0.8 % of the picture's diagonal), both as DAVIS defines them (Perazzi et al. 2016). A rough prior is the
true mask dilated by 8 pixels and shifted by up to 8, with the frame's number as seed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from answerprint import arrays
from answerprint.assets import Assets
from answerprint.errors import MediaError
from answerprint.frame import Frame, Shot
from answerprint.metrics.plots import LinePlot
from answerprint.metrics.tables import Table, at_least, at_most
from answerprint.motion import flow
from answerprint.operations import cutout
from answerprint.operations.cutout import levelset, region
from answerprint.operations.cutout.keyframe import solve_key
from answerprint.operations.cutout.levelset import LevelSetTerms, LevelSetWeights
from answerprint.operations.cutout.rough import KeyFrame
from answerprint.operations.cutout.state import ContourSettings

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]

_EVERY = 20  # frames between keys
_ROUGH = 8  # pixels that a rough prior is dilated and shifted by
_STEPS = 40


@dataclass(frozen=True)
class _Sequence:
    name: str
    pictures: list[Picture]
    masks: list[Mask]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """Three tables: quality, convergence (Fig. 7) and time.

    Args:
        data: folder with `vos/davis`.
        quick: seven frames of a sequence, at half size.

    Raises:
        MediaError: the sequences are not there.
    """
    sequences = list(_read(data, quick))
    yield _quality(sequences)
    yield _convergence(sequences[0])
    yield _time(sequences[0])


def _read(data: Path | None, quick: bool) -> Iterator[_Sequence]:
    folder = (data or Path("../shared/data")) / "vos" / "davis"
    if not folder.is_dir():
        raise MediaError(f"{folder}: no masked sequences there; name the folder of test footage with --data")
    for path in sorted(folder.iterdir()):
        files = sorted((path / "frames").glob("*.jpg"))
        files = files[:7] if quick else files
        pictures = [np.asarray(cv2.imread(str(file)))[..., ::-1] for file in files]
        masks = [np.asarray(cv2.imread(str(path / "masks" / f"{file.stem}.png"), 0)) > 127 for file in files]
        if quick:
            pictures = [arrays.rescale(one, 0.5) for one in pictures]
            masks = [one[::2, ::2][: pictures[0].shape[0], : pictures[0].shape[1]] for one in masks]
        yield _Sequence(path.name, [np.ascontiguousarray(one) for one in pictures], masks)


def rough(mask: Mask, seed: int) -> Mask:
    """The true mask as a person would have painted it in a hurry: dilated and shifted."""
    side = 2 * _ROUGH + 1
    wide = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    x, y = np.random.default_rng(seed).integers(-_ROUGH, _ROUGH + 1, 2)
    turn = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return np.asarray(cv2.warpAffine(wide, turn, mask.shape[::-1])) > 0


def region_similarity(mask: Mask, right: Mask) -> float:
    """J: intersection over union."""
    union = int((mask | right).sum())
    return 1.0 if union == 0 else int((mask & right).sum()) / union


def boundary_measure(mask: Mask, right: Mask) -> float:
    """F: harmonic mean of the contour's precision and recall within 0.8 % of the diagonal."""
    reach = int(np.ceil(0.008 * np.hypot(*mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    edges = [cv2.morphologyEx(one.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0 for one in (mask, right)]
    near = [cv2.dilate(edge.astype(np.uint8), disc) > 0 for edge in edges]
    if not edges[0].any() or not edges[1].any():
        return float(edges[0].any() == edges[1].any())
    precision, recall = float(near[1][edges[0]].mean()), float(near[0][edges[1]].mean())
    return 2 * precision * recall / max(precision + recall, 1e-9)


# ------------------------------------------------------------------------------------------------------- quality


def _quality(sequences: Sequence[_Sequence]) -> Table:
    ways: dict[str, Callable[[_Sequence], list[Mask]]] = {
        "three-frame difference": _difference,
        "basic Chan-Vese, prior on the first": _chan_vese,
        "GrabCut per frame, prior on the first": _grabcut,
        "morphological Chan-Vese, prior on the first": _morphological,
        "ours, motion alone": lambda one: _ours(one, [])[0],
        "ours, prior on the first": lambda one: _ours(one, [0])[0],
        f"ours, prior every {_EVERY}th": lambda one: _ours(one, list(range(0, len(one.masks), _EVERY)))[0],
    }
    rows: list[list[str | int | float | bool | None]] = []
    means: dict[str, float] = {}
    for way, cut in ways.items():
        figures = []
        for one in sequences:
            results = cut(one)
            pairs = list(zip(results, one.masks, strict=True))
            figures.append((_mean(region_similarity, pairs), _mean(boundary_measure, pairs)))
        means[way] = float(np.mean([j for j, _ in figures]))
        rows.append([way, means[way], float(np.mean([f for _, f in figures])), *(j for j, _ in figures)])
    best = max(list(means.values())[:4])
    return Table(
        "Cutout: region similarity J and boundary measure F, mean over frames",
        ["method", "J", "F", *(f"J {one.name}" for one in sequences)],
        rows,
        [f"{len(sequences[0].masks)} frames each of DAVIS 2016, {sequences[0].masks[0].shape[1]} pixels wide"],
        [
            at_least("J above the best peer, prior on the first frame", means["ours, prior on the first"] - best, 0.15),
            at_least(f"J with a prior every {_EVERY}th frame", means[f"ours, prior every {_EVERY}th"], 0.80),
        ],
    )


def _mean(measure: Callable[[Mask, Mask], float], pairs: Sequence[tuple[Mask, Mask]]) -> float:
    return float(np.mean([measure(mask, right) for mask, right in pairs]))


def _ours(one: _Sequence, keys: list[int]) -> tuple[list[Mask], float]:
    """Masks, and seconds for the whole cutout."""
    frames = [Frame(arrays.from_codes(picture), Fraction(number, 24)) for number, picture in enumerate(one.pictures)]
    shot = Shot(one.name, len(frames), Fraction(24), lambda start, stop: iter(frames[start:stop]))
    with tempfile.TemporaryDirectory() as folder:
        for number in keys:
            painted = rough(one.masks[number], number).astype(np.uint8) * 255
            cv2.imwrite(f"{folder}/prior.{number:04d}.png", painted)
        params = cutout.Params(prior=Path(folder) / "prior.%04d.png" if keys else None)
        began = time.perf_counter()
        assets = Assets()
        findings = cutout.analyze(shot, params, assets)
        results = list(cutout.run(iter(frames), params, findings, assets))
        seconds = time.perf_counter() - began
    return [frame.pixels[0].numpy() > 0.5 for frame in results], seconds


def _difference(one: _Sequence) -> list[Mask]:
    """The paper's detector as it is printed: no camera, no light, Otsu's threshold."""
    grays = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255 for picture in one.pictures]
    results = []
    for number in range(len(grays)):
        beside = [other for other in (number - 1, number + 1) if 0 <= other < len(grays)]
        mask, _ = region.motion_mask([np.abs(grays[number] - grays[other]) for other in beside], "otsu")
        results.append(region.clean(mask))
    return results


def _gray(picture: Picture) -> Array:
    gray: Array = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) / np.float32(255)).astype(np.float32)
    return gray


def _chan_vese(one: _Sequence) -> list[Mask]:
    """The basic model, every frame from the one before."""
    phi, results = levelset.signed_distance(rough(one.masks[0], 0)), []
    for picture in one.pictures:
        phi = levelset.signed_distance(levelset.chan_vese(_gray(picture), phi, _STEPS) > 0)
        results.append(phi > 0)
    return results


def _grabcut(one: _Sequence) -> list[Mask]:
    """GrabCut on every frame, from the first frame's prior carried along the flow."""
    prior, results = rough(one.masks[0], 0), list[Mask]()
    for number, picture in enumerate(one.pictures):
        if number:
            grays = [cv2.cvtColor(one.pictures[at], cv2.COLOR_RGB2GRAY) for at in (number, number - 1)]
            prior = flow.warp(prior.astype(np.float32), flow.flow(*grays)) > 0.5
        labels = np.where(prior, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
        wide = cv2.dilate(prior.astype(np.uint8), np.ones((2 * _ROUGH + 1, 2 * _ROUGH + 1), np.uint8)) > 0
        labels[wide & ~prior] = cv2.GC_PR_BGD
        if prior.any() and not prior.all():
            background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.setRNGSeed(0)
            cv2.grabCut(picture, labels, None, background, foreground, 3, cv2.GC_INIT_WITH_MASK)
        results.append((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    return results


def _morphological(one: _Sequence) -> list[Mask]:
    from skimage.segmentation import morphological_chan_vese

    mask, results = rough(one.masks[0], 0), []
    for picture in one.pictures:
        mask = np.asarray(morphological_chan_vese(_gray(picture), 10, init_level_set=mask.astype(np.int8))) > 0
        results.append(mask)
    return results


# --------------------------------------------------------------------------------------------------- convergence


def _convergence(one: _Sequence) -> Table:
    """Fig. 7: error against iteration from the same start; ours follows what the operation knows."""
    picture, right, start = one.pictures[0], one.masks[0], levelset.signed_distance(rough(one.masks[0], 0))
    errors: dict[str, list[tuple[float, float]]] = {"basic": [], "ours": []}

    def watch(name: str) -> Callable[[int, Array], None]:
        errors[name].append((0, 1 - region_similarity(start > 0, right)))
        return lambda number, phi: errors[name].append((number, 1 - region_similarity(phi > 0, right)))

    steps = 2 * _STEPS
    levelset.chan_vese(_gray(picture), start, steps, watch=watch("basic"))
    slack = 0.12 * float(np.sqrt((start > 0).sum()))
    settings = ContourSettings()
    key = KeyFrame.of(picture, tuple(one.pictures[at] for at in (1, 2, 4)))
    _, evidence = solve_key(key, start, slack, settings)
    terms = LevelSetTerms(settings.weights, None, evidence, start)
    levelset.evolve(start, terms, steps, levels=2, watch=watch("ours"))
    ours, basic = errors["ours"], errors["basic"]
    rows = [[number, basic[number][1], ours[number][1]] for number in (0, 5, 10, 20, _STEPS, steps)]
    moving = abs(ours[_STEPS][1] - ours[steps][1])
    return Table(
        f"Convergence on {one.name}, frame 0 (Fig. 7)",
        ["iteration", "error of the basic model", "error of ours"],
        rows,
        ["error: 1 - J against the true mask; from the same rough prior; ours by the operation's evidence"],
        [
            at_most("change of our error after iteration 40", moving, 0.01),
            at_least("error of the basic model above ours at iteration 40", basic[_STEPS][1] - ours[_STEPS][1], 0.05),
        ],
        [LinePlot("Error against iteration", errors, "iteration", "1 - J")],
    )


# --------------------------------------------------------------------------------------------------------- time


def _time(one: _Sequence) -> Table:
    from skimage.segmentation import chan_vese

    size = (1920, 1080)
    gray = arrays.resize(_gray(one.pictures[0]), size, cv2.INTER_LINEAR)
    mask = arrays.resize(rough(one.masks[0], 0).astype(np.uint8), size, cv2.INTER_NEAREST) > 0
    start = levelset.signed_distance(mask)
    weights = LevelSetWeights()
    levelset.evolve(
        start[:32, :32], LevelSetTerms(weights, gray[None, :32, :32]), 1
    )  # compiled before the clock starts
    ours = _seconds(lambda: levelset.evolve(start, LevelSetTerms(weights, gray[None]), _STEPS))
    theirs = _seconds(lambda: chan_vese(gray, tol=0.0, max_num_iter=_STEPS, init_level_set=start))
    _, seconds = _ours(one, [0])
    speed = len(one.pictures) / seconds
    return Table(
        "Time",
        ["what", "figure", "unit"],
        [
            [f"level set, 1080p, {_STEPS} iterations, ours", ours, "s"],
            [f"level set, 1080p, {_STEPS} iterations, skimage", theirs, "s"],
            [f"whole cutout, {one.pictures[0].shape[1]} pixels wide, one key", speed, "frames/s"],
        ],
        [],
        [
            at_most("level set against skimage", ours / theirs, 0.1),
            at_least("whole cutout", speed, 5.0, "frames/s"),
        ],
    )


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
