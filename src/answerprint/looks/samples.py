"""Colors of pairs of frames before and after a grade, and which of them are held out to measure it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.color import lattice, spaces
from answerprint.errors import SettingsError
from answerprint.looks.pairs import FootagePair, FramePair

Array = NDArray[np.float64]

_FRAME = 6000  # colors of a frame
_SMOOTHEST = 0.85  # share of a picture, from the smoothest on, that colors are taken from
_TILES = 5  # per side of a picture; every fifth tile, frame or still is held out
_FLAT = 0.004  # deviation of the colors under which footage is a single tone


@dataclass(frozen=True, eq=False)
class ColorPairs:
    """Colors before and after, display-encoded.

    Attributes:
        before, after: (n, 3).
        group: frame or tile that each is of, (n,).
        held_out: whether that is held out, (n,).
    """

    before: Array
    after: Array
    group: NDArray[np.int64]
    held_out: NDArray[np.bool_]

    def __getitem__(self, index: NDArray[Any]) -> ColorPairs:
        return ColorPairs(self.before[index], self.after[index], self.group[index], self.held_out[index])

    def __len__(self) -> int:
        return len(self.before)


def read(pairs: Sequence[FootagePair]) -> tuple[ColorPairs, str]:
    """Colors of all pairs, and in words which of them are held out.

    Whole frames are held out: of clips the end, of stills every fifth. Of fewer than five frames, every fifth tile.

    Raises:
        SettingsError: the ungraded footage is a single tone.
    """
    total = sum(len(pair.frames) for pair in pairs)
    parts, group, tail = list[ColorPairs](), 0, max(len(pair.frames) for pair in pairs) >= _TILES
    for pair in pairs:
        count = len(pair.frames)
        for index, frame in enumerate(pair.frames):
            before, after, tile = _smooth_colors(frame, group)
            if total < _TILES:
                groups = group * _TILES**2 + tile
                held_out = tile % _TILES == _TILES // 2
            else:
                groups = np.full(len(before), group)
                last = index >= count - max(1, count // _TILES) if count >= _TILES else False
                held_out = np.full(len(before), last if tail else group % _TILES == _TILES // 2)
            parts.append(ColorPairs(before, after, groups.astype(np.int64), held_out))
            group += 1
    joined = ColorPairs(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("before", "after", "group", "held_out"))
    )
    if float(joined.before.std(0).max()) < _FLAT:
        raise SettingsError("the ungraded footage is a single tone: there is nothing to learn a grade from")
    words = (
        "every fifth tile of the pictures" if total < _TILES else "the end of each clip" if tail else "every 5th still"
    )
    return joined, words


def _smooth_colors(frame: FramePair, seed: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Colors of the smooth parts of a frame, where a pixel of misregistration changes nothing, and their tiles."""
    luma = spaces.luma(frame.before)[0].numpy()
    x, y = (cv2.Sobel(luma, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    steep = np.hypot(x, y).ravel()
    height, width = luma.shape
    rows, columns = np.divmod(np.arange(height * width), width)
    tiles = rows * _TILES // height * _TILES + columns * _TILES // width
    smooth = np.flatnonzero(steep <= np.quantile(steep, _SMOOTHEST))
    smooth = np.random.default_rng(seed).permutation(smooth)[:_FRAME]
    before, after = (pixels.reshape(3, -1).T.double().numpy()[smooth] for pixels in (frame.before, frame.after))
    return before, after, tiles[smooth]


def draw(colors: ColorPairs, count: int, seed: int) -> NDArray[np.int64]:
    """Indices of up to `count` colors, drawn so that rare colors are among them."""
    if len(colors) <= count:
        return np.arange(len(colors))
    weight = lattice.balance(colors.before)
    return np.random.default_rng(seed).choice(len(colors), count, replace=False, p=weight / weight.sum())
