"""Looks against Reinhard, KNN and both combined: nearness to the reference, structure kept, steadiness, speed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from answerprint.errors import SettingsError
from answerprint.metrics.tables import Table
from benchmarks.look import memory, nearness, speed, steadiness


def run(data: Path | None, quick: bool) -> Iterator[Table]:
    """Style and content, steadiness (tables 1 and 2 of NCST), speed (its table 3), memory.

    Args:
        data: folder that holds `style/` and `video/`, and perhaps `weights/` with those of LPIPS (`metrics/lpips.py`).
        quick: fewer pairs, clips and sizes.

    Raises:
        SettingsError: no data folder, or nothing in it to compare.
    """
    if data is None or not (data / "style").is_dir():
        raise SettingsError(
            "bench look needs pictures: --data FOLDER with style/photo_contents, style/photo_looks, video"
        )
    yield nearness.styles(data, quick)
    yield nearness.every_pair(data, quick)
    yield nearness.tuning(data, quick)
    yield from steadiness.steadiness(data, quick)
    yield speed.speed(data, quick)
    yield memory.memory(quick)
