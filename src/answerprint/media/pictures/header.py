"""Rate, timecode, alpha and other tags in the headers of pictures, as OpenImageIO has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its own documentation calls it so

from answerprint.frame import PictureTags

# What an alpha is, as it stands in the description of a picture.
ALPHA_LABELS = {
    "straight": "alpha: straight (unassociated); color is not multiplied by it",
    "premultiplied": "alpha: premultiplied (associated); color is multiplied by it",
    "matte": "alpha: the picture itself is the matte, 0 outside and 1 inside",
}


# Entries that say how a file is stored, or that every output has of its own. Neither is carried, nor missed.
_OF_STORAGE = ("oiio:", "openexr:", "tiff:", "jpeg:", "png:", "iccprofile", "cicp", "cryptomatte/", "thumbnail")
_STORAGE = frozenset((
    "compression", "planarconfig", "orientation", "pixelaspectratio", "screenwindowcenter", "screenwindowwidth",
    "chromaticities", "software", "framespersecond", "smpte:timecode", "exif:colorspace", "exif:pixelxdimension",
    "exif:pixelydimension", "exif:exifversion", "exif:flashpixversion", "exif:ycbcrpositioning", "dpx:transfer",
    "dpx:colorimetric", "dpx:imagedescriptor", "dpx:dittokey", "dpx:endoflinepadding", "dpx:endofimagepadding",
    "dpx:version", "dpx:framerate", "dpx:temporalframerate", "dpx:timecode", "dpx:packing", "dpx:signal",
    "dpx:lowdata", "dpx:lowquantity", "dpx:highdata", "dpx:highquantity",
    "dpx:filmedgecode", "dpx:format",  # OpenImageIO has both from the key code
))  # fmt: skip
# Code values of the source, which an output of another depth does not have.
_CODES = frozenset(f"dpx:{name}" for name in ("blacklevel", "blackgain", "whitelevel", "breakpoint", "gamma"))
# What belongs to one picture, and not to one between it and the next.
_COUNTED = frozenset(("smpte:keycode", "dpx:frameposition", "dpx:frameid", "dpx:userbits", "imagecounter"))
_DESCRIPTION = "ImageDescription"
REEL = "reelName"  # OpenEXR's name of the tag
NO_DATE = "1970:01:01 00:00:00"  # of pictures that are written here, where a format has to have one


def attribute(spec: Any, name: str, default: Any) -> Any:
    """A named value of an OpenImageIO ImageSpec, or the default."""
    value = spec.getattribute(name)
    return default if value is None else value


def read_rate(spec: Any) -> Fraction | None:
    """Frames per second, which OpenEXR and DPX pictures may carry."""
    exact = spec.getattribute("FramesPerSecond")
    if isinstance(exact, tuple) and len(exact) == 2 and exact[1]:
        return Fraction(int(exact[0]), int(exact[1]))
    for name in ("dpx:FrameRate", "dpx:TemporalFrameRate"):
        value = spec.getattribute(name)
        if value and np.isfinite(value) and 1 <= value <= 1000:
            # 23.976 is kept as a float there.
            near = Fraction(round(value * 1001 / 1000)) * Fraction(1000, 1001)
            return (
                near
                if abs(float(near) - value) < 0.002 and abs(round(value) - value) > 0.005
                else Fraction(value).limit_denominator(1000)
            )
    return None


def read_timecode(spec: Any) -> str | None:
    """SMPTE timecode: text of DPX, or the packed decimals of OpenEXR (SMPTE ST 12-1, drop-frame flag in bit 30)."""
    text = spec.getattribute("dpx:TimeCode")
    if isinstance(text, str) and re.fullmatch(r"\d\d:\d\d:\d\d[:;]\d\d", text):
        return text
    packed = spec.getattribute("smpte:TimeCode")
    if not isinstance(packed, tuple):
        return None
    word = int(packed[0]) & 0xFFFFFFFF
    masks = ((24, 0x3F), (16, 0x7F), (8, 0x7F), (0, 0x3F))
    hours, minutes, seconds, frames = (f"{(word >> shift & mask):02x}" for shift, mask in masks)
    # OpenEXR has hours in the upper byte and flags beside the frames; OpenImageIO hands the word on.
    return f"{hours}:{minutes}:{seconds}{';' if word & 0x40 else ':'}{frames}"


def read_metadata(spec: Any) -> dict[str, str]:
    """All tags in words; of binary ones their size."""
    return {entry.name: _text(entry.value) for entry in spec.extra_attribs if not _is_empty(entry.value)}


def footage_tags(metadata: Mapping[str, str], ending: str) -> dict[str, str]:
    """Those tags of a picture with this ending that are of the footage, not of how its file is stored."""
    return {name: value for name, value in metadata.items() if _is_of_footage(name, value, ending)}


def read_tags(spec: Any, ending: str) -> tuple[tuple[str, str, Any], ...]:
    """The tags of the footage that can be written to another picture: names, types and values."""
    return tuple(
        (entry.name, str(entry.type), entry.value)
        for entry in spec.extra_attribs
        if _is_of_footage(entry.name, entry.value, ending)
        and entry.name.lower() not in _CODES
        and isinstance(entry.value, (str, int, float, tuple))
        and oiio.TypeDesc(str(entry.type)) == entry.type
    )


def write_tags(spec: Any, tags: PictureTags, time: Fraction) -> None:
    """Puts the tags of a source's picture into the header of a picture to be written, as far as its format has a place.

    Args:
        spec: an OpenImageIO ImageSpec, changed.
        tags: of the source's picture.
        time: of the frame that is written.
    """
    for name, kind, value in tags.entries:
        if tags.time == time or name.lower() not in _COUNTED:
            spec.attribute(name, oiio.TypeDesc(kind), value)


def _is_of_footage(name: str, value: Any, ending: str) -> bool:
    low = name.lower()
    if _is_empty(value) or low in _STORAGE or low.startswith(_OF_STORAGE):
        return False
    if value == NO_DATE:
        return False
    # DPX has the name of the file there, and it may say what kind of alpha the file has.
    return name != _DESCRIPTION or (ending != ".dpx" and value not in ALPHA_LABELS.values())


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, tuple)) and not value)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.nbytes} bytes"
    return ", ".join(str(part) for part in value) if isinstance(value, tuple) else str(value)


def write_rate_and_timecode(spec: Any, ending: str, rate: Fraction | None, timecode: str | None) -> None:
    """Puts rate and timecode into the header of a picture to be written, as OpenEXR and DPX have them.

    Args:
        spec: an OpenImageIO ImageSpec, changed.
        ending: ".exr" or ".dpx"; other pictures have no place for them.
        rate: frames per second.
        timecode: of this picture; DPX has no drop-frame sign.
    """
    if ending == ".dpx":
        if rate is not None:
            spec.attribute("dpx:FrameRate", float(rate))
        if timecode is not None:
            spec.attribute("dpx:TimeCode", re.sub("[;.,]", ":", timecode))
    if ending == ".exr":
        if rate is not None:
            spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), (rate.numerator, rate.denominator))
        if timecode is not None:
            spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (_pack(timecode), 0))


def _pack(timecode: str) -> int:
    """The word that `read_timecode` unpacks."""
    hours, minutes, seconds, frames = re.split("[:;.,]", timecode)
    drop = 0x40 if re.search("[;.,]", timecode) else 0
    return int(hours, 16) << 24 | int(minutes, 16) << 16 | int(seconds, 16) << 8 | int(frames, 16) | drop
