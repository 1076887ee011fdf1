"""Lifting little light beside its peers: darkened photographs and clips, real pairs where there are any, and speed.

Peers: histogram equalization and CLAHE of luma (OpenCV), a gamma curve to one mean, MBLLEN alone at full size.
Photographs are made dark by gamma curves with photon noise of peak 200, as MBLLEN was trained, and by less light, as a
camera has it; only those are used that the weights have not seen, as their card tells. Real pairs are taken from
folders `low` and `high` with equal names (as LOL).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint import arrays
from answerprint.color import spaces
from answerprint.errors import SettingsError, WeightsError
from answerprint.frame import Frame, Shot
from answerprint.inference import engine
from answerprint.metrics.quality import delta_e, psnr, ssim
from answerprint.metrics.tables import Table, Target, at_least, at_most
from answerprint.metrics.words import Cell
from answerprint.nets import mbllen
from answerprint.operations import denoise, lowlight
from answerprint.operations.lowlight.mapping import ShotCurves
from answerprint.operations.lowlight.model import load_model
from answerprint.operations.lowlight.params import Model
from answerprint.train import data as training
from answerprint.train import degrade

CPU = torch.device("cpu")
GAMMAS = (2.0, 3.0)
WANTED = 0.40  # mean luma that the plain gamma curve aims at; 0.45, as the classical model, does it no good
_STOPS, _FULL_WELL = 3, 20_000.0  # of the photographs that got too little light; photons of white
CLASSICAL = ("histogram equalization", "CLAHE", "gamma")

Method = Callable[[Tensor], Tensor]


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """The tables of this bench.

    Args:
        data: folder with photographs, and clips or folders `low` and `high` if there are any.
        quick: fewer and smaller pictures, no UHD.

    Raises:
        SettingsError: no data was named, or there is no photograph in it.
    """
    if data is None:
        raise SettingsError("bench lowlight needs --data: a folder of photographs, and clips if there are any")
    trained = _trained()
    network = trained or mbllen.MBLLEN(mbllen.Config(branches=5, features=16, inner=8, kernel=3))
    methods = _methods(network, trained is not None)
    sources = training.unseen(data, ("mbllen",))
    stills = [s for s in sources if len(s.files) == 1 and s.files[0].suffix.lower() in training.PICTURES]
    stills = [s for s in stills if not {"low", "high"} & set(s.files[0].parts)]
    chosen = _spread(stills, 2 if quick else 8)
    if not chosen:
        raise SettingsError(f"bench lowlight: no photograph in {data} that the weights have not seen")
    longest = 640 if quick else 1280
    notes = [] if trained else ["there are no trained weights of MBLLEN: its rows and targets are left out"]
    pictures = [_picture(s.files[0], longest) for s in chosen]
    yield _darkened(pictures, methods, notes)
    yield _underexposed(pictures, methods, notes)
    pairs = _pairs(data)
    if pairs:
        yield _compared("real pairs", pairs[: 3 if quick else 30], methods, [])
    yield _with_denoise([_picture(s.files[0], 640) for s in chosen[: 2 if quick else 4]])
    clips = [s for s in sources if s not in stills and s.files[0].suffix.lower() in training.VIDEOS]
    if clips:
        yield _flicker(_spread(clips, 1 if quick else 3), 8 if quick else 16)
    yield _speed(network, ((540, 960),) if quick else ((1080, 1920), (2160, 3840)))


# ---- quality


def _darkened(pictures: Sequence[Tensor], methods: dict[str, Method], notes: list[str]) -> Table:
    rng = np.random.default_rng(0)
    pairs = [
        (degrade.darken(bright, gamma, rng).clamp(0, 1), bright, f"gamma {gamma:g}")
        for gamma in GAMMAS
        for bright in pictures
    ]
    return _compared(f"darkened photographs ({len(pictures)})", pairs, methods, notes)


def _underexposed(pictures: Sequence[Tensor], methods: dict[str, Method], notes: list[str]) -> Table:
    """A picture from a camera that gets an eighth of the light: less light on a line, not a gamma curve."""
    rng = np.random.default_rng(4)
    pairs = []
    for bright in pictures:
        light = degrade.darken(spaces.decode(bright, "iec61966-2-1"), 1.0, rng, gain=2.0**-_STOPS, peak=_FULL_WELL)
        pairs.append((spaces.encode(light, "iec61966-2-1").clamp(0, 1), bright, f"{_STOPS} stops under"))
    return _compared(f"underexposed photographs ({len(pictures)})", pairs, methods, notes, target=False)


def _compared(
    title: str,
    pairs: Sequence[tuple[Tensor, Tensor, str]],
    methods: dict[str, Method],
    notes: list[str],
    target: bool = True,
) -> Table:
    """Means over the pairs (dark, bright, kind), one row per kind and method; targets where `target`."""
    rows: list[tuple[Cell, ...]] = []
    overall: dict[str, list[float]] = {name: [] for name in methods}
    for kind in dict.fromkeys(kind for _, _, kind in pairs):
        for name, method in methods.items():
            scores = []
            for dark, bright, own in pairs:
                if own == kind:
                    result = method(dark).clamp(0, 1)
                    scores.append((psnr(result, bright), ssim(result, bright), delta_e(result, bright).mean))
            overall[name] += [each[0] for each in scores]
            rows.append((kind, name, *(float(value) for value in np.mean(scores, axis=0))))
    means = {name: float(np.mean(values)) for name, values in overall.items()}
    columns = ("dark by", "method", "PSNR dB", "SSIM", "delta E 2000")
    return Table(title, columns, tuple(rows), notes, tuple(_target(means)) if target else ())


def _target(means: dict[str, float]) -> list[Target]:
    chain = "chain, MBLLEN" if "chain, MBLLEN" in means else "chain, illumination"
    best = max(means[name] for name in CLASSICAL)
    targets = [at_least(f"{chain} above the best classical one", means[chain] - best, 3.0, "dB")]
    if "MBLLEN, full size" in means:
        targets.append(
            at_most("MBLLEN at full size above its chain", means["MBLLEN, full size"] - means[chain], 0.3, "dB")
        )
    return targets


def _with_denoise(pictures: Sequence[Tensor]) -> Table:
    """Whether noise is better taken out before or after the lift."""
    rng = np.random.default_rng(1)
    rows: list[tuple[Cell, ...]] = []
    for gamma in GAMMAS:
        figures: dict[str, list[tuple[float, float]]] = {}
        for bright in pictures:
            dark = degrade.darken(bright, gamma, rng)
            brightened = _chain(dark, "illumination")
            orders = {"none": brightened, "before": _chain(_clean(dark), "illumination"), "after": _clean(brightened)}
            for name, result in orders.items():
                cut = result.clamp(0, 1)
                figures.setdefault(name, []).append((psnr(cut, bright), ssim(cut, bright)))
        rows += [(f"gamma {gamma:g}", name, *map(float, np.mean(each, axis=0))) for name, each in figures.items()]
    return Table("denoise and lowlight, in which order", ("dark by", "denoise", "PSNR dB", "SSIM"), tuple(rows))


def _flicker(sources: Sequence[training.ClipSource], length: int) -> Table:
    """Restlessness of mean luma over darkened clips: the mean of |second difference| in time."""
    rows: list[tuple[Cell, ...]] = []
    worst = 0.0
    for source in sources:
        library = training.load(list(source.files), longest=length).training
        rng = np.random.default_rng(2)
        bright = training.to_pictures(library.clips[0].versions[0])
        dark = [degrade.darken(picture, 3.0, rng).clamp(0, 1) for picture in bright]
        shot = _shot(dark)
        params = lowlight.Params(only_dark=False)
        pictures = [
            frame.pixels for frame in lowlight.run(shot.frames(), params, lowlight.analyze(shot, params, CPU), CPU)
        ]
        before, after = (np.asarray([float(spaces.luma(p).mean()) for p in frames]) for frames in (dark, pictures))
        gain = float(after.mean() / before.mean())
        own, ours = (float(np.abs(np.diff(means, 2)).mean()) for means in (before, after))
        alone = [float(spaces.luma(_equalized(p)).mean()) for p in dark]
        worst = max(worst, ours / (own * gain))
        rows.append((source.name, gain, own * 255, own * gain * 255, ours * 255,
                     float(np.abs(np.diff(alone, 2)).mean()) * 255))  # fmt: skip
    columns = ("clip", "gain", "source", "source x gain", "ours", "equalized frame by frame")
    target = at_most("ours / (source x gain), the worst clip", worst, 1.0)
    return Table("flicker of mean luma, codes of 8 bits", columns, tuple(rows), targets=(target,))


# ---- speed


def _speed(network: mbllen.MBLLEN, sizes: Sequence[tuple[int, int]]) -> Table:
    """Milliseconds a frame, one after the other in turn; MBLLEN in tiles, once."""
    rng = np.random.default_rng(3)
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    run = engine.ready(network, CPU)
    for height, width in sizes:
        coarse = torch.from_numpy(rng.random((1, 3, height // 40, width // 40), dtype=np.float32))
        dark = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0] ** 2.5
        dark = dark + torch.from_numpy(rng.normal(0, 0.01, dark.shape).astype(np.float32))  # a clean one costs less
        chains = {f"chain, {name}": _render(dark, network, name) for name in ("illumination", "MBLLEN", "curve only")}
        peers: dict[str, Callable[[], object]] = {
            "histogram equalization": lambda dark=dark: _equalized(dark),  # type: ignore[misc]
            "CLAHE": lambda dark=dark: _clahe(dark),  # type: ignore[misc]
            "gamma": lambda dark=dark: _gamma(dark),  # type: ignore[misc]
            **chains,
        }
        times = {name: _milliseconds(work, 3) for name, work in peers.items()}
        times["MBLLEN, full size"] = _milliseconds(lambda dark=dark: _full(run, dark), 1)  # type: ignore[misc]
        rows += [(f"{width}x{height}", name, figure) for name, figure in times.items()]
        share = times["chain, MBLLEN"] / times["MBLLEN, full size"]
        targets.append(at_most(f"chain / MBLLEN at full size, {width}x{height}", share, 0.1))
    return Table("speed", ("size", "method", "ms a frame"), tuple(rows), targets=tuple(targets))


def _render(dark: Tensor, network: mbllen.MBLLEN, model: str) -> Callable[[], object]:
    """Milliseconds for one more frame of a shot, whose curves and neighbors' compensation are there."""
    params = lowlight.Params(only_dark=False, compensation=0.0 if model == "curve only" else 1.0)
    shot = _shot([dark])
    findings = lowlight.analyze(shot, params, CPU)
    curves = ShotCurves(params, findings)
    frame = next(shot.frames())
    run = engine.ready(network, CPU)
    lift = load_model(params, CPU) if model == "illumination" else lambda small: _full(run, small)

    def work() -> object:
        field = None if model == "curve only" else lowlight.color_field(frame, curves, findings, lift)
        return lowlight.map_frame(frame, curves, field)

    return work


def _milliseconds(work: Callable[[], object], times: int) -> float:
    if times > 1:
        work()
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        durations.append(1000 * (time.perf_counter() - start))
    return float(np.median(durations))


# ---- methods


def _trained() -> mbllen.MBLLEN | None:
    try:
        return mbllen.load()
    except WeightsError:
        return None


def _methods(network: mbllen.MBLLEN, trained: bool) -> dict[str, Method]:
    methods: dict[str, Method] = {
        "as it is": lambda dark: dark,
        "histogram equalization": _equalized,
        "CLAHE": _clahe,
        "gamma": _gamma,
        "chain, illumination": lambda dark: _chain(dark, "illumination"),
    }
    if trained:
        run = engine.ready(network, CPU)
        methods["MBLLEN, full size"] = lambda dark: _full(run, dark)
        methods["chain, MBLLEN"] = lambda dark: _chain(dark, "mbllen")
    return methods


def _full(run: engine.Run, dark: Tensor) -> Tensor:
    return engine.tiled(run, [dark.clamp(0, 1)[None]], multiple=1)[0].clamp(0, 1)


def _chain(dark: Tensor, model: Model) -> Tensor:
    params = lowlight.Params(model=model, only_dark=False)
    shot = _shot([dark])
    return next(lowlight.run(shot.frames(), params, lowlight.analyze(shot, params, CPU), CPU)).pixels


def _clean(picture: Tensor) -> Tensor:
    params = denoise.Params()
    shot = _shot([picture])
    return next(denoise.run(shot.frames(), params, denoise.analyze(shot, params, CPU), CPU)).pixels


def _shot(pictures: Sequence[Tensor]) -> Shot:
    frames = [Frame(picture, Fraction(number, 25)) for number, picture in enumerate(pictures)]
    return Shot("001", len(frames), Fraction(25), lambda start, stop: iter(frames[start:stop]))


def _equalized(dark: Tensor) -> Tensor:
    return _of_luma(dark, lambda luma: np.asarray(cv2.equalizeHist(luma)))


def _clahe(dark: Tensor) -> Tensor:
    worker = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8))
    return _of_luma(dark, lambda luma: np.asarray(worker.apply(luma)))


def _of_luma(dark: Tensor, work: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """OpenCV's way: Y'CrCb of 8 bits, luma changed."""
    codes = arrays.to_codes(dark)
    planes = cv2.cvtColor(codes, cv2.COLOR_RGB2YCrCb)
    planes[..., 0] = work(np.ascontiguousarray(planes[..., 0]))
    return arrays.from_codes(np.asarray(cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB), np.uint8))


def _gamma(dark: Tensor) -> Tensor:
    """One power for the whole picture, so that its mean luma is `WANTED`."""
    small = dark.clamp(0, 1)[:, ::4, ::4]
    low, high = 0.1, 1.0
    for _ in range(12):
        power = (low + high) / 2
        low, high = (low, power) if float(spaces.luma(small**power).mean()) < WANTED else (power, high)
    return dark.clamp(0, 1) ** power


# ---- footage


def _pairs(data: Path) -> list[tuple[Tensor, Tensor, str]]:
    """Pictures of the same name in folders `low` and `high` that stand side by side."""
    pairs = []
    for folder in sorted(path for path in data.rglob("low") if (path.parent / "high").is_dir()):
        for path in sorted(folder.iterdir()):
            other = folder.parent / "high" / path.name
            if path.suffix.lower() in training.PICTURES and other.is_file():
                pairs.append((_picture(path, 1280), _picture(other, 1280), folder.parent.name))
    return pairs


def _picture(path: Path, longest: int) -> Tensor:
    code = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if code is None:
        raise SettingsError(f"{path}: no picture that can be read")
    scale = longest / max(code.shape[:2])
    if scale < 1:
        size = (round(code.shape[1] * scale), round(code.shape[0] * scale))
        code = arrays.resize(code, size)
    return arrays.from_codes(code[..., ::-1])


def _spread(sources: Sequence[training.ClipSource], count: int) -> Sequence[training.ClipSource]:
    """`count` of them, evenly through the list."""
    count = min(count, len(sources))
    return [sources[i * len(sources) // count] for i in range(count)]
