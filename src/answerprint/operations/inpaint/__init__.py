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

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from pydantic import Field

from answerprint.assets import Assets
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.motion.propagate import Reach
from answerprint.operations.inpaint import masks, rim, unseen
from answerprint.operations.inpaint.footage import FlowOf, Footage
from answerprint.operations.inpaint.grain import Grain
from answerprint.operations.inpaint.params import Params as Params
from answerprint.operations.inpaint.recover import Filled, Recovery, search_flow
from answerprint.operations.inpaint.saved import Fill, FillWriter, SavedFill, is_same, rim_of
from answerprint.settings import Settings

HANDLES = 0  # the fill of every frame is in an asset
OWN = ("finite", "matte")  # a matte says what is removed, and what is no number may be under it

_WORST = 5  # frames that are named
_POOR = 0.02  # of the mask: frames that invent less are not named


class Findings(Settings):
    """What was put in place of what was removed."""

    fill: str = Field("", description="Asset that holds the pixels; empty where nothing is removed.")
    growth: int = Field(0, description="Pixels that the mask was grown by.")
    removed: float = Field(0.0, description="Share of the picture that is removed, mean of the shot's frames.")
    recovered: float = Field(1.0, description="Share of it that other frames show.")
    invented: float = Field(0.0, description="Share of it that no frame shows.")
    worst: tuple[int, ...] = Field((), description="Frames of the clip with most that no other shows.")
    summary: str = Field("", description="The same in words.")


def analyze(shot: Shot, params: Params, device: torch.device, say: Callable[[str], None], assets: Assets) -> Findings:
    """Fills what the masks of a shot cover.

    Raises:
        SettingsError: masks are missing, of another size or cover a whole picture; the shot is interlaced.
        MediaError: a mask cannot be read.
    """
    with Footage(shot, masks.masks_of(params.mask, shot), params.working_size) as footage:
        if not any(footage.areas):
            return Findings(summary="the mask is empty: nothing is removed")
        recovery = Recovery(footage, _flow_of(params, device), Reach(frames=params.reach), say)
        growth = _grow(footage, recovery, params)
        recovery.first_pass()
        filled = recovery.second_pass()
        if params.unseen != "leave":
            unseen.invent(footage, filled, recovery.motion, params.unseen, say)
        fill = _save(footage, filled, params, assets)
        return _findings(shot, footage, filled, growth, fill)


def _flow_of(params: Params, device: torch.device) -> FlowOf:
    if params.flow == "fast":
        return search_flow
    from answerprint.nets.flow import estimate

    def best(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pair = estimate.both_ways(first.transpose(2, 0, 1), second.transpose(2, 0, 1), "best", device)
        return pair.forward.array(), pair.backward.array()

    return best


def _grow(footage: Footage, recovery: Recovery, params: Params) -> int:
    """Grows the masks as far as they must; gives the pixels."""
    if params.grow is not None:
        footage.grow(params.grow)
        recovery.find_motion()
        return params.grow
    recovery.find_motion()
    radius = rim.growth(footage, recovery.scene())
    footage.grow(radius)
    return radius


def _save(footage: Footage, filled: Filled, params: Params, assets: Assets) -> str:
    """Puts the fill of a shot among the assets, with its grain; gives the asset's name."""
    grain = Grain(footage) if params.grain else None
    writer = FillWriter()
    try:
        for number in footage.numbers():
            before, mask = footage.full.read(number), footage.masks.read(number)
            after = filled.pictures.read(number)
            if params.unseen == "leave":
                left = filled.unseen.read(number)
                after[left] = before[left]
            if grain is not None:
                after = grain.added(after, mask * filled.lost.read(number), (number,))
            writer.add(number, before, after, mask)
        return writer.finish(footage.times, assets)
    finally:
        writer.close()


def _findings(shot: Shot, footage: Footage, filled: Filled, growth: int, fill: str) -> Findings:
    total = sum(filled.removed)
    recovered = sum(filled.recovered) / total
    lacking = {
        number: 1 - filled.recovered[number] / filled.removed[number]
        for number in footage.numbers()
        if filled.recovered[number] < (1 - _POOR) * filled.removed[number]
    }
    worst = sorted(sorted(lacking, key=lambda number: (-lacking[number], number))[:_WORST])
    summary = f"{recovered:.0%} from other frames, {1 - recovered:.0%} invented; mask grown by {growth} px"
    if worst:
        summary += f"; most invented in frames {', '.join(str(number + shot.start) for number in worst)}"
    return Findings(
        fill=fill,
        growth=growth,
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
    picture = np.ascontiguousarray(frame.pixels.cpu().numpy().transpose(1, 2, 0))
    if not is_same(rim_of(picture, fill.whole_mask(frame.height, frame.width)), fill.rim):
        raise SettingsError(
            f"frame at {float(frame.time):.3f} s has changed since it was filled (an operation before was edited?); "
            "analyze the clip again"
        )
    picture[fill.box.slices][fill.mask] = fill.values
    pixels = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).to(frame.pixels.device)
    return replace(frame, pixels=pixels, matte=None)
