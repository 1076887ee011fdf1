"""Layers and parts of a picture: which of its channels are the picture, and which stand beside it.

OpenEXR names channels "layer.channel" and may hold several parts, each with channels of its own. One whole layer is
read: R, G, B without a prefix before all others, then `rgba`, `beauty`, `Combined`, then the first that there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from answerprint.errors import SettingsError

_FAVORITES = ("rgba", "beauty", "combined")
_SHORT = {"RED": "R", "GREEN": "G", "BLUE": "B", "ALPHA": "A", "DEPTH": "Z"}
_DEPTH_LAYER = "depth"  # the layer that Nuke and others put Z in


@dataclass(frozen=True)
class PicturePart:
    """A part of a file.

    Attributes:
        name: empty where it has none.
        channels: full names in the order they are read.
    """

    name: str
    channels: tuple[str, ...]


@dataclass(frozen=True)
class PictureLayer:
    """Channels that belong together.

    Attributes:
        name: by which it is asked for.
        part: number of its part.
        prefix: what its channels have before their own name, dot included; may be empty.
        channels: place in the part by short name (R, G, B, A, Z, Y, ... in capitals), in the order of the file.
    """

    name: str
    part: int
    prefix: str
    channels: dict[str, int]

    @property
    def colored(self) -> bool:
        """Whether it has R, G and B."""
        return all(name in self.channels for name in "RGB")

    def __str__(self) -> str:
        names = [name for name in "RGBA" if name in self.channels]
        names += [name for name in self.channels if name not in names]
        return f"{self.name} ({', '.join(names)})"


@dataclass(frozen=True)
class Selection:
    """The channels that are read, by their place in the part.

    Attributes:
        layer: that they are of.
        color: places of R, G, B, or of one gray channel.
        alpha: place of alpha, None where there is none.
        depth: place of Z, None where there is none.
        others: layers of which nothing is read, or not everything.
    """

    layer: PictureLayer
    color: tuple[int, ...]
    alpha: int | None
    depth: int | None
    others: tuple[PictureLayer, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """Places of all that is read: color, alpha, depth."""
        return (*self.color, *(place for place in (self.alpha, self.depth) if place is not None))


def list_layers(parts: Sequence[PicturePart]) -> list[PictureLayer]:
    """The layers of a file, in its order."""
    layers: dict[tuple[int, str], PictureLayer] = {}
    for number, part in enumerate(parts):
        for place, channel in enumerate(part.channels):
            head, dot, last = channel.rpartition(".")
            key = number, head + dot
            if key not in layers:
                layers[key] = PictureLayer(head, number, head + dot, {})
            short = last.upper()
            short = _SHORT.get(short, short)
            # Of two channels whose names differ in case only, both stay; the first is the layer's.
            layers[key].channels[last if short in layers[key].channels else short] = place
    return [_named(layer, parts, len(parts) > 1) for layer in layers.values()]


def select(layers: Sequence[PictureLayer], name: str | None, where: str) -> Selection:
    """The channels to read.

    Args:
        layers: of the file.
        name: of the layer that is asked for; None for the main one.
        where: the file, for the message.

    Raises:
        SettingsError: there is no such layer, or no picture can be made of it.
    """
    layer = min(layers, key=_rank) if name is None else _find(layers, name, where)
    channels = layer.channels
    color = tuple(channels[channel] for channel in "RGB") if layer.colored else _uncolored(layer)
    if not color:
        names = ", ".join(channels)
        raise SettingsError(f"{where}: layer '{layer.name}' has {names}: no picture; it takes R, G, B or one channel")
    alpha, depth = channels.get("A"), None if "X" in channels else channels.get("Z")
    plain = next((each for each in layers if each.part == layer.part and not each.prefix), layer)
    if alpha is None and not plain.colored:
        alpha = plain.channels.get("A")  # alpha goes with the color that it masks
    if depth is None:
        shared = (each for each in layers if each.part == layer.part and (each is plain or _last(each) == _DEPTH_LAYER))
        depth = next((each.channels["Z"] for each in shared if "Z" in each.channels and "X" not in each.channels), None)
    read = {place for place in (*color, alpha, depth) if place is not None}
    others = (_without(each, read) if each.part == layer.part else each for each in layers)
    return Selection(layer, color, alpha, depth, tuple(each for each in others if each.channels))


def _without(layer: PictureLayer, places: set[int]) -> PictureLayer:
    """The layer without the channels at these places."""
    return replace(layer, channels={name: place for name, place in layer.channels.items() if place not in places})


def _last(layer: PictureLayer) -> str:
    """The last part of a layer's name: `combined` of `ViewLayer.Combined`."""
    return layer.name.lower().rpartition(".")[2]


def _named(layer: PictureLayer, parts: Sequence[PicturePart], several: bool) -> PictureLayer:
    """The layer under a name: its prefix, its part's name, `rgba` for plain color, else that of its first channel."""
    part = parts[layer.part].name if several else ""
    plain = part or ("rgba" if layer.colored else next(iter(layer.channels)))
    return PictureLayer(layer.name or plain, layer.part, layer.prefix, layer.channels)


def _rank(layer: PictureLayer) -> tuple[bool, bool, int]:
    """Order of preference, smallest first; layers alike keep the order of the file."""
    last = _last(layer)
    favorite = _FAVORITES.index(last) if last in _FAVORITES else len(_FAVORITES)
    return not layer.colored, bool(layer.prefix), favorite


def _uncolored(layer: PictureLayer) -> tuple[int, ...]:
    """The channels that are shown of a layer without R, G, B: luminance, three as they come, or the only one."""
    places = layer.channels
    if all(name in places for name in "XYZ"):
        return tuple(places[name] for name in "XYZ")
    if "Y" in places:
        return (places["Y"],)
    three = [place for channel, place in places.items() if channel != "A"]
    if len(three) >= 3:
        return tuple(three[:3])
    return (next(iter(places.values())),) if len(three) <= 1 else ()


def _find(layers: Sequence[PictureLayer], name: str, where: str) -> PictureLayer:
    """The layer that a name means: whole, or the last part of it, large and small letters alike."""
    asked = name.lower()
    for layer in layers:
        if layer.name.lower() == asked:
            return layer
    ending = [layer for layer in layers if layer.name.lower().endswith("." + asked)]
    if len(ending) == 1:
        return ending[0]
    known = ", ".join(str(layer) for layer in layers)
    raise SettingsError(f"{where}: no layer '{name}'; it has: {known}")
