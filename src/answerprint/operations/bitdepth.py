"""Bit depth: gives 8-bit 4:2:0 footage the values between its codes, for grading as 10-bit 4:2:2.

After "Decoding Consumer Grade Video for Filmmaking" (Eder), which names three tasks, and its own failure: smooth
regions (sky, skin, defocus). Here each task is worked on within what the stored code value allows (`coding/codes.py`):

artifact removal     steps across the borders of coded blocks are evened out, as far as the coder's quantizer can have
                     made them, where the shot shows such blocks at all
chroma               between the sites of chroma, rightly placed, the detail of luma comes in where both go together
bit depth            slow gradients get back the values between the codes: within half a code, and a part of the
                     quantizer where the stream tells it; edges, texture and grain are left alone

Everything is done on the planes as they were stored, in the footage's own encoding: log footage is worked on as log.
What no task touches stays the very code value that it was. Detail that the coder threw away is not invented.

That is `--model bounds`. `network`, the default, puts a small network in front of it that looks at the stored planes of
seven frames and at the quantizer of each of their blocks, and may move a value by half a code and half a quantizer step
at most (nets/bitdepth.py); it works on progressive 8-bit 4:2:0 with chroma sited left; on all else the filters work
alone. `toflow` is the paper's network, seven frames aligned by flow (nets/toflow.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from answerprint.coding import codes
from answerprint.coding.codes import Plane
from answerprint.color import spaces
from answerprint.errors import SettingsError
from answerprint.frame import Coding, ColorTags, Frame, Shot
from answerprint.inference import engine, weights
from answerprint.media import pixels as planar
from answerprint.nets import bitdepth as bitdepth_net
from answerprint.nets import toflow
from answerprint.operation import Window, windows
from answerprint.settings import Settings

HANDLES = 3
OWN = ("findings", "finite", "matte")
QUANTIZERS = True
Model = Literal["bounds", "network", "toflow"]
Encoding = Literal["display", "log", "s-log2", "s-log3", "c-log", "c-log2", "c-log3", "v-log", "log-c", "f-log"]


class Params(Settings):
    """What the user may say."""

    model: Model = Field(
        "network", description="network: ours in front of filters; bounds: the filters alone; toflow: the paper's."
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
    encoding: Literal["auto"] | Encoding = Field(
        "auto",
        description="The camera's log curve, or log of any; only told, all work is in the footage's own encoding.",
    )
    frames: int = Field(5, ge=1, le=64, description="Frames spread through the shot that are measured.")
    weights: Path | None = Field(None, description="Trained weights of your own for the network or TOFlow.")


class Findings(Settings):
    """What the shot was stored as, what that did to it, and how far it may be moved."""

    codec: str = Field("", description="Codec of the source; empty where it is not known.")
    layout: str = Field("", description="How pixels are stored; empty where it is not known.")
    bits: int = Field(8, ge=1, le=32, description="Bits a sample of the source.")
    bits_per_pixel: float = Field(0.0, ge=0, description="Of the video stream; 0 where it is not known.")
    quantizer: float = Field(
        0.0,
        ge=0,
        description="Mean step of the coder's quantizer in 8-bit codes, 0 is not known; the network goes by that of "
        "every block beside it where the decoder tells it.",
    )
    encoding: Encoding = Field("display", description="Display encoding or log, told or guessed.")
    banding: float = Field(0.0, ge=0, le=1, description="Share of pixels at steps that part even areas.")
    blocking: float = Field(0.0, ge=0, description="How much larger steps across borders of blocks are; 0 no blocks.")
    bound: float = Field(0.0, ge=0, description="Largest change of a gradient in 8-bit codes; 0 leaves gradients.")
    deblock: float = Field(0.0, ge=0, description="Largest change at the border of a block in 8-bit codes; 0 none.")
    chroma: float = Field(0.0, ge=0, le=1, description="Share of the detail of chroma that luma shows.")
    learned: float = Field(0.0, ge=0, le=1, description="Share of what a network finds in luma; 0 is without it.")
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
    # Where other operations changed the pixels, the depth of the source is still known.
    origin = frames[0].origin
    form = planar.layout(origin.layout) if origin is not None else None
    bits = form.bits if form is not None else 8
    floating = form is not None and form.floating
    lumas = [_luma(frame) for frame in frames]
    told = coding.step * 2.0 ** (8 - bits) if bits <= 16 else 0.0
    lossy = coding.codec not in _LOSSLESS
    guess = float(np.mean([codes.quantizer(luma, coding.bits_per_pixel) for luma in lumas])) if lossy else 0.0
    step = told or guess
    banding, blocking = (
        float(np.mean([measure(luma) for luma in lumas])) for measure in (codes.banding, codes.blocking)
    )
    # Beyond 8 bits there is nothing to be had but what the coder lost.
    rounding = 0.5 if bits <= 8 and not floating else 0.0
    bound = params.bound or min(rounding + step * _FROM_STEP, _MOST_BOUND)
    blocky = blocking > (_BLOCKY_FILTERED if coding.codec in _FILTERED else _BLOCKY)
    # Deep footage is left alone unless its coder's quantizer says how far a border can be off.
    deblock = min(max(step / 8, 1.0), _MOST_DEBLOCK) if blocky and lossy and (step or bits <= 8) else 0.0
    halved = stored is not None and stored[0].form.family == "yuv" and (stored[0].form.across or stored[0].form.down)
    encoding, why = _encoding(frames, lumas, coding, params)
    found = Findings(
        codec=coding.codec, layout=form.name if form is not None else "", bits=bits,
        bits_per_pixel=coding.bits_per_pixel, quantizer=round(step, 3), banding=round(banding, 4),
        blocking=round(blocking, 3), encoding=encoding,
        bound=round(bound if params.gradients else 0.0, 3), deblock=round(deblock if params.blocks else 0.0, 3),
        chroma=1.0 if params.chroma and halved and bits == 8 else 0.0,
        learned=round(_sure(step, params), 3) if params.blocks and _suits(frames[0], params) else 0.0,
    )  # fmt: skip
    said = [_of_quantizer(coding, guess), _of_frames(frames[0], params, bits), _said(found, bits), why]
    return found.model_copy(update={"note": "; ".join(part for part in said if part)})


# Steps of the quantizer up to which the network finds nothing in luma, and from which it is believed: it learned at
# 0.04 to 0.25 bits a pixel. On footage coded without loss it cost 0.5 and 1.5 dB of luma, at a step of 3.3 0.2 dB.
_NOTHING_TAKEN, _TAKEN = 1.0, 6.0


def _sure(step: float, params: Params) -> float:
    if params.model != "network":
        return 1.0
    return min(max((step - _NOTHING_TAKEN) / (_TAKEN - _NOTHING_TAKEN), 0.0), 1.0)


_LOSSLESS = ("ffv1", "v210", "rawvideo", "huffyuv", "utvideo", "dpx", "openexr", "tiff", "png")


def _of_quantizer(coding: Coding, guess: float) -> str:
    if coding.step:
        of_headers = coding.codec in ("hevc", "av1")
        return "the quantizer is that of the pictures' headers; blocks may differ" if of_headers else ""
    return (
        f"the stream does not tell its quantizer: a step of {guess:.1f} is a guess by rate and detail" if guess else ""
    )


def _of_frames(frame: Frame, params: Params, bits: int) -> str:
    """What kind of frames keeps the network from working on them."""
    if _woven(frame):
        alone = " and by the filters alone" if params.model == "network" else ""
        return f"interlaced: each field is worked on by itself{alone}"
    if params.model == "network" and bits <= 8 and not _suits(frame, params):
        return f"by the filters alone: {_unlike(frame)}"
    return ""


def _unlike(frame: Frame) -> str:
    """Why the network of ours cannot work on frames of 8 bits."""
    if frame.origin is None or _stored(frame) is None:
        return "the network knows 8-bit 4:2:0 footage as it is stored, and the frames were changed before"
    if min(frame.height, frame.width) < _SMALLEST:
        return f"the network needs frames of {_SMALLEST} pixels and more"
    if frame.origin.layout != "yuv420p":
        return f"the network knows 8-bit 4:2:0 footage, and this is stored as {frame.origin.layout}"
    return f"the network knows chroma sited left, and here it is {frame.origin.color.siting}"


def _said(found: Findings, bits: int) -> str:
    said = []
    if bits > 8:
        said.append(f"the source has {bits} bits: nothing to interpolate")
        if found.bound or found.deblock:
            said.append("only what the coder left is worked on")
    estimated = []
    if found.learned:
        estimated.append("what the coder took, by a network")
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
    return "; ".join(said)


# Luma of log footage in 8-bit codes: black of S-Log3 and LogC lies at 95 of 1023, that of V-Log and C-Log at 128; what
# is white in front of the camera lies near 600, and only lights are above. Of 94 pictures put through these curves it
# found 88 (S-Log3), 91 (V-Log), 92 (LogC) and 60 (C-Log), and took 5 of the 94 themselves for log.
_LOG_BLACK, _LOG_WHITE, _LOG_LIGHTS = 22.0, 165.0, 205.0
_LOG_COLOR = 0.12  # mean of the largest less the smallest of R', G', B'


def _encoding(frames: list[Frame], lumas: list[Plane], coding: Coding, params: Params) -> tuple[Encoding, str]:
    """The encoding, and how it is known."""
    transfer = frames[0].color.transfer
    if params.encoding != "auto":
        told = "" if params.encoding == "display" else f"{params.encoding} footage as told"
        return params.encoding, _own(told)
    if coding.log:
        return cast(Encoding, coding.log), _own(f"{coding.log} footage by the clip's tags")
    if transfer in ("smpte2084", "arib-std-b67", "linear"):
        return "display", ""
    if "log" in transfer:
        return "log", _own("log footage by the clip's tags")
    seen = np.concatenate([luma.ravel()[::7] for luma in lumas])
    black, dark, bright, lights = (float(each) for each in np.percentile(seen, (0.2, 5, 95, 99.8)))
    thin = [frame.pixels[:, ::4, ::4] for frame in frames]
    colored = float(np.mean([float((p.amax(dim=0) - p.amin(dim=0)).nan_to_num().mean()) for p in thin]))
    within = black > _LOG_BLACK and bright < _LOG_WHITE and lights < _LOG_LIGHTS and bright - dark > 20
    if within and colored < _LOG_COLOR:
        return "log", _own(f"a guess: log footage, its black near {4 * black:.0f} of 1023, little color and no white")
    return "display", ""


def _own(how: str) -> str:
    return f"{how}, worked on in its own encoding" if how else ""


def _luma(frame: Frame) -> Plane:
    """Luma in 8-bit codes of limited range, as stored where that is known; of the upper field where two are woven."""
    stored = _stored(frame)
    if stored is not None and stored[0].form.family != "rgb":
        return stored[0].luma()
    return np.asarray(16 + 219 * spaces.luma(torch.nan_to_num(frame.pixels.cpu()))[0].numpy(), np.float32)


# ------------------------------------------------------------------------------------------------------------ render


def run(frames: Iterator[Frame], params: Params, findings: Findings | None, device: torch.device) -> Iterator[Frame]:
    """Each frame with what was estimated added to its pixels."""
    if findings is None:
        raise SettingsError("bitdepth needs Findings: analyze the shot first")
    idle = not (findings.bound or findings.deblock or findings.chroma or findings.learned)
    if params.strength == 0 or idle:
        yield from frames
        return
    learned = _learned(params, findings, device)
    for window in windows(frames, handles(params)):
        frame = window.center
        change = torch.from_numpy(_change(frame, findings, learned(window) if learned else None)) * params.strength
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


_SMALLEST = 4  # side of a frame that the network works on
_NEIGHBORS = bitdepth_net.Config().radius
_Learned = Callable[[Window], Plane | None]
_N = TypeVar("_N", bound=nn.Module)


def _learned(params: Params, findings: Findings, device: torch.device) -> _Learned | None:
    """What a network adds to Y', Cb, Cr at every pixel, in codes; None for frames it cannot work on.

    Raises:
        WeightsError: there are no trained weights of it.
    """
    if not (findings.learned or findings.chroma):
        return None
    if params.model == "network":
        return _by_network(*_network(params.weights, device), findings)
    if params.model == "toflow":
        return _by_toflow(*_toflow(params.weights, device))
    return None


def _ready(network: _N, device: torch.device) -> tuple[_N, engine.Run]:
    return network, engine.ready(network, device)


_network = weights.kept("bitdepth", lambda path, device: _ready(bitdepth_net.load(path), device))
_toflow = weights.kept("toflow", lambda path, device: _ready(toflow.load(path), device))


def _suits(frame: Frame, params: Params) -> bool:
    """Whether the model that is asked for works on such frames; ours learned on 8-bit 4:2:0 as it is stored."""
    if params.model != "network":
        return params.model == "toflow"
    stored = _stored(frame)
    if stored is None or len(stored) > 1 or min(frame.height, frame.width) < _SMALLEST:
        return False
    return stored[0].form.name == "yuv420p" and stored[0].site == planar.SITES["left"]


def _by_network(network: bitdepth_net.Decoder, run_it: engine.Run, findings: Findings) -> _Learned:
    radius = network.config.radius

    def look(window: Window) -> Plane | None:
        middle = len(window.frames) // 2
        if not _suits(window.center, _NETWORK):
            return None
        own = _planes(window.center, findings)
        beside = [window.frames[middle + offset] for offset in range(-radius, radius + 1) if offset]
        # A neighbor that is stored otherwise, or that another operation changed, says no more than the frame itself.
        others = [_planes(frame, findings) if _suits(frame, _NETWORK) else own for frame in beside]
        shown = [own, *codes.laid(own[0], others)]
        told = bitdepth_net.stacked([[torch.from_numpy(plane) for plane in planes] for planes in shown])
        planes = bitdepth_net.folded(told[0][None], told[1][None])
        steps = torch.from_numpy(codes.steps_of(np.stack([each[3] for each in shown])))[None]
        step = torch.full_like(planes[:, :1], findings.quantizer)
        made = bitdepth_net.unfolded(engine.tiled(run_it, [planes, step, steps], multiple=1, overlap=_OVERLAP))
        return np.asarray(made[0, :, : window.center.height, : window.center.width].cpu().numpy())

    return look


_NETWORK = Params(model="network")
_OVERLAP = 96  # more than four times what the network sees around a pixel, as tiles fade into each other


def _planes(frame: Frame, findings: Findings) -> tuple[codes.Codes, codes.Codes, codes.Codes, codes.Codes]:
    """Y, Cb, Cr as stored and levels of the quantizer beside them; luma of odd sizes goes on to even ones."""
    origin = frame.origin
    if origin is None:
        raise ValueError("a frame without its planes")
    y, cb, cr = (np.asarray(plane.cpu().numpy(), np.uint8) for plane in origin.planes[:3])
    height, width = y.shape
    steps = findings.quantizer if origin.steps is None else origin.steps.numpy()
    levels = codes.leveled(steps, *cb.shape)
    return np.pad(y, ((0, height % 2), (0, width % 2)), mode="edge"), cb, cr, levels


def _by_toflow(network: toflow.TOFlow, run_it: engine.Run) -> _Learned:
    def look(window: Window) -> Plane | None:
        frames = torch.cat([torch.nan_to_num(frame.pixels) for frame in window.frames])[None]
        made = engine.tiled(run_it, [frames], multiple=network.multiple)[0].cpu()
        stored = _stored(window.center)
        color = stored[0].color if stored is not None else window.center.color
        return _codes_of(made - window.center.pixels, color)

    return look


def _codes_of(change: Tensor, color: ColorTags) -> Plane:
    """A difference of R'G'B' as one of Y', Cb, Cr in 8-bit codes."""
    scale, chroma_scale = _scales(color)
    planes: list[Plane] = list(change.numpy())
    luma, *differences = spaces.to_ycbcr(planes[0], planes[1], planes[2], color.matrix)
    made: Plane = np.stack([scale * luma, *(chroma_scale * each for each in differences)]).astype(np.float32)
    return made


def _scales(color: ColorTags) -> tuple[np.float32, np.float32]:
    """8-bit codes from black to white, and from one end of chroma to the other."""
    if color.range == "full":
        return np.float32(255), np.float32(255)
    return np.float32(219), np.float32(224)


def _change(frame: Frame, findings: Findings, learned: Plane | None) -> Plane:
    """What is added to R'G'B', (3, H, W); what a network adds in Y'CbCr comes in front of the bounds."""
    if learned is not None:
        learned = np.stack((findings.learned * learned[0], *(findings.chroma * learned[1:])))
    stored = _stored(frame)
    if stored is None or stored[0].form.family == "rgb":
        own = _change_of_pixels(frame, findings)
        return own if learned is None else own + _rgb(*_scaled(learned, frame.color), frame.color.matrix)
    change: Plane = np.empty(tuple(frame.pixels.shape), np.float32)
    for field, picture in enumerate(stored):
        rows = slice(field, None, len(stored))
        change[:, rows] = _change_of(picture, findings, None if learned is None else learned[:, rows])
    return change


def _change_of(stored: _Stored, findings: Findings, learned: Plane | None) -> Plane:
    """The same for a picture, or one of its fields."""
    luma = stored.luma()
    shown = luma if learned is None else luma + learned[0]
    scale, chroma_scale = _scales(stored.color)
    added = (_worked(shown, findings) - luma) / scale
    if stored.form.family == "gray":
        made: Plane = np.stack([added] * 3)
        return made
    own = (None, None) if learned is None else learned[1:]
    blue, red = (stored.chroma(index, luma, findings, own[index - 1]) / chroma_scale for index in (1, 2))
    return _rgb(added, blue, red, stored.color.matrix)


def _change_of_pixels(frame: Frame, findings: Findings) -> Plane:
    """The same on R', G' and B', where these are what was stored, or all that is left of it."""
    whole = torch.nan_to_num(frame.pixels.cpu(), nan=0.0, posinf=1.0, neginf=0.0).numpy() * 255
    made = np.stack([_worked(plane, findings) - plane for plane in whole]) / 255
    change: Plane = np.where(torch.isfinite(frame.pixels).cpu().numpy(), made, 0).astype(np.float32)
    return change


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
    made: Plane = np.stack(spaces.from_ycbcr(luma, blue, red, matrix)).astype(np.float32)
    return made


@dataclass(frozen=True, eq=False)
class _Stored:
    """The planes of a frame that no operation has changed, or those of one of its fields; floats in 8-bit codes."""

    planes: tuple[Tensor, ...]
    form: planar.Layout
    color: ColorTags
    site: tuple[float, float]

    def luma(self) -> Plane:
        return self._plane(0)

    def chroma(self, index: int, luma: Plane, findings: Findings, learned: Plane | None) -> Plane:
        """What is added to a plane of chroma, at every pixel; what a network found comes in front of the bounds."""
        plane = self._plane(index)
        height, width = luma.shape
        down = (1 << self.form.down, 1 << self.form.across)
        shown, bound = plane, findings.bound
        if learned is not None:
            shown = np.add(plane, codes.thinned(learned, plane.shape[0], plane.shape[1], self.site, down))
            # Chroma is even in most places: by more than rounding, what the network found there would be smoothed away.
            bound = min(bound, bitdepth_net.ROUNDING)
        calm = codes.debanded(shown, bound) - shown
        added = calm if down == (1, 1) else codes.upsampled(calm, height, width, self.site, down)
        if learned is not None:
            return added + learned
        if findings.chroma and down != (1, 1) and min(plane.shape) >= 3:
            added = added + findings.chroma * codes.luma_detail(plane, luma, self.site, down)
        return added

    def _plane(self, index: int) -> Plane:
        scale = np.float32(2.0 ** (8 - self.form.bits)) if not self.form.floating else np.float32(255)
        plane: Plane = self.planes[index].cpu().numpy().astype(np.float32) * scale
        return plane


def _stored(frame: Frame) -> list[_Stored] | None:
    """The stored planes, for each field where two are woven; None where pixels are no longer theirs."""
    origin = frame.origin
    if origin is None or (frame.pixels is not origin.pixels and not torch.equal(frame.pixels, origin.pixels)):
        return None
    if origin.color.matrix == "ycgco":
        return None
    form = planar.layout(origin.layout)
    across, down = planar.SITES.get(origin.color.siting, planar.SITES["left"])
    if not _woven(frame):
        return [_Stored(origin.planes, form, origin.color, (across, down))]
    # Chroma line k of the frame lies at luma line 2 k + down (ISO/IEC 13818-2, 6.1.1.8); here in lines of a field.
    return [
        _Stored(tuple(plane[field::2] for plane in origin.planes), form, origin.color, (across, (field + down) / 2))
        for field in (0, 1)
    ]


def _woven(frame: Frame) -> bool:
    return frame.field_order in ("tff", "bff") and frame.height > 1
