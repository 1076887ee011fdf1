"""Field order and cadence that are measured."""

from __future__ import annotations

from answerprint.fields import cadence, combs
from pictures import bars


def test_nothing_that_moves_says_nothing_of_the_order() -> None:
    still = bars(0, 0.3)[0]
    assert cadence.field_order([combs.measure_pair(still, still, 0.0)] * 4).name == "unknown"
    assert cadence.field_order([]).name == "unknown"
    assert cadence.find_pulldown({}).confidence == 0.0
    assert cadence.find_pulldown(dict.fromkeys(range(20), 0.0)).confidence == 0.0


def test_only_a_steady_pattern_is_a_pulldown() -> None:
    steady = {u: 0.0 if u % 5 == 4 else 1.0 for u in range(24)}
    assert cadence.find_pulldown(steady) == cadence.Pulldown(phase=2, confidence=1.0)
    video = {u: 1.0 + 0.1 * (u % 3) for u in range(24)}
    assert cadence.find_pulldown(video).confidence < 0.2
    # One still moment in the middle is no cadence.
    moment = {u: 0.0 if u == 9 else 1.0 for u in range(24)}
    assert cadence.find_pulldown(moment).confidence < 0.4
