"""Priors of a cutout: rough masks, boxes, polygons and scribbles on key frames, read from files.

A single picture is a mask for the clip's first frame. A sequence (`mask.%04d.png`, `mask.####.png`) names its key
frames by its numbers, counted like the clip's frames from `start_number` on. A JSON file holds one key or a list of
them, bare or under "keys":

    {"keys": [
        {"frame": 0, "size": [1920, 1080], "box": [left, top, right, bottom]},
        {"frame": 24, "polygon": [[x, y], [x, y], [x, y]]},
        {"frame": 48, "mask": "mask48.png", "foreground": [{"points": [[x, y], [x, y]], "radius": 6}],
                                            "background": [{"points": [[x, y]], "radius": 10}]}
    ]}

Coordinates are pixels of a picture of "size" (width, height; the clip's own where it is left out), (0, 0) its top left
corner. "polygon" may be a list of polygons. Scribbles alone are enough; on top of a shape they correct it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.settings import Settings, explain
from answerprint.text import decode, parse, read_file, shorten

Mask = npt.NDArray[np.bool_]
_Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]  # OpenCV draws with whole numbers of 32 bits
Point = tuple[_Coordinate, _Coordinate]
Polygon = Annotated[list[Point], Field(min_length=3)]

_LIKE = 0.03  # how much the shape of a mask's picture may differ from the clip's


@dataclass(frozen=True)
class Prior:
    """A person's marks on a key frame, at the working size.

    Attributes:
        shape: (H, W) bool, the rough shape; None where there are only scribbles.
        foreground: (H, W) bool, pixels that are surely the target.
        background: (H, W) bool, pixels that are surely not.
        is_box: whether the shape is a box around the target.
    """

    shape: Mask | None
    foreground: Mask
    background: Mask
    is_box: bool = False


class Stroke(Settings):
    """A line drawn over a picture."""

    points: list[Point] = Field(min_length=1, description="Points of the line, x and y.")
    radius: float = Field(5.0, gt=0, le=1000, description="Half the width of the line.")


class Key(Settings):
    """One key frame of a JSON file."""

    frame: Annotated[int, Field(ge=0, description="Number of the frame in the clip, from 0.")]
    size: tuple[int, int] | None = Field(None, description="Width and height of the picture that it was drawn on.")
    box: tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate] | None = Field(
        None, description="Left, top, right, bottom."
    )
    polygon: Polygon | list[Polygon] | None = Field(None, description="Corners of a polygon, or of several.")
    mask: str | None = Field(None, description="A mask picture, seen from the JSON file's folder.")
    foreground: list[Stroke] = Field(default=[], description="Strokes over the target.")
    background: list[Stroke] = Field(default=[], description="Strokes over what is not the target.")


Source = Path | Key


def find(path: Path) -> dict[int, tuple[Source, Path]]:
    """The key frames that a prior names: number to a mask's path or a JSON key, and the file it stands in.

    Raises:
        MediaError: there is no such file.
        SettingsError: a JSON file does not say what it must.
    """
    if path.suffix.lower() == ".json":
        return {key.frame: (key, path) for key in _keys(path)}
    pattern = None if path.is_file() else re.search(r"%(?:0\d+)?d|#+", path.name)
    if pattern is None:
        if not path.is_file():
            raise MediaError(
                f"prior {path}: there is no such file; give a mask, a sequence (mask.%04d.png) or a JSON file"
            )
        return {0: (path, path)}
    before, after = re.escape(path.name[: pattern.start()]), re.escape(path.name[pattern.end() :])
    number_in = re.compile(f"{before}(\\d+){after}")
    files = sorted(path.parent.glob("*")) if path.parent.is_dir() else []
    matches = [(number_in.fullmatch(file.name), file) for file in files]
    keys: dict[int, tuple[Source, Path]] = {int(match[1]): (file, file) for match, file in matches if match is not None}
    if not keys:
        raise MediaError(f"prior {path}: no picture matches; their numbers name the key frames")
    return keys


def read(source: Source, file: Path, size: tuple[int, int], work: tuple[int, int]) -> Prior:
    """The prior of a key frame.

    Args:
        source: as `find` gave it.
        file: as `find` gave it, for messages and paths beside it.
        size: width and height of the clip.
        work: width and height to work at.

    Raises:
        MediaError: a mask cannot be read.
        SettingsError: it is empty or full, or of another shape than the clip.
    """
    if isinstance(source, Path):
        shape: Mask | None = _mask(source, size, work)
        nothing = np.zeros(work[::-1], bool)
        prior = Prior(shape, nothing, nothing)
        where = str(file)
    else:
        prior = _drawn(source, file, size, work)
        where = f"{file}: frame {source.frame}"
    _refuse(prior, where)
    return prior


def _refuse(prior: Prior, where: str) -> None:
    if prior.shape is None and not prior.foreground.any():
        raise SettingsError(
            f"prior {where}: says nothing of the target; give a box, polygon, mask or foreground stroke"
        )
    if prior.shape is not None and not prior.shape.any():
        raise SettingsError(
            f"prior {where}: is empty: nothing of it lies inside the picture; mark the target (a mask: white on black)"
        )
    if prior.shape is not None and prior.shape.all():
        raise SettingsError(f"prior {where}: covers the whole picture; leave what is not the target black")


def _keys(path: Path) -> list[Key]:
    try:
        document = parse(json.loads, decode(read_file(path)))
    except OSError as error:
        raise MediaError(f"prior {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"prior {path}: is no JSON: {error}") from error
    if isinstance(document, dict) and "keys" in document:
        document = document["keys"]
    entries: list[Any] = document if isinstance(document, list) else [document]
    if not entries:
        raise SettingsError(f"prior {path}: holds no key frame")
    keys = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise SettingsError(
                f"prior {path}: key {number} is {shorten(entry)}; it must be a table with 'frame' and a shape"
            )
        try:
            keys.append(Key.model_validate(entry))
        except ValidationError as error:
            raise SettingsError(explain(Key, error, f"prior {path}: key {number}")) from None
    return keys


def _mask(path: Path, size: tuple[int, int], work: tuple[int, int]) -> Mask:
    plane = _plane(_read(path))
    height, width = plane.shape
    if abs(width / height * size[1] / size[0] - 1) > _LIKE:
        raise SettingsError(
            f"prior {path}: is {width}x{height}, the clip {size[0]}x{size[1]}: another shape; "
            "paint it on a frame of the clip (any size of the same shape will do)"
        )
    small = cv2.resize(plane, work, interpolation=cv2.INTER_AREA)
    result: Mask = small > 0.5
    if not result.any() and bool((plane > 0.5).any()):
        result = small > 0  # a mask of a few pixels must not vanish with the working size
    return result


def _read(path: Path) -> Frame:
    """The mask as a picture, upright, read as footage is."""
    try:
        clip = reader.open(path)
        if clip.info.kind == "sequence" and len(clip) == 1:
            return next(clip.frames())
    except MediaError as error:
        raise MediaError(f"prior {error}; give a PNG, TIFF, EXR or JPEG") from error
    raise MediaError(f"prior {path}: cannot be read as a picture; give a PNG, TIFF, EXR or JPEG")


def _plane(picture: Frame) -> npt.NDArray[np.float32]:
    """The mask in a picture, (h, w) in 0..1: its alpha where that says anything, else its brightest channel."""
    alpha = picture.alpha
    if alpha is not None and bool((alpha != alpha.flatten()[0]).any()):
        return np.asarray(alpha[0].numpy())
    return np.asarray(picture.pixels.amax(0).numpy())


def _drawn(key: Key, file: Path, size: tuple[int, int], work: tuple[int, int]) -> Prior:
    across, down = key.size or size
    if across < 1 or down < 1:
        raise SettingsError(
            f"prior {file}: frame {key.frame}: size is {across}x{down}; give the picture's width and height"
        )
    scale = np.array([work[0] / across, work[1] / down])
    shape: Mask | None = None
    if key.mask is not None:
        shape = _mask(file.parent / key.mask, size, work)
    outlines: list[Any] = []
    if key.box is not None:
        left, top, right, bottom = key.box
        outlines.append([(left, top), (right, top), (right, bottom), (left, bottom)])
    if key.polygon:
        several = isinstance(key.polygon[0][0], (list, tuple))
        outlines += key.polygon if several else [key.polygon]
    if outlines:
        canvas = np.zeros(work[::-1], np.uint8)
        for outline in outlines:
            cv2.fillPoly(canvas, [np.rint(np.array(outline) * scale - 0.5).astype(np.int32)], 1)
        shape = (canvas > 0) if shape is None else shape | (canvas > 0)
    foreground, background = (_strokes(strokes, scale, work) for strokes in (key.foreground, key.background))
    return Prior(shape, foreground & ~background, background, key.box is not None and key.mask is None)


def _strokes(strokes: list[Stroke], scale: npt.NDArray[np.float64], work: tuple[int, int]) -> Mask:
    canvas = np.zeros(work[::-1], np.uint8)
    for stroke in strokes:
        points = np.rint(np.array(stroke.points) * scale - 0.5).astype(np.int32)
        radius = max(1, round(stroke.radius * float(scale.mean())))
        for point in points:
            cv2.circle(canvas, tuple(int(part) for part in point), radius, 1, cv2.FILLED)
        cv2.polylines(canvas, [points], False, 1, 2 * radius)
    return canvas > 0
