"""How a stored picture is turned to be upright."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Orientation:
    """The turn that makes a stored picture upright: transpose, then mirror across and down."""

    transpose: bool = False
    across: bool = False
    down: bool = False

    @classmethod
    def of_exif(cls, number: int) -> Orientation:
        """The turn that an orientation tag (Exif 2.32, 4.6.4 A; 1 to 8) asks for; any other number asks for none."""
        return cls(transpose=5 <= number <= 8, across=number in (2, 3, 6, 7), down=number in (3, 4, 7, 8))

    @property
    def upright(self) -> bool:
        """Whether the picture is upright as stored."""
        return not (self.transpose or self.across or self.down)

    @property
    def degrees(self) -> int:
        """Degrees clockwise, ignoring a mirroring."""
        if self.transpose:
            return 90 if self.across or not self.down else 270
        return 180 if self.down else 0

    @property
    def mirrored(self) -> bool:
        """Whether the picture is stored mirrored."""
        return (self.transpose + self.across + self.down) % 2 == 1

    def apply(self, planes: Tensor) -> Tensor:
        """A tensor (..., h, w) made upright."""
        if self.transpose:
            planes = planes.transpose(-1, -2)
        sides = [axis for axis, mirror in ((-1, self.across), (-2, self.down)) if mirror]
        return (planes.flip(sides) if sides else planes).contiguous()
