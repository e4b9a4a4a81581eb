"""Ctrl-C and SIGTERM: the first asks the run to finish what is in hand, a second one stops it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class Stop:
    """Whether the run was asked to stop."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._asked = threading.Event()
        self._tell = tell
        self._in_hand = True
        self._untold = False

    def __call__(self) -> bool:
        """Tell whether the run was asked to stop."""
        if self._untold:
            self._answer()
        return self._asked.is_set()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the first signal end the block, as `KeyboardInterrupt`: there is nothing in hand to finish."""
        self._in_hand = False
        try:
            yield
        finally:
            self._in_hand = True

    def ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature is Python's
        """Take a signal."""
        if self._asked.is_set() or not self._in_hand:
            self._asked.set()
            raise KeyboardInterrupt
        self._asked.set()
        self._answer()

    def _answer(self) -> None:
        self._untold = True
        with contextlib.suppress(RuntimeError):  # the signal came while a line was being printed: told a little later
            self._tell("stopping: finishing the shards in hand, then publishing; once more to stop at once")
            self._untold = False


@contextlib.contextmanager
def asked_to_stop(tell: Callable[[str], None]) -> Iterator[Stop]:
    """Take the signals while the block runs; only a main thread can be asked."""
    stop = Stop(tell)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
