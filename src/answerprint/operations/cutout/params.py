"""Parameters of the cutout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from answerprint.settings import Settings


class Params(Settings):
    """The target, the search for its contour, its edge, and the delivery."""

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
    start_number: int = Field(0, ge=0, description="Number of the clip's first frame in the prior's file names.")
    tolerance: float = Field(
        12.0, ge=0, le=100, description="Largest error of a rough shape, in percent of the target's size."
    )
    model: Literal["regions", "chan-vese"] = Field(
        "regions", description="regions: color histograms and motion; chan-vese: the basic model alone, to compare."
    )
    evidence_weight: float = Field(
        1.0, ge=0, le=10, description="Weight of the evidence per pixel: color histograms, motion, clean plate."
    )
    mean_weight: float = Field(0.05, ge=0, le=10, description="Weight of mean color and texture (AEPR, equation 2).")
    prior_weight: float = Field(0.2, ge=0, le=10, description="Weight of the prior shape.")
    smoothness: float = Field(0.15, ge=0, le=10, description="Weight of the contour's length; higher is smoother.")
    plate_weight: float = Field(
        1.0, ge=0, le=10, description="Weight of the difference from a clean plate; 0 makes no plate."
    )
    mean_radius: int = Field(24, ge=0, le=500, description="Radius of the means in pixels; 0 takes the whole region.")
    iterations: int = Field(20, ge=1, le=1000, description="Iterations of the contour per frame.")
    search: float = Field(
        24.0, ge=1, le=200, description="Largest distance in pixels from the contour that the flow gives."
    )
    camera: Literal["auto", "static", "moving"] = Field("auto", description="Camera motion; auto measures it.")
    threshold: Literal["noise", "otsu"] = Field("noise", description="Method of the threshold of frame differences.")
    level: float = Field(0.0, ge=0, le=1, description="Fixed threshold of the difference instead; 0: automatic.")
    depth: Path | None = Field(None, description="Clip or sequence of depth, one frame per frame of the clip.")
    depth_model: Path | None = Field(None, description="Monocular depth network: .onnx, or TorchScript (.pt).")
    depth_influence: float = Field(
        0.5, ge=0, le=1, description="Influence of depth: moving regions of steady depth are dropped; 0 ignores depth."
    )
    working_size: int = Field(960, ge=64, le=8192, description="Long side in pixels at which the contour is found.")
    thin: bool = Field(True, description="Track ropes, wires and rods in the narrow parts of a prior.")
    edge: Literal["guided", "closed-form", "hard"] = Field(
        "guided", description="Method of the soft edge; closed-form is slow, for hair."
    )
    band: float = Field(5.0, ge=0, le=200, description="Half-width of the soft band in pixels.")
    feather: float = Field(0.0, ge=0, le=200, description="Blur of the finished matte in pixels.")
    grow: float = Field(0.0, ge=-200, le=200, description="Growth of the contour in pixels; below 0 it shrinks.")
    decontaminate: bool = Field(True, description="Remove background color from the edge (deliver alpha).")
