"""Lines that a person drew over wires: a JSON file of key frames."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from answerprint.errors import MediaError, SettingsError
from answerprint.settings import Settings, explain
from answerprint.text import decode, parse, read_file, shorten

Coordinate = Annotated[float, Field(ge=-100_000, le=100_000)]


@dataclass(frozen=True)
class Line:
    """A line on a frame.

    Attributes:
        frame: number of it in the shot.
        points: (N, 2), x and y in pixels, pixel centers at whole numbers.
        width: of the wire in pixels; None where it is not known.
    """

    frame: int
    points: NDArray[np.float64]
    width: float | None = None


class DrawnLine(Settings):
    """A line over a wire."""

    points: list[tuple[Coordinate, Coordinate]] = Field(min_length=2, description="Points along it, x and y.")
    width: float | None = Field(None, gt=0, le=40, description="Width of the wire in pixels, where it is known.")


class LineKey(Settings):
    """One key frame of a JSON file."""

    frame: Annotated[int, Field(ge=0, description="Number of the frame in the clip, from 0.")]
    size: tuple[int, int] | None = Field(None, description="Width and height of the picture that was drawn on.")
    lines: list[DrawnLine] = Field(min_length=1, description="Lines, one for each wire.")


def read_lines(path: Path) -> list[LineKey]:
    """The key frames of a file.

    Raises:
        MediaError: there is no such file.
        SettingsError: it does not say what it must.
    """
    try:
        document = parse(json.loads, decode(read_file(path)))
    except OSError as error:
        raise MediaError(f"lines {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"lines {path}: is no JSON: {error}") from error
    if isinstance(document, dict) and "keys" in document:
        document = document["keys"]
    entries: list[Any] = document if isinstance(document, list) else [document]
    if not entries:
        raise SettingsError(f"lines {path}: holds no key frame")
    return [_key(path, number, entry) for number, entry in enumerate(entries)]


def _key(path: Path, number: int, entry: Any) -> LineKey:
    if not isinstance(entry, dict):
        raise SettingsError(
            f"lines {path}: key {number} is {shorten(entry)}; it must be a table of 'frame' and 'lines'"
        )
    try:
        return LineKey.model_validate(entry)
    except ValidationError as error:
        raise SettingsError(explain(LineKey, error, f"lines {path}: key {number}")) from None


def lines_of(path: Path, start: int, length: int, size: tuple[int, int]) -> list[Line]:
    """The lines that a file has for a shot.

    Args:
        path: of the file.
        start: number of the shot's first frame in the clip.
        length: of the shot.
        size: width and height of its pictures.

    Raises:
        MediaError: there is no such file.
        SettingsError: it does not say what it must, or a line lies outside the picture.
    """
    lines = []
    for key in read_lines(path):
        if not start <= key.frame < start + length:
            continue
        across, down = key.size or size
        if across < 1 or down < 1:
            raise SettingsError(f"lines {path}: frame {key.frame}: size is {across}x{down}; give that of the picture")
        scale = np.array([size[0] / across, size[1] / down])
        for drawn in key.lines:
            points = (np.array(drawn.points, np.float64) + 0.5) * scale - 0.5
            if ((points < 0) | (points > np.array(size) - 1)).any(1).all():
                raise SettingsError(
                    f"lines {path}: frame {key.frame}: a line lies outside the picture of {size[0]}x{size[1]}"
                )
            width = None if drawn.width is None else drawn.width * float(scale.mean())
            lines.append(Line(key.frame - start, points, width))
    return lines
