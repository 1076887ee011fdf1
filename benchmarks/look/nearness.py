"""Nearness to the reference and structure kept, over pairs of pictures."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from answerprint.metrics.plots import BarPlot
from answerprint.metrics.tables import Table, at_least, at_most
from benchmarks.look.methods import OURS, Comparison, compare, pairs

QUICK_PAIRS = 6


def styles(data: Path, quick: bool) -> Table:
    """Sliced Wasserstein distance in CIELAB to the reference, SSIM of luma to the source, colorfulness."""
    methods = ("reinhard", "knn", "combined", "look (7 parameters)", "look (extended)", "look + LUT")
    chosen = pairs(data / "style")[: QUICK_PAIRS if quick else None]
    results = [compare(*pair, methods) for pair in chosen]
    rows = []
    for method in ("none", *methods):
        scores = [entry.scores[method] for entry in results]
        distance, structure, colors = (
            float(np.mean([getattr(score, name) for score in scores]))
            for name in ("distance", "structure", "colorfulness")
        )
        better = [
            score.distance < entry.scores["reinhard"].distance and score.structure >= entry.scores["reinhard"].structure
            for score, entry in zip(scores, results, strict=True)
        ]
        rows.append((method, distance, structure, colors, float(np.mean(better)) * 100))
    won = float(np.mean([entry.won for entry in results])) * 100
    slowest = max(entry.seconds for entry in results)
    return Table(
        f"style and content over {len(results)} pairs",
        ("method", "distance to the look", "SSIM of luma", "colorfulness", "nearer than Reinhard at equal SSIM, %"),
        rows,
        notes=(
            "distance: sliced Wasserstein (root mean square over 64 directions) in CIELAB, of delivered pixels",
            *(f"{entry.name}: " + ", ".join(f"{k} {v:.0%}" for k, v in entry.shares.items()) for entry in results),
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
    chosen = [chosen[i] for i in np.random.default_rng(0).permutation(len(chosen))][
        : 2 * QUICK_PAIRS if quick else None
    ]
    # Spawned, not forked: threads of this process may hold locks.
    pool = ProcessPoolExecutor(
        min(os.cpu_count() or 1, 8), multiprocessing.get_context("spawn"), partial(torch.set_num_threads, 1)
    )
    with pool:
        results = list(pool.map(compare, *zip(*chosen, strict=True)))
    return _every_table(results)


def _every_table(results: Sequence[Comparison]) -> Table:
    sides = [(entry.scores[OURS], entry.scores["reinhard"]) for entry in results]
    won = float(np.mean([entry.won for entry in results])) * 100
    nearer = float(np.mean([ours.distance < theirs.distance for ours, theirs in sides])) * 100
    structured = float(np.mean([ours.structure >= theirs.structure for ours, theirs in sides])) * 100
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
        f"style and content over all pairs: {len(results)}",
        ("", "mean", *(f"{share} % are below" for share in shares)),
        [(name, float(np.mean(row)), *np.percentile(row, shares).tolist()) for name, row in series.items()],
        notes=(
            f"look (extended) is nearer than Reinhard on {nearer:.1f} %, at equal or higher SSIM on {structured:.1f} %",
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
        start = time.perf_counter()
        scores = [compare(*pair, [method]).scores[method] for pair in chosen]
        seconds = (time.perf_counter() - start) / len(chosen)
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
