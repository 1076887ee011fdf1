"""Training data: clips found under folders, held in memory as 8-bit pixels, split by clip, cropped at random.

A clip is a picture (one frame), a frame sequence or a video file. Layouts that are known: a plain folder of pictures; a
folder of frames (`frames/`, or names that are running numbers only); Vimeo-90K septuplets (`.../00001/0389/im1.png` ...
`im7.png`, Xue et al. 2019); DAVIS (`JPEGImages/480p/bear/00000.jpg`, Perazzi et al. 2016); video files.
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint import arrays
from answerprint.errors import TrainingError
from answerprint.inference import weights

Pixels = NDArray[np.uint8]

PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
SMALLEST = 96  # pixels: versions with a shorter side are left out
SPLITS = ("training", "validation", "test")
LABELS = {"annotations", "labels", "masks"}  # folders of answers beside a set's pictures (DAVIS, MSRC), no pictures
VIDEOS = {".mp4", ".mov", ".mkv", ".mxf", ".avi", ".webm", ".m4v", ".mpg", ".ts"}


@dataclass(frozen=True)
class ClipSource:
    """One clip as it lies on disk: its files in order, and where they come from.

    Attributes:
        name: path of the picture, folder or video below the data folder it was found in.
        files: the frames of a sequence in order, or the one file.
        digest: SHA-256 of the files' bytes, by which the clip is put into its split.
        origin: repository or collection, where a `SOURCES.tsv` beside the file says so.
        licence: the same, "unknown" else.
        split: "training", "validation" or "test" where a set made by `answerprint dataset` says so, else "".
    """

    name: str
    files: tuple[Path, ...]
    digest: str
    origin: str = "unknown"
    licence: str = "unknown"
    split: str = ""

    @property
    def key(self) -> str:
        """The name that weights keep of a clip they were trained on: 64 bits of the hash."""
        return self.digest[:16]


@dataclass(frozen=True, eq=False)
class TrainingClip:
    """A clip in memory, once for each scale.

    Attributes:
        source: where it comes from.
        versions: frames as R'G'B' uint8 (T, H, W, 3), one array per scale.
    """

    source: ClipSource
    versions: tuple[Pixels, ...]


@dataclass(frozen=True, eq=False)
class Library:
    """The clips of one split.

    Attributes:
        clips: in the order of their names.
        skipped: what was found and left out, with the reason, in words.
    """

    clips: tuple[TrainingClip, ...]
    skipped: tuple[str, ...] = ()

    def longer(self, frames: int) -> Library:
        """Only the clips that have as many frames; all of them where none has."""
        return Library(tuple(clip for clip in self.clips if len(clip.versions[0]) >= frames) or self.clips)

    def crop(
        self, rng: np.random.Generator, size: int, frames: int = 1, turned: bool = True, grown: bool = True
    ) -> Pixels:
        """A random piece of a random clip, mirrored at random: (frames, size, size, 3), R'G'B' uint8.

        Where several frames are asked for, half of the pieces come from clips that have as many, whatever their number;
        a clip shorter than that is seen by a camera that glides over it at up to 4 pixels a frame. It is also turned by
        quarters, unless what is learned depends on what stands upright (`turned=False`). A clip smaller than that is
        mirrored at its edges, so that all pieces are of the size asked for; with `grown=False` pieces are as large as
        it allows.
        """
        clips = self.clips
        if frames > 1 and rng.random() < 0.5:
            clips = tuple(clip for clip in clips if len(clip.versions[0]) >= frames) or clips
        clip = clips[rng.integers(len(clips))]
        fitting = [version for version in clip.versions if min(version.shape[1:3]) >= size] or [clip.versions[0]]
        version = fitting[rng.integers(len(fitting))]
        if grown:
            version = _grown(version, size)
        size = min(size, *version.shape[1:3])
        piece = _glide(version, rng, size, frames) if len(version) < frames else _cut(version, rng, size, frames)
        if rng.random() < 0.5:
            piece = piece[:, :, ::-1]
        if frames > 1 and rng.random() < 0.5:
            piece = piece[::-1]
        if not turned:
            return np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece)
        return np.ascontiguousarray(np.rot90(piece, int(rng.integers(4)), axes=(1, 2)))


@dataclass(frozen=True)
class Splits:
    """Training, validation and test clips; no clip is in two of them.

    Attributes:
        manifest: a row for each clip: name, SHA-256, source, licence, split.
    """

    training: Library
    validation: Library
    test: Library
    manifest: list[dict[str, str]] = field(default_factory=list)

    def keys(self) -> set[str]:
        """Keys of all clips that a run is trained on or chosen by."""
        return {clip.source.key for part in (self.training, self.validation) for clip in part.clips}


def find(folders: Sequence[Path], exclude: Sequence[str] = ()) -> list[ClipSource]:
    """All clips below `folders`, in a fixed order.

    Args:
        folders: folders, or single files.
        exclude: patterns (`mate_*`) of names and paths to leave out.

    Raises:
        TrainingError: a folder is not there, or nothing usable is in any of them.
    """
    sources: list[ClipSource] = []
    for folder in folders:
        if not folder.exists():
            raise TrainingError(f"{folder}: no such data folder")
        sources.extend(_sources(folder, exclude))
    if not sources:
        raise TrainingError(f"{', '.join(map(str, folders))}: no pictures, frame sequences or video files in there")
    return sources


def unseen(folder: Path, networks: Sequence[str], exclude: Sequence[str] = ()) -> list[ClipSource]:
    """The clips below a folder that the weights of these networks have not seen, as their cards tell.

    Args:
        folder: a folder, or a single file.
        networks: whose weights.
        exclude: patterns of names to leave out beside these.

    Raises:
        TrainingError: nothing usable is in there, or nothing is left of it.
    """
    keys = weights.training_clips(*networks)
    sources = [source for source in find([folder]) if not _among(source.name, exclude)]
    unseen_sources = [source for source in sources if source.key not in keys]
    if not unseen_sources:
        why = f"what the weights of {', '.join(networks)} were trained on" if sources else f"names like {exclude[0]}"
        raise TrainingError(f"{folder}: nothing in there but {why}; name a folder of other clips or pictures")
    return unseen_sources


def load(
    folders: Sequence[Path],
    *,
    scales: Sequence[float] = (1.0,),
    ratio: Sequence[float] = (8, 1, 1),
    exclude: Sequence[str] = (),
    force_train: Sequence[str] = (),
    longest: int = 64,
) -> Splits:
    """Reads all clips below `folders` into memory, split by clip.

    A clip's split follows from the hash of its bytes (`split_of`). A set that `answerprint dataset` made keeps its own.

    Args:
        folders: where to look.
        scales: sizes each clip is held in; downscaling by area takes most of the coding noise out of a JPEG.
        ratio: shares of training, validation and test clips.
        exclude: patterns of names to leave out.
        force_train: patterns of names of clips that go into the training split whatever their hash, unless a set's
            manifest says otherwise.
        longest: frames read of each video or sequence, from its start.

    Raises:
        TrainingError: nothing usable, or no training clip is left.
    """
    parts: tuple[list[TrainingClip], ...] = ([], [], [])
    skipped: list[str] = []
    manifest: list[dict[str, str]] = []
    for source in find(folders, exclude):
        frames, trouble = _read(source, longest)
        skipped.extend(trouble)
        versions = [_scaled(frames, scale) for scale in scales] if frames else []
        versions = [version for version in versions if min(version.shape[1:3]) >= SMALLEST]
        if not versions:
            if frames:
                skipped.append(f"{source.name}: {_too_small(frames[0], scales)}")
            continue
        split = source.split or ("training" if _among(source.name, force_train) else split_of(source.digest, ratio))
        parts[SPLITS.index(split)].append(TrainingClip(source, tuple(versions)))
        manifest.append(_entry(source, split))
    if not any(parts):
        raise TrainingError(f"no training clip is left of {', '.join(map(str, folders))}: " + "; ".join(skipped[:5]))
    training, validation, test = (Library(tuple(part), tuple(skipped)) for part in parts)
    # A handful of clips may leave a split empty; a run must still be able to learn from and look at something.
    training = training if training.clips else validation if validation.clips else test
    return Splits(training, validation if validation.clips else training, test if test.clips else training, manifest)


def split_of(digest: str, ratio: Sequence[float]) -> str:
    """Which split a clip belongs to: its hash decides, so it stays there whatever else is in the set."""
    shares = np.cumsum(np.asarray(ratio, dtype=float)) / float(np.sum(ratio))
    part = int(np.searchsorted(shares, int(digest[:8], 16) / 2**32, side="right"))
    return SPLITS[min(part, 2)]


def origin_of(path: Path, source: str | None = None, licence: str | None = None) -> tuple[str, str]:
    """Source and licence of a file: as said, else as a `SOURCES.tsv` beside it says, else "unknown"."""
    origin = _origins(path.parent).get(path.name, ("unknown", "unknown"))
    return source or origin[0], licence or origin[1]


def labels(folder: Path, base: Path) -> bool:
    """Whether a folder below `base` holds answers (masks, classes) and no pictures, by its name or one above it."""
    return any(part.lower() in LABELS for part in folder.relative_to(base).parts)


def to_pictures(codes: Pixels) -> Tensor:
    """R'G'B' codes (T, H, W, 3) as pictures (T, 3, H, W), float32 in 0..1."""
    return torch.from_numpy(codes).permute(0, 3, 1, 2).float() / 255


def _entry(source: ClipSource, split: str) -> dict[str, str]:
    return {
        "clip": source.name,
        "sha256": source.digest,
        "source": source.origin,
        "licence": source.licence,
        "split": split,
    }


def _sources(folder: Path, exclude: Sequence[str]) -> Iterator[ClipSource]:
    base = folder if folder.is_dir() else folder.parent
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    groups: dict[Path, list[Path]] = {}
    for path in files:
        name = path.relative_to(base).as_posix()
        left_out = _among(name, exclude) or labels(path.parent, base)
        if not left_out and path.suffix.lower() in PICTURES | VIDEOS:
            groups.setdefault(path.parent, []).append(path)
    listed = _read_manifest(base)
    for parent, members in groups.items():
        pictures = [path for path in members if path.suffix.lower() in PICTURES]
        origins = _origins(parent)
        if _is_sequence(parent, pictures):
            ordered = sorted(pictures, key=_number)
            name = parent.relative_to(base).as_posix()
            # What lies in a set but not in its manifest was left there by an earlier choice.
            if not listed or name in listed:
                yield _source(name, ordered, listed.get(name) or origins.get(parent.name))
            members = [path for path in members if path.suffix.lower() in VIDEOS]
        for path in members:
            name = path.relative_to(base).as_posix()
            if not listed or name in listed:
                yield _source(name, [path], listed.get(name) or origins.get(path.name))


def _among(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name, or its last part, is like one of these."""
    return any(fnmatch.fnmatch(each, pattern) for each in (name, name.rpartition("/")[2]) for pattern in patterns)


def _read_manifest(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Sample -> (source, licence, split) from the manifest of a set that `answerprint dataset` made."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return {}
    try:
        read = json.loads(manifest.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{manifest}: no manifest that can be read ({error})") from None
    rows = read.get("samples", []) if isinstance(read, dict) else []
    return {row["sample"]: (row["source"], row["licence"], row["split"]) for row in rows if "sample" in row}


def _source(name: str, files: list[Path], origin: tuple[str, ...] | None) -> ClipSource:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return ClipSource(name, tuple(files), digest.hexdigest(), *(origin or ("unknown", "unknown")))


def _is_sequence(parent: Path, pictures: list[Path]) -> bool:
    """Septuplets, DAVIS and plain frame folders: the names are running numbers without a gap, or the folder says so."""
    if len(pictures) < 2:
        return False
    if parent.name == "frames":
        return True
    numbers = sorted(_number(path) for path in pictures)
    numbered = all(re.fullmatch(r"(im|frame)?[_-]?\d+", path.stem) for path in pictures)
    return numbered and numbers[-1] - numbers[0] == len(numbers) - 1


def _number(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else 0


def _origins(folder: Path) -> dict[str, tuple[str, str]]:
    """File name -> (source, licence) from a `SOURCES.tsv`, where there is one."""
    table = folder / "SOURCES.tsv"
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return {row["file"]: (row.get("repository") or "unknown", row.get("licence") or "unknown") for row in rows}


def _read(source: ClipSource, longest: int) -> tuple[list[Pixels], list[str]]:
    """The frames of a clip, and what is wrong with it in words; a sequence ends before its first bad frame."""
    if source.files[0].suffix.lower() in VIDEOS:
        frames = _read_video(source.files[0], longest)
        return frames, [] if frames else [f"{source.name}: no video that can be read"]
    frames = []
    for path in source.files[:longest]:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            return frames, [f"{path}: no picture that can be read"]
        if frames and picture.shape != frames[0].shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (frames[0].shape, picture.shape)]
            return frames, [f"{path}: {sizes[1]} in a sequence of {sizes[0]}; the sequence is used up to here"]
        frames.append(np.asarray(picture[..., ::-1], dtype=np.uint8))
    return frames, []


def _read_video(path: Path, longest: int) -> list[Pixels]:
    import av

    from answerprint.media.container import open_path

    try:
        with open_path(path) as container:
            frames = []
            for frame in container.decode(video=0):
                frames.append(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))
                if len(frames) == longest:
                    break
            return frames
    except (av.error.FFmpegError, IndexError):
        return []


def _scaled(frames: list[Pixels], scale: float) -> Pixels:
    if scale == 1.0:
        return np.stack(frames)
    height, width = frames[0].shape[:2]
    size = (max(int(width * scale), 1), max(int(height * scale), 1))
    return np.stack([np.asarray(arrays.resize(frame, size), np.uint8) for frame in frames])


def _too_small(picture: Pixels, scales: Sequence[float]) -> str:
    height, width = picture.shape[:2]
    scaled = "" if max(scales) == 1 else f" at {max(scales):g} of its size"
    return f"{width}x{height} is too small: {SMALLEST} pixels of its shorter side are needed{scaled}"


def _grown(version: Pixels, size: int) -> Pixels:
    """The version, mirrored at its lower and right edge where it is smaller than a piece of that size."""
    down, right = (max(size - length, 0) for length in version.shape[1:3])
    if not (down or right):
        return version
    return np.pad(version, ((0, 0), (0, down), (0, right), (0, 0)), mode="symmetric")


def _cut(version: Pixels, rng: np.random.Generator, size: int, frames: int) -> Pixels:
    length, height, width = version.shape[:3]
    t = int(rng.integers(length - frames + 1))
    y, x = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
    return version[t : t + frames, y : y + size, x : x + size]


def _glide(version: Pixels, rng: np.random.Generator, size: int, frames: int) -> Pixels:
    """A window that moves over one frame: whole pixels, so that the pixels stay what they are."""
    _, height, width = version.shape[:3]
    speed = rng.uniform(-4, 4, size=2) * (rng.random() < 0.8)
    steps = np.rint(np.outer(np.arange(frames), speed)).astype(int)
    room = np.array((height - size, width - size))
    start = np.array([int(rng.integers(limit + 1)) for limit in room])
    places = np.clip(start + steps, 0, room)
    picture = version[int(rng.integers(len(version)))]
    return np.stack([picture[y : y + size, x : x + size] for y, x in places])
