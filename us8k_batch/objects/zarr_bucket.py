"""A bucket as Zarr reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from zarr.storage import ObjectStore

from us8k_batch.objects.process import keep


class ZarrBucket(ObjectStore):  # type: ignore[type-arg]
    """Zarr's own store over obstore, which is opened anew in a process that was forked since."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._opened: Any = None
        self._process = os.getpid()
        super().__init__(make(), read_only=True)

    @property
    def store(self) -> Any:
        """The obstore store of this process."""
        if self._process != os.getpid():
            keep(self._opened)
            self._opened, self._process = self._make(), os.getpid()
        return self._opened

    @store.setter
    def store(self, opened: Any) -> None:
        self._opened = opened
