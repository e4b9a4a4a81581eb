"""How much freed memory a process keeps that computes for hours."""

from __future__ import annotations

import ctypes
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
