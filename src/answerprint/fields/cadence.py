"""Field order and film cadence, from combs and from fields that repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from answerprint.fields.combs import PairCombs, difference_floor

Cadence = Literal["none", "3:2", "2:2"]


@dataclass(frozen=True)
class FieldOrder:
    """Which field of a frame was taken first.

    Attributes:
        name: top field first, bottom field first, both of one moment, or not to be told.
        confidence: 0..1.
        crossed: whether pictures are whole, but each spread over two frames (2:2 with the cadence one field off).
    """

    name: Literal["tff", "bff", "progressive", "unknown"]
    confidence: float
    crossed: bool = False


def field_order(pairs: Sequence[PairCombs]) -> FieldOrder:
    """The order of the fields from pairs of successive frames; "unknown" where nothing moved enough to tell.

    Fields that are neighbors in time comb less than fields three apart; fields of one moment do not comb.
    """
    inside = sum(pair.inside for pair in pairs)
    top = sum(pair.top_first for pair in pairs)
    bottom = sum(pair.bottom_first for pair in pairs)
    most = max(inside, top, bottom)
    if not pairs or most <= 0:
        return FieldOrder("unknown", 0.0)
    if inside < 0.5 * min(top, bottom):
        return FieldOrder("progressive", 1 - 2 * inside / (top + bottom))
    first: Literal["tff", "bff"] = "tff" if top < bottom else "bff"
    near, wide = min(top, bottom), max(top, bottom)
    if near > 0.97 * wide:
        return FieldOrder("unknown", 0.0)
    votes = sum((pair.top_first < pair.bottom_first) == (first == "tff") for pair in pairs) / len(pairs)
    return FieldOrder(first, votes, crossed=near < 0.4 * inside)


def repeat_differences(fields: Mapping[int, Tensor], noise: float) -> dict[int, float]:
    """Mean difference beyond noise of each field `u` and `u + 2`, where both are there; fields (H / 2, W)."""
    result = {}
    for number, picture in fields.items():
        if number + 2 in fields:
            result[number] = float(
                ((fields[number + 2] - picture).abs() - difference_floor(noise) / 2).clamp(min=0).mean()
            )
    return result


@dataclass(frozen=True)
class Pulldown:
    """The 3:2 pattern: fields with `(u - phase) % 5` of 0, 1 are one picture, 2, 3, 4 the next.

    Attributes:
        phase: 0..4.
        confidence: 0..1; share of the cycles that keep the pattern, times how much stiller the repeated field is.
    """

    phase: int
    confidence: float


def find_pulldown(differences: Mapping[int, float]) -> Pulldown:
    """The best 3:2 phase for what `repeat_differences` gives; its confidence is 0 where nothing moves.

    In 3:2 material the first and third field of every group of three are the same picture: of five successive
    differences exactly one vanishes, always at the same place.
    """
    groups: dict[int, dict[int, float]] = {}
    for number, value in differences.items():
        groups.setdefault(number % 5, {})[number] = value
    if len(groups) < 5:
        return Pulldown(0, 0.0)
    means = [sum(group.values()) / len(group) for _, group in sorted(groups.items())]
    still = min(range(5), key=means.__getitem__)
    others = sorted(means[:still] + means[still + 1 :])
    if others[0] <= 0:
        return Pulldown((still - 2) % 5, 0.0)
    regular = [
        value < 0.5 * sum(around) / len(around)
        for number, value in groups[still].items()
        if (around := [differences[i] for i in range(number - 2, number + 3) if i != number and i in differences])
        and sum(around) > 0
    ]
    share = sum(regular) / len(regular) if regular else 0.0
    return Pulldown((still - 2) % 5, share * max(0.0, 1 - means[still] / others[0]))
