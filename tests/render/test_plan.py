"""The chunks of a job: as long as what a kill may lose, and made in one pass where they follow each other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

import clips
from answerprint import operations
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.operations import lowlight
from answerprint.render import decide, job, plan
from answerprint.render.options import Options
from answerprint.render.pipeline import Step
from answerprint.render.plan import chunk_length
from answerprint.render.progress import Silent

HD, UHD = (1920, 1080), (3840, 2160)
COMMAND = [sys.executable, "-m", "answerprint"]
LIGHT = ("lowlight", {"model": "illumination", "only_dark": "false"})


def steps(*chain: tuple[str, dict[str, str]]) -> list[Step]:
    loaded = [(operations.load(name), params) for name, params in chain]
    return [Step(operation, operation.params_type.of(params)) for operation, params in loaded]


def test_slow_work_is_cut_into_short_chunks() -> None:
    """Of 96 frames a denoised UHD chunk would be ten minutes; a grade is done in four seconds."""
    grade, denoise = steps(("grade", {"saturation": "0.8"})), steps(("denoise", {}))
    assert chunk_length(grade, *HD) == 96
    assert chunk_length(denoise, *UHD) == 8
    assert 8 <= chunk_length(denoise, *HD) < chunk_length(denoise, 720, 576) <= 96
    assert chunk_length(steps(("denoise", {}), ("grade", {})), 1280, 720) <= chunk_length(denoise, 1280, 720)


def test_a_clip_of_96_frames_does_not_begin_anew(tmp_path: Path) -> None:
    source = clips.card(tmp_path / "s.mkv", frames=96, width=320, height=180, picture=clips.flat(500, 512, 512))
    decisions = decide.analyze(source, [("filter", {"kind": "bilateral", "radius": "64"})], Options(shots="none"))
    planned = plan.make(decisions, tmp_path / "out.mov", Options(), Silent())
    planned.opening.close()
    assert [len(task.chunk) for task in planned.tasks] == [42, 42, 12]


def test_a_kill_loses_one_chunk_at_most(tmp_path: Path) -> None:
    """Of a denoised clip that was killed at 60 %, 40 % are worked out again and what was in work."""
    source, out = clips.card(tmp_path / "s.mkv", frames=48, width=320, height=180), tmp_path / "out.mov"
    words = ["denoise", str(source), "-o", str(out), "--shots", "none", "--chunk", "8", "--no-report"]
    with subprocess.Popen([*COMMAND, *words, "--json"], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        done = next(line["done"] for line in rendered(killed.stdout) if line["done"] >= 0.6 * line["total"])
        killed.kill()
    assert not out.exists()
    again = subprocess.run([*COMMAND, "resume", str(out), "--json"], capture_output=True, text=True, check=True)
    begun = next(rendered(again.stdout.splitlines()))
    assert begun["total"] == 48 and begun["done"] >= done - 8
    assert len(reader.open(out)) == 48


def rendered(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Progress of rendering, of what `--json` says."""
    return (line for text in lines if (line := json.loads(text)).get("phase") == "render")


def test_frames_of_neighboring_chunks_are_worked_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handles cost nothing where the chunk beside is made, too."""
    source = clips.card(tmp_path / "s.mkv", frames=20)
    decisions = decide.analyze(source, [LIGHT], Options(shots="none"))
    worked: list[Fraction] = []
    enhance = lowlight.run

    def counted(
        frames: Iterator[Frame], params: lowlight.Params, findings: lowlight.Findings, device: torch.device
    ) -> Iterator[Frame]:
        for frame in enhance(frames, params, findings, device):
            worked.append(frame.time)
            yield frame

    monkeypatch.setattr(lowlight, "run", counted)
    assert sum(job.deliver(decisions, tmp_path / "out.mov", Options(chunk=2)).rendered.values()) == 10
    assert worked == list(reader.open(source).times)


@pytest.mark.parametrize("chunk", [1, 3, 20])
def test_chunks_with_handles_are_the_same_by_workers(tmp_path: Path, chunk: int) -> None:
    source = clips.card(tmp_path / "s.mkv", frames=20)
    decisions = decide.analyze(source, [LIGHT], Options(shots="none"))
    job.deliver(decisions, tmp_path / "whole.mov", Options(chunk=20))
    outcome = job.deliver(decisions, tmp_path / "shared.mov", Options(chunk=chunk, workers=2))
    assert outcome.frames == 20
    assert (tmp_path / "shared.mov").read_bytes() == (tmp_path / "whole.mov").read_bytes()


def test_what_lies_between_chunks_that_are_done_is_made_alone(tmp_path: Path) -> None:
    source, out = clips.card(tmp_path / "s.mkv", frames=20), tmp_path / "out.mov"
    decisions = decide.analyze(source, [LIGHT], Options(shots="none"))
    job.deliver(decisions, out, Options(chunk=4))
    right = out.read_bytes()
    chunks = sorted((tmp_path / "out.mov.job" / "chunks").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for number in (0, 2, 3):
        chunks[number].unlink()
    assert sum(job.deliver(decisions, out, Options(chunk=4)).rendered.values()) == 3
    assert out.read_bytes() == right
