"""Laws of timecode, for any frame at any rate: labels and frame numbers are one and the same order."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerprint.errors import SettingsError
from answerprint.media import timecode

RATES = [Fraction(r) for r in (24, 25, 30, 50, 60, 100, 120)] + [
    Fraction(n, 1001) for n in (24000, 30000, 60000, 120000)
]
DAY_HOURS = 24


@st.composite
def counts(draw: st.DrawFn) -> tuple[Fraction, bool, int]:
    """A rate, whether its labels drop, and a frame number within a day."""
    rate = draw(st.sampled_from(RATES))
    drop = draw(st.booleans()) if timecode.can_drop(rate) else False
    return rate, drop, draw(st.integers(0, frames_of_a_day(rate, drop) - 1))


def frames_of_a_day(rate: Fraction, drop: bool) -> int:
    """Labels of 24 hours: a day less what drop-frame leaves out, 54 of every 60 minutes."""
    base = timecode.nominal(rate)
    return DAY_HOURS * (3600 * base - (54 * base // 15 if drop else 0))


@given(counts())
def test_a_label_names_one_frame(case: tuple[Fraction, bool, int]) -> None:
    rate, drop, frame = case
    label = timecode.from_frames(frame, rate, drop)
    assert timecode.is_drop(label) == drop
    assert timecode.to_frames(label, rate) == frame


@given(counts())
def test_the_next_frame_has_the_next_label(case: tuple[Fraction, bool, int]) -> None:
    rate, drop, frame = case
    if frame + 1 < frames_of_a_day(rate, drop):
        assert timecode.from_frames(frame, rate, drop) < timecode.from_frames(frame + 1, rate, drop)
    else:
        assert timecode.to_frames(timecode.from_frames(frame + 1, rate, drop), rate) == 0


@given(counts(), st.integers(-100_000, 100_000))
def test_a_shift_there_and_back_is_none(case: tuple[Fraction, bool, int], frames: int) -> None:
    rate, drop, frame = case
    label = timecode.from_frames(frame, rate, drop)
    assert timecode.shift(timecode.shift(label, frames, rate), -frames, rate) == label


@given(st.sampled_from([r for r in RATES if timecode.can_drop(r)]), st.integers(0, 23), st.integers(0, 59), st.data())
def test_labels_that_drop_frame_leaves_out_are_refused(
    rate: Fraction, hour: int, minute: int, data: st.DataObject
) -> None:
    frame = data.draw(st.integers(0, timecode.nominal(rate) // 15 - 1))
    label = f"{hour:02d}:{minute:02d}:00;{frame:02d}"
    if minute % 10:
        with pytest.raises(SettingsError, match="leaves out"):
            timecode.to_frames(label, rate)
    else:
        assert timecode.from_frames(timecode.to_frames(label, rate), rate, drop=True)[:8] == label[:8]
