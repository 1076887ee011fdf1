"""Interlaced pictures: filling missing lines, weaving fields, and measuring combs, field order and film cadence.

A field is every second line of a frame: parity 0 is the top field (rows 0, 2, ...), parity 1 the bottom field. Fields
are counted in the order they were taken: frame `n` holds fields `2 n` and `2 n + 1`. Pictures are float32 (C, H, W);
measuring works on brightness, float32 (H, W). Nothing here knows files, frames' times or shots.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.motion import flow

Cadence = Literal["none", "3:2", "2:2"]

# Reach of the search for edges: 2 * REACH pixels sideways from the line above to the line below.
REACH = 4
_MARGIN = REACH + 2
# A slant is believed where the lines differ by this much over five pixels, and it leaves less than this part of it.
_CONTRAST = np.float32(0.5)
_CLEAR = np.float32(0.4)

# Weights of bwdif (FFmpeg's `vf_bwdif`, after the BBC's Weston 3-field filter, patent GB 2163316, 1986), of 2**13: low
# frequencies from this field, high ones from the fields beside it, and the plain vertical filter of this field alone.
_LOW = (np.float32(4309 / 8192), np.float32(213 / 8192))
_HIGH = (np.float32(5570 / 32768), np.float32(3801 / 32768), np.float32(1016 / 32768))
_PLAIN = (np.float32(5077 / 8192), np.float32(981 / 8192))
_HALF = np.float32(0.5)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TINY = np.float32(1e-9)


@dataclass(frozen=True)
class Around:
    """The pictures that hold the fields around the present one; each picture (C, H, W).

    Attributes:
        before: holds the field just before (the lines that are missing, one field earlier).
        after: holds the field just after (the lines that are missing, one field later).
        earlier: holds the field two before (the same lines as the present field).
        later: holds the field two after (the same lines as the present field).
    """

    before: Tensor
    after: Tensor
    earlier: Tensor
    later: Tensor


def weave(top: Tensor, bottom: Tensor) -> Tensor:
    """The top field of one picture with the bottom field of another; both (..., H, W)."""
    woven = top.clone()
    woven[..., 1::2, :] = bottom[..., 1::2, :]
    return woven


def fill(picture: Tensor, parity: int, around: Around | None = None, noise: float = 0.0) -> Tensor:
    """Keeps one field of a picture and makes the lines of the other.

    Where nothing moved within two fields either way, the lines beside it in time are woven in as they are. Elsewhere
    they come from the lines above and below, along the edge found there (Doyle 1998: the direction of least
    difference), with the fine detail of the fields beside it added, bounded by how much the picture changes in time
    (yadif, bwdif).

    Args:
        picture: (C, H, W), its other field is ignored.
        parity: 0 keeps the top field, 1 the bottom field.
        around: the fields beside it in time; None where there are none: space only.
        noise: standard deviation of the noise; differences in time below three of them count as none.

    Returns:
        (C, H, W); the kept lines are those of `picture`, bit for bit.
    """
    out = picture.detach().cpu().clone(memory_format=torch.contiguous_format)
    height = picture.shape[1]
    if height < 2:
        return picture
    # Without neighbors in time the picture stands in for them, unread.
    parts = [out] * 4 if around is None else [around.before, around.after, around.earlier, around.later]
    arrays = [_array(part) for part in parts]
    bright = _array(_padded(out))
    missing = range(1 - parity, height, 2)
    limit = np.float32(3 * noise)

    def work(rows: tuple[int, int]) -> None:
        _fill_rows(_array(out), *arrays, bright, *rows, around is None, limit)

    # Rows are independent: the split changes the speed, never a value.
    workers = max(1, min(torch.get_num_threads(), len(missing) // 32))
    bounds = [missing[0] + 2 * (len(missing) * i // workers) for i in range(workers)] + [height]
    if workers == 1:
        work((bounds[0], bounds[1]))
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, itertools.pairwise(bounds)))
    return out.to(picture.device)


def _array(picture: Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = picture.detach().cpu().contiguous().numpy()
    return result


def _padded(picture: Tensor) -> Tensor:
    """Brightness with its border repeated sideways, so that searches need no care there; to (H, W + 2 _MARGIN)."""
    plane = luma(picture) if picture.shape[0] == 3 else picture.mean(0)
    return torch.nn.functional.pad(plane[None], (_MARGIN, _MARGIN), mode="replicate")[0]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _mirror(row: int, height: int) -> int:
    """A row outside the picture becomes the nearest row of the same parity, mirrored at the border."""
    while row < 0 or row >= height:
        row = -row if row < 0 else 2 * (height - 1) - row
        if height == 2 and (row < 0 or row > 1):
            row = row & 1
    return row


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _edges(above: Any, below: Any, shift: Any, cost: Any, wide: Any) -> None:
    """For every pixel between two padded lines the sideways shift along which they agree best.

    0 unless the lines differ and a slant agrees far better: textures have false directions, contours true ones.
    """
    width = shift.size
    for x in range(width):
        shift[x] = 0
    for step in range(2 * REACH + 1):
        # 0, 1, -1, 2, -2, ...: the shortest first.
        k = 0 if step == 0 else (step + 1) // 2 * (1 if step % 2 else -1)
        first, second = above[REACH + k :], below[REACH - k :]
        for x in range(width + 4):
            wide[x] = abs(first[x] - second[x])
        for x in range(width):
            total = wide[x] + wide[x + 1] + wide[x + 2] + wide[x + 3] + wide[x + 4]
            better = total < cost[x]
            if step == 0:
                cost[x] = total * _CLEAR if total > _CONTRAST else _ZERO
            else:
                shift[x] = k if better else shift[x]
                cost[x] = total if better else cost[x]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _in_space(up: Any, down: Any, up3: Any, down3: Any, shift: Any, made: Any) -> None:
    """A line from the two above and the two below it, along `shift`."""
    width = made.size
    last = width - 1
    for x in range(width):
        made[x] = _PLAIN[0] * (up[x] + down[x]) - _PLAIN[1] * (up3[x] + down3[x])
    for x in range(width):
        k = shift[x]
        if k != 0:
            left, right = min(max(x - k, 0), last), min(max(x + k, 0), last)
            left3, right3 = min(max(x - 3 * k, 0), last), min(max(x + 3 * k, 0), last)
            slanted = _PLAIN[0] * (up[right] + down[left]) - _PLAIN[1] * (up3[right3] + down3[left3])
            # A true edge passes between the lines; anything outside them is a false direction.
            made[x] = min(max(slanted, min(up[x], down[x])), max(up[x], down[x]))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _difference(line: Any, line2: Any, other: Any, other2: Any, worst: Any) -> None:
    """Raises `worst` to the mean difference of two pairs of lines."""
    for x in range(worst.size):
        worst[x] = max(worst[x], (abs(other[x] - line[x]) + abs(other2[x] - line2[x])) * _HALF)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _bounds(up: Any, down: Any, over: Any, under: Any, both: Any, limit: Any, bound: Any) -> None:
    """Turns the largest difference in time into how far a pixel may be from the mean of its neighbors in time."""
    scale = _ONE / max(limit, _TINY)
    for x in range(bound.size):
        left = max(bound[x] - limit, _ZERO)
        p, q = over[x] * _HALF - up[x], under[x] * _HALF - down[x]
        r, s = both[x] * _HALF - up[x], both[x] * _HALF - down[x]
        wider = max(min(min(s, r), max(p, q)), -max(max(s, r), min(p, q)))
        # What space says widens the bound only as far as the change in time stands clear of the noise.
        bound[x] = max(left, wider * min(_ONE, left * scale))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fill_rows(
    out: Any,
    before: Any,
    after: Any,
    earlier: Any,
    later: Any,
    bright: Any,
    start: int,
    stop: int,
    space: bool,
    limit: Any,
) -> None:
    """Makes rows start, start + 2, ... of `out` from its other rows, see `fill`; `bright` is `out` padded.

    Short loops over few lines each, for compilers give up on loops over twenty.
    """
    channels, height, width = out.shape
    shift = np.zeros(width, np.int32)
    cost, wide = np.zeros(width, np.float32), np.zeros(width + 4, np.float32)
    made, fine = np.zeros(width, np.float32), np.zeros(width, np.float32)
    both, change, bound = np.zeros(width, np.float32), np.zeros(width, np.float32), np.zeros(width, np.float32)
    over, under = np.zeros(width, np.float32), np.zeros(width, np.float32)
    for y in range(start, stop, 2):
        a, b = _mirror(y - 1, height), _mirror(y + 1, height)
        a3, b3 = _mirror(y - 3, height), _mirror(y + 3, height)
        a2, b2 = _mirror(y - 2, height), _mirror(y + 2, height)
        a4, b4 = _mirror(y - 4, height), _mirror(y + 4, height)
        _edges(bright[a], bright[b], shift, cost, wide)
        for c in range(channels):
            up, down, up3, down3, row = out[c, a], out[c, b], out[c, a3], out[c, b3], out[c, y]
            _in_space(up, down, up3, down3, shift, made)
            if space:
                row[:] = made
                continue
            was, will = before[c, y], after[c, y]
            for x in range(width):
                both[x] = was[x] + will[x]
            for x in range(width):
                change[x] = abs(was[x] - will[x])
            for x in range(width):
                bound[x] = change[x] * _HALF
            _difference(up, down, earlier[c, a], earlier[c, b], bound)
            _difference(up, down, later[c, a], later[c, b], bound)
            was, will = before[c, a2], after[c, a2]
            for x in range(width):
                over[x] = was[x] + will[x]
            was, will = before[c, b2], after[c, b2]
            for x in range(width):
                under[x] = was[x] + will[x]
            _bounds(up, down, over, under, both, limit, bound)
            was, will, was_4, will_4 = before[c, a4], after[c, a4], before[c, b4], after[c, b4]
            for x in range(width):
                fine[x] = _HIGH[2] * (was[x] + will[x] + was_4[x] + will_4[x])
            for x in range(width):
                fine[x] += _HIGH[0] * both[x] - _HIGH[1] * (over[x] + under[x])
            for x in range(width):
                fine[x] += _LOW[0] * (up[x] + down[x]) - _LOW[1] * (up3[x] + down3[x])
            for x in range(width):
                made[x] = fine[x] if abs(up[x] - down[x]) > change[x] else made[x]
            for x in range(width):
                row[x] = min(max(made[x], both[x] * _HALF - bound[x]), both[x] * _HALF + bound[x])


# Motion ---------------------------------------------------------------------------------------------------------------

_BRIGHTNESS = np.array([[0.25, 0.5, 0.25]], np.float32)
_LIT = (33, 17)  # pixels and lines around a place over which light is made equal
_SMALLEST = 32  # below this, flow has too few patches to go by


def moved(field: Tensor, others: Sequence[Tensor]) -> list[Tensor]:
    """Lines of fields beside this one in time, moved to where things are at its moment.

    Dense inverse search (Kroeger et al. 2016, OpenCV's), from what the missing lines look like at first sight, the mean
    of the lines above and below, to the lines at the same places in the other fields.

    Args:
        field: (3, h, w), the lines above the missing ones.
        others: (3, h, w) each, lines at the places of the missing ones, at other moments.

    Returns:
        One (3, h, w) for each of `others`; the same as it where the picture is too small to find motion.
    """
    lines = _interleaved(field)
    return _followed((lines + np.concatenate((lines[1:], lines[-1:]))) * np.float32(0.5), others, _OF_FIELDS)


def aligned(picture: Tensor, others: Sequence[Tensor]) -> list[Tensor]:
    """Whole pictures beside this one in time, moved to where things are at its moment, as `moved` does it with lines.

    More carefully, for it is worth more here: by patches that lie closer, with the energy of the flow minimized longer,
    and pictures sampled as sharply as they are.

    Args:
        picture: (3, H, W).
        others: (3, H, W) each.
    """
    return _followed(_interleaved(picture), others, _OF_PICTURES)


@dataclass(frozen=True)
class _Care:
    """How motion is looked for and followed.

    Attributes:
        width: share of the width at which motion is looked for.
        stride: pixels from patch to patch.
        refined: times that the energy of the flow is minimized after.
        smoothed: pixels over which motion is smoothed, by a mean.
        softened: share of each line that the one above gives to what is looked at, and the one below.
        sampled: interpolation between pixels, as OpenCV names it.
    """

    width: float
    stride: int
    refined: int
    smoothed: int
    softened: float
    sampled: int


# Measured by the PSNR of what the deinterlacer makes. Means of two lines are looked for among single ones: softened,
# these look more like them. Three quarters of a picture's width take a quarter less time, for 0.01 dB.
_OF_FIELDS = _Care(width=1, stride=7, refined=3, smoothed=3, softened=0.12, sampled=cv2.INTER_CUBIC)
_OF_PICTURES = _Care(width=0.75, stride=4, refined=5, smoothed=1, softened=0.0, sampled=cv2.INTER_LANCZOS4)


def _followed(sight: NDArray[np.float32], others: Sequence[Tensor], care: _Care) -> list[Tensor]:
    """What of `others`, (3, h, w) each, is seen at every place of `sight`, (h, w, 3), in the light it has there.

    The mean of what is around a place is made that of `sight`: old film changes in brightness from picture to picture.
    """
    height, width = sight.shape[:2]
    size = (round(width * care.width), height)
    if min(size) < _SMALLEST:
        return list(others)
    looked = cv2.resize(_codes(sight), size, interpolation=cv2.INTER_AREA)

    def laid(other: Tensor) -> Tensor:
        seen = _interleaved(other)
        there = cv2.resize(_softened(_codes(seen), care.softened), size, interpolation=cv2.INTER_AREA)
        vectors = cv2.blur(_search(care).calc(looked, there, None), (care.smoothed, care.smoothed))
        vectors = flow.resized(np.asarray(vectors, np.float32), width, height)
        warped = np.asarray(flow.warp(seen, vectors, how=care.sampled), np.float32)
        # What is no number would spread along its line and column, for a mean is summed as it goes.
        darker = np.nan_to_num(cv2.transform(sight - warped, _BRIGHTNESS), posinf=0, neginf=0)
        darker[-1] = darker[-2]  # where pictures end, what is seen was made of one line, not of two
        lit = cv2.blur(darker, _LIT, borderType=cv2.BORDER_REFLECT)
        return torch.stack([torch.from_numpy(plane + lit) for plane in cv2.split(warped)])

    # Side by side: a search does not keep all processors busy.
    with ThreadPoolExecutor(max(len(others), 1)) as pool:
        return list(pool.map(laid, others))


def _softened(codes: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    taps = np.array([share, 1 - 2 * share, share], np.float32)
    edge = cv2.BORDER_REPLICATE
    return np.asarray(cv2.sepFilter2D(codes, -1, np.ones(1, np.float32), taps, borderType=edge), np.uint8)


def _search(care: _Care) -> Any:
    """Flow at the size of what is given, by patches of 8 pixels."""
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined, unused-ignore]
    search.setFinestScale(0)
    search.setPatchSize(8)
    search.setPatchStride(care.stride)
    search.setGradientDescentIterations(6)
    search.setVariationalRefinementIterations(care.refined)
    return search


def _interleaved(field: Tensor) -> NDArray[np.float32]:
    return np.asarray(field.detach().cpu().permute(1, 2, 0).contiguous().numpy(), dtype=np.float32)


def _codes(lines: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Brightness (h, w) in 8 bits of (h, w, 3)."""
    scaled = cv2.transform(lines, _BRIGHTNESS * 255)
    return np.asarray(np.clip(np.rint(scaled), 0, 255), dtype=np.uint8).reshape(lines.shape[:2])


# Measuring ------------------------------------------------------------------------------------------------------------


def luma(picture: Tensor) -> Tensor:
    """Brightness for measuring, (H, W), of a picture (3, H, W): the mean of R', G', G' and B'."""
    return (picture[0] + 2 * picture[1] + picture[2]) / 4


def combing(picture: Tensor) -> Tensor:
    """How strongly each pixel stands out from the lines above and below to the same side; (H, W) to (H, W).

    The lesser of both steps: 0 on slopes and at plain edges, the height of the comb's teeth on combs (and on lines one
    row thin, so compare with another weave of the same picture or ask where things move).
    """
    comb = torch.zeros_like(picture)
    if picture.shape[0] < 3:
        return comb
    above = picture[1:-1] - picture[:-2]
    below = picture[1:-1] - picture[2:]
    same = (above > 0) == (below > 0)
    comb[1:-1] = torch.where(same, torch.minimum(above.abs(), below.abs()), torch.zeros_like(above))
    return comb


def moving(one: Tensor, other: Tensor, noise: float) -> Tensor:
    """Where two pictures differ by more than noise, one line up and down and one pixel sideways included; (H, W)."""
    change = ((one - other).abs() > _floor(noise)).to(torch.uint8)
    # Not max_pool2d, which takes sixteen times as long.
    wider = cv2.dilate(change.cpu().numpy(), np.ones((3, 3), np.uint8))
    return torch.from_numpy(np.asarray(wider, np.uint8)).bool().to(one.device)


def _floor(noise: float) -> float:
    """The smallest difference that counts, for a noise of this standard deviation."""
    return max(4 * noise, 4 / 255)


@dataclass(frozen=True)
class Pairing:
    """How combed two successive frames, and what their fields would make crosswise, are where things move (sums).

    Attributes:
        inside: the two frames as they are (mean of both).
        top_first: the later top field with the earlier bottom field: neighbors in time where the top field is first.
        bottom_first: the earlier top field with the later bottom field.
    """

    inside: float
    top_first: float
    bottom_first: float


def pairing(one: Tensor, next_one: Tensor, noise: float) -> Pairing:
    """Measures two successive frames, (H, W) each."""
    mask = moving(one, next_one, noise)
    return Pairing(
        inside=(_combs(one, mask, noise) + _combs(next_one, mask, noise)) / 2,
        top_first=_combs(weave(next_one, one), mask, noise),
        bottom_first=_combs(weave(one, next_one), mask, noise),
    )


def split(picture: Tensor, neighbors: Sequence[Tensor], noise: float) -> float | None:
    """How far both fields of a picture are of two moments, judged where it moves against its neighbors; all (H, W).

    Fields of one moment comb less than those of this picture and the next woven crosswise; fields of two moments comb
    as much as the nearer of both ways to weave crosswise.

    Returns:
        The share of these combs that it has: about 1 for two moments, near 0 for one; None where nothing moves.
    """
    own = crossed = 0.0
    teeth = _teeth(picture, noise)
    for other in neighbors:
        mask = moving(picture, other, noise)
        own += _within(teeth, mask)
        crossed += min(_combs(weave(*pair), mask, noise) for pair in ((picture, other), (other, picture)))
    return own / crossed if crossed > 0 else None


def _combs(picture: Tensor, mask: Tensor, noise: float) -> float:
    return _within(_teeth(picture, noise), mask)


def _teeth(picture: Tensor, noise: float) -> Tensor:
    return (combing(picture) - 2 * noise).clamp(min=0)


def _within(values: Tensor, mask: Tensor) -> float:
    """Their sum where the mask is; not `values[mask]`, which takes eight times as long."""
    return float(torch.where(mask, values, 0.0).sum())


def combed(picture: Tensor, neighbors: Sequence[Tensor], noise: float = 0.0) -> bool:
    """Whether combs are visible: some 16 x 16 block whose moving pixels are combed for a good part; all (H, W)."""
    if picture.shape[0] < 5 or not neighbors:
        return False
    moves = torch.zeros_like(picture, dtype=torch.bool)
    for other in neighbors:
        moves |= moving(picture, other, noise)
    # Teeth repeat: a pixel counts where those two rows on are teeth to the same side.
    step = picture[2:-2] - (picture[1:-3] + picture[3:-1]) / 2
    teeth = combing(picture)[2:-2]
    far = (picture[:-4] + picture[4:]) / 2 - (picture[1:-3] + picture[3:-1]) / 2
    hit = (
        (teeth > _floor(noise) * 1.5) & (step.sign() == far.sign()) & (far.abs() > 0.5 * step.abs()) & moves[2:-2]
    ).float()
    block = (min(16, hit.shape[0]), min(16, hit.shape[1]))
    share = torch.nn.functional.avg_pool2d(hit[None, None], block, 8)
    return bool(share.max() > 0.3)


def noise_level(one: Tensor, other: Tensor) -> float:
    """Standard deviation of the noise in two pictures of the same parity, (H, W) each, from their stillest blocks.

    The tenth part of all 16 x 16 blocks that differ least in time or are flattest in space, the lesser of both; so a
    scene that moves everywhere is not taken for noise, nor a textured one that stands still.
    """
    pool = torch.nn.functional.avg_pool2d
    if min(one.shape) < 18:
        return 0.0
    in_time = pool((one - other).abs()[None, None], 16)
    # Mean |difference| of two samples of a normal distribution: 2 / sqrt(pi) sigma.
    curve = (one[:, 1:-1] - (one[:, :-2] + one[:, 2:]) / 2).abs()
    in_space = pool(curve[None, None], 16)
    time_sigma = float(torch.quantile(in_time.flatten(), 0.1)) / 1.1284
    space_sigma = float(torch.quantile(in_space.flatten(), 0.1)) / (0.7979 * 1.2247)
    return min(time_sigma, space_sigma)


@dataclass(frozen=True)
class Order:
    """Which field of a frame was taken first, and how sure that is (0..1)."""

    name: Literal["tff", "bff", "progressive", "unknown"]
    sure: float
    crossed: bool = False
    """Pictures are whole, but each is spread over two frames (2:2 with the cadence one field off)."""


def field_order(pairs: Sequence[Pairing]) -> Order:
    """The order of the fields from pairs of successive frames; "unknown" where nothing moved enough to tell.

    Fields that are neighbors in time comb less than fields three apart; fields of one moment do not comb.
    """
    inside = sum(pair.inside for pair in pairs)
    top = sum(pair.top_first for pair in pairs)
    bottom = sum(pair.bottom_first for pair in pairs)
    most = max(inside, top, bottom)
    if not pairs or most <= 0:
        return Order("unknown", 0.0)
    if inside < 0.5 * min(top, bottom):
        return Order("progressive", 1 - 2 * inside / (top + bottom))
    first: Literal["tff", "bff"] = "tff" if top < bottom else "bff"
    near, wide = min(top, bottom), max(top, bottom)
    if near > 0.97 * wide:
        return Order("unknown", 0.0)
    votes = sum((pair.top_first < pair.bottom_first) == (first == "tff") for pair in pairs) / len(pairs)
    return Order(first, votes, crossed=near < 0.4 * inside)


def repeats(fields: Mapping[int, Tensor], noise: float) -> dict[int, float]:
    """For each field `u` whose neighbor `u + 2` is there: how much they differ beyond noise; fields (H / 2, W)."""
    result = {}
    for number, picture in fields.items():
        if number + 2 in fields:
            result[number] = float(((fields[number + 2] - picture).abs() - _floor(noise) / 2).clamp(min=0).mean())
    return result


@dataclass(frozen=True)
class Pulldown:
    """The 3:2 pattern: fields with `(u - phase) % 5` of 0, 1 are one picture, 2, 3, 4 the next.

    Attributes:
        phase: 0..4.
        sure: 0..1; share of the cycles that keep the pattern, times how much stiller the repeated field is.
    """

    phase: int
    sure: float


def pulldown(differences: Mapping[int, float]) -> Pulldown:
    """The best 3:2 phase for the differences that `repeats` gives; `sure` is 0 where nothing moves.

    In 3:2 material the first and third field of every group of three are the same picture: of five successive
    differences exactly one vanishes, always at the same place.
    """
    groups: dict[int, dict[int, float]] = {}
    for number, value in differences.items():
        groups.setdefault(number % 5, {})[number] = value
    if len(groups) < 5:
        return Pulldown(0, 0.0)
    means = [sum(group.values()) / len(group) for _, group in sorted(groups.items())]
    still = min(range(5), key=means.__getitem__)
    others = sorted(means[:still] + means[still + 1 :])
    if others[0] <= 0:
        return Pulldown((still - 2) % 5, 0.0)
    kept = [
        value < 0.5 * sum(around) / len(around)
        for number, value in groups[still].items()
        if (around := [differences[i] for i in range(number - 2, number + 3) if i != number and i in differences])
        and sum(around) > 0
    ]
    share = sum(kept) / len(kept) if kept else 0.0
    return Pulldown((still - 2) % 5, share * max(0.0, 1 - means[still] / others[0]))
