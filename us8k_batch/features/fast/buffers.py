"""Buffers that live from clip to clip, because new memory costs a page fault every 4 kB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LARGEST = 1 << 24
"""Numbers in a buffer that is kept (64 MB); what a longer clip needed is given back."""
_LINE = 64
"""Bytes of a cache line; vectors that cross one are slower."""


class Buffer:
    """A float32 buffer that grows as needed; what is in it does not matter to whoever asks for it."""

    def __init__(self) -> None:
        self._values = aligned(0)

    def at_least(self, size: int) -> NDArray[np.float32]:
        """Return room for so many numbers, or more."""
        if len(self._values) < size or len(self._values) > _LARGEST:
            self._values = aligned(size)
        return self._values


def aligned(size: int) -> NDArray[np.float32]:
    """Make a float32 array that begins at a cache line; its values are arbitrary."""
    values = np.empty(size + _LINE // 4, dtype=np.float32)
    offset = -values.ctypes.data % _LINE // 4
    return values[offset : offset + size]
