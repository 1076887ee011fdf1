"""Laws of windows: every frame has its neighbors, whatever the length of the shot and the number of handles."""

from __future__ import annotations

from fractions import Fraction

import torch
from hypothesis import given
from hypothesis import strategies as st

from answerprint.frame import Frame
from answerprint.operation import windows


@given(st.integers(0, 12), st.integers(0, 6))
def test_each_frame_is_the_center_of_its_neighbors(length: int, handles: int) -> None:
    frames = [Frame(torch.zeros(3, 1, 1), Fraction(number)) for number in range(length)]
    result = list(windows(iter(frames), handles))
    assert [window.center.time for window in result] == [frame.time for frame in frames]
    for number, window in enumerate(result):
        wanted = [min(max(number + off, 0), length - 1) for off in range(-handles, handles + 1)]
        assert [int(frame.time) for frame in window.frames] == wanted
        assert window.first == max(0, handles - number)
        assert window.last == max(0, number + handles - (length - 1))
