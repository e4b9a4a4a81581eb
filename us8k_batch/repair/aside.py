"""Set damaged objects aside, and put good ones in their place, so that a kill leaves one or the other."""

from __future__ import annotations

from itertools import count

from us8k_batch.objects import Objects
from us8k_batch.store.layout import damaged_key, written_off_key
from us8k_batch.store.publish import find


def keep(objects: Objects, key: str) -> None:
    """Copy an object to ``damaged/``, if there is one."""
    data = find(objects, key)
    if data is None:
        return
    for number in count(1):
        # A place may be damaged more than once; what was found each time is kept.
        place = damaged_key(key) if number == 1 else f"{damaged_key(key)}.{number}"
        if objects.create(place, data) or find(objects, place) == data:
            return


def put_in_place(objects: Objects, key: str, data: bytes) -> None:
    """Keep what stands there under ``damaged/``, then put the right bytes in its place, in one step.

    The object is never absent in between, and two repairs put the same bytes there.
    """
    keep(objects, key)
    objects.replace(key, data)


def forget(objects: Objects, key: str) -> None:
    """Move what stands there, if anything does, to ``damaged/``."""
    keep(objects, key)
    objects.delete(key)


def write_off(objects: Objects, key: str) -> None:
    """Move what stands there to ``damaged/``, and note that it will not come back: a proof no longer asks for it."""
    forget(objects, key)
    objects.create(written_off_key(key), b"")
