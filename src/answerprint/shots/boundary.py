"""Where one shot ends and the next begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from answerprint.errors import ShotError

Transition = Literal["cut", "dissolve", "fade"]


@dataclass(frozen=True)
class ShotRange:
    """Frames [start, stop) of a clip that belong together.

    Attributes:
        name: "001", "002", ... or the name that a given shot list has for it.
        start: its first frame, counted from 0.
        stop: the frame after its last.
        transition: how it begins: the clip's first shot begins with a cut.
    """

    name: str
    start: int
    stop: int
    transition: Transition = "cut"

    def __post_init__(self) -> None:
        if self.start < 0 or self.stop <= self.start:
            raise ShotError(
                f"shot {self.name}: frames {self.start} to {self.stop} are no range; stop must be after start"
            )

    def __len__(self) -> int:
        return self.stop - self.start
