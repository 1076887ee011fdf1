"""Parameters of the cutout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from answerprint.settings import Settings


class Params(Settings):
    """What is cut out, and how its edge is made."""

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
