"""The real footage beside the repository, and frames in memory as a shot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from answerprint.frame import Frame, Shot

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PAL = Fraction(25)


def shared(*parts: str) -> Path:
    """A file or folder of the real footage; skips the test where it is absent. Such a test is marked `footage`."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


@dataclass(frozen=True)
class TimedFootage:
    """What a shot list needs of a clip, without a file."""

    path: str
    rate: Fraction
    timecode: str | None
    length: int

    @property
    def info(self) -> TimedFootage:
        return self

    def __len__(self) -> int:
        return self.length


def frames_of(pictures: Iterable[Tensor], rate: Fraction = PAL, **more: Any) -> list[Frame]:
    """Frames that show pictures (3, H, W) in turn; `more` are other fields of every Frame."""
    return [Frame(picture, number / rate, **more) for number, picture in enumerate(pictures)]


def as_shot(frames: Sequence[Frame], rate: Fraction = PAL) -> Shot:
    """Frames as a shot that reads them from memory."""
    return Shot("001", len(frames), rate, lambda start, stop: iter(frames[start:stop]))


def shot_of(pictures: Iterable[Tensor], rate: Fraction = PAL, **more: Any) -> Shot:
    """Pictures (3, H, W) as a shot, see `frames_of`."""
    return as_shot(frames_of(pictures, rate, **more), rate)
