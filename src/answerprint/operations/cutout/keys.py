"""Key frames of a shot: solved from a prior, or found by motion."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from answerprint.frame import Shot
from answerprint.motion import camera, lines
from answerprint.motion.lines import Line
from answerprint.motion.plate import Plate
from answerprint.operations.cutout import levelset, region
from answerprint.operations.cutout import prior as priors
from answerprint.operations.cutout.contours import Strip
from answerprint.operations.cutout.depth import DepthSource, depth_source
from answerprint.operations.cutout.keyframe import solve_key
from answerprint.operations.cutout.params import Params
from answerprint.operations.cutout.prior import Prior
from answerprint.operations.cutout.rough import KeyFrame, shape_from_strokes, shape_in_box
from answerprint.operations.cutout.state import ContourSettings, ContourState, overlap

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_NEIGHBORS = (-4, -2, -1, 1, 2, 4)  # frames off a key frame, by which it is told what moves with the target
_THICK = 0.6  # of how far off a rough shape may be, to either side: what is no thicker may hold a line
_THIN = 4.0  # half of the pixels across of what is thin in any case
_LOST = 0.12  # confidence of a key below which its shape fits nothing
_SPACING = 12  # a key frame every so many frames, where motion shows one
_ALL = 0.6  # share of the picture above which a moving region is no target


@dataclass
class KeyFrames:
    """The key frames of a shot, and how they came about.

    Attributes:
        states: solved key frames by their number in the shot.
        start: what they were found by.
        camera: what the camera does.
        threshold: mean difference of frames (of full scale) that counted as motion.
        depth: what depth was taken from, in words.
        depth_share: share of the moving regions that the depth check left.
        notes: what was special.
    """

    states: dict[int, ContourState] = field(default_factory=dict)
    start: Literal["prior", "motion", "nothing"] = "nothing"
    camera: Literal["static", "moving", "not looked at"] = "not looked at"
    threshold: float = 0.0
    depth: str = ""
    depth_share: float = 1.0
    notes: tuple[str, ...] = ()


def contour_settings(params: Params) -> ContourSettings:
    """The settings of the search for contours that the parameters ask for."""
    base = ContourSettings()
    weights = replace(
        base.weights,
        mu=params.mean_weight,
        evidence=params.evidence_weight,
        prior=params.prior_weight,
        length=params.smoothness,
        local=params.mean_radius,
    )
    return replace(base, weights=weights, iterations=params.iterations, search=params.search, plate=params.plate_weight)


def chan_vese_contour(strip: Strip, number: int, phi: Array, params: Params) -> Array:
    """The contour (H, W) of a frame by the basic model alone, from that of the frame before (H, W)."""
    gray = (strip.gray(number) / np.float32(255)).astype(np.float32)
    return levelset.signed_distance(levelset.chan_vese(gray, phi, params.iterations) > 0)


# ------------------------------------------------------------------------------------------------------ from a prior


def keys_from_prior(strip: Strip, sources: dict[int, tuple[priors.Source, Path]], params: Params) -> KeyFrames:
    """Solves the key frames that a prior names, by their numbers in the shot.

    Raises:
        SettingsError: a prior is empty, full, or of another shape than the clip.
        MediaError: a prior cannot be read.
    """
    keys = KeyFrames(start="prior")
    for number, (source, file) in sorted(sources.items()):
        state = _solve(strip, number, priors.read(source, file, strip.size, strip.work), params)
        keys.states[number] = state
        name = f"frame {number + params.start_number}" if len(sources) > 1 else "the key frame"
        if state.lines:
            count = len(state.lines)
            many = "1 thin part is followed as a line" if count == 1 else f"{count} thin parts are followed as lines"
            keys.notes += (f"{many} from {name}",)
        if state.confidence < _LOST:
            keys.notes += (f"the prior of {name} fits no region: is it on the target?",)
    return keys


def _solve(strip: Strip, number: int, prior: Prior, params: Params) -> ContourState:
    """The contour of a key frame, and its thin parts."""
    settings = contour_settings(params)
    neighbors = tuple(strip[number + off] for off in _NEIGHBORS if 0 <= number + off < len(strip))
    key = KeyFrame(strip[number], prior.foreground, prior.background, neighbors, Plate(strip.plates, number))
    shape = shape_from_strokes(key, settings) if prior.shape is None else prior.shape
    shape = (shape | prior.foreground) & ~prior.background
    rough = levelset.signed_distance(shape)
    if params.model == "chan-vese":
        return ContourState(chan_vese_contour(strip, number, rough, params), 0.5)
    slack = _slack(shape, params)
    if prior.is_box:
        # The box holds all of the target, but its corners do not.
        box, slack = shape, max(slack, 0.2 * float(np.sqrt(shape.sum())))
        shape = shape_in_box(key, box, slack, settings)
        if (shape != box).any():
            rough, slack = levelset.signed_distance(shape), _slack(shape, params)
    # What is thin is looked for on its own: areas would fill the margin that was painted around it.
    thin: tuple[Line, ...] = ()
    if params.thin:
        thin, bands = lines.find(key.picture, shape, max(_THICK * slack, _THIN))
        shape = shape & ~bands
        rough = levelset.signed_distance(shape) if thin else rough
        if not shape.any():
            return ContourState(rough, 1.0, thin)
    state, _ = solve_key(key, rough, slack, settings)
    return replace(state, lines=thin)


def _slack(shape: Mask, params: Params) -> float:
    """Pixels that a rough shape may be off."""
    return float(np.clip(params.tolerance / 100 * np.sqrt(shape.sum()), 2, 80)) if params.tolerance else 0.0


# -------------------------------------------------------------------------------------------------------- by motion


@dataclass(frozen=True, eq=False)
class _MovingRegion:
    """The moving region (H, W) of a frame.

    Attributes:
        mask: (H, W) bool.
        threshold: difference that counted as motion, of full scale.
        depth_share: share of the region that the depth check left.
        camera_moves: whether the camera moves.
    """

    mask: Mask
    threshold: float
    depth_share: float
    camera_moves: bool


def keys_from_motion(strip: Strip, shot: Shot, params: Params) -> KeyFrames:
    """Solves key frames where something moves, one every so many frames.

    Raises:
        MediaError: the depth clip or network cannot be read.
        SettingsError: the depth clip is too short.
    """
    if len(strip) < 2:
        return KeyFrames(notes=("one frame: nothing can move; give a prior",))
    keys = KeyFrames(start="motion")
    if len(strip) == 2:
        keys.notes += ("two frames: the difference of two is used, not of three",)
    depth = depth_source(strip, shot, params)
    regions = list[_MovingRegion]()
    for first in range(0, len(strip), _SPACING):
        stop = min(first + _SPACING, len(strip))
        best: tuple[float, int, ContourState] | None = None
        for number in sorted({(3 * first + stop) // 4, (first + 3 * stop) // 4}):
            moving = _moving_region(strip, number, depth, params)
            regions.append(moving)
            if not moving.mask.any() or moving.mask.mean() > _ALL:
                continue
            none = np.zeros_like(moving.mask)
            state = _solve(strip, number, Prior(moving.mask, none, none), params)
            score = state.confidence * overlap(state.phi > 0, moving.mask)
            if (state.phi > 0).any() and (best is None or score > best[0]):
                best = (score, number, state)
        if best is not None:
            keys.states[best[1]] = replace(best[2], confidence=best[2].confidence * 0.8)
    keys.states = _of_like_size(keys.states)
    keys.depth = depth.name
    keys.camera = "moving" if np.mean([one.camera_moves for one in regions]) > 0.5 else "static"
    keys.threshold = float(np.mean([one.threshold for one in regions]))
    keys.depth_share = float(np.mean([one.depth_share for one in regions]))
    if depth.bad:
        keys.notes += (f"depth holds NaN or infinity in {depth.bad} frames; it counts as unknown there",)
    if not keys.states:
        keys.start = "nothing"
        keys.notes += ("nothing moves that could be cut out; give a prior",)
    return keys


def _of_like_size(states: dict[int, ContourState]) -> dict[int, ContourState]:
    """The keys without those that are far smaller or larger than most: only a part of the target moved."""
    if len(states) < 2:
        return states
    sizes = {number: int((state.phi > 0).sum()) for number, state in states.items()}
    middle = float(np.median(list(sizes.values())))
    return {n: s for n, s in states.items() if 0.4 * middle <= sizes[n] <= 2.5 * middle} or states


def _moving_region(strip: Strip, number: int, depth: DepthSource, params: Params) -> _MovingRegion:
    picture, gray = strip[number], strip.gray(number)
    differences, cues, changes, known_planes, camera_moves = [], [], [], [], False
    for other in (number - 1, number + 1):
        if not 0 <= other < len(strip):
            continue
        vectors, _ = strip.flows(number, other)
        motion = camera.STATIC if params.camera == "static" else camera.dominant_motion(vectors)
        motion = replace(motion, moving=True) if params.camera == "moving" else motion
        camera_moves |= motion.moving
        differences.append(region.difference(picture, strip[other], motion))
        cues.append(region.depth_cue(vectors, motion, gray))
        change, known = depth.change(number, other, vectors, cues[-1])
        changes.append(change)
        known_planes.append(known)
    mask, threshold = region.motion_mask(differences, params.threshold, params.level)
    mask = region.clean(region.fill(mask, cues))
    depth_known: Mask | None = None if depth.is_cue else np.logical_or.reduce(known_planes)
    mask, share = region.check_depth(mask, np.maximum.reduce(changes), depth_known, params.depth_influence)
    return _MovingRegion(mask, threshold, share, camera_moves)
