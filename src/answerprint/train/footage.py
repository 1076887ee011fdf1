"""Training sets from footage: its shots are found, and of each the frames that teach something are kept as PNG.

Frames that are nearly the same, faded or blurred are left out, and no kind of content may outweigh the others. A clip
is in one split with all its shots. Three steps, each of which goes on where it was stopped: look at every clip (one
pass; measurements are cached in DIR/seen), choose, write.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from answerprint import arrays, disk
from answerprint.color import spaces
from answerprint.errors import AnswerprintError, TrainingError
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.media.info import ClipInfo
from answerprint.media.pictures.names import ENDINGS
from answerprint.settings import Settings
from answerprint.shots import boundary
from answerprint.train import data

Array = NDArray[np.float32]

MANIFEST = "manifest.json"
CACHE = "seen"  # folder of measurements, in the set's own
THUMBNAIL = 12  # side of the small copies by which frames are compared
BLUR_SIZE = 960  # pixels of the longer side at which blur is measured
AROUND_FADE = 12  # frames from the middle of a dissolve or fade that may still hold two pictures
KIND = 0.12  # mean difference of layout and color up to which pictures are of one kind


class Params(Settings):
    """Options of a training set made from footage."""

    frames: int = Field(1, ge=1, le=31, description="Consecutive frames of a sample; 1 makes single pictures.")
    every: float = Field(0.5, gt=0, le=3600, description="Seconds between the frames that are considered.")
    max_per_shot: int = Field(8, ge=1, description="Largest number of samples from one shot.")
    min_difference: float = Field(
        0.025, ge=0, le=1, description="Mean difference below which two frames are near-duplicates."
    )
    min_contrast: float = Field(
        0.12, ge=0, le=1, description="Range of luma (5th to 95th percentile) a frame must have."
    )
    max_blur: float = Field(0.58, ge=0, le=1, description="Blur (0 sharp, 1 without detail) that a frame may have.")
    max_share: float = Field(0.25, gt=0, le=1, description="Largest share of one kind of content in the set.")
    ratio: tuple[float, float, float] = Field((8, 1, 1), description="Shares of training, validation and test clips.")
    source: str | None = Field(None, description="Where the footage comes from; a SOURCES.tsv beside it says so else.")
    licence: str | None = Field(None, description="Its licence; a SOURCES.tsv beside it says so else.")


@dataclass(frozen=True)
class FrameStats:
    """Measurements of one frame.

    Attributes:
        frame: its number in the clip.
        shot: index of its shot.
        contrast: luma from the 5th to the 95th percentile.
        blur: 0 sharp, 1 without detail.
        clear: no dissolve, fade or cut is near.
        small: 12 x 12 x 3 copy, R'G'B', flat.
    """

    frame: int
    shot: int
    contrast: float
    blur: float
    clear: bool
    small: Sequence[float]


@dataclass(frozen=True)
class Survey:
    """A clip with the measurements of its frames."""

    path: str
    digest: str
    bits: int
    shots: int
    looks: tuple[FrameStats, ...]


@dataclass
class Choice:
    """The frames of a clip that go into the set, and counts of those that do not, by reason."""

    survey: Survey
    split: str
    frames: list[FrameStats] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int = 1) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    @property
    def name(self) -> str:
        """Folder of the clip in the set: its own name and the beginning of its hash."""
        return f"{Path(self.survey.path).stem}_{self.survey.digest[:8]}"

    def text(self) -> str:
        dropped = "".join(f", {count} {reason}" for reason, count in sorted(self.dropped.items()))
        return f"{self.survey.path}: {self.survey.shots} shots, {len(self.frames)} kept ({self.split}){dropped}"


def make(footage: Sequence[Path], folder: Path, params: Params, say: Callable[[str], None] = print) -> list[Choice]:
    """Makes or completes the training set in `folder`.

    Args:
        footage: video files, picture sequences, or folders of them.
        folder: the set: training/, validation/, test/, manifest.json; `train.data.load` takes it as it is.
        params: what goes into it.
        say: where a line for a person goes.

    Raises:
        TrainingError: there is no footage that can be used, or nothing of it is worth keeping.
    """
    folder.mkdir(parents=True, exist_ok=True)
    surveys: dict[str, Survey] = {}
    for path in clips(footage):
        try:
            clip_survey = _survey(path, folder, params)
        except AnswerprintError as error:
            say(f"left out: {error}")
            continue
        if clip_survey.digest in surveys:
            say(f"left out: {path} is the same file as {surveys[clip_survey.digest].path}")
        surveys.setdefault(clip_survey.digest, clip_survey)
    if not surveys:
        raise TrainingError(f"{', '.join(map(str, footage))}: no footage in there that can be used")
    choices = choose(list(surveys.values()), params)
    for choice in choices:
        _write(choice, folder, params)
        say(choice.text())
    if not any(choice.frames for choice in choices):
        raise TrainingError(f"nothing of {', '.join(map(str, footage))} is worth keeping: {choices[0].text()}")
    disk.write(folder / MANIFEST, json.dumps(_manifest(choices, params), indent=1) + "\n")
    return choices


def clips(footage: Sequence[Path]) -> list[Path]:
    """Video files and picture sequences below what was named, each once, in a fixed order.

    Raises:
        TrainingError: one of them is not there.
    """
    paths: list[Path] = []
    for path in footage:
        if not path.is_dir():
            if not path.exists() and not any(mark in path.name for mark in "%#"):
                raise TrainingError(f"{path}: no such footage")
            paths.append(path)
            continue
        folders = [path, *sorted(part for part in path.rglob("*") if part.is_dir() and not data.labels(part, path))]
        for each in folders:
            files = sorted(file for file in each.iterdir() if file.is_file())
            paths += [file for file in files if file.suffix.lower() in data.VIDEOS]
            if sum(file.suffix.lower() in ENDINGS for file in files) >= boundary.SHORTEST:
                paths.append(each)
    return list(dict.fromkeys(paths))


def open_clip(path: Path, min_size: tuple[int, int] = (16, 16)) -> reader.Clip:
    """A clip that a network can learn from.

    Raises:
        AnswerprintError: it cannot be read, is interlaced, or is smaller than `min_size` (width, height).
    """
    clip = reader.open(str(path))
    info: ClipInfo = clip.info
    if info.field_order in ("tff", "bff"):
        raise TrainingError(f"{path}: interlaced; deinterlace it first")
    if info.width < min_size[0] or info.height < min_size[1]:
        raise TrainingError(f"{path}: {info.width}x{info.height} is too small, {min_size[0]}x{min_size[1]} is needed")
    return clip


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, or of all files of a folder or pattern in the order of their names."""
    if path.is_file():
        files = [path]
    else:
        inside = path if path.is_dir() else path.parent
        files = sorted(file for file in inside.iterdir() if file.suffix.lower() in ENDINGS)
    sha256 = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened_file:
            while block := opened_file.read(1 << 20):
                sha256.update(block)
    return sha256.hexdigest()


def _survey(path: Path, folder: Path, params: Params) -> Survey:
    """The survey of a clip, from the cache in `folder` where it is there."""
    key = digest(path)
    cache = folder / CACHE / f"{key[:16]}_{params.every:g}_{params.frames}.json"
    if cache.is_file():
        content: dict[str, Any] = json.loads(cache.read_text(encoding="utf-8"))
        return Survey(
            str(path), key, content["bits"], content["shots"], tuple(FrameStats(**look) for look in content["looks"])
        )
    result = survey(path, key, params)
    cache.parent.mkdir(parents=True, exist_ok=True)
    disk.write(cache, json.dumps(asdict(result)))
    return result


def survey(path: Path, key: str, params: Params) -> Survey:
    """Reads a clip once: its shots, and measurements of one frame in every `params.every` seconds."""
    clip = open_clip(path)
    watched = _SurveyedClip(clip, max(round(params.every * float(clip.info.rate)), 1))
    shots = boundary.detect(watched)
    looks = []
    for index, (shot, follows) in enumerate(pairwise([*shots, None])):
        if shot is None:
            continue
        before, after = params.frames // 2, params.frames - params.frames // 2 - 1
        first = shot.start + (AROUND_FADE if shot.transition != "cut" else 0)
        last = shot.stop - (AROUND_FADE if follows is not None and follows.transition != "cut" else 0)
        for number in [n for n in watched.looks if shot.start <= n < shot.stop]:
            clear = first <= number - before and number + after < last
            looks.append(FrameStats(number, index, *watched.looks[number][:2], clear, watched.looks[number][2]))
    return Survey(str(path), key, clip.info.bits, len(shots), tuple(looks))


class _SurveyedClip:
    """A clip whose frames are measured while they are read for shot detection."""

    def __init__(self, clip: reader.Clip, step: int) -> None:
        self.clip, self.step = clip, step
        self.looks: dict[int, tuple[float, float, list[float]]] = {}

    @property
    def info(self) -> ClipInfo:
        return self.clip.info

    def __len__(self) -> int:
        return len(self.clip)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for number, frame in enumerate(self.clip.frames(start, stop), start):
            if number % self.step == self.step // 2 or len(self.clip) <= self.step // 2:
                self.looks[number] = _measure_frame(frame.pixels)
            yield frame


def _measure_frame(pixels: Tensor) -> tuple[float, float, list[float]]:
    """Contrast, blur and small copy (flat, 12 x 12 x 3) of a picture (3, H, W)."""
    clamped = pixels.clamp(0, 1)
    small = np.round(arrays.resize(arrays.to_image(clamped), (THUMBNAIL, THUMBNAIL)), 4)
    luma: Array = spaces.luma(clamped)[0].numpy()
    low, high = np.percentile(luma[::2, ::2], (5, 95))
    scale = BLUR_SIZE / max(luma.shape)
    if scale < 1:
        luma = arrays.rescale(luma, scale)
    return round(float(high - low), 4), round(blur(luma), 4), [float(value) for value in small.ravel()]


def blur(luma: Array) -> float:
    """How little a further blur changes a picture: 0 sharp, 1 without detail (Crete et al. 2007).

    Args:
        luma: (H, W).
    """
    shares = []
    for axis, kernel in ((1, (11, 1)), (0, (1, 11))):
        sharp = np.abs(np.diff(luma, axis=axis))
        smooth = np.abs(np.diff(arrays.box(luma, kernel), axis=axis))
        loss = np.maximum(sharp - smooth, 0)
        total = float(sharp.sum())
        shares.append((total - float(loss.sum())) / total if total > 1e-6 else 1.0)
    return max(shares)


def choose(surveys: Sequence[Survey], params: Params) -> list[Choice]:
    """The frames that go into the set, of all clips together; the same footage gives the same choice."""
    choices = [Choice(clip, data.split_of(clip.digest, params.ratio)) for clip in surveys]
    for choice in choices:
        choice.frames = _select_clear(choice, params)
    _distinct(choices, params.min_difference)
    for choice in choices:
        by_shot: dict[int, list[FrameStats]] = {}
        for look in choice.frames:
            by_shot.setdefault(look.shot, []).append(look)
        selected = [look for looks in by_shot.values() for look in _spread(looks, params.max_per_shot)]
        choice.drop("more of the same shot", len(choice.frames) - len(selected))
        choice.frames = selected
    _balance(choices, params)
    for choice in choices:
        choice.frames.sort(key=lambda look: look.frame)
    return choices


def _select_clear(choice: Choice, params: Params) -> list[FrameStats]:
    """Frames that are neither faded nor blurred: in themselves, or against the rest of their shot."""
    clear = []
    for look in choice.survey.looks:
        others = [other for other in choice.survey.looks if other.shot == look.shot]
        usual = float(np.median([other.contrast for other in others]))
        sharp = float(np.median([other.blur for other in others]))
        if not look.clear:
            choice.drop("at a cut, fade or dissolve")
        elif look.contrast < max(params.min_contrast, 0.6 * usual):
            choice.drop("faded")
        elif look.blur > min(params.max_blur, sharp + 0.12):
            choice.drop("blurred")
        else:
            clear.append(look)
    return clear


def _distinct(choices: Sequence[Choice], min_difference: float) -> None:
    """Leaves out what is nearly the same as something kept before it, in this clip or another."""
    thumbnails: list[Array] = []
    for choice in choices:
        distinct = []
        for look in choice.frames:
            small = np.asarray(look.small, np.float32)
            if thumbnails and float(np.abs(np.stack(thumbnails) - small).mean(axis=1).min()) < min_difference:
                choice.drop("near-duplicates")
                continue
            thumbnails.append(small)
            distinct.append(look)
        choice.frames = distinct


def _spread(looks: Sequence[FrameStats], count: int) -> list[FrameStats]:
    """`count` of them that differ most: each the farthest from those taken before."""
    small = np.array([look.small for look in looks], np.float32)
    order = [0]
    nearest = np.abs(small - small[0]).mean(axis=1)
    while len(order) < min(count, len(looks)):
        order.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.abs(small - small[order[-1]]).mean(axis=1))
    return [looks[index] for index in order]


def _balance(choices: Sequence[Choice], params: Params) -> None:
    """Thins out the kinds of content that have more than their share; what differs most of them stays."""
    pool = [(choice, look) for choice in choices for look in choice.frames]
    kinds = _kinds(np.array([_content_vector(look) for _, look in pool], np.float32))
    sizes = np.bincount(kinds)
    groups = len(sizes)
    if groups * params.max_share < 1:
        return
    allowed = _allowed(sizes, params.max_share)
    for kind in range(groups):
        members = [pool[index] for index in np.flatnonzero(kinds == kind)]
        staying = _spread([look for _, look in members], int(allowed[kind]))
        stay = {id(look) for look in staying}
        for choice, look in members:
            if id(look) not in stay:
                choice.frames.remove(look)
                choice.drop("more of the same content")


def _kinds(content: Array) -> NDArray[np.int64]:
    """The kind of each picture: the nearest of pictures that lie more than `KIND` from each other (Gonzalez 1985)."""
    if not len(content):
        return np.zeros(0, np.int64)
    leaders = [0]
    distances = [np.abs(content - content[0]).mean(axis=1)]
    while (nearest := np.min(distances, axis=0)).max() > KIND:
        leaders.append(int(nearest.argmax()))
        distances.append(np.abs(content - content[leaders[-1]]).mean(axis=1))
    kinds: NDArray[np.int64] = np.argmin(distances, axis=0).astype(np.int64)
    return kinds


def _allowed(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """How many of each kind may stay so that none has more than its share of what stays."""
    allowed = sizes.copy()
    while allowed.max() > max(1, share * allowed.sum()) and allowed.max() > 1:
        allowed[allowed == allowed.max()] -= 1
    return allowed


def _content_vector(look: FrameStats) -> Array:
    """Layout of colors, saturation, contrast and blur of a frame, float32 (30,)."""
    small = np.asarray(look.small, np.float32).reshape(THUMBNAIL, THUMBNAIL, 3)
    regions = arrays.resize(small, (3, 3))
    saturation = (small.max(axis=2) - small.min(axis=2)).mean()
    return np.array([*regions.ravel(), saturation, look.contrast, look.blur], np.float32)


def _write(choice: Choice, folder: Path, params: Params) -> None:
    """Writes the samples of a clip that are not there yet."""
    clip: reader.Clip | None = None
    for look in choice.frames:
        files = [folder / name for name in _files(choice, look, params.frames)]
        if all(file.is_file() for file in files):
            continue
        clip = clip or open_clip(Path(choice.survey.path))
        files[0].parent.mkdir(parents=True, exist_ok=True)
        first = look.frame - params.frames // 2
        for file, frame in zip(files, clip.frames(first, first + params.frames), strict=True):
            _picture(file, frame.pixels, choice.survey.bits)


def _files(choice: Choice, look: FrameStats, frames: int) -> list[str]:
    place = f"{choice.split}/{choice.name}/s{look.shot + 1:03}_f{look.frame:06}"
    return [f"{place}.png"] if frames == 1 else [f"{place}/im{number}.png" for number in range(1, frames + 1)]


def _picture(file: Path, pixels: Tensor, bits: int) -> None:
    """A PNG, 16-bit where the source has more than 8; the file is whole or not there."""
    top, kind = (255, np.uint8) if bits <= 8 else (65535, np.uint16)
    code = np.rint(pixels.clamp(0, 1).double().numpy() * top).astype(kind).transpose(1, 2, 0)[..., ::-1]
    written, coded = cv2.imencode(".png", np.ascontiguousarray(code))
    if not written:
        raise TrainingError(f"{file}: the picture cannot be written")
    disk.write(file, coded.tobytes())


def _manifest(choices: Sequence[Choice], params: Params) -> dict[str, Any]:
    """Contents and origin of the set; `train.data` reads splits, sources and licences from it."""
    rows, samples = [], []
    for choice in choices:
        source, licence = data.origin_of(Path(choice.survey.path), params.source, params.licence)
        facts = {"sha256": choice.survey.digest, "source": source, "licence": licence, "split": choice.split}
        rows.append(
            {
                "clip": choice.survey.path,
                **facts,
                "bits": choice.survey.bits,
                "shots": choice.survey.shots,
                "kept": len(choice.frames),
                "left out": choice.dropped,
            }
        )
        for look in choice.frames:
            files = _files(choice, look, params.frames)
            name = files[0] if params.frames == 1 else files[0].rpartition("/")[0]
            samples.append({"sample": name, **facts, "shot": look.shot + 1, "frame": look.frame})
    return {"params": params.model_dump(mode="json"), "clips": rows, "samples": samples}
