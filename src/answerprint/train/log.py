"""The log of a training run, as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from answerprint import disk


class Log:
    """log.csv: a row per `log_every` steps and per validation; rows past the step that a run resumes at are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists() and step:
            with path.open(encoding="utf-8", newline="") as lines:
                self.rows = [row for row in csv.DictReader(lines) if int(row["step"]) <= step]

    def write(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        columns = list(dict.fromkeys(key for each in self.rows for key in each))
        lines = io.StringIO(newline="")
        writer = csv.DictWriter(lines, columns, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        disk.write(self.path, lines.getvalue())
