"""Report files: pages from the templates of this folder, versions, files that appear whole."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from answerprint import disk
from answerprint.errors import DeliveryError
from answerprint.metrics import words


def versions() -> dict[str, str]:
    """Versions of Answerprint, Python, torch, PyAV, the FFmpeg libraries and the machine's system."""
    import av

    libraries = {name: ".".join(map(str, number)) for name, number in av.library_versions.items()}
    return {
        "answerprint": metadata.version("answerprint"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "PyAV": av.__version__,
        **libraries,
        "machine": f"{platform.system()} {platform.machine()}",
    }


@cache
def _templates() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("answerprint", "metrics"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    filters = {
        "say": words.say,
        "percent": words.percent,
        "spaced": words.spaced,
        "number": words.number,
        "duration": words.duration,
    }
    environment.filters.update(filters)
    return environment


def fill(template: str, **values: Any) -> str:
    """A page from a template of this folder; all text is escaped."""
    rendered = _templates().get_template(template).render(version=metadata.version("answerprint"), **values)
    text: str = rendered
    return text


def put(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all.

    Raises:
        DeliveryError: it cannot be written.
    """
    try:
        # A name on disk may hold bytes that are no text; they are shown, not refused.
        disk.write(path, text, "backslashreplace")
    except OSError as error:
        raise DeliveryError(f"{path}: the report cannot be written: {error.strerror or error}") from error
