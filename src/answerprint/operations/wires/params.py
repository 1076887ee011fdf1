"""Parameters and findings of wire removal."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from answerprint.settings import Settings


class Params(Settings):
    """Which wires are removed, and what is delivered."""

    keys: Path | None = Field(
        None, description="JSON file of lines drawn over wires on key frames; without it wires are found."
    )
    find: bool = Field(
        False, description="Find wires as well; they are listed, and removed only where `removed` names them."
    )
    reach: int = Field(
        20, ge=0, le=120, description="Frames before and after in which the background of a wire is sought."
    )
    body: Path | None = Field(
        None,
        description="Matte of who hangs on it (picture, sequence or clip): nothing changes where it is white.",
    )
    grain: float = Field(1.0, ge=0, le=2, description="Grain in filled pixels, as a share of that of the picture.")
    deliver: Literal["clean", "matte"] = Field("clean", description="The picture without wires, or their opacity.")


class Findings(Settings):
    """The wires of a shot."""

    tracks: str = Field("", description="Asset that says where the wires are; empty where there is none.")
    wires: tuple[str, ...] = Field((), description="The wires in words, the first is number 1.")
    removed: tuple[int, ...] = Field((), description="Numbers of the wires that are removed.")
    lost: tuple[int, ...] = Field((), description="Frames of the clip in which a drawn wire could not be seen.")
    noise: tuple[float, ...] = Field((), description="Deviations of the grain, red, green, blue, by luma.")
    grain_size: float = Field(0.0, ge=0, description="Pixels over which the grain hangs together.")
    summary: str = Field("", description="The same in short.")
    note: str = Field("", description="What was special about this shot.")
