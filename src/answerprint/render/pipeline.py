"""The chain of operations over one chunk of one shot, and the analysis of a shot as the operations before leave it.

A chunk is asked of the chain with the summed handles of its operations; what the handles gave is thrown away by time,
so chunks put side by side equal the whole shot, bit for bit on the CPU. Operations that change the rate change times,
and nothing here counts frames past them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import torch

from answerprint import operations
from answerprint.assets import Assets
from answerprint.coding.source import measure_coding
from answerprint.frame import Frame, Shot
from answerprint.media.reader import Clip
from answerprint.operation import Operation, Spool
from answerprint.settings import Settings
from answerprint.shots.boundary import ShotRange
from answerprint.shots.decisions.model import ShotDecision

_PASS = 0.01  # seconds a megapixel that decoding and encoding ProRes take, see `Operation.cost`


@dataclass(frozen=True)
class Step:
    """One operation of a chain with all it may decide by.

    Attributes:
        operation: what is done.
        params: what the user says.
        findings: what analysis found in the shot; None where there is none, or none yet.
        assets: where what findings name stands.
    """

    operation: Operation
    params: Settings
    findings: Settings | None = None
    assets: Assets | None = None

    @property
    def handles(self) -> int | None:
        return self.operation.handles(self.params)

    @property
    def rate(self) -> Fraction:
        return self.operation.rate(self.params, self.findings)

    def run(self, frames: Iterator[Frame], device: torch.device) -> Iterator[Frame]:
        """The frames of a shot, or of a chunk with its handles, as the operation leaves them."""
        return self.operation.run(frames, self.params, self.findings, device, self.assets)


def chain_of(shot: ShotDecision, assets: Assets) -> tuple[Step, ...]:
    """The enabled operations of a shot, ready to run; `assets` are those of its decision list."""
    steps = []
    for decision in shot.operations:
        if decision.enabled:
            operation = operations.load(decision.name)
            params, findings = decision.settings(operation)
            steps.append(Step(operation, params, findings, assets))
    return tuple(steps)


def chain_rate(steps: Sequence[Step]) -> Fraction:
    """Frames out of the chain per frame in."""
    return math.prod((step.rate for step in steps), start=Fraction(1))


def chain_cost(steps: Sequence[Step]) -> float:
    """Seconds a megapixel of a frame into the chain, by what the operations say, with decoding and encoding."""
    seconds, rate = _PASS, Fraction(1)
    for step in steps:
        seconds += float(rate) * step.operation.cost(step.params)
        rate *= step.rate
    return seconds


def chain_handles(steps: Sequence[Step]) -> int | None:
    """Source frames that the chain needs on each side of a chunk; None = the whole shot."""
    needed = 0
    for step in reversed(steps):
        own = step.handles
        if own is None:
            return None
        needed = math.ceil(needed / step.rate) + own
    return needed


def chunk_reach(shot: ShotRange, steps: Sequence[Step], start: int, stop: int) -> tuple[int, int]:
    """Source frames [first, last) that the chain looks at for [start, stop); none lies outside the shot."""
    handles = chain_handles(steps)
    if handles is None:
        return shot.start, shot.stop
    return max(shot.start, start - handles), min(shot.stop, stop + handles)


def render_chunk(
    clip: Clip, shot: ShotRange, steps: Sequence[Step], start: int, stop: int, device: torch.device
) -> Generator[Frame, None, None]:
    """The source frames [start, stop) of a shot as the chain leaves them.

    Args:
        clip: the source.
        shot: the shot that holds the chunk; no frame outside it is looked at.
        steps: the chain, in order, with findings where the operation has them.
        start: first source frame of the chunk.
        stop: the source frame after its last.
        device: where the work is done.

    Yields:
        The frames whose time lies in the chunk, in order.
    """
    first, last = chunk_reach(shot, steps, start, stop)
    opened = clip.frames(first, last, quantizers=any(step.operation.quantizers for step in steps))
    try:
        frames: Iterator[Frame] = opened
        for step in steps:
            frames = step.run(frames, device)
        # At the ends of the shot there is no neighbor chunk that a frame could belong to.
        begin = None if start <= shot.start else clip.times[start]
        end = None if stop >= shot.stop else clip.times[stop]
        for frame in frames:
            if end is not None and frame.time >= end:
                break
            if begin is None or frame.time >= begin:
                yield frame
            del frame  # it is large: it must not stay alive while the next one is made
    finally:
        close = getattr(opened, "close", None)
        if close is not None:
            close()


def shot_after(clip: Clip, shot: ShotRange, steps: Sequence[Step], device: torch.device) -> Shot:
    """The shot as `steps` leave it, worked out only where it is looked at."""
    rate = chain_rate(steps)
    length = max(1, int((shot.stop - shot.start) * rate))
    if chain_handles(steps) is None and steps:
        return _spooled(clip, shot, steps, rate, device)

    def read(start: int, stop: int) -> Iterator[Frame]:
        # Frames out come in groups of `numerator` for `denominator` frames in; a chunk begins at a group.
        group = start // rate.numerator
        source = shot.start + group * rate.denominator
        source_stop = min(shot.stop, shot.start + -(-stop // rate.numerator) * rate.denominator)
        position = group * rate.numerator
        with closing(render_chunk(clip, shot, steps, source, source_stop, device)) as frames:
            for frame in frames:
                if position >= stop:
                    break
                if position >= start:
                    yield frame
                position += 1

    coded = partial(measure_coding, clip, shot.start)
    reach = math.ceil((chain_handles(steps) or 0) * rate)
    return Shot(shot.name, length, clip.info.rate * rate, read, int(shot.start * rate), coded, reach)


def _spooled(clip: Clip, shot: ShotRange, steps: Sequence[Step], rate: Fraction, device: torch.device) -> Shot:
    """A shot behind an operation that needs the whole of it: worked out once, on disk, on the first look."""
    spools: list[Spool] = []

    def read(start: int, stop: int) -> Iterator[Frame]:
        if not spools:
            spools.append(Spool(render_chunk(clip, shot, steps, shot.start, shot.stop, device)))
        yield from spools[0][start:stop]

    length = max(1, int((shot.stop - shot.start) * rate))
    coded = partial(measure_coding, clip, shot.start)
    return Shot(shot.name, length, clip.info.rate * rate, read, int(shot.start * rate), coded)


def analyze_shot(
    clip: Clip,
    shot: ShotRange,
    steps: Sequence[Step],
    device: torch.device,
    keep: Callable[[int], bool] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Step]:
    """The same chain with findings: each operation looks at the shot as those before it leave it.

    Args:
        clip: the source.
        shot: the shot to look at.
        steps: the chain; findings that are there already are replaced unless kept.
        device: where the work is done.
        keep: whether the step at a position keeps the findings it has (the artist locked it).
        say: hears how the analysis gets on.
    """
    analyzed: list[Step] = []
    for position, step in enumerate(steps):
        locked = keep is not None and keep(position) and step.findings is not None
        if step.operation.findings_type is None or locked:
            analyzed.append(step)
            continue
        view = shot_after(clip, shot, analyzed, device)
        findings = step.operation.analyze(view, step.params, device, say, step.assets)
        analyzed.append(replace(step, findings=findings))
    return analyzed
