"""ASC CDL files: `.cdl`, `.cc` and `.ccc` in and out, through OpenColorIO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answerprint import disk
from answerprint.errors import ColorError
from answerprint.text import utf8_path

Triple = tuple[float, float, float]
_FORMATS = {
    ".cc": "ColorCorrection",
    ".ccc": "ColorCorrectionCollection",
    ".cdl": "ColorDecisionList",
}


@dataclass(frozen=True)
class Correction:
    """One ASC color correction (ASC CDL v1.2): slope, offset, power per channel, then saturation.

    Attributes:
        id: its name in a collection; may be empty.
        description: free text.
    """

    slope: Triple = (1.0, 1.0, 1.0)
    offset: Triple = (0.0, 0.0, 0.0)
    power: Triple = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    id: str = ""
    description: str = ""


def read(path: Path) -> list[Correction]:
    """All corrections of a file, in its order.

    Raises:
        ColorError: it cannot be read, is no CDL, or holds none.
    """
    if path.suffix.lower() not in _FORMATS:
        raise ColorError(f"{path}: a CDL is read from a .cdl, .cc or .ccc file")
    if not path.is_file():
        raise ColorError(f"{path}: CDL file not found")
    import PyOpenColorIO as ocio  # noqa: N813

    ocio.SetLoggingLevel(ocio.LOGGING_LEVEL_NONE)  # it would say on the terminal what stands in the error as well
    try:
        # OpenColorIO keeps what it read by path; a file that was changed since must be read anew.
        ocio.ClearAllCaches()
        group = ocio.CDLTransform.CreateGroupFromFile(utf8_path(path))
    except ocio.Exception as error:
        reason = " ".join(str(error).split())
        raise ColorError(f"{path}: not a readable CDL ({reason})") from None
    corrections = [_correction(transform) for transform in group]
    if not corrections:
        raise ColorError(f"{path}: no color correction in it")
    return corrections


def choose(path: Path, name: str | None = None) -> Correction:
    """One correction of a file: that with the id `name`, or the only one.

    Raises:
        ColorError: there is none of that id, or several and no id was asked for.
    """
    corrections = read(path)
    names = ", ".join(correction.id or "(no id)" for correction in corrections[:20])
    if name is not None:
        for correction in corrections:
            if correction.id == name:
                return correction
        raise ColorError(f"{path}: no correction with the id '{name}'; it has {names}")
    if len(corrections) > 1:
        raise ColorError(f"{path}: {len(corrections)} corrections in it; choose one by its id: {names}")
    return corrections[0]


def write(corrections: Sequence[Correction], path: Path) -> None:
    """Writes a `.cc` (one correction), `.ccc` or `.cdl` by the ending.

    Raises:
        ColorError: unknown ending, several corrections for a `.cc`, or the place cannot be written.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ColorError(f"{path}: a CDL is written as .cdl, .cc or .ccc")
    if not corrections or (kind == "ColorCorrection" and len(corrections) != 1):
        raise ColorError(f"{path}: a .cc holds one correction, found {len(corrections)}; use .ccc")
    import PyOpenColorIO as ocio  # noqa: N813

    group = ocio.GroupTransform([_transform(ocio, correction) for correction in corrections])
    try:
        text = group.write(kind, ocio.Config.CreateRaw())
    except ocio.Exception as error:
        raise ColorError(f"{path}: this CDL cannot be written ({' '.join(str(error).split())})") from None
    try:
        disk.write(path, text)
    except OSError as error:
        raise ColorError(f"{path}: CDL cannot be written ({error.strerror})") from None


def _correction(transform: Any) -> Correction:
    return Correction(
        _triple(transform.getSlope()),
        _triple(transform.getOffset()),
        _triple(transform.getPower()),
        float(transform.getSat()),
        transform.getID(),
        transform.getFirstSOPDescription(),
    )


def _transform(ocio: Any, correction: Correction) -> Any:
    transform = ocio.CDLTransform(
        slope=correction.slope, offset=correction.offset, power=correction.power, sat=correction.saturation
    )
    if correction.id:
        transform.setID(correction.id)
    if correction.description:
        transform.setFirstSOPDescription(correction.description)
    return transform


def _triple(values: Sequence[float]) -> Triple:
    # OpenColorIO reads the text as double; nothing is lost.
    red, green, blue = (float(value) for value in values)
    return red, green, blue
