"""Clips in an S3 or GCS bucket."""

from __future__ import annotations

import os.path
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import obstore
import obstore.exceptions
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.listing import FINE, LATEST, one_array, seen_table, split_paths
from us8k_batch.catalog.room import Room
from us8k_batch.catalog.unreadable import DENIED, FAULTS, MISSING, TooLargeError
from us8k_batch.errors import ClipError, StorageError
from us8k_batch.objects import NO_CREDENTIALS, lacks_credentials, open_bucket
from us8k_batch.objects.retry import retry

THREADS = 8
"""Prefixes listed together: the answers are waited for, not computed."""
PAGE = 1000
"""Objects in one answer; no provider gives more."""
MOST_PREFIXES = 1000
"""Above this many folders, one listing of all that lies below their common parent takes fewer requests."""
T = TypeVar("T")
LISTED_SCHEMA = pa.schema(
    {"path": pa.string(), "size": pa.int64(), "modified": pa.timestamp("us", "UTC"), "etag": pa.string()}
)
OBSTORE_ERRORS = (obstore.exceptions.BaseError, OSError)


class BucketSource:
    """Clips as objects below a bucket's URL."""

    def __init__(self, root: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.root = root.rstrip("/")
        # Our own retries stand in for obstore's, so that local and bucket give up by the same rule.
        self._store = open_bucket(self.root, retry_config={"max_retries": 0})
        self._sleep = sleep

    def scan(self, paths: Any) -> pa.Table:
        """List each prefix; no object costs a request of its own."""
        paths = one_array(paths)
        folders = pc.unique(split_paths(paths)[0]).to_pylist()
        with ThreadPoolExecutor(THREADS) as pool:
            pages = [page for pages in pool.map(self._list, prefixes(folders)) for page in pages]
        listed = pa.Table.from_batches(pages, LISTED_SCHEMA).combine_chunks()
        found = listed.take(pc.index_in(paths, value_set=listed["path"]))
        absent = one_array(found["path"]).is_null().to_numpy(zero_copy_only=False)
        return seen_table(
            one_array(found["size"]),
            nanoseconds(one_array(found["modified"]).cast(pa.int64())),
            one_array(found["etag"]),
            np.where(absent, FAULTS.index(MISSING), FINE).astype(np.int16),
        )

    def read(self, path: str, limit: int) -> bytes:
        """Get one object whole; its size is known, and judged, before its bytes are fetched."""
        return self._ask(path, lambda: bytes(self._get(path, limit)))

    def read_into(self, path: str, limit: int, room: Room) -> memoryview:
        """Get one object whole, and copy it where it is wanted."""
        data = self._ask(path, lambda: self._get(path, limit))
        space = room(len(data))[: len(data)]
        space[:] = data
        return space

    def read_head(self, path: str, length: int) -> tuple[bytes, int]:
        """Get the beginning of one object."""

        def head() -> tuple[bytes, int]:
            size = obstore.head(self._store, path)["size"]
            if size == 0:  # it has no range that could be asked for
                return b"", 0
            return bytes(obstore.get_range(self._store, path, start=0, end=min(size, length))), size

        return self._ask(path, head)

    def names(self, folder: str) -> tuple[list[str], list[str]]:
        """List what is directly below a prefix."""

        def once() -> tuple[list[str], list[str]]:
            try:
                found = obstore.list_with_delimiter(self._store, folder or None)
            except OBSTORE_ERRORS as error:
                raise StorageError(f"{self.root}/{folder}: cannot be listed: {_cause(error)}") from None
            keys = [[str(one) for one in found["common_prefixes"]], [entry["path"] for entry in found["objects"]]]
            folders, files = (sorted(key.rstrip("/").rpartition("/")[2] for key in part) for part in keys)
            return folders, files

        return retry(once, folder, self._sleep)

    def _get(self, path: str, limit: int) -> memoryview:
        answer = obstore.get(self._store, path)
        size = answer.meta["size"]
        if size > limit:
            raise TooLargeError(f"{path}: holds {size} bytes, expected at most {limit}")
        return memoryview(answer.bytes())

    def _ask(self, path: str, request: Callable[[], T]) -> T:
        def once() -> T:
            try:
                return request()
            except OBSTORE_ERRORS as error:
                # Without the cause: it quotes the request, which may be signed.
                raise _translate(path, error) from None

        return retry(once, path, self._sleep)

    def _list(self, prefix: str) -> list[pa.RecordBatch]:
        return retry(lambda: list(self._pages(prefix)), prefix, self._sleep)

    def _pages(self, prefix: str) -> Iterator[pa.RecordBatch]:
        try:
            for page in obstore.list(self._store, prefix=prefix or None, chunk_size=PAGE):
                columns = [[entry[key] for entry in page] for key in ("path", "size", "last_modified", "e_tag")]
                arrays = [pa.array(*pair) for pair in zip(columns, LISTED_SCHEMA.types, strict=True)]
                yield pa.record_batch(arrays, schema=LISTED_SCHEMA)
        except OBSTORE_ERRORS as error:
            raise StorageError(f"{self.root}/{prefix}: cannot be listed: {_cause(error)}") from None


def nanoseconds(microseconds: Any) -> Any:
    """Return times in ns, within the years that 64 bits hold."""
    most = LATEST // 1000
    return pc.multiply(
        pc.min_element_wise(pc.max_element_wise(microseconds, -most, skip_nulls=False), most, skip_nulls=False), 1000
    )


def prefixes(folders: Iterable[str]) -> list[str]:
    """Choose what to list so that every folder is listed once: no prefix lies below another.

    Parameters
    ----------
    folders : iterable of str
        Distinct folders with forward slashes; the empty one is the root.
    """
    chosen: list[str] = []
    # With the slash that ends it, a folder sorts directly before everything below it.
    for folder in sorted(f"{folder}/" if folder else "" for folder in folders):
        if not (chosen and folder.startswith(chosen[-1])):
            chosen.append(folder)
    chosen = [folder.rstrip("/") for folder in chosen]
    return chosen if len(chosen) <= MOST_PREFIXES else [os.path.commonpath(chosen)]


def _translate(path: str, error: Exception) -> ClipError | StorageError:
    absent = isinstance(error, FileNotFoundError | obstore.exceptions.NotFoundError)
    if absent and "NoSuchBucket" not in str(error):
        return MISSING.at(path)
    if isinstance(error, PermissionError | obstore.exceptions.PermissionDeniedError):
        return DENIED.at(path)
    return StorageError(f"{path}: cannot be read: {_cause(error)}")


def _cause(error: Exception) -> str:
    """Say what the server answered without the address, the time or the request in obstore's text."""
    if "NoSuchBucket" in str(error):
        return "the bucket does not exist"
    if lacks_credentials(error):
        return NO_CREDENTIALS
    status = re.search(r"status code: (\d{3})", str(error))
    return f"the server answered {status[1]}" if status else "no answer from the server"
