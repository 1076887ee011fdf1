"""Contours of single frames: the settings of the search for them, their state, and steps that several files share.

A contour is the zero line of phi, a signed distance (H, W) float32 in pixels, above 0 inside the target. Pictures are
(H, W, 3) uint8 R'G'B', masks (H, W) bool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.motion.layers import bounding_box
from answerprint.motion.lines import Line, draw
from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.levelset import LevelSetTerms, LevelSetWeights

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice]

FAR = 64.0  # background farther from the contour than this says nothing about it
MARGIN = 80  # pixels around a contour that are looked at with it


@dataclass(frozen=True)
class ContourSettings:
    """Weights and sizes of the search for contours; weights of evidence are in log odds.

    Attributes:
        weights: of the level set.
        iterations: of the level set per frame.
        search: how far from the propagated contour the new one may lie, in pixels.
        cell: side of a histogram's cell in pixels of the picture.
        decay: share of a frame's neighborhood histograms that counts in the next.
        window_pixels: of the window around the target; where it would hold more, the pictures are made smaller.
        propagated_prior: weight of a pixel of distance from the propagated contour, where the key does not fit.
        key_memory: weight of a pixel of distance from the warped contour of the key frame, where it fits.
        color: weight of the color histograms.
        least_color: share of that where color did badly in the frame before.
        appearance: weight of resembling a layer's picture.
        motion: weight of moving like a layer.
        target_bias: in the target's favor beside a key: what is lost there is hardly recovered.
        bias_frames: frames after which that is a third.
        plate: weight of differing from the clean plate.
        key_rounds: of learning and moving at a key frame.
        key_cell: side of a histogram's cell in pixels at a key frame, where the shape is rough.
        small_target: root of a target's pixels below which its key frame is solved at twice its size.
        label_softness: how much the doubtful pixels of a key frame teach as what they look like, not as where they are.
        key_motion: weight of moving with the target at a key frame.
        key_color: weight of color at a key frame.
        key_prior: weight of the rough shape at a key frame.
        key_depth: more of that deeper inside than the shape may be off, for every such distance.
        key_side: long side in pixels at which motion is compared at a key frame.
        key_plate: factor on `plate` at a key frame.
        blend_color: weight of color between the contours of two keys.
        blend_plate: factor on `plate` between the contours of two keys, where they have nothing in common.
    """

    weights: LevelSetWeights = field(
        default_factory=lambda: LevelSetWeights(mu=0.0, evidence=1.0, prior=0.2, length=0.15)
    )
    iterations: int = 20
    search: float = 24.0
    cell: int = 32
    decay: float = 0.75
    window_pixels: int = 90_000
    propagated_prior: float = 0.25
    key_memory: float = 2.0
    color: float = 1.5
    least_color: float = 0.4
    appearance: float = 0.8
    motion: float = 1.0
    target_bias: float = 0.7
    bias_frames: float = 6.0
    plate: float = 1.0
    key_rounds: int = 4
    key_cell: int = 48
    small_target: float = 100.0
    label_softness: float = 0.5
    key_motion: float = 1.0
    key_color: float = 1.0
    key_prior: float = 0.5
    key_depth: float = 1.0
    key_side: int = 432
    key_plate: float = 0.7
    blend_color: float = 1.0
    blend_plate: float = 6.0


@dataclass(frozen=True)
class ContourState:
    """The contour of a solved frame.

    Attributes:
        phi: (H, W) signed distance of the target's areas.
        confidence: 0..1.
        lines: parts that are too thin for a contour.
    """

    phi: Array
    confidence: float
    lines: tuple[Line, ...] = ()

    def planes(self) -> Array:
        """(1 or 2, H, W) signed distances: of the areas and, where there are any, of the thin parts."""
        if not self.lines:
            return self.phi[None]
        return np.stack((self.phi, draw(self.lines, self.phi.shape[0], self.phi.shape[1])))


def region_weights(phi: Array) -> tuple[Array, Array]:
    """Weights (H, W) in 0..1 with which pixels teach the inside and the outside of a contour."""
    inside = (phi + 0.25).clip(0, 1).astype(np.float32)
    outside = ((-phi - 0.25).clip(0, 1) * (phi > -FAR)).astype(np.float32)
    return inside, outside


def level_set_terms(weights: LevelSetWeights, evidence: Array, prior: Array, colors: Picture) -> LevelSetTerms:
    """Terms of a level set with the means of color and texture, where they have a weight.

    Args:
        weights: of the terms.
        evidence: (H, W) in -1..1.
        prior: (H, W) signed distance of the prior shape.
        colors: (H, W, 3) from `color.bins.features`.
    """
    return LevelSetTerms(weights, color_and_texture(colors) if weights.mu else None, evidence, prior)


def color_and_texture(colors: Picture) -> Array:
    """(4, H, W) features of equation 2: L, a, b and the deviation of L near by."""
    lab = colors.astype(np.float32)
    light = lab[..., 0]
    mean = cv2.blur(light, (7, 7))
    texture = np.sqrt(np.maximum(cv2.blur(light * light, (7, 7)) - mean * mean, 0))
    return np.stack([light, lab[..., 1], lab[..., 2], texture])


def evolve_contour(phi: Array, terms: LevelSetTerms, iterations: int, levels: int = 1) -> Array:
    """Moves a contour by `levelset.evolve`; returns its signed distance (H, W) everywhere."""
    return levelset.signed_distance(levelset.evolve(phi, terms, iterations, levels) > 0)


def certainty(phi: Array, chance: Array) -> float:
    """Clearness of a contour, 0..1: mean of |2 p - 1| of the right sign within 4 pixels of it.

    Args:
        phi: (H, W).
        chance: (H, W) in 0..1 that a pixel belongs to the target.
    """
    edge = np.abs(phi) < 4
    if not edge.any():
        return 0.0
    right = np.where(phi > 0, 2 * chance - 1, 1 - 2 * chance)
    return float(right[edge].clip(0, 1).mean())


def overlap(a: Mask, b: Mask) -> float:
    """Intersection over union of two masks (H, W); 1 for two empty ones."""
    union = int((a | b).sum())
    return 1.0 if union == 0 else int((a & b).sum()) / union


def dilate(mask: Mask, reach: float) -> Mask:
    """A mask (H, W) wider by `reach` pixels, rounded and at least 1, on every side."""
    side = 2 * max(1, round(reach)) + 1
    wide: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return wide


def box_of(mask: Mask, margin: int) -> Box:
    """The box of a mask (H, W) with a margin in pixels; the whole picture for an empty mask."""
    return bounding_box(mask, margin) or (slice(0, mask.shape[0]), slice(0, mask.shape[1]))


def paste(part: Array, box: Box, shape: Sequence[int]) -> Array:
    """A signed distance over a box, put into a picture of `shape` (H, W) that is outside everywhere else."""
    result = np.full(shape, -1e3, np.float32)
    result[box] = part
    return result


def shrink_picture(picture: Picture, scale: float) -> Picture:
    """A picture (H, W, 3) `scale` times smaller, by area."""
    if scale == 1:
        return picture
    size = (max(1, round(picture.shape[1] / scale)), max(1, round(picture.shape[0] / scale)))
    result: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return result


def shrink_contour(phi: Array, scale: float) -> Array:
    """The signed distance (h, w) of a contour `scale` times smaller."""
    if scale == 1:
        return phi
    size = (max(1, round(phi.shape[1] / scale)), max(1, round(phi.shape[0] / scale)))
    share = cv2.resize((phi > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return levelset.signed_distance(share > 0.5)
