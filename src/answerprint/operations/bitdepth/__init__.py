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

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from answerprint.frame import Frame, Shot
from answerprint.operation import windows
from answerprint.operations.bitdepth import analysis, learned
from answerprint.operations.bitdepth.analysis import Encoding
from answerprint.operations.bitdepth.change import change
from answerprint.settings import Settings

HANDLES = 3
STRENGTH = True
QUANTIZERS = True
Model = Literal["bounds", "network", "toflow"]


class Params(Settings):
    """Which artifacts are worked on, and how far."""

    model: Model = Field(
        "network", description="network: ours in front of filters; bounds: the filters alone; toflow: the paper's."
    )
    strength: float = Field(1.0, ge=0, le=1, description="Share of the change; 0 is the source.")
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
        description="The camera's log curve, or log for any; a note only, all work is in the footage's own encoding.",
    )
    frames: int = Field(5, ge=1, le=64, description="Frames measured, spread through the shot.")
    weights: Path | None = Field(
        None, description="File of trained weights for the network or TOFlow, in place of those that ship."
    )


class Findings(Settings):
    """Storage of the shot, its artifacts, and the bounds of their repair."""

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
    encoding: Encoding = Field("display", description="Display encoding or log, from tags or guessed.")
    banding: float = Field(0.0, ge=0, le=1, description="Share of pixels at steps that part even areas.")
    blocking: float = Field(0.0, ge=0, description="How much larger steps across borders of blocks are; 0 no blocks.")
    bound: float = Field(0.0, ge=0, description="Largest change of a gradient in 8-bit codes; 0 leaves gradients.")
    deblock: float = Field(0.0, ge=0, description="Largest change at the border of a block in 8-bit codes; 0 none.")
    chroma: float = Field(0.0, ge=0, le=1, description="Share of the detail of chroma that luma shows.")
    learned: float = Field(0.0, ge=0, le=1, description="Share of the network's change of luma; 0 is without it.")
    note: str = Field("", description="What is estimated, and what is not.")


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:  # noqa: ARG001
    """Takes codec and quantizer from the stream where it has them, banding and blocking from pixels."""
    return Findings.of(analysis.measure(shot, params))


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Each frame with the estimated values added to its pixels."""
    if not (findings.bound or findings.deblock or findings.chroma or findings.learned):
        yield from frames
        return
    model = learned.load(params.model, params.weights, findings, device)
    for window in windows(frames, handles(params)):
        frame = window.center
        difference = torch.from_numpy(change(frame, findings, model(window) if model else None))
        # Untouched pixels must stay bit for bit, so that they are written as the code values that they were.
        yield frame.with_pixels(torch.where(difference == 0, frame.pixels, frame.pixels + difference))


def handles(params: Params) -> int:
    """Neighbors that the model reads."""
    return {"bounds": 0, "network": learned.NEIGHBORS, "toflow": HANDLES}[params.model]


def cost(params: Params) -> float:
    """Optical flow between the frames takes most of it (toflow)."""
    return {"bounds": 0.1, "network": 0.2, "toflow": 1.0}[params.model]


def networks(params: Params) -> tuple[str, ...]:
    """The network of that model, unless a file is named."""
    if params.weights is not None:
        return ()
    return {"bounds": (), "network": ("bitdepth",), "toflow": ("toflow",)}[params.model]
