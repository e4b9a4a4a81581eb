"""A bucket as Zarr reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from zarr.storage import ObjectStore

from us8k_batch.objects.process import keep, use_obstore


class ZarrBucket(ObjectStore):  # type: ignore[type-arg]
    """Zarr's own store over obstore, which is opened anew in a process that was forked since."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._opened: Any = None
        self._process = os.getpid()
        super().__init__(make(), read_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without what is open, and without credentials."""
        return type(self), (self._make,)

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

    async def get(self, *arguments: Any, **options: Any) -> Any:
        """Read an object, as Zarr's store does."""
        use_obstore()  # before its functions are looked up
        return await super().get(*arguments, **options)

    async def get_partial_values(self, *arguments: Any, **options: Any) -> Any:
        """Read parts of objects, as Zarr's store does."""
        use_obstore()
        return await super().get_partial_values(*arguments, **options)
