"""The report of a render: before and after of each shot, the decisions in words, what it cost, what is not known."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from answerprint import operations
from answerprint.errors import MediaError
from answerprint.frame import Frame
from answerprint.media import info, reader
from answerprint.media.reader import Clip
from answerprint.metrics import page, report, words
from answerprint.metrics.report import Report, ShotPicture, ShotReport
from answerprint.metrics.words import OperationReport
from answerprint.render.jobs import Outcome, beside
from answerprint.render.options import open_source
from answerprint.shots.decisions import DecisionList, ShotDecision

PICTURES = 3  # stills per shot: near its beginning, in the middle, near its end
LONG_SHOT = 24  # frames; a shorter shot looks the same all through and gets one


def write(made: DecisionList, outcome: Outcome) -> tuple[Path, Path]:
    """Writes OUTPUT.report.html and OUTPUT.report.json.

    Args:
        made: the decision list that was rendered.
        outcome: what the render came to; its output is read back for the stills.

    Returns:
        The two files.
    """
    html, data = beside(outcome.output, ".report.html"), beside(outcome.output, ".report.json")
    before = open_source(made.source.path, made.source.overrides)
    after = reader.open(outcome.output)
    report.write(
        Report(
            title=outcome.output.name,
            source=info.table(before.info),
            output=info.table(after.info),
            shots=_shots(made, outcome, before, after),
            seconds=outcome.seconds,
            frames_per_second=outcome.frames / outcome.seconds if outcome.seconds > 0 else None,
            versions=page.versions(),
            hashes=_hashes(made, outcome),
            notes=[note for note in outcome.notes if note not in before.info.notes],
            unknown=before.info.notes,
        ),
        html,
        data,
    )
    return html, data


def _shots(made: DecisionList, outcome: Outcome, before: Clip, after: Clip) -> Iterator[ShotReport]:
    for shot in made.shots:
        span = shot.range
        if span.name not in outcome.shot_seconds:
            continue  # outside the range that was rendered
        yield ShotReport(
            name=span.name,
            start=span.start,
            stop=span.stop,
            timecode_in=made.source.timecode_at(span.start),
            timecode_out=made.source.timecode_at(span.stop),
            pictures=list(_pictures(made, shot, before, after, outcome.begin)),
            decisions=[*_decisions(shot)],
            seconds=outcome.shot_seconds[span.name],
            chunks_rendered=outcome.rendered[span.name],
            chunks_reused=outcome.reused[span.name],
        )


def _pictures(
    made: DecisionList, shot: ShotDecision, before: Clip, after: Clip, begin: Fraction
) -> Iterator[ShotPicture]:
    span = shot.range
    count = PICTURES if len(span) >= LONG_SHOT else 1
    for i in range(count):
        number = span.start + (2 * i + 1) * len(span) // (2 * count)
        source = _frame(before, number)
        # A chain may change the rate: the moment is the same, the frame's number is not.
        moment = before.times[number] - begin
        if moment < 0 or moment > after.times[-1]:
            continue
        result = _frame(after, min(bisect_left(after.times, moment), len(after) - 1))
        yield ShotPicture(
            time=source.time,
            timecode=made.source.timecode_at(number),
            before=source.pixels,
            after=result.pixels,
            color=source.color,
            color_after=result.color,
            sar=before.info.sar,
            sar_after=after.info.sar,
        )


def _frame(clip: Clip, number: int) -> Frame:
    found = list(clip.frames(number, number + 1))
    if not found:
        raise MediaError(f"{clip.info.path}: frame {number} cannot be read back for the report")
    return found[0]


def _decisions(shot: ShotDecision) -> Iterator[OperationReport]:
    for decision in shot.operations:
        operation = operations.load(decision.name)
        params, findings = decision.settings(operation)
        yield words.describe(operation, params, findings, enabled=decision.enabled, locked=decision.locked)


def _hashes(made: DecisionList, outcome: Outcome) -> dict[str, str]:
    decided = hashlib.sha256(repr([(s.range, s.operations) for s in made.shots]).encode()).hexdigest()
    hashes = {"source (size, first and last MiB)": made.source.hash, "decisions (SHA-256)": decided}
    if outcome.output.is_file():
        hashes["output (SHA-256)"] = _sha256([outcome.output])
    return hashes


def _sha256(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
