"""`import answerprint` gives its public functions at once and loads the heavy libraries only when one is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import answerprint

HEAVY = {"torch", "numpy", "av", "cv2", "numba", "scipy", "pydantic"}


def test_dir_lists_the_public_functions() -> None:
    assert dir(answerprint) == ["__version__", "analyze", "deliver", "flow", "load", "open", "resume"]


@pytest.mark.parametrize("name", [name for name in dir(answerprint) if not name.startswith("_")])
def test_every_public_function_is_there_and_documented(name: str) -> None:
    function = getattr(answerprint, name)
    assert callable(function)
    assert function.__doc__


def test_importing_and_listing_load_nothing_heavy() -> None:
    code = "import sys, answerprint; dir(answerprint); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'grade_everything'"):
        answerprint.grade_everything  # noqa: B018
