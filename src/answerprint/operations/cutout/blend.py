"""Two contours of one frame, propagated from the keys on both its sides, made one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from answerprint.color.bins import features
from answerprint.motion.layers import CropWindow, View, remove_stray_pieces
from answerprint.motion.plate import Plate
from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.regions import Regions, odds
from answerprint.operations.cutout.state import (
    MARGIN,
    Array,
    Box,
    ContourSettings,
    ContourState,
    Mask,
    Picture,
    box_of,
    dilate,
    evolve_contour,
    level_set_terms,
    overlap,
    region_weights,
)

_DOUBT = 0.1  # error of a contour that was not propagated at all
_APART = 4.0  # pixels between two contours up to which their mean is a contour
_ALIKE = 0.95  # overlap of two contours from which on they are one


@dataclass(frozen=True, eq=False)
class BlendEvidence:
    """The evidence by which a pixel is decided where two contours differ.

    Attributes:
        picture: (H, W, 3) uint8, the frame.
        palette: what target and background look like in the key frames (`palette_of`).
        settings: of the contour.
        plate: the frame's clean plate; None does without.
    """

    picture: Picture
    palette: Regions
    settings: ContourSettings
    plate: Plate | None = None


def palette_of(keys: Sequence[tuple[Picture, ContourState]]) -> Regions:
    """Colors of target and background in key frames, as a whole."""
    regions = Regions((1, 1))  # it learns no neighborhoods
    for picture, state in keys:
        regions.anchor(features(picture), *region_weights(state.phi))
    return regions


def blend(
    first: ContourState,
    second: ContourState,
    nearness: float,
    arrival: tuple[float, float],
    evidence: BlendEvidence | None = None,
) -> ContourState:
    """Blends two contours of one frame, propagated there from the keys on both its sides.

    A contour errs the more, the farther it was propagated, by as much as it was off when it reached the other key: that
    is known. Distances are averaged where the two are a few pixels apart; farther apart a mean of both shapes is
    neither, and the surer one decides, with what the picture looks like there.

    Args:
        first: propagated from the key before.
        second: propagated from the key after.
        nearness: 1 at the first's key, 0 at the second's.
        arrival: the overlap (0..1) of each with the other's key when it got there.
        evidence: what decides where they differ; None leaves it to the trust in either.
    """
    agreement = overlap(first.phi > 0, second.phi > 0)
    a = propagation_weight(first, 1 - nearness, arrival[0])
    b = propagation_weight(second, nearness, arrival[1])
    sharp = 1 + 4 * (1 - agreement)
    share = a**sharp / (a**sharp + b**sharp)
    phi = share * first.phi.clip(-_APART, _APART) + (1 - share) * second.phi.clip(-_APART, _APART)
    confidence = share * first.confidence + (1 - share) * second.confidence
    if evidence is not None and agreement < _ALIKE:
        phi = _arbitrate(phi, first.phi, second.phi, share, evidence)
    lines = first.lines if nearness >= 0.5 else second.lines
    return ContourState(levelset.signed_distance(phi > 0), confidence * (0.4 + 0.6 * agreement), lines)


def propagation_weight(state: ContourState, distance: float, arrival: float) -> float:
    """Confidence of a propagated contour, falling with distance from its key and with its error at the other.

    Args:
        state: the propagated contour.
        distance: from its key, as a share (0..1) of the way to the other key.
        arrival: its overlap (0..1) with the other key when it got there.
    """
    return (state.confidence**3 + 1e-9) * (_DOUBT + arrival) / (_DOUBT + distance * (1 - arrival))


def _arbitrate(mean: Array, first: Array, second: Array, share: float, evidence: BlendEvidence) -> Array:
    """Decides by color and trust where one contour holds a pixel and the other does not.

    So does the clean plate, the more the less the two have in common: where a target passed behind something, each may
    hold a part of it.

    Args:
        mean: (H, W) blended signed distances.
        first: (H, W) signed distance.
        second: (H, W) signed distance.
        share: trust in the first, 0..1.
        evidence: the frame and what is known of it.
    """
    settings = evidence.settings
    either = (first > 0) | (second > 0)
    box = box_of(either, MARGIN // 2)
    colors, a, b = features(evidence.picture[box]), first[box] > 0, second[box] > 0
    regions = Regions((a.shape[0], a.shape[1]), settings.cell)
    regions.whole = evidence.palette.whole
    both, neither = np.minimum(first[box], second[box]), np.maximum(first[box], second[box])
    regions.learn(colors, region_weights(both)[0], region_weights(neither)[1])
    doubtful = a != b
    chance = regions.ask(colors, dilate(doubtful, 2))
    vote = float(np.clip(np.log(share / max(1 - share, 1e-6)), -4, 4))
    likely = np.where(a, vote, -vote) + settings.blend_color * odds(chance)
    if evidence.plate is not None and settings.plate:
        lead = (first if share > 0.5 else second)[box]
        plate_odds = _plate_odds(evidence.plate, evidence.picture, box, np.maximum(first, second)[box], lead > 0)
        likely += settings.plate * settings.blend_plate * (1 - overlap(a, b)) ** 2 * plate_odds
    weight = np.where(doubtful, np.tanh(likely / 2), np.where(a, 1, -1)).astype(np.float32)
    weight = cv2.GaussianBlur(weight, (0, 0), 0.7)
    start = levelset.signed_distance(remove_stray_pieces(weight > 0, either[box]))
    terms = level_set_terms(settings.weights, weight, mean[box], colors)
    phi = evolve_contour(start, terms, settings.iterations)
    result = mean.copy()
    result[box] = np.where(dilate(doubtful, 1), phi, mean[box])
    return result


def _plate_odds(plate: Plate, picture: Picture, box: Box, phi: Array, lead: Mask) -> Array:
    """Log odds in a box by the clean plate, with the motion of the contour that is trusted more."""
    window = CropWindow.of(box)
    view = View.of(np.ascontiguousarray(picture[box]))
    return plate.odds(view, window, phi, plate.away(lead, window))
