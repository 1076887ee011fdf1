"""What was done to a clip, for a person to read: one HTML file that opens offline, and the same as JSON.

Pure data in, files out. A `Report` is filled by whoever renders; this module encodes the pictures, draws their scopes,
puts decisions into words and writes both files. `Report.shots` is taken once, in order, and every shot is reduced to
its small encoded form before the next one is asked for: give a generator, and one shot's pictures are held at a time.
"""

from __future__ import annotations

import base64
import json as jsonlib
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from answerprint import settings
from answerprint.errors import DeliveryError
from answerprint.frame import ColorTags
from answerprint.metrics import scopes
from answerprint.operation import Operation
from answerprint.settings import Settings

FORMAT = "answerprint.report/1"
LONG_SIDE = 960  # of the first picture of a shot; the others are shown smaller
OTHER_SIDE = 640
MAIN_BYTES, OTHER_BYTES = 44_000, 20_000  # a JPEG is compressed harder until it fits: a shot stays under 300 kB
SCOPE = (320, 180)

_DISPLAYABLE = {
    "unknown",
    "bt709",
    "smpte170m",
    "bt470bg",
    "bt470m",
    "smpte240m",
    "iec61966-2-1",
    "bt2020-10",
    "bt2020-12",
}
_ENCODINGS = {
    "arib-std-b67": "HLG",
    "smpte2084": "PQ",
    "linear": "linear light",
    "log100": "logarithmic",
    "log316": "logarithmic",
    "smpte428": "DCI X'Y'Z'",
}
_WIDE = {"bt2020": "BT.2020", "smpte431": "DCI-P3", "smpte432": "Display P3", "smpte428": "CIE XYZ"}

Row = tuple[str, Any]


@dataclass(frozen=True)
class ValueRow:
    """One parameter or finding as it was used.

    Attributes:
        name: its key in the decision list.
        value: the value that was rendered with.
        default: what it is when nobody says anything; None for a finding that has none.
        help: what it means, from its field.
    """

    name: str
    value: Any
    default: Any = None
    help: str = ""


@dataclass(frozen=True)
class OperationReport:
    """What one operation was told and found in one shot.

    Attributes:
        name: the operation's name.
        summary: its first line of documentation.
        enabled: whether it worked on this shot.
        locked: whether a person locked the decision.
        params: what it was told.
        findings: what analysis found or a person put in its place.
        sentences: the decision in words.
    """

    name: str
    summary: str = ""
    enabled: bool = True
    locked: bool = False
    params: tuple[ValueRow, ...] = ()
    findings: tuple[ValueRow, ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ShotPicture:
    """One moment of a shot before and after the work.

    Attributes:
        time: seconds from the clip's first frame.
        timecode: as written on the picture; "" where there is none.
        before: float (3, H, W), before all work.
        after: float (3, H', W'), what is delivered; may have another size.
        color: the tags of `before`.
        color_after: the tags of `after`; None = the same.
        sar: sample aspect ratio of `before`.
        sar_after: of `after`; None = the same.
    """

    time: Fraction
    timecode: str
    before: Tensor
    after: Tensor
    color: ColorTags = field(default_factory=ColorTags)
    color_after: ColorTags | None = None
    sar: Fraction = Fraction(1)
    sar_after: Fraction | None = None


@dataclass(frozen=True, eq=False)
class ShotReport:
    """One shot: frames [start, stop) of the source, one to three pictures (the middle one gets the scopes), decisions.

    `seconds` is the time spent on it, None where unknown.
    """

    name: str
    start: int
    stop: int
    timecode_in: str = ""
    timecode_out: str = ""
    pictures: Sequence[ShotPicture] = ()
    decisions: Sequence[OperationReport] = ()
    seconds: float | None = None
    chunks_rendered: int = 0
    chunks_reused: int = 0


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report says.

    Attributes:
        title: usually the name of the output.
        source: rows about the footage as it came.
        output: rows about what was made.
        shots: taken once, in order.
        seconds: time spent in all, None where unknown.
        frames_per_second: of the whole job, None where unknown.
        versions: name -> version, see `versions()`.
        hashes: what -> digest (source, decisions, output).
        notes: policies applied, things that could not be carried.
        unknown: what is not known (untagged color that was assumed, ...).
    """

    title: str
    source: Sequence[Row] = ()
    output: Sequence[Row] = ()
    shots: Iterable[ShotReport] = ()
    seconds: float | None = None
    frames_per_second: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    unknown: Sequence[str] = ()


def write(report: Report, html: Path, json: Path) -> None:
    """Writes a report; each file appears only when it is whole.

    Args:
        report: what to say.
        html: one self-contained page, pictures and scopes inside it.
        json: the same without pictures, keys as the dataclasses name them, under `"format": "answerprint.report/1"`.

    Raises:
        DeliveryError: a file cannot be written.
    """
    plain: list[dict[str, Any]] = []
    views: list[dict[str, Any]] = []
    for shot in report.shots:
        pictures = [_picture(picture, main=picture is _main(shot)) for picture in shot.pictures]
        plain.append(_plain_shot(shot, [levels for levels, _ in pictures]))
        views.append(_shot_view(shot, pictures))
        del shot  # or its full pictures would be held while the next ones are made
    data = _plain_report(report, plain)
    put(Path(json), jsonlib.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    put(Path(html), page("report.html", **_report_view(report, views)))


def describe(
    operation: Operation,
    params: Settings,
    findings: Settings | None = None,
    *,
    enabled: bool = True,
    locked: bool = False,
) -> OperationReport:
    """What an operation was told and found, as rows and in words, read from its own fields."""
    return OperationReport(
        name=operation.name,
        summary=operation.summary,
        enabled=enabled,
        locked=locked,
        params=tuple(rows(params)),
        findings=tuple(rows(findings)) if findings is not None else (),
        sentences=words(operation.name, params, findings, enabled=enabled, locked=locked),
    )


def rows(table: Settings) -> Iterator[ValueRow]:
    """The values of a table with what they are when nobody says anything."""
    for value in settings.values(type(table)):
        yield ValueRow(value.name, _plain(getattr(table, value.name)), _plain(value.default), value.help)


def words(
    name: str, params: Settings, findings: Settings | None = None, *, enabled: bool = True, locked: bool = False
) -> tuple[str, ...]:
    """A decision in sentences, made from the help and the values of any operation's fields.

    What differs from its default comes first, then what analysis found, then what was left alone.
    """
    if not enabled:
        return (f"{_title(name)} is switched off in this shot.",)
    told = [row for row in rows(params) if row.value != row.default]
    left = [row for row in rows(params) if row.value == row.default]
    sentences = [f"{_title(name)} was locked by a person: analysis did not touch it."] if locked else []
    sentences += [f"{_meaning(row)}: {say(row.value)}{_instead(row)}." for row in told]
    sentences += [f"Found: {_lower(_meaning(row))}: {say(row.value)}." for row in rows(findings)] if findings else []
    if left and told:
        sentences.append("Left at the default: " + ", ".join(f"{_spaced(r.name)} {say(r.value)}" for r in left) + ".")
    elif left:
        sentences.append("All at the default: " + ", ".join(f"{_spaced(r.name)} {say(r.value)}" for r in left) + ".")
    return tuple(sentences)


def versions() -> dict[str, str]:
    """What worked: Answerprint, Python, torch, PyAV, the FFmpeg libraries, the machine."""
    import av

    libraries = {name: ".".join(map(str, number)) for name, number in av.library_versions.items()}
    return {
        "answerprint": metadata.version("answerprint"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "PyAV": av.__version__,
        **libraries,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def say(value: Any) -> str:
    """A value as a person reads it: four significant digits, long lists as their count and span."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{_spaced(str(key))} {say(entry)}" for key, entry in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return _say_list(value)
    return str(value) if str(value) else "none"


# ---------------------------------------------------------------- words


def _say_list(value: Sequence[Any]) -> str:
    if not value:
        return "none"
    numbers = [float(entry) for entry in value if isinstance(entry, (int, float)) and not isinstance(entry, bool)]
    if len(value) > 12 and len(numbers) == len(value):
        return f"{len(value)} values from {_number(min(numbers))} to {_number(max(numbers))}"
    if len(value) > 12 or any(isinstance(entry, (list, tuple, Mapping)) for entry in value):
        shown = "; ".join(say(entry) for entry in value[:4])
        return shown if len(value) <= 4 else f"{len(value)} entries: {shown}; …"
    return ", ".join(say(entry) for entry in value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "not a finite number"
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}", 1) if value < 0 else f"{value:.4g}"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _title(name: str) -> str:
    text = _spaced(name)
    return text[:1].upper() + text[1:]


def _meaning(row: ValueRow) -> str:
    """The first sentence of a field's help, or its name."""
    first = row.help.strip().split(". ")[0].rstrip(". ")
    return _title(first) if first else _title(row.name)


def _lower(text: str) -> str:
    """Without its capital, unless it is an acronym or a symbol ("RGB", "L*")."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _instead(row: ValueRow) -> str:
    return "" if row.default is None else f", where the default is {say(row.default)}"


# ---------------------------------------------------------------- plain data


def _plain(value: Any) -> Any:
    """A value as JSON carries it; what JSON cannot say (NaN, infinity) is null."""
    if isinstance(value, Settings):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (Tensor, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def _plain_report(report: Report, shots: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "title": report.title,
        "source": {name: _plain(value) for name, value in report.source},
        "output": {name: _plain(value) for name, value in report.output},
        "seconds": _plain(report.seconds),
        "frames_per_second": _plain(report.frames_per_second),
        "shots": shots,
        "notes": list(report.notes),
        "unknown": list(report.unknown),
        "versions": dict(report.versions),
        "hashes": dict(report.hashes),
    }


def _plain_shot(shot: ShotReport, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": shot.name,
        "start": shot.start,
        "stop": shot.stop,
        "timecode_in": shot.timecode_in,
        "timecode_out": shot.timecode_out,
        "seconds": _plain(shot.seconds),
        "chunks_rendered": shot.chunks_rendered,
        "chunks_reused": shot.chunks_reused,
        "pictures": pictures,
        "decisions": [_plain_operation(operation) for operation in shot.decisions],
    }


def _plain_operation(operation: OperationReport) -> dict[str, Any]:
    def table(rows: Iterable[ValueRow]) -> list[dict[str, Any]]:
        return [
            {"name": row.name, "value": _plain(row.value), "default": _plain(row.default), "help": row.help}
            for row in rows
        ]

    return {
        "name": operation.name,
        "summary": operation.summary,
        "enabled": operation.enabled,
        "locked": operation.locked,
        "params": table(operation.params),
        "findings": table(operation.findings),
        "sentences": list(operation.sentences),
    }


# ---------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Levels:
    """The levels of a picture before anything is clipped, for the page and the JSON.

    Attributes:
        lowest: smallest R', G' or B' of the finite pixels; None where there are none.
        highest: largest.
        mean_luma: mean of Y' by the picture's matrix.
        below: share of pixels with a channel below 0 (a hair of tolerance for rounding).
        above: share with a channel above 1.
        not_finite: share with a channel that is NaN or infinite.
    """

    width: int
    height: int
    lowest: float | None
    highest: float | None
    mean_luma: float | None
    below: float
    above: float
    not_finite: float


def levels(pixels: Tensor, color: ColorTags) -> Levels:
    """Measures pixels (3, H, W) as they are, before any clipping."""
    values = pixels.detach().cpu().float().numpy()
    low, high = values.min(axis=0), values.max(axis=0)  # NaN goes through both
    finite = np.isfinite(low) & np.isfinite(high)
    known = bool(finite.any())
    hair = 1e-4  # far below one code value of 12 bits
    return Levels(
        width=values.shape[-1],
        height=values.shape[-2],
        lowest=float(low[finite].min()) if known else None,
        highest=float(high[finite].max()) if known else None,
        mean_luma=float(scopes.luma(pixels, color)[finite].mean(dtype=np.float64)) if known else None,
        below=float((low[finite] < -hair).sum()) / finite.size,
        above=float((high[finite] > 1 + hair).sum()) / finite.size,
        not_finite=float((~finite).mean()),
    )


def _main(shot: ShotReport) -> ShotPicture | None:
    return shot.pictures[len(shot.pictures) // 2] if shot.pictures else None


def _picture(picture: ShotPicture, main: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a picture says in the JSON, and what it shows in the page."""
    after_color = picture.color_after or picture.color
    plain: dict[str, Any] = {"time": str(picture.time), "timecode": picture.timecode}
    view: dict[str, Any] = {"timecode": picture.timecode, "time": _clock(float(picture.time)), "main": main}
    after_sar = picture.sar_after if picture.sar_after is not None else picture.sar
    view["aspect"] = picture.after.shape[-1] * float(after_sar) / picture.after.shape[-2]
    coded = _pair(picture.before, picture.after, *((LONG_SIDE, MAIN_BYTES) if main else (OTHER_SIDE, OTHER_BYTES)))
    sides = (("before", coded[0], picture.before, picture.color), ("after", coded[1], picture.after, after_color))
    for side, source, pixels, color in sides:
        measured = levels(pixels, color)
        plain[side] = {key: _plain(value) for key, value in vars(measured).items()}
        plain[side]["color"] = vars(color)
        view[side] = {
            "src": source,
            "levels": measured,
            "caveat": caveat(color),
            "clipped": _clipped(measured),
            "scopes": _scopes(pixels, color) if main else None,
        }
    return plain, view


def caveat(color: ColorTags) -> str:
    """What a viewer must know of a picture that a browser takes for plain display video; "" if nothing."""
    parts = []
    if color.transfer not in _DISPLAYABLE:
        parts.append(f"{_ENCODINGS.get(color.transfer, color.transfer)} encoding")
    if color.primaries in _WIDE:
        parts.append(f"{_WIDE[color.primaries]} primaries")
    return f"{' and '.join(parts)}, shown without a display transform" if parts else ""


def _clipped(measured: Levels) -> str:
    """Which share of the picture the page cannot show; "" where it shows all."""
    shares = ((measured.below, "below black"), (measured.above, "above white"), (measured.not_finite, "not finite"))
    parts = [f"{_percent(share)} {where}" for share, where in shares if share > 0]
    return f"{', '.join(parts)}, clipped in this picture" if parts else ""


def _pair(before: Tensor, after: Tensor, side: int, limit: int) -> tuple[str, str]:
    """Two pictures as data URIs of about `limit` bytes each, coded alike so that the wipe compares only the work.

    Quality gives way first, then size, down to two thirds.
    """
    shown = (_shown(before), _shown(after))
    smallest = side * 2 // 3
    while True:
        pictures = [_fit(picture, side) for picture in shown]
        for quality in (93, 88, 82, 75, 68, 60, 52):
            coded = [_jpeg(picture, quality) for picture in pictures]
            if sum(map(len, coded)) <= 2 * limit:
                return _uri("image/jpeg", coded[0]), _uri("image/jpeg", coded[1])
        # Grain and foliage: a smaller sharp picture tells more than a large smeared one.
        side = round(min(side, max(max(picture.shape[:2]) for picture in pictures)) * 0.87)
        if side < smallest:
            return _uri("image/jpeg", coded[0]), _uri("image/jpeg", coded[1])


def _jpeg(picture: Any, quality: int) -> bytes:
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    data: bytes = cv2.imencode(".jpg", picture, options)[1].tobytes()
    return data


def _shown(pixels: Tensor) -> Any:
    """Pixels as B, G, R of shape (H, W, 3), clipped to what a browser shows."""
    planes = pixels.detach().cpu().float().numpy()
    return np.clip(np.nan_to_num(planes[::-1].transpose(1, 2, 0), nan=0.0), 0, 1)


def _fit(shown: Any, side: int) -> Any:
    """A picture in 8 bits with a long side of at most `side`."""
    import cv2

    high, wide = shown.shape[:2]
    scale = side / max(high, wide)
    if scale < 1:
        size = (max(round(wide * scale), 1), max(round(high * scale), 1))
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
    return np.rint(shown * 255).astype(np.uint8)


def _scopes(pixels: Tensor, color: ColorTags) -> dict[str, Any]:
    return {
        "waveform": _lossless(scopes.waveform(pixels, color, *SCOPE)),
        "parade": _lossless(scopes.parade(pixels, *SCOPE)),
        "vectorscope": _lossless(scopes.vectorscope(pixels, color)),
        "histogram": _lossless(scopes.histogram(pixels, *SCOPE)),
        "targets": scopes.vector_targets(color, pixels.shape[-2]),
    }


def _lossless(image: scopes.Image) -> str:
    import cv2

    # WebP above 100 is lossless, and half the size of PNG for these pictures.
    return _uri("image/webp", cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


# ---------------------------------------------------------------- the page


@cache
def _templates() -> Any:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("answerprint", "metrics"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update(say=say, percent=_percent, spaced=_spaced, number=_number, duration=_duration)
    return made


def page(template: str, **values: Any) -> str:
    """A page from a template of this folder; all text is escaped."""
    shown = _templates().get_template(template).render(version=metadata.version("answerprint"), **values)
    text: str = shown
    return text


def put(path: Path, text: str) -> None:
    """Writes a text file under a temporary name and moves it into place.

    Raises:
        DeliveryError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # A name on disk may hold bytes that are no text; they are shown, not refused.
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DeliveryError(f"{path}: the report cannot be written: {error.strerror or error}") from error


def _report_view(report: Report, shots: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": report.title,
        "source": report.source,
        "output": report.output,
        "shots": shots,
        "facts": _facts(report, shots),
        "seconds": report.seconds,
        "frames_per_second": report.frames_per_second,
        "chunks_rendered": sum(shot["chunks_rendered"] for shot in shots),
        "chunks_reused": sum(shot["chunks_reused"] for shot in shots),
        "versions": report.versions,
        "hashes": report.hashes,
        "notes": report.notes,
        "unknown": report.unknown,
    }


def _facts(report: Report, shots: list[dict[str, Any]]) -> list[Row]:
    """The few figures at the head of the page."""
    facts: list[Row] = [
        ("shots", str(len(shots))),
        (
            "frames",
            f"{sum(shot['stop'] - shot['start'] for shot in shots):,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
        ),
    ]
    if report.seconds is not None:
        facts.append(("time spent", _duration(report.seconds)))
    if report.frames_per_second is not None:
        facts.append(("frames per second", _number(report.frames_per_second)))
    return facts


def _shot_view(shot: ShotReport, pictures: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    shown = [view for _, view in pictures]
    return {
        **{key: value for key, value in vars(shot).items() if key not in ("pictures", "decisions")},
        "pictures": shown,
        "main": next((view for view in shown if view["main"]), None),
        "decisions": [
            {**vars(operation), "changed": [row.name for row in operation.params if row.value != row.default]}
            for operation in shot.decisions
        ],
    }


def _percent(share: float) -> str:
    """A share as a percentage that never rounds something to nothing."""
    percent = share * 100
    if 0 < percent < 0.01:
        return "under 0.01 %"
    return f"{percent:.2f} %" if percent < 10 else f"{percent:.1f} %"


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "not known"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _clock(seconds: float) -> str:
    return f"{seconds:.3f} s"
