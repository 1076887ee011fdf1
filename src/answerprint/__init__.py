"""Answerprint finishes film and television footage.

import answerprint as ap

clip = ap.open("clip.mov")
decisions = ap.analyze(clip, [("match", {"reference": "still.jpg"})])
ap.render(decisions, "graded.mov")
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from answerprint.media.reader import open as open
    from answerprint.render.jobs import analyze as analyze
    from answerprint.render.jobs import load as load
    from answerprint.render.jobs import render as render
    from answerprint.render.jobs import resume as resume

__version__ = version("answerprint")

# Loaded on first use: torch takes seconds to import, and the command line's help must not wait for it.
_HOMES = {
    "open": "answerprint.media.reader",
    "analyze": "answerprint.render.jobs",
    "load": "answerprint.render.jobs",
    "render": "answerprint.render.jobs",
    "resume": "answerprint.render.jobs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'answerprint' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
