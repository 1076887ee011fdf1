"""Channels that stand beside a picture in its OpenEXR file, carried to the picture that is made of it.

They are copied as they came, to one part: nothing works on them. What belongs to another part gets that part's name
before its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its own documentation calls it so
from numpy.typing import NDArray

from answerprint.errors import MediaError
from answerprint.frame import Area, Passes
from answerprint.media.pictures.layers import PictureLayer
from answerprint.media.pictures.read import PictureHeader, read_header
from answerprint.text import utf8_path

_CARRIED = ("half", "float")  # OpenImageIO hands out numbers of objects as fractions of the largest one
_CRYPTOMATTE = "cryptomatte/"  # the names of what its channels hold stand in the header


@dataclass(frozen=True)
class PassChannels:
    """Channels to write beside a picture.

    Attributes:
        own: names that the picture's own channels have in the source, by R, G, B, A, Z.
        names: of the others.
        formats: OpenImageIO's sample type of each.
        samples: float32 (h, w, channels).
        attributes: entries of the header that belong to them.
    """

    own: dict[str, str]
    names: tuple[str, ...]
    formats: tuple[str, ...]
    samples: NDArray[np.float32]
    attributes: tuple[tuple[str, str], ...]


def read_passes(passes: Passes) -> PassChannels:
    """The channels beside a picture, read from its file.

    Raises:
        MediaError: the file cannot be read.
    """
    header = read_header(passes.path, passes.layer)
    own = _own_names(header)
    names: list[str] = []
    formats: list[str] = []
    planes: list[NDArray[np.float32]] = []
    source = oiio.ImageInput.open(utf8_path(passes.path))
    for layer, places in _carried(header):
        spec = header.parts[layer.part]
        first, last = min(places), max(places) + 1
        data = None if source is None else source.read_image(layer.part, 0, first, last, "float")
        if data is None:
            raise MediaError(f"{passes.path}: layer {layer.name} cannot be decoded; the file is cut off or damaged")
        samples = np.asarray(data, np.float32).reshape(spec.height, spec.width, last - first)
        for place in places:
            names.append(_name(header, layer, spec.channelnames[place], {*own.values(), *names}))
            formats.append(_format(spec, place))
            planes.append(samples[..., place - first])
    if source is not None:
        source.close()
    height, width = header.data.height, header.data.width
    stack = np.stack(planes, axis=-1) if planes else np.empty((height, width, 0), np.float32)
    attributes = tuple(
        (entry.name, entry.value)
        for spec in header.parts
        for entry in spec.extra_attribs
        if entry.name.startswith(_CRYPTOMATTE) and isinstance(entry.value, str)
    )
    return PassChannels(own, tuple(names), tuple(formats), stack, attributes)


def pass_losses(passes: Passes) -> list[str]:
    """Which channels beside a picture are not carried to OpenEXR, a sentence each."""
    header = read_header(passes.path, passes.layer)
    carried = {(layer.part, place) for layer, places in _carried(header) for place in places}
    lost = [
        f"{layer.name} ({name})"
        for layer in header.selection.others
        for name, place in layer.channels.items()
        if (layer.part, place) not in carried
    ]
    if not lost:
        return []
    return [f"channels are not carried: {', '.join(lost)}; they are deep, whole numbers, or of another data window"]


def _carried(header: PictureHeader) -> Iterator[tuple[PictureLayer, list[int]]]:
    """Layers with the places of those channels that can be carried."""
    for layer in header.selection.others:
        spec = header.parts[layer.part]
        if spec.deep or Area(spec.x, spec.y, spec.width, spec.height) != header.data:
            continue
        places = sorted(place for place in layer.channels.values() if _format(spec, place) in _CARRIED)
        if places:
            yield layer, places


def _own_names(header: PictureHeader) -> dict[str, str]:
    """Names of the picture's channels in its file, by R, G, B, A, Z."""
    selection, names = header.selection, header.spec.channelnames
    prefix = selection.layer.prefix
    own = {short: f"{prefix}{short}" for short in "RGBAZ"}
    if len(selection.color) == 3:
        own |= {short: names[place] for short, place in zip("RGB", selection.color, strict=True)}
    own |= {"A": names[selection.alpha]} if selection.alpha is not None else {}
    return own | ({"Z": names[selection.depth]} if selection.depth is not None else {})


def _name(header: PictureHeader, layer: PictureLayer, channel: str, taken: set[str]) -> str:
    """The name of a channel in the one part that is written."""
    part = str(header.parts[layer.part].getattribute("oiio:subimagename") or f"part{layer.part}")
    name = channel if layer.part == header.selection.layer.part or layer.prefix else f"{part}.{channel}"
    while name in taken:
        name = f"{part}.{name}"
    return name


def _format(spec: Any, place: int) -> str:
    return str(spec.channelformats[place] if spec.channelformats else spec.format)
