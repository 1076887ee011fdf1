"""What a user says of a job besides its operations; the command line's job options are made from this table.

Nothing heavy is imported here: help must answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from answerprint.settings import Settings


class Options(Settings):
    """Delivery, range, machine and source of a job."""

    preset: str | None = Field(
        None,
        description="Delivery preset, such as prores-hq; `answerprint presets` lists them. By default by file ending.",
    )
    start: str | None = Field(None, description="First frame: a frame number, or a timecode of the source.")
    stop: str | None = Field(
        None, description="The frame after the last (exclusive): a frame number, or a timecode of the source."
    )
    shots: str = Field("detect", description="'detect', 'none' (one shot), or a shot list (.edl, .otio, .csv).")
    workers: int = Field(1, ge=1, le=256, description="Local processes that render chunks; 1 is this process alone.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps, ...; auto is cuda where there is one, else cpu.")
    chunk: int | None = Field(
        None,
        ge=1,
        description="Frames per chunk, lost at most when a job is killed. By default 20 s of work, 8 to 96.",
    )
    input_matrix: str | None = Field(
        None, description="Matrix of the source where its tag is wrong or missing: bt709, smpte170m, bt2020nc."
    )
    input_range: str | None = Field(
        None, description="Range of the source where its tag is wrong or missing: limited, full."
    )
    input_siting: str | None = Field(
        None, description="Chroma siting of the source where its tag is wrong or missing: left, center, topleft."
    )
    input_rate: str | None = Field(
        None, description="Frame rate of an image sequence, or to replace the source's own: 24, 30000/1001."
    )
    input_field_order: str | None = Field(
        None, description="Field order of the source where its flag is wrong: progressive, tff, bff."
    )
    input_incomplete: Literal["error", "keep"] | None = Field(
        None, description="What to do with a file that is cut off; keep takes what is there."
    )
    input_damaged: Literal["error", "keep"] | None = Field(
        None, description="What to do with damaged frames; keep takes them as they are decoded and names them."
    )
    input_nonfinite: Literal["error", "zero"] | None = Field(
        None, description="What to do with NaN and infinity in float images."
    )

    input_layer: str | None = Field(
        None, description="Layer or part of OpenEXR images to read instead of the main one; `info` lists them."
    )

    @property
    def overrides(self) -> dict[str, str]:
        """What the source is opened with: matrix, range, siting, ..."""
        values = {name.removeprefix("input_"): value for name, value in self if name.startswith("input_")}
        return {name: value for name, value in values.items() if value is not None}

    def preset_for(self, delivery: Mapping[str, object]) -> str | None:
        """The delivery preset: these options go over what a chain or decision list says; None by file ending."""
        preset = self.preset or delivery.get("preset")
        return None if preset is None else str(preset)
