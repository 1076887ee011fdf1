"""Shot lists go out and come back the same, and are refused where they do not fit the clip."""

from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest

from answerprint.errors import MediaError, ShotError
from answerprint.shots import timeline
from answerprint.shots.boundary import ShotRange
from footage import TimedFootage


def footage(rate: str = "25", start: str | None = "01:00:00:00", length: int = 125) -> TimedFootage:
    return TimedFootage("/footage/reel one.mov", Fraction(rate), start, length)


def read(path: Path, clip: TimedFootage) -> tuple[list[ShotRange], str]:
    notes: list[str] = []
    return timeline.read(path, clip, note=notes.append), "\n".join(notes)


def edl(*events: tuple[str, str, str, str, str]) -> str:
    """An EDL of events (reel, source in, source out, record in, record out)."""
    lines = [f"{n:03d}  {reel:8} V     C        {' '.join(times)}" for n, (reel, *times) in enumerate(events, 1)]
    return "\n".join(["TITLE: test", "FCM: NON-DROP FRAME", "", *lines, ""])


def same(reel: str, start: str, stop: str) -> tuple[str, str, str, str, str]:
    return (reel, start, stop, start, stop)


SHOTS = [ShotRange("open", 0, 51), ShotRange("002", 51, 100, "dissolve"), ShotRange("the end", 100, 200, "fade")]
RATES = {
    "24": (None, "01:00:00:00", "23:59:50:00"),
    "25": (None, "01:00:00:00", "00:59:59:20"),
    "50": (None, "10:00:00:48"),
    "24000/1001": (None, "01:00:00:00"),
    "30000/1001": (None, "01:00:00:00", "01:00:00;00", "00:59:58;20", "10:09:59;25"),
    "60000/1001": (None, "00:00:59;58", "00:00:59:58"),
}


@pytest.mark.parametrize("ending", [".edl", ".otio", ".csv"])
@pytest.mark.parametrize(("rate", "start"), [(rate, start) for rate, starts in RATES.items() for start in starts])
def test_what_is_written_reads_back_the_same(tmp_path: Path, rate: str, start: str | None, ending: str) -> None:
    clip = footage(rate, start, 200)
    timeline.write(SHOTS, clip, tmp_path / f"cuts{ending}")
    assert read(tmp_path / f"cuts{ending}", clip)[0] == SHOTS


def test_an_edl_has_exclusive_out_points_and_the_clips_own_timecode(tmp_path: Path) -> None:
    timeline.write(SHOTS, footage("30000/1001", "00:59:58;20", 200), tmp_path / "cuts.edl")
    lines = (tmp_path / "cuts.edl").read_text().split("\n")
    assert lines[1] == "FCM: DROP FRAME"
    assert lines[3] == "001  REELONE  V     C        00:59:58;20 01:00:00;11 00:59:58;20 01:00:00;11"
    timeline.write(SHOTS, footage("30000/1001", "00:59:58:20", 200), tmp_path / "cuts.edl")
    assert "FCM: NON-DROP FRAME" in (tmp_path / "cuts.edl").read_text()
    assert "00:59:58:20 01:00:00:11" in (tmp_path / "cuts.edl").read_text()


def test_an_otio_names_the_clip_and_its_range(tmp_path: Path) -> None:
    timeline.write(SHOTS, footage("25", "01:00:00:00", 200), tmp_path / "cuts.otio")
    made = otio.adapters.read_from_file(str(tmp_path / "cuts.otio"))
    first = made.video_tracks()[0][0]
    assert first.media_reference.target_url == "file:///footage/reel%20one.mov"
    assert otio.opentime.to_timecode(first.source_range.end_time_exclusive()) == "01:00:02:01"
    assert first.available_range().duration.value == 200


def test_a_csv_may_mix_frames_and_timecodes_and_use_semicolons(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name;start;stop\none;0;50\n\ntwo;01:00:02:00;01:00:05:00\n", encoding="utf-8-sig")
    assert read(tmp_path / "a.csv", footage())[0] == [ShotRange("one", 0, 50), ShotRange("two", 50, 125)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_a_csv_of_a_spreadsheet_may_have_tabs_and_utf16(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("name\tstart\tstop\r\nGröße, eins\t0\t50\r\ntwo\t50\t125\r\n".encode(encoding))
    assert read(tmp_path / "a.csv", footage())[0] == [ShotRange("Größe, eins", 0, 50), ShotRange("two", 50, 125)]


def test_names_of_shots_stand_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('name,start,stop\n"one\nline\x00\x1b[31m",0,125\n')
    assert read(tmp_path / "a.csv", footage())[0][0].name == r"one line\x00\x1b[31m"


def test_events_are_placed_by_source_timecode_where_it_lies_in_the_clip(tmp_path: Path) -> None:
    (tmp_path / "a.edl").write_text(
        edl(
            ("A", "01:00:02:00", "01:00:05:00", "10:00:00:00", "10:00:03:00"),
            ("A", "01:00:00:00", "01:00:02:00", "10:00:03:00", "10:00:05:00"),
        )
    )
    shots, notes = read(tmp_path / "a.edl", footage())
    assert [(shot.name, shot.start, shot.stop) for shot in shots] == [("002", 0, 50), ("001", 50, 125)]
    assert "by source timecode" in notes


def test_events_from_several_reels_are_placed_by_where_they_lie_in_the_edit(tmp_path: Path) -> None:
    events = (
        ("A", "01:00:00:00", "01:00:02:00", "01:00:00:00", "01:00:02:00"),
        ("B", "01:00:00:10", "01:00:03:10", "01:00:02:00", "01:00:05:00"),
    )
    (tmp_path / "a.edl").write_text(edl(*events))
    shots, notes = read(tmp_path / "a.edl", footage())
    assert [(shot.start, shot.stop) for shot in shots] == [(0, 50), (50, 125)]
    assert "by record timecode" in notes
    shots, notes = read(tmp_path / "a.edl", footage(start="07:00:00:00"))
    assert [(shot.start, shot.stop) for shot in shots] == [(0, 50), (50, 125)]
    assert "counted from the first event" in notes


def test_a_record_range_that_starts_inside_the_clip_stays_there(tmp_path: Path) -> None:
    (tmp_path / "a.edl").write_text(edl(("A", "05:00:00:00", "05:00:02:00", "01:00:01:00", "01:00:03:00")))
    shots, notes = read(tmp_path / "a.edl", footage())
    assert [(shot.name, shot.start, shot.stop) for shot in shots] == [
        ("gap-001", 0, 25),
        ("001", 25, 75),
        ("gap-002", 75, 125),
    ]
    assert "2 shots named gap-001" in notes


def test_a_dissolve_in_an_edl_is_cut_at_its_middle(tmp_path: Path) -> None:
    (tmp_path / "a.edl").write_text(
        edl(same("A", "01:00:00:00", "01:00:02:00"))
        + "002  A        V     C        01:00:02:00 01:00:02:00 01:00:02:00 01:00:02:00\n"
        + "002  A        V     D    012 01:00:02:00 01:00:05:00 01:00:02:00 01:00:05:00\n"
    )
    shots = read(tmp_path / "a.edl", footage())[0]
    assert [(shot.start, shot.stop, shot.transition) for shot in shots] == [(0, 56, "cut"), (56, 125, "dissolve")]


def test_names_that_are_all_the_clips_own_become_numbers(tmp_path: Path) -> None:
    clip = footage()
    (tmp_path / "a.csv").write_text("name,start,stop\nreel,0,50\nreel,50,125\n")
    shots, notes = read(tmp_path / "a.csv", clip)
    assert [shot.name for shot in shots] == ["001", "002"]
    assert "numbered" in notes


BAD_EDL = {
    "a letter to a friend\nwith two lines\n": "a.edl: has no events, so it is no shot list",
    "": "a.edl: has no events, so it is no shot list",
    edl(
        same("A", "01:00:00:00", "01:00:02:00"), same("A", "01:00:02:00", "01:00:09:00")
    ): r"a.edl: event 002 goes from 01:00:02:00 \(frame 50\) to 01:00:09:00 \(frame 225\); the clip goes from "
    r"01:00:00:00 \(frame 0\) to 01:00:05:00 \(frame 125\)",
    edl(same("A", "01:00:01:00", "01:00:01:00")): r"a.edl: event 001 at 01:00:01:00 \(frame 25\) has no length",
    edl(same("A", "01:00:00;00", "01:00:02;00")): r"a.edl:4: '01:00:00;00' is drop-frame, which does not exist at 25",
    edl(same("A", "01:00:00:28", "01:00:02:00")): r"a.edl:4: '01:00:00:28' does not exist at 25",
    edl(same("A", "01:00:00:00", "01:00:03:00"), same("A", "01:00:02:00", "01:00:05:00")): "01:00:02:00",
}


@pytest.mark.parametrize(("text", "message"), BAD_EDL.items(), ids=range(len(BAD_EDL)))
def test_an_edl_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.edl").write_text(text)
    with pytest.raises(ShotError, match=message) as caught:
        read(tmp_path / "a.edl", footage())
    assert "\n" not in str(caught.value)


BAD_CSV = {
    "hello\n": r"a.csv:1: the first line names the columns: name, start, stop",
    "name,start,stop\n": r"a.csv: has no events",
    "name,start,stop\na,0,x\n": r"a.csv:2: stop is 'x'; allowed: a frame number or a timecode",
    "name,start,stop\na,0,01:00:01:30\n": r"a.csv:2: stop: '01:00:01:30' does not exist at 25",
    "name,start,stop\na,0,500\n": r"line 2 'a' goes from .* to 01:00:20:00 \(frame 500\); the clip goes",
    "name,start,stop\na,0,60\nb,50,125\n": r"line 3 'b' starts at .*\(frame 50\), before line 2 'a' ends",
    "name,start,stop\na,10,10\n": r"line 2 'a' at .* has no length",
    "name,start,stop,transition\na,0,10,melt\n": r"a.csv:2: transition is 'melt'; allowed: cut, dissolve, fade, wipe",
    "name,start,stop\na,0," + "9" * 5000 + "\n": r"a.csv:2: stop is '9{199}\.\.\.; allowed: a frame number",
    "name,start,stop\n" + "a" * 200_000 + ",0,5\n": r"a.csv:2: is no line of a table: field larger than",
}


@pytest.mark.parametrize(("text", "message"), BAD_CSV.items(), ids=range(len(BAD_CSV)))
def test_a_csv_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ShotError, match=message):
        read(tmp_path / "a.csv", footage())


def test_an_otio_of_another_rate_is_refused(tmp_path: Path) -> None:
    timeline.write(SHOTS, footage("24", length=200), tmp_path / "cuts.otio")
    with pytest.raises(ShotError, match="event 001 'open' counts 24 frames per second; the clip has 25"):
        read(tmp_path / "cuts.otio", footage(length=200))


def test_what_is_no_shot_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.otio").write_text("{}")
    (tmp_path / "a.edl").write_bytes(b"\xff\xd8\xff\xe0" * 100)
    (tmp_path / "a.txt").write_text("")
    for name, message in (
        ("a.otio", "not a timeline"),
        ("a.edl", "not a text"),
        ("a.txt", "allowed: .edl, .otio, .csv"),
    ):
        with pytest.raises(ShotError, match=message):
            read(tmp_path / name, footage())
    with pytest.raises(ShotError, match=r"gone.edl: cannot be read: No such file"):
        read(tmp_path / "gone.edl", footage())


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot be written"):
        timeline.write(SHOTS, footage(), tmp_path / "no such folder" / "a.edl")
    with pytest.raises(
        ShotError, match=r"an EDL knows no rate of 15 frames per second; write the shots as .otio or .csv"
    ):
        timeline.write(SHOTS, footage("15"), tmp_path / "a.edl")
