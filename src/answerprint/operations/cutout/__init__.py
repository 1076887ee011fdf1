"""Cutout: from a rough shape, or from motion alone, to a matte that holds through the shot.

The method of AEPR section 3.1: a region of interest from the difference of three frames, checked against depth; what
the user knows of the shape as a prior; an edge-free active contour (equations 1 to 3) driven by both.

Region. Without a prior the shot is searched for what moves: camera motion and flicker are taken out, two difference
images are thresholded and joined by AND, cleaned, and a piece counts as far as its depth changes (`depth_influence`).
Depth is a Z channel, a clip or a model's output, or by default a cue of our own, which is relative and no measurement:
motion parallax after camera compensation, and focus. The best frames so found become key frames.

Contour. At a key frame the rough shape is placed to fit, and a level set moves to where target and background part:
color histograms per neighborhood and of the whole (`evidence_weight`), means of color and texture (`mean_weight`,
equation 2), the prior shape, the length of the contour, distance regularization (Li et al. 2010). Between keys it is
propagated along optical flow, forward and backward, and blended by nearness and confidence. Other shots' key frames do
not count. Frames up to 12 before and after show the background behind the target, a clean plate: what differs from it
is the target's, whatever it looks like.
Ropes, wires and rods, which a contour cannot hold, are found as lines in the narrow parts of the prior and followed as
such (`thin`).

Edge. Alpha in a band by the guided filter (He et al. 2010) or in closed form (Levin et al. 2008); foreground colors are
freed from the background.

The prior is a mask for the clip's first frame (mask.png), a sequence that names its key frames by its numbers
(mask.%04d.png: frame numbers of the clip from 0, or from `start_number`), or a JSON file: {"keys": [{"frame": 0,
"box": [left, top, right, bottom]}]}, with "polygon", "mask", and "foreground" and "background" strokes as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field

from answerprint.assets import Assets
from answerprint.frame import Frame, Shot
from answerprint.operations.cutout import prior as priors
from answerprint.operations.cutout.contours import Contours, SavedContours, Strip
from answerprint.operations.cutout.deliver import deliver, matte_of
from answerprint.operations.cutout.keys import KeyFrames, keys_from_motion, keys_from_prior
from answerprint.operations.cutout.params import Params as Params
from answerprint.operations.cutout.through import contours_of_shot, doubtful_frames
from answerprint.settings import Settings

HANDLES = 0  # the contour of every frame is in an asset
OWN = ("finite", "matte", "makes matte")  # the matte that a frame comes with is replaced, and so may its pixels be


def cost(params: Params) -> float:
    """The closed form solves for every pixel of the band."""
    return 0.5 if params.edge == "closed-form" else 0.05


class Findings(Settings):
    """Origin and confidence of the contours; they themselves are an asset."""

    contours: str = Field("", description="Asset that holds the contours; empty where nothing was found.")
    start: Literal["prior", "motion", "nothing"] = Field("nothing", description="Origin of the key frames.")
    keys: tuple[int, ...] = Field((), description="Numbers of the key frames in the clip.")
    camera: Literal["static", "moving", "not looked at"] = Field("not looked at", description="Camera motion.")
    threshold: float = Field(0.0, description="Difference of frames (of full scale) that counted as motion.")
    depth: str = Field("", description="Source of depth.")
    depth_share: float = Field(1.0, description="Share of the moving region that passed the depth check.")
    confidence: tuple[float, ...] = Field((), description="Confidence of the matte, frame by frame, 0 to 1.")
    doubtful: tuple[int, ...] = Field((), description="Frames of the clip where another key would help most.")
    note: str = Field("", description="What was special about this shot.")


def analyze(shot: Shot, params: Params, assets: Assets) -> Findings:
    """Finds the contour on the shot's key frames, or by motion, and propagates it through the shot.

    Raises:
        SettingsError: a prior is empty, full, of another shape than the clip, or no prior at all.
        MediaError: a prior, depth clip or model cannot be read.
    """
    sources = priors.find(params.prior) if params.prior is not None else {}
    strip = Strip(shot.frames(), params.working_size)
    try:
        in_shot = {number - params.start_number - shot.start: source for number, source in sources.items()}
        inside = {number: source for number, source in in_shot.items() if 0 <= number < len(strip)}
        if inside:
            keys = keys_from_prior(strip, inside, params)
        else:
            keys = keys_from_motion(strip, shot, params)
            if sources:
                keys.notes = (_elsewhere(sorted(sources), shot, params), *keys.notes)
        if not keys.states:
            return _findings(strip, shot, keys, assets)
        contours, confidence = contours_of_shot(strip, keys.states, params)
        return _findings(strip, shot, keys, assets, (contours, confidence))
    finally:
        strip.close()


def _elsewhere(numbers: list[int], shot: Shot, params: Params) -> str:
    first, last = (place + params.start_number for place in (shot.start, shot.start + shot.length - 1))
    some = ", ".join(str(number) for number in numbers[:6]) + (", ..." if len(numbers) > 6 else "")
    return (
        f"the prior's key frames ({some}) lie in other shots or outside the clip; "
        f"this one, frames {first} to {last}, is cut out by motion"
    )


def _findings(
    strip: Strip, shot: Shot, keys: KeyFrames, assets: Assets, result: tuple[Contours, list[float]] | None = None
) -> Findings:
    """The findings of a shot; its contours (with their confidence by frame) are put among the assets."""
    facts: dict[str, Any] = {
        "start": keys.start,
        "keys": tuple(number + shot.start for number in sorted(keys.states)),
        "camera": keys.camera,
        "threshold": round(keys.threshold, 5),
        "depth": keys.depth,
        "depth_share": round(keys.depth_share, 4),
    }
    if result is None:
        return Findings(**facts, confidence=(0.0,) * len(strip), note="; ".join(keys.notes))
    contours, confidence = result
    notes = keys.notes
    if strip.blank:
        blank = "1 frame shows" if len(strip.blank) == 1 else f"{len(strip.blank)} frames show"
        notes = (*notes, f"{blank} nothing (a fade or black); the contour is only carried there")
    doubtful = tuple(number + shot.start for number in doubtful_frames(confidence))
    if doubtful:
        notes = (*notes, f"another key would help at frame {', '.join(str(number) for number in doubtful)}")
    return Findings(
        **facts,
        contours=contours.save(strip.times, assets),
        confidence=tuple(round(value, 3) for value in confidence),
        doubtful=doubtful,
        note="; ".join(notes),
    )


def run(frames: Iterator[Frame], params: Params, findings: Findings, assets: Assets) -> Iterator[Frame]:
    """Gives every frame its matte, with the edge worked out at full size.

    Raises:
        SettingsError: the contours of the shot are missing.
    """
    contours = SavedContours(assets.path(findings.contours)) if findings.contours else None
    for frame in frames:
        if contours is None:
            matte = torch.zeros((1, frame.height, frame.width))
        else:
            matte = torch.from_numpy(matte_of(frame, contours.at(frame.time), params))[None]
        yield deliver(frame, matte.to(frame.pixels.device), params)
