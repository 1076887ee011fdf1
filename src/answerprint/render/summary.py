"""The report of a render: before and after of each shot, the decisions in words, what it cost, what is not known."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from answerprint import disk, operations
from answerprint.errors import MediaError
from answerprint.frame import Frame
from answerprint.media import info, reader
from answerprint.media.pictures import names
from answerprint.media.reader import Clip
from answerprint.media.writer import pictures
from answerprint.metrics import page, report, words
from answerprint.metrics.report import Report, ShotPicture, ShotReport
from answerprint.metrics.words import OperationReport
from answerprint.render.job import JobResult
from answerprint.render.paths import beside
from answerprint.render.source import open_clip
from answerprint.shots.decisions.model import DecisionList, ShotDecision

PICTURES = 3  # stills per shot: near its beginning, in the middle, near its end
LONG_SHOT = 24  # frames; a shorter shot looks the same all through and gets one


def write(decisions: DecisionList, result: JobResult) -> tuple[Path, Path]:
    """Writes OUTPUT.report.html and OUTPUT.report.json.

    Args:
        decisions: the decision list that was rendered.
        result: what the render came to; its output is read back for the stills.

    Returns:
        The two files.
    """
    html, data = beside(result.spec.output, ".report.html"), beside(result.spec.output, ".report.json")
    before = open_clip(decisions.source.path, decisions.source.overrides)
    after = _ReadBack(result, before)
    report.write(
        Report(
            title=result.spec.output.name,
            source=info.table(before.info),
            output=info.table(after.info),
            shots=_shots(decisions, result, before, after),
            seconds=result.seconds,
            frames_per_second=result.frames / result.seconds if result.seconds > 0 else None,
            versions=page.versions(),
            hashes=_hashes(decisions, result),
            notes=[note for note in result.notes if note not in before.info.notes],
            unknown=before.info.notes,
        ),
        html,
        data,
    )
    return html, data


class _ReadBack:
    """The output read back; of a sequence only pictures of this job, others of an earlier one may stand beside them.

    Attributes:
        info: all that is known of it.
    """

    def __init__(self, result: JobResult, before: Clip) -> None:
        out, delivery = result.spec.output, result.delivery
        self._begin, self._rate, self._last = result.begin, delivery.rate, result.frames - 1
        self._first = pictures.first_number(out, before, result.begin)
        self._pictures = out if delivery.format.pictures else None
        self._clip = reader.open(out if self._pictures is None else names.picture_path(out, self._first))
        self.info = self._clip.info
        if self._pictures is not None:
            length = result.frames / delivery.rate
            number = self._first if result.frames > 1 else self.info.first_number
            self.info = replace(self.info, path=str(out), frames=result.frames, duration=length, first_number=number)

    def at(self, time: Fraction) -> Frame | None:
        """The frame of a time in seconds of the source; None where the output has none."""
        moment = time - self._begin
        if self._pictures is not None:
            number = math.ceil(moment * self._rate)
            if not 0 <= number <= self._last:
                return None
            return _frame(reader.open(names.picture_path(self._pictures, self._first + number)), 0)
        times = self._clip.times
        if moment < 0 or moment > times[-1]:
            return None
        return _frame(self._clip, min(bisect_left(times, moment), len(times) - 1))


def _shots(decisions: DecisionList, result: JobResult, before: Clip, after: _ReadBack) -> Iterator[ShotReport]:
    for shot in decisions.shots:
        span = shot.range
        if span.name not in result.shot_seconds:
            continue  # outside the range that was rendered
        yield ShotReport(
            name=span.name,
            start=span.start,
            stop=span.stop,
            timecode_in=decisions.source.timecode_at(span.start),
            timecode_out=decisions.source.timecode_at(span.stop),
            pictures=list(_pictures(decisions, shot, before, after)),
            decisions=[*_decisions(shot)],
            seconds=result.shot_seconds[span.name],
            chunks_rendered=result.rendered[span.name],
            chunks_reused=result.reused[span.name],
        )


def _pictures(decisions: DecisionList, shot: ShotDecision, before: Clip, after: _ReadBack) -> Iterator[ShotPicture]:
    span = shot.range
    count = PICTURES if len(span) >= LONG_SHOT else 1
    for i in range(count):
        number = span.start + (2 * i + 1) * len(span) // (2 * count)
        # A chain may change the rate: the moment is the same, the frame's number is not.
        delivered = after.at(before.times[number])
        if delivered is None:
            continue
        source = _frame(before, number)
        yield ShotPicture(
            time=source.time,
            timecode=decisions.source.timecode_at(number),
            before=source.pixels,
            after=delivered.pixels,
            color=source.color,
            color_after=delivered.color,
            sar=before.info.sar,
            sar_after=after.info.sar,
        )


def _frame(clip: Clip, number: int) -> Frame:
    frames = list(clip.frames(number, number + 1))
    if not frames:
        raise MediaError(f"{clip.info.path}: frame {number} cannot be read back for the report")
    return frames[0].displayed()


def _decisions(shot: ShotDecision) -> Iterator[OperationReport]:
    for decision in shot.operations:
        operation = operations.load(decision.name)
        params, findings = decision.settings(operation)
        yield words.describe(operation, params, findings, enabled=decision.enabled, locked=decision.locked)


def _hashes(decisions: DecisionList, result: JobResult) -> dict[str, str]:
    digest = hashlib.sha256(repr([(s.range, s.operations) for s in decisions.shots]).encode()).hexdigest()
    hashes = {"source (size, first and last MiB)": decisions.source.hash, "decisions (SHA-256)": digest}
    if result.spec.output.is_file():
        hashes["output (SHA-256)"] = disk.digest(result.spec.output)
    return hashes
