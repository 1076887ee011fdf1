"""Compiled loops without policy.

Numba compiles a loop on its first call and keeps the result in `__pycache__` beside it, or else in the user's cache
folder. Where both cannot be written (a read-only install with no home, as in containers), compiled loops live in a
private temporary folder, for this command and its worker processes.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import numba


def _open_cache() -> bool:
    """Whether compiled loops can be kept anywhere; makes a temporary place where there is no other."""
    if _is_cacheable():
        return True
    message = "note: compiled loops cannot be kept here, so every command compiles them again; "
    message += "set NUMBA_CACHE_DIR to a folder that can be written to"
    logging.getLogger("answerprint").warning(message)
    try:
        folder = tempfile.mkdtemp(prefix="answerprint-")
    except OSError:
        return False
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Worker processes find it in the environment.
    os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = folder
    return _is_cacheable()


def _is_cacheable() -> bool:
    """Whether Numba finds a folder for what it compiles in this package."""
    cached: Callable[[Callable[..., Any]], Any] = numba.njit(cache=True)
    try:
        cached(_nothing)
    except RuntimeError:
        return False
    return True


def _nothing() -> None:
    """A function that is never compiled."""


CACHE = _open_cache()
