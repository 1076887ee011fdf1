"""How the pictures of a sequence are stored, and how each is made to fit the others.

Programs store each picture as small as it goes: a black one gray, one of few colors with a palette, an element of a
composite without the black around it. Pictures of a sequence are read alike nevertheless.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from answerprint.errors import MediaError
from answerprint.frame import Area
from answerprint.media.layout import Layout, parse_layout
from answerprint.media.pictures.names import LISTED
from answerprint.media.pictures.read import Picture, PictureHeader

_CANVAS_LIMIT = 16  # times the largest window: windows that lie further apart are a mistake, and would fill the memory


@dataclass(frozen=True)
class PictureStorage:
    """How the pictures of a sequence are stored.

    Attributes:
        shown: width and height of what is shown, upright.
        canvas: all that is shown or stored of any picture; None where that is what is shown.
        layout: planar pixel format that holds all of them.
        layouts: those that occur, the first picture's first.
    """

    shown: tuple[int, int]
    canvas: Area | None
    layout: str
    layouts: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of all pictures as they are read."""
        return self.shown if self.canvas is None else (self.canvas.width, self.canvas.height)

    def fit(self, picture: Picture, where: str) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The planes of a picture, and its depth, as all pictures of the sequence have them.

        Args:
            picture: as it was read.
            where: its path, for the message.

        Raises:
            MediaError: it does not fit; it was changed since.
        """
        header = picture.header
        if header.size != self.shown:
            size, first = (" x ".join(str(side) for side in sides) for sides in (header.size, self.shown))
            raise MediaError(f"{where}: is {size}, the sequence began with {first}")
        if header.layout not in self.layouts:
            raise MediaError(f"{where}: is stored as {header.layout}, the sequence began with {self.layouts[0]}")
        planes, depth = picture.planes, picture.depth
        if self.canvas is not None:
            if self.canvas.around(header.data) != self.canvas:
                raise MediaError(f"{where}: its data window {header.data} was another when the clip was opened")
            planes = tuple(_placed(plane, header.data, self.canvas) for plane in planes)
            depth = None if depth is None else _placed(depth, header.data, self.canvas)
        if header.layout != self.layout:
            planes = _converted(planes, parse_layout(header.layout), parse_layout(self.layout))
        return planes, depth


def survey(headers: Iterable[PictureHeader], paths: Sequence[Path]) -> PictureStorage:
    """How the pictures of a sequence are stored.

    Args:
        headers: of all pictures, in order; read one at a time, for there may be many.
        paths: of the same.

    Raises:
        MediaError: they differ in size, or in ways of storing that cannot be made one.
    """
    shown: tuple[int, int] | None = None
    layouts: dict[str, Path] = {}
    different: list[str] = []
    canvas: Area | None = None
    plain, largest = True, 0
    for header, path in zip(headers, paths, strict=True):
        shown = shown or header.size
        if header.size != shown:
            different.append(f"{path.name} ({header.size[0]} x {header.size[1]})")
        layouts.setdefault(header.layout, path)
        windows = header.display.around(header.data)
        canvas = windows if canvas is None else canvas.around(windows)
        plain &= header.data == header.display == Area(0, 0, header.display.width, header.display.height)
        largest = max(largest, *(window.width * window.height for window in (header.display, header.data)))
    assert shown is not None and canvas is not None  # a sequence has a picture
    if different:
        more = f" and {len(different) - LISTED} more" if len(different) > LISTED else ""
        raise MediaError(
            f"{paths[0].parent}: pictures differ in size: {paths[0].name} is {shown[0]} x {shown[1]}, not so "
            + ", ".join(different[:LISTED])
            + more
        )
    if not plain and canvas.width * canvas.height > _CANVAS_LIMIT * largest:
        raise MediaError(
            f"{paths[0].parent}: display and data windows lie far apart: all of them together are {canvas}; "
            "write the pictures again with a data window near the display window"
        )
    return PictureStorage(shown, None if plain else canvas, _common(layouts), tuple(layouts))


def _common(layouts: dict[str, Path]) -> str:
    """The layout that holds all of these, each with the first picture that is stored so."""
    first, *others = layouts
    form = parse_layout(first)
    for name in others:
        other = parse_layout(name)
        depths = {form.bits, other.bits}
        if form.floating != other.floating or (len(depths) > 1 and depths != {8, 16}):
            raise MediaError(f"{layouts[name]}: is stored as {name}, the sequence began with {first}")
        form = parse_layout(_name(form, other))
    return form.name


def _name(one: Layout, other: Layout) -> str:
    """The layout that holds pictures of both."""
    gray, alpha = one.family == other.family == "gray", one.alpha or other.alpha
    bits = max(one.bits, other.bits)
    name = ("ya" if alpha else "gray") if gray else "gbrap" if alpha else "gbrp"
    if one.floating:
        return f"{name}f32"
    return f"{name}{bits}" if bits > 8 or name == "ya" else name


def _converted(planes: tuple[Tensor, ...], stored: Layout, wanted: Layout) -> tuple[Tensor, ...]:
    """The planes in another layout, which can hold all that they say."""
    color, alpha = (planes[:-1], planes[-1:]) if stored.alpha else (planes, ())
    if stored.family == "gray" and wanted.family == "rgb":
        color = color * 3
    planes = (*color, *alpha)
    if stored.bits == 8 and wanted.bits == 16 and not stored.floating:
        planes = tuple((plane.to(torch.int32) * 257).to(torch.uint16) for plane in planes)
    if wanted.alpha and not alpha:
        opaque = 1 if wanted.floating else (1 << wanted.bits) - 1
        planes = (*planes, torch.full_like(planes[0], opaque))
    return planes


def _placed(plane: Tensor, data: Area, canvas: Area) -> Tensor:
    """A plane of the data window on the canvas, 0 around it."""
    if data == canvas:
        return plane
    result = torch.zeros((canvas.height, canvas.width), dtype=plane.dtype)
    lines, columns = data.slices(canvas)
    result[lines, columns] = plane
    return result
