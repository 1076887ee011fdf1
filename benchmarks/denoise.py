"""Denoising beside its peers, on pictures and clips that no network here was trained on.

First the paper's Tables 1 and 2 (AI in the processing and production of animated images): standard GAN, DenseNet and
CycleGAN under weak Gaussian and salt-and-pepper noise, ours as a user runs it (noise measured, not told). Then white
noise of known level beside BM3D, non-local means and the bilateral filter; clips, with and without neighbors; seconds,
memory, and the share of the machine's matrix rate. A network without weights is said to be not trained. What the
weights were trained on, as their cards tell, is left out, whatever folder is given.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from answerprint import arrays
from answerprint.errors import SettingsError, WeightsError
from answerprint.frame import Frame, Shot
from answerprint.inference import engine
from answerprint.metrics.plots import BarPlot, LinePlot
from answerprint.metrics.quality import mean_absolute_error, psnr, ssim
from answerprint.metrics.tables import Table, Target, at_least, at_most
from answerprint.metrics.words import Cell
from answerprint.motion import flow
from answerprint.nets import denoise as nets
from answerprint.noise import blocks
from answerprint.operations import denoise as operation
from answerprint.operations.denoise import single
from answerprint.train import data as training
from answerprint.train import degrade

CPU = torch.device("cpu")
LEVELS = (15, 25, 50)
WEAK = (0.01, 0.02, 0.03, 0.04, 0.05)
PAPER = {"Gaussian": (30.1, 0.88), "salt and pepper": (29.5, 0.85)}  # CycleGAN's PSNR and SSIM there
PAPER_MAE = 0.038
FFDNET = {15: 33.87, 25: 31.21, 50: 27.96}  # on CBSD68 (Zhang, Zuo and Zhang 2018)
DRUNET = {15: 34.30, 25: 31.69, 50: 28.51}  # on CBSD68 (Zhang et al. 2021)
REFINED = "ours, refined"  # denoise --refine
SIZES = {"540p": (960, 540), "1080p": (1920, 1080)}
MATRIX = 2048  # side of the matrices that are multiplied
MOST = 481  # pixels of a side of a photograph that are looked at, from its middle: those of CBSD68 have no more
NETWORKS = ("denoise", "gan", "densenet", "cyclegan")  # what these have seen is left out
# Noise of their own, a coder's blocks, or two moments in one frame: nothing clean to compare with.
NO_REFERENCE = ("*lowlight/*", "*oldfilm/*", "street_night*", "*_480i_*", "*_1080i_*", "valley_1920x1080*")

Method = Callable[[Tensor, float], Tensor]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """The tables of this bench.

    Args:
        data: folder with pictures and clips that no network was trained on.
        quick: fewer pictures and levels, without BM3D and 1080p.

    Raises:
        SettingsError: no data was named.
        TrainingError: nothing is left of it.
    """
    if data is None:
        raise SettingsError("bench denoise needs --data: a folder of photographs, and clips if there are any")
    sources = training.unseen(data, NETWORKS, NO_REFERENCE)
    stills = [s for s in sources if len(s.files) == 1 and s.files[0].suffix.lower() in training.PICTURES]
    clips = [source for source in sources if source not in stills]
    if stills:
        some = _mixed(stills, 4 if quick else 17)
        yield from _paper(some, WEAK[::2] if quick else WEAK)
        yield _photographs(some, quick)
    if clips and nets.load().radius:
        yield _clips(_spread(clips, 1 if quick else 4), 7 if quick else 15)
    yield _speed(quick)
    yield _rate(3 if quick else 7)


# The paper's tables


def _paper(sources: Sequence[training.ClipSource], levels: Sequence[float]) -> Iterator[Table]:
    """Tables 1 and 2 of the paper: by level, and the mean of each kind of noise."""
    rows: list[tuple[Cell, ...]] = []
    values: dict[tuple[str, str], list[list[float]]] = {}
    for kind in PAPER:
        for level in levels:
            for name, figures in _under(kind, level, sources).items():
                rows.append((kind, level, name, *(figures or ("not trained", None, None))))
                if figures:
                    values.setdefault((kind, name), []).append(figures)
    pictures = f"{len(sources)} photographs"
    ahead = _ahead(values)
    yield Table(
        f"the paper's Table 1: weak noise, {pictures}",
        ("noise", "level", "method", "PSNR dB", "SSIM", "MAE"),
        rows,
        ["ours: noise measured by its own analysis, as a user runs it"],
        [] if ahead is None else [at_least("ours above the paper's networks, at the least", ahead, 0.0, "dB")],
        [
            LinePlot(
                f"PSNR under {kind} noise",
                {
                    name: [(level, figures[0]) for level, figures in zip(levels, each, strict=True)]
                    for (of, name), each in values.items()
                    if of == kind
                },
                "level",
                "dB",
            )
            for kind in PAPER
        ],
    )
    means = {key: np.mean(each, axis=0).tolist() for key, each in values.items()}
    names = ["as it came", *single.PAPER, "ours"]
    yield Table(
        f"the paper's Table 2: mean over the levels, {pictures}",
        ("noise", "method", "PSNR dB", "SSIM", "MAE"),
        [(kind, name, *means.get((kind, name), ("not trained", None, None))) for kind in PAPER for name in names],
        [f"the paper's CycleGAN: {db} dB, {share} under {kind} noise" for kind, (db, share) in PAPER.items()],
        _cyclegan(means),
    )


def _under(kind: str, level: float, sources: Sequence[training.ClipSource]) -> dict[str, list[float] | None]:
    """Method -> mean PSNR, SSIM, MAE under one noise; None for networks without weights."""
    networks = {name: _network(name) for name in single.PAPER}
    figures: dict[str, list[tuple[float, float, float]]] = {}
    rng = np.random.default_rng(0)
    for source in sources:
        clean = _picture(source.files[0])
        noisy = degrade.gaussian(clean, level, rng) if kind == "Gaussian" else _salted(clean, level, rng)
        results = {"as it came": noisy, "ours": _measured(noisy)}
        results |= {name: network(noisy) for name, network in networks.items() if network is not None}
        for name, picture in results.items():
            picture = picture.clamp(0, 1)
            scores = (psnr(picture, clean), ssim(picture, clean), mean_absolute_error(picture, clean))
            figures.setdefault(name, []).append(scores)
    names = ["as it came", *networks, "ours"]
    return {name: np.mean(figures[name], axis=0).tolist() if name in figures else None for name in names}


def _ahead(values: Mapping[tuple[str, str], Sequence[Sequence[float]]]) -> float | None:
    """By how many dB ours is above the best of the paper's networks where it is least; None where none is trained."""
    gaps = [
        ours[0] - theirs[0]
        for (kind, name), each in values.items()
        if name in single.PAPER
        for ours, theirs in zip(values[kind, "ours"], each, strict=True)
    ]
    return min(gaps, default=None)


def _cyclegan(means: Mapping[tuple[str, str], Sequence[float]]) -> list[Target]:
    targets = []
    for kind, (decibels, likeness) in PAPER.items():
        measured = means.get((kind, "cyclegan"), (None, None, None))
        targets += [
            at_least(f"CycleGAN, {kind}", measured[0], decibels, "dB"),
            at_least(f"CycleGAN, {kind}, SSIM", measured[1], likeness),
            at_most(f"CycleGAN, {kind}, MAE", measured[2], PAPER_MAE),
        ]
    return targets


def _salted(clean: Tensor, density: float, rng: np.random.Generator) -> Tensor:
    return degrade.salt_and_pepper(clean, density, rng)[0]


def _measured(noisy: Tensor) -> Tensor:
    """Ours as a user runs it on a single picture: what noise there is, it finds by itself."""
    frame = Frame(noisy, Fraction(0))
    params = operation.Params()
    shot = Shot("001", 1, Fraction(24), lambda start, stop: iter([frame][start:stop]))
    return next(operation.run(iter([frame]), params, operation.analyze(shot, params, CPU), CPU)).pixels


@cache
def _network(name: str) -> Callable[[Tensor], Tensor] | None:
    try:
        return single.cleaner(single.load(name), CPU)
    except WeightsError as error:
        if "there are no weights" in str(error):
            return None
        raise


# White noise of a known level


def _photographs(sources: Sequence[training.ClipSource], quick: bool) -> Table:
    methods = {"ours": _ours(), REFINED: _refined(), "non-local means": _nonlocal, "bilateral": _bilateral}
    if not quick and _has_bm3d():
        methods["BM3D"] = _bm3d
    rows: list[tuple[Cell, ...]] = []
    best: dict[tuple[str, int], float] = {}
    for level in LEVELS:
        rng = np.random.default_rng(0)
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in methods}
        for source in sources:
            clean = _picture(source.files[0])
            noisy = degrade.gaussian(clean, level / 255, rng)
            for name, method in methods.items():
                start = time.perf_counter()
                result = method(noisy, level / 255).clamp(0, 1)
                figures[name].append((psnr(result, clean), ssim(result, clean), time.perf_counter() - start))
        for name, values in figures.items():
            decibels, likeness, _ = np.mean(values, axis=0)
            best[name, level] = float(decibels)
            rows.append((level, name, float(decibels), float(likeness), float(np.median([each[2] for each in values]))))
    peers = [name for name in methods if name not in ("ours", REFINED)]
    targets = [
        at_least(f"sigma {level}: {REFINED}", best[REFINED, level], max(best[name, level] for name in peers), "dB")
        for level in LEVELS
    ]
    return Table(
        f"white noise of known level on {len(sources)} photographs",
        ("sigma", "method", "PSNR dB", "SSIM", "seconds a picture"),
        rows,
        [
            f"{name} on CBSD68, other pictures than these: {' / '.join(f'{each[level]:.2f}' for level in LEVELS)} dB"
            for name, each in (("FFDNet", FFDNET), ("DRUNet", DRUNET))
        ],
        targets,
        [BarPlot("PSNR at sigma 25", {name: best[name, 25] for name in methods}, "dB", ("ours", REFINED))],
    )


def _ours() -> Method:
    network = nets.load()
    fast = engine.ready(network, CPU)

    def ours(noisy: Tensor, sigma: float) -> Tensor:
        return engine.tiled(fast, _noise_of(noisy, sigma), multiple=network.multiple)[0]

    return ours


def _refined() -> Method:
    ours = _ours()
    return lambda noisy, sigma: blocks.filter_stacks(noisy, ours(noisy, sigma), torch.full_like(noisy, sigma))


def _nonlocal(noisy: Tensor, sigma: float) -> Tensor:
    """OpenCV's, on 8-bit codes, at the strength that suited photographs best."""
    codes = arrays.to_codes(noisy)
    strength = 0.6 * 255 * sigma
    result = np.asarray(cv2.fastNlMeansDenoisingColored(codes, None, strength, strength, 7, 21))
    return arrays.from_codes(result)


def _bilateral(noisy: Tensor, sigma: float) -> Tensor:
    result = np.asarray(cv2.bilateralFilter(arrays.to_image(noisy), -1, 3 * sigma, 1.5))
    return arrays.to_planes(result)


def _has_bm3d() -> bool:
    return importlib.util.find_spec("bm3d") is not None


def _bm3d(noisy: Tensor, sigma: float) -> Tensor:
    import bm3d

    result = bm3d.bm3d_rgb(arrays.to_image(noisy), sigma)
    return arrays.to_planes(np.asarray(result, dtype=np.float32))


# Clips


def _clips(sources: Sequence[training.ClipSource], length: int) -> Table:
    """Ours with the neighbors of each frame beside ours shown one frame at a time, at sigma 25."""
    rows: list[tuple[Cell, ...]] = []
    sums = []
    for source in sources:
        clip = training.load(source.files if len(source.files) == 1 else [source.files[0].parent], longest=length)
        frames = [arrays.from_codes(code) for code in clip.training.clips[0].versions[0]]
        rng = np.random.default_rng(0)
        noisy = [Frame(degrade.gaussian(frame, 25 / 255, rng), Fraction(t, 25)) for t, frame in enumerate(frames)]
        together = [frame.pixels for frame in _rendered(noisy, 25 / 255)]
        apart = [frame.pixels for alone in noisy for frame in _rendered([alone], 25 / 255)]
        means = [
            float(np.mean([psnr(a.clamp(0, 1), b) for a, b in zip(results, frames, strict=True)]))
            for results in (apart, together)
        ]
        flickers = [1000 * flicker(results, frames) for results in (frames, apart, together)]
        sums.append((means[1] - means[0], *flickers))
        rows.append((source.name, *means, *sums[-1]))
    gain, _, apart_flicker, together_flicker = np.mean(sums, axis=0).tolist()
    return Table(
        f"white noise of sigma 25 on {len(rows)} clips of {length} frames",
        ("clip", "single dB", "temporal dB", "gain dB", "flicker clean", "flicker single", "flicker temporal"),
        tuple(rows),
        ["flicker: mean difference of consecutive frames along the clean clip's flow, in thousandths"],
        (
            at_least("neighbors bring", gain, 1.0, "dB"),
            at_most("flicker with neighbors beside the single-frame result", together_flicker, apart_flicker),
        ),
    )


def _rendered(frames: Sequence[Frame], sigma: float) -> Iterator[Frame]:
    """Frames of a job for a shot whose findings are white noise of that level."""
    level = (sigma,) * 4
    findings = operation.Findings(red=level, green=level, blue=level)
    return operation.run(iter(frames), operation.Params(), findings, CPU)


def flicker(pictures: Sequence[Tensor], clean: Sequence[Tensor]) -> float:
    """Mean absolute difference of consecutive frames along the flow of the clean clip, where the flow is trusted.

    Args:
        made: frames (3, H, W).
        clean: the same frames without noise, by which the flow is found.
    """
    gray = [(frame.mean(dim=0).clamp(0, 1) * 255).round().byte().numpy() for frame in clean]
    differences = []
    for index, (before, after) in enumerate(pairwise(gray)):
        forward, backward = flow.flow(before, after), flow.flow(after, before)
        trusted = flow.confidence(forward, backward) > 0.5
        here, there = (arrays.to_image(pictures[i]) for i in (index, index + 1))
        if trusted.any():
            differences.append(float(np.abs(flow.warp(there, forward) - here)[trusted].mean()))
    return float(np.mean(differences)) if differences else 0.0


# Speed and memory


def _speed(quick: bool) -> Table:
    """Seconds a frame and memory of a process that does nothing else, each method in its own."""
    names = [
        "ours",
        "ours, no neighbors",
        REFINED,
        *single.PAPER,
        "non-local means",
        *(["BM3D"] if _has_bm3d() else []),
    ]
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        cells: list[Cell] = []
        for size in ("540p",) if quick else SIZES:
            if name in single.PAPER and _network(name) is None:
                cells += ["not trained", None]
            elif name == "BM3D" and (quick or size == "1080p"):
                cells += [None, None]
            else:
                cells += [*_alone(name, *SIZES[size])]
        rows.append((name, *cells))
    heads = [f"{what} {size}" for size in (("540p",) if quick else SIZES) for what in ("seconds a frame", "MB")]
    notes = [
        "white noise of sigma 25, its level told; MB: largest resident size of the process, Python and torch in it"
    ]
    if not quick:
        notes.append("BM3D is not run at 1080p: it takes minutes")
    return Table("speed and memory", ("method", *heads), rows, notes)


def _rate(turns: int, width: int = 960, height: int = 540) -> Table:
    """How much of what the machine multiplies in matrices the denoiser gets out of it, both timed in turn."""
    network, backend, frame = nets.load(), engine.choose(CPU), f"ours, a frame of {width}x{height}"
    kind = torch.float32 if backend == "fp32" else torch.bfloat16
    planes = engine.padded(_noise_of(torch.rand(3, height, width), 25 / 255), network.multiple)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*planes)
    matrix = torch.rand(MATRIX, MATRIX).to(kind)
    run = engine.ready(network, CPU)
    works: dict[str, tuple[float, Callable[[], object]]] = {
        "matrices": (2.0 * MATRIX**3, lambda: matrix @ matrix),
        frame: (float(counter.get_total_flops()), lambda: run(*planes)),
    }
    best = dict.fromkeys(works, math.inf)
    for _ in range(turns + 1):  # the first to get ready
        for name, (_, work) in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    rates = {name: count / best[name] / 1e9 for name, (count, _) in works.items()}
    share = rates[frame] / rates["matrices"]
    return Table(
        "matrix rate",
        ("work", "billion operations", "seconds", "billion a second"),
        [(name, count / 1e9, best[name], rates[name]) for name, (count, _) in works.items()],
        [f"back end {backend}, matrices of {MATRIX} x {MATRIX} in {kind}, the best of {turns} turns each"],
        [at_least("ours, share of the matrix rate", share, 0.6)],
    )


def _alone(name: str, width: int, height: int) -> tuple[float, float]:
    """Seconds a frame and peak memory in MB of one method in a process of its own."""
    words = [
        sys.executable,
        "-c",
        "from benchmarks import denoise; denoise.work()",
        name,
        str(width),
        str(height),
    ]
    process = subprocess.run(words, capture_output=True, text=True, check=True)
    figures = json.loads(process.stdout.strip().splitlines()[-1])
    return figures["seconds"], figures["peak"]


def work() -> None:
    """The work of `_alone`: the method named in the arguments, on made-up frames; prints seconds a frame and peak."""
    name, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    coarse = torch.rand(1, 3, height // 40, width // 40, generator=torch.Generator().manual_seed(0))
    clean = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")[0].clamp(0, 1)
    noisy = degrade.gaussian(clean, 25 / 255, np.random.default_rng(0))
    if name == "ours":
        count = 2 * nets.load().radius + 1
        frames = [Frame(noisy, Fraction(t, 25)) for t in range(count)]
        start = time.perf_counter()
        for _ in _rendered(frames, 25 / 255):
            pass
        seconds = (time.perf_counter() - start) / count
    else:
        method = _by_name(name)
        start = time.perf_counter()
        method(noisy, 25 / 255)
        seconds = time.perf_counter() - start
    # Not getrusage: its peak outlives exec, and would be that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def _by_name(name: str) -> Method:
    plain: dict[str, Method] = {"non-local means": _nonlocal, "BM3D": _bm3d}
    if name in plain:
        return plain[name]
    own = {"ours, no neighbors": _ours, REFINED: _refined}
    if name in own:
        return own[name]()
    network = single.cleaner(single.load(name), CPU)
    return lambda noisy, _: network(noisy)


def _noise_of(noisy: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    return noisy[None], torch.full_like(noisy, sigma)[None], torch.zeros_like(noisy[:1])[None]


def _picture(path: Path) -> Tensor:
    code = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if code is None:
        raise SettingsError(f"{path}: no picture that can be read")
    height, width = code.shape[:2]
    top, left = max(height - MOST, 0) // 2, max(width - MOST, 0) // 2
    code = code[top : top + MOST, left : left + MOST]
    return arrays.from_codes(code[..., ::-1])


def _mixed(sources: Sequence[training.ClipSource], count: int) -> list[training.ClipSource]:
    """`count` of them, as many from each folder as it has to give, so that no large set outweighs the others."""
    folders: dict[Path, list[training.ClipSource]] = {}
    for source in sources:
        folders.setdefault(source.files[0].parent, []).append(source)
    shares = dict.fromkeys(folders, 0)
    for _ in range(min(count, len(sources))):
        open_ones = [folder for folder in folders if shares[folder] < len(folders[folder])]
        shares[min(open_ones, key=lambda folder: shares[folder])] += 1
    return [source for folder, share in shares.items() for source in _spread(folders[folder], share)]


def _spread(sources: Sequence[training.ClipSource], count: int) -> Sequence[training.ClipSource]:
    """`count` of them, evenly through the list."""
    count = min(count, len(sources))
    return [sources[i * len(sources) // count] for i in range(count)]
