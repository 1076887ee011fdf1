"""Parameters of inpainting."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from answerprint.settings import Settings


class Params(Settings):
    """What is removed, what may stand in for it, and what is delivered."""

    mask: Path | None = Field(
        None,
        description="White over what is to be removed: one picture for all frames, mask.%04d.png or a clip with one "
        "picture per frame, or keys.json; by default the matte that cutout made before in the chain.",
    )
    grow: int | None = Field(
        None, ge=0, le=200, description="Pixels that the mask grows by; by default found at its rim, shot by shot."
    )
    shadow: bool = Field(False, description="Remove the shadow beside the mask as well, where one is found.")
    unseen: Literal["patch", "smooth", "leave"] = Field(
        "patch",
        description="What no frame shows is made of pieces of the picture (patch), continued smoothly from around it "
        "(smooth), or stays as it was (leave).",
    )
    flow: Literal["fast", "best"] = Field("fast", description="Optical flow: inverse search, or the slower network.")
    reach: int = Field(60, ge=1, le=1000, description="Frames before and after that are searched for the background.")
    grain: bool = Field(True, description="Give the fill the grain of what is around it.")
    deliver: Literal["clean", "object", "matte"] = Field(
        "clean",
        description="clean: the picture without it; object: what was removed, with its matte as alpha; matte: the mask "
        "as it was used, in black and white.",
    )
    working_size: int = Field(
        960, ge=64, le=8192, description="Long side in pixels at which motion is found; pixels are moved at full size."
    )
