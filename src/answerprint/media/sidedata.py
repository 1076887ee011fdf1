"""Side data of pictures, beside color and time: mastering display, light level, clean aperture, captions, ...

What is the same for all pictures is held as the content of its QuickTime box (`mdcv`, `clli`: ISO/IEC 14496-12, 12.1.5;
`clap`: 12.1.4), for that is how it is carried on; what differs by picture is only named.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from answerprint.media.quicktime import Entry

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# Kinds of side data by FFmpeg's name of it on a frame. Those of an encoder's own use are left out.
_ON_FRAMES = {
    "MASTERING_DISPLAY_METADATA": "mastering display",
    "CONTENT_LIGHT_LEVEL": "content light level",
    "A53_CC": "captions (A/53)",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "AMBIENT_VIEWING_ENVIRONMENT": "ambient viewing environment",
    "SPHERICAL": "spherical projection",
    "STEREO3D": "stereo 3D",
    "AFD": "active format",
}
_IN_ENTRIES = {"dvcC": "Dolby Vision", "dvvC": "Dolby Vision", "sv3d": "spherical projection", "vexu": "stereo 3D"}
CAPTIONS = "captions (A/53)"
DYNAMIC = ("HDR10+", "Dolby Vision", "HDR Vivid")
_BOXES = {"mdcv": "mastering display", "clli": "content light level", "clap": "clean aperture"}


@dataclass(frozen=True)
class SideData:
    """One thing that a file says of its pictures.

    Attributes:
        kind: in words; each kind once.
        text: its value in words, "" where it differs by picture.
        box: name of the QuickTime box that holds it, "" where there is none.
        content: of that box, as hexadecimal digits.
    """

    kind: str
    text: str = ""
    box: str = ""
    content: str = ""


def of_frame(frame: VideoFrame) -> dict[str, Any]:
    """The side data of a decoded frame with their bytes, by FFmpeg's name of their kind.

    `frame.side_data` would make the frame refer to itself: its picture then stays in memory until Python looks for
    such circles, hundreds of frames later.
    """
    from av.sidedata.sidedata import SideDataContainer  # not above: the list of presets does not wait for FFmpeg

    entries: Any = SideDataContainer(frame)  # type: ignore[call-arg]
    return {data.type.name: data for data in entries}


def on_frame(frame: VideoFrame) -> dict[str, bytes]:
    """What of a decoded frame's side data is carried or named, by FFmpeg's name of its kind."""
    return {name: bytes(data) for name, data in of_frame(frame).items() if name in _ON_FRAMES}


def read(frames: Iterable[Mapping[str, bytes]], entries: Sequence[Entry]) -> tuple[SideData, ...]:
    """The side data of some frames (see `on_frame`) and of a QuickTime file's picture, each kind once."""
    kinds: dict[str, SideData] = {}
    for entry in entries:
        if entry.handler == "vide":
            for item in _of_boxes(entry.boxes):
                kinds.setdefault(item.kind, item)
    for side in frames:
        for name, data in side.items():
            on_picture = _of_frame(name, data)
            if on_picture is not None:
                kinds.setdefault(on_picture.kind, on_picture)
    order = [*_BOXES.values(), *_ON_FRAMES.values()]
    return tuple(sorted(kinds.values(), key=lambda item: order.index(item.kind)))


def boxes(items: Iterable[SideData]) -> dict[str, str]:
    """Content by name of the boxes that hold what is the same for all pictures."""
    return {item.box: item.content for item in items if item.box}


def of_box(name: str, content: bytes) -> SideData | None:
    """The side data of a QuickTime box, None where it is broken."""
    sizes = {"mdcv": 24, "clli": 4, "clap": 32}
    if len(content) != sizes[name]:
        return None
    text = {"mdcv": _mastering_text, "clli": _light_text, "clap": _aperture_text}[name](content)
    return SideData(_BOXES[name], text, name, content.hex())


def _of_boxes(entry: Mapping[str, bytes]) -> Iterator[SideData]:
    for name, content in entry.items():
        item = of_box(name, content) if name in _BOXES else None
        if item is not None:
            yield item
        elif name in _IN_ENTRIES:
            yield SideData(_IN_ENTRIES[name])


def _of_frame(name: str, data: bytes) -> SideData | None:
    kind = _ON_FRAMES.get(name)
    if kind is None:
        return None
    if name == "MASTERING_DISPLAY_METADATA":
        content = _mastering_box(data)
        return None if content is None else of_box("mdcv", content)
    if name == "CONTENT_LIGHT_LEVEL" and len(data) >= 8:
        content = struct.pack(">2H", *(min(value, 0xFFFF) for value in struct.unpack("=2I", data[:8])))
        return of_box("clli", content)
    return SideData(kind, f"code {data[0]}" if name == "AFD" and data else "")


def _mastering_box(data: bytes) -> bytes | None:
    """`mdcv` of FFmpeg's AVMasteringDisplayMetadata: red, green, blue, white (x, y), least and most luminance."""
    if len(data) < 88:
        return None
    numbers = struct.unpack("=22i", data[:88])
    if not numbers[20] or not numbers[21]:
        return None  # chromaticities or luminance alone have no box
    values = [Fraction(a, b or 1) for a, b in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    red, green, blue, white, (least, most) = (values[i : i + 2] for i in range(0, 10, 2))
    corners = [round(value * 50000) for value in (*green, *blue, *red, *white)]
    luminance = [round(value * 10000) for value in (most, least)]
    try:
        return struct.pack(">8H2I", *corners, *luminance)
    except struct.error:
        return None


def mastering(content: bytes) -> tuple[list[tuple[int, int]], int, int]:
    """Chromaticities of green, blue, red and white in 1/50000, most and least luminance in 1/10000 cd/m2."""
    *corners, most, least = struct.unpack(">8H2I", content)
    return [(corners[i], corners[i + 1]) for i in range(0, 8, 2)], most, least


def light(content: bytes) -> tuple[int, int]:
    """Light level of the brightest pixel and of the brightest frame, in cd/m2."""
    brightest, average = struct.unpack(">2H", content)
    return brightest, average


def encoder_options(codec: str, contents: Mapping[str, str]) -> tuple[str, str]:
    """Mastering display and light level as an option of an encoder (name, value); "" where it takes none.

    Args:
        codec: FFmpeg's name of the encoder.
        contents: content of boxes as hexadecimal digits, by name.
    """
    name = {"libx265": "x265-params", "libx264": "x264-params", "libsvtav1": "svtav1-params"}.get(codec, "")
    parts = []
    if "mdcv" in contents:
        corners, most, least = mastering(bytes.fromhex(contents["mdcv"]))
        one, unit = (50000, 10000) if codec == "libsvtav1" else (1, 1)
        sides = "".join(f"{key}({x / one:g},{y / one:g})" for key, (x, y) in zip("GBR", corners, strict=False))
        white = f"WP({corners[3][0] / one:g},{corners[3][1] / one:g})"
        option = "master-display" if codec == "libx265" else "mastering-display"
        parts.append(f"{option}={sides}{white}L({most / unit:.10g},{least / unit:.10g})")
    if "clli" in contents:
        brightest, average = light(bytes.fromhex(contents["clli"]))
        option = {"libx265": "max-cll", "libx264": "cll"}.get(codec, "content-light")
        parts.append(f"{option}={brightest},{average}")
    return name, ":".join(parts) if name else ""


_DISPLAYS: dict[tuple[int, ...], str] = {
    (13250, 34500, 7500, 3000, 34000, 16000): "P3",
    (8500, 39850, 6550, 2300, 35400, 14600): "BT.2020",
    (15000, 30000, 7500, 3000, 32000, 16500): "BT.709",
}


def _mastering_text(content: bytes) -> str:
    corners, most, least = mastering(content)
    flat = tuple(value for corner in corners[:3] for value in corner)
    name = _DISPLAYS.get(flat, " ".join(f"{x / 50000:.4g},{y / 50000:.4g}" for x, y in corners[:3]))
    white = corners[3]
    at = "D65" if white == (15635, 16450) else f"{white[0] / 50000:.4g},{white[1] / 50000:.4g}"
    return f"{name} {at}, {least / 10000:g} to {most / 10000:g} cd/m2"


def _light_text(content: bytes) -> str:
    brightest, average = light(content)
    return f"MaxCLL {brightest}, MaxFALL {average} cd/m2"


def crop(content: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Columns and lines left, above, right and below a clean aperture; None where they are no whole numbers."""
    width, height, across, down = _aperture(content)
    left, above = (size[0] - width) / 2 + across, (size[1] - height) / 2 + down
    sides = (left, above, size[0] - width - left, size[1] - height - above)
    if any(side.denominator != 1 or not 0 <= side < 0x10000 for side in sides):
        return None
    return int(sides[0]), int(sides[1]), int(sides[2]), int(sides[3])


def of_crop(sides: tuple[int, int, int, int], size: tuple[int, int]) -> SideData | None:
    """The clean aperture that is left of pictures of that size; None where nothing is cut off."""
    left, above, right, below = sides
    width, height = size[0] - left - right, size[1] - above - below
    if not any(sides) or width <= 0 or height <= 0:
        return None
    return of_box("clap", struct.pack(">4I iIiI", width, 1, height, 1, left - right, 2, above - below, 2))


def _aperture(content: bytes) -> tuple[Fraction, ...]:
    """Width, height and offset (right, down) of the center of a clean aperture, in samples."""
    numbers = struct.unpack(">4I", content[:16]) + struct.unpack(">iIiI", content[16:])
    return tuple(Fraction(a, b or 1) for a, b in zip(numbers[0::2], numbers[1::2], strict=True))


def _aperture_text(content: bytes) -> str:
    width, height, across, down = _aperture(content)
    place = f" at {float(across):+g}{float(down):+g}" if across or down else ""
    return f"{float(width):g} x {float(height):g}{place}"
