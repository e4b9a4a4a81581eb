"""Hand sources over to a decoder child in memory that both share, without copying them through a pipe.

There are two places in turn: while the child works on the source in one, the next one is laid into the other. A
pipe costs two copies in the kernel, half as much time as the fast engine needs for the whole clip. The memory has
no name and does not count against the size of ``/dev/shm``, which is small in containers.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence

PLACES = 2
_STEP = 1 << 20
"""Places grow by whole MiB, so that few clips make one grow."""
_KEPT = 64 << 20
"""Bytes of a place that are kept from clip to clip; what a larger source needed is given back after it."""


class Outgoing:
    """The worker's side."""

    def __init__(self) -> None:
        self.descriptors = tuple(_unnamed_file() for _ in range(PLACES))
        """What the child must inherit."""
        self._maps: list[mmap.mmap | None] = [None] * PLACES

    def lay(self, number: int, data: bytes) -> None:
        """Lay the source of a request where the child will look for it, over that of the last request but one.

        Raises
        ------
        OSError
            If there is no memory for it.
        """
        place = number % PLACES
        room = self._maps[place]
        if room is None or len(room) < len(data) or len(room) > max(_KEPT, len(data) + _STEP):
            if room is not None:
                room.close()
            size = max(1, -(-len(data) // _STEP)) * _STEP
            os.ftruncate(self.descriptors[place], size)
            room = self._maps[place] = mmap.mmap(self.descriptors[place], size)
        room[: len(data)] = data

    def close(self) -> None:
        """Give the memory back as soon as the child is gone too."""
        for room in self._maps:
            if room is not None:
                room.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


class Incoming:
    """The child's side."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._descriptors = descriptors
        self._maps: list[mmap.mmap | None] = [None] * PLACES

    def look(self, number: int, length: int) -> memoryview:
        """Return the source of a request, `length` bytes; valid until the request is answered."""
        place = number % PLACES
        room = self._maps[place]
        if room is None or len(room) < length:
            # Whoever still looks at the old mapping keeps it; it is unmapped when the last view is gone.
            size = os.fstat(self._descriptors[place]).st_size
            room = self._maps[place] = mmap.mmap(self._descriptors[place], size, access=mmap.ACCESS_READ)
        return memoryview(room)[:length]


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("us8k-source")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
