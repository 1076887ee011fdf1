"""The page of what is carried from which container to which says what happens.

The table is made here, from deliveries of files that hold all that their container can. Write it anew with
`CARRIED=write python -m pytest tests/media/test_carried.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813

from answerprint.media import quicktime, reader, tracks
from answerprint.media.info import ClipInfo, StreamInfo
from carriers import APERTURE, LIGHT, P3, archive_file, camera_file, captioned, deliver
from clips import Sound, bars, interlaced, write
from stored import put

PAGE = Path(__file__).parents[2] / "docs" / "carried.md"
BEGIN, END = "<!-- table: tests/media/test_carried.py -->\n", "<!-- end of table -->\n"
HDR = {"primaries": "bt2020", "transfer": "smpte2084", "matrix": "bt2020nc"}


def _side(info: ClipInfo, kind: str) -> bool:
    return any(item.kind == kind for item in info.side_data)


def _has(info: ClipInfo, kind: str) -> bool:
    return any(stream.kind == kind for stream in info.streams)


def _pcm(info: ClipInfo) -> bool:
    return any(stream.codec.startswith("pcm_") for stream in info.streams)


def _sounds(info: ClipInfo) -> list[StreamInfo]:
    return [stream for stream in info.streams if stream.kind == "audio"]


def _language(info: ClipInfo) -> bool:
    return any(stream.language != "und" for stream in _sounds(info))


def _tagged(info: ClipInfo) -> bool:
    return info.kind == "file" and bool(tracks.carried_tags(info.metadata))


def _purpose(info: ClipInfo) -> bool:
    return any(set(stream.disposition) - {"default"} for stream in _sounds(info))


_KEY_CODE = "smpte:KeyCode"


def _others(info: ClipInfo) -> set[str]:
    usual = {_KEY_CODE, "Copyright", "DateTime", "Make"}
    return set(tracks.picture_tags(info)) - usual if info.kind == "sequence" else set()


# What is looked at: whether a source holds it, and how a line that tells of its loss begins.
Holds = Callable[[ClipInfo], bool]
THINGS: dict[str, tuple[Holds, str]] = {
    "timecode": (lambda info: info.timecode is not None, r"timecode"),
    "reel name": (lambda info: any("reel_name" in s.metadata for s in info.streams), r"reel name"),
    "color tags": (lambda info: info.kind == "file", r"(color tags|primaries|transfer|matrix)"),
    "sample aspect ratio": (lambda info: info.sar != 1, r"sample aspect ratio"),
    "field order": (lambda info: info.interlaced, r"field order"),
    "mastering display": (lambda info: _side(info, "mastering display"), r"mastering display"),
    "content light level": (lambda info: _side(info, "content light level"), r"content light level"),
    "clean aperture": (lambda info: _side(info, "clean aperture"), r"clean aperture"),
    "captions in the pictures (A/53)": (lambda info: _side(info, "captions (A/53)"), r"captions"),
    "HDR10+, Dolby Vision": (lambda info: _side(info, "Dolby Vision"), r"(HDR10\+|Dolby Vision)"),
    "sound": (lambda info: _has(info, "audio"), r"sound track \d+ \("),
    "sound, uncompressed, sample for sample": (_pcm, r"sound track \d+ (was encoded anew as (?!pcm)|\()"),
    "language of a track": (
        lambda info: any(s.language != "und" for s in _sounds(info)),
        r"sound track \d+(: language| \()",
    ),
    "title of a track": (lambda info: any(s.title for s in _sounds(info)), r"sound track \d+(: title| \()"),
    "purpose of a track (forced, comment, ...)": (_purpose, r"sound track \d+(: [a-z, ]+ is not| \()"),
    "subtitles": (lambda info: _has(info, "subtitle"), r"subtitle track"),
    "chapters": (lambda info: bool(info.chapters), r"\d+ chapter"),
    "telemetry (gpmd)": (lambda info: any(s.codec == "gpmd" for s in info.streams), r"data track"),
    "cover art": (lambda info: any("attached_pic" in s.disposition for s in info.streams), r"cover art"),
    "attachments": (lambda info: _has(info, "attachment"), r"attachment"),
    "tags (title, place, date, ...)": (
        lambda info: info.kind == "file" and bool(tracks.carried_tags(info.metadata)),
        r"tags? ",
    ),
    "key code of film": (lambda info: _KEY_CODE in (info.metadata or {}), rf"tags? .*{_KEY_CODE}"),
    "date, maker and copyright of pictures": (
        lambda info: info.kind == "sequence" and "Copyright" in (info.metadata or {}),
        r"(?i)tags? .*\b(copyright|date|datetime|make)\b",
    ),
    "other header tags of pictures": (lambda info: bool(_others(info)), r"tags? .*(dpx:|isoSpeed|DocumentName)"),
}
OUTPUTS = {
    "ProRes .mov": ("o.mov", "prores-hq"), "H.264 .mp4": ("o.mp4", "h264-10"), "H.265 .mp4": ("p.mp4", "h265-10"),
    "FFV1 .mkv": ("o.mkv", "ffv1"), "DNxHR .mxf": ("o.mxf", "dnxhr-hqx"), "FFV1 .avi": ("o.avi", "ffv1"),
    "EXR": ("o.%04d.exr", "exr"), "DPX": ("o.%04d.dpx", "dpx"), "TIFF": ("o.%04d.tif", "tiff"),
}  # fmt: skip


def sources(folder: Path) -> dict[str, Path]:
    """A file of each container, with what it can hold."""
    size = {"width": 256, "height": 128, "frames": 4}
    tape = {"field_order": "tff", "picture": interlaced(bars), "timecode": "10:00:00:00", "reel": "A001"}
    master = folder / "master.mov"
    write(
        master, codec="prores_ks", sounds=[Sound(language="fra")], metadata={"title": "A day", "make": "A maker"},
        sar=Fraction(4, 3), chapters=[(Fraction(0), Fraction(1, 10), "one")], **size, **tape, **HDR,
    )  # fmt: skip
    quicktime.add_boxes(master, {"mdcv": P3, "clli": LIGHT, "clap": APERTURE, "dvvC": bytes(24)})
    camera, archive = camera_file(folder / "camera.mp4"), archive_file(folder / "archive.mkv")
    deliver(master, folder / "tape.mxf", "dnxhr-hqx")
    write(folder / "capture.avi", sounds=[Sound()], metadata={"title": "A day"}, **size)
    air = captioned(folder / "air.ts", "mpeg2", size=(256, 128))
    write(folder / "scan.mov", codec="prores_ks", timecode="10:00:00:00", **size)
    scan = folder / "scan.0000.dpx"
    deliver(folder / "scan.mov", scan, "dpx")
    spec = oiio.ImageInput.open(str(scan)).spec()
    spec.attribute(_KEY_CODE, oiio.TypeDesc("keycode"), (1, 2, 3, 4, 5, 4, 64))
    headed(scan, spec, dpx_InputDevice="Scanner 4", Copyright="The makers", DateTime="2020:01:02 10:00:00")
    still = folder / "still.0001.exr"
    spec = oiio.ImageSpec(256, 128, 3, "half")
    headed(still, spec, isoSpeed=800.0, Make="A maker", Copyright="The makers", DateTime="2020:01:02 10:00:00")
    return {
        ".mov": master, ".mp4": camera, ".mkv": archive, ".mxf": folder / "tape.mxf", ".avi": folder / "capture.avi",
        ".ts": air, "DPX": scan, "EXR": still,
    }  # fmt: skip


def headed(path: Path, spec: Any, **tags: Any) -> None:
    """A picture with a header and tags."""
    put(path, np.full((spec.height, spec.width, spec.nchannels), 0.25, np.float32), spec, **tags)


def table(folder: Path) -> str:
    """The table as Markdown: a line for each thing, a column for each output."""
    carried: dict[tuple[str, str], dict[str, bool]] = {}
    for origin, path in sources(folder).items():
        info = reader.open(path).info
        for output, (name, preset) in OUTPUTS.items():
            notes = deliver(path, folder / f"{origin.strip('.')}-{name}", preset)
            for thing, (holds, lost) in THINGS.items():
                if holds(info) and not (thing == "color tags" and "%" in name):  # pictures have them as they can
                    told = any(re.match(lost, note) for note in notes)
                    carried.setdefault((thing, output), {})[origin] = not told
    lines = [f"| | held by | {' | '.join(OUTPUTS)} |", "| --- " * (len(OUTPUTS) + 2) + "|"]
    for thing in THINGS:
        held = carried.get((thing, next(iter(OUTPUTS))), {})
        cells = [_cell(carried.get((thing, output), {})) for output in OUTPUTS]
        lines.append(f"| {thing} | {' '.join(held)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(origins: dict[str, bool]) -> str:
    """Whether something is carried: from all containers that were tried, from some, or from none."""
    if not origins:
        return "-"
    if all(origins.values()):
        return "yes"
    return f"from {' '.join(name for name, kept in origins.items() if kept)}" if any(origins.values()) else "told"


def test_the_page_says_what_is_carried(tmp_path: Path) -> None:
    made = table(tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    written, _, tail = rest.partition(END)
    if os.environ.get("CARRIED") == "write":
        PAGE.write_text(f"{head}{BEGIN}\n{made}\n{END}{tail}", encoding="utf-8")
        return
    assert written.strip() == made.strip(), "write the page anew: CARRIED=write python -m pytest " + __file__


def test_every_thing_is_tried(tmp_path: Path) -> None:
    infos = [reader.open(path).info for path in sources(tmp_path).values()]
    assert [thing for thing, (holds, _) in THINGS.items() if not any(holds(info) for info in infos)] == []
