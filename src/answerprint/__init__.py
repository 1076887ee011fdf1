"""Answerprint finishes film and television footage.

import answerprint as ap

clip = ap.open("clip.mov")
decisions = ap.analyze(clip, [("match", {"reference": "still.jpg"})])
ap.deliver(decisions, "graded.mov")
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from answerprint.media.reader import open as open
    from answerprint.render.decide import analyze as analyze
    from answerprint.render.decide import load as load
    from answerprint.render.jobs import render as _render
    from answerprint.render.jobs import resume as resume

    deliver = _render

__version__ = version("answerprint")

# Loaded on first use: torch takes seconds to import, and the command line's help must not wait for it.
# `deliver` and not `render`: the package has a room of that name.
_HOMES = {
    "open": ("answerprint.media.reader", "open"),
    "analyze": ("answerprint.render.decide", "analyze"),
    "load": ("answerprint.render.decide", "load"),
    "deliver": ("answerprint.render.jobs", "render"),
    "resume": ("answerprint.render.jobs", "resume"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'answerprint' has no attribute {name!r}")
    module, function = _HOMES[name]
    return getattr(import_module(module), function)


def __dir__() -> list[str]:
    """The public functions, so that a prompt or an editor offers them before they are loaded."""
    return sorted([*_HOMES, "__version__"])
