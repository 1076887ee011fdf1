"""Parameters and findings of upscaling."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from answerprint.settings import Settings

SIZES = {"hd": (1920, 1080), "uhd": (3840, 2160), "2k": (2048, 1556), "4k": (4096, 3112)}
LARGEST = 8192  # pixels along a side
Shape = Literal["auto", "4:3", "16:9"]


class Params(Settings):
    """The size asked for, and how the picture is mapped to it."""

    scale: float | None = Field(
        None, ge=1, le=8, description="Factor in both directions, the pixels keep their shape; 2 without a size."
    )
    to: str = Field(
        "",
        description="Size in square pixels: hd, uhd, 2k, 4k (full-aperture film, 2048x1556 and 4096x3112) or "
        "WIDTHxHEIGHT. SD becomes BT.709, its active picture keeps its true shape.",
    )
    quality: Literal["best", "fast", "plain"] = Field(
        "best", description="The network and the exact inverse of the blur, a smaller network, or resampling alone."
    )
    model: Literal["ours"] | Path = Field(
        "ours", description="Ours, or a file: a network of any factor that spandrel reads, which then does all of it."
    )
    fit: Literal["box", "crop"] = Field(
        "box", description="A picture of another shape gets black bars, or fills the size and is cropped."
    )
    shape: Shape = Field("auto", description="Shape of SD pictures; auto goes by the sample aspect ratio of the file.")
    samples: Literal["active", "all"] = Field(
        "active",
        description="Samples of an SD line that have this shape: the active picture (702 of 720, 710.85 in 525 lines), "
        "or all, as computer programs often take it.",
    )
    edges: Literal["crop", "keep"] = Field(
        "crop", description="What lies beside the active picture of SD: cut away, or kept beside it."
    )
    deinterlace: bool = Field(False, description="Deinterlace first, with the defaults of that operation.")
    colors: Literal["auto", "keep"] = Field(
        "auto", description="Whether SD that `to` makes larger than 576 lines gets primaries and matrix of BT.709."
    )

    @field_validator("to")
    @classmethod
    def _check_size(cls, text: str) -> str:
        if text and text.lower() not in SIZES:
            match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.lower())
            if match is None:
                raise ValueError(f"'{text}' is no size; {', '.join(SIZES)} or WIDTHxHEIGHT, as in 1920x1080")
            if min(size := [int(part) for part in match.groups()]) < 16 or max(size) > LARGEST:
                raise ValueError(f"{text}: from 16 to {LARGEST} pixels along a side")
        return text.lower()

    @model_validator(mode="after")
    def _require_one_size(self) -> Self:
        if self.scale is not None and self.to:
            raise ValueError("--scale and --to both say how large; give one")
        return self

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height that `to` asks for."""
        if not self.to:
            return None
        if self.to in SIZES:
            return SIZES[self.to]
        width, height = self.to.split("x")
        return int(width), int(height)


class Findings(Settings):
    """How soft the pictures of a shot are, and how they are mapped."""

    softness_across: float = Field(
        0.0, ge=0, le=1, description="Deviation of the blur along lines, in pixels of the source; 0 undoes none."
    )
    softness_down: float = Field(0.0, ge=0, le=1, description="The same from line to line.")
    unsure: float = Field(0.0, ge=0, description="How far these may be off, in pixels of the source.")
    noise: float = Field(0.0, ge=0, le=50, description="Deviation of the noise, in codes of 8 bits.")
    summary: str = Field("", description="Softness, noise and mapping in words.")
    note: str = Field("", description="What had to be assumed.")
