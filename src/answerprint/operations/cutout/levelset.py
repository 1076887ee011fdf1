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
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.kernels.levelset import band_steps, full_step

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LevelSetWeights:
    """Weights of the terms of a level set, per iteration, and its numerics.

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


@dataclass(frozen=True, eq=False)
class LevelSetTerms:
    """The terms that move a contour.

    Attributes:
        weights: of the terms.
        features: (C, H, W) color and texture whose region means count; None leaves them out.
        evidence: (H, W) in -1..1, above 0 where a pixel looks like the target; None leaves it out.
        prior: (H, W), the signed distance of the prior shape; None leaves it out.
    """

    weights: LevelSetWeights
    features: Array | None = None
    evidence: Array | None = None
    prior: Array | None = None

    def at_size(self, size: tuple[int, int]) -> LevelSetTerms:
        """The terms for pictures of another size (width, height); distances are in their pixels."""
        features, evidence, prior = self.features, self.evidence, self.prior
        return LevelSetTerms(
            self.weights,
            None if features is None else np.stack([_resize(plane, size) for plane in features]),
            None if evidence is None else _resize(evidence, size),
            None if prior is None else _resize(prior, size) * np.float32(size[0] / prior.shape[1]),
        )


def heaviside(phi: Array, epsilon: float) -> Array:
    """The smoothed Heaviside function 1/2 + arctan(phi / epsilon) / pi: 1 inside, 0 outside; (H, W) as phi."""
    result: Array = (0.5 + np.arctan(phi / epsilon) / np.pi).astype(np.float32)
    return result


def derivative(phi: Array, epsilon: float) -> Array:
    """The derivative of `heaviside` by phi, (H, W)."""
    result: Array = (epsilon / (np.pi * (epsilon**2 + phi**2))).astype(np.float32)
    return result


def signed_distance(mask: Mask) -> Array:
    """Signed distance (H, W) to the border of a mask (H, W) in pixels, above 0 inside; zero lies between pixels."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, 1e3 if mask.all() else -1e3, np.float32)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    result: Array = np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)
    return result


def energy(phi: Array, features: Array, beta: float, epsilon: float = 1.0) -> float:
    """The energy of equation 1: both regions' variances and the contour's length, per pixel of the picture.

    Args:
        phi: (H, W).
        features: (C, H, W).
        beta: weight of the variances.
        epsilon: half-width of H in pixels.
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
    watch: Callable[[int, Array], None] | None = None,
) -> Array:
    """The basic model of equations 1 to 3 on gray values: whole-region means, no regularization, no prior, no band.

    Args:
        gray: (H, W); brought to unit spread, so that `mu` means the same for every picture.
        phi: (H, W) to begin with.
        iterations: of the descent.
        mu: weight of the regions against the length.
        step: length of an iteration.
        watch: is shown the number of the iteration and phi after each.

    Returns:
        (H, W) phi.
    """
    gray, phi, epsilon = _unit(gray[None])[0], phi.astype(np.float32).copy(), 1.0
    for number in range(iterations):
        inside = heaviside(phi, epsilon)
        a, b = _mean(gray, inside), _mean(gray, 1 - inside)
        force = (-mu * ((gray - a) ** 2 - (gray - b) ** 2)).astype(np.float32)
        phi = full_step(np.pad(phi, 1, mode="edge"), force, np.float32(step), np.float32(epsilon))
        if watch is not None:
            watch(number + 1, phi)
    return phi


def evolve(
    phi: Array,
    terms: LevelSetTerms,
    iterations: int,
    levels: int = 1,
    watch: Callable[[int, Array], None] | None = None,
) -> Array:
    """Moves a contour to where the regions part.

    Args:
        phi: (H, W) to begin with, a signed distance near its contour.
        terms: that move it.
        iterations: in all, shared among the levels.
        levels: of the pyramid; the contour moves on the coarsest first, where a step is worth more pixels.
        watch: is shown the number of the iteration and phi (of the full size) after each.

    Returns:
        (H, W) phi, a signed distance near its contour.
    """
    shape = phi.shape
    if terms.features is not None:
        terms = replace(terms, features=_unit(terms.features))
    first = 0
    for level in reversed(range(max(1, levels))):
        size = (max(1, shape[1] >> level), max(1, shape[0] >> level))
        scale = np.float32(size[0] / shape[1])
        count = iterations // levels if level else iterations - first
        watch_level = None if watch is None else _at_full_size(watch, first, shape[::-1], scale)
        small = _evolve_level(_resize(phi, size) * scale, terms.at_size(size), count, watch_level)
        phi = _resize(small, shape[::-1]) / scale
        first += count
    return phi


def _at_full_size(
    watch: Callable[[int, Array], None], first: int, size: tuple[int, ...], scale: Any
) -> Callable[[int, Array], None]:
    return lambda number, phi: watch(first + number, _resize(phi, size) / scale)


_STEPS_PER_BAND = 5  # in which a contour moves by less than the band's half-width


def _evolve_level(
    phi: Array, terms: LevelSetTerms, iterations: int, watch: Callable[[int, Array], None] | None
) -> Array:
    """`evolve` at one size."""
    shape, weights = phi.shape, terms.weights
    evidence_force = np.zeros(shape, np.float32)
    if terms.evidence is not None:
        evidence_force += np.float32(weights.evidence) * terms.evidence
    force = evidence_force.copy()
    pull = np.zeros(shape, np.float32)
    if terms.prior is not None:
        pull[:] = weights.prior
    goal = np.zeros(shape, np.float32) if terms.prior is None else heaviside(terms.prior, weights.epsilon)
    numbers = np.array([weights.length, weights.distance, weights.epsilon, weights.step, weights.band], np.float32)
    padded_phi = np.pad(phi.clip(-weights.band - 1, weights.band + 1).astype(np.float32), 1, mode="edge")
    phi = padded_phi[1:-1, 1:-1]
    means = None if terms.features is None or not weights.mu else _Means(terms.features, weights)
    for start in range(0, iterations, _STEPS_PER_BAND):
        band = _narrow_band(phi, round(weights.band))
        if means is not None:
            force.ravel()[band] = evidence_force.ravel()[band] + np.float32(weights.mu) * means.force(phi, band)
        count = min(_STEPS_PER_BAND, iterations - start)
        if watch is None:
            band_steps(padded_phi, band, force, pull, goal, numbers, count)
            continue
        for number in range(count):
            band_steps(padded_phi, band, force, pull, goal, numbers, 1)
            watch(start + number + 1, phi.copy())
    return np.ascontiguousarray(phi)


def _narrow_band(phi: Array, radius: int) -> npt.NDArray[np.int64]:
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
    """Means of both sides of a contour, of regions or of neighborhoods, in channels (C, H, W)."""

    def __init__(self, planes: Array, weights: LevelSetWeights) -> None:
        self._planes, self._weights = planes, weights
        self._size = (2 * weights.local + 1, 2 * weights.local + 1)
        self._whole = [cv2.blur(plane, self._size) for plane in planes] if weights.local else []

    def force(self, phi: Array, band: npt.NDArray[np.int64]) -> Array:
        """-((I - c_a)^2 - (I - c_b)^2) in the band, averaged over the channels."""
        total = np.zeros(len(band), np.float32)
        sides = self._neighborhoods(phi, band) if self._weights.local else self._regions(phi)
        for plane, (a, b) in zip(self._planes, sides, strict=True):
            values = plane.ravel()[band]
            total += (values - b) ** 2 - (values - a) ** 2
        result: Array = (total / np.float32(len(self._planes))).clip(-4, 4)
        return result

    def _neighborhoods(self, phi: Array, band: npt.NDArray[np.int64]) -> Iterator[tuple[Array, Array]]:
        """Means (N,) inside and outside around each pixel of the band, channel by channel."""
        inside = heaviside(phi, self._weights.epsilon)
        share = cv2.blur(inside, self._size).ravel()[band]
        for plane, whole in zip(self._planes, self._whole, strict=True):
            inner = cv2.blur(inside * plane, self._size).ravel()[band]
            yield inner / np.maximum(share, 1e-3), (whole.ravel()[band] - inner) / np.maximum(1 - share, 1e-3)

    def _regions(self, phi: Array) -> Iterator[tuple[Any, Any]]:
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


def _resize(plane: Array, size: tuple[int, ...]) -> Array:
    if plane.shape[::-1] == tuple(size):
        return plane
    smaller = size[0] < plane.shape[1]
    result: Array = cv2.resize(plane, tuple(size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return result
