"""Ctrl-C where Python or a library swallows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import time
from answerprint import interrupt
interrupt.guard()
{}
time.sleep(20)
"""
SWALLOWED = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for i in range(1000): pass
except BaseException:
    pass
"""
FINALIZER = """
class Last:
    def __del__(self):
        import os, signal
        os.kill(os.getpid(), signal.SIGINT)
        for i in range(1000): pass
Last()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.parametrize("program", ["import swallow", FINALIZER], ids=["import", "finalizer"])
def test_a_swallowed_interrupt_is_asked_for_again(tmp_path: Path, program: str) -> None:
    (tmp_path / "swallow.py").write_text(SWALLOWED)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))},
        capture_output=True,
        text=True,
        timeout=15,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert run.returncode in (130, -signal.SIGINT) and run.stderr.strip().endswith("KeyboardInterrupt")
