"""Ctrl-C and SIGTERM: the first asks the run to finish what is in hand, a second one stops it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def asked_to_stop(tell: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether the run was asked to stop; only a main thread can be asked."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature is Python's
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        tell("stopping: finishing the shards in hand, then publishing; once more to stop at once")

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
