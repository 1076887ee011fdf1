"""The two networks: from windows of frames to a change of Y', Cb, Cr."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from answerprint.coding import codes
from answerprint.coding.codes import Plane
from answerprint.color import spaces
from answerprint.frame import ColorTags, Frame
from answerprint.inference import engine, weights
from answerprint.media.siting import SITES
from answerprint.nets import bitdepth as bitdepth_net
from answerprint.nets import toflow
from answerprint.operation import Window
from answerprint.operations.bitdepth.change import code_scales
from answerprint.operations.bitdepth.stored import stored_planes

if TYPE_CHECKING:
    from answerprint.operations.bitdepth import Findings

SMALLEST = 4  # side of a frame that the network works on
NEIGHBORS = bitdepth_net.Config().radius
_OVERLAP = 96  # more than four times what the network sees around a pixel, as tiles fade into each other

# The change of Y', Cb, Cr at every pixel of the middle frame in 8-bit codes, float32 (3, H, W); None for frames that
# the model cannot work on.
Change = Callable[[Window], Plane | None]
_N = TypeVar("_N", bound=nn.Module)


def load(model: str, path: Path | None, findings: Findings, device: torch.device) -> Change | None:
    """The model of that name; None where it is the filters alone, or finds nothing in this shot.

    Raises:
        WeightsError: there are no trained weights of it.
    """
    if not (findings.learned or findings.chroma):
        return None
    if model == "network":
        return _by_network(*_network(path, device), findings)
    if model == "toflow":
        return _by_toflow(*_toflow(path, device))
    return None


def _ready(network: _N, device: torch.device) -> tuple[_N, engine.Run]:
    return network, engine.ready(network, device)


_network = weights.cached("bitdepth", lambda path, device: _ready(bitdepth_net.load(path), device))
_toflow = weights.cached("toflow", lambda path, device: _ready(toflow.load(path), device))


def suits(frame: Frame, model: str) -> bool:
    """Whether the model works on such frames; ours learned on 8-bit 4:2:0 as it is stored."""
    if model != "network":
        return model == "toflow"
    stored = stored_planes(frame)
    if stored is None or len(stored) > 1 or min(frame.height, frame.width) < SMALLEST:
        return False
    return stored[0].form.name == "yuv420p" and stored[0].site == SITES["left"]


def _by_network(network: bitdepth_net.Decoder, run: engine.Run, findings: Findings) -> Change:
    radius = network.config.radius

    def change(window: Window) -> Plane | None:
        middle = len(window.frames) // 2
        if not suits(window.center, "network"):
            return None
        own = _planes(window.center, findings)
        beside = [window.frames[middle + offset] for offset in range(-radius, radius + 1) if offset]
        # A neighbor that is stored otherwise, or that another operation changed, says no more than the frame itself.
        others = [_planes(frame, findings) if suits(frame, "network") else own for frame in beside]
        stack = [own, *codes.align(own[0], others)]
        luma, chroma = bitdepth_net.stack([[torch.from_numpy(plane) for plane in planes] for planes in stack])
        planes = bitdepth_net.fold(luma[None], chroma[None])
        steps = torch.from_numpy(codes.levels_to_steps(np.stack([each[3] for each in stack])))[None]
        step = torch.full_like(planes[:, :1], findings.quantizer)
        result = bitdepth_net.unfold(engine.tiled(run, [planes, step, steps], multiple=1, overlap=_OVERLAP))
        return np.asarray(result[0, :, : window.center.height, : window.center.width].cpu().numpy())

    return change


def _planes(frame: Frame, findings: Findings) -> tuple[codes.Codes, codes.Codes, codes.Codes, codes.Codes]:
    """Y, Cb, Cr as stored and levels of the quantizer beside them; luma of odd sizes goes on to even ones."""
    origin = frame.origin
    if origin is None:
        raise ValueError("a frame without its planes")
    y, cb, cr = (np.asarray(plane.cpu().numpy(), np.uint8) for plane in origin.planes[:3])
    height, width = y.shape
    steps = findings.quantizer if origin.steps is None else origin.steps.numpy()
    levels = codes.steps_to_levels(steps, *cb.shape)
    return np.pad(y, ((0, height % 2), (0, width % 2)), mode="edge"), cb, cr, levels


def _by_toflow(network: toflow.TOFlow, run: engine.Run) -> Change:
    def change(window: Window) -> Plane | None:
        frames = torch.cat([frame.pixels for frame in window.frames])[None]
        restored = engine.tiled(run, [frames], multiple=network.multiple)[0].cpu()
        stored = stored_planes(window.center)
        color = stored[0].color if stored is not None else window.center.color
        return _codes_of(restored - window.center.pixels, color)

    return change


def _codes_of(change: Tensor, color: ColorTags) -> Plane:
    """A difference of R'G'B' as one of Y', Cb, Cr in 8-bit codes."""
    scale, chroma_scale = code_scales(color)
    planes: list[Plane] = list(change.numpy())
    luma, *differences = spaces.to_ycbcr(planes[0], planes[1], planes[2], color.matrix)
    result: Plane = np.stack([scale * luma, *(chroma_scale * each for each in differences)]).astype(np.float32)
    return result
