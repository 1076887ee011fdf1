"""Ctrl-C that is not lost: Python raises it wherever it happens to be, and there are places that swallow it.

While a module is imported, libraries catch whatever is raised and go on half imported; in a finalizer or a callback
Python prints it and goes on. There the interruption is asked for again when the place has been left.
"""

import _thread
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AGAIN = 0.02  # seconds until it is asked for again: nobody notices


def guard() -> None:
    """Makes Ctrl-C of this process wait for imports and outlive finalizers; one that is ignored stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _unraisable


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_importing(frame):
        _repeat()
    else:
        signal.default_int_handler(number, frame)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _unraisable(arguments: "UnraisableHookArgs") -> None:
    if issubclass(arguments.exc_type, KeyboardInterrupt):
        _repeat()
    else:
        sys.__unraisablehook__(arguments)


def _repeat() -> None:
    timer = threading.Timer(_AGAIN, _send)
    timer.daemon = True
    timer.start()


def _send() -> None:
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:  # a true signal ends waiting, too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
