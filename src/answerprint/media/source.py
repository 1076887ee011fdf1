"""The interface between a clip and its file or sequence, and the tags that the user may override."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal, Protocol, TypedDict

from answerprint.errors import SettingsError
from answerprint.frame import Frame
from answerprint.media.info import ClipInfo
from answerprint.text import is_number, shorten

_BROADCAST = {"23.98": "24000/1001", "23.976": "24000/1001", "29.97": "30000/1001", "59.94": "60000/1001"}


class FrameSource(Protocol):
    """A file or a sequence of pictures; picklable, holds no open file."""

    @property
    def info(self) -> ClipInfo:
        """All that is known of the footage."""

    @property
    def times(self) -> Sequence[Fraction]:
        """Presentation time of every frame in seconds from the first, exact."""

    @property
    def damage(self) -> Mapping[int, str]:
        """The damaged frames that were read and kept, each in a line."""

    def read(self, start: int, stop: int, threads: int | None, quantizers: bool) -> Iterator[Frame]:
        """Frames [start, stop) in order; see `reader.Clip.frames`."""

    def files(self, start: int, stop: int) -> Sequence[str]:
        """Paths of the files that frames [start, stop) are read from."""

    def content(self, start: int, stop: int) -> str:
        """A hash of the stored bytes that frames [start, stop) are decoded from."""


class Overrides(TypedDict, total=False):
    """Tags of footage that the user overrides (see `reader.open`); None is the same as absent."""

    matrix: str | None
    range: str | None
    siting: str | None
    rate: Fraction | int | str | None
    field_order: str | None
    incomplete: Literal["error", "keep"] | None
    damaged: Literal["error", "keep"] | None
    nonfinite: Literal["error", "zero"] | None
    layer: str | None


def parse_rate(rate: Fraction | int | str) -> Fraction:
    """Frames per second from a number or text ("24", "23.976", "30000/1001").

    Raises:
        SettingsError: it is no rate.
    """
    try:
        if not is_number(str(rate)):
            raise ValueError
        value = Fraction(_BROADCAST.get(str(rate), str(rate)))
    except (ValueError, ZeroDivisionError):
        raise SettingsError(f"rate {shorten(str(rate))} is no rate; write it as 24 or 30000/1001") from None
    if not 0 < value <= 10000:
        raise SettingsError(f"rate {rate} is no rate; it must be above 0 and at most 10000 frames per second")
    return value


def rate_of(overrides: Overrides) -> Fraction | None:
    """The rate that the user says, None where they say none.

    Raises:
        SettingsError: it is no rate.
    """
    rate = overrides.get("rate")
    return None if rate is None else parse_rate(rate)
