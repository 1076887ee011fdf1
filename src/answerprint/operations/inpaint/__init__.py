"""Takes something out of a shot and puts there what is behind it.

Other frames show the background that this one hides. Optical flow, found without what is under the masks and completed
behind it, is composed from frame to frame until a frame shows the place; that frame is sampled once, at full size,
aligned and matched in light with what surrounds the hole. Flow is then found anew between the frames so filled, and all
is done again (Huang et al. 2016). What fits ill passes by degrees into a smooth continuation of the surroundings.

What no frame shows is made of pieces of the picture (Wexler et al. 2007) on the frame that lacks most, and carried from
there to the others, so that it stands still in the scene. Grain that resampling took is given back.

Outside the mask, grown by what was found at its rim, every code value is the source's. How much was recovered from
other frames and how much was invented is told for every shot; the frames with most of the latter are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from answerprint.assets import Assets
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.motion.propagate import Box, Reach
from answerprint.operations.inpaint import rim, unseen
from answerprint.operations.inpaint import shadow as shadows
from answerprint.operations.inpaint.footage import FlowOf, enlarge, finite
from answerprint.operations.inpaint.footage import Footage as Footage
from answerprint.operations.inpaint.grain import Grain
from answerprint.operations.inpaint.masks import masks_of as masks_of
from answerprint.operations.inpaint.params import Params as Params
from answerprint.operations.inpaint.recover import Filled, Recovery, Say
from answerprint.operations.inpaint.recover import search_flow as search_flow
from answerprint.operations.inpaint.saved import Fill, FillWriter, SavedFill, is_same, rim_of
from answerprint.operations.inpaint.steady import steady
from answerprint.settings import Settings

COST = 0.1
HANDLES = 0  # the fill of every frame is in an asset
OWN = ("finite", "matte")  # a matte says what is removed, and what is no number may be under it

_WORST = 5  # frames that are named
_SHADOW_LEFT = "a shadow lies beside the mask; --shadow removes it as well"
_POOR = 0.02  # of the mask: frames that invent less are not named


Shadow = Literal["none", "left", "removed"]


class Findings(Settings):
    """What was put in place of what was removed."""

    fill: str = Field("", description="Asset that holds the pixels; empty where nothing is removed.")
    growth: int = Field(0, description="Pixels that the mask was grown by.")
    removed: float = Field(0.0, description="Share of the picture that is removed, mean of the shot's frames.")
    recovered: float = Field(1.0, description="Share of it that other frames show.")
    invented: float = Field(0.0, description="Share of it that no frame shows.")
    worst: tuple[int, ...] = Field((), description="Frames of the clip with most that no other shows.")
    shadow: Shadow = Field("none", description="Whether a shadow lies beside the mask, and what became of it.")
    summary: str = Field("", description="The same in words.")
    note: str = Field("", description="What was special about this shot.")


def analyze(shot: Shot, params: Params, device: torch.device, say: Say | None, assets: Assets) -> Findings:
    """Fills what the masks of a shot cover.

    Raises:
        SettingsError: masks are missing, of another size or cover a whole picture; the shot is interlaced.
        MediaError: a mask cannot be read.
    """
    with Footage(shot, masks_of(params.mask, shot), params.working_size) as footage:
        if not any(footage.areas):
            return Findings(summary="the mask is empty: nothing is removed")
        filled, edge = fill(footage, params, _flow_of(params, device), say or _silent)
        return _findings(shot, footage, filled, edge, _save(footage, filled, params, assets))


def fill(footage: Footage, params: Params, flow_of: FlowOf, say: Say) -> tuple[Filled, Edge]:
    """A shot without what its masks cover, and what lay at their edge.

    Args:
        footage: the shot; its masks grow.
        params: of the operation.
        flow_of: finds flow between two frames.
        say: hears how it gets on.
    """
    recovery = Recovery(footage, flow_of, Reach(frames=params.reach), say)
    recovery.find_motion()
    growth = rim.growth(footage, recovery.scene()) if params.grow is None else params.grow
    footage.grow(growth)
    recovery.cover()
    dark = _shadow(footage, recovery, params)
    recovery.first_pass()
    filled = recovery.second_pass()
    if params.unseen == "patch":
        unseen.invent(footage, filled, recovery.motion, say)
    steady(footage, filled, recovery.motion)
    if params.grain:
        grain = Grain(filled.pictures, len(footage))
        for number in footage.numbers():
            mask = footage.masks.read(number)
            box = Box.around(mask, 8)
            picture = filled.pictures.read(number, box)
            filled.pictures.write(number, box, grain.added(picture, mask[box.slices], (number,)))
    return filled, Edge(growth, dark)


@dataclass(frozen=True)
class Edge:
    """What lies beside the masks of a shot.

    Attributes:
        growth: pixels that they were grown by.
        shadow: whether there is a shadow, and whether it was removed.
    """

    growth: int
    shadow: Shadow


def _shadow(footage: Footage, recovery: Recovery, params: Params) -> Shadow:
    """Looks for a shadow, and adds it to the masks where it is to be removed."""
    scene = recovery.scene()
    if not shadows.is_there(footage, scene):
        return "none"
    if not params.shadow:
        return "left"
    dark = {number: shadows.shadow(scene, number) for number in footage.numbers()}
    footage.grow(lambda number: enlarge(dark[number], footage.size))
    recovery.find_motion()
    return "removed"


def _silent(_: str) -> None:
    """Hears nothing."""


def _flow_of(params: Params, device: torch.device) -> FlowOf:
    if params.flow == "fast":
        return search_flow
    from answerprint.nets.flow import estimate

    def best(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pair = estimate.both_ways(first.transpose(2, 0, 1), second.transpose(2, 0, 1), "best", device)
        return pair.forward.array(), pair.backward.array()

    return best


def _save(footage: Footage, filled: Filled, params: Params, assets: Assets) -> str:
    """Puts the fill of a shot among the assets; gives the asset's name."""
    writer = FillWriter()
    try:
        for number in footage.numbers():
            before, mask = footage.full.read(number), footage.masks.read(number)
            after = filled.pictures.read(number)
            if params.unseen == "leave":
                left = mask & ~filled.shown.read(number)
                after[left] = before[left]
            writer.add(number, before, after, mask)
        return writer.finish(footage.times, assets)
    finally:
        writer.close()


def _findings(shot: Shot, footage: Footage, filled: Filled, edge: Edge, fill: str) -> Findings:
    total = sum(filled.removed)
    recovered = sum(filled.recovered) / total
    lacking = {
        number: 1 - filled.recovered[number] / filled.removed[number]
        for number in footage.numbers()
        if filled.recovered[number] < (1 - _POOR) * filled.removed[number]
    }
    worst = sorted(sorted(lacking, key=lambda number: (-lacking[number], number))[:_WORST])
    summary = f"{recovered:.0%} from other frames, {1 - recovered:.0%} invented; mask grown by {edge.growth} px"
    if worst:
        summary += f"; most invented in frames {', '.join(str(number + shot.start) for number in worst)}"
    return Findings(
        fill=fill,
        growth=edge.growth,
        shadow=edge.shadow,
        note=_SHADOW_LEFT if edge.shadow == "left" else "",
        removed=round(float(np.mean(footage.areas)), 5),
        recovered=round(recovered, 4),
        invented=round(1 - recovered, 4),
        worst=tuple(number + shot.start for number in worst),
        summary=summary,
    )


def run(frames: Iterator[Frame], params: Params, findings: Findings, assets: Assets) -> Iterator[Frame]:
    """Puts the fill under the mask of every frame.

    Raises:
        SettingsError: the fill is missing, or the frames are not those it was made for.
    """
    saved = SavedFill(assets.path(findings.fill)) if findings.fill else None
    for frame in frames:
        fill = None if saved is None else saved.at(frame.time)
        yield _delivered(frame, fill, params)


def _delivered(frame: Frame, fill: Fill | None, params: Params) -> Frame:
    """The frame as `deliver` asks; its own matte has served and is gone."""
    cover = torch.zeros((1, frame.height, frame.width))
    if fill is not None:
        cover = torch.from_numpy(fill.whole_mask(frame.height, frame.width))[None].float()
    if params.deliver == "matte":
        return replace(frame.with_pixels(cover.expand(3, -1, -1).contiguous()), matte=None, alpha=None)
    if params.deliver == "object":
        alpha = cover if frame.alpha is None else cover * frame.alpha.cpu()
        return replace(frame, matte=None, alpha=alpha.to(frame.pixels.device))
    if fill is None:
        return replace(frame, matte=None)
    mask = fill.whole_mask(frame.height, frame.width)
    if not is_same(rim_of(finite(frame), mask), fill.rim):
        raise SettingsError(
            f"frame at {float(frame.time):.3f} s has changed since it was filled (an operation before was edited?); "
            "analyze the clip again"
        )
    pixels = frame.pixels.clone()
    pixels[:, torch.from_numpy(mask)] = torch.from_numpy(fill.values.T.copy()).to(pixels.device)
    return replace(frame, pixels=pixels, matte=None)
