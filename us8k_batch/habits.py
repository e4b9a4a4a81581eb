"""Habits of processes that compute for hours, and whom nobody waits for at the keyboard."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Numbers of glibc's ``mallopt``."""
_KEPT = 256 << 20
"""Bytes of freed memory that a process keeps at most."""
_MAPPED = 64 << 20
"""Bytes from which on memory is still taken from the system and given back to it: more than a shard has."""


def keep_freed_memory() -> bool:
    """Keep what is freed, for the next shard; return whether the C library can.

    Memory that is taken anew costs a page fault every 4 kB. Dask's nanny has its workers give back whatever exceeds
    64 kB, and encoding a shard then took twice as long.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    wanted = ((_MMAP_THRESHOLD, _MAPPED), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, 1 << 20))
    return mallopt is not None and all(mallopt(which, size) for which, size in wanted)


def interrupt_nobody() -> None:
    """Have the threads that this one will start, and itself, wait for their turn when they are woken.

    A worker and its child wake each other for every clip. Where both share a core, each finds its memory out of the
    cache when it was interrupted by the other in the middle of a clip: that cost 8 % of the processor.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
