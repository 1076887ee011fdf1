"""Parameters and findings of low light."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from answerprint.noise import measure as noise
from answerprint.settings import Settings

_POINTS = 25
# A curve is given where eyes and noise are: close together in the shadows.
PLACES = tuple((i / (_POINTS - 1)) ** 2 for i in range(_POINTS))
_STRAIGHT = PLACES
Curve = Annotated[tuple[float, ...], Field(min_length=_POINTS, max_length=_POINTS)]
Deviation = Annotated[float, Field(ge=0, le=1)]
NO_NOISE = (0.0,) * noise.LIGHTS
NoiseCurve = Annotated[tuple[Deviation, ...], Field(min_length=len(NO_NOISE), max_length=len(NO_NOISE))]
Model = Literal["mbllen", "illumination"]


class Params(Settings):
    """Settings of the brightening."""

    model: Model = Field(
        "illumination",
        description="Enhancement of the small picture: an estimate of the illumination, or the network MBLLEN.",
    )
    strength: float = Field(1.0, ge=0, le=1, description="Share of the enhancement; 0 leaves the source.")
    target: float = Field(0.0, ge=0, le=0.8, description="Mean luma to bring the shot to; 0 leaves it to the model.")
    min_detail: float = Field(
        2.5, gt=0, le=50, description="Size of the smallest visible detail, in percent of the picture's height."
    )
    compensation: float = Field(
        0.5, ge=0, le=1, description="Color level compensation per frame; 0 leaves one curve, which a LUT can hold."
    )
    highlights: float = Field(
        0.35, ge=0, le=1, description="Slope of the curve toward white; higher keeps more difference in highlights."
    )
    skin: float = Field(
        0.6, ge=0, le=1, description="Protection of skin tones from changes of hue and from overexposure."
    )
    max_gain: float = Field(
        16.0, ge=1, le=64, description="Upper limit of the gain in shadows; noise is amplified by the same factor."
    )
    chroma_floor: float = Field(
        0.03, ge=0, le=0.2, description="Signal level below which color is noise and is brightened as gray; 0: none."
    )
    denoise: float = Field(1.0, ge=0, le=1, description="Share of the noise that is removed before brightening.")
    keys: int = Field(
        0,
        ge=0,
        le=32,
        description="Number of curves over time: 1 for the whole shot, 0 for as many as its light needs.",
    )
    frames: int = Field(12, ge=1, le=64, description="Number of frames that are analyzed, spread through the shot.")
    only_dark: bool = Field(True, description="Leave footage that is not dark unchanged.")
    weights: Path | None = Field(None, description="Trained weights for MBLLEN instead of those that ship.")


class Findings(Settings):
    """Darkness of the shot, and its curves: one per channel and key."""

    exposure: float = Field(0.0, ge=0, description="Mean luma of the shot without fades and black frames.")
    strength: float = Field(0.0, ge=0, le=1, description="Share of the mapping; 0 leaves the shot unchanged.")
    curve_mean: float = Field(0.5, gt=0, description="Mean luma under the curves at full strength.")
    target: float = Field(
        0.5, gt=0, lt=1, description="Mean luma at full strength; raise it to make the shot brighter."
    )
    times: tuple[float, ...] = Field((0.0,), description="Times of the keys in seconds from the clip's first frame.")
    levels: tuple[float, ...] = Field((0.0,), description="Mean luma of the shot at each key.")
    red: tuple[Curve, ...] = Field((_STRAIGHT,), description="Red out for (i / 24)^2 in, i from 0; one list per key.")
    green: tuple[Curve, ...] = Field((_STRAIGHT,), description="Green out, the same.")
    blue: tuple[Curve, ...] = Field((_STRAIGHT,), description="Blue out, the same.")
    ratio: int = Field(1, ge=1, description="Downsampling ratio of the small picture.")
    noise_gain: float = Field(1.0, ge=0, description="Gain in the darkest quarter, by which noise is amplified.")
    noise: NoiseCurve = Field(NO_NOISE, description="Deviation of the noise where luma is (i / 8)^2, i from 0.")
    note: str = Field("", description="What was special about this shot.")

    @model_validator(mode="after")
    def _one_per_key(self) -> Self:
        if not self.times or any(a >= b for a, b in zip(self.times, self.times[1:], strict=False)):
            raise ValueError(f"times must rise and hold one entry at least, found {list(self.times)}")
        for name in ("levels", "red", "green", "blue"):
            if len(getattr(self, name)) != len(self.times):
                raise ValueError(f"{name} has {len(getattr(self, name))} entries, times has {len(self.times)}")
        return self
