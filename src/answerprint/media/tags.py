"""Color tags of a stream, and the stated policy for those that it lacks.

Names are FFmpeg's (`av_color_primaries_name` and its sisters), numbers those of ITU-T H.273 (2021), tables 2 to 4.
"""

from __future__ import annotations

from dataclasses import replace

from answerprint.errors import SettingsError
from answerprint.frame import ColorTags
from answerprint.media.layout import Layout, parse_layout
from answerprint.media.siting import SITES
from answerprint.media.source import Overrides

PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
MATRICES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    11: "smpte2085",
    12: "chroma-derived-nc",
    13: "chroma-derived-c",
    14: "ictcp",
}
RANGES = {1: "limited", 2: "full"}
SITINGS = tuple(SITES)

# Primaries imply the matrix of the same standard, and the other way round.
_MATRIX_OF = {"bt2020": "bt2020nc", "bt709": "bt709", "smpte170m": "smpte170m", "bt470bg": "bt470bg"}
_PRIMARIES_OF = {
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
    "bt709": "bt709",
    "smpte170m": "smpte170m",
    "bt470bg": "bt470bg",
    "fcc": "bt470m",
    "smpte240m": "smpte240m",
}


def parse_tags(
    stream: tuple[int, int, int, int], frame: tuple[int, int, int, int], siting: str, full: bool = False
) -> ColorTags:
    """The tags of a clip from its stream and its first frame.

    The stream wins where both speak: DNxHR frames report BT.709 where the stream says BT.2020.

    Args:
        stream: primaries, transfer, matrix and range of the stream, as numbers.
        frame: the same of the first frame.
        siting: FFmpeg's name of the chroma location.
        full: the pixel format is full range by its name (yuvj*).
    """
    tables = (PRIMARIES, TRANSFERS, MATRICES, RANGES)
    names = [table.get(s) or table.get(f) or "unknown" for table, s, f in zip(tables, stream, frame, strict=True)]
    if full:
        names[3] = "full"
    primaries, transfer, matrix, range_ = names
    return ColorTags(primaries, transfer, matrix, range_, siting if siting in SITINGS else "unknown")


def resolve(
    tags: ColorTags, overrides: Overrides, *, height: int, layout: str, codec: str
) -> tuple[ColorTags, list[str]]:
    """Tags without an unknown entry, and a sentence for everything that was assumed or overridden.

    Policy for what a file does not say: matrix by primaries, else by size (601 under 720 lines, with the PAL flavor for
    576 lines; 709 from 720 lines on); limited range for Y'CbCr, full for R'G'B'; chroma sited left for 4:2:0 and 4:2:2
    (center for JPEG and MPEG-1); primaries by matrix; BT.709 transfer.

    Args:
        tags: as the file has them.
        overrides: of these matrix, range and siting count.
        height: lines of the stored picture.
        layout: planar pixel format name.
        codec: FFmpeg's name of it.

    Raises:
        SettingsError: an override does not exist or does not fit the layout.
    """
    notes: list[str] = []
    form = parse_layout(layout)
    rgb = form.family == "rgb"
    tags = _override(tags, overrides, rgb, notes)
    if rgb:
        tags = replace(tags, matrix="rgb")
    elif tags.matrix == "unknown":
        tags = _assume_matrix(tags, height, notes)
    elif tags.matrix == "rgb" and (form.family == "gray" or form.subsampled):
        tags = _assume_matrix(replace(tags, matrix="unknown"), height, notes)
        notes.append("the file tags its Y'CbCr pictures as R'G'B'; the tag was not believed")
    if tags.range == "unknown":
        tags = replace(tags, range="full" if rgb else "limited")
        if not rgb:
            notes.append("range is not tagged: limited (16-235) assumed")
    if tags.siting == "unknown":
        tags = _assume_siting(tags, form, codec, notes)
    if tags.primaries == "unknown":
        tags = replace(tags, primaries=_PRIMARIES_OF.get(tags.matrix, "bt709"))
        notes.append(f"primaries are not tagged: {tags.primaries} assumed")
    if tags.transfer == "unknown":
        tags = replace(tags, transfer="bt709")
        notes.append("transfer is not tagged: bt709 assumed")
    return tags, notes


def _override(tags: ColorTags, overrides: Overrides, rgb: bool, notes: list[str]) -> ColorTags:
    """The tags with those that the user says, noted."""
    values = {name: overrides.get(name) for name in ("matrix", "range", "siting")}
    allowed = {"matrix": tuple(MATRICES.values()), "range": ("limited", "full"), "siting": SITINGS}
    for name, value in values.items():
        if value is None:
            continue
        if value not in allowed[name]:
            raise SettingsError(f"{name} '{value}' is unknown; allowed: {', '.join(allowed[name])}")
        if name == "matrix" and rgb != (value == "rgb"):
            kind = "R'G'B'" if rgb else "Y'CbCr"
            raise SettingsError(f"matrix '{value}' cannot be used: the file stores {kind}")
        tag = getattr(tags, name)
        notes.append(f"{name} {value} as asked for (the file says {'nothing' if tag == 'unknown' else tag})")
        tags = replace(tags, **{name: value})
    return tags


def _assume_matrix(tags: ColorTags, height: int, notes: list[str]) -> ColorTags:
    if tags.primaries in _MATRIX_OF:
        matrix, why = _MATRIX_OF[tags.primaries], f"its primaries are {tags.primaries}"
    elif height >= 720:
        matrix, why = "bt709", f"{height} lines are HD"
    else:
        matrix = "bt470bg" if height in (576, 288) else "smpte170m"
        why = f"{height} lines are SD" if matrix == "smpte170m" else f"{height} lines are PAL"
    notes.append(f"matrix is not tagged: {matrix} assumed ({why})")
    return replace(tags, matrix=matrix)


def _assume_siting(tags: ColorTags, form: Layout, codec: str, notes: list[str]) -> ColorTags:
    if codec in ("mjpeg", "mpeg1video", "jpeg", "ljpeg", "webp", "vp8"):
        siting = "center"
    elif codec == "dvvideo" and "420" in form.name:
        siting = "topleft"
    else:
        siting = "left"
    if "420" in form.name:
        notes.append(f"chroma siting is not tagged: {siting} assumed")
    elif not form.subsampled:
        siting = "left" if tags.matrix != "rgb" else "center"
    return replace(tags, siting=siting)
