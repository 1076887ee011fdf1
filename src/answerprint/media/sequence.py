"""Sequences of pictures and single stills as footage."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from answerprint.errors import MediaError, SettingsError
from answerprint.frame import ColorTags, FieldOrder, Frame, Origin
from answerprint.media import content
from answerprint.media.index import Times
from answerprint.media.info import ClipInfo
from answerprint.media.layout import parse_layout
from answerprint.media.pictures import header
from answerprint.media.pictures.names import LISTED, PictureList, list_pictures
from answerprint.media.pictures.read import Picture, read_header, read_picture
from answerprint.media.planes import decode_alpha, to_rgb
from answerprint.media.source import Overrides, rate_of

DEFAULT_RATE = Fraction(24)


@dataclass(frozen=True)
class SequenceSource:
    """A sequence: its pictures in order.

    Attributes:
        info: all that is known of it.
        times: presentation time of every frame in seconds from the first.
        paths: one picture each.
        nonfinite: "error", or "zero" to put 0 in the place of NaN and infinity.
    """

    info: ClipInfo
    times: Sequence[Fraction]
    paths: tuple[str, ...]
    nonfinite: str

    def read(self, start: int, stop: int, threads: int | None, quantizers: bool) -> Iterator[Frame]:  # noqa: ARG002
        """Frames [start, stop) in order; pictures tell no quantizers."""
        for number in range(start, stop):
            yield self._frame(number, read_picture(self.paths[number], threads=threads))

    def files(self, start: int, stop: int) -> Sequence[str]:
        """Paths of the pictures [start, stop)."""
        return self.paths[start:stop]

    def content(self, start: int, stop: int) -> str:
        """A hash of the bytes of the pictures [start, stop)."""
        return content.of_files(self.paths[start:stop])

    @property
    def damage(self) -> Mapping[int, str]:
        """Nothing: a damaged picture cannot be read."""
        return {}

    def _frame(self, number: int, picture: Picture) -> Frame:
        path, info = self.paths[number], self.info
        height, width = picture.planes[0].shape
        if (width, height) != (info.width, info.height):
            raise MediaError(f"{path}: is {width} x {height}, the sequence began with {info.width} x {info.height}")
        if picture.layout != info.layout:
            raise MediaError(f"{path}: is stored as {picture.layout}, the sequence began with {info.layout}")
        planes, depth = picture.planes, picture.depth
        if "f32" in picture.layout:
            planes = finite(planes, path, self.nonfinite)
        if picture.associated and parse_layout(picture.layout).alpha:
            planes = straight(planes)
        rgb = to_rgb(planes, picture.layout, info.assumed)
        return Frame(
            pixels=rgb,
            time=self.times[number],
            color=info.assumed,
            alpha=decode_alpha(planes, picture.layout),
            depth=None if depth is None else depth[None],
            field_order=info.field_order,
            origin=Origin(planes, picture.layout, info.assumed, rgb),
        )


def straight(planes: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Color divided by alpha, the last plane, (h, w) each; light without alpha (a glow) stays as it is."""
    alpha = planes[-1]
    divisor = torch.where(alpha > 0, alpha, torch.ones_like(alpha))
    return (*(plane / divisor for plane in planes[:-1]), alpha)


def finite(planes: tuple[Tensor, ...], where: str, policy: str) -> tuple[Tensor, ...]:
    """The planes, without NaN and infinity.

    Args:
        planes: float32 (h, w) each.
        where: the picture, in words.
        policy: "error", or "zero" to put 0 in their place.

    Raises:
        MediaError: there are some and the policy is "error"; names how many and the first.
    """
    bad = torch.stack([~torch.isfinite(plane) for plane in planes]).any(dim=0)
    count = int(bad.sum())
    if count == 0:
        return planes
    if policy == "zero":
        return tuple(torch.nan_to_num(plane, nan=0.0, posinf=0.0, neginf=0.0) for plane in planes)
    row, column = (int(value) for value in bad.nonzero()[0])
    pixels_hold = "1 pixel holds" if count == 1 else f"{count} pixels hold"
    raise MediaError(
        f"{where}: {pixels_hold} NaN or infinity, the first at column {column}, row {row}; "
        "repair the picture, or ask for zero in their place (nonfinite)"
    )


def open_sequence(path: str, overrides: Overrides) -> SequenceSource:
    """The sequence that a path means, checked for missing pictures and different sizes.

    Args:
        path: a pattern, a folder or one picture.
        overrides: of these rate, range, field_order and nonfinite count.

    Raises:
        MediaError: pictures are missing, differ in size, or cannot be read.
        SettingsError: an override that pictures do not have.
    """
    rate = rate_of(overrides)
    if overrides.get("matrix") not in (None, "rgb"):
        raise SettingsError(f"matrix '{overrides['matrix']}' cannot be used: pictures store R'G'B'")
    pictures = list_pictures(path)
    spec = read_header(pictures.paths[0])
    _check_sizes(pictures.paths, (spec.width, spec.height))
    info = _info(pictures, spec, rate, overrides)
    times = Times(array("q", range(info.frames)), 1 / info.rate)
    nonfinite = overrides.get("nonfinite") or "error"
    return SequenceSource(info, times, tuple(str(entry) for entry in pictures.paths), nonfinite)


def _info(pictures: PictureList, spec: Any, rate_override: Fraction | None, overrides: Overrides) -> ClipInfo:
    """The facts of a sequence by its first picture, whose header is `spec`."""
    first, range_ = pictures.paths[0], overrides.get("range")
    picture = read_picture(first)
    rate, notes = _rate(header.read_rate(spec), rate_override)
    tagged, color = header.read_color(spec, first, range_)
    if range_ is not None:
        notes.append(f"range {range_} as asked for")
    if first.suffix.lower() == ".exr" and len(picture.planes) in (2, 4):
        notes.append("color is divided by alpha on reading: OpenEXR stores it multiplied")
    return ClipInfo(
        path=pictures.name,
        kind="sequence",
        container=_container(first),
        codec=_codec(spec, first),
        profile="",
        width=spec.width,
        height=spec.height,
        layout=picture.layout,
        stored=picture.layout,
        bits=picture.bits,
        floating="f32" in picture.layout,
        rate=rate,
        variable_rate=False,
        frames=len(pictures.paths),
        duration=len(pictures.paths) / rate,
        start=pictures.first_number / rate,
        sar=Fraction(float(header.attribute(spec, "PixelAspectRatio", 1.0)) or 1.0).limit_denominator(1000),
        rotation=0,
        flipped=False,
        field_order=_field_order(overrides),
        tagged_field_order="unknown",
        measured_field_order="unknown",
        color=tagged,
        assumed=color,
        timecode=header.read_timecode(spec),
        metadata=header.read_metadata(spec),
        notes=(*notes, _assumption(tagged, color)),
    )


def _rate(own: Fraction | None, override: Fraction | None) -> tuple[Fraction, list[str]]:
    """The rate to use, with a note unless the user says it."""
    if override is not None:
        return override, []
    if own is not None:
        return own, [f"rate {own} as the pictures say"]
    return DEFAULT_RATE, [f"a sequence has no rate: {DEFAULT_RATE} fps assumed"]


def _field_order(overrides: Overrides) -> FieldOrder:
    order = overrides.get("field_order")
    return "tff" if order == "tff" else "bff" if order == "bff" else "progressive"


def _container(path: Path) -> str:
    ending = path.suffix.lower().lstrip(".")
    return {"jpg": "jpeg", "tif": "tiff", "exr": "openexr"}.get(ending, ending)


def _codec(spec: Any, path: Path) -> str:
    """The compression, or the kind of picture."""
    kind = header.attribute(spec, "oiio:format", "") or path.suffix.lower().lstrip(".")
    return str(header.attribute(spec, "compression", kind))


def _check_sizes(paths: list[Path], size: tuple[int, int]) -> None:
    """Refuses pictures of another size (width, height) than the first.

    Raises:
        MediaError: there are some.
    """
    different = []
    for path in paths[1:]:
        spec = read_header(path)
        if (spec.width, spec.height) != size:
            different.append(f"{path.name} ({spec.width} x {spec.height})")
    if different:
        more = f" and {len(different) - LISTED} more" if len(different) > LISTED else ""
        raise MediaError(
            f"{paths[0].parent}: pictures differ in size: {paths[0].name} is {size[0]} x {size[1]}, not so "
            + ", ".join(different[:LISTED])
            + more
        )


def _assumption(tagged: ColorTags, used: ColorTags) -> str:
    """The note on what the color tags do not say."""
    if tagged.transfer == "unknown":
        return f"the pictures do not say how light is encoded: {used.transfer} with {used.primaries} primaries assumed"
    return f"primaries are not tagged: {used.primaries} assumed"
