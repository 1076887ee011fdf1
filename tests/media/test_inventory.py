"""Whatever a source holds beside its pictures arrives, or is named as lost, in every container."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from answerprint.media import reader
from carriers import archive_file, camera_file, deliver, still
from clips import Sound, write

WORDS = {"sound track", "subtitle track", "data track", "attachment", "cover art", "chapter", "tag", "timecode", "reel"}


def samples_of(path: Path, track: int) -> list[tuple[Fraction, bytes]]:
    """Time and bytes of every packet of a track."""
    with av.open(str(path)) as container:
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(track) if packet.size]


def words(notes: Sequence[str]) -> set[str]:
    """Which kinds of things the notes name."""
    return {word for word in WORDS for note in notes if note.lstrip("0123456789 ").startswith(word)}


@pytest.mark.parametrize("name", ["out.mov", "out.mp4"])
def test_telemetry_is_kept_where_the_container_takes_it(tmp_path: Path, name: str) -> None:
    source = camera_file(tmp_path / "camera.mp4")
    assert deliver(source, tmp_path / name) == []
    info = reader.open(tmp_path / name).info
    assert [stream.codec for stream in info.streams] == ["aac", "gpmd"]
    assert (info.metadata or {})["location"] == "+48.1000-002.3000/"
    assert (info.metadata or {})["creation_time"].startswith("2024-05-01T10:00")
    assert samples_of(tmp_path / name, 2) == samples_of(source, 2) != []


def test_telemetry_is_named_where_the_container_takes_none(tmp_path: Path) -> None:
    source = camera_file(tmp_path / "camera.mp4")
    for name in ("out.mkv", "out.mxf", "out.avi", "out.%04d.exr"):
        assert any(note.startswith("data track 2 (gpmd) is not carried: ") for note in deliver(source, tmp_path / name))


def test_everything_of_an_archive_file_arrives_in_its_own_container(tmp_path: Path) -> None:
    source = archive_file(tmp_path / "in.mkv", DIRECTOR="somebody")
    assert deliver(source, tmp_path / "out.mkv") == []
    before, after = (reader.open(path).info for path in (source, tmp_path / "out.mkv"))
    assert [(s.kind, s.codec, s.language, s.title, s.disposition) for s in after.streams] == [
        (s.kind, s.codec, s.language, s.title, s.disposition) for s in before.streams
    ]
    with av.open(str(tmp_path / "out.mkv")) as container:
        cover = next(s for s in container.streams.video if s.disposition & Disposition.attached_pic)
        assert [bytes(packet) for packet in container.demux(cover) if packet.size] == [still()]


def test_cover_art_goes_into_mp4(tmp_path: Path) -> None:
    notes = deliver(archive_file(tmp_path / "in.mkv"), tmp_path / "out.mp4")
    covers = [s for s in reader.open(tmp_path / "out.mp4").info.streams if "attached_pic" in s.disposition]
    assert [cover.codec for cover in covers] == ["mjpeg"] and "cover art" not in words(notes)
    assert words(notes) == {"sound track", "subtitle track", "attachment"}
    assert len(reader.open(tmp_path / "out.mp4")) == 6


def test_what_a_container_has_no_place_for_is_one_line_each(tmp_path: Path) -> None:
    source = archive_file(tmp_path / "in.mkv", DIRECTOR="somebody")
    for name, lost in (
        ("out.mov", {"sound track", "subtitle track", "attachment", "cover art"}),
        ("out.mxf", {"sound track", "subtitle track", "attachment", "cover art", "chapter", "tag"}),
        ("out.avi", {"sound track", "subtitle track", "attachment", "cover art", "chapter", "tag", "timecode"}),
        ("out.%04d.tif", {"sound track", "subtitle track", "attachment", "cover art", "chapter", "tag", "timecode"}),
    ):
        notes = deliver(source, tmp_path / name)
        assert words(notes) == lost, name
        assert len(set(notes)) == len(notes)
        # Where the work is cut to a range, what lies outside is no loss.
    assert "chapter" not in words(deliver(source, tmp_path / "later.avi", start=5))


@pytest.mark.parametrize("language", ["fra", "fre", "deu", "ger", "ron", "ces", "slo", "ita", "jpn"])
@pytest.mark.parametrize("ending", [".mov", ".mp4", ".mkv"])
def test_every_language_arrives(tmp_path: Path, language: str, ending: str) -> None:
    write(tmp_path / "in.mkv", width=256, height=128, frames=3, sounds=[Sound("aac", language=language)])
    notes = deliver(tmp_path / "in.mkv", tmp_path / f"out{ending}")
    assert notes == []
    assert reader.open(tmp_path / f"out{ending}").info.streams[0].language != "und"


def test_tags_of_a_phone_arrive(tmp_path: Path) -> None:
    tags = {"com.apple.quicktime.make": "A phone", "com.apple.quicktime.location.ISO6709": "+48.1-002.3/", "title": "A"}
    source = tmp_path / "phone.mov"
    write(source.with_name("base.mov"), codec="libx264", layout="yuv420p", width=256, height=128, frames=4)
    with (
        av.open(str(source.with_name("base.mov"))) as base,
        av.open(str(source), "w", container_options={"movflags": "use_metadata_tags"}) as out,
    ):
        out.metadata.update(tags)
        stream = out.add_stream_from_template(base.streams.video[0], opaque=True)
        for packet in base.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    for name in ("out.mov", "out.mp4", "out.mkv"):
        assert deliver(source, tmp_path / name) == []
        arrived = {key.lower(): value for key, value in (reader.open(tmp_path / name).info.metadata or {}).items()}
        assert {key.lower(): value for key, value in tags.items()}.items() <= arrived.items()
    assert "com.apple.quicktime.make, " in "".join(deliver(source, tmp_path / "out.mxf", "dnxhr-sq"))


def test_the_reel_stays_with_its_timecode(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.mov"), "w") as out:
        stream = out.add_stream("prores_ks", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 128, "yuv422p10le"
        stream.metadata.update(timecode="01:00:00:00", reel_name="A001C002")
        for number in range(2):
            gray = np.full((128, 256, 3), 100, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24").reformat(format="yuv422p10le")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert deliver(tmp_path / "in.mov", tmp_path / "out.mov") == []
    assert any(s.metadata.get("reel_name") == "A001C002" for s in reader.open(tmp_path / "out.mov").info.streams)
    assert "reel" in words(deliver(tmp_path / "in.mov", tmp_path / "out.mxf"))


@pytest.mark.parametrize("codec", ["libmp3lame", "ac3", "flac", "pcm_s24le"])
def test_sound_that_the_container_takes_is_copied(tmp_path: Path, codec: str) -> None:
    write(tmp_path / "in.mkv", codec="libx264", layout="yuv420p", frames=6, sounds=[Sound(codec)])
    assert deliver(tmp_path / "in.mkv", tmp_path / "out.mkv") == []
    # What an encoder put before the first picture would move the pictures to a later start.
    assert samples_of(tmp_path / "out.mkv", 1) == [part for part in samples_of(tmp_path / "in.mkv", 1) if part[0] >= 0]


def test_sound_without_places_for_its_channels_is_taken_for_stereo(tmp_path: Path) -> None:
    write(tmp_path / "in.mkv", codec="libx264", layout="yuv420p", frames=6, sounds=[Sound()])
    with av.open(str(tmp_path / "in.mkv")) as container:
        assert container.streams.audio[0].layout.name == "2 channels"
    (note,) = deliver(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert "sound track 1 was encoded anew as aac" in note
