"""The machine that a job runs on: its device and its memory."""

from __future__ import annotations

import ctypes
import functools
import sys

import torch

from answerprint.errors import SettingsError

_LARGE = 4 << 20  # bytes; planes of HD and above are larger
_M_MMAP_THRESHOLD = -3  # malloc.h


@functools.cache
def return_large_blocks() -> None:
    """Has the C library return large blocks to the system as soon as they are freed, where it is glibc.

    Left alone, glibc begins to keep blocks of up to 32 MB for itself once it has seen some freed: a plane of 1080p is
    25 MB, and each thread keeps some, which took a third more memory at 1080p.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def device(name: str) -> torch.device:
    """The torch device of that name; `auto` is cuda where there is one, else cpu.

    Raises:
        SettingsError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(name)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"--device {name}: there is no such device here ({str(error).splitlines()[0]})") from None
    return place
