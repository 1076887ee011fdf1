"""A job's folder is not trusted: links in it are refused, and only what a job made is removed."""

from __future__ import annotations

from pathlib import Path

import pytest

import clips
from answerprint.errors import JobError
from answerprint.media import reader
from answerprint.render import decide, job, paths
from answerprint.render.job import JobSpec
from answerprint.render.options import Options

GRADE = ("grade", {"slope": "1.1,1,0.9"})
CHUNKS = Options(chunk=4, shots="none")


@pytest.mark.parametrize("name", ["", "chunks", "lock", "ledger.sqlite", "decisions.toml", "decisions.assets"])
def test_a_link_in_the_place_of_a_job_is_refused(tmp_path: Path, name: str) -> None:
    source, out, precious = clips.card(tmp_path / "s.mkv"), tmp_path / "out.mov", tmp_path / "precious"
    precious.mkdir()
    (precious / "film.mov").write_bytes(b"mine")
    place = paths.job_folder(out) / name
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(precious if name in ("", "chunks", "decisions.assets") else precious / "film.mov")
    with pytest.raises(JobError, match="is a link, and a job follows none"):
        job.deliver(decide.analyze(source, [GRADE], CHUNKS), out, CHUNKS)
    assert (precious / "film.mov").read_bytes() == b"mine" and len(list(precious.iterdir())) == 1


def test_planted_temporary_names_are_not_written_through(tmp_path: Path) -> None:
    source, out = clips.card(tmp_path / "s.mkv"), tmp_path / "out.mov"
    right = source.read_bytes()
    decisions = decide.analyze(source, [GRADE], CHUNKS)
    job.deliver(decisions, out, CHUNKS)
    chunks = paths.job_folder(out) / "chunks"
    for key in [path.name for path in chunks.iterdir()]:
        (chunks / key).unlink()
        (chunks / f".{key}.part").symlink_to(source)
        (chunks / key).symlink_to(source)
    (tmp_path / ".out.mov.part.mov").symlink_to(source)
    assert job.deliver(decisions, out, CHUNKS).frames == len(reader.open(out)) == 12
    assert source.read_bytes() == right


def test_what_others_put_into_the_folder_stays(tmp_path: Path) -> None:
    source, out = clips.card(tmp_path / "s.mkv"), tmp_path / "out.mov"
    folder = paths.job_folder(out)
    for place in (folder / "notes.txt", folder / "chunks" / "holiday.mov"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("mine")
    job.render(decide.analyze(source, [GRADE], CHUNKS), JobSpec(output=out, options=CHUNKS, keep_chunks=False))
    left = [path.name for path in sorted(folder.rglob("*")) if path.is_file()]
    assert left == ["holiday.mov", "notes.txt"]


def test_a_folder_of_a_job_alone_is_removed(tmp_path: Path) -> None:
    source, out = clips.card(tmp_path / "s.mkv"), tmp_path / "out.%04d.png"
    job.render(decide.analyze(source, [GRADE], CHUNKS), JobSpec(output=out, options=CHUNKS, keep_chunks=False))
    assert not paths.job_folder(out).exists()
