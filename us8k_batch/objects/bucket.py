"""Objects in a bucket, through obstore; a bucket is only another URL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import obstore
import obstore.exceptions
import obstore.store

from us8k_batch.errors import RequestError, StorageError
from us8k_batch.objects.base import ObjectInfo, read_object, storage_error

BUCKET_SCHEMES = ("s3", "gs")
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

    def create(self, key: str, data: bytes) -> bool:
        """Send one PUT with ``If-None-Match: *``, never a multipart upload."""
        try:
            obstore.put(self._store, key, data, mode="create", use_multipart=False)
        except (FileExistsError, obstore.exceptions.AlreadyExistsError):
            return False
        except FAULTS as error:
            raise storage_error(f"{self.url}/{key}: cannot be created", error) from None
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Send one PUT."""
        try:
            obstore.put(self._store, key, data, use_multipart=False)
        except FAULTS as error:
            raise storage_error(f"{self.url}/{key}: cannot be written", error) from None

    def delete(self, key: str) -> None:
        """Remove an object."""
        try:
            with contextlib.suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
                obstore.delete(self._store, key)
        except FAULTS as error:
            raise storage_error(f"{self.url}/{key}: cannot be removed", error) from None

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """List the objects below a prefix that ends at a slash."""
        try:
            for page in obstore.list(self._store, prefix=prefix, offset=after or None):
                for entry in page:
                    yield ObjectInfo(entry["path"], entry["size"])
        except FAULTS as error:
            raise storage_error(f"{self.url}/{prefix}: cannot be listed", error) from None

    def leftovers(self) -> Iterator[str]:
        """List nothing: a PUT that was cut off leaves nothing that can be seen."""
        return iter(())

    def reader(self) -> Any:
        """Return the obstore store of the bucket."""
        return self._store


def open_bucket(url: str, **options: Any) -> Any:
    """Open the obstore store of a bucket's URL; endpoint and credentials come from the environment.

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
        return obstore.store.from_url(url, **_bucket_options(parts.scheme), **options)
    except (ValueError, obstore.exceptions.BaseError) as error:
        raise RequestError(str(storage_error(f"{plain}: cannot be opened", error))) from None


def _bucket_options(scheme: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            options["endpoint"] = endpoint
            options["client_options"] = {"allow_http": endpoint.startswith("http://")}
    return options
