"""Timecode counts the frames that SMPTE ST 12-1 says it counts."""

from fractions import Fraction

import pytest

from answerprint.errors import SettingsError
from answerprint.media import timecode

NTSC = Fraction(30000, 1001)
NTSC_60 = Fraction(60000, 1001)


@pytest.mark.parametrize(
    ("text", "rate", "frames"),
    [
        ("00:00:00:00", Fraction(25), 0),
        ("01:00:00:00", Fraction(25), 90000),
        ("01:00:00:00", Fraction(24000, 1001), 86400),
        ("01:00:00:00", NTSC, 108000),
        ("00:01:00;02", NTSC, 1800),  # the label after 00:00:59;29
        ("00:10:00;00", NTSC, 17982),
        ("01:00:00;00", NTSC, 107892),
        ("00:01:00;04", NTSC_60, 3600),
        ("01:00:00;00", NTSC_60, 215784),
    ],
)
def test_known_labels_are_known_frames_and_back(text: str, rate: Fraction, frames: int) -> None:
    assert timecode.to_frames(text, rate) == frames
    assert timecode.from_frames(frames, rate, timecode.is_drop(text)) == text


@pytest.mark.parametrize("rate", [NTSC, NTSC_60])
def test_drop_frame_labels_follow_each_other_without_gap_or_repeat_for_twenty_minutes(rate: Fraction) -> None:
    count = 20 * 60 * timecode.nominal(rate)
    labels = [timecode.from_frames(frame, rate, drop=True) for frame in range(count)]
    assert len(set(labels)) == count
    assert [timecode.to_frames(label, rate) for label in labels] == list(range(count))


def test_drop_frame_keeps_up_with_the_clock() -> None:
    hour = timecode.to_frames("01:00:00;00", NTSC) / NTSC
    assert abs(hour - 3600) < Fraction(1, 100)


def test_a_shift_over_midnight_starts_again() -> None:
    assert timecode.shift("23:59:59:24", 1, Fraction(25)) == "00:00:00:00"
    assert timecode.shift("00:00:00;00", -1, NTSC) == "23:59:59;29"


@pytest.mark.parametrize(
    ("text", "rate", "reason"),
    [
        ("hello", Fraction(25), "is no timecode"),
        ("01:00:00:25", Fraction(25), "frames go from 00 to 24"),
        ("01:00:00;00", Fraction(25), "drop-frame"),
        ("00:01:00;01", NTSC, "leaves out"),
        ("00:75:00:00", Fraction(25), "does not exist"),
    ],
)
def test_what_is_no_timecode_is_refused_with_the_reason(text: str, rate: Fraction, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        timecode.to_frames(text, rate)


def test_frames_are_counted_from_zero_where_the_timecode_cannot_be() -> None:
    assert timecode.start(None, NTSC) == "00:00:00:00"
    assert timecode.start("01:00:00;00", Fraction(24)) == "00:00:00:00"
    assert timecode.start("01:00:00;00", NTSC) == "01:00:00;00"
