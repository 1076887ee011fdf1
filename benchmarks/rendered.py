"""Wires rendered over real frames, with their exact opacity: the truth that tracking and removal are held against.

A wire is a straight line or a catenary of 1 to 6 pixels that swings. Its opacity is the coverage of a pixel under the
blur of the lens, taken at several moments while the shutter is open and averaged: motion blur is what the motion makes
of it and no model of ours. Colors are dark, light, or dashes of light that travel with the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtr

Array = NDArray[np.float32]

MOMENTS = 9  # of an open shutter
_LENS = 0.55  # pixels of blur
_ROUGH = 0.008  # deviation of the grain on a wire (of full scale)
_DASH = 26.0  # pixels from one glint to the next


@dataclass(frozen=True)
class RenderedWire:
    """A wire over a clip.

    Attributes:
        first: x and y of one end at rest.
        second: of the other.
        width: in pixels.
        sag: of its middle, in pixels downwards.
        speed: largest motion from frame to frame, in pixels.
        swing: bodily, at the second end (a pendulum), or in the middle.
        period: frames of a swing.
        phase: of the swing at frame 0, in turns.
        shutter: share of a frame that it is open.
        color: of the wire.
        glint: color of the dashes on it; None without.
        seed: of its grain.
    """

    first: tuple[float, float]
    second: tuple[float, float]
    width: float
    sag: float
    speed: float
    swing: Literal["all", "end", "middle"]
    period: float
    phase: float
    shutter: float
    color: tuple[float, float, float]
    glint: tuple[float, float, float] | None = None
    seed: int = 0

    def points(self, time: float) -> NDArray[np.float64]:
        """Where it is at a time (in frames): points (N, 2), x and y, half a pixel apart."""
        one, two = np.array(self.first), np.array(self.second)
        length = float(np.hypot(*(two - one)))
        u = np.linspace(0, 1, max(2, int(2 * length)))[:, None]
        hang = (np.cosh(1.0) - np.cosh(2 * u - 1)) / (np.cosh(1.0) - 1)
        line = one + u * (two - one) + hang * np.array([0.0, self.sag])
        across = np.array([-(two - one)[1], (two - one)[0]]) / length
        size = self.speed * self.period / (2 * np.pi)
        reach = {"all": np.ones_like(u), "end": u, "middle": np.sin(np.pi * u)}[self.swing]
        angle = 2 * np.pi * (time / self.period + self.phase)
        return np.asarray(line + size * np.sin(angle) * reach * across)

    def over(self, picture: Array, frame: int) -> tuple[Array, Array]:
        """A picture (H, W, 3) in 0..1 with the wire over it, and its opacity (H, W)."""
        height, width = picture.shape[:2]
        alpha, along = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        for moment in (np.arange(MOMENTS) + 0.5) / MOMENTS - 0.5:
            rows, columns, distance, place = _near(self.points(frame + self.shutter * moment), self.width, alpha.shape)
            share = (ndtr((distance + self.width / 2) / _LENS) - ndtr((distance - self.width / 2) / _LENS)) / MOMENTS
            alpha[rows, columns] += share.astype(np.float32)
            along[rows, columns] += (share * place).astype(np.float32)
        along /= np.maximum(alpha, 1e-6)
        grain = np.random.default_rng((self.seed, frame)).normal(0, _ROUGH, picture.shape)
        own = self._colors(along) + grain.astype(np.float32)
        return picture + alpha[..., None] * (own - picture), alpha

    def _colors(self, along: Array) -> Array:
        color = np.array(self.color, np.float32)
        if self.glint is None:
            return np.broadcast_to(color, (*along.shape, 3))
        share = np.clip(1.6 * np.sin(2 * np.pi * along / _DASH) - 0.4, 0, 1)[..., None]
        return np.asarray(color + share * (np.array(self.glint, np.float32) - color), np.float32)


def _near(
    points: NDArray[np.float64], width: float, shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Lines and columns of the pixels near a curve, their distance from it, and how far along it they lie."""
    reach = width / 2 + 4 * _LENS
    whole = np.unique(np.rint(points).astype(int), axis=0)
    steps = np.arange(-int(reach) - 2, int(reach) + 3)
    around = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    inside = (whole > -reach - 2).all(1) & (whole < np.array(shape[::-1]) + reach + 2).all(1)
    codes = (whole[inside][:, None] + around[None]).reshape(-1, 2)
    codes = codes[(codes >= 0).all(1) & (codes < np.array(shape[::-1])).all(1)]
    marks = np.zeros(shape, bool)
    marks[codes[:, 1], codes[:, 0]] = True
    rows, columns = np.nonzero(marks)
    pixels = np.stack([columns, rows], 1).astype(float)
    if not len(pixels):
        nothing = np.zeros(0)
        return rows, columns, nothing, nothing
    _, nearest = cKDTree(points).query(pixels)
    ahead = np.gradient(points, axis=0)
    step = np.hypot(ahead[:, 0], ahead[:, 1])
    ahead /= step[:, None]
    away = pixels - points[nearest]
    across = np.abs(ahead[nearest, 0] * away[:, 1] - ahead[nearest, 1] * away[:, 0])
    beyond = np.abs((ahead[nearest] * away).sum(1)) * ((nearest == 0) | (nearest == len(points) - 1))
    length = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))))
    return rows, columns, np.hypot(across, beyond), length[nearest]


def some(count: int, size: tuple[int, int], seed: int) -> list[RenderedWire]:
    """Wires for pictures of a size (height, width), the same ones for the same seed: all kinds in turn."""
    rng = np.random.default_rng(seed)
    return [_one(rng, number, size, seed) for number in range(count)]


_DARK, _LIGHT = (0.08, 0.08, 0.1), (0.85, 0.83, 0.78)


def _one(rng: np.random.Generator, number: int, size: tuple[int, int], seed: int) -> RenderedWire:
    height, width = size
    kind = number + int(rng.integers(0, 60))
    speed = (0.0, 1.5, 3.0, 5.0, 7.5, 10.0)[kind % 6]
    swing: Literal["all", "end", "middle"] = ("all", "end", "middle")[kind % 3]
    if kind % 4 == 3:  # from the left to the right border
        first, second = (-30.0, rng.uniform(0.15, 0.8) * height), (width + 30.0, rng.uniform(0.15, 0.8) * height)
        sag = float(rng.choice([0.0, 0.05, 0.15])) * height
    else:  # from above down to someone who hangs on it, or out of the picture
        first = rng.uniform(0.1, 0.9) * width, -30.0
        bottom = height + 30.0 if kind % 4 == 0 else rng.uniform(0.6, 0.85) * height
        second = rng.uniform(0.25, 0.75) * width, bottom
        sag = 0.0
    color, glint = ((_DARK, None), (_LIGHT, None), ((0.3, 0.3, 0.32), _LIGHT), ((0.15, 0.1, 0.08), None))[kind % 5 % 4]
    return RenderedWire(
        first=(float(first[0]), float(first[1])),
        second=(float(second[0]), float(second[1])),
        width=float((1, 1.5, 2, 3, 4, 6)[int(rng.integers(0, 6))]) if number >= 6 else float(number % 6 + 1),
        sag=sag,
        speed=speed,
        swing=swing,
        period=float(rng.uniform(16, 34)),
        phase=float(rng.uniform(0, 1)),
        shutter=float(rng.choice([0.25, 0.5, 0.5])),
        color=color,
        glint=glint,
        seed=seed * 100 + number,
    )
