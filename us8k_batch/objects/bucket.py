"""Objects in a bucket, through obstore; a bucket is only another URL."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

import obstore
import obstore.exceptions
import obstore.store

from us8k_batch.errors import ObjectNotFoundError, RequestError, StorageError, StorageRefusedError, Us8kError
from us8k_batch.objects.aws import s3_options
from us8k_batch.objects.base import Data, ObjectInfo, storage_error
from us8k_batch.objects.process import keep, use_obstore
from us8k_batch.objects.retry import SERVER_PAUSES, retry

Answer = TypeVar("Answer")

BUCKET_SCHEMES = ("s3", "gs")
MOST_BYTES = 5 * 1000**3
"""Bytes that one PUT may send; S3 takes 5 GiB."""
PATIENT = {
    "max_retries": 20,
    "retry_timeout": timedelta(seconds=120),
    "backoff": {"init_backoff": timedelta(milliseconds=250), "max_backoff": timedelta(seconds=8), "base": 4},
}
"""Retries of obstore's own that outlast a minute; with a base of 2, the mean pause grows by a constant only."""
HELD_BYTES = 16 << 20
"""Bytes of an open object that are held in memory; what is longer lies in a temporary file."""


def is_bucket(url: str) -> bool:
    """Tell whether a path is a bucket's URL."""
    return urlsplit(url).scheme in BUCKET_SCHEMES


class Bucket:
    """A bucket that obstore has opened, and what is asked of it: again, until there is an answer.

    Parameters
    ----------
    url : str
        ``s3://`` or ``gs://``, with or without a prefix.
    sleep : callable, optional
        Waits between requests, in seconds.

    Raises
    ------
    RequestError
        As `open_bucket` does.
    """

    def __init__(self, url: str, sleep: Callable[[float], None] | None = None) -> None:
        self._url = url
        self._sleep = sleep
        self._forks = use_obstore()
        self._store = open_bucket(url)

    def store(self) -> Any:
        """Return the obstore store; in a process that was forked since, it is opened anew."""
        forks = use_obstore()
        if forks != self._forks:
            keep(self._store)
            self._store = open_bucket(self._url)
            self._forks = forks
        return self._store

    def ask(self, key: str, request: Callable[[Any], Answer], translate: Callable[[Exception], Us8kError]) -> Answer:
        """Let `request` use the store.

        Parameters
        ----------
        key : str
            What the pauses' jitter follows from.
        request : callable
            Given the obstore store.
        translate : callable
            Makes our error of obstore's; a `StorageError` that is no `StorageRefusedError` means: ask again.
        """
        store = self.store()

        def once() -> Answer:
            try:
                return request(store)
            except (OSError, obstore.exceptions.BaseError) as error:
                # Without the cause: it quotes the request, which may be signed.
                raise translate(error) from None

        return retry(once, key, self._sleep, SERVER_PAUSES)


class BucketObjects:
    """Objects in an S3 or GCS bucket; credentials come from the environment or the provider's own files."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._bucket = Bucket(url)

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self._read(key, lambda store: bytes(obstore.get(store, key).bytes()))

    def get_tail(self, key: str, length: int) -> bytes:
        """Return the end of an object."""
        options: Any = {"range": {"suffix": length}}
        try:
            return self._read(key, lambda store: bytes(obstore.get(store, key, options=options).bytes()))
        except StorageRefusedError:
            # An empty object has no range that S3 could answer with.
            return self.get(key)[-length:]

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[Any]:
        """Return parts of an object; those that lie close together are fetched together."""
        starts, ends = zip(*ranges, strict=True)
        return self._read(key, lambda store: list(obstore.get_ranges(store, key, starts=starts, ends=ends)))

    def open(self, key: str) -> BinaryIO:
        """Fetch an object with one request, piece by piece, into a temporary file."""
        held = tempfile.SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115  # the caller closes it

        def fetch(store: Any) -> None:
            held.seek(0)
            held.truncate()
            for piece in obstore.get(store, key).stream():
                held.write(piece)

        try:
            self._read(key, fetch)
        except BaseException:
            held.close()
            raise
        held.seek(0)
        return cast("BinaryIO", held)

    def create(self, key: str, data: Data) -> bool:
        """Send one PUT with ``If-None-Match: *``, never a multipart upload.

        If its answer is lost, it is sent again: then what it created is there already, and is not new.
        """

        def put(store: Any) -> bool:
            try:
                obstore.put(store, key, data, mode="create", use_multipart=False)
            except (FileExistsError, obstore.exceptions.AlreadyExistsError) as error:
                # S3 answers 409 while others write or remove it: nothing is decided before it is there.
                if "409 Conflict" in str(error) and not _is_there(store, key):
                    raise StorageError(f"{self.url}/{key}: others are writing it") from None
                return False
            return True

        return self._ask(f"{self.url}/{key}: cannot be created", put)

    def replace(self, key: str, data: Data) -> None:
        """Send one PUT, or the parts of an object that is too long for one; it appears when the last one is there."""
        self._ask(
            f"{self.url}/{key}: cannot be written",
            lambda store: obstore.put(store, key, data, use_multipart=len(data) > MOST_BYTES),
        )

    def delete(self, key: str) -> None:
        """Remove an object."""

        def remove(store: Any) -> None:
            with contextlib.suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
                obstore.delete(store, key)

        self._ask(f"{self.url}/{key}: cannot be removed", remove)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """List the objects below a prefix that ends at a slash; what broke off goes on after the last key."""
        stream: Any = None

        def page(store: Any) -> Any:
            nonlocal stream
            stream = stream or obstore.list(store, prefix=prefix, offset=after or None)
            try:
                return next(stream, [])
            except BaseException:
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
        """Return an obstore store of the bucket, with retries of its own, for those who use it alone."""
        return _open_patient(self.url)

    def zarr_store(self) -> Any:
        """Return a Zarr store that opens the bucket anew in a forked child."""
        from us8k_batch.objects.zarr_bucket import ZarrBucket

        return ZarrBucket(partial(_open_patient, self.url))

    def _read(self, key: str, request: Callable[[Any], Answer]) -> Answer:
        def translate(error: Exception) -> Us8kError:
            if isinstance(error, FileNotFoundError | NotADirectoryError | obstore.exceptions.NotFoundError):
                return ObjectNotFoundError(f"{key}: no such object")
            return storage_error(f"{self.url}/{key}: cannot be read", error)

        return self._bucket.ask(key, request, translate)

    def _ask(self, failed: str, request: Callable[[Any], Answer]) -> Answer:
        return self._bucket.ask(failed, request, lambda error: storage_error(failed, error))


def _is_there(store: Any, key: str) -> bool:
    try:
        obstore.head(store, key)
    except (FileNotFoundError, obstore.exceptions.NotFoundError):
        return False
    return True


def _open_patient(url: str) -> Any:
    use_obstore()
    return open_bucket(url, retry_config=PATIENT)


def open_bucket(url: str, **options: Any) -> Any:
    """Open the obstore store of a bucket's URL; the environment and the provider's files say how to reach it.

    Parameters
    ----------
    url : str
        ``s3://`` or ``gs://``, with or without a prefix.
    **options
        What obstore takes beside them. By default it makes every request once: see `objects.retry`.

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
    options = {"retry_config": {"max_retries": 0}, **options}
    try:
        return obstore.store.from_url(url, **(s3_options() if parts.scheme == "s3" else {}), **options)
    except (ValueError, obstore.exceptions.BaseError) as error:
        raise RequestError(str(storage_error(f"{plain}: cannot be opened", error))) from None
