"""Reads footage and the same footage as someone graded it, side by side; what is out of line is corrected or refused.

Edges say where things are, whatever the grade (`motion/align.py`). An offset in time is found by them and corrected
where it is clear, a small shift in the picture likewise; frames that show something else (a title, a dissolve) are left
out, and footage that shows something else altogether is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from answerprint import arrays
from answerprint.color import spaces
from answerprint.errors import SettingsError
from answerprint.media import reader
from answerprint.media.pictures.names import ENDINGS
from answerprint.media.reader import Clip
from answerprint.motion import align

Plane = NDArray[np.float32]
Pair = tuple[Tensor, Tensor, int]  # before, after, number of the frame in the ungraded clip

_EDGES = 10_000  # pixels in which pictures are compared
_SHIFTS = 400_000  # pixels in which a shift is looked for
_COLORS = 60_000  # pixels of a frame that colors are taken from: few, so that a pixel of misregistration hardly matters
_SAME_SCENE = 0.5  # agreement of edges from which on two pictures show the same scene
_RUN, _ANCHORS = 12, 3  # frames in a run, and runs in a clip, by which an offset in time is found
_REACH = 48  # frames that the two may be apart, over what their lengths differ by
_SIGNIFICANT = 4.0  # standard errors by which an offset must be better than none
_LEAST_SHIFT = 0.75  # pixels of shift that are told and corrected
_MOST_SHIFT = 0.05  # share of the picture's width that a shift may have


@dataclass(frozen=True, eq=False)
class FramePair:
    """A frame before and after a grade.

    Attributes:
        before, after: (3, H, W) each, made small.
        name: number of the frame in the ungraded clip.
    """

    before: Tensor
    after: Tensor
    name: str


@dataclass(frozen=True, eq=False)
class FootagePair:
    """Footage and the same as it was graded.

    Attributes:
        name: of the graded one.
        frames: side by side.
        notes: what was corrected or left out, in words.
        agreement: of edges, -1..1, on average.
        encodings: primaries and transfer of both.
    """

    name: str
    frames: tuple[FramePair, ...]
    notes: tuple[str, ...]
    agreement: float
    encodings: tuple[str, str]


def read(ungraded: Sequence[Path], graded: Sequence[Path], count: int, correct: bool = True) -> list[FootagePair]:
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
    files = [pair for both in zip(ungraded, graded, strict=True) for pair in _match_names(*both)]
    return [_pair(before, after, count, correct) for before, after in files]


def _match_names(before: Path, after: Path) -> list[tuple[Path, Path]]:
    """The stills of one name in two folders; anything else is one pair as it is."""
    if not (before.is_dir() and after.is_dir()):
        return [(before, after)]
    stills = [{p.stem: p for p in sorted(f.iterdir()) if p.suffix.lower() in ENDINGS} for f in (before, after)]
    common = sorted(stills[0].keys() & stills[1].keys())
    if common:
        return [(stills[0][name], stills[1][name]) for name in common]
    return [(before, after)]


def _pair(before: Path, after: Path, count: int, correct: bool) -> FootagePair:
    sides = reader.open(before), reader.open(after)
    offset, notes = _time_offset(*sides, after, correct)
    pairs, scale = list[Pair](), 1.0
    for place in _places(len(sides[0]), len(sides[1]), offset, count):
        one, other = (_frame(side, i) for side, i in zip(sides, (place, place + offset), strict=True))
        _same_shape(one, other, before, after)
        size = _size(one.shape[1:], _SHIFTS)
        scale = one.shape[2] / size[0]
        pairs.append((arrays.resize_planes(one, size), arrays.resize_planes(other, size), place))
    shift = _shift(pairs, scale, after, correct, notes)
    if shift != (0, 0):
        pairs = [(_crop(one, shift), _crop(other, (-shift[0], -shift[1])), place) for one, other, place in pairs]
    agreements = [align.agreement(_edges(one, _EDGES), _edges(other, _EDGES)) for one, other, _ in pairs]
    same = _same_scene(pairs, agreements, (before, after), notes)
    frames = list[FramePair]()
    for one, other, place in same:
        size = _size(one.shape[1:], _COLORS)
        frames.append(FramePair(arrays.resize_planes(one, size), arrays.resize_planes(other, size), str(place)))
    mean = float(np.mean([a for a in agreements if a >= _SAME_SCENE]))
    return FootagePair(after.name, tuple(frames), tuple(notes), mean, (_encoding(sides[0]), _encoding(sides[1])))


def _encoding(clip: Clip) -> str:
    color = clip.info.assumed
    return f"{color.primaries} {color.transfer}"


def _same_scene(
    pairs: Sequence[Pair], agreements: Sequence[float], files: tuple[Path, Path], notes: list[str]
) -> list[Pair]:
    """The pairs that show the same; what is left out is noted.

    Raises:
        SettingsError: most do not.
    """
    before, after = files
    same = [pair for pair, agreement in zip(pairs, agreements, strict=True) if agreement >= _SAME_SCENE]
    if len(same) * 2 < len(pairs) or not same:
        raise SettingsError(
            f"{after} does not show what {before} shows: edges agree to {np.median(agreements):.2f}, {_SAME_SCENE} is "
            "needed; align them in time and framing, and name them in the same order"
        )
    if len(same) < len(pairs):
        others = [str(place) for (_, _, place), a in zip(pairs, agreements, strict=True) if a < _SAME_SCENE]
        notes.append(f"left out, since they show something else: frames {', '.join(others[:8])} of {before.name}")
    return same


def _frame(clip: Clip, place: int) -> Tensor:
    pixels = next(iter(clip.frames(place, place + 1))).pixels
    return arrays.finite(pixels)


def _same_shape(one: Tensor, other: Tensor, before: Path, after: Path) -> None:
    shapes = [pixels.shape[2] / pixels.shape[1] for pixels in (one, other)]
    if abs(shapes[0] / shapes[1] - 1) > 0.02:
        sizes = [f"{pixels.shape[2]}x{pixels.shape[1]}" for pixels in (one, other)]
        raise SettingsError(
            f"{after} is {sizes[1]}, {before} is {sizes[0]}: another frame; give both with the same framing, uncropped"
        )


# ---- in time


def _time_offset(before: Clip, after: Clip, name: Path, correct: bool) -> tuple[int, list[str]]:
    """The number of frames by which the graded clip is late, and notes on it.

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
    if means[best] < _SAME_SCENE:
        return 0, True  # nowhere the same: something else is wrong, and is told there
    if best == 0 or 0 not in means:
        return best, True
    return best, _significant(scores[best], scores[0])


def _significant(best: list[float], none: list[float]) -> bool:
    """True where the difference of two sets of agreements is beyond chance."""
    gain = np.mean(best) - np.mean(none)
    error = np.hypot(np.std(best), np.std(none)) / np.sqrt(max(min(len(best), len(none)) - 1, 1))
    # A still picture agrees with itself at every offset: then nothing is gained either.
    return bool(gain > max(0.01, min(_SIGNIFICANT * error, 0.1)))


def _anchors(length: int) -> list[int]:
    return sorted({max(0, (2 * i + 1) * length // (2 * _ANCHORS) - _RUN // 2) for i in range(_ANCHORS)})


def _run(clip: Clip, start: int, stop: int, shape: tuple[int, ...] | None = None) -> list[Plane]:
    """Edges of frames [start, stop), of at most `_EDGES` pixels or of a shape (h, w)."""
    planes = []
    for frame in clip.frames(start, stop):
        plane = _luma(arrays.finite(frame.pixels))
        size = _size(plane.shape, _EDGES) if shape is None else (shape[1], shape[0])
        planes.append(align.edges(arrays.resize(plane, size).astype(np.float32)))
    return planes


def _places(before: int, after: int, offset: int, count: int) -> list[int]:
    """Frames of the ungraded clip, spread over what both have."""
    low, high = max(0, -offset), min(before, after - offset)
    length = max(high - low, 0)
    count = min(count, length)
    return [low + (2 * i + 1) * length // (2 * count) for i in range(count)]


# ---- in the picture


def _shift(pairs: Sequence[Pair], scale: float, name: Path, correct: bool, notes: list[str]) -> tuple[int, int]:
    """Whole pixels by which the graded one lies to the right and below; 0 where it is under a pixel or not sure.

    Args:
        pairs: pictures of one size.
        scale: pixels of the footage in one of the pictures here.
        name: of the graded footage.
        correct: whether it may be corrected.
        notes: what is corrected is noted here.

    Raises:
        SettingsError: it is shifted, and is not to be corrected.
    """
    some = pairs[:: max(1, len(pairs) // 5)]
    shifts = np.array([align.shift(_edges(one, _SHIFTS), _edges(other, _SHIFTS)) for one, other, _ in some])
    x, y = np.median(shifts, axis=0)
    spread = float(np.abs(shifts - np.median(shifts, axis=0)).mean())
    if max(abs(x), abs(y)) < _LEAST_SHIFT or max(abs(x), abs(y)) > _MOST_SHIFT * pairs[0][0].shape[2] or spread > 1:
        return 0, 0
    words = f"it is shifted by {x * scale:+.1f} pixels across and {y * scale:+.1f} down"
    if not correct:
        raise SettingsError(f"{name}: {words}; give both with the same framing, or let it be corrected (align)")
    notes.append(f"{words}, which was corrected")
    return round(x), round(y)


def _crop(pixels: Tensor, shift: tuple[int, int]) -> Tensor:
    """The part that is left where another picture lies `shift` pixels to the right and below."""
    x, y = shift
    height, width = pixels.shape[1:]
    return pixels[:, max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]


def _edges(pixels: Tensor, count: int) -> Plane:
    """Edges of a picture made small."""
    plane = _luma(pixels)
    return align.edges(arrays.resize(plane, _size(plane.shape, count)).astype(np.float32))


def _luma(pixels: Tensor) -> Plane:
    plane: Plane = spaces.luma(pixels)[0].numpy()
    return plane


def _size(shape: Sequence[int], count: int) -> tuple[int, int]:
    """(width, height) of a picture of at most `count` pixels."""
    scale = min(1.0, (count / max(shape[0] * shape[1], 1)) ** 0.5)
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
