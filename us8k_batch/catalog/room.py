"""Memory for a clip's bytes, provided by whoever wants them, and what is found out about them on the way there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

Room = Callable[[int], memoryview]
"""Given a number of bytes, returns writable memory that has room for them."""
PIECE = 128 << 10
"""Bytes that are read and hashed in turn: the processor's cache still holds them then."""


def new_room(length: int) -> memoryview:
    """Provide memory that nobody had before."""
    return memoryview(bytearray(length))


class Digest:
    """The sha256 of a clip, computed while it is read."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Time that it took, in seconds, without the reading."""
        self.restart()

    def restart(self) -> None:
        """Forget what an attempt to read gave that failed."""
        self._sha256 = hashlib.sha256()

    def add(self, piece: memoryview) -> None:
        """Take the bytes that come next."""
        start = time.perf_counter()
        self._sha256.update(piece)
        self.seconds += time.perf_counter() - start

    def hex(self) -> str:
        """Return it in hexadecimal."""
        return self._sha256.hexdigest()
