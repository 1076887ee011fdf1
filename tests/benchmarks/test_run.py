"""A bench tells and keeps each table as soon as it is measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchmarks
from answerprint.errors import SettingsError
from answerprint.metrics.tables import Table, at_most
from benchmarks import media


def test_a_bench_that_stops_has_kept_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(data: Path | None, quick: bool) -> Iterator[Table]:
        yield Table("the first hour", ["what", "seconds"], [("decode", 1.5)], [], [at_most("seconds", 1.5, 2.0)])
        raise KeyboardInterrupt

    monkeypatch.setattr(media, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        benchmarks.run("media", tmp_path / "new")
    assert "the first hour" in capsys.readouterr().out
    assert "the first hour" in (tmp_path / "new" / "media.json").read_text()
    assert json.loads((tmp_path / "new" / "media.json").read_text())
    assert "the first hour" in (tmp_path / "new" / "media.html").read_text()


def test_a_bench_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown bench 'loook'.*look"):
        benchmarks.run("loook", tmp_path)
    assert not list(tmp_path.iterdir())
