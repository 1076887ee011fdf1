"""Reading single pictures of a sequence through OpenImageIO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its own documentation calls it so
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.errors import MediaError, NotMediaError
from answerprint.frame import Area
from answerprint.media.container import check_readable
from answerprint.media.orientation import Orientation
from answerprint.media.pictures.header import ALPHA_LABELS, attribute
from answerprint.media.pictures.layers import PicturePart, Selection, list_layers, select
from answerprint.text import utf8_path


@dataclass(frozen=True)
class PictureHeader:
    """What the file of a picture says of it.

    Attributes:
        spec: OpenImageIO's ImageSpec of the part that is read.
        parts: those of all parts.
        selection: the channels that are read.
        display: what is shown, as stored; `data`: what is stored. Only OpenEXR tells them apart.
        orientation: how it is turned on reading.
        kind: sample type that it is read as: "float", "uint8" or "uint16".
        bits: per sample as stored (16 for half).
        pages: whether there are further pictures in the file.
    """

    spec: Any
    parts: tuple[Any, ...]
    selection: Selection
    display: Area
    data: Area
    orientation: Orientation
    kind: str
    bits: int
    pages: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as shown, upright."""
        width, height = self.display.width, self.display.height
        return (height, width) if self.orientation.transpose else (width, height)

    @property
    def layout(self) -> str:
        """Planar pixel format: "gbrp10", "gray16", "gbrapf32", ..."""
        alpha = self.selection.alpha is not None
        name = ("ya" if alpha else "gray") if len(self.selection.color) == 1 else "gbrap" if alpha else "gbrp"
        return name + {"float": "f32", "uint8": "8" if name == "ya" else ""}.get(self.kind, str(self.bits))


@dataclass(frozen=True)
class Picture:
    """One picture, upright, all that is stored of it.

    Attributes:
        header: what its file says.
        planes: R, G, B or gray, then alpha; code values (h, w), uint8, uint16 or float32.
        depth: float32 (h, w) of a Z channel, or None.
        associated: whether color is stored multiplied by alpha: OpenEXR does that, unless it is labeled otherwise.
    """

    header: PictureHeader
    planes: tuple[Tensor, ...]
    depth: Tensor | None
    associated: bool = False


def read_picture(path: str | Path, threads: int | None = None, layer: str | None = None) -> Picture:
    """One picture with the channels of a layer.

    Args:
        path: of the picture.
        threads: of the decoder; None for OpenImageIO's own choice.
        layer: its name; None for the main one.

    Raises:
        MediaError: it cannot be read.
        SettingsError: there is no such layer.
    """
    source = _open(path)
    header = _header(source, Path(path), layer)
    spec, selection = header.spec, header.selection
    if threads is not None:
        source.threads(threads)
    if spec.deep:
        raise MediaError(f"{path}: is a deep picture; flatten it before, it has no pixels to work on")
    first, last = min(selection.places), max(selection.places) + 1
    data = source.read_image(selection.layer.part, 0, first, last, header.kind)
    error = _error(source)
    source.close()
    if data is None or error:
        raise MediaError(f"{path}: cannot be decoded: {_reason(error)}; the file is cut off or damaged")
    samples = np.asarray(data).reshape(spec.height, spec.width, last - first)
    straight = str(attribute(spec, "ImageDescription", "")) == ALPHA_LABELS["straight"]
    shift = 16 - header.bits if header.kind == "uint16" else 0
    channels = [*selection.color, *(() if selection.alpha is None else (selection.alpha,))]
    planes = [samples[..., place - first] >> shift if shift else samples[..., place - first] for place in channels]
    depth = None
    if selection.depth is not None and header.kind == "float":
        depth = _upright(samples[..., selection.depth - first].astype(np.float32), header)
    associated = is_exr(path) and not straight
    return Picture(header, tuple(_upright(plane, header) for plane in planes), depth, associated)


def read_header(path: str | Path, layer: str | None = None) -> PictureHeader:
    """What the file of a picture says.

    Args:
        path: of the picture.
        layer: the name of that to read; None for the main one.

    Raises:
        MediaError: it cannot be read.
        SettingsError: there is no such layer.
    """
    source = _open(path)
    header = _header(source, Path(path), layer)
    source.close()
    return header


def is_exr(path: str | Path) -> bool:
    """Whether a picture is OpenEXR by its ending."""
    return Path(path).suffix.lower() == ".exr"


def _open(path: str | Path) -> Any:
    check_readable(str(path))
    config = oiio.ImageSpec()
    # Alpha is kept apart from color, as the file has it.
    config.attribute("oiio:UnassociatedAlpha", 1)
    source = oiio.ImageInput.open(utf8_path(path), config)
    if source is None:
        raise NotMediaError(f"{path}: is not a picture that can be read: {_reason(_error(oiio))}")
    return source


def _header(source: Any, path: Path, layer: str | None) -> PictureHeader:
    specs = [source.spec()]
    while is_exr(path) and source.seek_subimage(len(specs), 0):
        specs.append(source.spec())
    pages = not is_exr(path) and bool(source.seek_subimage(1, 0))
    source.seek_subimage(0, 0)
    source.geterror()  # that a further part is not there is no error
    parts = [PicturePart(str(attribute(spec, "oiio:subimagename", "")), tuple(spec.channelnames)) for spec in specs]
    selection = select(list_layers(parts), layer, str(path))
    spec = specs[selection.layer.part]
    data = display = Area(0, 0, spec.width, spec.height)
    if is_exr(path):
        data = Area(spec.x, spec.y, spec.width, spec.height)
        display = Area(spec.full_x, spec.full_y, spec.full_width, spec.full_height)
    orientation = Orientation.of_exif(0 if is_exr(path) else int(attribute(spec, "Orientation", 1)))
    kind, bits = _sample_type(spec, selection.places, path)
    return PictureHeader(spec, tuple(specs), selection, display, data, orientation, kind, bits, pages)


def _sample_type(spec: Any, places: Sequence[int], path: Path) -> tuple[str, int]:
    """(type to read as, bits per sample as stored) of the channels at these places."""
    formats = [str(spec.channelformats[place]) for place in places] if spec.channelformats else [str(spec.format)]
    if not {"half", "float", "double"}.isdisjoint(formats):
        return "float", 16 if formats[0] == "half" else 32
    stored = formats[0]
    if stored in ("uint", "uint32", "int", "int32"):
        return "float", 32
    bits = int(attribute(spec, "oiio:BitsPerSample", 0))
    if stored in ("uint16", "int16"):
        return "uint16", bits if path.suffix.lower() in (".dpx", ".cin") and bits in (10, 12, 14) else 16
    return "uint8", 8


def _upright(plane: NDArray[Any], header: PictureHeader) -> Tensor:
    return header.orientation.apply(torch.from_numpy(np.ascontiguousarray(plane)))


def _error(source: Any) -> str:
    """The error of an open picture, or of OpenImageIO as a whole; empty where there is none."""
    try:
        text: str = source.geterror()
    except UnicodeDecodeError:  # it quotes bytes of the header
        return "its header is damaged"
    return text


def _reason(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].rstrip(".") if lines else "no reason is given"
