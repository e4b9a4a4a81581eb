"""Memory for a clip's bytes, provided by whoever wants them."""

from __future__ import annotations

from collections.abc import Callable

Room = Callable[[int], memoryview]
"""Given a number of bytes, returns writable memory that has room for them."""


def new_room(length: int) -> memoryview:
    """Provide memory that nobody had before."""
    return memoryview(bytearray(length))
