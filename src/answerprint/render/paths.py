"""Where the files of a job stand: all beside its output."""

from __future__ import annotations

import re
from pathlib import Path

from answerprint.media.pictures.names import ENDINGS


def plain_stem(path: Path) -> str:
    """The name of a file or sequence without ending and number: `f` of `f.%04d.png`; that of a file stays whole."""
    if path.suffix.lower() not in ENDINGS or path.is_file():
        return path.stem
    return re.sub(r"[._-]?(%0?\d*d|#+)", "", path.stem) or "sequence"


def beside(output: Path, ending: str) -> Path:
    """The file beside an output that has its name and another ending."""
    return output.parent / f"{plain_stem(output)}{ending}"


def decisions_path(output: Path) -> Path:
    """The decision list of an output."""
    return beside(output, ".decisions.toml")


def job_folder(output: Path) -> Path:
    """The folder of an output's job: encoded chunks and the ledger."""
    return output.parent / f"{output.name.replace('%', '_')}.job"
