"""Reads footage and the same footage as someone graded it, side by side; what does not lie side by side is told.

Edges say where things are, whatever the grade (`motion/align.py`). An offset in time is found by them and corrected
where it is clear, a small shift in the picture likewise; frames that show something else (a title, a dissolve) are left
out, and footage that shows something else altogether is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color import spaces
from answerprint.errors import SettingsError
from answerprint.media import reader
from answerprint.media.pictures.names import ENDINGS
from answerprint.media.reader import Clip
from answerprint.motion import align

Plane = NDArray[np.float32]

_SMALL = 10_000  # pixels in which pictures are compared
_FINE = 400_000  # pixels in which a shift is looked for
_SEEN = 60_000  # pixels of a frame that colors are taken from: few, so that a pixel of misregistration hardly matters
_SAME = 0.5  # agreement of edges from which on two pictures show the same scene
_RUN, _ANCHORS = 12, 3  # frames in a run, and runs in a clip, by which an offset in time is found
_REACH = 48  # frames that the two may be apart, over what their lengths differ by
_SURE = 4.0  # standard errors by which an offset must be better than none
_SHIFTED = 0.75  # pixels of shift that are told and corrected
_FARTHEST = 0.05  # share of the picture's width that a shift may have


@dataclass(frozen=True, eq=False)
class Beside:
    """Two pictures of the same thing, before and after: (3, H, W) each, small."""

    before: Tensor
    after: Tensor
    where: str


@dataclass(frozen=True, eq=False)
class Pair:
    """Footage and the same as it was graded.

    Attributes:
        name: of the graded one.
        frames: side by side.
        notes: what was corrected or left out, in words.
        agreement: of edges, on average.
        encodings: primaries and transfer of both.
    """

    name: str
    frames: tuple[Beside, ...]
    notes: tuple[str, ...]
    agreement: float
    encodings: tuple[str, str]


def read(ungraded: Sequence[Path], graded: Sequence[Path], count: int, correct: bool = True) -> list[Pair]:
    """All pairs, frames spread through each.

    Args:
        ungraded, graded: files, sequences or folders in the same order; of two folders of stills those of one name.
        count: frames of each pair.
        correct: whether what is clearly out of line is put in line; else it is refused.

    Raises:
        SettingsError: not as many on both sides, other lengths or rates, out of line, not the same scene.
        MediaError: one cannot be read.
    """
    if len(ungraded) != len(graded) or not ungraded:
        raise SettingsError(
            f"{len(ungraded)} ungraded and {len(graded)} graded were given; they go together one by one, in order"
        )
    matched = [pair for both in zip(ungraded, graded, strict=True) for pair in _matched(*both)]
    return [_pair(before, after, count, correct) for before, after in matched]


def _matched(before: Path, after: Path) -> list[tuple[Path, Path]]:
    """The stills of one name in two folders; anything else is one pair as it is."""
    if not (before.is_dir() and after.is_dir()):
        return [(before, after)]
    stills = [{p.stem: p for p in sorted(f.iterdir()) if p.suffix.lower() in ENDINGS} for f in (before, after)]
    common = sorted(stills[0].keys() & stills[1].keys())
    if common:
        return [(stills[0][name], stills[1][name]) for name in common]
    return [(before, after)]


def _pair(before: Path, after: Path, count: int, correct: bool) -> Pair:
    sides = reader.open(before), reader.open(after)
    offset, notes = _in_time(*sides, after, correct)
    found, agreements = list[tuple[Tensor, Tensor, int]](), list[float]()
    scale = 1.0
    for place in _places(len(sides[0]), len(sides[1]), offset, count):
        one, other = (_frame(side, i) for side, i in zip(sides, (place, place + offset), strict=True))
        _same_shape(one, other, before, after)
        size = _size(one.shape[1:], _FINE)
        scale = one.shape[2] / size[0]
        one, other = _resized(one, size), _resized(other, size)
        agreements.append(align.agreement(_edges(one, _SMALL), _edges(other, _SMALL)))
        found.append((one, other, place))
    moved = _shift(found, scale, after, correct, notes)
    if moved != (0, 0):
        found = [(_cropped(one, moved), _cropped(other, (-moved[0], -moved[1])), place) for one, other, place in found]
        agreements = [align.agreement(_edges(one, _SMALL), _edges(other, _SMALL)) for one, other, _ in found]
    kept = _same(found, agreements, before, after, notes)
    frames = tuple(
        Beside(_resized(one, _size(one.shape[1:], _SEEN)), _resized(other, _size(one.shape[1:], _SEEN)), str(place))
        for one, other, place in kept
    )
    alike = float(np.mean([a for a in agreements if a >= _SAME]))
    return Pair(after.name, frames, tuple(notes), alike, (_encoding(sides[0]), _encoding(sides[1])))


def _encoding(clip: Clip) -> str:
    color = clip.info.assumed
    return f"{color.primaries} {color.transfer}"


def _same(
    found: Sequence[tuple[Tensor, Tensor, int]],
    agreements: Sequence[float],
    before: Path,
    after: Path,
    notes: list[str],
) -> list[tuple[Tensor, Tensor, int]]:
    """Those that show the same.

    Raises:
        SettingsError: most do not.
    """
    kept = [entry for entry, alike in zip(found, agreements, strict=True) if alike >= _SAME]
    if len(kept) * 2 < len(found) or not kept:
        raise SettingsError(
            f"{after} does not show what {before} shows: edges agree to {np.median(agreements):.2f}, {_SAME} is "
            "needed; align them in time and framing, and name them in the same order"
        )
    if len(kept) < len(found):
        away = [str(place) for (_, _, place), alike in zip(found, agreements, strict=True) if alike < _SAME]
        notes.append(f"left out, since they show something else: frames {', '.join(away[:8])} of {before.name}")
    return kept


def _frame(clip: Clip, place: int) -> Tensor:
    pixels = next(iter(clip.frames(place, place + 1))).pixels
    return torch.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)


def _same_shape(one: Tensor, other: Tensor, before: Path, after: Path) -> None:
    shapes = [pixels.shape[2] / pixels.shape[1] for pixels in (one, other)]
    if abs(shapes[0] / shapes[1] - 1) > 0.02:
        sizes = [f"{pixels.shape[2]}x{pixels.shape[1]}" for pixels in (one, other)]
        raise SettingsError(
            f"{after} is {sizes[1]}, {before} is {sizes[0]}: another frame; give both with the same framing, uncropped"
        )


# ---- in time


def _in_time(before: Clip, after: Clip, name: Path, correct: bool) -> tuple[int, list[str]]:
    """How many frames later the graded one shows the same, and what to tell of it.

    Raises:
        SettingsError: other frame rates; an offset that is not to be corrected.
    """
    lengths = len(before), len(after)
    if min(lengths) < 2:
        return 0, []
    rates = before.info.rate, after.info.rate
    if abs(rates[0] / rates[1] - 1) > Fraction(1, 500):
        raise SettingsError(
            f"{name} has {float(rates[1]):g} frames a second, the ungraded one {float(rates[0]):g}; conform one of them"
        )
    reach = _REACH + abs(lengths[1] - lengths[0])
    offset, sure = _offset(before, after, reach)
    notes = []
    if offset and not sure:
        notes.append(f"it may lie {_frames(offset)}, but too little moves to be sure; taken as it is")
        offset = 0
    elif offset and not correct:
        raise SettingsError(f"{name} lies {_frames(offset)}; trim it, or let it be corrected (align)")
    elif offset:
        notes.append(f"it lies {_frames(offset)}, which was corrected")
    if lengths[0] != lengths[1]:
        notes.append(f"{lengths[0]} frames ungraded, {lengths[1]} graded; what both have was used")
    return offset, notes


def _frames(offset: int) -> str:
    return f"{abs(offset)} frame{'s' if abs(offset) > 1 else ''} {'late' if offset > 0 else 'early'}"


def _offset(before: Clip, after: Clip, reach: int) -> tuple[int, bool]:
    """The offset at which edges agree best, and whether it is better than none beyond doubt."""
    scores: dict[int, list[float]] = {}
    for start in _anchors(len(before)):
        ours = _run(before, start, min(start + _RUN, len(before)))
        low, high = max(0, start - reach), min(len(after), start + _RUN + reach)
        theirs = _run(after, low, high, ours[0].shape)
        if not theirs:
            continue
        table = align.agreements(ours, theirs)
        for i, j in np.ndindex(*table.shape):
            scores.setdefault(low + j - (start + i), []).append(float(table[i, j]))
    most = max((len(values) for values in scores.values()), default=0)
    means = {offset: np.mean(values) for offset, values in scores.items() if len(values) * 2 >= most}
    if not means:
        return 0, True
    best = max(means, key=lambda offset: (means[offset], -abs(offset)))
    if means[best] < _SAME:
        return 0, True  # nowhere the same: something else is wrong, and is told there
    if best == 0 or 0 not in means:
        return best, True
    return best, _surely(scores[best], scores[0])


def _surely(best: list[float], none: list[float]) -> bool:
    """Whether the difference of two sets of agreements is no chance."""
    gain = np.mean(best) - np.mean(none)
    error = np.hypot(np.std(best), np.std(none)) / np.sqrt(max(min(len(best), len(none)) - 1, 1))
    # A still picture agrees with itself at every offset: then nothing is gained either.
    return bool(gain > max(0.01, min(_SURE * error, 0.1)))


def _anchors(length: int) -> list[int]:
    return sorted({max(0, (2 * i + 1) * length // (2 * _ANCHORS) - _RUN // 2) for i in range(_ANCHORS)})


def _run(clip: Clip, start: int, stop: int, shape: tuple[int, ...] | None = None) -> list[Plane]:
    found = []
    for frame in clip.frames(start, stop):
        plane = _luma(torch.nan_to_num(frame.pixels, nan=0.0, posinf=1.0, neginf=0.0))
        size = _size(plane.shape, _SMALL) if shape is None else (shape[1], shape[0])
        found.append(align.edges(cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)))
    return found


def _places(before: int, after: int, offset: int, count: int) -> list[int]:
    """Frames of the ungraded clip, spread over what both have."""
    low, high = max(0, -offset), min(before, after - offset)
    length = max(high - low, 0)
    count = min(count, length)
    return [low + (2 * i + 1) * length // (2 * count) for i in range(count)]


# ---- in the picture


def _shift(
    frames: Sequence[tuple[Tensor, Tensor, int]], scale: float, name: Path, correct: bool, notes: list[str]
) -> tuple[int, int]:
    """By how many whole pixels the graded one lies to the right and below; 0 where it is under a pixel or not sure.

    Args:
        scale: pixels of the footage in one of the pictures here.

    Raises:
        SettingsError: it is shifted, and is not to be corrected.
    """
    some = frames[:: max(1, len(frames) // 5)]
    found = np.array([align.shift(_edges(one, _FINE), _edges(other, _FINE)) for one, other, _ in some])
    x, y = np.median(found, axis=0)
    spread = float(np.abs(found - np.median(found, axis=0)).mean())
    if max(abs(x), abs(y)) < _SHIFTED or max(abs(x), abs(y)) > _FARTHEST * frames[0][0].shape[2] or spread > 1:
        return 0, 0
    words = f"it is shifted by {x * scale:+.1f} pixels across and {y * scale:+.1f} down"
    if not correct:
        raise SettingsError(f"{name}: {words}; give both with the same framing, or let it be corrected (align)")
    notes.append(f"{words}, which was corrected")
    return round(x), round(y)


def _cropped(pixels: Tensor, move: tuple[int, int]) -> Tensor:
    """What remains where another picture lies `move` pixels to the right and below."""
    x, y = move
    height, width = pixels.shape[1:]
    return pixels[:, max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]


def _edges(pixels: Tensor, count: int) -> Plane:
    """Edges of a picture made small."""
    plane = _luma(pixels)
    return align.edges(cv2.resize(plane, _size(plane.shape, count), interpolation=cv2.INTER_AREA).astype(np.float32))


def _luma(pixels: Tensor) -> Plane:
    plane: Plane = spaces.luma(pixels)[0].numpy()
    return plane


def _size(shape: Sequence[int], count: int) -> tuple[int, int]:
    """(width, height) of a picture of at most `count` pixels."""
    scale = min(1.0, (count / max(shape[0] * shape[1], 1)) ** 0.5)
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    image: Any = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()
