"""Compiled loops work where nothing that Numba compiles can be kept: a read-only install without a home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import answerprint
import clips


@pytest.mark.parametrize("temporary", [True, False])
def test_a_read_only_install_without_a_home_works_and_says_that_it_compiles_anew(
    tmp_path: Path, temporary: bool
) -> None:
    source = clips.card(tmp_path / "source.mkv", frames=2)
    # A file where a folder should be stops root as well, which may write to any folder.
    package = Path(shutil.copytree(Path(answerprint.__file__).parent, tmp_path / "install" / "answerprint"))
    for cache in package.rglob("__pycache__"):
        shutil.rmtree(cache)
    (package / "kernels" / "__pycache__").touch()
    (tmp_path / "temporary").mkdir()
    unset = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    places = {"HOME": str(source), "PYTHONPATH": str(package.parent), "TMPDIR": str(tmp_path / "temporary")}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | places
    # Without a temporary folder nothing is kept even within the command.
    script = "import tempfile, errno\n"
    if not temporary:
        script += "def mkdtemp(*_, **__): raise OSError(errno.EROFS, 'no place')\ntempfile.mkdtemp = mkdtemp\n"
    script += "from answerprint import cli; import sys; cli.main(sys.argv[1:])"
    words = ["filter", str(source), "-o", str(tmp_path / "out.mkv"), "--kind", "median"]
    run = subprocess.run([sys.executable, "-c", script, *words], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "note: compiled loops cannot be kept here" in run.stderr
    assert (tmp_path / "out.mkv").exists()
    assert not list((tmp_path / "temporary").iterdir()), "the temporary folder is removed"
