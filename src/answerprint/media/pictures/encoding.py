"""How the colors of pictures are encoded: by embedded profile, header of DPX or OpenEXR, or the usage of the format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its own documentation calls it so
from torch import Tensor

from answerprint.color import icc, spaces
from answerprint.errors import ColorError
from answerprint.frame import ColorTags
from answerprint.media.pictures.header import attribute

_ASSUMED = {".exr": "linear", ".hdr": "linear", ".dpx": "bt709", ".cin": "bt709"}
_SRGB = "iec61966-2-1"
# Transfer and colorimetric characteristics of DPX (SMPTE ST 268-1, tables 5A and 5B) by OpenImageIO's names.
_DPX_TRANSFERS = {
    "Linear": "linear",
    "ITU-R 709-4": "bt709",
    "SMPTE 274M": "bt709",
    "ITU-R 601-5 system M": "smpte170m",
    "ITU-R 601-5 system B or G": "smpte170m",
}
_DPX_PRIMARIES = {
    "ITU-R 709-4": "bt709",
    "SMPTE 274M": "bt709",
    "ITU-R 601-5 system M": "smpte170m",
    "ITU-R 601-5 system B or G": "bt470bg",
}
# Encodings that have no color tag: kept in words from DPX to DPX.
_DPX_FILM = ("Printing density", "Logarithmic")
_UNTAGGED = ("bt709", "smpte170m", "bt470bg", "smpte240m")
_CAMERA = ("bt709", "smpte170m", "smpte240m", "bt2020-10", "bt2020-12", _SRGB)
_TAKE_PROFILES = ("png", "tiff", "jpeg")


@dataclass(frozen=True)
class PictureColor:
    """How the colors of a picture are encoded.

    Attributes:
        tagged: as the file says.
        used: as used, with no entry unknown.
        film: DPX's name of a film encoding that has no tag, else empty.
        profile: the embedded profile, as the file holds it; empty where there is none.
        notes: what was assumed or not understood, a sentence each.
    """

    tagged: ColorTags
    used: ColorTags
    film: str
    profile: bytes
    notes: tuple[str, ...]


def read_color(spec: Any, path: Path, range_: str | None) -> PictureColor:
    """How the colors of a picture are encoded.

    Args:
        spec: OpenImageIO's ImageSpec of the picture.
        path: of the picture; its ending tells the transfer where no tag does.
        range_: "limited" or "full" instead of full.
    """
    ending, film, notes = path.suffix.lower(), "", list[str]()
    primaries = transfer = "unknown"
    profile = embedded_profile(spec)
    if profile:
        primaries, transfer = _of_profile(profile, notes)
    elif ending == ".dpx":
        label = str(attribute(spec, "dpx:Transfer", ""))
        film = label if label in _DPX_FILM else ""
        transfer = _DPX_TRANSFERS.get(label, "unknown")
        primaries = _DPX_PRIMARIES.get(str(attribute(spec, "dpx:Colorimetric", "")), "unknown")
    elif ending == ".exr":
        primaries = _of_chromaticities(spec, notes)
    tagged = ColorTags(primaries=primaries, transfer=transfer, matrix="rgb")
    used_transfer = transfer if transfer != "unknown" else _ASSUMED.get(ending, _SRGB)
    used_primaries = primaries if primaries != "unknown" else "bt709"
    used = ColorTags(used_primaries, used_transfer, "rgb", range_ or "full", "center")
    return PictureColor(tagged, used, film, profile, (*notes, *_assumptions(tagged, used, film)))


def embedded_profile(spec: Any) -> bytes:
    """The ICC profile in a picture; empty where there is none."""
    data = spec.getattribute("ICCProfile")
    return b"" if data is None else bytes(np.asarray(data, dtype=np.uint8))


def to_color(pixels: Tensor, profile: bytes, color: ColorTags) -> Tensor:
    """R'G'B' (3, H, W) of a picture with a profile of its own as R'G'B' of a clip's color; as it is where it cannot be.

    Args:
        pixels: as stored.
        profile: as the file holds it; empty is sRGB.
        color: of the clip.
    """
    try:
        own = icc.parse(profile) if profile else icc.profile_of("bt709", _SRGB)
    except ColorError:
        return pixels
    if own is None or (own.primaries, own.transfer) == (color.primaries, color.transfer):
        return pixels
    return own.convert(pixels, color.primaries, color.transfer)


def needs_conversion(profile: bytes, color: ColorTags) -> bool:
    """Whether the tags that are used are others than those of the profile, so that pixels have to be converted."""
    try:
        own = icc.parse(profile)
    except ColorError:
        return False
    return (own.primaries, own.transfer) != (color.primaries, color.transfer)


def write_color(spec: Any, codec: str, color: ColorTags, film: str) -> None:
    """Puts the encoding into the header of a picture to be written, where its format has a place and color needs it.

    Args:
        spec: an OpenImageIO ImageSpec, changed.
        codec: OpenImageIO's name of the format.
        color: of the picture.
        film: DPX's name of a film encoding, from the source; empty for none.
    """
    if codec == "dpx":
        transfer = film or _dpx_name(_DPX_TRANSFERS, color.transfer, color.primaries)
        spec.attribute("dpx:Transfer", transfer)
        spec.attribute("dpx:Colorimetric", film or _dpx_name(_DPX_PRIMARIES, color.primaries, color.primaries))
    elif codec == "openexr" and color.primaries in spaces.PRIMARIES and color.primaries != "bt709":
        numbers = tuple(number for point in spaces.PRIMARIES[color.primaries] for number in point)
        spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), numbers)
    elif codec in _TAKE_PROFILES and _needs_profile(color):
        profile = icc.profile_of(color.primaries, color.transfer)
        if profile is not None:
            data = np.frombuffer(icc.to_bytes(profile), np.uint8)
            spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(data)}]"), data)


def color_losses(codec: str, color: ColorTags, film: str) -> list[str]:
    """What of an encoding a format of pictures has no place for, a sentence each."""
    losses = []
    if codec == "dpx" and not film:
        if color.transfer not in _DPX_TRANSFERS.values():
            losses.append(f"transfer {color.transfer} is not carried: DPX has no name for it")
        if color.primaries not in _DPX_PRIMARIES.values():
            losses.append(f"primaries {color.primaries} are not carried: DPX has no name for them")
    elif codec == "openexr" and color.transfer != "linear":
        losses.append(f"transfer {color.transfer} is not carried: readers of OpenEXR expect linear light")
    elif codec in _TAKE_PROFILES and _needs_profile(color) and icc.profile_of(color.primaries, color.transfer) is None:
        losses.append(f"primaries {color.primaries} and transfer {color.transfer} are not carried: no profile has them")
    if film and codec != "dpx":
        losses.append(f"encoding '{film}' is not carried: only DPX has a name for it")
    return losses


def _needs_profile(color: ColorTags) -> bool:
    """Whether readers would take a picture without a profile for another: sRGB and video are what they expect."""
    return color.primaries not in _UNTAGGED or color.transfer not in _CAMERA


def _of_profile(data: bytes, notes: list[str]) -> tuple[str, str]:
    """Primaries and transfer that a profile stands for; sRGB where its colors have to be converted."""
    try:
        profile = icc.parse(data)
    except ColorError as error:
        notes.append(f"the embedded color profile cannot be used: {error}; colors are read as if there were none")
        return "unknown", "unknown"
    if profile.primaries is not None and profile.transfer is not None:
        notes.append(f"color is by the embedded profile {profile.name}")
        return profile.primaries, profile.transfer
    notes.append(f"colors are converted from the embedded profile {profile.name} to sRGB")
    return "bt709", _SRGB


def _of_chromaticities(spec: Any, notes: list[str]) -> str:
    """Primaries by the attribute of OpenEXR."""
    numbers = spec.getattribute("chromaticities")
    if not isinstance(numbers, tuple) or len(numbers) != 8:
        return "unknown"
    for name, points in spaces.PRIMARIES.items():
        if np.allclose(numbers, np.array(points).ravel(), atol=0.001):
            return name
    text = ", ".join(f"{number:.4g}" for number in numbers)
    notes.append(f"chromaticities {text} are of no primaries known here")
    return "unknown"


def _assumptions(tagged: ColorTags, used: ColorTags, film: str) -> list[str]:
    """Notes on what the color tags do not say."""
    if film:
        return [f"the pictures are encoded as '{film}'; values stay as they are, {used.primaries} primaries assumed"]
    if tagged.transfer == "unknown":
        primaries = f" with {used.primaries} primaries" if tagged.primaries == "unknown" else ""
        return [f"the pictures do not say how light is encoded: {used.transfer}{primaries} assumed"]
    return [] if tagged.primaries != "unknown" else [f"primaries are not tagged: {used.primaries} assumed"]


def _dpx_name(table: dict[str, str], value: str, primaries: str) -> str:
    """DPX's name of a tag; the two of BT.601 go by the primaries."""
    fitting = [name for name, tag in table.items() if tag == value]
    if primaries == "bt470bg" and len(fitting) > 1:
        return fitting[-1]
    return fitting[0] if fitting else "User defined"
