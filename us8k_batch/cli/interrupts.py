"""Ctrl-C that came while Python could not pass it on, sent once more."""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

AGAIN_SECONDS = 0.05
"""What a callback or destructor may take to its end."""


@contextlib.contextmanager
def passed_on() -> Iterator[None]:
    """Take care that Ctrl-C ends the block whenever it comes.

    In a callback from C (soundfile writes through one) and in a destructor (llvmlite has many), Python prints
    "Exception ignored", drops the exception, and goes on.
    """
    ordinary = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            ordinary(dropped)
            return
        again = threading.Timer(AGAIN_SECONDS, _thread.interrupt_main)
        again.daemon = True  # a command that was about to end has ended
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = ordinary
