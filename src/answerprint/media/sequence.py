"""Sequences of pictures and single stills in, through OpenImageIO.

A sequence is named by a pattern (`shot.%04d.exr`, `shot.####.dpx`), by the folder that holds it, or by one picture,
which is a sequence of one.
"""

from __future__ import annotations

import builtins
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its own documentation calls it so
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.errors import MediaError, NotMediaError, SettingsError
from answerprint.frame import ColorTags, FieldOrder, Frame, Origin
from answerprint.media import pixels
from answerprint.media.container import check_readable
from answerprint.media.index import Times
from answerprint.media.info import ClipInfo

ENDINGS = (".exr", ".dpx", ".cin", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".hdr", ".jp2", ".webp")
DEFAULT_RATE = Fraction(24)
_NUMBERED = re.compile(r"^(.*?)(\d+)(\.[^.]+)$")
_HASHES = re.compile(r"#+")
_PERCENT = re.compile(r"%(?:0(\d+))?d")
_NAMED = 12  # how many numbers or names a message lists


# ---------------------------------------------------------------------------------------------------------------- names


@dataclass(frozen=True)
class Pattern:
    """Names of a sequence: what stands before and after the number, and how many digits the number has at least."""

    folder: Path
    before: str
    digits: int
    after: str

    def path(self, number: int) -> Path:
        """Where picture `number` is."""
        return self.folder / f"{self.before}{number:0{self.digits}d}{self.after}"

    def __str__(self) -> str:
        return str(self.folder / f"{self.before}%0{self.digits}d{self.after}")


def pattern(path: str | Path) -> Pattern | None:
    """The pattern that a path with `%04d` or `####` in its name is; None for any other path."""
    name = Path(path).name
    found = _PERCENT.search(name) or _HASHES.search(name)
    if found is None or Path(path).suffix.lower() not in ENDINGS:
        return None
    digits = len(found[0]) if found[0].startswith("#") else int(found[1] or 1)
    return Pattern(Path(path).parent, name[: found.start()], digits, name[found.end() :])


def is_sequence(path: str | Path) -> bool:
    """Whether a path means pictures rather than a video file: a pattern, a folder, or a still by its ending."""
    return pattern(path) is not None or Path(path).is_dir() or Path(path).suffix.lower() in ENDINGS


def parse_rate(rate: Fraction | int | str) -> Fraction:
    """Frames per second from a number or text ("24", "23.976", "30000/1001").

    Raises:
        SettingsError: it is no rate.
    """
    broadcast = {"23.98": "24000/1001", "23.976": "24000/1001", "29.97": "30000/1001", "59.94": "60000/1001"}
    try:
        found = Fraction(broadcast.get(str(rate), str(rate)))
    except (ValueError, ZeroDivisionError):
        raise SettingsError(f"rate '{rate}' is no rate; write it as 24 or 30000/1001") from None
    if not 0 < found <= 10000:
        raise SettingsError(f"rate {rate} is no rate; it must be above 0 and at most 10000 frames per second")
    return found


def _numbers(names: Pattern) -> list[int]:
    """Numbers of the pictures that are there."""
    form = re.compile(re.escape(names.before) + r"(\d+)" + re.escape(names.after))
    found = []
    for entry in _listing(names.folder):
        if (match := form.fullmatch(entry)) and (
            len(match[1]) == names.digits or names.digits < len(match[1]) == len(str(int(match[1])))
        ):
            found.append(int(match[1]))
    return sorted(found)


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        raise MediaError(f"{folder}: no such folder") from None
    except PermissionError:
        raise MediaError(f"{folder}: no permission to read the folder") from None


def _in_folder(folder: Path) -> tuple[str, list[Path]]:
    """The one sequence that a folder holds."""
    found: dict[tuple[str, int, str], list[Path]] = {}
    for name in _listing(folder):
        if Path(name).suffix.lower() not in ENDINGS or name.startswith("."):
            continue
        match = _NUMBERED.match(name)
        # Numbers without leading zeros grow in length within one sequence.
        digits = len(match[2]) if match and match[2].startswith("0") else 0
        key = (match[1], digits, match[3]) if match else (name, -1, "")
        found.setdefault(key, []).append(folder / name)
    groups = _joined(found)
    if not groups:
        raise NotMediaError(f"{folder}: the folder holds no pictures ({', '.join(ENDINGS)})")
    if len(groups) > 1:
        names = ", ".join(sorted(groups)[:_NAMED])
        raise MediaError(f"{folder}: holds {len(groups)} sequences; name one of: {names}")
    return next(iter(groups.items()))


def _joined(found: dict[tuple[str, int, str], list[Path]]) -> dict[str, list[Path]]:
    """Sequences by their pattern; numbers past the padding (0999, 1000) belong to the padded ones."""
    padded = {(key[0], key[2]): key[1] for key in found if key[1] > 0}
    groups: dict[str, list[Path]] = {}
    for (before, digits, after), paths in found.items():
        if digits == -1:
            groups[before] = paths
            continue
        width = digits or padded.get((before, after), 1)
        if not digits and (before, after) not in padded:
            width = min(len(_split(path)[1]) for path in paths)
        groups.setdefault(f"{before}%0{width}d{after}", []).extend(paths)
    return groups


def _split(path: Path) -> tuple[str, str, str]:
    match = _NUMBERED.match(path.name)
    return (match[1], match[2], match[3]) if match else (path.name, "", "")


def _pictures(path: str) -> tuple[str, list[Path], int]:
    """(pattern, pictures in order, first number) of what a path means.

    Raises:
        MediaError: none are there, or some are missing.
    """
    names = pattern(path)
    if names is None and not Path(path).is_dir():
        check_readable(path)
        number = _split(Path(path))[1]
        return path, [Path(path)], int(number or 0)
    if names is None:
        shown, paths = _in_folder(Path(path))
        shown = str(Path(path) / shown)
        names = pattern(shown)
        if names is None:
            return str(paths[0]), paths, 0
    numbers = _numbers(names)
    if not numbers:
        raise MediaError(f"{path}: no such pictures")
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if missing:
        raise MediaError(
            f"{names}: {_count(missing)} missing: {_runs(missing)}; the sequence runs from "
            f"{numbers[0]} to {numbers[-1]}"
        )
    return str(names), [names.path(number) for number in numbers], numbers[0]


def _count(missing: list[int]) -> str:
    return "1 picture is" if len(missing) == 1 else f"{len(missing)} pictures are"


def _runs(numbers: list[int]) -> str:
    """Numbers as "3, 7-9"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs]
    return ", ".join(words[:_NAMED]) + (f" and {len(words) - _NAMED} more" if len(words) > _NAMED else "")


# -------------------------------------------------------------------------------------------------------------- reading


# What an alpha is, as it stands in the description of a picture.
ALPHA_LABELS = {
    "straight": "alpha: straight (unassociated); color is not multiplied by it",
    "premultiplied": "alpha: premultiplied (associated); color is multiplied by it",
    "matte": "alpha: the picture itself is the matte, 0 outside and 1 inside",
}


@dataclass(frozen=True)
class Picture:
    """One picture as stored.

    Attributes:
        planes: R, G, B or gray, then alpha; code values (h, w), uint8, uint16 or float32.
        layout: "gbrp10", "gray16", "gbrapf32", ...
        bits: bits per sample as stored (16 for half).
        depth: float32 (h, w) of a Z channel, or None.
        associated: whether color is stored multiplied by alpha: OpenEXR does that, unless it is labelled otherwise.
    """

    planes: tuple[Tensor, ...]
    layout: str
    bits: int
    depth: Tensor | None
    associated: bool = False


@dataclass(frozen=True)
class SequenceSource:
    """A sequence: its pictures in order."""

    info: ClipInfo
    times: Sequence[Fraction]
    paths: tuple[str, ...]
    nonfinite: str

    def read(self, start: int, stop: int, threads: int | None, quantizers: bool) -> Iterator[Frame]:  # noqa: ARG002
        """Frames [start, stop) in order; pictures tell no quantizers."""
        for number in range(start, stop):
            yield self._frame(number, read_picture(self.paths[number], threads=threads))

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
        if picture.associated and pixels.layout(picture.layout).alpha:
            planes = straight(planes)
        rgb = pixels.to_rgb(planes, picture.layout, info.assumed)
        return Frame(
            pixels=rgb,
            time=self.times[number],
            color=info.assumed,
            alpha=pixels.alpha_of(planes, picture.layout),
            depth=None if depth is None else depth[None],
            field_order=info.field_order,
            origin=Origin(planes, picture.layout, info.assumed, rgb),
        )


def straight(planes: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Color divided by alpha, the last plane; light without alpha (a glow) stays as it is."""
    alpha = planes[-1]
    by = torch.where(alpha > 0, alpha, torch.ones_like(alpha))
    return (*(plane / by for plane in planes[:-1]), alpha)


def finite(planes: tuple[Tensor, ...], where: str, policy: str) -> tuple[Tensor, ...]:
    """The planes, without NaN and infinity.

    Args:
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


def find(
    path: str,
    *,
    rate: Fraction | None = None,
    field_order: str | None = None,
    matrix: str | None = None,
    range: str | None = None,
    nonfinite: str = "error",
) -> SequenceSource:
    """The sequence that a path means, checked for missing pictures and different sizes.

    Raises:
        MediaError: pictures are missing, differ in size, or cannot be read.
        SettingsError: an override that pictures do not have.
    """
    if matrix not in (None, "rgb"):
        raise SettingsError(f"matrix '{matrix}' cannot be used: pictures store R'G'B'")
    shown, paths, first_number = _pictures(path)
    spec = _spec(paths[0])
    _same_size(paths, (spec.width, spec.height))
    picture = read_picture(paths[0])
    kind = _attribute(spec, "oiio:format", "") or paths[0].suffix.lower().lstrip(".")
    order: FieldOrder = "progressive"
    if field_order in ("tff", "bff"):
        order = "tff" if field_order == "tff" else "bff"
    notes, own = [], _own_rate(spec)
    used = rate or own or DEFAULT_RATE
    if rate is None:
        notes.append(
            f"rate {own} as the pictures say" if own else f"a sequence has no rate: {DEFAULT_RATE} fps assumed"
        )
    color, said = _color(spec, paths[0], range)
    if range is not None:
        notes.append(f"range {range} as asked for")
    if paths[0].suffix.lower() == ".exr" and len(picture.planes) in (2, 4):
        notes.append("color is divided by alpha on reading: OpenEXR stores it multiplied")
    info = ClipInfo(
        path=shown,
        kind="sequence",
        container=_container(paths[0]),
        codec=str(_attribute(spec, "compression", kind)),
        profile="",
        width=spec.width,
        height=spec.height,
        layout=picture.layout,
        stored=picture.layout,
        bits=picture.bits,
        floating="f32" in picture.layout,
        rate=used,
        variable_rate=False,
        frames=len(paths),
        duration=len(paths) / used,
        start=first_number / used,
        sar=Fraction(float(_attribute(spec, "PixelAspectRatio", 1.0)) or 1.0).limit_denominator(1000),
        rotation=0,
        flipped=False,
        field_order=order,
        tagged_field_order="unknown",
        measured_field_order="unknown",
        color=said,
        assumed=color,
        timecode=_timecode(spec),
        metadata=_metadata(spec),
        notes=tuple(notes + _assumptions(said, color)),
    )
    times = Times(array("q", builtins.range(len(paths))), 1 / used)
    return SequenceSource(info, times, tuple(str(entry) for entry in paths), nonfinite)


def read_picture(path: str | Path, threads: int | None = None) -> Picture:
    """One picture with all its channels.

    Raises:
        MediaError: it cannot be read.
    """
    source = _opened(path)
    spec = source.spec()
    if threads is not None:
        source.threads(threads)
    kind, bits = _kind(spec, Path(path))
    data = source.read_image(0, 0, 0, spec.nchannels, kind)
    failed = source.geterror()
    source.close()
    if data is None or failed:
        raise MediaError(f"{path}: cannot be decoded: {_reason(failed)}; the file is cut off or damaged")
    labelled = str(_attribute(spec, "ImageDescription", "")) == ALPHA_LABELS["straight"]
    picture = _picture(np.asarray(data), list(spec.channelnames), kind, bits)
    return replace(picture, associated=Path(path).suffix.lower() == ".exr" and not labelled)


def _kind(spec: Any, path: Path) -> tuple[str, int]:
    """(type to read as, bits per sample as stored)."""
    stored = str(spec.format)
    formats = [str(f) for f in spec.channelformats] or [stored]
    if stored in ("half", "float", "double") or "float" in formats or "half" in formats:
        return "float", 16 if formats[0] == "half" or stored == "half" else 32
    if stored in ("uint32", "int32"):
        return "float", 32
    said = int(_attribute(spec, "oiio:BitsPerSample", 0))
    if stored in ("uint16", "int16"):
        return "uint16", said if path.suffix.lower() in (".dpx", ".cin") and said in (10, 12, 14) else 16
    return "uint8", 8


def _picture(data: NDArray[Any], names: list[str], kind: str, bits: int) -> Picture:
    """Channels by name: R G B A Z (or Y A); what else is there is not a picture."""
    short = [name.rsplit(".", 1)[-1].upper() for name in names]
    place = {name: i for i, name in reversed(list(enumerate(short)))}
    color = [place[c] for c in "RGB"] if all(c in place for c in "RGB") else []
    if not color:
        color = [place.get("Y", 0)] if len(names) < 3 or "Y" in place else [0, 1, 2]
    alpha = [place["A"]] if "A" in place else []
    shift = 16 - bits if kind == "uint16" else 0
    planes = [np.ascontiguousarray(data[..., i] >> shift if shift else data[..., i]) for i in color + alpha]
    name = ("gray" if not alpha else "ya") if len(color) == 1 else ("gbrap" if alpha else "gbrp")
    depth = {"float": "f32", "uint8": "8" if name == "ya" else ""}.get(kind, str(bits))
    z = (
        torch.from_numpy(np.ascontiguousarray(data[..., place["Z"]], dtype=np.float32))
        if "Z" in place and kind == "float"
        else None
    )
    return Picture(tuple(torch.from_numpy(plane) for plane in planes), name + depth, bits, z)


def _opened(path: str | Path) -> Any:
    check_readable(str(path))
    config = oiio.ImageSpec()
    # Alpha is kept apart from color, as the file has it.
    config.attribute("oiio:UnassociatedAlpha", 1)
    source = oiio.ImageInput.open(str(path), config)
    if source is None:
        raise NotMediaError(f"{path}: is not a picture that can be read: {_reason(oiio.geterror())}")
    return source


def _spec(path: Path) -> Any:
    source = _opened(path)
    spec = source.spec()
    source.close()
    return spec


def _reason(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].rstrip(".") if lines else "no reason is given"


def _same_size(paths: list[Path], size: tuple[int, int]) -> None:
    different = []
    for path in paths[1:]:
        spec = _spec(path)
        if (spec.width, spec.height) != size:
            different.append(f"{path.name} ({spec.width} x {spec.height})")
    if different:
        more = f" and {len(different) - _NAMED} more" if len(different) > _NAMED else ""
        raise MediaError(
            f"{paths[0].parent}: pictures differ in size: {paths[0].name} is {size[0]} x {size[1]}, not so "
            + ", ".join(different[:_NAMED])
            + more
        )


def _attribute(spec: Any, name: str, default: Any) -> Any:
    value = spec.getattribute(name)
    return default if value is None else value


def _container(path: Path) -> str:
    return {"jpg": "jpeg", "tif": "tiff", "exr": "openexr"}.get(
        path.suffix.lower().lstrip("."), path.suffix.lower().lstrip(".")
    )


def _own_rate(spec: Any) -> Fraction | None:
    """The rate that OpenEXR and DPX pictures may carry."""
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


def _timecode(spec: Any) -> str | None:
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


def _color(spec: Any, path: Path, range_: str | None) -> tuple[ColorTags, ColorTags]:
    """(tags as used, tags as the file says)."""
    ending = path.suffix.lower()
    transfer = {".exr": "linear", ".hdr": "linear", ".dpx": "bt709", ".cin": "bt709"}.get(ending, "iec61966-2-1")
    dpx = str(_attribute(spec, "dpx:Transfer", ""))
    said = {"Linear": "linear", "ITU-R 709-4": "bt709", "SMPTE 274M": "bt709"}.get(dpx, "unknown")
    tagged = ColorTags(transfer=said, matrix="rgb")
    used = ColorTags("bt709", said if said != "unknown" else transfer, "rgb", range_ or "full", "center")
    return used, tagged


def _assumptions(said: ColorTags, used: ColorTags) -> list[str]:
    if said.transfer == "unknown":
        return [
            f"the pictures do not say how light is encoded: {used.transfer} with {used.primaries} primaries assumed"
        ]
    return [f"primaries are not tagged: {used.primaries} assumed"]


def _metadata(spec: Any) -> dict[str, str]:
    shown = (str, int, float)
    return {
        entry.name: str(entry.value)
        for entry in spec.extra_attribs
        if isinstance(entry.value, shown) and entry.value != ""
    }


def stamp(spec: Any, ending: str, rate: Fraction | None, timecode: str | None) -> None:
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
            spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (_packed(timecode), 0))


def _packed(timecode: str) -> int:
    hours, minutes, seconds, frames = re.split("[:;.,]", timecode)
    drop = 0x40 if re.search("[;.,]", timecode) else 0
    return int(hours, 16) << 24 | int(minutes, 16) << 16 | int(seconds, 16) << 8 | int(frames, 16) | drop
