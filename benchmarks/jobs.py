"""What a kill costs: a job that is killed and taken up again beside the same job that is left alone."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from answerprint.metrics.tables import Table, at_most
from answerprint.operations import load
from answerprint.render.pipeline import Step, chain_handles
from answerprint.render.plan import chunk_length
from benchmarks.media import footage

_KILLED_AT = 0.6  # of the frames


def run(data: Path | None, quick: bool) -> Iterator[Table]:  # noqa: ARG001 - every bench is asked alike
    """The tables of this bench; `data` is not needed: everything is measured on footage made here."""
    with tempfile.TemporaryDirectory(prefix="answerprint-bench-") as folder:
        yield _kill(Path(folder), 1280, 720, 48 if quick else 96)


def _kill(folder: Path, width: int, height: int, frames: int) -> Table:
    source, whole, killed = folder / "source.mov", folder / "whole.mov", folder / "killed.mov"
    footage(source, width, height, frames)
    denoise = load("denoise")
    steps = [Step(denoise, denoise.params_type())]
    chunk, handles = chunk_length(steps, width, height), chain_handles(steps) or 0
    left_alone, _ = _run(_denoise(source, whole))
    first, done = _run(_denoise(source, killed), _KILLED_AT)
    second, _ = _run(_command("resume", str(killed)))
    if whole.read_bytes() != killed.read_bytes():
        raise AssertionError("the two outputs differ")
    rows = (("left alone", left_alone), ("until it was killed", first), ("resumed", second))
    return Table(
        f"denoise of {frames} frames of {width} x {height}, killed at frame {done} and resumed",
        ("what", "seconds", "of processors"),
        [(what, spent.seconds, spent.processors) for what, spent in rows],
        notes=(f"of {chunk} frames in a chunk, those of one that was begun are worked out twice",),
        targets=(
            # Of processors, which do not count what a busy machine makes a process wait. A tenth is Python's start.
            at_most(
                "the second run beside a whole one, of processors",
                second.processors / left_alone.processors,
                (frames - done + chunk + handles) / frames + 0.1,
            ),
        ),
    )


@dataclass(frozen=True)
class Spent:
    """Time on the clock and of processors, in seconds."""

    seconds: float
    processors: float


def _denoise(source: Path, out: Path) -> list[str]:
    return _command("denoise", str(source), "-o", str(out), "--shots", "none", "--no-report")


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "answerprint", *words, "--json"]


def _run(words: list[str], share: float | None = None) -> tuple[Spent, int]:
    """Runs a command, or kills it when a share of its frames is rendered: what it took, and the frames by then."""
    start, before, done = time.perf_counter(), _processors(), 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            event = json.loads(line)
            if event.get("phase") == "render":
                done = event["done"]
                if share is not None and done >= share * event["total"]:
                    process.kill()
                    break
    if (process.returncode == 0) is not (share is None):
        raise AssertionError(f"{words[3]} ended with {process.returncode}")
    return Spent(time.perf_counter() - start, _processors() - before), done


def _processors() -> float:
    """Seconds of processors of all commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
