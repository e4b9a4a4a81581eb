"""Hand sources over to a decoder child in memory that both share, without copying them through a pipe.

While the child works on the sources in some places, the next ones are read into others; who numbers requests chooses
them, see `line.Numbers`. A pipe costs two copies in the kernel, half as much time as the fast engine needs for the
whole clip; reading into fresh memory costs as much again in page faults. The memory has no name and does not count
against the size of ``/dev/shm``, which is small in containers.

The child notes here too how long a clip's header promises it to be. Nobody is woken for that: the parent looks when
the time that any clip may take has passed.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import tempfile
from collections.abc import Sequence

from us8k_batch.audio.opening import FileBytes

PLACES = 6
"""Sources that may be here at a time: at the child, or being read."""
_STEP = 1 << 20
"""Places grow by whole MiB, so that few clips make one grow."""
_NOTE = struct.Struct("<Qd")
"""Number of the request, and the duration of its clip in seconds."""
_KEPT = 64 << 20
"""Bytes of a place that are kept from clip to clip; what a larger source needed is given back after it."""


class Outgoing:
    """The worker's side."""

    def __init__(self) -> None:
        self.descriptors = tuple(_unnamed_file() for _ in range(PLACES + 1))
        """What the child must inherit."""
        self._maps: list[mmap.mmap | None] = [None] * PLACES

    def room(self, number: int, length: int) -> memoryview:
        """Return the place of a request, with room for `length` bytes; what it held before is lost.

        Raises
        ------
        OSError
            If there is no memory for it.
        """
        place = number % PLACES
        room = self._maps[place]
        if room is None or len(room) < length:
            # Whoever still looks at the old mapping keeps it; it is unmapped when the last view is gone.
            size = max(1, -(-length // _STEP)) * _STEP
            os.ftruncate(self.descriptors[place], size)
            room = self._maps[place] = mmap.mmap(self.descriptors[place], size)
        return memoryview(room)

    def lay(self, number: int, data: FileBytes) -> None:
        """Lay the source of a request where the child will look for it, over that of one that is answered.

        Nothing is copied if `data` begins at the beginning of the request's `room`.

        Raises
        ------
        OSError
            If there is no memory for it.
        """
        if not (isinstance(data, memoryview) and data.obj is self._maps[number % PLACES]):
            self.room(number, len(data))[: len(data)] = data

    def give_back(self, number: int) -> None:
        """Give back most of what a large source took whose request is answered; whoever looks there sees zeros."""
        room = self._maps[number % PLACES]
        if room is not None and len(room) > _KEPT and hasattr(mmap, "MADV_REMOVE"):
            room.madvise(mmap.MADV_REMOVE, _KEPT, len(room) - _KEPT)

    def promised(self, number: int) -> float:
        """Return how long the header of a request's clip promises it to be, in seconds; 0 if nothing believable."""
        note = os.pread(self.descriptors[PLACES], _NOTE.size, 0)
        if len(note) < _NOTE.size:
            return 0.0
        noted, seconds = _NOTE.unpack(note)
        return float(seconds) if noted == number and 0 <= seconds < math.inf else 0.0

    def close(self) -> None:
        """Give the memory back as soon as the child is gone too, and nobody looks at it any more."""
        self._maps = [None] * PLACES
        for descriptor in self.descriptors:
            os.close(descriptor)


class Incoming:
    """The child's side."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._descriptors = descriptors
        self._maps: list[mmap.mmap | None] = [None] * PLACES

    def promise(self, number: int, seconds: float) -> None:
        """Note how long a request's clip promises to be."""
        os.pwrite(self._descriptors[PLACES], _NOTE.pack(number, seconds), 0)

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
