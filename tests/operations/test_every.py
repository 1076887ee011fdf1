"""The same questions asked of every operation: a new file is tested before its author writes a test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from answerprint import operations
from answerprint.assets import Assets
from answerprint.cli.options import of_job
from answerprint.frame import FieldOrder, Frame
from answerprint.operation import Operation
from answerprint.settings import Settings, values
from footage import as_shot

CPU = torch.device("cpu")
RATE = Fraction(25)
LENGTH = 13


def moving_clip(height: int = 48, width: int = 64) -> list[Frame]:
    """A textured card that pans, so that neighbors differ and every operation has something to do."""
    generator = torch.Generator().manual_seed(7)
    card = torch.nn.functional.interpolate(
        torch.rand(1, 3, 12, 40, generator=generator), scale_factor=8, mode="bicubic", align_corners=False
    )[0]
    return [
        Frame(
            card[:, 8 : 8 + height, 2 * i : 2 * i + width].contiguous() * 1.1 - 0.05,
            i / RATE,
            field_order="tff",
        )
        for i in range(LENGTH)
    ]


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    still = np.random.default_rng(3).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    path = tmp_path / "reference.png"
    cv2.imwrite(str(path), cv2.GaussianBlur(still, (0, 0), 3))
    return path


TAKES_OUT = ("inpaint",)
"""Operations that take out what the matte covers: not of less than there is a matte."""
PROGRESSIVE = ("inpaint", "upscale", "wires")
"""Operations that take whole pictures only."""
OTHER_SIZE = ("upscale",)
"""Operations whose pictures are of another size."""


def clip_for(operation: Operation) -> list[Frame]:
    """The clip, with something to take out for operations that do that."""
    frames = moving_clip()
    if operation.name in PROGRESSIVE:
        frames = [replace(frame, field_order="progressive") for frame in frames]
    if operation.name not in TAKES_OUT:
        return frames
    matte = torch.zeros(1, frames[0].height, frames[0].width)
    matte[:, 15:30, 25:40] = 1
    return [replace(frame, matte=matte) for frame in frames]


def a_params(operation: Operation, reference: Path) -> Settings:
    """Defaults, with a picture for what must be named, and a matte as it is."""
    needed = {v.name: str(reference) for v in values(operation.params_type) if v.required or v.name == "reference"}
    return operation.params_type.of(needed | ({"grow": "0"} if operation.name in TAKES_OUT else {}))


def worked(operation: Operation, frames: list[Frame], params: Settings) -> tuple[list[Frame], Settings | None]:
    """The frames as the operation leaves them, and its findings."""
    assets = Assets()
    findings = operation.analyze(as_shot(frames, RATE), params, CPU, assets=assets)
    return list(operation.run(iter(frames), params, findings, CPU, assets)), findings


@pytest.fixture(params=operations.names())
def operation(request: pytest.FixtureRequest) -> Operation:
    return operations.load(request.param)


def test_says_what_it_is(operation: Operation) -> None:
    assert operation.summary.endswith(".")
    assert operations.summary(operation.name) == operation.summary
    for table in filter(None, (operation.params_type, operation.findings_type)):
        for value in values(table):
            assert value.help, f"{operation.name}: {value.name} has no help"


def test_takes_no_option_of_the_command_line(operation: Operation) -> None:
    taken = {parameter.name for parameter in of_job()} | {"input", "output", "help"}
    assert not taken & {value.name for value in values(operation.params_type)}


def test_defaults_run_and_touch_nothing_of_theirs(operation: Operation, reference: Path) -> None:
    frames = clip_for(operation)
    copies = [frame.pixels.clone() for frame in frames]
    params = a_params(operation, reference)
    done, findings = worked(operation, frames, params)
    assert len(done) == LENGTH * operation.rate(params, findings)
    assert all(bool(torch.isfinite(frame.pixels).all()) for frame in done)
    assert all(a.time < b.time for a, b in itertools.pairwise(done))
    for frame, pixels in zip(frames, copies, strict=True):
        assert torch.equal(frame.pixels, pixels), "an input frame was written to"


def test_findings_survive_the_decision_list(operation: Operation, reference: Path) -> None:
    if operation.findings_type is None:
        pytest.skip("it finds nothing")
    params = a_params(operation, reference)
    findings = operation.analyze(as_shot(clip_for(operation), RATE), params, CPU, assets=Assets())
    assert findings is not None
    again = operation.findings_type.model_validate_json(findings.model_dump_json())
    assert again == findings


@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_chunks_with_handles_equal_the_whole(operation: Operation, reference: Path, chunk: int) -> None:
    frames = clip_for(operation)
    params = a_params(operation, reference)
    assets = Assets()
    findings = operation.analyze(as_shot(frames, RATE), params, CPU, assets=assets)
    handles = operation.handles(params)
    whole = list(operation.run(iter(frames), params, findings, CPU, assets))
    joined: list[Frame] = []
    for start in range(0, LENGTH, chunk):
        stop = min(start + chunk, LENGTH)
        first = 0 if handles is None else max(0, start - handles)
        last = LENGTH if handles is None else min(LENGTH, stop + handles)
        joined += _inside(operation.run(iter(frames[first:last]), params, findings, CPU, assets), start, stop)
    assert [frame.time for frame in joined] == [frame.time for frame in whole]
    for ours, right in zip(joined, whole, strict=True):
        assert torch.equal(ours.pixels, right.pixels), f"differs at {ours.time}"


def _inside(frames: Iterator[Frame], start: int, stop: int) -> Iterator[Frame]:
    for frame in frames:
        if (start == 0 or frame.time >= start / RATE) and (stop == LENGTH or frame.time < stop / RATE):
            yield frame


@pytest.mark.parametrize("size", [(1, 1), (17, 31)])
def test_one_frame_of_any_size(operation: Operation, reference: Path, size: tuple[int, int]) -> None:
    frame = Frame(torch.full((3, *size), 0.4), Fraction(0))
    if operation.name in TAKES_OUT:
        frame = replace(frame, matte=torch.zeros(1, *size).index_fill(2, torch.arange(size[1] // 4), 1))
    params = a_params(operation, reference)
    done, findings = worked(operation, [frame], params)
    assert len(done) == max(1, int(operation.rate(params, findings)))
    assert all(bool(torch.isfinite(result.pixels).all()) for result in done)


def makes_the_matte(operation: Operation) -> bool:
    return "makes matte" in getattr(operation.module, "OWN", ())


def source_of(frame: Frame, sources: list[Frame]) -> Frame:
    """The source frame of the same time, or the last before it."""
    return next(source for source in reversed(sources) if source.time <= frame.time)


@pytest.mark.parametrize("field_order", ["progressive", "tff"])
@pytest.mark.parametrize("covered", [0, 20])
def test_a_matte_keeps_the_outside(
    operation: Operation, reference: Path, field_order: FieldOrder, covered: int
) -> None:
    """Bit for bit, where the matte is zero: everywhere, or around a rectangle."""
    if makes_the_matte(operation):
        pytest.skip("its picture is the matte")
    if operation.name in OTHER_SIZE:
        pytest.skip("its pixels are none of the source's")
    if operation.name in PROGRESSIVE and field_order != "progressive":
        pytest.skip("it takes whole pictures only")
    frames = clip_for(operation)
    matte = torch.zeros(1, frames[0].height, frames[0].width)
    matte[:, 10 : 10 + covered, 10 : 10 + covered] = 1
    masked = [replace(frame, matte=matte, field_order=field_order) for frame in frames]
    outside = (matte == 0).expand_as(frames[0].pixels)
    done, _ = worked(operation, masked, a_params(operation, reference))
    for after in done:
        before = source_of(after, masked)
        assert torch.equal(before.pixels[outside], after.pixels[outside])


def test_pixels_that_are_no_number_do_not_spread(operation: Operation, reference: Path) -> None:
    """They stay where they are, and no other pixel becomes one."""
    frames = clip_for(operation)
    broken = frames[6].pixels.clone()
    broken[:, 20, 30], broken[0, 5, 5] = torch.nan, torch.inf
    frames[6] = replace(frames[6], pixels=broken)
    done, _ = worked(operation, frames, a_params(operation, reference))
    for after in done:
        if makes_the_matte(operation) or operation.name in OTHER_SIZE:
            assert bool(after.pixels.isfinite().all())
            continue
        spread = ~after.pixels.isfinite().all(0) & source_of(after, frames).pixels.isfinite().all(0)
        assert not bool(spread.any())
