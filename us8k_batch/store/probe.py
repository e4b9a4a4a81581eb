"""The probe: find out, before the first write, whether a store can keep its promise."""

from __future__ import annotations

import uuid

from us8k_batch.errors import ObjectNotFoundError, StorageError, StoreError
from us8k_batch.objects import Objects
from us8k_batch.store.layout import LEASE


def probe(objects: Objects) -> None:
    """Create an object twice; refuse a store in which the second time is not refused.

    Raises
    ------
    StoreError
        If the store cannot be written, or overwrites what is there.
    """
    key = f"{LEASE}/probe-{uuid.uuid4().hex}"
    try:
        objects.create(key, b"first")
        overwritten = objects.create(key, b"second")
        kept = objects.get(key)
    except (ObjectNotFoundError, StorageError, OSError) as error:
        raise StoreError(f"{objects.url}: cannot be written and read back ({error})") from error
    finally:
        _forget(objects, key)
    if overwritten or kept != b"first":
        raise StoreError(
            f"{objects.url}: this storage overwrites an object that was to be created only if absent "
            "(If-None-Match is ignored), so two runs could destroy each other's results; use another one"
        )


def _forget(objects: Objects, key: str) -> None:
    try:
        objects.delete(key)
    except (StorageError, OSError):
        return
