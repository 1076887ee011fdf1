"""Frame and Shot, and the pixel convention.

Pixels are float32 R'G'B', shape (3, H, W), in the footage's own display encoding (no linearizing on the way in),
nominal black at 0 and nominal white at 1. Values below 0 and above 1 (sub-blacks, super-whites) are kept. A gray
picture has three equal channels. Row 0 is the top of the picture. Time is a Fraction of seconds from the clip's first
frame.

Tensors of a Frame are never written to in place: frames are shared between operations, windows and threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor

FieldOrder = Literal["progressive", "tff", "bff", "unknown"]


@dataclass(frozen=True)
class ColorTags:
    """Color tags of a stream, in FFmpeg's names ("bt709", "smpte170m", "bt2020nc", "arib-std-b67", ...).

    `range` is "limited" or "full"; `siting` is the chroma sample location ("left", "center", "topleft", "top",
    "bottomleft", "bottom"). "unknown" means untagged. `matrix` is "rgb" for R'G'B' storage.
    """

    primaries: str = "unknown"
    transfer: str = "unknown"
    matrix: str = "unknown"
    range: str = "unknown"
    siting: str = "unknown"


@dataclass(frozen=True, eq=False)
class Origin:
    """The code values that a frame was decoded from: pixels that no operation changed are written back with them.

    Attributes:
        planes: code values as stored, one tensor (h, w) per plane in the order Y, Cb, Cr (or R, G, B), then alpha;
            uint8 or uint16 for integers, float32 for float storage.
        layout: FFmpeg pixel format name without endianness ("yuv422p10", "gbrp12", "yuva444p12"), the planar form.
        color: the tags by which the planes were converted, no entry unknown.
        pixels: the planes converted, float32 (3, H, W); a pixel that still equals it was not changed.
        interlaced: whether chroma was sampled per field.
        steps: step of the coder's quantizer in codes, in cells of 8 x 8 pixels, (rows, columns) float32; None where
            the decoder does not export it, or it was not requested.
    """

    planes: tuple[Tensor, ...]
    layout: str
    color: ColorTags
    pixels: Tensor
    interlaced: bool = False
    steps: Tensor | None = None


@dataclass(frozen=True)
class Area:
    """A rectangle of pixels; column 0 of row 0 is where its file counts from, and may lie outside."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width} x {self.height} at {self.left},{self.top}"

    def around(self, other: Area) -> Area:
        """The smallest rectangle that holds both."""
        left, top = min(self.left, other.left), min(self.top, other.top)
        right = max(self.left + self.width, other.left + other.width)
        bottom = max(self.top + self.height, other.top + other.height)
        return Area(left, top, right - left, bottom - top)

    def slices(self, within: Area) -> tuple[slice, slice]:
        """Lines and columns of this rectangle in a plane that covers `within`, which holds it."""
        top, left = self.top - within.top, self.left - within.left
        return slice(top, top + self.height), slice(left, left + self.width)


@dataclass(frozen=True)
class Framing:
    """The windows of a picture that is stored with more or fewer pixels than are shown (OpenEXR).

    Attributes:
        display: what is shown.
        data: what is stored: more than `display` where there is overscan, less where black was cut away.
        canvas: what `Frame.pixels` cover: both, the same for all frames of a clip.
    """

    display: Area
    data: Area
    canvas: Area


@dataclass(frozen=True)
class Passes:
    """Channels that stand in the file of a frame's picture beside its own, such as passes of a render.

    Nothing reads them until the frame is written to a format that holds them.

    Attributes:
        path: the file.
        layer: the layer that was read, as it was asked for; None for the file's main one.
        time: of the frame that they belong to; a frame of another time was made between frames and has none.
    """

    path: str
    layer: str | None
    time: Fraction


@dataclass(frozen=True)
class PictureTags:
    """What the header of a frame's picture says of the footage, to be written to the picture that is made of it.

    Attributes:
        entries: names, OpenImageIO's types and values.
        time: of the frame that they belong to; what counts pictures does not fit a frame of another time.
    """

    entries: tuple[tuple[str, str, Any], ...]
    time: Fraction


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture at one time.

    Attributes:
        pixels: float32 (3, H, W), see the module's convention.
        time: seconds from the clip's first frame.
        color: the tags of `pixels`, which name the display encoding.
        alpha: the footage's own alpha, float32 (1, H, W) in 0..1, straight; travels to outputs that carry alpha.
        matte: where operations act, float32 (1, H, W), 0 outside and 1 inside; made by `cutout`, never delivered as
            alpha.
        depth: distance from the camera, float32 (1, H, W), from a Z channel.
        field_order: how the lines of this picture were taken.
        sar: sample aspect ratio, the width of a pixel over its height.
        origin: the stored code values, while shape and color are still those of the source.
        associated: whether `pixels` are multiplied by `alpha` already, where an operation's settings say so; None:
            they are not, and the output multiplies them where its format does that.
        framing: windows of a picture whose pixels are not just what is shown; None where they are.
        passes: further channels of the source's file.
        tags: of the source's picture.
    """

    pixels: Tensor
    time: Fraction
    color: ColorTags = field(default_factory=ColorTags)
    alpha: Tensor | None = None
    matte: Tensor | None = None
    depth: Tensor | None = None
    field_order: FieldOrder = "progressive"
    sar: Fraction = Fraction(1)
    origin: Origin | None = None
    associated: bool | None = None
    framing: Framing | None = None
    passes: Passes | None = None
    tags: PictureTags | None = None

    def __post_init__(self) -> None:
        # A wrong frame is a programmer's error: caught at birth, once, not by every reader of it.
        if self.pixels.dtype != torch.float32 or self.pixels.ndim != 3 or self.pixels.shape[0] != 3:
            raise TypeError(
                f"pixels must be float32 of shape (3, H, W), got {self.pixels.dtype} {tuple(self.pixels.shape)}"
            )
        if not isinstance(self.time, Fraction):
            raise TypeError(f"time must be a Fraction, got {type(self.time).__name__}")
        for name in ("alpha", "matte", "depth"):
            plane: Tensor | None = getattr(self, name)
            if plane is not None and plane.shape != (1, *self.pixels.shape[1:]):
                raise ValueError(f"{name} has shape {tuple(plane.shape)}, pixels {tuple(self.pixels.shape)}")

    @property
    def height(self) -> int:
        """Lines."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[2])

    def with_pixels(self, pixels: Tensor) -> Frame:
        """The frame with other pixels, float32 (3, H, W); another size drops all that belongs to the old pixels."""
        if pixels.shape == self.pixels.shape:
            return replace(self, pixels=pixels)
        return replace(self, pixels=pixels, alpha=None, matte=None, depth=None, origin=None, framing=None, passes=None)

    def displayed(self) -> Frame:
        """What of the frame is shown: without overscan."""
        return self if self.framing is None else replace(self.within(self.framing.display), framing=None)

    def within(self, area: Area) -> Frame:
        """The part of the frame in an area of its canvas; the frame itself where that is all of it.

        Args:
            area: within `framing.canvas`.
        """
        if self.framing is None or area == self.framing.canvas:
            return self
        lines, columns = area.slices(self.framing.canvas)

        def cut(plane: Tensor) -> Tensor:
            return plane[..., lines, columns].contiguous()

        def cut_plane(plane: Tensor | None) -> Tensor | None:
            return None if plane is None else cut(plane)

        pixels, origin = cut(self.pixels), self.origin
        if origin is not None:
            whole = self.pixels is origin.pixels
            planes = tuple(cut(plane) for plane in origin.planes)
            origin = replace(origin, planes=planes, pixels=pixels if whole else cut(origin.pixels), steps=None)
        return replace(
            self,
            pixels=pixels,
            alpha=cut_plane(self.alpha),
            matte=cut_plane(self.matte),
            depth=cut_plane(self.depth),
            origin=origin,
            framing=replace(self.framing, canvas=area),
        )


@dataclass(frozen=True)
class Coding:
    """How hard the source of a shot was coded.

    Attributes:
        codec: FFmpeg's name of it.
        bits_per_pixel: of the video stream, on average; 0 where it is not known.
        step: of the coder's quantizer, in codes of the depth it is coded in, mean over a few pictures of the shot; 0
            where the stream does not tell it.
        log: the camera's log curve where a tag of the clip names it ("s-log3", "v-log", ...), "" otherwise.
    """

    codec: str
    bits_per_pixel: float = 0.0
    step: float = 0.0
    log: str = ""


@dataclass(frozen=True, eq=False)
class Shot:
    """A run of frames without a cut, as the operations before in the chain leave it.

    Frames are rendered when they are read, and only those.

    Attributes:
        name: "001", "002", ... or the name in the given shot list.
        length: number of frames at this point of the chain.
        rate: frames per second at this point of the chain (nominal where the source has a variable rate).
        read: returns frames [start, stop) of the shot in order.
        start: number of its first frame in the clip, at this point of the chain.
        coding: measures how its source was coded; None where it comes from no file.
        reach: neighbors on each side that the operations before render with a frame.
    """

    name: str
    length: int
    rate: Fraction
    read: Callable[[int, int], Iterator[Frame]]
    start: int = 0
    coding: Callable[[], Coding] | None = None
    reach: int = 0

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames [start, stop) of the shot, clamped to it."""
        stop = self.length if stop is None else min(stop, self.length)
        return self.read(max(start, 0), stop)

    def at(self, numbers: Iterable[int]) -> Iterator[Frame]:
        """The frames of these numbers, each once, in order; those between near ones are rendered once, not twice."""
        runs: list[list[int]] = []
        for number in sorted(set(numbers)):
            if runs and number - runs[-1][-1] <= 2 * self.reach + 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        for run in runs:
            for number, frame in enumerate(self.frames(run[0], run[-1] + 1), run[0]):
                if number in run:
                    yield frame

    def positions(self, count: int) -> list[int]:
        """Up to `count` distinct frame numbers spread through the shot, away from its very ends."""
        count = min(count, self.length)
        return [(2 * i + 1) * self.length // (2 * count) for i in range(count)]

    def sample(self, count: int) -> list[Frame]:
        """Up to `count` frames spread evenly through the shot, all in memory."""
        return list(self.samples(count))

    def samples(self, count: int) -> Iterator[Frame]:
        """The frames of `sample`, one at a time."""
        yield from self.at(self.positions(count))
