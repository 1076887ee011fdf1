"""Denoising beside its peers: photographs and clips made noisy, cleaned by ours, non-local means, bilateral and BM3D.

Noise is white, its level given to everyone; clips are cleaned by the network that sees neighbors and by the same
without them.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint.errors import SettingsError
from answerprint.metrics.quality import psnr, ssim
from answerprint.metrics.tables import Cell, Table, at_least
from answerprint.nets import denoise as nets
from answerprint.nets import engine
from answerprint.train import data as training
from answerprint.train import degrade

CPU = torch.device("cpu")
LEVELS = (15, 25, 50)
FFDNET = {15: 33.87, 25: 31.21, 50: 27.96}  # on CBSD68 (Zhang, Zuo and Zhang 2018)

Method = Callable[[Tensor, float], Tensor]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """The tables of this bench.

    Args:
        data: folder with pictures and clips that no network was trained on.
        quick: fewer pictures, without BM3D.

    Raises:
        SettingsError: no data was named.
    """
    if data is None:
        raise SettingsError("bench denoise needs --data: a folder of photographs, and clips if there are any")
    sources = training.find([data])
    stills = [source for source in sources if len(source.files) == 1 and source.files[0].suffix in training.PICTURES]
    clips = [source for source in sources if source not in stills]
    network = nets.load()
    if stills:
        yield _photographs(_spread(stills, 4 if quick else 17), network, quick)
    if clips and network.radius:
        yield _clips(_spread(clips, 1 if quick else 4), network, 7 if quick else 15)


def _photographs(sources: Sequence[training.Source], network: nets.Denoiser, quick: bool) -> Table:
    methods = _methods(network, quick)
    rows: list[tuple[Cell, ...]] = []
    best: dict[tuple[str, int], float] = {}
    for level in LEVELS:
        rng = np.random.default_rng(0)
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in methods}
        for source in sources:
            clean = _picture(source.files[0])
            noisy = degrade.gaussian(clean, level / 255, rng)
            for name, method in methods.items():
                begun = time.perf_counter()
                made = method(noisy, level / 255).clamp(0, 1)
                figures[name].append((psnr(made, clean), ssim(made, clean), time.perf_counter() - begun))
        for name, found in figures.items():
            decibels, likeness, _ = np.mean(found, axis=0)
            best[name, level] = float(decibels)
            rows.append((level, name, float(decibels), float(likeness), float(np.median([each[2] for each in found]))))
    peers = [name for name in methods if name != "ours"]
    targets = [
        at_least(f"sigma {level}: ours", best["ours", level], max(best[name, level] for name in peers), "dB")
        for level in LEVELS
    ]
    notes = [f"FFDNet on CBSD68, for orientation: {' / '.join(f'{FFDNET[level]:.2f}' for level in LEVELS)} dB"]
    columns = ("sigma", "method", "PSNR dB", "SSIM", "seconds a picture")
    return Table(f"white noise on {len(sources)} photographs", columns, rows, notes, targets)


def _clips(sources: Sequence[training.Source], network: nets.Denoiser, length: int) -> Table:
    """The temporal network beside the same network shown no neighbors, at sigma 25."""
    stream, alone = nets.Streamed(network, CPU), engine.ready(network, CPU)
    rows: list[tuple[Cell, ...]] = []
    gains = []
    for source in sources:
        clip = training.load(source.files if len(source.files) == 1 else [source.files[0].parent], longest=length)
        frames = [torch.from_numpy(code).permute(2, 0, 1).float() / 255 for code in clip.training.clips[0].versions[0]]
        rng = np.random.default_rng(0)
        told = [_told(degrade.gaussian(frame, 25 / 255, rng), 25 / 255) for frame in frames]
        size = (..., slice(frames[0].shape[1]), slice(frames[0].shape[2]))
        together = [made[0][size] for made in stream.frames(iter(told))]
        apart = [alone(*planes)[0][size] for planes in told]
        figures = [
            float(np.mean([psnr(a.clamp(0, 1), b) for a, b in zip(made, frames, strict=True)]))
            for made in (apart, together)
        ]
        gains.append(figures[1] - figures[0])
        rows.append((source.name, *figures, gains[-1]))
    target = at_least("neighbors bring", float(np.mean(gains)), 1.0, "dB")
    return Table(
        "white noise of sigma 25 on clips",
        ("clip", "single dB", "temporal dB", "gain dB"),
        tuple(rows),
        targets=(target,),
    )


def _methods(network: nets.Denoiser, quick: bool) -> dict[str, Method]:
    fast = engine.ready(network, CPU)

    def ours(noisy: Tensor, sigma: float) -> Tensor:
        planes = [noisy[None], torch.full_like(noisy, sigma)[None], torch.zeros_like(noisy[:1])[None]]
        return engine.tiled(fast, planes, multiple=network.multiple)[0]

    methods: dict[str, Method] = {"ours": ours, "non-local means": _nonlocal, "bilateral": _bilateral}
    if not quick and importlib.util.find_spec("bm3d"):
        methods["BM3D"] = _bm3d
    return methods


def _nonlocal(noisy: Tensor, sigma: float) -> Tensor:
    """OpenCV's, on 8-bit codes, at the strength that suited photographs best."""
    codes = (noisy.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    strength = 0.6 * 255 * sigma
    made = np.asarray(cv2.fastNlMeansDenoisingColored(codes, None, strength, strength, 7, 21))
    return torch.from_numpy(made).permute(2, 0, 1).float() / 255


def _bilateral(noisy: Tensor, sigma: float) -> Tensor:
    made = np.asarray(cv2.bilateralFilter(noisy.permute(1, 2, 0).contiguous().numpy(), -1, 3 * sigma, 1.5))
    return torch.from_numpy(made).permute(2, 0, 1)


def _bm3d(noisy: Tensor, sigma: float) -> Tensor:
    import bm3d

    made = bm3d.bm3d_rgb(noisy.permute(1, 2, 0).contiguous().numpy(), sigma)
    return torch.from_numpy(np.asarray(made, dtype=np.float32)).permute(2, 0, 1)


def _told(noisy: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    return noisy[None], torch.full_like(noisy, sigma)[None], torch.zeros_like(noisy[:1])[None]


def _picture(path: Path) -> Tensor:
    code = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if code is None:
        raise SettingsError(f"{path}: no picture that can be read")
    return torch.from_numpy(np.ascontiguousarray(code[..., ::-1])).permute(2, 0, 1).float() / 255


def _spread(sources: Sequence[training.Source], count: int) -> Sequence[training.Source]:
    """`count` of them, evenly through the list."""
    count = min(count, len(sources))
    return [sources[i * len(sources) // count] for i in range(count)]
