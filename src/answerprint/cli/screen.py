"""Output of the commands: lines that cannot act on a terminal, one line for a refusal, and a full or closed output."""

from __future__ import annotations

import io
import os
import sys

from answerprint.text import visible


def say(line: str) -> None:
    """Prints one line; what a name or a tag holds besides text is shown as an escape."""
    print(visible(line), flush=True)


def prepare() -> None:
    """Lets letters that the terminal's encoding lacks be escapes instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def leave(message: str, status: int) -> None:
    """Prints one line on standard error and exits.

    Args:
        message: what is wrong, where, what to do.
        status: the exit status.
    """
    print(f"answerprint: {visible(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(status)


def is_output_broken() -> bool:
    """Whether standard output takes nothing more: a full disk, a closed pipe; what it holds is then dropped."""
    try:
        # What could not be written is gone from the buffer: flushing alone would not fail again.
        print(flush=True)
    except OSError:
        # Python would try and complain once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
