"""Reading ahead in one background thread, so that decoding overlaps with the work on frames."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")

LARGE = 10_000_000  # pixels, a little above 4K: a frame of 8K is half a gigabyte, and few of them fit into 4
_POLL = 0.1  # seconds between looks at whether the consumer is still there


class _Failure:
    """Carries what the thread raised to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
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
    ready: queue.Queue[T | _Failure | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    worker = threading.Thread(target=_produce, args=(items, ready, stop), name="read ahead", daemon=True)
    worker.start()
    try:
        while not isinstance(item := ready.get(), _End):
            if isinstance(item, _Failure):
                raise item.error
            # A frame is large: it must not stay alive here while it is worked on and the next one is made.
            last = [item]
            del item
            yield last.pop()
    finally:
        stop.set()
        worker.join()


def _produce(items: Iterator[T], ready: queue.Queue[T | _Failure | _End], stop: threading.Event) -> None:
    try:
        for item in items:
            if not _put(ready, item, stop):
                return
        _put(ready, _End(), stop)
    except BaseException as error:  # handed over, not swallowed: the consumer raises it
        _put(ready, _Failure(error), stop)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _put(ready: queue.Queue[T | _Failure | _End], item: T | _Failure | _End, stop: threading.Event) -> bool:
    """Puts an item in line; False when the consumer has gone."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=_POLL)
            return True
        except queue.Full:
            continue
    return False
