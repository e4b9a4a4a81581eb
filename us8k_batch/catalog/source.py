"""Where the bytes of a dataset's clips are: one interface for a local folder and a bucket."""

from __future__ import annotations

from typing import Any, Protocol

import pyarrow as pa

from us8k_batch.catalog.bucket import BucketSource
from us8k_batch.catalog.local import LocalSource
from us8k_batch.catalog.room import Room
from us8k_batch.objects import is_bucket, local_path


class Source(Protocol):
    """A root below which clips are found and read by relative path; rebuilt from `root` on a worker."""

    @property
    def root(self) -> str:
        """What clip paths are relative to; give it to `open_source` to get the same source elsewhere."""

    def scan(self, paths: Any) -> pa.Table:
        """Look at many clips without opening them.

        Parameters
        ----------
        paths : string Array or ChunkedArray
            Relative paths with forward slashes and without ``.`` or ``..``; may repeat.

        Returns
        -------
        seen : Table, one row per path in the same order
            ``size`` (int64, bytes), ``mtime_ns`` (int64, ns since 1970) and ``etag`` (string; null on a local
            disk) of those that can be read, else ``stage``, ``error`` and ``detail`` (string).

        Raises
        ------
        StorageError
            If the storage does not answer as it should, even after retries.
        """

    def read(self, path: str, limit: int) -> bytes:
        """Return all bytes of one clip, opened once.

        Parameters
        ----------
        path : str
            Relative path, as given to `scan`.
        limit : int
            Most bytes that may be read.

        Raises
        ------
        ClipError
            A subclass of stage ``read``: missing, not a regular file, no permission, outside the root, too large.
        StorageError
            If the storage does not answer as it should, even after retries. The message holds no address, so that
            it can be recorded.
        """

    def read_into(self, path: str, limit: int, room: Room) -> memoryview:
        """Return all bytes of one clip in memory that the caller provides; see `read`.

        Parameters
        ----------
        path, limit
            As `read` takes them.
        room : callable
            Given a number of bytes, returns writable memory that has room for them; called again if that does not
            suffice, or for another attempt.

        Returns
        -------
        memoryview
            Of the memory that was provided last, from its beginning on.
        """

    def names(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders, and of all else, directly below a folder; each sorted.

        Raises
        ------
        ClipError
            If it is missing, is no folder, may not be read or leads out of the root.
        StorageError
            If the storage does not answer as it should, even after retries.
        """

    def read_head(self, path: str, length: int) -> tuple[bytes, int]:
        """Return the first bytes of one clip, at most `length`, and its whole size in bytes.

        Raises
        ------
        ClipError, StorageError
            As `read` does.
        """


def open_source(root: str) -> Source:
    """Open the source that a `Catalog.root` names.

    Raises
    ------
    RequestError
        If the root is neither a local path nor a URL of ``file://``, ``s3://`` or ``gs://``.
    """
    return BucketSource(root) if is_bucket(root) else LocalSource(str(local_path(root)))
