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
from answerprint.frame import FieldOrder, Frame, Framing, Origin, Passes, PictureTags
from answerprint.media import content
from answerprint.media.index import Times
from answerprint.media.info import ClipInfo
from answerprint.media.layout import parse_layout
from answerprint.media.pictures import encoding, header, storage
from answerprint.media.pictures.encoding import PictureColor
from answerprint.media.pictures.names import PictureList, list_pictures
from answerprint.media.pictures.read import Picture, PictureHeader, is_exr, read_header, read_picture
from answerprint.media.pictures.storage import PictureStorage
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
        layer: the layer that is asked for; None for the main one.
        storage: how its pictures are stored.
        profile: the color profile of the first picture, by which `info` has its color; empty where there is none.
    """

    info: ClipInfo
    times: Sequence[Fraction]
    paths: tuple[str, ...]
    nonfinite: str
    layer: str | None
    storage: PictureStorage
    profile: bytes

    def read(self, start: int, stop: int, threads: int | None, quantizers: bool) -> Iterator[Frame]:  # noqa: ARG002
        """Frames [start, stop) in order; pictures tell no quantizers."""
        for number in range(start, stop):
            yield self._frame(number, read_picture(self.paths[number], threads, self.layer))

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
        path, info, form = self.paths[number], self.info, parse_layout(self.info.layout)
        planes, depth = self.storage.fit(picture, path)
        if form.floating:
            planes = finite(planes, path, self.nonfinite)
        if picture.associated and form.alpha:
            planes = straight(planes)
        rgb = to_rgb(planes, form.name, info.assumed)
        origin: Origin | None = Origin(planes, form.name, info.assumed, rgb)
        profile = encoding.embedded_profile(picture.header.spec)
        if profile != self.profile or (profile and encoding.needs_conversion(profile, info.assumed)):
            converted = encoding.to_color(rgb, profile, info.assumed)
            if converted is not rgb:
                rgb, origin = converted, None
        time = self.times[number]
        tags = header.read_tags(picture.header.spec, Path(path).suffix.lower())
        return Frame(
            pixels=rgb,
            time=time,
            color=info.assumed,
            alpha=decode_alpha(planes, form.name),
            depth=None if depth is None else depth[None],
            field_order=info.field_order,
            sar=info.sar or Fraction(1),
            origin=origin,
            framing=self._framing(picture.header),
            passes=Passes(path, self.layer, time) if info.passes and is_exr(path) else None,
            tags=PictureTags(tags, time) if tags else None,
        )

    def _framing(self, picture: PictureHeader) -> Framing | None:
        canvas = self.storage.canvas
        return None if canvas is None else Framing(picture.display, picture.data, canvas)


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
        overrides: of these rate, range, field_order, layer and nonfinite count.

    Raises:
        MediaError: pictures are missing, differ in size, or cannot be read.
        SettingsError: an override that pictures do not have, or a layer that is not there.
    """
    rate = rate_of(overrides)
    if overrides.get("matrix") not in (None, "rgb"):
        raise SettingsError(f"matrix '{overrides['matrix']}' cannot be used: pictures store R'G'B'")
    pictures, layer = list_pictures(path), overrides.get("layer")
    first = read_picture(pictures.paths[0], layer=layer).header
    stored = storage.survey((read_header(entry, layer) for entry in pictures.paths), pictures.paths)
    color = encoding.read_color(first.spec, pictures.paths[0], overrides.get("range"))
    info = _info(pictures, _Facts(first, stored, color), rate, overrides)
    times = Times(array("q", range(info.frames)), 1 / info.rate)
    nonfinite = overrides.get("nonfinite") or "error"
    paths = tuple(str(entry) for entry in pictures.paths)
    return SequenceSource(info, times, paths, nonfinite, layer, stored, color.profile)


@dataclass(frozen=True)
class _Facts:
    """What the headers of a sequence say.

    Attributes:
        first: header of the first picture.
        storage: of all of them.
        color: of the first.
    """

    first: PictureHeader
    storage: PictureStorage
    color: PictureColor


def _info(pictures: PictureList, facts: _Facts, rate_override: Fraction | None, overrides: Overrides) -> ClipInfo:
    """The facts of a sequence."""
    first, stored, color = facts.first, facts.storage, facts.color
    path, spec, form = pictures.paths[0], first.spec, parse_layout(stored.layout)
    rate, notes = _rate(header.read_rate(spec), rate_override)
    notes += _notes(facts, path, overrides)
    sar = Fraction(float(header.attribute(spec, "PixelAspectRatio", 1.0)) or 1.0).limit_denominator(1000)
    width, height = stored.size
    return ClipInfo(
        path=pictures.name,
        kind="sequence",
        container=_container(path),
        codec=_codec(spec, path),
        profile="",
        width=width,
        height=height,
        layout=stored.layout,
        stored=first.layout,
        bits=first.bits if form.floating else form.bits,
        floating=form.floating,
        rate=rate,
        variable_rate=False,
        frames=len(pictures.paths),
        duration=len(pictures.paths) / rate,
        start=(pictures.first_number or 0) / rate,
        sar=1 / sar if first.orientation.transpose and sar else sar,
        rotation=first.orientation.degrees,
        flipped=first.orientation.mirrored,
        field_order=_field_order(overrides),
        tagged_field_order="unknown",
        measured_field_order="unknown",
        color=color.tagged,
        assumed=color.used,
        timecode=header.read_timecode(spec),
        metadata=header.read_metadata(spec),
        notes=tuple(notes),
        first_number=pictures.first_number,
        framing=None if stored.canvas is None else Framing(first.display, first.data, stored.canvas),
        passes=tuple(str(layer) for layer in first.selection.others),
        film=color.film,
    )


def _notes(facts: _Facts, path: Path, overrides: Overrides) -> list[str]:
    """The policies that were applied to the pictures, a sentence each."""
    first, stored, notes = facts.first, facts.storage, list[str]()
    if overrides.get("range") is not None:
        notes.append(f"range {overrides['range']} as asked for")
    if first.selection.others:
        others = ", ".join(str(layer) for layer in first.selection.others)
        notes.append(f"layer {first.selection.layer.name} is read; beside it stand: {others}")
    if first.pages:
        notes.append("the first picture of each file is read; there are more")
    if not first.orientation.upright:
        notes.append("the pictures are turned upright on reading, as the file asks")
    if len(stored.layouts) > 1:
        notes.append(f"pictures are stored as {' and '.join(stored.layouts)}; all are read as {stored.layout}")
    if is_exr(path) and parse_layout(stored.layout).alpha:
        notes.append("color is divided by alpha on reading: OpenEXR stores it multiplied")
    return [*notes, *facts.color.notes]


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
