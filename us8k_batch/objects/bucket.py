"""Objects in a bucket, through obstore; a bucket is only another URL."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

import obstore
import obstore.exceptions
import obstore.store

from us8k_batch.errors import ObjectNotFoundError, RequestError, StorageError
from us8k_batch.objects.aws import s3_options
from us8k_batch.objects.base import Data, ObjectInfo, lacks_credentials, read_object, storage_error
from us8k_batch.objects.retry import retry

Answer = TypeVar("Answer")

BUCKET_SCHEMES = ("s3", "gs")
MOST_BYTES = 5 * 1000**3
"""Bytes that one PUT may send; S3 takes 5 GiB."""
HELD_BYTES = 16 << 20
"""Bytes of an open object that are held in memory; what is longer lies in a temporary file."""
FAULTS = (OSError, obstore.exceptions.BaseError)
"""What obstore raises; some are Python's own, such as FileNotFoundError for a bucket that is not there."""


def is_bucket(url: str) -> bool:
    """Tell whether a path is a bucket's URL."""
    return urlsplit(url).scheme in BUCKET_SCHEMES


class BucketObjects:
    """Objects in an S3 or GCS bucket; credentials come from the environment or the provider's own files."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = open_bucket(url)

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        return read_object(self.reader, key)

    def get_tail(self, key: str, length: int) -> bytes:
        """Return the end of an object."""
        try:
            return read_object(self.reader, key, {"range": {"suffix": length}})
        except StorageError:
            # An empty object has no range that S3 could answer with.
            return self.get(key)[-length:]

    def open(self, key: str) -> BinaryIO:
        """Fetch an object with one request, piece by piece, into a temporary file."""
        held = tempfile.SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115  # the caller closes it

        def fetch() -> None:
            held.seek(0)
            held.truncate()
            try:
                for piece in obstore.get(self._store, key).stream():
                    held.write(piece)
            except (FileNotFoundError, obstore.exceptions.NotFoundError):
                raise ObjectNotFoundError(f"{key}: no such object") from None

        try:
            self._ask(f"{key}: cannot be read", fetch)
        except BaseException:
            held.close()
            raise
        held.seek(0)
        return cast("BinaryIO", held)

    def create(self, key: str, data: Data) -> bool:
        """Send one PUT with ``If-None-Match: *``, never a multipart upload.

        If its answer is lost, it is sent again: then what it created is there already, and is not new.
        """

        def put() -> bool:
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except (FileExistsError, obstore.exceptions.AlreadyExistsError):
                return False
            return True

        return self._ask(f"{self.url}/{key}: cannot be created", put)

    def replace(self, key: str, data: Data) -> None:
        """Send one PUT, or the parts of an object that is too long for one; it appears when the last one is there."""
        self._ask(
            f"{self.url}/{key}: cannot be written",
            lambda: obstore.put(self._store, key, data, use_multipart=len(data) > MOST_BYTES),
        )

    def delete(self, key: str) -> None:
        """Remove an object."""

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
                obstore.delete(self._store, key)

        self._ask(f"{self.url}/{key}: cannot be removed", remove)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """List the objects below a prefix that ends at a slash; what broke off goes on after the last key."""
        stream: Any = None

        def page() -> Any:
            nonlocal stream
            stream = stream or obstore.list(self._store, prefix=prefix, offset=after or None)
            try:
                return next(stream, [])
            except FAULTS:
                stream = None
                raise

        while entries := self._ask(f"{self.url}/{prefix}: cannot be listed", page):
            for entry in entries:
                yield ObjectInfo(entry["path"], entry["size"])
            after = entries[-1]["path"]

    def forget_folders(self) -> None:
        """Do nothing: a bucket has no folders."""

    def leftovers(self) -> Iterator[str]:
        """List nothing: a PUT that was cut off leaves nothing that can be seen."""
        return iter(())

    def reader(self) -> Any:
        """Return the obstore store of the bucket."""
        return self._store

    def _ask(self, failed: str, request: Callable[[], Answer]) -> Answer:
        """Make a request; again if the connection was lost, which obstore itself does for what only reads."""

        def once() -> Answer:
            try:
                return request()
            except FAULTS as error:
                if _was_answered(error):
                    raise
                raise storage_error(failed, error) from None

        try:
            return retry(once, failed)
        except FAULTS as error:
            raise storage_error(failed, error) from None


def _was_answered(error: Exception) -> bool:
    """Tell whether a server refused, or obstore gave up after retries of its own; else the connection was lost."""
    told = str(error).partition("\n")[0]
    return "HTTP error" not in told or "retries" in told or lacks_credentials(error)


def open_bucket(url: str, **options: Any) -> Any:
    """Open the obstore store of a bucket's URL; the environment and the provider's files say how to reach it.

    Parameters
    ----------
    url : str
        ``s3://`` or ``gs://``, with or without a prefix.
    **options
        What obstore takes beside them, such as ``retry_config``.

    Raises
    ------
    RequestError
        If the URL names no bucket, or holds credentials, a query or a fragment.
    """
    parts = urlsplit(url)
    plain = f"{parts.scheme}://{parts.hostname or 'BUCKET'}{parts.path}"
    if "@" in parts.netloc:
        raise RequestError(f"{plain}: no credentials in a URL, please; they are read from the environment")
    if not parts.hostname or "?" in url or "#" in url:
        raise RequestError(f"{plain}: expected {parts.scheme}://BUCKET or {parts.scheme}://BUCKET/PREFIX, no ? or #")
    try:
        return obstore.store.from_url(url, **(s3_options() if parts.scheme == "s3" else {}), **options)
    except (ValueError, obstore.exceptions.BaseError) as error:
        raise RequestError(str(storage_error(f"{plain}: cannot be opened", error))) from None
