"""When to ask a storage again that did not answer as it should."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import TypeVar

from us8k_batch.errors import StorageError

T = TypeVar("T")

PAUSES = (0.25, 1.0, 4.0)
"""Pauses between attempts, in seconds, before jitter."""


def pauses(key: str) -> tuple[float, ...]:
    """Return the pauses between the attempts to read one key, in seconds.

    Each lies between half and one and a half of its place in `PAUSES`. The jitter follows from the key, so that
    the clips of one run do not come back all at once, and the same key waits the same time every time.
    """
    jitter = 0.5 + zlib.crc32(key.encode()) / 2**32
    return tuple(pause * jitter for pause in PAUSES)


def retry(call: Callable[[], T], key: str, sleep: Callable[[float], None] = time.sleep) -> T:
    """Call until there is an answer; pause between attempts as `pauses` says.

    Raises
    ------
    StorageError
        The last attempt's, if none succeeded. Any other error is an answer, and raised at once.
    """
    for attempt in range(len(PAUSES)):
        try:
            return call()
        except StorageError:
            sleep(pauses(key)[attempt])
    return call()
