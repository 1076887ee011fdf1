"""Flights: pairs of pictures made of moving layers, with the exact flow from first to second and what is hidden.

A background and up to eight layers (smooth blobs, polygons, cutouts along the tones of a photograph, thin curves,
text), each a photograph of its own, are moved by a camera (homography, parallax of a smooth depth) and by motions of
their own (affine, smooth bumps). The second picture shows the layers where they are, the first shows them through
their flow, so that the truth holds in hidden places too. After that the pair gets what footage has: motion blur,
defocus, drift of gain and gamma, grain, coding, no color, dust and scratches. Magnitudes of motion are drawn evenly on
a log scale: 30 % below 3 pixels, 50 % from 3 to 20, 20 % from 20 to 100.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.train import degrade
from answerprint.train.data import Library, TrainingClip

Plane = NDArray[np.float32]
Codes = NDArray[np.uint8]
Rng = np.random.Generator

RANGES = {"small": (0.1, 3.0), "medium": (3.0, 20.0), "large": (20.0, 100.0)}  # pixels
SHARES = (0.3, 0.5, 0.2)
MARGIN = 96  # pixels round the picture in which layers exist, so that they can come in
STILL = 0.02  # share of flights in which nothing moves
LOCKED = 0.12  # share in which the camera stands still and layers move
TRIES = 8  # pieces of photographs that are compared for a texture
DETAIL = 0.75  # share of blocks with detail that is enough; the rest are the plain parts that footage has


@dataclass(frozen=True)
class Flight:
    """A pair of pictures and the truth about it.

    Attributes:
        first: (3, H, W) float32, 0..1.
        second: the same.
        flow: (2, H, W) float32, x then y in pixels from first to second, right where hidden, too.
        visible: (H, W) bool, whether what a pixel of the first picture shows is in the second.
        layer: (H, W) uint8, number of the layer in the first picture, 0 for the background.
    """

    first: Tensor
    second: Tensor
    flow: Tensor
    visible: Tensor
    layer: Tensor


@dataclass(frozen=True)
class Layer:
    """One layer: flow of every pixel of the picture, what it shows, and where it is in the second picture.

    Attributes:
        flow: (H, W, 2).
        texture: gives (H, W, 3) uint8 at places (H, W) x and (H, W) y of the second picture.
        mask: (H + 2 MARGIN, W + 2 MARGIN) uint8 coverage in the second picture; None for the background.
    """

    flow: Plane
    texture: Callable[[Plane, Plane], Codes]
    mask: Codes | None = None


def flight(
    photos: Library, rng: Rng, size: tuple[int, int] = (256, 320), pace: str | None = None, clean: bool = False
) -> Flight:
    """A random pair.

    Args:
        photos: pictures the textures are taken from.
        rng: draws everything.
        size: height and width in pixels.
        pace: "small", "medium" or "large" motion; drawn where None.
        clean: without blur, drift, noise, coding and damage.
    """
    pace = pace or str(rng.choice(list(RANGES), p=SHARES))
    low, high = RANGES[pace]
    reach = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    made = compose(layers(photos, rng, size, 0.0 if rng.random() < STILL else reach), rng, 0.0 if clean else 0.25)
    return made if clean else spoiled(made, rng)


def layers(photos: Library, rng: Rng, size: tuple[int, int], reach: float) -> list[Layer]:
    """Background and layers above it, lowest first; motion of about `reach` pixels."""
    grid = _grid(size)
    camera = _camera(rng, size, 0.0 if rng.random() < LOCKED else reach)
    world = camera(grid)
    moved = world + _bump(rng, size, reach)
    if rng.random() < 0.5:
        parallax = rng.normal(0, 0.3 * reach, 2).astype(np.float32)
        moved = moved + _smooth(rng, size, 4, 5)[..., None] * parallax
    result = [Layer(moved, _texture(photos, rng, size, plain=0.0))]
    for _ in range(int(rng.integers(1, 8))):
        own = _affine(rng, size, reach)(grid) if rng.random() < 0.9 else 0.0
        moved = world + own + _bump(rng, size, reach)
        result.append(Layer(moved, _texture(photos, rng, size), _mask(photos, rng, size)))
    return result


def compose(stack: Sequence[Layer], rng: Rng, blur: float = 0.0) -> Flight:
    """Both pictures of a stack of layers, lowest first; a share `blur` of pairs gets motion blur.

    What a pixel of the first picture shows is hidden when it leaves the picture, or when any higher layer covers more
    than half of where it goes.
    """
    height, width = stack[0].flow.shape[:2]
    y, x = (plane.astype(np.float32) for plane in np.mgrid[0:height, 0:width])
    first, second = (np.zeros((height, width, 3), np.float32) for _ in range(2))
    flow, back = (np.zeros((height, width, 2), np.float32) for _ in range(2))
    number, above = np.zeros((height, width), np.uint8), np.zeros((height, width), bool)
    for index, layer in enumerate(stack):
        ends = x + layer.flow[..., 0], y + layer.flow[..., 1]
        if layer.mask is None:
            first, second = (layer.texture(*places).astype(np.float32) for places in (ends, (x, y)))
            flow, back, gone = layer.flow.copy(), layer.flow.copy(), np.zeros_like(above)
            continue
        here = layer.mask[MARGIN : MARGIN + height, MARGIN : MARGIN + width]
        there = _at(layer.mask, ends[0] + MARGIN, ends[1] + MARGIN)
        _paint(first, layer.texture, ends, there)
        _paint(second, layer.texture, (x, y), here)
        solid = there > 127
        # What was below is hidden where this layer covers the place it goes to.
        gone |= _at(layer.mask, x + (flow[..., 0] + MARGIN), y + (flow[..., 1] + MARGIN)) > 127
        gone &= ~solid
        np.copyto(flow, layer.flow, where=solid[..., None])
        np.copyto(back, layer.flow, where=(here > 127)[..., None])
        number[solid] = index
    inside = _inside(x + flow[..., 0], y + flow[..., 1], height, width)
    if rng.random() < blur:
        shutter = rng.uniform(0.1, 0.7)
        first, second = _blurred(first, flow, shutter), _blurred(second, back, shutter)
    seen = torch.from_numpy(inside & ~gone)
    return Flight(_tensor(first), _tensor(second), _planes(flow), seen, torch.from_numpy(number))


def spoiled(pair: Flight, rng: Rng) -> Flight:
    """The pair with what cameras, film and coders do; flow and visibility stay."""
    pictures = torch.stack((pair.first, pair.second))
    if rng.random() < 0.15:
        sigma = rng.uniform(0.5, 2.0)
        sides = (0, 1) if rng.random() < 0.7 else (int(rng.integers(2)),)
        for side in sides:
            pictures[side] = _tensor(cv2.GaussianBlur(_array(pictures[side]), (0, 0), sigma), 1.0)
    if rng.random() < 0.3:
        pictures = degrade.gray(pictures)
    if rng.random() < 0.5:
        pictures = _drifted(pictures, rng)
    if rng.random() < 0.2:
        pictures = _damaged(pictures, rng)
    if rng.random() < 0.6:
        pictures = _grained(pictures, rng)
    coder = rng.random()
    if coder < 0.12:
        codec, quality = ("h264", rng.integers(18, 34)) if coder < 0.08 else ("mpeg2", rng.integers(2, 10))
        pictures = degrade.coded(pictures, codec, int(quality))
    elif coder < 0.3:
        pictures = degrade.jpeg(pictures, int(rng.integers(25, 95)))
    pictures = (pictures.clamp(0, 1) * 255).round() / 255
    return Flight(pictures[0], pictures[1], pair.flow, pair.visible, pair.layer)


def _grid(size: tuple[int, int]) -> Plane:
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return np.stack((x, y), -1)


def _camera(rng: Rng, size: tuple[int, int], reach: float) -> Callable[[Plane], Plane]:
    """Flow of a plane seen by a moving camera: shift, turn, zoom and a little perspective."""
    height, width = size
    half = 0.5 * np.hypot(height, width)
    shift = _direction(rng) * reach * rng.uniform(0.0, 1.0) ** 0.5
    turn, zoom = rng.normal(0, 0.35 * reach / half, 2) * (rng.random(2) < 0.5)
    zoom = float(np.clip(zoom, -0.2, 0.25))
    tilt = rng.normal(0, 0.1 * reach / half / half, 2) * (rng.random() < 0.3)
    center = (width / 2, height / 2)
    along, across = (1 + zoom) * np.cos(turn), (1 + zoom) * np.sin(turn)
    ends = (center[0] + shift[0], center[1] + shift[1])

    def flow(grid: Plane) -> Plane:
        x, y = grid[..., 0] - np.float32(center[0]), grid[..., 1] - np.float32(center[1])
        over = np.float32(1) / (1 + np.float32(tilt[0]) * x + np.float32(tilt[1]) * y)
        u = (np.float32(along) * x - np.float32(across) * y) * over + np.float32(ends[0])
        v = (np.float32(across) * x + np.float32(along) * y) * over + np.float32(ends[1])
        return np.asarray(np.dstack((u, v)) - grid, np.float32)

    return flow


def _affine(rng: Rng, size: tuple[int, int], reach: float) -> Callable[[Plane], Plane]:
    """Flow of a layer of its own: shift, and any linear map near none."""
    half = 0.5 * np.hypot(*size)
    shift = rng.normal(0, 0.6 * reach, 2)
    linear = (rng.normal(0, 0.25 * min(reach, 0.5 * half) / half, (2, 2)) * (rng.random() < 0.6)).astype(np.float32)
    begin = (shift - linear @ (rng.uniform(0, 1, 2) * np.array([size[1], size[0]]))).astype(np.float32)

    def flow(grid: Plane) -> Plane:
        x, y = grid[..., 0], grid[..., 1]
        return np.dstack([row[0] * x + row[1] * y + start for row, start in zip(linear, begin, strict=True)])

    return flow


def _bump(rng: Rng, size: tuple[int, int], reach: float) -> Plane | float:
    """Smooth bending; half of layers have none, and it never folds a layer."""
    if rng.random() < 0.5:
        return 0.0
    strength = rng.uniform(0, 1) * min(0.25 * reach, 5.0)
    return _smooth(rng, size, 5, 6, 2) * np.float32(strength)


def _smooth(rng: Rng, size: tuple[int, int], rows: int, columns: int, planes: int = 1) -> Plane:
    """Random values of deviation 1 on a coarse grid, cubic in between."""
    knots = rng.normal(0, 1, (rows, columns, planes)).astype(np.float32)
    return np.asarray(cv2.resize(knots, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _direction(rng: Rng) -> NDArray[np.float64]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _texture(photos: Library, rng: Rng, size: tuple[int, int], plain: float = 0.08) -> Callable[[Plane, Plane], Codes]:
    """A piece of a photograph, turned, mirrored and scaled at random; a share `plain` are plain shades.

    Of several pieces the first with detail nearly everywhere is taken, else the one with most: the motion of a plain
    wall under noise is in neither picture. (With pieces taken as they came, the median error of inverse search was over
    a pixel in 8 of 20 pairs of small motion; now in none.)
    """
    if rng.random() < plain:
        return _shade(rng, size)
    best, most = _piece(photos, rng), -1.0
    y, x = np.mgrid[0 : size[0] : 4, 0 : size[1] : 4].astype(np.float32)
    for _ in range(TRIES):
        piece = _piece(photos, rng)
        share = _detail(piece(x, y))
        if share > most:
            best, most = piece, share
        if share > DETAIL:
            break
    return best


def _piece(photos: Library, rng: Rng) -> Callable[[Plane, Plane], Codes]:
    picture = _photo(photos, rng)
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(1.25))))
    angle = rng.uniform(-0.3, 0.3) + rng.integers(4) * np.pi / 2
    across, up = scale * np.cos(angle), scale * np.sin(angle) * rng.choice((-1, 1))
    place = rng.uniform(0, 1, 2) * (picture.shape[1], picture.shape[0])
    tint = rng.uniform(0.6, 1.1) if rng.random() < 0.3 else 1.0

    def texture(x: Plane, y: Plane) -> Codes:
        u = across * x - up * y + np.float32(place[0])
        v = up * x + across * y + np.float32(place[1])
        codes = cv2.remap(
            picture, u.astype(np.float32), v.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(codes if tint == 1.0 else cv2.convertScaleAbs(codes, alpha=tint), np.uint8)

    return texture


def _detail(codes: Codes) -> float:
    """Share of blocks of 8x8 samples of (H, W, 3) codes whose green deviates by more than 6 codes."""
    green = codes[..., 1].astype(np.float32)
    size = green.shape[1] // 8, green.shape[0] // 8
    mean, power = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (green, green * green))
    return float((power - mean * mean > 36).mean())


def _shade(rng: Rng, size: tuple[int, int]) -> Callable[[Plane, Plane], Codes]:
    """A smooth run of one color into another."""
    colors = rng.uniform(0, 255, (2, 3)) if rng.random() < 0.5 else np.repeat(rng.uniform(0, 255, (2, 1)), 3, 1)
    colors[1] = colors[0] + (colors[1] - colors[0]) * rng.uniform(0, 0.6)
    way = _direction(rng) / np.hypot(*size)

    def texture(x: Plane, y: Plane) -> Codes:
        share = 0.5 + 0.5 * np.sin(3 * (x * way[0] + y * way[1]))[..., None]
        return np.asarray(np.clip(colors[0] + (colors[1] - colors[0]) * share, 0, 255), np.uint8)

    return texture


def _photo(photos: Library, rng: Rng) -> Codes:
    clip: TrainingClip = photos.clips[rng.integers(len(photos.clips))]
    version = clip.versions[rng.integers(len(clip.versions))]
    picture: Codes = version[rng.integers(len(version))]
    return picture


def _mask(photos: Library, rng: Rng, size: tuple[int, int]) -> Codes:
    """Where a layer is in the second picture, with a margin round it."""
    shape = (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN)
    canvas = np.zeros(shape, np.uint8)
    kind = rng.random()
    if kind < 0.14:
        _thin(canvas, rng)
    elif kind < 0.22:
        _text(canvas, rng)
    else:
        _blob(canvas, rng, rng.random() < 0.5)
        if kind < 0.5:
            canvas = np.minimum(canvas, _tones(photos, rng, canvas.shape))
        if rng.random() < 0.5:
            canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.2)), np.uint8)
    return canvas


def _place(canvas: Codes, rng: Rng) -> NDArray[np.float64]:
    """A random place, x and y, in the picture or a little outside."""
    height, width = canvas.shape
    return rng.uniform((MARGIN - 30, MARGIN - 30), (width - MARGIN + 30, height - MARGIN + 30))


def _blob(canvas: Codes, rng: Rng, round_: bool) -> None:
    """A polygon with corners, or a smooth outline; one in five has a hole."""
    count = int(rng.integers(3, 12))
    radius = float(np.exp(rng.uniform(np.log(10), np.log(0.35 * min(canvas.shape)))))
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    length = radius * rng.uniform(0.5, 1.3, count)
    if round_:
        fine = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        waves = [rng.uniform(-0.25, 0.25) * np.sin(k * fine + rng.uniform(0, 7)) for k in (1, 2, 3, 5)]
        angle, length = fine, radius * (1 + np.sum(waves, axis=0))
    stretch = np.array([rng.uniform(0.4, 1.0), 1.0])[:: int(rng.choice((-1, 1)))]
    outline = np.stack((np.cos(angle), np.sin(angle)), 1) * length[:, None] * stretch
    center = _place(canvas, rng)
    corners = [np.rint((center + outline) * 16).astype(np.int32)]
    if rng.random() < 0.2:
        corners.append(np.rint((center + outline * rng.uniform(0.3, 0.6)) * 16).astype(np.int32))
    cv2.fillPoly(canvas, corners, 255, cv2.LINE_AA, shift=4)


def _tones(photos: Library, rng: Rng, shape: tuple[int, ...]) -> Codes:
    """A cutout along the tones of a photograph: what is lighter or darker than a random share of it."""
    picture = _photo(photos, rng)
    luma = cv2.GaussianBlur(cv2.resize(picture[..., 1], shape[::-1], interpolation=cv2.INTER_AREA), (0, 0), 3)
    bound = float(np.quantile(luma[::8, ::8], rng.uniform(0.25, 0.6)))
    return np.asarray(
        np.clip((luma.astype(np.float32) - bound) * (60 if rng.random() < 0.5 else -60) + 128, 0, 255), np.uint8
    )


def _thin(canvas: Codes, rng: Rng) -> None:
    """Ropes, hairs, poles: smooth curves of 1 to 4 pixels."""
    for _ in range(int(rng.choice((1, 1, 2, 5)))):
        begin, bend, end = (_place(canvas, rng) for _ in range(3))
        bend = (begin + end) / 2 + (bend - (begin + end) / 2) * rng.uniform(0, 0.6)
        t = np.linspace(0, 1, 24)[:, None]
        curve = (1 - t) ** 2 * begin + 2 * t * (1 - t) * bend + t**2 * end
        points = [np.rint(curve * 16).astype(np.int32)]
        cv2.polylines(canvas, points, False, 255, int(rng.integers(1, 5)), cv2.LINE_AA, shift=4)


def _text(canvas: Codes, rng: Rng) -> None:
    letters = "ABCDEFGHKLMNOPRSTUVWXYZabcdeghiklmnoprstuvwyz0123456789.:-/%"
    for _ in range(int(rng.integers(1, 4))):
        words = "".join(rng.choice(list(letters), size=int(rng.integers(3, 14))))
        x, y = (int(v) for v in _place(canvas, rng) - (60, 0))
        font, thick = int(rng.integers(0, 8)), int(rng.integers(1, 6))
        cv2.putText(canvas, words, (x, y), font, rng.uniform(0.5, 2.5), 255, thick, cv2.LINE_AA)


def _at(mask: Codes, x: Plane, y: Plane) -> Codes:
    return np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8)


def _paint(picture: Plane, texture: Callable[[Plane, Plane], Codes], places: tuple[Plane, Plane], mask: Codes) -> None:
    """Lays a texture over the picture where the mask is; works on the rectangle round it."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return
    part = np.s_[top : top + height, left : left + width]
    alpha = (mask[part].astype(np.float32) / 255)[..., None]
    picture[part] += alpha * (texture(places[0][part], places[1][part]) - picture[part])


def _inside(x: Plane, y: Plane, height: int, width: int) -> NDArray[np.bool_]:
    return np.asarray((x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5))


def _blurred(picture: Plane, flow: Plane, shutter: float) -> Plane:
    """Mean over the time that the shutter is open, each pixel along its own flow."""
    height, width = picture.shape[:2]
    y, x = (plane.astype(np.float32) for plane in np.mgrid[0:height, 0:width])
    total = np.zeros_like(picture)
    times = np.linspace(-0.5, 0.5, 5, dtype=np.float32) * np.float32(shutter)
    for t in times:
        total += cv2.remap(
            picture, x + t * flow[..., 0], y + t * flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return total / np.float32(len(times))


def _drifted(pictures: Tensor, rng: Rng) -> Tensor:
    """Gain and gamma of the pair, and how they change from first to second; at times a shadow of its own in each."""
    result = []
    gain, gamma = rng.uniform(0.8, 1.15), np.exp(rng.normal(0, 0.15))
    change = float(rng.choice((0.02, 0.05, 0.12)))
    for picture in pictures:
        lit = picture.clamp(0, 1) ** float(gamma * np.exp(rng.normal(0, change))) * float(
            gain * np.exp(rng.normal(0, change))
        )
        if rng.random() < 0.15:
            shadow = 1 - 0.4 * rng.random() / (1 + np.exp(-2 * _smooth(rng, tuple(picture.shape[-2:]), 3, 4)))
            lit = lit * torch.from_numpy(shadow.astype(np.float32))
        result.append(lit)
    return torch.stack(result)


def _grained(pictures: Tensor, rng: Rng) -> Tensor:
    """White noise or grain of some reach, in color or gray, strongest in the middle tones in half of the pairs."""
    strength = rng.uniform(0, 0.03) if rng.random() < 0.85 else rng.uniform(0.03, 0.1)
    shape = (*pictures.shape[2:], 1 if rng.random() < 0.5 else 3)
    reach = rng.uniform(0.4, 1.2) if rng.random() < 0.5 else 0.0
    middle, result = rng.random() < 0.5, []
    for picture in pictures:
        noise = _noise(rng, shape, reach) * np.float32(strength)
        planes = torch.from_numpy(noise).permute(2, 0, 1)
        result.append(picture + (planes * (0.35 + 2.6 * picture * (1 - picture)) if middle else planes))
    return torch.stack(result)


def _noise(rng: Rng, shape: tuple[int, ...], reach: float) -> Plane:
    """Noise of deviation 1: sums of two random bytes, ten times as fast as normal values; blurred over `reach`."""
    pair = np.frombuffer(rng.bytes(2 * int(np.prod(shape))), np.uint8).reshape(2, *shape)
    noise: Plane = (pair[0].astype(np.float32) + pair[1] - 255) / np.float32(104.5)
    if not reach:
        return noise
    blurred = np.asarray(cv2.GaussianBlur(noise, (0, 0), reach), np.float32).reshape(shape)
    return np.asarray(blurred / np.float32(max(float(blurred[::4, ::4].std()), 1e-6)), np.float32)


def _damaged(pictures: Tensor, rng: Rng) -> Tensor:
    """Dust that lies on one picture only, and scratches."""
    codes = [_array(picture) for picture in pictures]
    for code in codes:
        for _ in range(rng.poisson(float(rng.choice((2, 6, 15))))):
            _speck(code, rng)
    pictures = torch.stack([_tensor(code, 1.0) for code in codes])
    return degrade.scratches(pictures, int(rng.integers(1, 4)), rng)[0] if rng.random() < 0.4 else pictures


def _speck(code: Plane, rng: Rng) -> None:
    center = np.rint(rng.uniform((0, 0), (code.shape[1], code.shape[0])) * 16).astype(int)
    axes = np.maximum(np.rint(np.exp(rng.uniform(np.log(0.7), np.log(6), 2)) * 16), 8).astype(int)
    shade = float(rng.choice((0.02, 0.95))) + float(rng.normal(0, 0.02))
    cv2.ellipse(code, center.tolist(), axes.tolist(), rng.uniform(0, 180), 0, 360, (shade,) * 3, -1, cv2.LINE_8, 4)


def _tensor(picture: Any, over: float = 255.0) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)) / over


def _array(picture: Tensor) -> Plane:
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy(), np.float32)


def _planes(flow: Plane) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))
