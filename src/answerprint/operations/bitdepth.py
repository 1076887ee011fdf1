"""Bit depth: gives 8-bit 4:2:0 footage the values between its codes, for grading as 10-bit 4:2:2.

After "Decoding Consumer Grade Video for Filmmaking" (Eder), which names three tasks, and its own failure: smooth
regions (sky, skin, defocus). Here each task is worked on within what the stored code value allows (`imgproc/codes.py`):

artifact removal     steps across the borders of coded blocks are evened out, as far as the coder's quantizer can have
                     made them, where the shot shows such blocks at all
chroma               between the sites of chroma, rightly placed, the detail of luma comes in where both go together
bit depth            slow gradients get back the values between the codes: within half a code, and a part of the
                     quantizer where the stream tells it; edges, texture and grain are left alone

Everything is done on the planes as they were stored, in the footage's own encoding: log footage is worked on as log.
What no task touches stays the very code value that it was. Detail that the coder threw away is not invented.

That is `--model bounds`. `network` puts a small network in front of it that looks at the stored planes of three frames
and may move a value by half a code and half a quantizer step at most (nets/bitdepth.py); `toflow` is the paper's
network, seven frames aligned by flow (nets/toflow.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.color import spaces
from answerprint.errors import SettingsError
from answerprint.frame import Coding, ColorTags, Frame, Shot
from answerprint.imgproc import codes
from answerprint.imgproc.codes import Plane
from answerprint.media import pixels as planar
from answerprint.nets import bitdepth as bitdepth_net
from answerprint.nets import engine, toflow
from answerprint.operation import Window, windows
from answerprint.settings import Settings

HANDLES = 3
Model = Literal["bounds", "network", "toflow"]


class Params(Settings):
    """What the user may say."""

    model: Model = Field(
        "bounds", description="bounds: filters within bounds; network: ours in front of them; toflow: the paper's."
    )
    strength: float = Field(1.0, ge=0, le=1, description="How much of the change is taken; 0 is the source.")
    gradients: bool = Field(True, description="Give slow gradients the values between the codes.")
    chroma: bool = Field(True, description="Let luma show the detail of chroma where both go together.")
    blocks: bool = Field(True, description="Even out the borders of coded blocks where the shot shows them.")
    bound: float = Field(
        0.0,
        ge=0,
        le=8,
        description="Largest change of a gradient in 8-bit codes; 0 takes it from the coder's quantizer.",
    )
    encoding: Literal["auto", "display", "log"] = Field(
        "auto", description="Whether the footage is log; only told, all work is in its own encoding."
    )
    frames: int = Field(5, ge=1, le=64, description="Frames spread through the shot that are measured.")
    weights: Path | None = Field(None, description="Trained weights of your own for the network or TOFlow.")


class Findings(Settings):
    """What the shot was stored as, what that did to it, and how far it may be moved."""

    codec: str = Field("", description="Codec of the source; empty where it is not known.")
    layout: str = Field("", description="How pixels are stored; empty where it is not known.")
    bits: int = Field(8, ge=1, le=32, description="Bits a sample of the source.")
    bits_per_pixel: float = Field(0.0, ge=0, description="Of the video stream; 0 where it is not known.")
    quantizer: float = Field(0.0, ge=0, description="Step of the coder's quantizer in 8-bit codes; 0 is not known.")
    encoding: Literal["display", "log"] = Field("display", description="Display encoding or log, told or guessed.")
    banding: float = Field(0.0, ge=0, le=1, description="Share of pixels at steps that part even areas.")
    blocking: float = Field(0.0, ge=0, description="How much larger steps across borders of blocks are; 0 no blocks.")
    bound: float = Field(0.0, ge=0, description="Largest change of a gradient in 8-bit codes; 0 leaves gradients.")
    deblock: float = Field(0.0, ge=0, description="Largest change at the border of a block in 8-bit codes; 0 none.")
    chroma: float = Field(0.0, ge=0, le=1, description="Share of the detail of chroma that luma shows.")
    note: str = Field("", description="What is estimated, and what is not.")


# ---------------------------------------------------------------------------------------------------------- analysis

# Measured blocking above which a shot shows blocks; coders that even them out themselves leave fewer to find.
_BLOCKY, _BLOCKY_FILTERED = 0.12, 0.35
_FILTERED = ("h264", "hevc", "vp8", "vp9", "av1", "vvc")
_MOST_BOUND, _MOST_DEBLOCK = 4.0, 6.0  # in codes: what is farther off is no rounding, and no border, but lost
_FROM_STEP = 1 / 16  # part of a quantizer step by which the whole of an even block can be off


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:  # noqa: ARG001
    """Takes codec and quantizer from the stream where it tells them, banding and blocking from pixels."""
    frames = shot.sample(params.frames)
    stored = _stored(frames[0]) if frames else None
    coding = shot.coding() if shot.coding is not None else Coding("")
    if not frames:
        return Findings(codec=coding.codec)
    # Where other operations changed the pixels, or fields are woven, the depth of the source is still known.
    origin = frames[0].origin
    form = planar.layout(origin.layout) if origin is not None else None
    bits = form.bits if form is not None else 8
    floating = form is not None and form.floating
    step = coding.step * 2.0 ** (8 - bits) if bits <= 16 else 0.0
    lumas = [_luma(frame) for frame in frames]
    banding, blocking = (
        float(np.mean([measure(luma) for luma in lumas])) for measure in (codes.banding, codes.blocking)
    )
    rounding = 0.0 if floating else 0.5 * 2.0 ** (8 - bits)
    if bits > 8:
        # What is there to be had is what the coder lost, not what rounding did.
        bound = params.bound or min(step * _FROM_STEP, _MOST_BOUND)
    else:
        bound = params.bound or min(rounding + step * _FROM_STEP, _MOST_BOUND)
    blocky = blocking > (_BLOCKY_FILTERED if coding.codec in _FILTERED else _BLOCKY)
    deblock = min(max(step / 8, 1.0), _MOST_DEBLOCK) if blocky and coding.codec not in _LOSSLESS else 0.0
    halved = stored is not None and stored.form.family == "yuv" and (stored.form.across or stored.form.down)
    found = Findings(
        codec=coding.codec, layout=form.name if form is not None else "", bits=bits,
        bits_per_pixel=coding.bits_per_pixel, quantizer=round(step, 3), banding=round(banding, 4),
        blocking=round(blocking, 3), encoding=_encoding(frames, lumas, params),
        bound=round(bound if params.gradients else 0.0, 3), deblock=round(deblock if params.blocks else 0.0, 3),
        chroma=1.0 if params.chroma and halved and bits == 8 and not _woven(frames[0]) else 0.0,
    )  # fmt: skip
    return found.model_copy(update={"note": _said(found, bits)})


_LOSSLESS = ("ffv1", "v210", "rawvideo", "huffyuv", "utvideo", "dpx", "openexr", "tiff", "png")


def _said(found: Findings, bits: int) -> str:
    said = []
    if bits > 8:
        said.append(f"the source has {bits} bits: nothing to interpolate")
        if found.bound or found.deblock:
            said.append("only what the coder left is worked on")
    estimated = []
    if found.bound:
        estimated.append(f"values between the codes in even areas, by {found.bound:g} codes at most")
    if found.chroma:
        estimated.append("chroma between its sites where luma shows it")
    if found.deblock:
        estimated.append(f"borders of blocks, by {found.deblock:g} codes at most")
    if estimated:
        said.append("estimated, not recovered: " + ", ".join(estimated))
    else:
        said.append("nothing is changed")
    if found.encoding == "log":
        said.append("log footage, worked on in its own encoding")
    return "; ".join(said)


def _encoding(frames: list[Frame], lumas: list[Plane], params: Params) -> Literal["display", "log"]:
    """Log footage has neither blacks nor whites, and little color: what is dark lies well above black."""
    transfer = frames[0].color.transfer
    if params.encoding != "auto":
        return params.encoding
    if transfer in ("smpte2084", "arib-std-b67", "linear"):
        return "display"
    if "log" in transfer:
        return "log"
    low, high = np.percentile(np.concatenate([luma.ravel()[::7] for luma in lumas]), (0.5, 99.5))
    thin = [frame.pixels[:, ::4, ::4] for frame in frames]
    colored = float(np.mean([float((p.amax(dim=0) - p.amin(dim=0)).nan_to_num().mean()) for p in thin]))
    flat = low > 16 + 0.09 * 219 and high < 16 + 0.8 * 219 and high - low > 25
    return "log" if flat and colored < 0.12 else "display"


def _luma(frame: Frame) -> Plane:
    """Luma in 8-bit codes of limited range, as stored where that is known."""
    stored = _stored(frame)
    if stored is not None and stored.form.family != "rgb":
        return stored.luma()
    return np.asarray(16 + 219 * spaces.luma(torch.nan_to_num(frame.pixels.cpu()))[0].numpy(), np.float32)


# ------------------------------------------------------------------------------------------------------------ render


def run(frames: Iterator[Frame], params: Params, findings: Findings | None, device: torch.device) -> Iterator[Frame]:
    """Each frame with what was estimated added to its pixels."""
    if findings is None:
        raise SettingsError("bitdepth needs Findings: analyze the shot first")
    idle = params.model == "bounds" and not (findings.bound or findings.deblock or findings.chroma)
    if params.strength == 0 or idle:
        yield from frames
        return
    learned = _learned(params, findings, device)
    for window in windows(frames, handles(params)):
        frame = window.center
        change = _change(frame, findings, learned(window) if learned is not None else None) * params.strength
        if frame.matte is not None:
            change = change * frame.matte
        # What is not touched must stay bit for bit, so that it is written as the code value it was.
        yield frame.with_pixels(torch.where(change == 0, frame.pixels, frame.pixels + change))


def handles(params: Params) -> int:
    """Neighbors that the model looks at."""
    return {"bounds": 0, "network": _NEIGHBORS, "toflow": HANDLES}[params.model]


def networks(params: Params) -> tuple[str, ...]:
    """The network of that model, unless a file is named."""
    if params.weights is not None:
        return ()
    return {"bounds": (), "network": ("bitdepth",), "toflow": ("toflow",)}[params.model]


_NEIGHBORS = 1  # that the network of ours sees on each side
_Learned = Callable[[Window], Plane | None]


def _learned(params: Params, findings: Findings, device: torch.device) -> _Learned | None:
    """What a network adds to Y', Cb, Cr at every pixel, in codes; None for frames it cannot work on.

    Raises:
        WeightsError: there are no trained weights of it.
    """
    if params.model == "network":
        return _by_network(bitdepth_net.load(params.weights), findings, device)
    if params.model == "toflow":
        return _by_toflow(toflow.load(params.weights), device)
    return None


def _by_network(network: bitdepth_net.Decoder, findings: Findings, device: torch.device) -> _Learned:
    run_it = engine.ready(network, device)
    radius = network.config.radius

    def look(window: Window) -> Plane | None:
        middle = len(window.frames) // 2
        seen = [_stored(frame) for frame in window.frames[middle - radius : middle + radius + 1]]
        stored = [one for one in seen if one is not None and one.form.name == "yuv420p"]
        if len(stored) < len(seen):
            return None
        height, width = stored[0].planes[0].shape
        luma = torch.stack([one.planes[0] for one in stored])[None].float() / 255
        chroma = torch.stack([plane for one in stored for plane in one.planes[1:3]])[None].float() / 255
        luma = F.pad(luma, (0, width % 2, 0, height % 2), mode="replicate")
        made = run_it(luma, chroma, torch.full((1, 1, 1, 1), findings.quantizer))
        return np.asarray(made[0, :, :height, :width].cpu().numpy())

    return look


def _by_toflow(network: toflow.TOFlow, device: torch.device) -> _Learned:
    run_it = engine.ready(network, device)

    def look(window: Window) -> Plane | None:
        frames = torch.cat([torch.nan_to_num(frame.pixels) for frame in window.frames])[None]
        made = engine.tiled(run_it, [frames], multiple=network.multiple)[0].cpu()
        stored = _stored(window.center)
        color = stored.color if stored is not None else window.center.color
        return _codes_of(made - window.center.pixels, color)

    return look


def _codes_of(change: Tensor, color: ColorTags) -> Plane:
    """A difference of R'G'B' as one of Y', Cb, Cr in 8-bit codes."""
    kr, kb = spaces.LUMA_WEIGHTS.get(color.matrix, spaces.LUMA_WEIGHTS["bt709"])
    scale, chroma_scale = _scales(color)
    red, green, blue = change.numpy()
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    differences = ((blue - luma) / (1 - kb) / 2, (red - luma) / (1 - kr) / 2)
    made: Plane = np.stack([scale * luma, *(chroma_scale * each for each in differences)]).astype(np.float32)
    return made


def _scales(color: ColorTags) -> tuple[np.float32, np.float32]:
    """8-bit codes from black to white, and from one end of chroma to the other."""
    if color.range == "full":
        return np.float32(255), np.float32(255)
    return np.float32(219), np.float32(224)


def _change(frame: Frame, findings: Findings, learned: Plane | None) -> Tensor:
    """What is added to R'G'B', (3, H, W); what a network adds in Y'CbCr comes in front of the bounds."""
    stored = _stored(frame)
    if stored is None or stored.form.family == "rgb":
        own = _change_of_pixels(frame, findings)
        return (
            own if learned is None else own + torch.from_numpy(_rgb(*_scaled(learned, frame.color), frame.color.matrix))
        )
    luma = stored.luma()
    shown = luma if learned is None else luma + learned[0]
    added = _worked(shown, findings) - luma
    scale, chroma_scale = _scales(stored.color)
    if learned is not None and stored.form.family == "yuv":
        # The network has its own say in chroma; luma goes on into the bounds.
        _, blue, red = _scaled(learned, stored.color)
        return torch.from_numpy(_rgb(added / scale, blue, red, stored.color.matrix))
    if stored.form.family == "gray":
        return torch.from_numpy(added / scale).expand(3, -1, -1)
    differences = [stored.chroma(index, luma, findings) / chroma_scale for index in (1, 2)]
    return torch.from_numpy(_rgb(added / scale, differences[0], differences[1], stored.color.matrix))


def _change_of_pixels(frame: Frame, findings: Findings) -> Tensor:
    """The same on R', G' and B', where these are what was stored, or all that is left of it."""
    whole = torch.nan_to_num(frame.pixels.cpu(), nan=0.0, posinf=1.0, neginf=0.0).numpy() * 255
    made = np.stack([_worked(plane, findings) - plane for plane in whole]) / 255
    change = torch.from_numpy(made.astype(np.float32))
    return torch.where(torch.isfinite(frame.pixels), change, 0.0)


def _scaled(added: Plane, color: ColorTags) -> tuple[Plane, Plane, Plane]:
    """Differences in codes as ones of Y' in 0..1 and Cb, Cr in -1/2..1/2."""
    scale, chroma_scale = _scales(color)
    return added[0] / scale, added[1] / chroma_scale, added[2] / chroma_scale


def _worked(plane: Plane, findings: Findings) -> Plane:
    """A plane at full size without blocks and bands."""
    calm = codes.deblocked(plane, findings.deblock)
    return codes.debanded(calm, findings.bound)


def _rgb(luma: Plane, blue: Plane, red: Plane, matrix: str) -> Plane:
    """Differences of Y', Cb, Cr as differences of R', G', B'."""
    kr, kb = spaces.LUMA_WEIGHTS.get(matrix, spaces.LUMA_WEIGHTS["bt709"])
    r, b = 2 * (1 - kr) * red, 2 * (1 - kb) * blue
    g = -(kr * r + kb * b) / (1 - kr - kb)
    made: Plane = np.stack([luma + r, luma + g, luma + b]).astype(np.float32)
    return made


@dataclass(frozen=True, eq=False)
class _Stored:
    """The planes of a frame that no operation has changed, as floats in units of 8-bit codes."""

    planes: tuple[Tensor, ...]
    form: planar.Layout
    color: ColorTags

    def luma(self) -> Plane:
        return self._plane(0)

    def chroma(self, index: int, luma: Plane, findings: Findings) -> Plane:
        """What is added to a plane of chroma, at every pixel."""
        plane = self._plane(index)
        height, width = luma.shape
        down = (1 << self.form.down, 1 << self.form.across)
        site = planar.SITES.get(self.color.siting, planar.SITES["left"])
        calm = codes.debanded(plane, findings.bound) - plane
        if down == (1, 1):
            return calm
        added = codes.upsampled(calm, height, width, site, down)
        if findings.chroma and min(plane.shape) >= 3:
            added = added + findings.chroma * codes.luma_detail(plane, luma, site, down)
        return added

    def _plane(self, index: int) -> Plane:
        scale = np.float32(2.0 ** (8 - self.form.bits)) if not self.form.floating else np.float32(255)
        plane: Plane = self.planes[index].cpu().numpy().astype(np.float32) * scale
        return plane


def _stored(frame: Frame) -> _Stored | None:
    """The stored planes; None where pixels are no longer theirs, or fields are woven in 4:2:0."""
    origin = frame.origin
    if origin is None or (frame.pixels is not origin.pixels and not torch.equal(frame.pixels, origin.pixels)):
        return None
    form = planar.layout(origin.layout)
    if _woven(frame) or origin.color.matrix == "ycgco":
        return None
    return _Stored(origin.planes, form, origin.color)


def _woven(frame: Frame) -> bool:
    return frame.origin is not None and frame.origin.interlaced
