"""Chunks put side by side equal the whole shot, for every chain of toy operations; analysis sees what came before."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from answerprint.frame import Frame, Shot
from answerprint.operation import Operation, spool, windows
from answerprint.render.pipeline import Step, analyze_shot, chain_handles, chain_rate, render_chunk
from answerprint.settings import Settings
from answerprint.shots.boundary import ShotRange
from footage import as_shot

CPU = torch.device("cpu")
RATE = Fraction(24000, 1001)


class NoParams(Settings):
    pass


def gain(frames: Iterator[Frame], params: Settings, findings: Any, device: torch.device) -> Iterator[Frame]:
    for frame in frames:
        yield frame.with_pixels(frame.pixels * 1.25 + 0.01)


def median(frames: Iterator[Frame], params: Settings, findings: Any, device: torch.device) -> Iterator[Frame]:
    for window in windows(frames, 2):
        yield window.center.with_pixels(torch.stack([frame.pixels for frame in window.frames]).median(0).values)


def double(frames: Iterator[Frame], params: Settings, findings: Any, device: torch.device) -> Iterator[Frame]:
    for window in windows(frames, 1):
        yield window.center
        between = (window.center.pixels + window.frames[2].pixels) / 2
        before, now, after = (frame.time for frame in window.frames)
        step = after - now if after > now else now - before
        yield replace(window.center, pixels=between, time=now + step / 2)


def drop(frames: Iterator[Frame], params: Settings, findings: Any, device: torch.device) -> Iterator[Frame]:
    """Every fifth frame goes, counted through the clip, and the rest are spaced evenly."""
    for frame in frames:
        number = round(frame.time * RATE)
        if number % 5 != 4:
            yield replace(frame, time=Fraction(5 * (4 * (number // 5) + number % 5), 4) / RATE)


def whole(frames: Iterator[Frame], params: Settings, findings: Any, device: torch.device) -> Iterator[Frame]:
    with spool(frames) as all_frames:
        mean = torch.stack([frame.pixels for frame in all_frames]).mean(0)
        for frame in all_frames:
            yield frame.with_pixels(frame.pixels - mean)


def toy(run: Any, handles: int | None, rate: Fraction = Fraction(1)) -> Step:
    module = ModuleType(run.__name__)
    module.HANDLES, module.Params, module.run = handles, NoParams, run  # type: ignore[attr-defined]
    module.rate = lambda params, findings: rate  # type: ignore[attr-defined]
    return Step(Operation(run.__name__, module), NoParams())


GAIN, MEDIAN, DOUBLE = toy(gain, 0), toy(median, 2), toy(double, 1, Fraction(2))
DROP, WHOLE = toy(drop, 0, Fraction(4, 5)), toy(whole, None)


@dataclass
class MemoryClip:
    """The one seam: a clip whose frames are noise made from their number."""

    length: int
    read: list[int] = field(default_factory=list)
    info: Any = field(default_factory=lambda: SimpleNamespace(rate=RATE))

    @property
    def times(self) -> list[Fraction]:
        return [i / RATE for i in range(self.length)]

    def frames(self, start: int, stop: int, *, quantizers: bool = False) -> Iterator[Frame]:
        for i in range(start, stop):
            self.read.append(i)
            noise = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(i))
            yield Frame(noise, i / RATE)


def rendered(clip: Any, shot: ShotRange, steps: list[Step], chunk: int) -> list[Frame]:
    borders = range(shot.start, shot.stop, chunk)
    parts = [render_chunk(clip, shot, steps, a, min(a + chunk, shot.stop), CPU) for a in borders]
    return list(itertools.chain.from_iterable(parts))


@pytest.mark.parametrize("chunk", [4, 7])
@pytest.mark.parametrize("chain", list(itertools.product([GAIN, MEDIAN, DOUBLE], repeat=3)))
def test_chunks_equal_the_whole(chain: tuple[Step, ...], chunk: int) -> None:
    clip, shot, steps = MemoryClip(40), ShotRange("001", 5, 33), list(chain)
    right = rendered(clip, shot, steps, 1000)
    assert len(right) == len(shot) * chain_rate(steps)
    ours = rendered(clip, shot, steps, chunk)
    assert [frame.time for frame in ours] == [frame.time for frame in right]
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(ours, right, strict=True))


@given(
    st.lists(st.sampled_from([GAIN, MEDIAN, DOUBLE]), max_size=3),
    st.integers(0, 9),
    st.integers(10, 40),
    st.integers(1, 12),
)
@settings(deadline=None, max_examples=40)
def test_any_chunks_of_any_shot_equal_the_whole(chain: list[Step], start: int, stop: int, chunk: int) -> None:
    clip, shot = MemoryClip(40), ShotRange("001", start, stop)
    right, ours = rendered(clip, shot, chain, 1000), rendered(clip, shot, chain, chunk)
    assert [frame.time for frame in ours] == [frame.time for frame in right]
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(ours, right, strict=True))


@pytest.mark.parametrize("chain", [[DROP, MEDIAN], [MEDIAN, DROP, MEDIAN], [GAIN, WHOLE, MEDIAN]])
def test_chunks_equal_the_whole_where_frames_become_fewer(chain: list[Step]) -> None:
    clip, shot = MemoryClip(40), ShotRange("001", 5, 33)
    right, ours = rendered(clip, shot, chain, 1000), rendered(clip, shot, chain, 6)
    assert [frame.time for frame in ours] == [frame.time for frame in right]
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(ours, right, strict=True))


def test_nothing_crosses_a_cut() -> None:
    clip = MemoryClip(40)
    rendered(clip, ShotRange("002", 10, 20), [MEDIAN, MEDIAN], 3)
    assert min(clip.read) == 10 and max(clip.read) == 19


def test_handles_are_summed_in_source_frames() -> None:
    assert chain_handles([MEDIAN, GAIN, MEDIAN]) == 4
    assert chain_handles([DOUBLE, MEDIAN]) == 2  # two fields are one frame, and one for itself
    assert chain_handles([DROP, MEDIAN]) == 3
    assert chain_handles([MEDIAN, WHOLE]) is None


class MeanFindings(Settings):
    mean: float = Field(description="Mean of the pixels looked at.")


def looking(count: int) -> Step:
    module = ModuleType("looking")
    module.HANDLES, module.Params, module.Findings = 0, NoParams, MeanFindings  # type: ignore[attr-defined]

    def analyze(shot: Shot, params: Settings, device: torch.device) -> MeanFindings:
        return MeanFindings(mean=float(torch.stack([f.pixels for f in shot.sample(count)]).mean()))

    module.analyze = analyze  # type: ignore[attr-defined]
    module.run = gain  # type: ignore[attr-defined]
    return Step(Operation("looking", module), NoParams())


@pytest.mark.parametrize("before", [GAIN, MEDIAN, DOUBLE, DROP, WHOLE])
def test_analysis_sees_the_shot_as_the_operations_before_leave_it(before: Step) -> None:
    clip, shot = MemoryClip(60), ShotRange("001", 10, 50)
    after = list(render_chunk(clip, shot, [before], 10, 50, CPU))
    view = as_shot(after, RATE)
    right = float(torch.stack([frame.pixels for frame in view.sample(5)]).mean())
    steps = analyze_shot(clip, shot, [before, looking(5)], CPU)
    assert isinstance(steps[1].findings, MeanFindings)
    assert steps[1].findings.mean == pytest.approx(right, abs=1e-7)


def test_only_the_frames_that_are_looked_at_are_worked_out() -> None:
    clip = MemoryClip(500)
    analyze_shot(clip, ShotRange("001", 0, 500), [MEDIAN, looking(3)], CPU)
    assert len(clip.read) == 3 * 5


def test_what_is_locked_is_not_looked_at_again() -> None:
    clip = MemoryClip(20)
    held = replace(looking(3), findings=MeanFindings(mean=0.123))
    shot = ShotRange("001", 0, 20)
    steps = analyze_shot(clip, shot, [held], CPU, keep=lambda position: True)
    assert steps[0] is held
    assert not clip.read
