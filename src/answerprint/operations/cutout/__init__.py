"""Cutout: from a rough shape, or from motion alone, to a matte that holds through the shot.

The method of AEPR section 3.1: a region of interest from the difference of three frames, checked against depth; what
the user knows of the shape as a prior; an edge-free active contour (equations 1 to 3) driven by both.

Region. Without a prior the shot is searched for what moves: camera motion and flicker are taken out, two difference
images are thresholded and joined by AND, cleaned, and a piece counts as far as its depth changes (`depth_influence`).
Depth is a Z channel, a clip or a model's output, or by default a cue of our own, which is relative and no measurement:
motion parallax after camera compensation, and focus. The best frames so found become key frames.

Contour. At a key frame the rough shape is placed to fit, and a level set moves to where target and background part:
color histograms per neighborhood and of the whole (weight `beta`), means of color and texture (weight `mu`, equation
2), the prior shape, the length of the contour, distance regularization (Li et al. 2010). Between keys it is carried
along optical flow, forward and backward, and blended by nearness and confidence. Other shots' key frames do not count.
Frames up to 12 before and after show the background behind the target, a clean plate: what differs from it is the
target's, whatever it looks like.
Ropes, wires and rods, which a contour cannot hold, are found as lines in the narrow parts of the prior and followed as
such (`thin`).

Edge. Alpha in a band by the guided filter (He et al. 2010) or in closed form (Levin et al. 2008); foreground colors are
freed from the background.

The prior is a mask for the clip's first frame (mask.png), a sequence that names its key frames by its numbers
(mask.%04d.png: frame numbers of the clip from 0, or from `numbered_from`), or a JSON file: {"keys": [{"frame": 0,
"box": [left, top, right, bottom]}]}, with "polygon", "mask", and "foreground" and "background" strokes as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from answerprint.assets import Assets
from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame, Shot
from answerprint.motion import camera as motion
from answerprint.motion import lines
from answerprint.motion.lines import Line
from answerprint.motion.plate import Plate
from answerprint.operations.cutout import levelset, matting, tracking
from answerprint.operations.cutout import prior as _prior
from answerprint.operations.cutout.contours import Contours, SavedContours, Strip
from answerprint.settings import Settings

HANDLES = 0  # the contour of every frame is in an asset
OWN = ("findings", "finite", "matte", "makes matte")

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Params(Settings):
    """What is cut out and how its edge is."""

    prior: Path | None = Field(
        None, description="Rough shape: a mask for the first frame, mask.%04d.png for several, or keys.json."
    )
    deliver: Literal["matte", "alpha", "keep"] = Field(
        "matte",
        description="matte: the picture becomes the matte; alpha: the target with the matte as its alpha; "
        "keep: the picture stays, the matte is for the operations after.",
    )
    alpha: Literal["auto", "straight", "premultiplied"] = Field(
        "auto",
        description="deliver alpha: color as it is or multiplied by alpha; auto: premultiplied in EXR, else straight.",
    )
    numbered_from: int = Field(0, ge=0, description="Number of the clip's first frame in the prior's numbers.")
    slack: float = Field(
        12.0, ge=0, le=100, description="How far off a rough shape may be, in percent of the target's size."
    )
    model: Literal["regions", "chan-vese"] = Field(
        "regions", description="regions: our contour; chan-vese: the basic model alone, to compare."
    )
    beta: float = Field(1.0, ge=0, le=10, description="Weight of what target and background look like, near by.")
    mu: float = Field(0.05, ge=0, le=10, description="Weight of the means of color and texture (equation 2).")
    shape: float = Field(0.2, ge=0, le=10, description="Weight of the prior shape.")
    smooth: float = Field(0.15, ge=0, le=10, description="Weight of the contour's length.")
    plate: float = Field(
        1.0, ge=0, le=10, description="Weight of what differs from the background that other frames show; 0: none."
    )
    local: int = Field(24, ge=0, le=500, description="Radius in pixels of the means; 0 takes the whole region.")
    iterations: int = Field(20, ge=1, le=1000, description="Steps of the contour per frame.")
    search: float = Field(24.0, ge=1, le=200, description="Pixels that the contour may be off what the flow says.")
    camera: Literal["auto", "static", "moving"] = Field("auto", description="Whether camera motion is taken out first.")
    threshold: Literal["noise", "otsu"] = Field("noise", description="How the difference of frames is thresholded.")
    level: float = Field(0.0, ge=0, le=1, description="A fixed threshold of the difference instead; 0 finds one.")
    depth: Path | None = Field(None, description="Clip or sequence of depth, frame by frame like the clip.")
    depth_model: Path | None = Field(None, description="Monocular depth network: .onnx, or TorchScript (.pt).")
    depth_influence: float = Field(
        0.5, ge=0, le=1, description="How much a moving region must change its depth to count; 0 ignores depth."
    )
    detail: int = Field(960, ge=64, le=8192, description="Long side in pixels at which the contour is found.")
    thin: bool = Field(True, description="Look for ropes, wires and rods in the narrow parts of a prior.")
    edge: Literal["guided", "closed-form", "hard"] = Field(
        "guided", description="How the edge gets soft; closed-form is slow and for hair."
    )
    band: float = Field(5.0, ge=0, le=200, description="Half-width of the soft band in pixels.")
    feather: float = Field(0.0, ge=0, le=200, description="Blur of the finished matte, in pixels.")
    grow: float = Field(0.0, ge=-200, le=200, description="Pixels that the contour is grown by; below 0 it shrinks.")
    decontaminate: bool = Field(True, description="Free edge colors from the background (deliver alpha).")


class Findings(Settings):
    """Where the contour came from and how sure it is; the contours themselves are an asset."""

    contours: str = Field("", description="Asset that holds the contours; empty where nothing was found.")
    start: Literal["prior", "motion", "nothing"] = Field("nothing", description="What the target was found by.")
    keys: tuple[int, ...] = Field((), description="Frames of the clip that the contour was started on.")
    camera: Literal["static", "moving", "not looked at"] = Field("not looked at", description="What the camera did.")
    threshold: float = Field(0.0, description="Difference of frames (of full scale) that counted as motion.")
    depth: str = Field("", description="What depth was taken from.")
    depth_kept: float = Field(1.0, description="Share of the moving region that the depth check left.")
    confidence: tuple[float, ...] = Field((), description="How sure the matte is, frame by frame, 0 to 1.")
    doubtful: tuple[int, ...] = Field((), description="Frames of the clip where another key would help most.")
    note: str = Field("", description="What was special about this shot.")


# ------------------------------------------------------------------------------------------------------- analysis

_DOUBT = 0.35  # confidence under which another key is asked for
_BESIDE = (-4, -2, -1, 1, 2, 4)  # frames off a key frame by which it is told what moves with the target
_THICK = 0.6  # of how far off a rough shape may be, to either side: what is no thicker may hold a line
_THIN = 4.0  # half of the pixels across of what is thin in any case
_LOST = 0.12  # of a key: its shape fits nothing


@dataclass
class _Found:
    """What analysis gathers on its way."""

    keys: dict[int, tracking.State]
    start: Literal["prior", "motion", "nothing"] = "nothing"
    camera: Literal["static", "moving", "not looked at"] = "not looked at"
    threshold: float = 0.0
    depth: str = ""
    depth_kept: float = 1.0
    notes: tuple[str, ...] = ()


def analyze(shot: Shot, params: Params, assets: Assets) -> Findings:
    """Finds the contour on the shot's key frames, or by motion, and carries it through the shot.

    Raises:
        SettingsError: a prior is empty, full, of another shape than the clip, or no prior at all.
        MediaError: a prior, depth clip or model cannot be read.
    """
    listed = _prior.find(params.prior) if params.prior is not None else {}
    strip = Strip(shot.frames(), params.detail)
    try:
        keys = {number - params.numbered_from - shot.start: named for number, named in listed.items()}
        inside = {number: named for number, named in keys.items() if 0 <= number < len(strip)}
        if inside:
            found = _from_prior(strip, inside, params)
        else:
            found = _from_motion(strip, shot, params)
            if listed:
                found.notes = (_elsewhere(sorted(listed), shot, params), *found.notes)
        return _through(strip, shot, found, params, assets)
    finally:
        strip.close()


def _elsewhere(numbers: list[int], shot: Shot, params: Params) -> str:
    first, last = (place + params.numbered_from for place in (shot.start, shot.start + shot.length - 1))
    said = ", ".join(str(number) for number in numbers[:6]) + (", ..." if len(numbers) > 6 else "")
    return (
        f"the prior's key frames ({said}) lie in other shots or outside the clip; this one, frames {first} to {last}, "
        "is cut out by motion"
    )


def _through(strip: Strip, shot: Shot, found: _Found, params: Params, assets: Assets) -> Findings:
    """The contour on all frames, put among the assets."""
    facts: dict[str, Any] = {
        "start": found.start,
        "keys": tuple(number + shot.start for number in sorted(found.keys)),
        "camera": found.camera,
        "threshold": round(found.threshold, 5),
        "depth": found.depth,
        "depth_kept": round(found.depth_kept, 4),
    }
    notes = found.notes
    if not found.keys:
        return Findings(**facts, confidence=(0.0,) * len(strip), note="; ".join(notes))
    contours, sure = _carried(strip, found.keys, params)
    if strip.blank:
        blank = "1 frame shows" if len(strip.blank) == 1 else f"{len(strip.blank)} frames show"
        notes = (*notes, f"{blank} nothing (a fade or black); the contour is only carried there")
    doubtful = _doubtful(sure)
    if doubtful:
        said = ", ".join(str(number + shot.start) for number in doubtful)
        notes = (*notes, f"another key would help at frame {said}")
    return Findings(
        **facts,
        contours=contours.save(strip.times, assets),
        confidence=tuple(round(value, 3) for value in sure),
        doubtful=tuple(number + shot.start for number in doubtful),
        note="; ".join(notes),
    )


def _carried(strip: Strip, keys: dict[int, tracking.State], params: Params) -> tuple[Contours, list[float]]:
    contours, sure = Contours(), [0.0] * len(strip)
    how, numbers = _how(params), sorted(keys)
    for number, state in keys.items():
        contours[number], sure[number] = state.planes(), state.confidence

    def carry(first: int, reached: range) -> Iterator[tuple[int, tracking.State]]:
        if params.model == "chan-vese":
            return _basic(strip, first, reached, keys[first], params)
        # What the keys at both ends look like, and no others: light and background change along a shot.
        others = {number: keys[number] for number in reached[-1:] if number in keys}
        return tracking.carry(strip.__getitem__, first, reached, keys[first], how, others, strip.plates)

    def keep(number: int, state: tracking.State) -> None:
        contours[number], sure[number] = state.planes(), state.confidence

    for number, state in carry(numbers[0], range(numbers[0] - 1, -1, -1)):
        keep(number, state)
    for number, state in carry(numbers[-1], range(numbers[-1] + 1, len(strip))):
        keep(number, state)
    for before, after in pairwise(numbers):
        forth, back = _Way(), _Way()
        for number, state in carry(before, range(before + 1, after + 1)):
            forth[number] = state
        for number, state in carry(after, range(after - 1, before - 1, -1)):
            back[number] = state
        arrived = forth.overlap(after, keys[after]), back.overlap(before, keys[before])
        looks = tracking.palette([(strip[at], keys[at]) for at in (before, after)])
        for number in range(before + 1, after):
            nearness = 1 - (number - before) / (after - before)
            if params.model == "chan-vese":
                keep(number, forth[number] if nearness >= 0.5 else back[number])
                continue
            ways, plate = (forth[number], back[number]), Plate(strip.plates, number)
            keep(number, tracking.blend(*ways, nearness, arrived, strip[number], looks, how, plate))
    return contours, [0.0 if number in strip.blank else value for number, value in enumerate(sure)]


class _Way:
    """The contours of one way from a key to the next, packed."""

    def __init__(self) -> None:
        self._contours, self._others = Contours(), dict[int, tuple[float, tuple[Line, ...]]]()

    def __setitem__(self, number: int, state: tracking.State) -> None:
        self._contours[number], self._others[number] = state.phi[None], (state.confidence, state.lines)

    def __getitem__(self, number: int) -> tracking.State:
        return tracking.State(self._contours[number][0], *self._others[number])

    def overlap(self, number: int, key: tracking.State) -> float:
        return tracking.overlap(self._contours[number][0] > 0, key.phi > 0)


def _basic(
    strip: Strip, first: int, reached: range, key: tracking.State, params: Params
) -> Iterator[tuple[int, tracking.State]]:
    """The basic model on every frame, started from the one before."""
    del first
    phi = key.phi
    for number in reached:
        phi = _basic_step(strip, number, phi, params)
        yield number, tracking.State(phi, key.confidence)


def _basic_step(strip: Strip, number: int, phi: Array, params: Params) -> Array:
    gray = (strip.gray(number) / np.float32(255)).astype(np.float32)
    return levelset.signed_distance(levelset.chan_vese(gray, phi, params.iterations) > 0)


def _doubtful(sure: list[float]) -> list[int]:
    """The frame of least confidence in every stretch of doubt, of stretches longer than 24 frames one in each 24."""
    found, stretch = [], list[int]()
    for number, value in enumerate([*sure, 1.0]):
        if value < _DOUBT and len(stretch) < 24:
            stretch.append(number)
            continue
        if stretch:
            found.append(min(stretch, key=lambda at: (sure[at], at)))
        stretch = [number] if value < _DOUBT else []
    return found


def _how(params: Params) -> tracking.Settings:
    base = tracking.Settings()
    weights = replace(
        base.weights,
        mu=params.mu,
        evidence=params.beta,
        prior=params.shape,
        length=params.smooth,
        local=params.local,
    )
    return replace(base, weights=weights, iterations=params.iterations, search=params.search, plate=params.plate)


# ----------------------------------------------------------------------------------------------- from what is known


def _from_prior(strip: Strip, keys: dict[int, tuple[_prior.Source, Path]], params: Params) -> _Found:
    found = _Found({}, "prior")
    for number, (source, file) in sorted(keys.items()):
        prior = _prior.read(source, file, strip.size, strip.work)
        state = _key(strip, number, prior, params)
        found.keys[number] = state
        name = f"frame {number + params.numbered_from}" if len(keys) > 1 else "the key frame"
        if state.lines:
            count = len(state.lines)
            many = "1 thin part is followed as a line" if count == 1 else f"{count} thin parts are followed as lines"
            found.notes += (f"{many} from {name}",)
        if state.confidence < _LOST:
            found.notes += (f"the prior of {name} fits no region: is it on the target?",)
    return found


def _key(strip: Strip, number: int, prior: _prior.Prior, params: Params) -> tracking.State:
    picture, how = strip[number], _how(params)
    shape = prior.shape
    if shape is None:
        shape = tracking.grown(picture, prior.foreground, prior.background, how)
    shape = (shape | prior.foreground) & ~prior.background
    rough = levelset.signed_distance(shape)
    if params.model == "chan-vese":
        return tracking.State(_basic_step(strip, number, rough, params), 0.5)
    plate, slack = Plate(strip.plates, number), _slack(shape, params)
    if prior.boxed:
        # The box holds all of the target, but its corners do not.
        box, slack = shape, max(slack, 0.2 * float(np.sqrt(shape.sum())))
        shape = tracking.boxed(picture, box, slack, how, prior.foreground, prior.background, plate)
        if (shape != box).any():
            rough, slack = levelset.signed_distance(shape), _slack(shape, params)
    # What is thin is looked for on its own: areas would fill the margin that was painted around it.
    thin: tuple[Line, ...] = ()
    if params.thin:
        thin, settled = lines.find(picture, shape, max(_THICK * slack, _THIN))
        shape = shape & ~settled
        rough = levelset.signed_distance(shape) if thin else rough
        if not shape.any():
            return tracking.State(rough, 1.0, thin)
    beside = [strip[number + off] for off in _BESIDE if 0 <= number + off < len(strip)]
    state, _ = tracking.solve_key(picture, rough, slack, how, prior.foreground, prior.background, beside, plate)
    return replace(state, lines=thin)


def _slack(shape: Mask, params: Params) -> float:
    return float(np.clip(params.slack / 100 * np.sqrt(shape.sum()), 2, 80)) if params.slack else 0.0


# --------------------------------------------------------------------------------------------------- from motion

_SPACING = 12  # a key frame every so many frames, where motion shows one


def _from_motion(strip: Strip, shot: Shot, params: Params) -> _Found:
    found = _Found({}, "motion")
    if len(strip) < 2:
        found.start, found.notes = "nothing", ("one frame: nothing can move; give a prior",)
        return found
    if len(strip) == 2:
        found.notes += ("two frames: the difference of two is used, not of three",)
    depth = _depth_of(strip, shot, params)
    found.depth = depth.name
    levels, kept, moving = [], [], []
    for first in range(0, len(strip), _SPACING):
        best: tuple[float, int, tracking.State] | None = None
        stop = min(first + _SPACING, len(strip))
        for number in sorted({(3 * first + stop) // 4, (first + 3 * stop) // 4}):
            region, level, share, camera = _region(strip, number, depth, params)
            levels.append(level)
            kept.append(share)
            moving.append(camera)
            if not region.any() or region.mean() > 0.6:
                continue
            state = _key(strip, number, _prior.Prior(region, np.zeros_like(region), np.zeros_like(region)), params)
            score = state.confidence * tracking.overlap(state.phi > 0, region)
            if (state.phi > 0).any() and (best is None or score > best[0]):
                best = (score, number, state)
        if best is not None:
            found.keys[best[1]] = replace(best[2], confidence=best[2].confidence * 0.8)
    _agreeing(found)
    found.camera = "moving" if np.mean(moving) > 0.5 else "static"
    found.threshold, found.depth_kept = float(np.mean(levels)), float(np.mean(kept))
    if depth.bad:
        found.notes += (f"depth holds NaN or infinity in {depth.bad} frames; it counts as unknown there",)
    if not found.keys:
        found.start = "nothing"
        found.notes += ("nothing moves that could be cut out; give a prior",)
    return found


def _agreeing(found: _Found) -> None:
    """Keys that are far smaller than the rest (only a part of it moved) are dropped."""
    if len(found.keys) < 2:
        return
    sizes = {number: int((state.phi > 0).sum()) for number, state in found.keys.items()}
    middle = float(np.median(list(sizes.values())))
    found.keys = {n: s for n, s in found.keys.items() if 0.4 * middle <= sizes[n] <= 2.5 * middle} or found.keys


def _region(strip: Strip, number: int, depth: _Depth, params: Params) -> tuple[Mask, float, float, bool]:
    """The moving region of a frame, its threshold, the share that depth left, whether the camera moves."""
    picture = strip[number]
    beside = [other for other in (number - 1, number + 1) if 0 <= other < len(strip)]
    differences, cues, changes, knowns, moving = [], [], [], [], False
    gray = strip.gray(number)
    for other in beside:
        there, _ = strip.flows(number, other)
        camera = motion.STATIC if params.camera == "static" else motion.camera(there)
        camera = replace(camera, moving=True) if params.camera == "moving" else camera
        moving |= camera.moving
        differences.append(motion.difference(picture, strip[other], camera))
        cues.append(motion.own_cue(there, camera, gray))
        change, known = depth.change(number, other, there, cues[-1])
        changes.append(change)
        knowns.append(known)
    mask, level = motion.moved(differences, params.threshold, params.level)
    region = motion.cleaned(motion.filled(mask, cues))
    told: Mask | None = None if depth.own else np.logical_or.reduce(knowns)
    region, share = motion.checked(region, np.maximum.reduce(changes), told, params.depth_influence)
    return region, level, share, moving


class _Depth:
    """Depth of the shot's frames at the working size, from wherever it comes."""

    def __init__(self, name: str, strip: Strip, read: Any = None, step: float = 0.0) -> None:
        self.name, self.own, self.bad, self._step = name, read is None, 0, step
        self._strip, self._read, self._held = strip, read, dict[int, Array]()

    def change(self, number: int, other: int, there: Array, cue: Array) -> tuple[Array, Mask]:
        if self.own:
            return cue, np.ones(cue.shape, bool)
        return motion.depth_change(self._at(number), self._at(other), there, self._step)

    def _at(self, number: int) -> Array:
        if number not in self._held:
            plane = np.asarray(self._read(number), np.float32)
            self.bad += not np.isfinite(plane).all()
            # Unknown must not spread into its neighbors by scaling: nearest.
            self._held[number] = cv2.resize(plane, self._strip.work, interpolation=cv2.INTER_NEAREST)
            while len(self._held) > 8:
                del self._held[next(iter(self._held))]
        return self._held[number]


def _depth_of(strip: Strip, shot: Shot, params: Params) -> _Depth:
    if params.depth is not None:
        return _Depth(f"clip {params.depth}", strip, *_depth_clip(params.depth, shot))
    if params.depth_model is not None:
        network = _depth_network(params.depth_model)
        return _Depth(f"model {params.depth_model.name}", strip, lambda number: network(strip[number]))
    if strip.holds_depth:
        return _Depth("Z channel", strip, lambda number: _z(next(shot.frames(number, number + 1))))
    return _Depth("own cue: parallax and focus, relative", strip)


def _z(frame: Frame) -> Array:
    if frame.depth is None:
        return np.full((frame.height, frame.width), np.nan, np.float32)
    return frame.depth[0].cpu().numpy()


def _depth_clip(path: Path, shot: Shot) -> tuple[Any, float]:
    """A function from a frame's number to its depth, and the step of its codes."""
    from answerprint.media import reader

    try:
        clip = reader.open(path, nonfinite="zero")
    except MediaError as error:
        raise MediaError(f"depth {error}") from error
    if len(clip) < shot.start + shot.length:
        raise SettingsError(
            f"depth {path}: holds {len(clip)} frames, shot {shot.name} ends at {shot.start + shot.length}; "
            "give one picture of depth per frame of the clip"
        )

    def read(number: int) -> Array:
        frame = next(iter(clip.frames(shot.start + number, shot.start + number + 1)))
        return frame.pixels[0].numpy() if frame.depth is None else _z(frame)

    return read, 0.0 if clip.info.floating else 2.0**-clip.info.bits


def _depth_network(path: Path) -> Any:
    """A monocular depth network as a function of a picture (H, W, 3) uint8; inputs normalized as ImageNet's are."""
    if not path.is_file():
        raise MediaError(f"depth model {path}: there is no such file")
    size = (384, 384)

    def prepared(picture: npt.NDArray[np.uint8]) -> Array:
        scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        planes = (scaled - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        return np.ascontiguousarray(planes.transpose(2, 0, 1)[None].astype(np.float32))

    try:
        if path.suffix.lower() == ".onnx":
            network = cv2.dnn.readNetFromONNX(str(path))
        else:
            scripted = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (cv2.error, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MediaError(f"depth model {path}: is neither ONNX nor TorchScript that can be read: {reason}") from error

    def run(picture: npt.NDArray[np.uint8]) -> Array:
        if path.suffix.lower() == ".onnx":
            network.setInput(prepared(picture))
            result = np.asarray(network.forward())
        else:
            with torch.inference_mode():
                result = scripted(torch.from_numpy(prepared(picture))).float().numpy()
        plane = np.squeeze(result)
        if plane.ndim != 2:
            raise SettingsError(f"depth model {path}: gives shape {result.shape}; one plane of depth is needed")
        lifted: Array = (plane - plane.min() + 0.05 * float(np.ptp(plane)) + 1e-6).astype(np.float32)
        return lifted

    return run


# ------------------------------------------------------------------------------------------------------ rendering


def run(frames: Iterator[Frame], params: Params, findings: Findings, assets: Assets) -> Iterator[Frame]:
    """Gives every frame its matte, with the edge worked out at full size.

    Raises:
        SettingsError: the contours of the shot are missing.
    """
    saved = SavedContours(assets.path(findings.contours)) if findings.contours else None
    for frame in frames:
        if saved is None:
            matte = torch.zeros((1, frame.height, frame.width))
        else:
            matte = torch.from_numpy(alpha(frame, saved.at(frame.time), params))[None]
        yield delivered(frame, matte.to(frame.pixels.device), params)


_THIN_BAND = 2.0  # half-width of the soft band of what is thin, in pixels of the working size


def alpha(frame: Frame, planes: Array, params: Params) -> Array:
    """The finished matte (H, W) of a frame.

    Args:
        frame: the frame.
        planes: (1 or 2, h, w) signed distances at the working size: of the areas, of the thin parts.
        params: of the edge.
    """
    size, scale = (frame.width, frame.height), frame.width / planes.shape[-1]
    picture = _picture(frame)
    mattes = []
    # What is thin has a narrow band: the filter would find its color in all that lies about it. None of it lies deeper
    # than the band is wide, and without what is surely the target closed form has nothing to go by.
    thin = "guided" if params.edge == "closed-form" else params.edge
    edges = ((params.edge, params.band), (thin, min(params.band, _THIN_BAND * scale)))
    for phi, (edge, band) in zip(planes, edges, strict=False):
        full = phi
        if (phi.shape[1], phi.shape[0]) != size:
            full = cv2.resize(phi, size, interpolation=cv2.INTER_CUBIC) * np.float32(scale)
        if params.grow:
            full = levelset.signed_distance(full > 0) + np.float32(params.grow)
        mattes.append(_soft(picture, full, edge, band))
    matte = np.maximum.reduce(mattes)
    if params.feather:
        matte = cv2.GaussianBlur(matte, (0, 0), params.feather / 2)
    return np.ascontiguousarray(matte.clip(0, 1))


def _soft(picture: Array, phi: Array, edge: str, band: float) -> Array:
    if edge == "hard" or band < 1:
        return matting.hard(phi)
    if edge == "closed-form":
        return matting.closed_form(picture, levelset.signed_distance(phi > 0), band)
    return matting.guided(picture, phi, band)


def _picture(frame: Frame) -> Array:
    pixels = frame.pixels.cpu()
    if not bool(pixels.sum().isfinite()):  # a sum is, only where all are
        pixels = pixels.nan_to_num(nan=0.0, posinf=1.0, neginf=0.0)
    result: Array = cv2.merge(list(pixels.numpy()))
    return result


def delivered(frame: Frame, matte: torch.Tensor, params: Params) -> Frame:
    """The frame as `deliver` asks: its picture replaced by the matte, its alpha set, or only its matte."""
    if params.deliver == "keep":
        return replace(frame, matte=matte)
    if params.deliver == "matte":
        return replace(frame.with_pixels(matte.expand(3, -1, -1).contiguous()), matte=matte, alpha=None)
    pixels = frame.pixels
    if params.decontaminate:
        own = matting.foreground(_picture(frame), matte[0].cpu().numpy())
        own_pixels = torch.from_numpy(np.ascontiguousarray(own.transpose(2, 0, 1))).to(pixels.device)
        pixels = torch.where((matte > 0) & (matte < 1), own_pixels, pixels)
    share = matte if frame.alpha is None else matte * frame.alpha
    if params.alpha == "premultiplied":
        pixels = torch.where(share < 1, pixels * share, pixels)
    associated = None if params.alpha == "auto" else params.alpha == "premultiplied"
    return replace(frame.with_pixels(pixels), matte=matte, alpha=share, associated=associated)
