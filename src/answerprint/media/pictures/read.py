"""Reading single pictures of a sequence through OpenImageIO."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its own documentation calls it so
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.errors import MediaError, NotMediaError
from answerprint.media.container import check_readable
from answerprint.media.pictures.header import ALPHA_LABELS, attribute
from answerprint.text import utf8_path


@dataclass(frozen=True)
class Picture:
    """One picture as stored.

    Attributes:
        planes: R, G, B or gray, then alpha; code values (h, w), uint8, uint16 or float32.
        layout: "gbrp10", "gray16", "gbrapf32", ...
        bits: bits per sample as stored (16 for half).
        depth: float32 (h, w) of a Z channel, or None.
        associated: whether color is stored multiplied by alpha: OpenEXR does that, unless it is labeled otherwise.
    """

    planes: tuple[Tensor, ...]
    layout: str
    bits: int
    depth: Tensor | None
    associated: bool = False


def read_picture(path: str | Path, threads: int | None = None) -> Picture:
    """One picture with all its channels.

    Args:
        path: of the picture.
        threads: of the decoder; None for OpenImageIO's own choice.

    Raises:
        MediaError: it cannot be read.
    """
    source = _open(path)
    spec = source.spec()
    if threads is not None:
        source.threads(threads)
    kind, bits = _sample_type(spec, Path(path))
    data = source.read_image(0, 0, 0, spec.nchannels, kind)
    error = _error(source)
    source.close()
    if data is None or error:
        raise MediaError(f"{path}: cannot be decoded: {_reason(error)}; the file is cut off or damaged")
    straight = str(attribute(spec, "ImageDescription", "")) == ALPHA_LABELS["straight"]
    picture = _picture(np.asarray(data), list(spec.channelnames), kind, bits)
    return replace(picture, associated=Path(path).suffix.lower() == ".exr" and not straight)


def read_header(path: Path) -> Any:
    """The OpenImageIO ImageSpec of a picture.

    Raises:
        MediaError: it cannot be read.
    """
    source = _open(path)
    spec = source.spec()
    source.close()
    return spec


def _open(path: str | Path) -> Any:
    check_readable(str(path))
    config = oiio.ImageSpec()
    # Alpha is kept apart from color, as the file has it.
    config.attribute("oiio:UnassociatedAlpha", 1)
    source = oiio.ImageInput.open(utf8_path(path), config)
    if source is None:
        raise NotMediaError(f"{path}: is not a picture that can be read: {_reason(_error(oiio))}")
    return source


def _sample_type(spec: Any, path: Path) -> tuple[str, int]:
    """(type to read as, bits per sample as stored)."""
    stored = str(spec.format)
    formats = [str(f) for f in spec.channelformats] or [stored]
    if stored in ("half", "float", "double") or "float" in formats or "half" in formats:
        return "float", 16 if formats[0] == "half" or stored == "half" else 32
    if stored in ("uint32", "int32"):
        return "float", 32
    bits = int(attribute(spec, "oiio:BitsPerSample", 0))
    if stored in ("uint16", "int16"):
        return "uint16", bits if path.suffix.lower() in (".dpx", ".cin") and bits in (10, 12, 14) else 16
    return "uint8", 8


def _picture(data: NDArray[Any], names: list[str], kind: str, bits: int) -> Picture:
    """Channels (h, w, channels) by name: R G B A Z (or Y A); what else is there is not a picture."""
    short = [name.rsplit(".", 1)[-1].upper() for name in names]
    place = {name: i for i, name in reversed(list(enumerate(short)))}
    color = [place[c] for c in "RGB"] if all(c in place for c in "RGB") else []
    if not color:
        color = [place.get("Y", 0)] if len(names) < 3 or "Y" in place else [0, 1, 2]
    alpha = [place["A"]] if "A" in place else []
    shift = 16 - bits if kind == "uint16" else 0
    planes = [np.ascontiguousarray(data[..., i] >> shift if shift else data[..., i]) for i in color + alpha]
    name = ("gray" if not alpha else "ya") if len(color) == 1 else ("gbrap" if alpha else "gbrp")
    suffix = {"float": "f32", "uint8": "8" if name == "ya" else ""}.get(kind, str(bits))
    depth = (
        torch.from_numpy(np.ascontiguousarray(data[..., place["Z"]], dtype=np.float32))
        if "Z" in place and kind == "float"
        else None
    )
    return Picture(tuple(torch.from_numpy(plane) for plane in planes), name + suffix, bits, depth)


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
