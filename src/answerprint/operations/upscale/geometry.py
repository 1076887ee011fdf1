"""Where the picture lies in a frame, which shape it has, and where it goes to in a frame of another size.

SD video is sampled at 13.5 MHz (BT.601): of 720 samples a line, the active picture takes 702 in 625 lines and 710.85 in
525 lines, and it is this picture that is 4:3 or 16:9. The rest is room for blanking. Sample aspect ratios in files
follow several conventions (12:11, 59:54, 16:15, 128:117 for 625 lines and 4:3); all of them mean the same picture, so
only the shape is taken from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from answerprint.errors import SettingsError
from answerprint.filters.resample import Axis, Span
from answerprint.frame import Frame
from answerprint.operations.upscale.params import LARGEST, Params

_ACTIVE = {576: 702.0, 480: 710.85, 486: 710.85}  # samples by lines of picture (BT.601, 13.5 MHz)
_SD_WIDTHS = (702, 704, 720)
# Sample aspect ratio above which SD is 16:9. 4:3 goes up to 1.094 (625 lines), 16:9 begins at 1.185 (525 lines).
_WIDE = Fraction(8, 7)
_FILM = {"2k": Fraction(4, 3), "4k": Fraction(4, 3)}  # shape of the picture in a full aperture


@dataclass(frozen=True)
class Geometry:
    """A mapping of pictures.

    Attributes:
        rows: lines.
        columns: columns.
        sar: sample aspect ratio of the result.
        words: the mapping for people.
        note: what had to be assumed; empty where nothing had.
    """

    rows: Axis
    columns: Axis
    sar: Fraction
    words: str
    note: str = ""

    @property
    def factor(self) -> float:
        """How much larger the picture gets, by the direction in which it gets larger."""
        return max(axis.target.length / axis.source.length for axis in (self.rows, self.columns))


def geometry(frame: Frame, params: Params) -> Geometry:
    """The mapping of a frame's picture.

    Raises:
        SettingsError: the result is too large.
    """
    size = params.size
    if size is None:
        return _scaled(frame, params.scale or 2.0)
    return _fitted(frame, params, size)


def is_sd(frame: Frame) -> bool:
    """Whether a frame is SD video by its size."""
    return frame.width in _SD_WIDTHS and frame.height in _ACTIVE


def _scaled(frame: Frame, scale: float) -> Geometry:
    width, height = round(frame.width * scale), round(frame.height * scale)
    if max(width, height) > LARGEST:
        raise SettingsError(
            f"{frame.width} x {frame.height} times {scale:g} is {width} x {height}: beyond {LARGEST} pixels a side"
        )
    rows = Axis(frame.height, Span(0, frame.height), height, Span(0, height))
    columns = Axis(frame.width, Span(0, frame.width), width, Span(0, width))
    return Geometry(rows, columns, frame.sar, f"{frame.width}x{frame.height} to {width}x{height}")


def _fitted(frame: Frame, params: Params, size: tuple[int, int]) -> Geometry:
    part, shape, note = _picture(frame, params)
    width, height = size
    box = _inside(size, _FILM[params.to]) if params.to in _FILM else (float(width), float(height))
    by_width = shape * box[1] > box[0]
    if params.fit == "crop":
        by_width = not by_width
    across, down = (box[0], box[0] / shape) if by_width else (box[1] * shape, box[1])
    if params.fit == "crop":
        keep = min(1.0, box[0] / across), min(1.0, box[1] / down)
        source = _middle(part, keep[0]), _middle(Span(0, frame.height), keep[1])
        target = _centered(width, min(across, box[0])), _centered(height, min(down, box[1]))
    else:
        source = part, Span(0, frame.height)
        target = _centered(width, across), _centered(height, down)
    if params.edges == "keep" and part.length < frame.width:
        source, target = _widened(source, target)
    columns = Axis(frame.width, source[0], width, target[0])
    rows = Axis(frame.height, source[1], height, target[1])
    return Geometry(rows, columns, Fraction(1), _words(frame, columns, rows), note)


def _picture(frame: Frame, params: Params) -> tuple[Span, float, str]:
    """The columns of the picture, its width over its height, and what was assumed."""
    whole = Span(0, frame.width)
    if not is_sd(frame):
        return whole, float(frame.width * frame.sar / frame.height), ""
    note = ""
    if params.shape == "auto":
        shape = 16 / 9 if frame.sar > _WIDE else 4 / 3
        if frame.sar == 1:
            note = "the file does not say how wide its pixels are: 4:3 assumed; --shape 16:9 for wide pictures"
    else:
        shape = 16 / 9 if params.shape == "16:9" else 4 / 3
    active = min(_ACTIVE[frame.height], frame.width)
    if params.samples == "all":
        return whole, shape, note
    return Span((frame.width - active) / 2, active), shape, note


def _inside(size: tuple[int, int], shape: Fraction) -> tuple[float, float]:
    """The largest box of a shape in a size."""
    width, height = size
    return (float(width), float(width / shape)) if width / height < shape else (float(height * shape), float(height))


def _centered(size: int, length: float) -> Span:
    """Whole pixels in the middle of an axis, as many on both sides where that is possible."""
    whole = min(round(length), size)
    if (size - whole) % 2 and whole < size:
        whole += 1 if length > whole else -1
    return Span((size - whole) // 2, whole)


def _middle(span: Span, share: float) -> Span:
    return Span(span.start + span.length * (1 - share) / 2, span.length * share)


def _widened(source: tuple[Span, Span], target: tuple[Span, Span]) -> tuple[tuple[Span, Span], tuple[Span, Span]]:
    """The mapping with what lies beside the active picture, as far as there is room."""
    unit = target[0].length / source[0].length
    room = min(source[0].start, target[0].start / unit)
    columns = Span(source[0].start - room, source[0].length + 2 * room)
    wide = Span(target[0].start - room * unit, target[0].length + 2 * room * unit)
    return (columns, source[1]), (wide, target[1])


def _words(frame: Frame, columns: Axis, rows: Axis) -> str:
    text = f"{columns.source.length:g}x{rows.source.length:g} of {frame.width}x{frame.height}"
    text += f" to {columns.target.length:g}x{rows.target.length:g}"
    if (columns.target.length, rows.target.length) != (columns.out, rows.out):
        text += f" in {columns.out}x{rows.out}"
    return text
