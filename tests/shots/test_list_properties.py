"""Laws of shot lists and decision lists: what is written reads back, and a merge keeps what people locked."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from answerprint.media import timecode
from answerprint.settings import Settings
from answerprint.shots import timeline
from answerprint.shots.boundary import ShotRange
from answerprint.shots.decisions import file as lists
from answerprint.shots.decisions.merge import merge
from answerprint.shots.decisions.model import DecisionList, OperationDecision, ShotDecision, SourceRef

RATES = [Fraction(r) for r in (24, 25, 30, 50)] + [Fraction(n, 1001) for n in (24000, 30000, 60000)]
LENGTH = 400
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
# A line that a person may write into a name or a note; control characters are refused by TOML readers and terminals.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


class SomeParams(Settings):
    number: float = Field(0.5, description="A number.")
    count: int = Field(3, description="A count.")
    word: str = Field("", description="A word.")
    flag: bool = Field(False, description="A switch.")


class SomeFindings(Settings):
    curve: tuple[float, ...] = Field((), description="Points.")
    note: str = Field("", description="A note.")


@dataclass(frozen=True)
class SomeOperation:
    """The part of an operation that a decision list knows of."""

    name: str = "some"
    summary: str = "Does something."
    params_type: type[Settings] = SomeParams
    findings_type: type[Settings] | None = SomeFindings


CONTRACTS = {"some": SomeOperation()}


@dataclass(frozen=True)
class ClipInfo:
    path: str
    rate: Fraction
    timecode: str | None


@dataclass(frozen=True)
class TimedClip:
    """What a shot list needs of a clip: its length, rate and timecode."""

    info: ClipInfo
    length: int = LENGTH

    def __len__(self) -> int:
        return self.length


@st.composite
def shot_ranges(draw: st.DrawFn) -> list[ShotRange]:
    """Shots that cover the clip without gap or overlap."""
    cuts = sorted(draw(st.sets(st.integers(1, LENGTH - 1), max_size=8)))
    borders = [0, *cuts, LENGTH]
    pairs = enumerate(itertools.pairwise(borders), 1)
    return [ShotRange(f"{number:03d}", start, stop) for number, (start, stop) in pairs]


@st.composite
def clips(draw: st.DrawFn) -> TimedClip:
    rate = draw(st.sampled_from(RATES))
    drop = timecode.can_drop(rate) and draw(st.booleans())
    first = timecode.from_frames(draw(st.integers(0, 20 * 3600 * 24)), rate, drop)
    return TimedClip(ClipInfo("/footage/reel one.mov", rate, draw(st.sampled_from([None, first]))))


@st.composite
def decision_lists(draw: st.DrawFn) -> DecisionList:
    def decision() -> OperationDecision:
        params = SomeParams(
            number=draw(FLOATS), count=draw(st.integers(-9, 9)), word=draw(TEXT), flag=draw(st.booleans())
        )
        findings = SomeFindings(curve=tuple(draw(st.lists(FLOATS, max_size=5))), note=draw(TEXT))
        locked, enabled = draw(st.booleans()), draw(st.booleans())
        return replace(OperationDecision.of("some", params, findings), locked=locked, enabled=enabled)

    shots = tuple(ShotDecision(shot, (decision(),)) for shot in draw(shot_ranges()))
    source = SourceRef(path=Path("/footage/clip.mov"), size=10, hash="0" * 64, frames=LENGTH, rate=Fraction(25))
    return DecisionList(source, shots, {"preset": "prores-hq"}, "look", 48, {"answerprint": "0.1.0"})


@given(shot_ranges(), clips(), st.sampled_from([".edl", ".otio", ".csv"]))
@settings(deadline=None, max_examples=60)
def test_a_shot_list_reads_back_the_same(shots: list[ShotRange], clip: TimedClip, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"cuts{ending}"
        timeline.write(shots, clip, path)
        assert timeline.read(path, clip) == shots


@given(decision_lists())
@settings(deadline=None, max_examples=60)
def test_a_decision_list_loads_the_same_to_the_last_bit(decisions: DecisionList) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.decisions.toml"
        lists.save(decisions, path, CONTRACTS)
        assert lists.load(path, CONTRACTS) == decisions


@given(decision_lists(), decision_lists())
@settings(deadline=None, max_examples=60)
def test_a_merge_keeps_what_is_locked_and_takes_the_rest(old: DecisionList, new: DecisionList) -> None:
    merged, _ = merge(old, new)
    assert [shot.range for shot in merged.shots] == [shot.range for shot in new.shots]
    assert merge(old, merged)[0] == merged
    for shot, fresh in zip(merged.shots, new.shots, strict=True):
        before = shot_like(old, shot.range)
        if before is None:
            assert shot == fresh
        elif before.operations[0].locked:
            assert shot.operations == before.operations
        else:
            assert values(shot) == values(fresh) and shot.operations[0].enabled == before.operations[0].enabled


def shot_like(decisions: DecisionList, span: ShotRange) -> ShotDecision | None:
    """The shot that shares at least half of both with `span`, and the first that shares most."""
    shares = [min(s.range.stop, span.stop) - max(s.range.start, span.start) for s in decisions.shots]
    best = decisions.shots[shares.index(max(shares))]
    return best if 2 * max(shares) >= max(len(best.range), len(span)) else None


def values(shot: ShotDecision) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    return shot.operations[0].params, shot.operations[0].findings
