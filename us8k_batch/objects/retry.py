"""When to ask a storage again that did not answer as it should: the one loop for disks, shares and buckets."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from us8k_batch.errors import StorageError, StorageRefusedError

T = TypeVar("T")

PAUSES = (0.25, 1.0, 4.0)
"""Pauses between attempts at a disk or share, in seconds, before jitter."""
SERVER_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, *[8.0] * 10)
"""Pauses between requests to a server: together more than a minute, whatever the jitter."""
MOST_SECONDS = 120.0
"""No request is made again after this time, in seconds: each may take as long as obstore lets it, 30 s."""
TOLD_SECONDS = 2.0
"""Pauses from this length on are told, in seconds..."""
SILENT_SECONDS = 5.0
"""...but not so soon after one that was told: many requests fail together."""

logger = logging.getLogger(__name__)
_here = threading.local()
_last_told = [-SILENT_SECONDS]


def pauses(key: str, rule: Sequence[float] | None = None) -> tuple[float, ...]:
    """Return the pauses between the attempts to read one key, in seconds.

    Each lies between three and five quarters of its place in the rule, by default `PAUSES`. The jitter follows from
    the key, so that the clips of one run do not come back all at once, and the same key waits the same time every
    time.
    """
    jitter = 0.75 + 0.5 * zlib.crc32(key.encode()) / 2**32
    return tuple(pause * jitter for pause in (PAUSES if rule is None else rule))


def retry(
    call: Callable[[], T], key: str, sleep: Callable[[float], None] | None = None, rule: Sequence[float] | None = None
) -> T:
    """Call until there is an answer; pause between attempts as `pauses` says, and log what it is waited for.

    Parameters
    ----------
    call : callable
        Raises `StorageError` if it is worth calling again.
    key : str
        What the jitter follows from.
    sleep : callable, optional
        Waits, in seconds; by default until the thread's work is given up, see `given_up_by`.
    rule : sequence of float, optional
        Pauses before jitter, in seconds; `PAUSES` by default.

    Raises
    ------
    StorageError
        The last attempt's, if none succeeded. Any other error is an answer, and raised at once.
    """
    began = time.monotonic()
    left = pauses(key, rule)
    for number, pause in enumerate(left):
        try:
            return call()
        except StorageRefusedError:
            raise
        except StorageError as error:
            if time.monotonic() - began > MOST_SECONDS:
                raise
            _tell(error, pause, sum(left[number:]))
            (sleep or _wait)(pause)
            if _is_given_up():
                raise
    return call()


@contextlib.contextmanager
def given_up_by(stop: threading.Event) -> Iterator[None]:
    """Let an event end what this thread waits for while the block runs."""
    before = getattr(_here, "stop", None)
    _here.stop = stop
    try:
        yield
    finally:
        _here.stop = before


class Threads(ThreadPoolExecutor):
    """Threads that stop waiting for a storage once the block that they work for ends with an error, as Ctrl-C is."""

    def __init__(self, count: int) -> None:
        self._stop = threading.Event()
        super().__init__(count, initializer=setattr, initargs=(_here, "stop", self._stop))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the threads; after an error, for no more than what each of them is in the middle of."""
        if kind is not None:
            self._stop.set()
        self.shutdown(cancel_futures=kind is not None)


def _wait(seconds: float) -> None:
    stop = getattr(_here, "stop", None)
    if stop is None:
        time.sleep(seconds)
    else:
        stop.wait(seconds)


def _is_given_up() -> bool:
    stop = getattr(_here, "stop", None)
    return stop is not None and stop.is_set()


def _tell(error: StorageError, pause: float, left: float) -> None:
    now = time.monotonic()
    if pause >= TOLD_SECONDS and now - _last_told[0] >= SILENT_SECONDS:
        _last_told[0] = now
        logger.warning("%s; asking again for another %.0f s", error, left)
