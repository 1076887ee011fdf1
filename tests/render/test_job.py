"""A job survives being killed, renders only what a change touches, and ends in the same bytes either way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch

import clips
from answerprint.errors import DeliveryError, JobError, MediaError, SettingsError
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.operations import grade
from answerprint.render import decide, job, paths
from answerprint.render.ledger import Ledger
from answerprint.render.options import Options
from answerprint.shots.decisions.model import DecisionList

GRADE = ("grade", {"slope": "1.1,1,0.9", "saturation": "0.8"})
FRAMES = 30


def two_shots(number: int, width: int, height: int, layout: str) -> clips.Planes:
    return clips.gradient(number, width, height, layout) if number < 18 else clips.bars(number, width, height, layout)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    sound = [clips.Sound()]
    return clips.card(
        tmp_path / "source.mov",
        codec="prores_ks",
        picture=two_shots,
        frames=FRAMES,
        sounds=sound,
        timecode="01:00:00:00",
    )


@pytest.fixture
def shot_list(tmp_path: Path) -> str:
    path = tmp_path / "shots.csv"
    path.write_text("name,start,stop\n001,0,18\n002,18,30\n")
    return str(path)


def decided(source: Path, shot_list: str, *chain: tuple[str, dict[str, Any]]) -> DecisionList:
    return decide.analyze(source, list(chain) or [GRADE], Options(shots=shot_list, chunk=4))


def video_bytes(path: Path) -> str:
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            digest.update(f"{packet.pts} {packet.dts}".encode() + bytes(packet))
    return digest.hexdigest()


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "answerprint", *words]


@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.mp4"])
def test_workers_and_this_process_make_the_same_bytes(source: Path, shot_list: str, tmp_path: Path, name: str) -> None:
    made = decided(source, shot_list)
    alone, shared = tmp_path / name, tmp_path / f"shared_{name}"
    outcome = job.deliver(made, alone, Options(chunk=4))
    job.deliver(made, shared, Options(chunk=4, workers=2))
    assert outcome.frames == FRAMES
    assert video_bytes(alone) == video_bytes(shared)
    assert len(reader.open(alone)) == FRAMES


@pytest.mark.parametrize("name", ["out.mov", "out.mp4"])
def test_killed_and_resumed_is_the_same_as_never_stopped(
    source: Path, shot_list: str, tmp_path: Path, name: str
) -> None:
    made = decided(source, shot_list, GRADE, ("filter", {"kind": "median"}))
    decide.save(made, tmp_path / "d.toml")
    right, out = tmp_path / f"right_{name}", tmp_path / name
    job.deliver(made, right, Options(chunk=2))
    words = command("render", str(tmp_path / "d.toml"), "-o", str(out), "--chunk", "2", "--no-report")
    for kills in range(2):
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _wait_for_chunks(out, 3 * kills + 2, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists(), "half a file under the final name"
    finished = subprocess.run(command("resume", str(out), "--json"), capture_output=True, text=True, check=True)
    result = json.loads(finished.stdout.strip().splitlines()[-1])
    assert result["chunks_reused"] >= 3 and result["chunks_rendered"] >= 1
    assert video_bytes(out) == video_bytes(right)


def _wait_for_chunks(out: Path, count: int, process: subprocess.Popen[Any]) -> None:
    """Until so many chunks lie there: the middle of the job on any machine.

    The ledger is not asked: a reader of it may have to wait until the last chunk is written down.
    """
    folder = paths.job_folder(out) / "chunks"
    for _ in range(6000):
        if process.poll() is not None:
            raise AssertionError("the job ended before it could be killed")
        if folder.is_dir() and sum(not file.name.startswith(".") for file in folder.iterdir()) > count:
            return
        time.sleep(0.01)
    raise AssertionError("no chunk was done in time")


def test_a_changed_decision_renders_only_the_chunks_it_touches(source: Path, shot_list: str, tmp_path: Path) -> None:
    made, out = decided(source, shot_list), tmp_path / "out.mov"
    first = job.deliver(made, out, Options(chunk=4))
    assert dict(first.rendered) == {"001": 5, "002": 3}
    before = [frame.pixels for frame in reader.open(out).frames()]
    changed = made.edit("002", 0, params={**made.shots[1].operations[0].params, "saturation": 0.1})
    second = job.deliver(changed, out, Options(chunk=4))
    assert dict(second.rendered) == {"001": 0, "002": 3} and dict(second.reused) == {"001": 5, "002": 0}
    after = [frame.pixels for frame in reader.open(out).frames()]
    assert all(bool((a == b).all()) for a, b in zip(before[:18], after[:18], strict=True))
    assert all(float((a - b).abs().max()) > 0.05 for a, b in zip(before[18:], after[18:], strict=True))


def test_the_same_job_again_renders_nothing(source: Path, shot_list: str, tmp_path: Path) -> None:
    made, out = decided(source, shot_list), tmp_path / "out.mov"
    job.deliver(made, out, Options(chunk=4))
    right = out.read_bytes()
    again = job.deliver(made, out, Options(chunk=4))
    assert sum(again.rendered.values()) == 0
    assert out.read_bytes() == right


def test_the_decision_list_says_how_long_chunks_are(source: Path, shot_list: str, tmp_path: Path) -> None:
    """Unless the render is told otherwise: shots of 18 and 12 frames are 5 and 3 pieces of 4, 2 and 2 of 10."""
    made = decided(source, shot_list)
    said = job.deliver(made, tmp_path / "said.mov")
    told = job.deliver(made, tmp_path / "told.mov", Options(chunk=10))
    assert [sum(outcome.rendered.values()) for outcome in (said, told)] == [8, 4]


def test_a_saved_lut_that_changed_is_rendered_anew(source: Path, tmp_path: Path) -> None:
    from answerprint.color import cube_file, lut

    cube, out = tmp_path / "look.cube", tmp_path / "out.mov"
    cube_file.write(lut.bake(lambda pixels: pixels * 0.5, 5), cube)
    made = decide.analyze(source, [("grade", {"lut": str(cube)})], Options(shots="none"))
    job.deliver(made, out)
    cube_file.write(lut.bake(lambda pixels: pixels * 0.9, 5), cube)
    assert sum(job.deliver(made, out).rendered.values()) == 1


def test_weights_added_after_a_render_are_another_denoiser(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from answerprint.inference import weights
    from answerprint.nets.denoise import Config, Denoiser

    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path))
    config, out = Config(widths=(8, 12), blocks=(1, 1)), tmp_path / "out.mov"
    made = decide.analyze(source, [("denoise", {})], Options(shots="none"))
    findings = made.shots[0].operations[0].findings or {}
    loud = {name: [0.05] * len(findings[name]) for name in ("red", "green", "blue")}
    made = made.edit("001", 0, findings={**findings, **loud})

    def rendered(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        network = Denoiser(config)
        weights.save(tmp_path / "denoise.safetensors", network, config, weights.Card(name="denoise"))
        assert sum(job.deliver(made, out).rendered.values()) == 1
        assert sum(job.deliver(made, out).rendered.values()) == 0
        return [frame.pixels for frame in reader.open(out).frames(0, 3)]

    first, second, again = rendered(1), rendered(2), rendered(1)
    for one, other, same in zip(first, second, again, strict=True):
        assert float((one - other).abs().max()) > 0.01
        assert torch.equal(one, same)


def test_operations_left_out_of_a_shot_leave_its_code_values(source: Path, shot_list: str, tmp_path: Path) -> None:
    made = decided(source, shot_list).edit("001", 0, enabled=False)
    out = tmp_path / "out.mkv"
    job.deliver(made, out)
    pairs = zip(reader.open(source).frames(0, 18), reader.open(out).frames(0, 18), strict=True)
    for before, after in pairs:
        assert before.origin is not None and after.origin is not None
        assert all(bool((a == b).all()) for a, b in zip(before.origin.planes, after.origin.planes, strict=True))


def test_a_dropped_shot_passes_unchanged_and_is_told(source: Path, tmp_path: Path) -> None:
    listing = tmp_path / "three.csv"
    listing.write_text("name,start,stop\n001,0,10\n002,10,20\n003,20,30\n")
    made = decided(source, str(listing))
    without = replace(made, shots=(made.shots[0], made.shots[2]))
    told: list[str] = []
    watcher = _Noting(told)
    outcome = job.deliver(without, tmp_path / "out.mov", watcher=watcher)
    assert outcome.frames == FRAMES
    assert any("frames 10 to 19 are in no shot" in text for text in told)


class _Noting:
    def __init__(self, told: list[str]) -> None:
        self._told = told

    def begin(self, phase: str, total: int, already: int = 0) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def note(self, text: str) -> None:
        self._told.append(text)

    def status(self, text: str) -> None:
        self._told.append(f"status {text}")


def test_what_analysis_found_is_told_shot_by_shot(source: Path, shot_list: str, tmp_path: Path) -> None:
    """How the fit gets on, how far it came, and what was special about the reference."""
    import cv2
    import numpy as np

    swatch = tmp_path / "swatch.png"
    cv2.imwrite(str(swatch), np.full((32, 32, 3), (30, 90, 200), np.uint8))
    told: list[str] = []
    decide.analyze(source, [("look", {"reference": str(swatch)})], Options(shots=shot_list), _Noting(told))
    for shot in ("001", "002"):
        assert any(line.startswith(f"shot {shot}, look: CDL ") and "of the way" in line for line in told)
        assert f"shot {shot}, look: the reference is a single tone: its color is used, its lightness is not" in told
    assert any(line.startswith("status CDL: ") for line in told)


def test_a_range_moves_timecode_and_cuts_sound(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mov"
    made = decide.analyze(source, [GRADE], Options(start="01:00:00:10", stop="25"))
    outcome = job.deliver(made, out, Options(start="01:00:00:10", stop="25"))
    info = reader.open(out).info
    assert outcome.frames == len(reader.open(out)) == 15
    assert info.timecode == "01:00:00:10"
    with av.open(str(out)) as container:
        sound = sum(frame.samples for frame in container.decode(audio=0))
    assert sound == pytest.approx(15 / 25 * 48000, abs=1100)  # to the packet where it is copied


def test_field_rate_doubles_the_rate_of_the_delivery(tmp_path: Path) -> None:
    source = clips.card(
        tmp_path / "fields.mov",
        codec="prores_ks",
        picture=clips.interlaced(clips.gradient),
        field_order="tff",
        frames=10,
    )
    out = tmp_path / "out.mov"
    made = decide.analyze(source, [("deinterlace", {"rate": "field"})], Options(shots="none"))
    outcome = job.deliver(made, out, Options(chunk=3))
    clip = reader.open(out)
    assert outcome.frames == len(clip) == 20
    assert clip.info.rate == 50 and clip.info.field_order == "progressive"
    assert clip.info.duration == Fraction(10, 25)
    assert job.deliver(made, tmp_path / "one.mov", Options(start="0", stop="1")).frames == 2


@pytest.mark.parametrize("stop", [1, 2, 6])
def test_every_frame_is_worked_out_once(
    source: Path, shot_list: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """The first, too, which says what the delivery must carry."""
    made = decided(source, shot_list)
    job.deliver(made, tmp_path / "whole.mov", Options(start="0", stop="2"))
    worked: list[Fraction] = []

    def counted(frames: Iterator[Frame], params: grade.Params, device: torch.device) -> Iterator[Frame]:
        for frame in graded(frames, params, device):
            worked.append(frame.time)
            yield frame

    graded = grade.run
    monkeypatch.setattr(grade, "run", counted)
    outcome = job.deliver(made, tmp_path / "one.mov", Options(start="0", stop=str(stop)))
    assert outcome.frames == stop and len(worked) == stop
    one, whole = (next(reader.open(tmp_path / name).frames(0, 1)) for name in ("one.mov", "whole.mov"))
    assert torch.equal(one.pixels, whole.pixels)


def test_a_locked_operation_stays_when_the_clip_is_analyzed_again(source: Path, shot_list: str, tmp_path: Path) -> None:
    still = tmp_path / "still.png"
    import cv2
    import numpy as np

    cv2.imwrite(str(still), np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    chain = ("match", {"reference": str(still), "method": "reinhard"})
    made = decided(source, shot_list, chain)
    findings = dict(made.shots[0].operations[0].findings or {})
    findings["reference_mean"] = (1.0, 2.0, 3.0)
    edited = made.edit("001", 0, findings=findings, locked=True)
    again = decide.analyze(source, [chain], Options(shots=shot_list, chunk=4), before=edited)
    assert (again.shots[0].operations[0].findings or {})["reference_mean"] == (1.0, 2.0, 3.0)
    assert (again.shots[1].operations[0].findings or {}) == (made.shots[1].operations[0].findings or {})


def test_another_clip_under_the_same_name_is_refused(source: Path, shot_list: str, tmp_path: Path) -> None:
    made = decided(source, shot_list)
    clips.card(source, codec="prores_ks", frames=FRAMES, picture=clips.bars)
    with pytest.raises(MediaError, match="is not the clip that was analyzed"):
        job.deliver(made, tmp_path / "out.mov")


def test_one_job_at_a_time(source: Path, shot_list: str, tmp_path: Path) -> None:
    out = tmp_path / "out.mov"
    with Ledger(paths.job_folder(out)), pytest.raises(JobError, match="another answerprint is working"):
        job.deliver(decided(source, shot_list), out)


def test_resume_without_a_job_says_so(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no job to resume"):
        job.resume(tmp_path / "out.mov")


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE job",
        "UPDATE job SET value = '{'",
        "UPDATE job SET value = '{\"output\": 5}'",
        "UPDATE job SET value = CAST(X'ff' AS TEXT)",
    ],
)
def test_a_ledger_with_bad_rows_is_refused(source: Path, shot_list: str, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "out.mov"
    job.deliver(decided(source, shot_list), out)
    with closing(sqlite3.connect(paths.job_folder(out) / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(damage)
    with pytest.raises(JobError, match=r"remove the folder to start over|start it anew|run its command again"):
        job.resume(out)


@pytest.mark.parametrize("row", ["('x', '{\"frames\": \"many\"}')", "('x', '{')", "(NULL, NULL)", "('x', X'ff')"])
def test_a_row_of_the_ledger_that_no_job_wrote_is_passed_over(
    source: Path, shot_list: str, tmp_path: Path, row: str
) -> None:
    out = tmp_path / "out.mov"
    job.deliver(decided(source, shot_list), out)
    before = out.read_bytes()
    with closing(sqlite3.connect(paths.job_folder(out) / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(f"INSERT INTO chunk VALUES {row}")
    job.resume(out)
    assert out.read_bytes() == before


def test_a_worker_that_dies_is_told_and_loses_nothing(source: Path, shot_list: str, tmp_path: Path) -> None:
    # Large and slow enough that there is a middle to kill it in.
    clips.card(source, codec="prores_ks", picture=two_shots, frames=FRAMES, width=640, height=360)
    made = decided(source, shot_list, *[("filter", {"kind": "bilateral", "radius": "10"})] * 3)
    decide.save(made, tmp_path / "d.toml")
    out = tmp_path / "out.mov"
    words = command("render", str(tmp_path / "d.toml"), "-o", str(out), "--chunk", "1", "--workers", "2", "--no-report")
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    # A chunk of each worker may lie there and not be in the ledger yet.
    _wait_for_chunks(out, 4, process)
    workers = _workers_of(process.pid)
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 2
    assert "a worker process died" in said and "Traceback" not in said
    outcome = job.resume(out)[1]
    assert outcome.frames == FRAMES and sum(outcome.reused.values()) >= 2


def _workers_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid and "spawn_main" in words:
                found.append(int(entry.name))
    return found


def test_a_full_disk_is_told_and_nothing_done_is_lost(source: Path, shot_list: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        made = decided(source, shot_list)
        decide.save(made, tmp_path / "d.toml")
        out = disk / "out.mkv"
        words = command("render", str(tmp_path / "d.toml"), "-o", str(out), "--chunk", "2", "--no-report")
        full = subprocess.run(words, capture_output=True, text=True)
        assert full.returncode == 2, full.stderr
        assert len(full.stderr.strip().splitlines()) == 1 and "the disk is full" in full.stderr, full.stderr
        assert not out.exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        outcome = job.resume(out)[1]
        assert outcome.frames == FRAMES and sum(outcome.reused.values()) >= 1
    finally:
        subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.parametrize("said", [{"start": "20", "stop": "10"}, {"stop": "31"}, {"start": "tomorrow"}])
def test_a_range_that_is_none_is_refused(source: Path, said: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="--start"):
        decide.analyze(source, [GRADE], Options.of(said))


def test_the_source_is_never_the_output(source: Path) -> None:
    with pytest.raises(DeliveryError, match="source"):
        job.deliver(decide.analyze(source, [GRADE], Options(shots="none")), source)
