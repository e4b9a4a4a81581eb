"""Clips in an S3 or GCS bucket."""

from __future__ import annotations

import logging
import os.path
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import obstore
import obstore.exceptions
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.listing import FINE, LATEST, one_array, seen_table, split_paths
from us8k_batch.catalog.room import Room
from us8k_batch.catalog.unreadable import DENIED, FAULTS, MISSING, TooLargeError
from us8k_batch.errors import ClipError, StorageError, StorageRefusedError
from us8k_batch.objects import NO_CREDENTIALS, Bucket, is_transient, lacks_credentials, told_by_server
from us8k_batch.objects.retry import Threads

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
logger = logging.getLogger(__name__)


class _StrayKeyError(StorageRefusedError):
    """Among what is listed is a key that obstore cannot say, such as ``a//b``, ``a/./b`` or one with a control."""


class BucketSource:
    """Clips as objects below a bucket's URL."""

    def __init__(self, root: str, sleep: Callable[[float], None] | None = None) -> None:
        self.root = root.rstrip("/")
        self._bucket = Bucket(self.root, sleep)

    def scan(self, paths: Any) -> pa.Table:
        """List each prefix; no object costs a request of its own, but beside a key that cannot be listed."""
        paths = one_array(paths)
        folders = pc.unique(split_paths(paths)[0]).to_pylist()
        chosen = prefixes(folders)
        pages: list[pa.RecordBatch] = []
        with Threads(THREADS) as pool:
            for prefix, found in zip(chosen, pool.map(self._list, chosen), strict=True):
                pages += self._list_beside(prefix, paths, pool) if found is None else found
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
        return self._ask(path, lambda store: bytes(_get(store, path, limit)))

    def read_into(self, path: str, limit: int, room: Room) -> memoryview:
        """Get one object whole, and copy it where it is wanted."""
        data = self._ask(path, lambda store: _get(store, path, limit))
        space = room(len(data))[: len(data)]
        space[:] = data
        return space

    def read_head(self, path: str, length: int) -> tuple[bytes, int]:
        """Get the beginning of one object."""

        def head(store: Any) -> tuple[bytes, int]:
            size = obstore.head(store, path)["size"]
            if size == 0:  # it has no range that could be asked for
                return b"", 0
            return bytes(obstore.get_range(store, path, start=0, end=min(size, length))), size

        return self._ask(path, head)

    def _ask(self, path: str, request: Callable[[Any], T]) -> T:
        return self._bucket.ask(path, request, lambda error: _translate(path, error))

    def names(self, folder: str) -> tuple[list[str], list[str]]:
        """List what is directly below a prefix; nothing where a key forbids that."""
        found = self._listed(folder, lambda store: obstore.list_with_delimiter(store, prefix=folder or None))
        if found is None:
            return [], []
        keys = [[str(one) for one in found["common_prefixes"]], [entry["path"] for entry in found["objects"]]]
        folders, files = (sorted(key.rstrip("/").rpartition("/")[2] for key in part) for part in keys)
        return folders, files

    def _list(self, prefix: str) -> list[pa.RecordBatch] | None:
        """List what is below a prefix; None if there is a key that obstore cannot say."""
        return self._listed(
            prefix,
            lambda store: [_batch(page) for page in obstore.list(store, prefix=prefix or None, chunk_size=PAGE)],
        )

    def _list_beside(self, prefix: str, paths: Any, pool: Threads) -> Iterator[pa.RecordBatch]:
        """List each folder below a prefix by itself; ask for clip by clip where a key in the folder forbids that."""
        folders, _ = split_paths(paths)
        inside = [
            folder
            for folder in pc.unique(folders).to_pylist()
            if f"{folder}/".startswith(f"{prefix}/" if prefix else "")
        ]
        for folder, found in zip(inside, pool.map(self._list_folder, inside), strict=True):
            if found is not None:
                yield from found
                continue
            yield from map(_batch, pool.map(self._look, paths.filter(pc.equal(folders, folder)).to_pylist()))

    def _list_folder(self, folder: str) -> list[pa.RecordBatch] | None:
        """List what is directly in a folder; None if there is a key that obstore cannot say."""
        return self._listed(
            folder, lambda store: [_batch(obstore.list_with_delimiter(store, prefix=folder or None)["objects"])]
        )

    def _look(self, path: str) -> list[Any]:
        try:
            return [self._ask(path, lambda store: obstore.head(store, path))]
        except ClipError:
            return []

    def _listed(self, prefix: str, request: Callable[[Any], T]) -> T | None:
        place = f"{self.root}/{prefix}" if prefix else self.root

        def translate(error: Exception) -> StorageError:
            if isinstance(error, obstore.exceptions.InvalidPathError):
                return _StrayKeyError(f"{place}: {str(error).splitlines()[0]!r}")
            kind = StorageError if is_transient(error) else StorageRefusedError
            return kind(f"{place}: cannot be listed: {_cause(error)}")

        try:
            return self._bucket.ask(prefix, request, translate)
        except _StrayKeyError as error:
            logger.warning("%s; what is beside it is listed folder by folder, which takes longer", error)
            return None


def _batch(entries: Iterable[Any]) -> pa.RecordBatch:
    columns = [[entry[key] for entry in entries] for key in ("path", "size", "last_modified", "e_tag")]
    arrays = [pa.array(*pair) for pair in zip(columns, LISTED_SCHEMA.types, strict=True)]
    return pa.record_batch(arrays, schema=LISTED_SCHEMA)


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


def _get(store: Any, path: str, limit: int) -> memoryview:
    answer = obstore.get(store, path)
    size = answer.meta["size"]
    if size > limit:
        raise TooLargeError(f"{path}: holds {size} bytes, expected at most {limit}")
    return memoryview(answer.bytes())


def _translate(path: str, error: Exception) -> ClipError | StorageError:
    absent = isinstance(error, FileNotFoundError | obstore.exceptions.NotFoundError)
    if absent and "NoSuchBucket" not in str(error):
        return MISSING.at(path)
    if isinstance(error, PermissionError | obstore.exceptions.PermissionDeniedError):
        return DENIED.at(path)
    kind = StorageError if is_transient(error) else StorageRefusedError
    return kind(f"{path}: cannot be read: {_cause(error)}")


def _cause(error: Exception) -> str:
    """Say what the server answered without the address, the time or the request in obstore's text."""
    if "NoSuchBucket" in str(error):
        return "the bucket does not exist"
    if lacks_credentials(error):
        return NO_CREDENTIALS
    return told_by_server(error) or "no answer from the server"
