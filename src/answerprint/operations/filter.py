"""Classical filters: smoothing, contrast by histogram, sharpening.

| kind | what it does | source |
|---|---|---|
| gaussian | blurs by `sigma` | |
| bilateral | smooths within `radius` and `sigma`, keeps edges higher than `edge` | Tomasi and Manduchi 1998 |
| median | removes specks smaller than `radius` | Huang, Yang and Tang 1979 |
| guided | smooths texture weaker than `edge`, keeps edges; guided by luma | He, Sun and Tang 2010 |
| equalize | spreads the luma of the shot over the whole range | |
| clahe | the same in tiles, with the gain limited by `clip` | Zuiderveld 1994 |
| laplacian | sharpens: subtracts `amount` times the Laplacian of the picture blurred by `sigma` | |

Super-whites and sub-blacks are filtered like everything else; the two that work by histogram map 0..1 and carry along
what lies beyond by the distance it has from there.

`equalize` measures one curve per shot, over frames spread through it (the findings: the curve can be edited), so
nothing flickers. `clahe` looks at each frame by itself, as the method is: on moving pictures its local contrast can
drift; a small `strength` keeps that low. Both work on luma and move R', G' and B' by the same amount, which keeps Cb
and Cr; neither quantizes. `channels` chooses for the others whether R', G' and B' are filtered or luma alone.

A matte limits every filter: where it is 0, pixels stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from answerprint.color import spaces
from answerprint.filters import classical, histogram
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.settings import Settings

HANDLES = 0
STRENGTH = True


class Params(Settings):
    """The filter and its settings."""

    kind: Literal["gaussian", "bilateral", "median", "guided", "equalize", "clahe", "laplacian"] = Field(
        "gaussian", description="The filter."
    )
    radius: int = Field(2, ge=1, le=64, description="Radius of the window in pixels (bilateral, median, guided).")
    sigma: float = Field(
        1.5,
        ge=0,
        le=64,
        description="Standard deviation in pixels of the blur (gaussian, laplacian) or of the window (bilateral).",
    )
    edge: float = Field(
        0.05, gt=0, le=10, description="Step in pixel value that counts as an edge (bilateral, guided)."
    )
    amount: float = Field(0.5, ge=0, le=10, description="Amount of sharpening (laplacian).")
    clip: float = Field(2.0, ge=1, le=100, description="Limit of the gain in contrast (clahe): 1 none, 40 nearly any.")
    tiles: int = Field(8, ge=1, le=64, description="Tiles in each direction (clahe).")
    channels: Literal["auto", "luma", "rgb"] = Field(
        "auto", description="What is filtered; auto: luma for laplacian, else rgb. equalize and clahe: always luma."
    )
    strength: float = Field(1.0, ge=0, le=1, description="Opacity of the filter; 0 is the source.")
    frames: int = Field(8, ge=1, le=256, description="Frames spread through the shot that equalize measures.")


class Findings(Settings):
    """The curve that equalize measured in the shot; empty for the other kinds."""

    curve: tuple[float, ...] = Field(
        (), description="Tone curve of luma, outputs for inputs 0..1 in equal steps (equalize); empty: unchanged."
    )


def cost(params: Params) -> float:
    """A bilateral window is looked at pixel by pixel."""
    return max(0.03, 0.002 * params.radius**2) if params.kind == "bilateral" else 0.03


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:  # noqa: ARG001 - histograms are quick anywhere
    """The equalizing curve of the shot's luma (inside its matte, if any)."""
    if params.kind != "equalize":
        return Findings()
    lumas = []
    for frame in shot.sample(params.frames):
        plane = _luma(frame.pixels, frame.color)[0]
        covered = frame.matte is not None and bool((frame.matte > 0.5).any())
        lumas.append(plane[frame.matte[0] > 0.5] if frame.matte is not None and covered else plane)
    return Findings(curve=tuple(round(height, 5) for height in histogram.equalizing_curve(lumas)))


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Filters frame by frame."""
    for frame in frames:
        pixels = _filtered(frame.pixels.to(device), frame.color, params, findings)
        yield frame.with_pixels(pixels.to(frame.pixels.device))


def _filtered(pixels: Tensor, color: ColorTags, params: Params, findings: Findings) -> Tensor:
    only_luma = params.channels == "luma" or (params.channels == "auto" and params.kind == "laplacian")
    if params.kind in ("equalize", "clahe") or only_luma:
        before = _luma(pixels, color)
        # The same step in R', G' and B' leaves Cb and Cr as they are.
        return pixels + (_planes(before, before, params, findings) - before)
    return _planes(pixels, _luma(pixels, color), params, findings)


def _luma(pixels: Tensor, color: ColorTags) -> Tensor:
    """Y' (1, H, W) by the weights of the frame's own matrix."""
    return spaces.luma(pixels, spaces.luma_matrix(color.matrix, color.primaries))


def _planes(planes: Tensor, guide: Tensor, params: Params, findings: Findings) -> Tensor:
    """The filter itself on (1, H, W) or (3, H, W)."""
    match params.kind:
        case "gaussian":
            return classical.gaussian(planes, params.sigma)
        case "bilateral":
            return classical.bilateral(planes, params.radius, params.sigma or 1e-3, params.edge)
        case "median":
            return classical.median(planes, params.radius)
        case "guided":
            return classical.guided(planes, guide, params.radius, params.edge**2)
        case "laplacian":
            return planes - params.amount * classical.laplacian(planes, params.sigma)
        case "clahe":
            return histogram.clahe(planes[0], params.clip, params.tiles)[None]
        case "equalize":
            curve = findings.curve
            return histogram.apply_curve(planes, list(curve)) if len(curve) > 1 else planes
