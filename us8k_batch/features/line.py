"""Requests that are at a decoder child, or on their way there, in the order of their answers."""

from __future__ import annotations

from collections import deque

from us8k_batch.audio.opening import FileBytes
from us8k_batch.features.fast.sha256 import LARGE
from us8k_batch.features.handover import PLACES
from us8k_batch.features.wire import Wanted

IN_HAND = 4
"""Clips that may be at the child, or on their way there; of large ones, two."""
AHEAD = PLACES - IN_HAND
"""Clips that may be read before they are sent."""
_MOST = 0xFFFF_FFFF
"""Largest number that a message can carry."""


class Request:
    """A clip that is at the child, or on its way there."""

    __slots__ = ("data", "extension", "number", "wanted")

    def __init__(self, wanted: Wanted, data: FileBytes, extension: str = "") -> None:
        self.wanted = wanted
        self.data = data
        self.extension = extension
        self.number = 0


class Line(deque[Request]):
    """Requests, the first of which is answered next."""

    def is_low(self) -> bool:
        """Tell whether it is time to take more clips: as many fit as are read together."""
        return len(self) <= IN_HAND - AHEAD

    def has_room(self) -> bool:
        """Tell whether another clip may be taken: a third one only if those in hand are small together."""
        return len(self) < 2 or (len(self) < IN_HAND and sum(len(request.data) for request in self) < LARGE)


class Numbers:
    """Numbers for requests, each of a free place: the one that was freed last, whose memory is there already."""

    def __init__(self) -> None:
        self._free = list(range(PLACES))
        self._last = 0

    def take(self) -> int:
        """Return a number that no request in hand has, nor its place."""
        place = self._free.pop()
        after = self._last + 1 if self._last < _MOST - PLACES else 1
        self._last = after + (place - after) % PLACES
        return self._last

    def give(self, number: int) -> None:
        """Free the place of a request that is answered, or that nobody waits for."""
        self._free.append(number % PLACES)
