"""Speed and memory of the way through: transcoding, memory, LUT, Y'CbCr conversion and nearest-neighbor color transfer.

Each row is timed beside its peer in the same run, in turn, and the median of the pairwise ratios is what counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from answerprint import operations
from answerprint.color import cube_file, lut, readback, spaces
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.media.planes import from_rgb, to_rgb
from answerprint.metrics.tables import Table, at_least, at_most
from answerprint.operation import Operation
from answerprint.render import decide
from answerprint.render.job import JobSpec, render
from answerprint.render.options import Options
from answerprint.render.source import open_clip
from answerprint.settings import Settings

CPU = torch.device("cpu")
VIDEO = ColorTags("bt709", "bt709", "bt709", "limited", "left")


def run(data: Path | None, quick: bool) -> Iterator[Table]:  # noqa: ARG001 - every bench is asked alike
    """The tables of this bench; `data` is not needed: everything is measured on footage made here."""
    with tempfile.TemporaryDirectory(prefix="answerprint-bench-") as folder:
        yield _transcode(Path(folder), 24 if quick else 72, 1 if quick else 3)
        yield _conversion(9 if quick else 25)
        yield _lut(5 if quick else 15)
        yield _knn(Path(folder), quick)
        yield _memory(Path(folder), quick)


@dataclass(frozen=True)
class TimedPair:
    """Seconds of ours and of the peer, run in turn."""

    ours: Sequence[float]
    peer: Sequence[float]

    @property
    def ratio(self) -> float:
        """Ours over the peer, the median of the pairs: above 1 is slower."""
        return statistics.median(a / b for a, b in zip(self.ours, self.peer, strict=True))


def _in_turn(ours: Callable[[], object], peer: Callable[[], object], times: int) -> TimedPair:
    ours(), peer()  # what is compiled or read on first use is not what is compared
    durations: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for work, seconds in zip((ours, peer), durations, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return TimedPair(*durations)


def _row(name: str, seconds: Sequence[float], per: int = 1) -> tuple[str, float]:
    return name, 1000 * statistics.median(seconds) / per


# Transcoding


def _transcode(folder: Path, frames: int, times: int) -> Table:
    source, out, plain = folder / "source.mov", folder / "ours.mov", folder / "plain.mov"
    footage(source, 1920, 1080, frames)

    def ours() -> None:
        # What `answerprint grade source.mov -o ours.mov` does.
        clip = open_clip(source, {})
        decided = decide.analyze(clip, [("grade", {})], Options(shots="none"))
        render(decided, JobSpec(output=out, keep_chunks=False), clip=clip)

    pair = _in_turn(ours, lambda: _plain_transcode(source, plain), times)
    return Table(
        "identity transcode, ProRes HQ to ProRes HQ at 1080p",
        ("what", "ms a frame", "frames a second"),
        [
            (name, ms, 1000 / ms)
            for name, ms in (_row("ours", pair.ours, frames), _row("PyAV alone", pair.peer, frames))
        ],
        notes=("PyAV alone: the same decoder and encoder with the same options, no conversion, no job",),
        targets=(at_least("speed beside PyAV alone", 1 / pair.ratio, 0.7),),
    )


def _plain_transcode(source: Path, out: Path) -> None:
    from answerprint.media.presets import PRESETS

    with av.open(str(source)) as reading, av.open(str(out), "w") as writing:
        incoming = reading.streams.video[0]
        incoming.thread_type = "AUTO"
        preset = PRESETS["prores-hq"]
        stream: Any = writing.add_stream(preset.codec, rate=24, options=dict(preset.options))
        stream.width, stream.height, stream.pix_fmt = incoming.width, incoming.height, "yuv422p10le"
        for frame in reading.decode(incoming):
            frame.pict_type = av.video.frame.PictureType.NONE
            writing.mux(stream.encode(frame))
        writing.mux(stream.encode(None))


def footage(path: Path, width: int, height: int, frames: int, codec: str = "prores_ks", rate: int = 24) -> None:
    """Textured, moving, grainy: what an encoder meets in practice."""
    generator = np.random.default_rng(0)
    card = generator.normal(500, 130, (height // 8 + 64, width // 8 + 64)).astype(np.float32)
    large = torch.nn.functional.interpolate(torch.from_numpy(card)[None, None], scale_factor=8, mode="bicubic")[
        0, 0
    ].numpy()
    grain = generator.normal(0, 6, large.shape).astype(np.float32)
    with av.open(str(path), "w") as container:
        options = {"profile": "3", "bits_per_mb": "8000"} if codec == "prores_ks" else {"crf": "20"}
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv422p10le"
        for number in range(frames):
            x, y = (number * 3) % 200, (number * 2) % 100
            view = large[y : y + height, x : x + width] + grain[:height, :width]
            luma = view.clip(64, 940).astype(np.uint16)
            frame = av.VideoFrame(width, height, "yuv422p10le")
            for plane, codes in zip(
                frame.planes, (luma, luma[:, ::2] // 4 + 384, 640 - luma[:, ::2] // 4), strict=True
            ):
                rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
                rows[:, : plane.width] = codes
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# Conversion


def _conversion(times: int) -> Table:
    generator = torch.Generator().manual_seed(0)
    sizes = [(1080, 1920), (1080, 960), (1080, 960)]
    planes = tuple(torch.randint(64, 940, size, generator=generator).to(torch.uint16) for size in sizes)
    frame = av.VideoFrame(1920, 1080, "yuv422p10le")
    for plane, codes in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : plane.width] = codes.numpy()
        plane.update(rows.tobytes())
    rgb = to_rgb(planes, "yuv422p10", VIDEO)
    theirs = frame.reformat(format="gbrpf32le", src_colorspace="ITU709", dst_colorspace="ITU709")
    there = _in_turn(
        lambda: to_rgb(planes, "yuv422p10", VIDEO),
        lambda: frame.reformat(format="gbrpf32le", src_colorspace="ITU709", dst_colorspace="ITU709"),
        times,
    )
    back = _in_turn(
        lambda: from_rgb(rgb, "yuv422p10", VIDEO),
        lambda: theirs.reformat(format="yuv422p10le", src_colorspace="ITU709", dst_colorspace="ITU709"),
        times,
    )
    returned = from_rgb(rgb, "yuv422p10", VIDEO)
    wrong = max(int((a.int() - b.int()).abs().max()) for a, b in zip(planes, returned, strict=True))
    return Table(
        "Y'CbCr 4:2:2 10-bit to float R'G'B' and back, one 1080p frame",
        ("what", "ms"),
        [
            _row("ours, to R'G'B'", there.ours),
            _row("swscale, to gbrpf32", there.peer),
            _row("ours, back", back.ours),
            _row("swscale, back", back.peer),
        ],
        targets=(
            at_most("time to R'G'B' beside swscale", there.ratio, 1.0),
            at_most("time back beside swscale", back.ratio, 1.0),
            at_most("largest error there and back, code values of 10 bits", wrong, 0),
        ),
    )


# LUT


def _lut(times: int) -> Table:
    operation = operations.load("grade")
    cube = lut.bake(lambda p: (p * 1.1 - 0.02).clamp(0, 1) ** 0.9, 33)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "look.cube"
        cube_file.write(cube, path)
        params = operation.params_type.of({"lut": str(path)})
        picture = torch.rand(3, 2160, 3840, generator=torch.Generator().manual_seed(1))
        theirs = readback.lut3d(path, picture)
        # As in a job: the operation reads its LUT once, and frames pass through it; so does the filter graph.
        graded = operation.run(repeat(Frame(picture, Fraction(0))), params, None, CPU)
        pair = _in_turn(lambda: next(graded), theirs, times)
        worst = float((_one(operation, params, picture) - _by_opencolorio(path, picture)).abs().max())
    return Table(
        "grade with a 33-point LUT, one UHD frame of floats",
        ("what", "ms"),
        [_row("ours, the whole operation", pair.ours), _row("FFmpeg lut3d on gbrpf32", pair.peer)],
        targets=(
            at_most("time beside lut3d", pair.ratio, 1.3),
            at_most("largest difference to OpenColorIO tetrahedral", worst, 1e-5),
        ),
    )


def _one(operation: Operation, params: Settings, picture: torch.Tensor) -> torch.Tensor:
    frames = iter([Frame(picture, Fraction(0))])
    return next(operation.run(frames, params, None, CPU)).pixels


def _by_opencolorio(path: Path, picture: torch.Tensor) -> torch.Tensor:
    import PyOpenColorIO as OCIO  # noqa: N814 - its own documentation calls it so

    config = OCIO.Config.CreateRaw()
    transform = OCIO.FileTransform(str(path), interpolation=OCIO.INTERP_TETRAHEDRAL)
    processor = config.getProcessor(transform).getOptimizedCPUProcessor(OCIO.OPTIMIZATION_LOSSLESS)
    packed = picture.permute(1, 2, 0).contiguous().numpy().copy()
    processor.applyRGB(packed)
    return torch.from_numpy(packed).permute(2, 0, 1)


# Nearest neighbors


def _knn(folder: Path, quick: bool) -> Table:
    from sklearn.neighbors import KNeighborsRegressor

    from answerprint.operations import match

    still = folder / "reference.png"
    reference, source = _picture(3, 540, 960), _picture(4, 1080, 1920)
    codes = (reference.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    cv2.imwrite(str(still), codes[..., ::-1])
    params = match.Params.of({"reference": str(still), "method": "knn"})
    frame = Frame(source, Fraction(0))
    findings = match.analyze(Shot("001", 1, Fraction(24), lambda start, stop: iter([frame][start:stop])), params, CPU)
    step = 40 if quick else 10
    lightness = spaces.rgb_to_lab(source)[None, :1]
    patches = torch.nn.functional.unfold(torch.nn.functional.pad(lightness, (1, 1, 1, 1), mode="replicate"), 3)[0].T
    regressor = KNeighborsRegressor(n_neighbors=params.k, weights="distance", algorithm="kd_tree")
    regressor.fit(*match.samples(params, findings))
    # As in a job, the reference is learned once, and frames pass; so it is with scikit-learn's tree.
    matched = match.run(repeat(frame), params, findings, CPU)
    pair = _in_turn(lambda: next(matched), lambda: regressor.predict(patches[::step]), 1 if quick else 3)
    ours = next(matched).pixels
    predicted = torch.from_numpy(regressor.predict(patches.numpy()[::step])).float()
    right = torch.cat([lightness.flatten()[::step, None], predicted], dim=1).T[:, :, None]
    difference = float(spaces.delta_e_76(spaces.rgb_to_lab(ours).flatten(1)[:, ::step, None], right).mean())
    return Table(
        "match --method knn, one 1080p frame, 10,000 samples, k = 5",
        ("what", "seconds"),
        [
            ("ours, the whole operation", statistics.median(pair.ours)),
            ("scikit-learn KD-tree", statistics.median(pair.peer) * step),
        ],
        notes=(f"scikit-learn was asked for every {step}th pixel and its time multiplied by {step}",),
        targets=(
            at_most("time beside scikit-learn", pair.ratio / step, 1 / 20),
            at_most("mean delta E to scikit-learn", difference, 1.0),
        ),
    )


def _picture(seed: int, height: int, width: int) -> torch.Tensor:
    """A picture with areas, edges and grain, in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 60, width // 60, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0]
    edges = torch.nn.functional.interpolate(coarse.flip(-1), (height, width), mode="nearest")[0]
    grain = 0.01 * torch.randn(3, height, width, generator=generator)
    return (0.7 * smooth + 0.3 * edges + grain).clamp(0, 1)


# Memory

_PEAK = """
import json, sys
from pathlib import Path
from answerprint.render import decide
from answerprint.render.job import JobSpec, render
from answerprint.render.options import Options
source, out, chain = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
render(decide.analyze(source, chain, Options(shots="none")), JobSpec(output=out, keep_chunks=False))
# Not getrusage: its peak outlives exec, and would be that of the process that started this one.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024)
"""


def _memory(folder: Path, quick: bool) -> Table:
    demo = [["match", {"reference": str(folder / "reference.png")}], ["grade", {"saturation": 0.92}]]
    seconds = (6, 60) if quick else (6, 60, 600)
    counts = (60, 240) if quick else (60, 1200)
    lengths, matched, sizes = [], [], []
    for length in seconds:
        footage(source := folder / f"{length}.mkv", 320, 180, 24 * length, codec="libx264")
        lengths.append(peak(source, folder / "out.mkv", [["grade", {"saturation": 0.9}]]))
    for count in counts:
        footage(source := folder / f"{count}.mov", 960, 540, count)
        matched.append(peak(source, folder / "out.mov", demo))
    for width, height in ((1920, 1080), (3840, 2160)):
        footage(source := folder / f"{width}.mov", width, height, 8 if quick else 30)
        sizes.append(peak(source, folder / "out.mov", demo))
    return Table(
        "peak memory of one process",
        ("what", "MB"),
        [
            *((f"grade, {length} s of 320 x 180", mb) for length, mb in zip(seconds, lengths, strict=True)),
            *((f"the demo's chain, {n} frames of 960 x 540", mb) for n, mb in zip(counts, matched, strict=True)),
            ("the demo's chain at 1080p", sizes[0]),
            ("the demo's chain at UHD", sizes[1]),
        ],
        targets=(
            at_most(f"memory at {seconds[-1]} s beside {seconds[0]} s", max(lengths) / lengths[0], 1.05),
            at_most(f"memory at {counts[1]} frames beside {counts[0]}", matched[1] / matched[0], 1.05),
            at_most("the demo's chain at 1080p", sizes[0], 1500, "MB"),
            at_most("the demo's chain at UHD", sizes[1], 4000, "MB"),
        ),
    )


def peak(source: Path, out: Path, chain: list[Any]) -> float:
    """Largest resident size of a process that does the job, in MB."""
    words = [sys.executable, "-c", _PEAK, str(source), str(out), json.dumps(chain)]
    process = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(process.stdout.strip().splitlines()[-1])
