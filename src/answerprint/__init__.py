"""Answerprint finishes film and television footage.

import answerprint as ap

clip = ap.open("clip.mov")
decisions = ap.analyze(clip, [("match", {"reference": "still.jpg"})])
ap.deliver(decisions, "graded.mov")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from answerprint.media.reader import open as open
    from answerprint.nets.flow.estimate import flow as flow
    from answerprint.render.decide import analyze as analyze
    from answerprint.render.decide import load as load
    from answerprint.render.job import deliver as deliver
    from answerprint.render.job import resume as resume

    __version__: str

# Loaded on first use: torch takes seconds to import, and the command line's help must not wait for it.
_HOMES = {
    "open": ("answerprint.media.reader", "open"),
    "analyze": ("answerprint.render.decide", "analyze"),
    "load": ("answerprint.render.decide", "load"),
    "flow": ("answerprint.nets.flow.estimate", "flow"),
    "deliver": ("answerprint.render.job", "deliver"),
    "resume": ("answerprint.render.job", "resume"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # takes a moment that every command would wait for

        return version("answerprint")
    if name not in _HOMES:
        raise AttributeError(f"module 'answerprint' has no attribute {name!r}")
    module, function = _HOMES[name]
    return getattr(import_module(module), function)


def __dir__() -> list[str]:
    """The public functions, so that a prompt or an editor offers them before they are loaded."""
    return sorted([*_HOMES, "__version__"])
