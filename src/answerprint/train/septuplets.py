"""Pairs for learning bit depth: seven frames of a master as a consumer's camera would have coded them, and the master.

After "Decoding consumer-grade video" (section 3.1): groups of seven consecutive frames are drawn uniformly from
high-quality clips, read with 16 bits, coded as 8-bit 4:2:0 at a rate drawn uniformly in bits a pixel, and cut into
random crops; the target is the middle frame of the master. H.264 as in the paper, HEVC and MPEG-2 beside it. A group
depends on the seed and its own number alone: a set that was stopped goes on, and a set can be made larger later.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from answerprint import disk
from answerprint.coding.source import mean_step
from answerprint.errors import AnswerprintError, TrainingError
from answerprint.frame import ColorTags
from answerprint.media import reader
from answerprint.media.planes import from_rgb, to_rgb
from answerprint.media.presets import repeatable
from answerprint.media.quantizer import request_export, step_map
from answerprint.settings import Settings
from answerprint.shots import boundary
from answerprint.train import data, footage

Codec = Literal["h264", "hevc", "mpeg2"]
Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]

LENGTH = 7
MANIFEST = "manifest.json"
GROUPS = "groups.jsonl"
NEAR = 0.03  # a rate is met within this share of it
TRIES = 6
ENCODERS = {"h264": "libx264", "hevc": "libx265", "mpeg2": "mpeg2video"}


class Params(Settings):
    """Options of a set of septuplets."""

    groups: int = Field(511, ge=1, description="Groups of seven frames that are drawn and coded.")
    crops: int = Field(0, ge=0, description="Crops of each group; 0 = as many as have half of its area.")
    height: int = Field(256, ge=16, multiple_of=2, description="Height of a crop in pixels.")
    width: int = Field(448, ge=16, multiple_of=2, description="Width of a crop in pixels.")
    min_rate: float = Field(0.0417, gt=0, le=8, description="Lowest rate of H.264 and HEVC in bits a pixel.")
    max_rate: float = Field(0.2504, gt=0, le=8, description="Highest rate of H.264 and HEVC in bits a pixel.")
    mpeg2_min_rate: float = Field(0.15, gt=0, le=8, description="Lowest rate of MPEG-2: 8 Mb/s at 1080i25.")
    mpeg2_max_rate: float = Field(0.6, gt=0, le=8, description="Highest rate of MPEG-2: 30 Mb/s at 1080i25, 6 at 576i.")
    hevc: float = Field(0.2, ge=0, le=1, description="Share of groups coded in HEVC.")
    mpeg2: float = Field(0.2, ge=0, le=1, description="Share of groups coded in MPEG-2; the rest is H.264.")
    min_bits: int = Field(10, ge=8, le=16, description="Masters with fewer bits are left out.")
    ratio: tuple[float, float, float] = Field((60, 20, 20), description="Shares of training, validation, test clips.")
    seed: int = Field(1, ge=0, description="Seed of all random draws.")
    source: str | None = Field(None, description="Where the masters come from; a SOURCES.tsv beside them says so else.")
    licence: str | None = Field(None, description="Their licence; a SOURCES.tsv beside them says so else.")


@dataclass(frozen=True)
class Master:
    """A clip that groups are drawn from.

    Attributes:
        path, digest: the file and the SHA-256 of its bytes.
        bits: per sample.
        shots: frames [start, stop) of its shots.
    """

    path: str
    digest: str
    bits: int
    shots: tuple[tuple[int, int], ...]

    @property
    def starts(self) -> list[int]:
        """Where a group may begin: no cut inside."""
        return [first for start, stop in self.shots for first in range(start, stop - LENGTH + 1)]


@dataclass(frozen=True)
class Septuplet:
    """A sample as it lies on disk.

    Attributes:
        planes: seven frames as the decoder gives them, Y, Cb, Cr uint8 in limited range, 4:2:0 with chroma sited left:
            (7, H, W), (7, H/2, W/2), (7, H/2, W/2).
        target: the master's middle frame, Y'CbCr 4:4:4 uint16 in limited range of 16 bits, (3, H, W).
        facts: matrix, codec, bits a pixel, step of the quantizer in codes, clip, frame, place.
    """

    planes: Planes
    target: NDArray[np.uint16]
    facts: dict[str, Any]

    @property
    def color(self) -> ColorTags:
        tags = self.facts["color"]
        return ColorTags(tags["primaries"], tags["transfer"], tags["matrix"], "limited", "left")

    def coded(self) -> Tensor:
        """The seven frames as R'G'B', (7, 3, H, W)."""
        frames = zip(*(torch.from_numpy(plane) for plane in self.planes), strict=True)
        return torch.stack([to_rgb(tuple(frame), "yuv420p", self.color) for frame in frames])

    def master(self) -> Tensor:
        """The target as R'G'B', (3, H, W)."""
        planes = tuple(torch.from_numpy(plane) for plane in self.target)
        return to_rgb(planes, "yuv444p16", self.color)

    def cut(self, top: int, left: int, height: int, width: int) -> Septuplet:
        """A piece of it; all four are even."""
        rows, columns = slice(top, top + height), slice(left, left + width)
        half = (..., slice(top // 2, (top + height) // 2), slice(left // 2, (left + width) // 2))
        y, cb, cr = self.planes
        planes = (y[:, rows, columns], cb[half], cr[half])
        return Septuplet(planes, self.target[:, rows, columns], self.facts)


def read(path: Path) -> Septuplet:
    """A sample of a set.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            planes = (arrays["y"], arrays["cb"], arrays["cr"])
            return Septuplet(planes, arrays["target"], json.loads(str(arrays["facts"])))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise TrainingError(f"{path}: no septuplet that can be read ({error})") from None


def samples(folder: Path, split: str) -> list[Path]:
    """The files of one split, "training", "validation" or "test"."""
    return sorted((folder / split).glob("*.npz"))


def make(
    masters: Sequence[Path], folder: Path, params: Params, say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Makes, completes or enlarges the set in `folder`; the rows of its manifest, one per group.

    Raises:
        TrainingError: no master can be used, or the set there was made of other masters or with other settings.
    """
    if params.min_rate > params.max_rate or params.mpeg2_min_rate > params.mpeg2_max_rate:
        raise TrainingError("the lowest rate is above the highest")
    if params.hevc + params.mpeg2 > 1:
        raise TrainingError(f"shares of HEVC ({params.hevc:g}) and MPEG-2 ({params.mpeg2:g}) are more than the whole")
    folder.mkdir(parents=True, exist_ok=True)
    usable = _masters(masters, folder, params, say)
    _check_same(folder, usable, params)
    rows_by_number = _finished_groups(folder)
    for number in range(params.groups):
        if number in rows_by_number:
            continue
        rows_by_number[number] = _group(number, usable, folder, params)
        with (folder / GROUPS).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(rows_by_number[number]) + "\n")
        row = rows_by_number[number]
        summary = f"{row['codec']} {row['bits a pixel']:.4f} bits a pixel, {row['clip']}"
        say(f"group {number + 1} of {params.groups}: {summary}")
    rows = [rows_by_number[number] for number in sorted(rows_by_number)]
    _write_json(folder / MANIFEST, {"made of": _facts(usable, params), "samples": rows})
    return rows


def _masters(paths: Sequence[Path], folder: Path, params: Params, say: Callable[[str], None]) -> list[Master]:
    usable: dict[str, Master] = {}
    for path in footage.clips(paths):
        try:
            master = _scan(path, folder, params)
        except AnswerprintError as error:
            say(f"left out: {error}")
            continue
        if not master.starts:
            say(f"left out: {path}: no shot of {LENGTH} frames")
            continue
        usable.setdefault(master.digest, master)
    if not usable:
        raise TrainingError(f"{', '.join(map(str, paths))}: no master in there that can be used")
    return [usable[key] for key in sorted(usable)]


def _scan(path: Path, folder: Path, params: Params) -> Master:
    clip = footage.open_clip(path, (params.width, params.height))
    if clip.info.bits < params.min_bits:
        raise TrainingError(
            f"{path}: {clip.info.bits} bits, so it cannot teach more; --min-bits {clip.info.bits} takes it anyway"
        )
    key = footage.digest(path)
    cache = folder / footage.CACHE / f"{key[:16]}_shots.json"
    if cache.is_file():
        shots = json.loads(cache.read_text(encoding="utf-8"))
    else:
        shots = [(shot.start, shot.stop) for shot in boundary.detect(clip)]
        cache.parent.mkdir(parents=True, exist_ok=True)
        _write_json(cache, shots)
    return Master(str(path), key, clip.info.bits, tuple((start, stop) for start, stop in shots))


def _facts(masters: Sequence[Master], params: Params) -> dict[str, Any]:
    """All that a group depends on: not the number of groups, nor the source and licence on record."""
    settings = params.model_dump(mode="json", exclude={"groups", "source", "licence"})
    return {"masters": [master.digest for master in masters], "params": settings}


def _check_same(folder: Path, masters: Sequence[Master], params: Params) -> None:
    origin = folder / "begun.json"
    if origin.is_file() and json.loads(origin.read_text(encoding="utf-8")) != _facts(masters, params):
        raise TrainingError(f"{folder}: begun with other masters or settings; give this set its own folder")
    _write_json(origin, _facts(masters, params))


def _finished_groups(folder: Path) -> dict[int, dict[str, Any]]:
    """Groups that are finished; a line that a kill cut off is none."""
    rows: dict[int, dict[str, Any]] = {}
    if (folder / GROUPS).is_file():
        whole = []
        for line in (folder / GROUPS).read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            rows[row["group"]] = row
            whole.append(json.dumps(row) + "\n")
        disk.write(folder / GROUPS, "".join(whole))
    return rows


def _group(number: int, masters: Sequence[Master], folder: Path, params: Params) -> dict[str, Any]:
    """Draws, codes and cuts one group; the row of the manifest that tells of it."""
    rng = np.random.default_rng([params.seed, number])
    master, first = _draw(masters, rng)
    clip = reader.open(master.path)
    height, width = (length // 2 * 2 for length in (clip.info.height, clip.info.width))
    frames = [frame.pixels[:, :height, :width] for frame in clip.frames(first, first + LENGTH)]
    tags = clip.info.assumed
    color = ColorTags(
        tags.primaries, tags.transfer, "bt709" if tags.matrix == "rgb" else tags.matrix, "limited", "left"
    )
    codec, target_rate = _draw_codec(rng, params)
    offered = [_consumer(frame, color) for frame in frames]
    coded = at_rate(offered, codec, target_rate)
    target = np.stack([plane.numpy() for plane in from_rgb(frames[LENGTH // 2], "yuv444p16", color)])
    split = data.split_of(master.digest, params.ratio)
    source, licence = data.origin_of(Path(master.path), params.source, params.licence)
    facts: dict[str, Any] = {
        "group": number,
        "clip": master.path,
        "sha256": master.digest,
        "source": source,
        "licence": licence,
        "split": split,
        "bits": master.bits,
        "frame": first,
        "codec": codec,
        "bits a pixel": round(coded.rate, 5),
        "wanted": round(target_rate, 5),
        "quantizer": round(coded.step, 3),
        "color": {"primaries": color.primaries, "transfer": color.transfer, "matrix": color.matrix},
    }
    facts["samples"] = _crops(coded.frames, target, facts, folder / split, rng, params)
    return facts


def _draw(masters: Sequence[Master], rng: np.random.Generator) -> tuple[Master, int]:
    """A master and a first frame, each place in the footage as likely as any other."""
    place = int(rng.integers(sum(len(master.starts) for master in masters)))
    for master in masters:
        if place < len(master.starts):
            return master, master.starts[place]
        place -= len(master.starts)
    raise ValueError("no place to draw from")


def _draw_codec(rng: np.random.Generator, params: Params) -> tuple[Codec, float]:
    kind = rng.random()
    codec: Codec = "hevc" if kind < params.hevc else "mpeg2" if kind < params.hevc + params.mpeg2 else "h264"
    lowest, highest = (
        (params.mpeg2_min_rate, params.mpeg2_max_rate) if codec == "mpeg2" else (params.min_rate, params.max_rate)
    )
    return codec, float(rng.uniform(lowest, highest))


def _consumer(frame: Tensor, color: ColorTags) -> Planes:
    """A frame as 8-bit 4:2:0."""
    y, cb, cr = (plane.numpy() for plane in from_rgb(frame, "yuv420p", color))
    return y, cb, cr


def _crops(
    coded: Sequence[Planes],
    target: NDArray[np.uint16],
    facts: dict[str, Any],
    folder: Path,
    rng: np.random.Generator,
    params: Params,
) -> list[str]:
    """Cuts and writes the crops of a group; their names below the set's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _, height, width = target.shape
    count = params.crops or max(round(height * width / (params.height * params.width) / 2), 1)
    names = []
    for index in range(count):
        top = 2 * int(rng.integers((height - params.height) // 2 + 1))
        left = 2 * int(rng.integers((width - params.width) // 2 + 1))
        rows, columns = slice(top, top + params.height), slice(left, left + params.width)
        half = (slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2))
        name = f"g{facts['group']:06}_c{index:03}.npz"
        np_file = io.BytesIO()
        np.savez_compressed(
            np_file,
            y=np.stack([frame[0][rows, columns] for frame in coded]),
            cb=np.stack([frame[1][half] for frame in coded]),
            cr=np.stack([frame[2][half] for frame in coded]),
            target=target[:, rows, columns],
            facts=np.array(json.dumps({**facts, "top": top, "left": left})),
        )
        disk.write(folder / name, np_file.getvalue())
        names.append(f"{folder.name}/{name}")
    return names


class Coded(NamedTuple):
    """Frames that went through a coder.

    Attributes:
        frames: as the decoder gives them.
        rate: bits a pixel that they took.
        step: of the quantizer in codes, mean over the frames.
        steps: in the cells of each frame (media/quantizer.py); None where its decoder does not tell.
    """

    frames: list[Planes]
    rate: float
    step: float
    steps: list[NDArray[np.float32] | None]


def at_rate(frames: Sequence[Planes], codec: Codec, bits_a_pixel: float) -> Coded:
    """Codes frames so that they take so many bits, by search over the quantizer.

    A coder's own rate control has no time to settle in seven frames. The rate falls by half with about 6 steps of the
    quantizer; the slope is learned on the way.

    Args:
        frames: Y, Cb, Cr uint8, 4:2:0, even sizes.
        codec: "h264", "hevc" or "mpeg2".
        bits_a_pixel: rate wanted, of all frames together.
    """
    lowest, highest = (0.0, 51.0) if codec != "mpeg2" else (0.0, 6 * math.log2(31))
    quantizer, slope = (28.0 if codec != "mpeg2" else 15.0), -1 / 6
    trials: list[tuple[float, float, Coded]] = []
    for _ in range(TRIES):
        coded = _round_trip(frames, codec, quantizer)
        rate = coded.rate
        trials.append((quantizer, rate, coded))
        off = math.log2(rate / bits_a_pixel)
        if abs(rate / bits_a_pixel - 1) <= NEAR:
            break
        if len(trials) > 1 and trials[-2][0] != quantizer:
            measured = math.log2(rate / trials[-2][1]) / (quantizer - trials[-2][0])
            slope = min(max(measured, -1 / 2), -1 / 20)
        quantizer = min(max(quantizer - off / slope, lowest), highest)
    return min(trials, key=lambda each: abs(math.log(each[1] / bits_a_pixel)))[2]


def _round_trip(frames: Sequence[Planes], codec: Codec, quantizer: float) -> Coded:
    """Through a coder and back at one quantizer."""
    height, width = frames[0][0].shape
    packed = io.BytesIO()
    size = 0
    with av.open(packed, "w", format="matroska") as container:
        stream: Any = container.add_stream(ENCODERS[codec], rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # One thread: the same bits on every machine.
        stream.codec_context.thread_count = 1
        stream.options = _options(codec, quantizer)
        for number, planes in enumerate(frames):
            whole = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, width)
            picture = av.VideoFrame.from_ndarray(whole, format="yuv420p")
            picture.pts = number
            for packet in stream.encode(picture):
                size += packet.size
                container.mux(packet)
        for packet in stream.encode(None):
            size += packet.size
            container.mux(packet)
    packed.seek(0)
    with av.open(packed) as container:
        step = mean_step(container, container.streams.video[0], len(frames))
    packed.seek(0)
    with av.open(packed) as container:
        request_export(container.streams.video[0])
        back, steps = [], []
        for frame in islice(container.decode(video=0), len(frames)):
            back.append(_planes(frame.to_ndarray(format="yuv420p"), height, width))
            steps.append(step_map(frame))
    return Coded(back, 8 * size / (len(frames) * height * width), step, steps)


def _options(codec: Codec, quantizer: float) -> dict[str, str]:
    if codec == "mpeg2":
        # A rate it never reaches, and bounds that meet: FFmpeg's scale of the quantizer, in 118ths of a step.
        fixed = str(round(118 * 2 ** (quantizer / 6)))
        return {"b": "1000000000", "qmin": "1", "qmax": "69", "lmin": fixed, "lmax": fixed, "g": "12", "bf": "2"}
    if codec == "hevc":
        return {
            "crf": f"{quantizer:.2f}",
            "preset": "fast",
            "x265-params": "log-level=error:pools=none:frame-threads=1",
        }
    return {"crf": f"{quantizer:.2f}", "preset": "medium"} | repeatable(ENCODERS[codec])


def _planes(whole: NDArray[np.uint8], height: int, width: int) -> Planes:
    luma, chroma = height * width, height * width // 4
    flat = whole.ravel()
    half = (height // 2, width // 2)
    return (
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(half),
        flat[luma + chroma : luma + 2 * chroma].reshape(half),
    )


def _write_json(path: Path, content: Any) -> None:
    disk.write(path, json.dumps(content, indent=1) + "\n")
