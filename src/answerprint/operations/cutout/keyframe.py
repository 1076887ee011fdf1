"""The contour of a key frame, solved from its rough shape in a few rounds of learning and moving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.color.bins import features
from answerprint.motion.layers import CropWindow, DistantFrame, View, remove_stray_pieces, target_motion_evidence
from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.regions import Regions, odds
from answerprint.operations.cutout.rough import KeyFrame, fit_shape
from answerprint.operations.cutout.state import (
    FAR,
    MARGIN,
    Array,
    ContourSettings,
    ContourState,
    Mask,
    Picture,
    box_of,
    certainty,
    evolve_contour,
    level_set_terms,
    paste,
    region_weights,
    shrink_contour,
    shrink_picture,
)


def solve_key(key: KeyFrame, prior: Array, slack: float, settings: ContourSettings) -> tuple[ContourState, Array]:
    """Solves the contour of a key frame from its rough shape.

    Args:
        key: the key frame.
        prior: (H, W) signed distance of the rough shape.
        slack: how far off the rough shape may be, in pixels.
        settings: of the contour.

    Returns:
        The state, and the evidence (H, W) in -1..1 of the last round.
    """
    if 0 < (prior > 0).sum() < settings.small_target**2:
        return _solve_doubled(key, prior, slack, settings)
    return _KeySolver(key, prior, slack, settings).solve()


def _solve_doubled(key: KeyFrame, prior: Array, slack: float, settings: ContourSettings) -> tuple[ContourState, Array]:
    """`solve_key` at twice the size: of a small target a neighborhood of colors would hold all of it."""
    height, width = prior.shape

    def double(plane: npt.NDArray[Any], interpolation: int = cv2.INTER_CUBIC) -> npt.NDArray[Any]:
        return np.asarray(cv2.resize(plane, (2 * width, 2 * height), interpolation=interpolation))

    def double_mask(mask: Mask) -> Mask:
        return double(mask.astype(np.uint8), cv2.INTER_NEAREST) > 0

    large = KeyFrame(
        double(key.picture),
        double_mask(key.foreground),
        double_mask(key.background),
        tuple(double(other) for other in key.neighbors),
        None if key.plate is None else replace(key.plate, scale=key.plate.scale / 2),
    )
    large_prior = levelset.signed_distance(double(prior, cv2.INTER_LINEAR) > 0)
    state, large_evidence = solve_key(large, large_prior, 2 * slack, replace(settings, small_target=0.0))
    phi, evidence = (
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in (state.phi, large_evidence)
    )
    return replace(state, phi=levelset.signed_distance(phi > 0)), np.asarray(evidence, np.float32)


class _KeySolver:
    """Rounds of learning what target and background look like, and moving the contour to where they part.

    The arguments are those of `solve_key`; all planes are those of a box around the rough shape.
    """

    def __init__(self, key: KeyFrame, prior: Array, slack: float, settings: ContourSettings) -> None:
        self._key, self._prior, self._slack, self._settings = key, prior, slack, settings
        self._box = box_of(prior > -slack, MARGIN)
        self._colors = features(key.picture[self._box])
        self._view = View.of(np.ascontiguousarray(key.picture[self._box]))
        self._window = CropWindow.of(self._box)
        self._inset = np.float32(min(slack, 0.5 * float(prior.max())))
        self._motion = _MotionComparison(key.picture, key.neighbors, settings)
        rough = np.ascontiguousarray(prior[self._box])
        self._rough = self._phi = rough
        self._reachable = rough > -slack
        # The rough shape is right deep inside and far outside; in between it is a guess.
        self._inside = (rough / max(slack, 1.0)).clip(0.05, 1) * (rough > 0)
        self._outside = (((-rough / max(slack, 1.0)) - 0.2).clip(0, 1) * (rough > -FAR)).astype(np.float32)
        self._motion_odds = self._plate_odds = np.zeros(rough.shape, np.float32)

    def solve(self) -> tuple[ContourState, Array]:
        """The state of the key frame, and the evidence (H, W) in -1..1 of the last round."""
        chance = np.full(self._rough.shape, 0.5, np.float32)
        evidence = np.zeros(self._rough.shape, np.float32)
        for number in range(self._settings.key_rounds):
            chance = self._learn(number)
            if number < 2:
                self._compare(number)
            if number == 0 and self._slack >= 1:
                log_odds = -odds(chance) - self._motion_odds - self._plate_odds
                self._rough = self._phi = fit_shape(
                    self._rough, (1 / (1 + np.exp(log_odds))).astype(np.float32), self._slack
                )
            evidence = self._evidence(chance)
            self._move(evidence)
            if number:
                self._phi = levelset.signed_distance(remove_stray_pieces(self._phi > 0, self._phi > 0))
            softness = self._settings.label_softness
            inside, outside = region_weights(self._phi)
            # What doubtful pixels teach is shared: a key frame must not talk itself into its own errors.
            self._inside = inside * (1 - softness + softness * chance)
            self._outside = np.maximum(outside, softness * (1 - chance) * (self._phi > 0))
        whole = np.full(self._prior.shape, -1, np.float32)
        whole[self._box] = evidence
        phi = paste(self._phi, self._box, self._prior.shape)
        return ContourState(phi, certainty(self._phi, chance)), whole

    def _learn(self, number: int) -> Array:
        """The chance in 0..1 that each pixel belongs to the target, by the colors of both sides so far."""
        cell = self._settings.key_cell * (2 if number == 0 else 1)
        regions = Regions((self._rough.shape[0], self._rough.shape[1]), cell, trust=6.0)
        regions.learn(self._colors, self._inside.astype(np.float32), self._outside)
        regions.anchor(self._colors, self._inside.astype(np.float32), self._outside)
        return regions.ask(self._colors, self._rough > -self._slack - 2)

    def _compare(self, number: int) -> None:
        """Works out the log odds by motion against the neighbors, and by the clean plate."""
        settings, plate = self._settings, self._key.plate
        if self._key.neighbors and settings.key_motion:
            known = self._prior - self._inset if number == 0 else paste(self._phi, self._box, self._prior.shape)
            self._motion_odds = settings.key_motion * self._motion.evidence(known)[self._box]
        if plate is not None and settings.plate:
            away = plate.away((self._rough - self._inset if number == 0 else self._phi) > 0, self._window)
            plate_odds = plate.odds(self._view, self._window, self._rough, away)
            self._plate_odds = settings.plate * settings.key_plate * plate_odds

    def _evidence(self, chance: Array) -> Array:
        """Evidence in -1..1 by color, motion, the clean plate, the rough shape and what is surely known."""
        likely = self._settings.key_color * odds(chance) + self._motion_odds + self._plate_odds + self._prior_odds()
        evidence = cv2.GaussianBlur(np.tanh(likely / 2).astype(np.float32), (0, 0), 0.8)
        evidence[~self._reachable] = -1
        evidence[self._key.foreground[self._box]] = 1
        evidence[self._key.background[self._box]] = -1
        return np.asarray(evidence)

    def _prior_odds(self) -> Array:
        """Log odds by the rough shape: a guess as deep as it may be off, surer farther in."""
        settings, depth = self._settings, self._rough / max(self._slack, 1.0)
        likely = settings.key_prior * depth.clip(-1, 1) + settings.key_depth * (depth - 1).clip(0, 2)
        return np.asarray(likely, np.float32)

    def _move(self, evidence: Array) -> None:
        weights = replace(self._settings.weights, prior=0.75 * self._settings.weights.prior)
        terms = level_set_terms(weights, evidence, self._rough, self._colors)
        self._phi = evolve_contour(self._phi, terms, self._settings.iterations * 2, 2)


class _MotionComparison:
    """Evidence by motion that a key frame's pixels belong to the target, from frames beside it."""

    def __init__(self, picture: Picture, neighbors: Sequence[Picture], settings: ContourSettings) -> None:
        self._scale = max(1.0, max(picture.shape) / settings.key_side)
        self._key = View.of(shrink_picture(picture, self._scale))
        self._neighbors = [
            DistantFrame.of(self._key, View.of(shrink_picture(other, self._scale))) for other in neighbors
        ]

    def evidence(self, phi: Array) -> Array:
        """Mean of `target_motion_evidence` (H, W) over the neighbors, by a contour (H, W)."""
        small = shrink_contour(phi, self._scale)
        if not (small > 0).any():
            return np.zeros_like(phi)
        planes = [target_motion_evidence(self._key, other, small) for other in self._neighbors]
        result: Array = cv2.resize(np.mean(planes, axis=0), phi.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return result
