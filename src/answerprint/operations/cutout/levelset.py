"""The edge-free active contour: a level set that parts a picture by what its two regions look like.

The energy is that of AEPR section 3.1 (equations 1 to 3; Chan and Vese 2001),

    E(C, c_a, c_b) = beta * int_A (I - c_a)^2 + beta * int_B (I - c_b)^2 + L(C),

A the target (phi > 0), B the background, L the length of the contour C = {phi = 0}; its descent is

    dphi/dt = theta(phi) * (div(grad phi / |grad phi|) - mu * ((I - c_a)^2 - (I - c_b)^2)),

theta the derivative of the smoothed Heaviside function H. mu plays the part of beta: how much the regions count against
the length. `chan_vese` is that and no more. `evolve` adds what makes it quick and steady: distance regularization (Li,
Xu, Gui and Fox 2010, double-well potential), so phi stays a distance near its contour and is never re-initialized; a
prior shape psi (the term -(H(phi) - H(psi)) of Chan and Zhu 2005, weighted per pixel); several channels of color and
texture; means of a neighborhood instead of the whole region where light is uneven (Lankton, Tannenbaum 2008); outside
evidence for a pixel (`regions.py`); and a narrow band, coarse to fine. phi is a signed distance in pixels, above 0
inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Weights:
    """What the contour listens to; forces are per iteration, the length term's weight is 1 as in equation 1.

    Attributes:
        mu: the regions' means (equation 2), for features of about unit spread.
        evidence: outside evidence per pixel in -1..1.
        prior: the prior shape.
        length: the length of the contour.
        distance: distance regularization; below 0.25 / step or it is not stable.
        epsilon: half-width of H and its derivative in pixels.
        step: length of an iteration.
        band: half-width of the narrow band in pixels.
        local: radius of the neighborhood that means are taken over; 0 takes the whole region.
    """

    mu: float = 1.0
    evidence: float = 0.0
    prior: float = 0.0
    length: float = 0.2
    distance: float = 0.055
    epsilon: float = 1.5
    step: float = 4.0
    band: float = 6.0
    local: int = 0


def heaviside(phi: Array, epsilon: float) -> Array:
    """1/2 + arctan(phi / epsilon) / pi: 1 inside, 0 outside."""
    result: Array = (0.5 + np.arctan(phi / epsilon) / np.pi).astype(np.float32)
    return result


def derivative(phi: Array, epsilon: float) -> Array:
    """The derivative of `heaviside` by phi."""
    result: Array = (epsilon / (np.pi * (epsilon**2 + phi**2))).astype(np.float32)
    return result


def signed_distance(mask: Mask) -> Array:
    """Distance to the border of a mask in pixels, above 0 inside; zero lies between pixels."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, 1e3 if mask.all() else -1e3, np.float32)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    result: Array = np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)
    return result


def energy(phi: Array, features: Array, beta: float, epsilon: float = 1.0) -> float:
    """Equation 1 for a contour: both regions' variances and the contour's length, per pixel of the picture.

    Args:
        phi: (H, W).
        features: (C, H, W).
    """
    inside = heaviside(phi, epsilon)
    total = 0.0
    for plane in features:
        a, b = _mean(plane, inside), _mean(plane, 1 - inside)
        total += beta * float((inside * (plane - a) ** 2 + (1 - inside) * (plane - b) ** 2).mean())
    across, down = np.gradient(inside)
    return total / len(features) + float(np.hypot(across, down).mean())


def chan_vese(
    gray: Array,
    phi: Array,
    iterations: int,
    mu: float = 1.0,
    step: float = 0.5,
    epsilon: float = 1.0,
    watch: Callable[[int, Array], None] | None = None,
) -> Array:
    """The basic model of equations 1 to 3 on gray values: whole-region means, no regularization, no prior, no band.

    Args:
        gray: (H, W); brought to unit spread, so that `mu` means the same for every picture.
        phi: (H, W) to begin with.
        watch: is shown the number of the iteration and phi after each.
    """
    gray, phi = _unit(gray[None])[0], phi.astype(np.float32).copy()
    for number in range(iterations):
        inside = heaviside(phi, epsilon)
        a, b = _mean(gray, inside), _mean(gray, 1 - inside)
        force = (-mu * ((gray - a) ** 2 - (gray - b) ** 2)).astype(np.float32)
        phi = _full_step(np.pad(phi, 1, mode="edge"), force, np.float32(step), np.float32(epsilon))
        if watch is not None:
            watch(number + 1, phi)
    return phi


def evolve(
    phi: Array,
    features: Array | None,
    weights: Weights,
    iterations: int,
    evidence: Array | None = None,
    prior: Array | None = None,
    prior_weight: Array | None = None,
    levels: int = 1,
    watch: Callable[[int, Array], None] | None = None,
) -> Array:
    """Moves a contour to where the regions part.

    Args:
        phi: (H, W) to begin with, a signed distance near its contour.
        features: (C, H, W) color and texture whose region means count; None leaves them out.
        weights: of the terms.
        iterations: in all, shared among the levels.
        evidence: (H, W) in -1..1, above 0 where a pixel looks like the target.
        prior: (H, W), the signed distance of the prior shape.
        prior_weight: (H, W) in 0..1, how far the prior shape is trusted.
        levels: of the pyramid; the contour moves on the coarsest first, where a step is worth more pixels.
        watch: is shown the number of the iteration and phi (of the full size) after each.

    Returns:
        (H, W) phi, a signed distance near its contour.
    """
    shape = phi.shape
    planes = None if features is None else _unit(features)
    done = 0
    for level in reversed(range(max(1, levels))):
        size = (max(1, shape[1] >> level), max(1, shape[0] >> level))
        scale = np.float32(size[0] / shape[1])
        part = iterations // levels if level else iterations - done
        at = _resized(phi, size) * scale
        shown = None
        if watch is not None:
            shown = _at_full_size(watch, done, shape[::-1], scale)

        at = _run(
            at,
            None if planes is None else np.stack([_resized(plane, size) for plane in planes]),
            weights,
            part,
            None if evidence is None else _resized(evidence, size),
            None if prior is None else _resized(prior, size) * scale,
            None if prior_weight is None else _resized(prior_weight, size),
            shown,
        )
        phi = _resized(at, shape[::-1]) / scale
        done += part
    return phi


def _at_full_size(
    watch: Callable[[int, Array], None], first: int, size: tuple[int, ...], scale: Any
) -> Callable[[int, Array], None]:
    return lambda number, phi: watch(first + number, _resized(phi, size) / scale)


def _run(
    phi: Array,
    planes: Array | None,
    weights: Weights,
    iterations: int,
    evidence: Array | None,
    prior: Array | None,
    prior_weight: Array | None,
    watch: Callable[[int, Array], None] | None,
) -> Array:
    shape = phi.shape
    fixed = np.zeros(shape, np.float32)
    if evidence is not None:
        fixed += np.float32(weights.evidence) * evidence
    force = fixed.copy()
    pull = np.zeros(shape, np.float32)
    if prior is not None:
        pull[:] = weights.prior * (1 if prior_weight is None else prior_weight)
    goal = np.zeros(shape, np.float32) if prior is None else heaviside(prior, weights.epsilon)
    numbers = np.array([weights.length, weights.distance, weights.epsilon, weights.step, weights.band], np.float32)
    phi = phi.clip(-weights.band - 1, weights.band + 1).astype(np.float32)
    framed = np.pad(phi, 1, mode="edge")
    phi = framed[1:-1, 1:-1]
    every = 5
    means = None if planes is None or not weights.mu else _Means(planes, weights)
    for start in range(0, iterations, every):
        # The band is laid anew now and then; in between the contour moves by less than its half-width.
        band = _around(phi, round(weights.band))
        if means is not None:
            force.ravel()[band] = fixed.ravel()[band] + np.float32(weights.mu) * means.force(phi, band)
        count = min(every, iterations - start)
        if watch is None:
            _band_steps(framed, band, force, pull, goal, numbers, count)
            continue
        for number in range(count):
            _band_steps(framed, band, force, pull, goal, numbers, 1)
            watch(start + number + 1, phi.copy())
    return np.ascontiguousarray(phi)


def _around(phi: Array, radius: int) -> npt.NDArray[np.int64]:
    """The pixels within a radius of the contour, by their index in the flat picture."""
    inside = (phi > 0).astype(np.uint8)
    edge = cv2.dilate(inside, np.ones((3, 3), np.uint8)) - inside
    left, top, width, height = cv2.boundingRect(edge)
    if not width:
        return np.zeros(0, np.int64)
    top, left, bottom, right = (
        max(0, top - radius), max(0, left - radius), top + height + radius, left + width + radius
    )  # fmt: skip
    wide = cv2.dilate(edge[top:bottom, left:right], np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
    points = cv2.findNonZero(wide).reshape(-1, 2).astype(np.int64)
    index: npt.NDArray[np.int64] = (points[:, 1] + top) * phi.shape[1] + points[:, 0] + left
    return index


_ENOUGH = 100_000  # pixels that a whole region's mean is taken over


class _Means:
    """What both sides of a contour look like: means of regions or of neighborhoods, in channels (C, H, W)."""

    def __init__(self, planes: Array, weights: Weights) -> None:
        self._planes, self._weights = planes, weights
        self._size = (2 * weights.local + 1, 2 * weights.local + 1)
        self._whole = [cv2.blur(plane, self._size) for plane in planes] if weights.local else []

    def force(self, phi: Array, band: npt.NDArray[np.int64]) -> Array:
        """-((I - c_a)^2 - (I - c_b)^2) in the band, averaged over the channels."""
        total = np.zeros(len(band), np.float32)
        sides = self._near(phi, band) if self._weights.local else self._overall(phi)
        for plane, (a, b) in zip(self._planes, sides, strict=True):
            values = plane.ravel()[band]
            total += (values - b) ** 2 - (values - a) ** 2
        result: Array = (total / np.float32(len(self._planes))).clip(-4, 4)
        return result

    def _near(self, phi: Array, band: npt.NDArray[np.int64]) -> Iterator[tuple[Array, Array]]:
        """Means (N,) inside and outside around each pixel of the band, channel by channel."""
        inside = heaviside(phi, self._weights.epsilon)
        share = cv2.blur(inside, self._size).ravel()[band]
        for plane, whole in zip(self._planes, self._whole, strict=True):
            filled = cv2.blur(inside * plane, self._size).ravel()[band]
            yield filled / np.maximum(share, 1e-3), (whole.ravel()[band] - filled) / np.maximum(1 - share, 1e-3)

    def _overall(self, phi: Array) -> Iterator[tuple[Any, Any]]:
        """Means of all that is inside and outside, channel by channel."""
        step = max(1, int((phi.size / _ENOUGH) ** 0.5))
        inside = heaviside(phi[::step, ::step], self._weights.epsilon)
        for plane in self._planes:
            thin = plane[::step, ::step]
            yield _mean(thin, inside), _mean(thin, 1 - inside)


def _unit(planes: Array) -> Array:
    """Every channel around 0 with a deviation of 1."""
    mean = planes.mean((1, 2), keepdims=True)
    spread = planes.std((1, 2), keepdims=True)
    result: Array = ((planes - mean) / np.maximum(spread, 1e-6)).astype(np.float32)
    return result


def _mean(plane: Array, weight: Array) -> Any:
    total = float(weight.sum(dtype=np.float64))
    return np.float32(float((plane * weight).sum(dtype=np.float64)) / max(total, 1e-6))


def _resized(plane: Array, size: tuple[int, ...]) -> Array:
    if plane.shape[::-1] == tuple(size):
        return plane
    smaller = size[0] < plane.shape[1]
    result: Array = cv2.resize(plane, tuple(size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return result


_quick = partial(njit, nogil=True, cache=True, fastmath=True, error_model="numpy")


@_quick(inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _bend(above: Any, level: Any, below: Any, at: int) -> Any:
    """Curvature of the level line through a pixel, held to 1 per pixel, and the slopes along x and y.

    Args:
        above: a row of phi with a pixel more at either end.
        level: the row below it.
        below: the one below that.
        at: which pixel of `level`, not counting the first.
    """
    half, quarter, one = np.float32(0.5), np.float32(0.25), np.float32(1)
    left, here, right = level[at], level[at + 1], level[at + 2]
    up, down = above[at + 1], below[at + 1]
    px, py = (right - left) * half, (down - up) * half
    pxx, pyy = right - 2 * here + left, down - 2 * here + up
    pxy = (below[at + 2] - below[at] - above[at + 2] + above[at]) * quarter
    squared = px * px + py * py
    bend = (pxx * py * py - 2 * px * py * pxy + pyy * px * px) / (squared * np.sqrt(squared) + np.float32(1e-8))
    return min(max(bend, -one), one), px, py


@_quick()  # type: ignore[untyped-decorator, unused-ignore]
def _full_step(framed: Any, force: Any, step: Any, epsilon: Any) -> Any:
    """One step of equation 2 on every pixel: (H, W) of phi (H + 2, W + 2) with its edge repeated once."""
    result = np.empty_like(force)
    for y in range(force.shape[0]):
        above, level, below = framed[y], framed[y + 1], framed[y + 2]
        for x in range(force.shape[1]):
            here = level[x + 1]
            bend, _, _ = _bend(above, level, below, x)
            theta = epsilon / (np.float32(np.pi) * (epsilon * epsilon + here * here))
            result[y, x] = here + step * theta * (bend + force[y, x])
    return result


# The diffusion rate of the double-well potential (Li et al. 2010, equation 16), sin(2 pi s) / (2 pi s) for slopes s to
# 1, as a polynomial of s squared: smooth, and without a root to draw. Within 1e-5.
_RATE = tuple(
    np.float32(one)
    for one in np.polynomial.Chebyshev.interpolate(lambda squared: np.sinc(2 * np.sqrt(squared)), 6, domain=[0, 1])
    .convert(kind=np.polynomial.Polynomial)
    .coef
)


@_quick(inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _rate(along: Any, across: Any) -> Any:
    """Slopes go to 1 or 0."""
    squared = along * along + across * across
    low, high = min(squared, np.float32(1)), max(squared, np.float32(1))
    a, b, c, d, e, f, g = _RATE
    rate = a + low * (b + low * (c + low * (d + low * (e + low * (f + low * g)))))
    return np.float32(1) - np.float32(1) / np.sqrt(high) if squared >= np.float32(1) else rate


_ARCTAN = tuple(np.float32(one) for one in (0.9998660, -0.3302995, 0.1801410, -0.0851330, 0.0208351))


@_quick(inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _arctan(x: Any) -> Any:
    """Within 1e-5 (Abramowitz and Stegun, 4.4.49)."""
    size, one = abs(x), np.float32(1)
    part = min(size, one) / max(size, one)
    square = part * part
    a, b, c, d, e = _ARCTAN
    turned = part * (a + square * (b + square * (c + square * (d + square * e))))
    wide = np.float32(np.pi / 2) - turned if size > one else turned
    return -wide if x < 0 else wide


@_quick()  # type: ignore[untyped-decorator, unused-ignore]
def _band_steps(framed: Any, band: Any, force: Any, pull: Any, goal: Any, numbers: Any, count: int) -> None:
    """`count` steps on the pixels of the band, in place; the others stay.

    They are taken in runs along the rows, without a branch, so that a processor works on several pixels at once.

    Args:
        framed: (H + 2, W + 2) phi with its edge repeated once.
        band: the pixels by their index in the flat (H, W), in order.
        force: (H, W).
        pull: (H, W), towards `goal`.
        goal: (H, W).
        numbers: weights of length and distance, epsilon, step and half-width of the band.
        count: of steps.
    """
    height, width = force.shape
    new = np.empty(len(band), np.float32)
    first = np.empty(len(band) + 1, np.int64)
    runs = 0
    for place in range(len(band)):
        if place == 0 or band[place] != band[place - 1] + 1 or band[place] % width == 0:
            first[runs] = place
            runs += 1
    first[runs] = len(band)
    for _ in range(count):
        for run in range(runs):
            start, stop = first[run], first[run + 1]
            y, x = band[start] // width, band[start] % width
            end = x + stop - start
            rows = framed[y, x : end + 2], framed[y + 1, x : end + 2], framed[y + 2, x : end + 2]
            _run_step(rows, force[y, x:end], pull[y, x:end], goal[y, x:end], numbers, new[start:stop])
        for run in range(runs):
            start, stop = first[run], first[run + 1]
            y, x = band[start] // width, band[start] % width
            framed[y + 1, x + 1 : x + 1 + stop - start] = new[start:stop]
        framed[0], framed[height + 1] = framed[1], framed[height]
        framed[:, 0], framed[:, width + 1] = framed[:, 1], framed[:, width]


@_quick()  # type: ignore[untyped-decorator, unused-ignore]
def _run_step(rows: Any, force: Any, pull: Any, goal: Any, numbers: Any, new: Any) -> None:
    above, level, below = rows
    length, distance, epsilon, step, limit = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] + 1
    half, quarter, one = np.float32(0.5), np.float32(0.25), np.float32(1)
    for at in range(len(new)):
        bend, px, py = _bend(above, level, below, at)
        here = level[at + 1]
        # What flows over the four sides of the pixel; the slope along a side is the mean of both its pixels'.
        e, w, s, n = level[at + 2] - here, here - level[at], below[at + 1] - here, here - above[at + 1]
        ey = (below[at + 2] - above[at + 2]) * quarter + py * half
        wy = (below[at] - above[at]) * quarter + py * half
        sx = (below[at + 2] - below[at]) * quarter + px * half
        nx = (above[at + 2] - above[at]) * quarter + px * half
        flow = _rate(e, ey) * e - _rate(w, wy) * w + _rate(s, sx) * s - _rate(n, nx) * n
        theta = epsilon / (np.float32(np.pi) * (epsilon * epsilon + here * here))
        shape = half + _arctan(here / epsilon) * np.float32(1 / np.pi)
        drive = length * bend + force[at] + pull[at] * (goal[at] - shape)
        # No step moves the contour by more than about a pixel: a pixel that shouts is no more right.
        drive = min(max(drive, -one), one)
        value = here + step * (distance * flow + theta * drive)
        new[at] = min(max(value, -limit), limit)
