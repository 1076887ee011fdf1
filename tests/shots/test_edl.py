"""EDLs as editors write them: sound, sources, wipes and keys, drop-frame; and what ours say of a clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from answerprint.errors import ShotError
from answerprint.shots import edl, timeline
from answerprint.shots.boundary import ShotRange
from footage import TimedFootage

HEAD = "TITLE: X\nFCM: NON-DROP FRAME\n"
FIRST = "001  A V     C        00:00:00:00 00:00:04:00 01:00:00:00 01:00:04:00\n"
SECOND = "00:00:00:00 00:00:06:00 01:00:04:00 01:00:10:00\n"


def read(tmp_path: Path, text: str, rate: int = 24) -> tuple[list[ShotRange], str]:
    """The shots of an EDL on a clip of ten seconds, and the notes."""
    (tmp_path / "a.edl").write_text(text)
    notes: list[str] = []
    clip = TimedFootage("clip.mov", Fraction(rate), "01:00:00:00", 10 * rate)
    return timeline.read(tmp_path / "a.edl", clip, note=notes.append), "\n".join(notes)


def names(shots: list[ShotRange]) -> list[tuple[str, int, int, str]]:
    return [(shot.name, shot.start, shot.stop, shot.transition) for shot in shots]


CUTS = [("001", 0, 96, "cut"), ("002", 96, 240, "cut")]


def test_sound_under_the_number_of_a_picture_is_left_aside(tmp_path: Path) -> None:
    text = HEAD + FIRST + f"002  B V     C        {SECOND}002  B A     C        {SECOND}002  B A2    C        {SECOND}"
    shots, notes = read(tmp_path, text)
    assert names(shots) == CUTS
    assert "2 sound events are left aside" in notes


def test_comments_below_the_sound_of_an_event_name_its_picture(tmp_path: Path) -> None:
    text = HEAD + FIRST + "* FROM CLIP NAME: arrival\n"
    text += f"002  B V     C        {SECOND}002  B A     C        {SECOND}* FROM CLIP NAME: bridge\n"
    text += "003  C AA    C        00:00:00:00 00:00:06:00 01:00:04:00 01:00:10:00\n* FROM CLIP NAME: music\n"
    assert [shot.name for shot in read(tmp_path, text)[0]] == ["arrival", "bridge"]


def test_channels_that_hold_picture_and_sound_are_picture(tmp_path: Path) -> None:
    text = HEAD + FIRST.replace("A V  ", "A B  ") + f"002  B AA/V  C        {SECOND}"
    assert names(read(tmp_path, text)[0]) == CUTS


def test_sources_and_other_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    text = ">>> SOURCE A A001 1234\n" + HEAD + FIRST + ">>> SOURCE A A001C001\nFINAL CUT PRO REEL: A REPLACED BY: 1\n"
    text += f"SPLIT: AUDIO DELAY= 00:00:00:05\n002  B V     C        {SECOND}EFFECTS NAME IS X\n"
    assert names(read(tmp_path, text)[0]) == CUTS


def test_a_wipe_is_a_transition_and_its_shot_keeps_its_name(tmp_path: Path) -> None:
    alone = HEAD + FIRST + f"002  B V     W001 012 {SECOND}"
    assert names(read(tmp_path, alone)[0]) == [("001", 0, 102, "cut"), ("002", 102, 240, "wipe")]
    pair = HEAD + FIRST + "002  A V     C        00:00:04:00 00:00:04:00 01:00:04:00 01:00:04:00\n"
    pair += f"002  B V     W001 012 {SECOND}* FROM CLIP NAME: arrival\n* TO CLIP NAME: bridge\n"
    assert names(read(tmp_path, pair)[0]) == [("001", 0, 102, "cut"), ("bridge", 102, 240, "wipe")]


def test_a_key_is_a_transition_of_the_picture_that_it_is_laid_over(tmp_path: Path) -> None:
    text = HEAD + FIRST + f"002  B V     K B      {SECOND}002  C V     K    024 {SECOND}"
    assert names(read(tmp_path, text)[0]) == [("001", 0, 96, "cut"), ("002", 96, 240, "key")]


def test_a_change_of_speed_counts_by_its_length_in_the_edit(tmp_path: Path) -> None:
    slow = HEAD + FIRST + "002  B V     C        00:00:00:00 00:00:03:00 01:00:04:00 01:00:10:00\n"
    assert names(read(tmp_path, slow + "M2   B       012.0                00:00:00:00\n")[0]) == CUTS
    with pytest.raises(ShotError, match=r"a\.edl:4: event 002 has 72 frames of source and 144 in the edit"):
        read(tmp_path, slow)


def test_the_fcm_line_says_how_colons_count(tmp_path: Path) -> None:
    (tmp_path / "a.edl").write_text("FCM: DROP FRAME\n001  A V C 01:00:00:00 01:01:00:02 01:00:00:00 01:01:00:02\n")
    clip = TimedFootage("clip.mov", Fraction(30000, 1001), "01:00:00;00", 1800)
    assert len(timeline.read(tmp_path / "a.edl", clip)[0]) == 1800


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("002  B V     C        00:00:00:00 00:00:06:00\n", "a.edl:4: is no event of an EDL: 002"),
        ("002  B V     X        " + SECOND, "a.edl:4: is no event of an EDL"),
        ("002  B V     C        00:00:00:30 00:00:06:00 01:00:04:00 01:00:10:00\n", "a.edl:4: '00:00:00:30' does not"),
        ("9" * 5000 + "\n", "a.edl:4: is no event of an EDL: 9{80};"),
    ],
)
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ShotError, match=message):
        read(tmp_path, HEAD + FIRST + line)


def test_our_edl_names_the_clip_and_its_file_and_keeps_the_names_of_shots(tmp_path: Path) -> None:
    clip = TimedFootage("/footage/A001_C002.mov", Fraction(24), "01:00:00:00", 240)
    shots = [ShotRange("arrival", 0, 100), ShotRange("bridge", 100, 240, "wipe")]
    timeline.write(shots, clip, tmp_path / "a.edl")
    text = (tmp_path / "a.edl").read_text()
    assert text.count("* FROM CLIP NAME: A001_C002.mov\n") == 2
    assert text.count("* SOURCE FILE: /footage/A001_C002.mov\n") == 2
    assert timeline.read(tmp_path / "a.edl", clip) == shots


@pytest.mark.parametrize("rate", ["15", "25/2", "120"])
def test_a_rate_that_no_edl_has_is_refused_in_words(rate: str) -> None:
    assert "an EDL knows no rate of" in edl.refusal(Fraction(rate))
    assert not edl.refusal(Fraction(24000, 1001))
