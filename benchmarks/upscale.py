"""Super-resolution of photographs that no weights have seen, blurred by known Gaussians and decimated by 4 and 2.

The protocol is that of IKC (Gu et al. 2019): a Gaussian of 21 x 21, then antialiased bicubic decimation, rounding to 8
bits, PSNR and SSIM of luma without a border of as many pixels as the factor. Photographs are halved first, which takes
most of their coding away. "Told" is given the true kernel, "predicted" and "corrected" estimate it from the picture.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from answerprint import arrays
from answerprint.color import spaces
from answerprint.errors import MediaError
from answerprint.filters import inverse
from answerprint.filters.inverse import Blur
from answerprint.metrics import quality
from answerprint.metrics.tables import Table, at_least, at_most
from answerprint.metrics.words import Cell
from answerprint.nets import softness as estimators
from answerprint.nets import upscale as nets
from answerprint.train.data import unseen
from benchmarks import peers

KERNELS = 8
WIDTHS = {4: (1.8, 3.2), 2: (0.8, 1.6)}
PICTURES, QUICK = 16, 4
SIDE = 384  # pixels of the large picture
Enlarge = Callable[[Tensor, Blur], Tensor]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """A table for each factor, and one of estimated kernels.

    Args:
        data: folder with `train/photos` and `peers`.
        quick: fewer pictures.

    Raises:
        MediaError: the photographs are not there.
    """
    folder = data or Path("../shared/data")
    photos = folder / "train" / "photos" / "hr"
    if not photos.is_dir():
        raise MediaError(f"{photos}: no photographs there; name the folder of test data with --data")
    sources = unseen(photos, ("upscale2", "upscale4", "softness"), ("mate_*", "ubuntumate_*"))
    pictures = [_picture(source.files[0]) for source in sources[: QUICK if quick else PICTURES]]
    for scale in (4, 2):
        yield _table(scale, pictures, folder)
    yield _estimates(pictures)


def _picture(path: Path) -> Tensor:
    """The middle of a photograph at half its size, (1, 3, H, W)."""
    codes = np.asarray(cv2.imread(str(path)))
    half = cv2.resize(codes, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    top, left = ((length - SIDE) // 2 for length in half.shape[:2])
    piece = half[max(top, 0) :, max(left, 0) :][:SIDE, :SIDE]
    height, width = (length // 4 * 4 for length in piece.shape[:2])
    return arrays.from_codes(arrays.to_bgr(np.ascontiguousarray(piece[:height, :width])))[None]


def _blurs(scale: int) -> list[Blur]:
    low, high = WIDTHS[scale]
    return [Blur(scale, width, width) for width in np.linspace(low, high, KERNELS).round(3).tolist()]


def _lowered(picture: Tensor, blur: Blur) -> Tensor:
    return (inverse.lower(picture, blur).clamp(0, 1) * 255).round() / 255


def _table(scale: int, pictures: list[Tensor], folder: Path) -> Table:
    rows: list[tuple[Cell, ...]] = []
    means: dict[str, float] = {}
    for name, enlarge in _methods(scale, folder).items():
        scores, seconds = [], 0.0
        for blur in _blurs(scale):
            for picture in pictures:
                low = _lowered(picture, blur)
                begun = time.perf_counter()
                with torch.inference_mode():
                    result = enlarge(low, blur)
                seconds += time.perf_counter() - begun
                scores.append((blur.across, *_score(result, picture, scale)))
        first, *_, last = (blur.across for blur in _blurs(scale))
        ends = [statistics.fmean(psnr for width, psnr, _ in scores if width == end) for end in (first, last)]
        means[name] = statistics.fmean(psnr for _, psnr, _ in scores)
        ssim = statistics.fmean(each for *_, each in scores)
        rows.append((name, means[name], ssim, *ends, 1000 * seconds / len(scores)))
    columns = ("method", "PSNR dB", "SSIM", f"width {first:g} dB", f"width {last:g} dB", "ms a picture")
    targets = [at_most("blind below told", means["ours, told"] - means["ours, blind"], 0.3, "dB")]
    if "USRNet, told" in means:
        targets.append(at_least("told above USRNet", means["ours, told"] - means["USRNet, told"], 0.0, "dB"))
    notes = [f"{len(pictures)} photographs, {KERNELS} kernels, large pictures of {SIDE} pixels a side"]
    return Table(f"upscale x{scale}", columns, rows, notes, tuple(targets))


def _methods(scale: int, folder: Path) -> dict[str, Enlarge]:
    net, estimator = nets.load(f"upscale{scale}").eval(), estimators.load().eval()
    weights = peers.read(folder, "usrnet_tiny")
    methods: dict[str, Enlarge] = {
        "bicubic": lambda low, _: inverse.cubic(low, scale),
        "Lanczos": lambda low, _: _lanczos(low, scale),
        "exact inverse, told": lambda low, blur: nets.enlarge(low, blur, 0.0),
    }
    if weights is not None:
        methods["USRNet, told"] = lambda low, blur: peers.usrnet(weights, low, blur, 0.5 / 255)
    return methods | {
        "ours, told": lambda low, blur: nets.upscaled(net, low, blur, 0.0),
        "ours, predicted": lambda low, _: nets.upscaled(net, low, _estimated(estimator, low, scale, 0), 0.0),
        "ours, corrected once": lambda low, _: nets.upscaled(net, low, _estimated(estimator, low, scale, 1), 0.0),
        "ours, blind": lambda low, _: nets.upscaled(
            net, low, _estimated(estimator, low, scale, estimators.CORRECTIONS), 0.0
        ),
    }


def _estimated(net: estimators.Estimator, low: Tensor, scale: int, corrections: int) -> Blur:
    """The blur as it is estimated from one picture, as wide across as down."""
    width = float(_turns(net, low, corrections)[-1][:2].mean()) * scale
    least, most = nets.WIDTHS[scale]
    width = min(max(round(width * 40) / 40, least), most)
    return Blur(scale, width, width)


def _turns(net: estimators.Estimator, low: Tensor, corrections: int) -> list[Tensor]:
    found = [estimators.both_ways(net, low)]
    for _ in range(corrections):
        found.append(estimators.corrected(net, low, found[-1]))
    return [each[0] for each in found]


def _lanczos(low: Tensor, scale: int) -> Tensor:
    height, width = low.shape[-2:]
    picture = np.ascontiguousarray(low[0].numpy().transpose(1, 2, 0))
    large = cv2.resize(picture, (width * scale, height * scale), interpolation=cv2.INTER_LANCZOS4)
    return torch.from_numpy(np.ascontiguousarray(large.transpose(2, 0, 1)))[None]


def _score(result: Tensor, truth: Tensor, border: int) -> tuple[float, float]:
    luma = [spaces.luma(each[0].clamp(0, 1))[..., border:-border, border:-border] for each in (result, truth)]
    error = float((luma[0] - luma[1]).square().mean())
    return -10 * float(np.log10(max(error, 1e-10))), quality.ssim(*(F.pad(each, (0, 0)) for each in luma))


def _estimates(pictures: list[Tensor]) -> Table:
    """Mean error of the width, in pixels of the large picture of x4, after each correction."""
    net = estimators.load().eval()
    errors: list[list[float]] = []
    with torch.inference_mode():
        for blur in _blurs(4):
            for picture in pictures:
                found = _turns(net, _lowered(picture, blur), estimators.CORRECTIONS)
                errors.append([abs(4 * float(each[:2].mean()) - blur.across) for each in found])
    means = np.mean(errors, axis=0)
    rows: list[tuple[Cell, ...]] = [(number, float(error)) for number, error in enumerate(means)]
    targets = (at_most("error of the width, blind", float(means[-1]), 0.15, "px"),)
    return Table("upscale, width of the kernel, one picture", ("corrections", "mean error, px"), rows, [], targets)
