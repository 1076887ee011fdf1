"""Work ahead in one background thread, a few items at most, so that decoding overlaps with what is done to frames."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")

LARGE = 10_000_000  # pixels, a little above 4K: a frame of 8K is half a gigabyte, and few of them fit into 4
_POLL = 0.1  # seconds between looks at whether the consumer is still there


class _Failed:
    """Carries what the thread raised to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Done:
    """The end of the items."""


def ahead(items: Iterator[T], depth: int = 3) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them made before they are asked for.

    The thread ends when the items do, when one raises (the consumer gets the same exception at that place), or when
    the consumer stops early; `items` is closed in the thread that ran it. A depth of 0 makes each item when it is asked
    for, in the thread that asks.
    """
    if depth == 0:
        yield from items
        return
    made: queue.Queue[T | _Failed | _Done] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    worker = threading.Thread(target=_produce, args=(items, made, stop), name="read ahead", daemon=True)
    worker.start()
    try:
        while not isinstance(item := made.get(), _Done):
            if isinstance(item, _Failed):
                raise item.error
            # A frame is large: it must not stay alive here while it is worked on and the next one is made.
            passed = [item]
            del item
            yield passed.pop()
    finally:
        stop.set()
        worker.join()


def _produce(items: Iterator[T], made: queue.Queue[T | _Failed | _Done], stop: threading.Event) -> None:
    try:
        for item in items:
            if not _put(made, item, stop):
                return
        _put(made, _Done(), stop)
    except BaseException as error:  # handed over, not swallowed: the consumer raises it
        _put(made, _Failed(error), stop)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _put(made: queue.Queue[T | _Failed | _Done], item: T | _Failed | _Done, stop: threading.Event) -> bool:
    """Puts an item in line; False when the consumer has gone."""
    while not stop.is_set():
        try:
            made.put(item, timeout=_POLL)
            return True
        except queue.Full:
            continue
    return False
