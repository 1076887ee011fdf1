"""The report of a render, for a person to read: one HTML file that opens offline, and the same as JSON.

Pure data in, files out. A `Report` is filled by whoever renders; here it is written. `Report.shots` is taken once, in
order, and every shot is reduced to its small encoded form before the next one is asked for: give a generator, and one
shot's pictures are held at a time.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from answerprint.frame import ColorTags
from answerprint.metrics import page, pictures
from answerprint.metrics.plain import to_json
from answerprint.metrics.words import OperationReport, ValueRow, duration, number

FORMAT = "answerprint.report/1"
LONG_SIDE = 960  # of the first picture of a shot; the others are shown smaller
OTHER_SIDE = 640
MAIN_BYTES, OTHER_BYTES = 44_000, 20_000  # a JPEG is compressed harder until it fits: a shot stays under 300 kB

Row = tuple[str, Any]


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
    """The contents of a report.

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
        report: its contents.
        html: one self-contained page, pictures and scopes inside it.
        json: the same without pictures, keys as the dataclasses name them, under `"format": "answerprint.report/1"`.

    Raises:
        DeliveryError: a file cannot be written.
    """
    plain: list[dict[str, Any]] = []
    views: list[dict[str, Any]] = []
    for shot in report.shots:
        coded = [_picture(picture, main=picture is _main(shot)) for picture in shot.pictures]
        plain.append(_shot_json(shot, [data for data, _ in coded]))
        views.append(_shot_view(shot, [view for _, view in coded]))
        del shot  # or its full pictures would be held while the next ones are made
    data = _report_json(report, plain)
    page.put(Path(json), jsonlib.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    page.put(Path(html), page.fill("report.html", **_report_view(report, views)))


def _report_json(report: Report, shots: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "title": report.title,
        "source": {name: to_json(value) for name, value in report.source},
        "output": {name: to_json(value) for name, value in report.output},
        "seconds": to_json(report.seconds),
        "frames_per_second": to_json(report.frames_per_second),
        "shots": shots,
        "notes": list(report.notes),
        "unknown": list(report.unknown),
        "versions": dict(report.versions),
        "hashes": dict(report.hashes),
    }


def _shot_json(shot: ShotReport, picture_data: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": shot.name,
        "start": shot.start,
        "stop": shot.stop,
        "timecode_in": shot.timecode_in,
        "timecode_out": shot.timecode_out,
        "seconds": to_json(shot.seconds),
        "chunks_rendered": shot.chunks_rendered,
        "chunks_reused": shot.chunks_reused,
        "pictures": picture_data,
        "decisions": [_operation_json(operation) for operation in shot.decisions],
    }


def _operation_json(operation: OperationReport) -> dict[str, Any]:
    def table(rows: Iterable[ValueRow]) -> list[dict[str, Any]]:
        return [
            {"name": row.name, "value": to_json(row.value), "default": to_json(row.default), "help": row.help}
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


def _main(shot: ShotReport) -> ShotPicture | None:
    return shot.pictures[len(shot.pictures) // 2] if shot.pictures else None


def _picture(picture: ShotPicture, main: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """One picture for the JSON, and the same for the page."""
    after_color = picture.color_after or picture.color
    plain: dict[str, Any] = {"time": str(picture.time), "timecode": picture.timecode}
    view: dict[str, Any] = {"timecode": picture.timecode, "time": f"{float(picture.time):.3f} s", "main": main}
    after_sar = picture.sar_after if picture.sar_after is not None else picture.sar
    view["aspect"] = picture.after.shape[-1] * float(after_sar) / picture.after.shape[-2]
    limits = (LONG_SIDE, MAIN_BYTES) if main else (OTHER_SIDE, OTHER_BYTES)
    uris = pictures.encode_pair(picture.before, picture.after, *limits)
    sides = (("before", uris[0], picture.before, picture.color), ("after", uris[1], picture.after, after_color))
    for side, uri, pixels, color in sides:
        levels = pictures.levels(pixels, color)
        plain[side] = {key: to_json(value) for key, value in vars(levels).items()}
        plain[side]["color"] = vars(color)
        view[side] = {
            "src": uri,
            "levels": levels,
            "caveat": pictures.caveat(color),
            "clipped": pictures.clipping(levels),
            "scopes": pictures.encode_scopes(pixels, color) if main else None,
        }
    return plain, view


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
        facts.append(("time spent", duration(report.seconds)))
    if report.frames_per_second is not None:
        facts.append(("frames per second", number(report.frames_per_second)))
    return facts


def _shot_view(shot: ShotReport, views: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **{key: value for key, value in vars(shot).items() if key not in ("pictures", "decisions")},
        "pictures": views,
        "main": next((view for view in views if view["main"]), None),
        "decisions": [
            {**vars(operation), "changed": [row.name for row in operation.params if row.value != row.default]}
            for operation in shot.decisions
        ],
    }
