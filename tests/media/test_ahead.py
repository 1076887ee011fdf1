"""Reading ahead: few items wait, and the thread ends with its reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from answerprint.media import reader
from answerprint.media.ahead import ahead
from coded import encode_clip


def readers() -> int:
    return sum(thread.name == "read ahead" for thread in threading.enumerate())


def test_stopping_early_ends_the_thread(tmp_path: Path) -> None:
    clip = reader.open(encode_clip(tmp_path / "a.mkv", "ffv1", "yuv420p", 30))
    frames = clip.frames()
    next(frames)
    assert readers() == 1
    frames.close()  # type: ignore[attr-defined]
    assert readers() == 0
    assert [frame.time for frame in clip.frames(28, 99)] == [clip.times[28], clip.times[29]]
    assert list(clip.frames(30)) == [] and list(clip.frames(5, 5)) == []


def test_only_a_few_items_are_made_ahead() -> None:
    made: list[int] = []

    def count() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number
        raise ValueError("the end")

    items = ahead(count(), depth=3)
    assert next(items) == 0
    threading.Event().wait(0.3)
    assert len(made) <= 6
    with pytest.raises(ValueError, match="the end"):
        list(items)
    assert len(made) == 1000


def test_with_a_depth_of_nothing_no_item_waits_in_memory() -> None:
    made: list[int] = []

    def count() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    items = ahead(count(), depth=0)
    assert next(items) == 0 and made == [0]
    assert list(items) == [1, 2, 3, 4] and readers() == 0
