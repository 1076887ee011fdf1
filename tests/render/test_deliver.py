"""What of a job is taken for done: chunks as they were written, from a source as it was read."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

import clips
from answerprint.color import cube_file, lut
from answerprint.errors import JobError, MediaError, SettingsError
from answerprint.media import reader
from answerprint.render import decide, job, paths
from answerprint.render.job import JobSpec
from answerprint.render.options import Options
from answerprint.render.progress import Silent
from answerprint.shots.decisions.model import DecisionList

GRADE = ("grade", {"slope": "1.1,1,0.9"})
CHUNKS = Options(chunk=4)


class Listener(Silent):
    """Keeps what is said, and does something once the first frame is done."""

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self.notes: list[str] = []
        self._on_first, self._frames = on_first, 0

    def advance(self, count: int = 1) -> None:
        self._frames += count
        if self._frames == count:
            self._on_first()

    def note(self, text: str) -> None:
        self.notes.append(text)


def decided(source: Path) -> DecisionList:
    return decide.analyze(source, [GRADE], Options(shots="none", chunk=4))


def scan(folder: Path, count: int = 12) -> Path:
    """A sequence of uncompressed pictures, all of one size on disk."""
    folder.mkdir(parents=True)
    for number in range(count):
        picture(folder / f"s.{1001 + number}.dpx", number / count)
    return folder / "s.%04d.dpx"


def picture(path: Path, level: float) -> None:
    output = oiio.ImageOutput.create("dpx")
    spec = oiio.ImageSpec(64, 48, 3, "uint10")
    assert output.open(str(path), spec) and output.write_image(np.full((48, 64, 3), level, np.float32))
    output.close()


def contents(folder: Path, pattern: str) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("harm", [halve, flip, empty, Path.unlink])
@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.mp4", "out.%04d.png"])
def test_a_chunk_that_is_damaged_is_rendered_again(tmp_path: Path, name: str, harm: Callable[[Path], None]) -> None:
    source = clips.card(tmp_path / "source.mkv")
    out = tmp_path / "out" / name
    out.parent.mkdir()
    job.deliver(decided(source), out, CHUNKS)
    right = contents(out.parent, "out*.*")
    chunk = sorted((paths.job_folder(out) / "chunks").iterdir())[1]
    harm(sorted(chunk.iterdir())[2] if chunk.is_dir() else chunk)
    listener = Listener()
    _, outcome = job.resume(out, watcher=listener)
    assert sum(outcome.rendered.values()) == 1 and sum(outcome.reused.values()) == 2
    assert contents(out.parent, "out*.*") == right
    assert sum("the chunk is damaged or gone" in note for note in listener.notes) == 1


def test_a_picture_replaced_in_the_middle_is_rendered_again(tmp_path: Path) -> None:
    """Its file has the size that it had; what only was touched is not rendered again."""
    source, out = scan(tmp_path / "in"), tmp_path / "out.mov"
    decisions = decided(source)
    job.deliver(decisions, out, CHUNKS)
    os.utime(tmp_path / "in" / "s.1002.dpx")
    assert sum(job.deliver(decisions, out, CHUNKS).rendered.values()) == 0
    picture(tmp_path / "in" / "s.1006.dpx", 0.9)
    listener = Listener()
    assert sum(job.deliver(decisions, out, CHUNKS, listener).rendered.values()) == 1
    assert listener.notes.count("frames 4 to 7 of shot 001: the source changed since, and they are rendered again") == 1
    means = [float(frame.pixels[1].mean()) for frame in reader.open(out).frames()]
    assert means[5] == pytest.approx(0.9, abs=0.01) and means[6] == pytest.approx(0.5, abs=0.01)
    assert sum(job.deliver(decisions, out, CHUNKS).rendered.values()) == 0


def test_a_file_damaged_in_the_middle_is_looked_at_where_it_changed(tmp_path: Path) -> None:
    """A byte of one picture of a video file, far from both ends of it."""
    source, out = tmp_path / "s.mov", tmp_path / "out.mov"
    clips.card(source, codec="v210", width=640, height=360)
    assert source.stat().st_size > 4 << 20
    decisions = decided(source)
    job.deliver(decisions, out, CHUNKS)
    flip(source)
    assert sum(job.deliver(decisions, out, CHUNKS).rendered.values()) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_source_that_changes_while_it_is_read_stops_the_job(tmp_path: Path, workers: int) -> None:
    source, out = scan(tmp_path / "in"), tmp_path / "out.mov"
    decisions = decided(source)

    def replace() -> None:
        for number in (1001, 1006, 1012):
            picture(tmp_path / "another.dpx", 0.9)
            (tmp_path / "another.dpx").replace(tmp_path / "in" / f"s.{number}.dpx")

    with pytest.raises(MediaError, match=r"s\.%04d\.dpx: (changed while|is not the clip)"):
        job.deliver(decisions, out, Options(chunk=4, workers=workers), Listener(replace))
    assert not out.exists()
    again = decided(source)
    job.deliver(again, out, CHUNKS)
    job.deliver(again, tmp_path / "right.mov", CHUNKS)
    assert out.read_bytes() == (tmp_path / "right.mov").read_bytes()


def test_a_lut_that_changes_while_the_job_runs_stops_it(tmp_path: Path) -> None:
    source, cube, out = clips.card(tmp_path / "s.mkv", frames=40), tmp_path / "look.cube", tmp_path / "out.mkv"
    cube_file.write(lut.bake(lambda pixels: pixels * 0.5, 5), cube)
    decisions = decide.analyze(source, [("grade", {"lut": str(cube)})], Options(shots="none"))

    def save_another() -> None:
        cube_file.write(lut.bake(lambda pixels: pixels * 0.9, 5), cube)

    with pytest.raises(JobError, match=r"look\.cube: changed while the job ran"):
        job.deliver(decisions, out, CHUNKS, Listener(save_another))
    assert not out.exists()
    job.deliver(decisions, out, CHUNKS)
    job.deliver(decisions, tmp_path / "right.mkv", CHUNKS)
    assert out.read_bytes() == (tmp_path / "right.mkv").read_bytes()


def test_a_lut_that_is_only_touched_is_the_same(tmp_path: Path) -> None:
    source, cube, out = clips.card(tmp_path / "s.mkv"), tmp_path / "look.cube", tmp_path / "out.mkv"
    cube_file.write(lut.bake(lambda pixels: pixels * 0.5, 5), cube)
    decisions = decide.analyze(source, [("grade", {"lut": str(cube)})], Options(shots="none"))
    assert job.deliver(decisions, out, CHUNKS, Listener(lambda: os.utime(cube))).frames == 12
    assert sum(job.deliver(decisions, out, CHUNKS).rendered.values()) == 0


def test_a_damaged_asset_is_refused(tmp_path: Path) -> None:
    decisions = decided(clips.card(tmp_path / "s.mkv"))
    name = decisions.assets.put(b"a contour", ".zip")
    assert decisions.assets.path(name).read_bytes() == b"a contour"
    flip(decisions.assets.path(name))
    with pytest.raises(SettingsError, match="is damaged"):
        decisions.assets.verify(name)


@pytest.mark.parametrize("list_file", [None, "lists/d.toml"])
def test_a_copied_project_goes_on_in_its_new_place(tmp_path: Path, list_file: str | None) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "lists").mkdir(parents=True)
    (old / "masters").mkdir()
    decisions, out = decided(clips.card(old / "source.mkv")), old / "masters" / "out.mov"
    if list_file is not None:
        decide.save(decisions, old / list_file)
    decisions_file = None if list_file is None else old / list_file
    job.render(decisions, JobSpec(output=out, options=CHUNKS, decisions=decisions_file))
    out.unlink()
    shutil.copytree(old, new)  # with new times
    if list_file is not None:
        shutil.rmtree(old)
    _, outcome = job.resume(new / "masters" / "out.mov")
    assert sum(outcome.rendered.values()) == 0 and len(reader.open(new / "masters" / "out.mov")) == 12
    assert not out.exists()


def test_a_kill_never_leaves_part_of_a_sequence_that_looks_whole(tmp_path: Path) -> None:
    source, out = clips.card(tmp_path / "source.mkv"), tmp_path / "out" / "p.%04d.png"
    out.parent.mkdir()
    decide.save(decided(source), tmp_path / "d.toml")
    job.deliver(decided(source), out, CHUNKS)
    right = contents(out.parent, "p.*.png")
    # The process ends itself at the n-th picture that gets its name.
    script = """
import os, sys
left = int(sys.argv.pop(1))
def hook(event, arguments):
    global left
    if event == "os.rename" and str(arguments[1]).endswith(".png"):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
from answerprint.cli import main
main()
"""
    for stage in (0, 1, 5, 11):
        words = ["render", str(tmp_path / "d.toml"), "-o", str(out), "--no-report"]
        assert subprocess.run([sys.executable, "-c", script, str(stage), *words], capture_output=True).returncode == 9
        there = list(contents(out.parent, "p.*.png"))
        assert len(there) == stage and (stage < 2 or {min(right), max(right)} <= set(there))
        with pytest.raises(MediaError, match="is not whole, writing it was stopped"):
            reader.open(out)
        job.resume(out)
        assert contents(out.parent, "p.*.png") == right and len(reader.open(out)) == 12
        assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]
