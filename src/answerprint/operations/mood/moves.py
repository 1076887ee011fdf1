"""The moves of a mood: what a colorist would do, each with its reach and its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALLEST = 0.04  # moves smaller than this, of -1..1, are left at neutral


@dataclass(frozen=True)
class Move:
    """One move.

    Attributes:
        name: the parameter.
        reach: its value at 1, a factor or a shift.
        factor: whether it is a factor, neutral at 1, or a shift, neutral at 0.
        above, below: words for either side.
    """

    name: str
    reach: float
    factor: bool
    above: str
    below: str

    def value(self, amount: Any) -> Any:
        """The parameter for an amount in -1..1; neutral at 0."""
        return self.reach**amount if self.factor else self.reach * amount

    def words(self, amount: float) -> str:
        """The move as a colorist would say it, with its value."""
        return f"{self.above if amount > 0 else self.below} ({self.name} {self.value(amount):.3g})"


MOVES = (
    Move("exposure", 1.2, False, "brighter", "darker"),
    Move("temperature", 45.0, False, "warmer", "cooler"),
    Move("shadows", 0.04, False, "warmer shadows", "cooler shadows"),
    Move("saturation", 1.9, True, "more color", "less color"),
    Move("contrast", 1.35, True, "more contrast", "less contrast"),
    Move("gamma", 1.4, True, "lighter midtones", "darker midtones"),
)


def grade_of(amounts: Array) -> dict[str, Array]:
    """The grade of moves (..., 6), in -1..1: name -> (...) or (..., 3).

    Exposure is slope; warm shadows are offset, with white kept.
    """
    value = {move.name: move.value(amounts[..., i]) for i, move in enumerate(MOVES)}
    gain, shadow = 2.0 ** (value["exposure"] / 2), value["shadows"]
    none = np.zeros_like(shadow)
    return {
        "temperature": value["temperature"],
        "slope": np.stack([gain * (1 - shadow), gain, gain * (1 + shadow)], -1),
        "offset": np.stack([shadow, none, -shadow], -1),
        "saturation": value["saturation"],
        "contrast": value["contrast"],
        "gamma": value["gamma"],
    }


def words(amounts: Array) -> list[str]:
    """The moves (6,) that are not neutral in words, the largest first."""
    return [MOVES[i].words(float(amounts[i])) for i in np.argsort(-np.abs(amounts)) if amounts[i] != 0]
