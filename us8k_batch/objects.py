"""Bytes by key, on a local disk or in a bucket, with one promise: create only if absent."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import obstore
import obstore.exceptions
import obstore.store

from us8k_batch.errors import ObjectNotFoundError, RequestError, StorageError

BUCKET_SCHEMES = ("s3", "gs")
TEMPORARY = ".tmp-"
"""Prefix of a local file that is being written; a leftover one is an orphan that nothing refers to."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing tells about one object."""

    key: str
    """Key below the root, with forward slashes."""
    size: int
    """Size, in bytes."""


class Objects(Protocol):
    """A root below which objects are created, read and listed by key."""

    @property
    def url(self) -> str:
        """The root as a person would write it."""

    def get(self, key: str) -> bytes:
        """Return an object's bytes; raise `ObjectNotFoundError` if there is none."""

    def get_tail(self, key: str, length: int) -> bytes:
        """Return an object's last `length` bytes, or all of it if it is shorter."""

    def create(self, key: str, data: bytes) -> bool:
        """Make an object durable if none has this key; return whether it is new."""

    def replace(self, key: str, data: bytes) -> None:
        """Put an object in place of what is there, atomically and durably."""

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none."""

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """List the objects below a folder whose keys sort after `after`, in no particular order.

        Temporary files are left out.
        """

    def reader(self) -> Any:
        """Return the obstore store of this root, for libraries that read through it."""


def is_bucket(url: str) -> bool:
    """Tell whether a path is a bucket's URL."""
    return urlsplit(url).scheme in BUCKET_SCHEMES


def local_path(url: str) -> Path:
    """Return the local path that a plain path or ``file://`` URL names.

    Raises
    ------
    RequestError
        If the scheme is another one.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).absolute()
    if "://" in url:
        raise RequestError(f"{url}: expected a local path, file://, s3:// or gs://")
    return Path(url).absolute()


def open_objects(url: str) -> Objects:
    """Open the root that a path or URL names; nothing is created or checked yet."""
    if is_bucket(url):
        return BucketObjects(url.rstrip("/"))
    return LocalObjects(local_path(url))


@dataclass(slots=True)
class LocalObjects:
    """Objects as files; every write is durable before it is visible."""

    root: Path
    """Absolute folder; made by the first write."""

    @property
    def url(self) -> str:
        """The folder's path."""
        return str(self.root)

    def get(self, key: str) -> bytes:
        """Return a file's bytes."""
        return _read(self.reader, key)

    def get_tail(self, key: str, length: int) -> bytes:
        """Return the end of a file."""
        return _read(self.reader, key, {"range": {"suffix": length}})

    def create(self, key: str, data: bytes) -> bool:
        """Write to a temporary name, fsync, ``link``, fsync the folder: all or nothing, only once."""
        path = self.root / key
        if path.exists():
            return False
        temporary = self._write_temporary(path, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise RequestError(
                    f"{self.root}: this file system has no hard links, which create-only writes need; "
                    "use a local POSIX disk, NFS, or a bucket"
                ) from error
            raise
        finally:
            temporary.unlink()
            _sync_folder(path.parent)
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Write to a temporary name, fsync, rename over the old one, fsync the folder."""
        path = self.root / key
        temporary = self._write_temporary(path, data)
        temporary.replace(path)
        _sync_folder(path.parent)

    def delete(self, key: str) -> None:
        """Remove a file."""
        (self.root / key).unlink(missing_ok=True)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """List the files below a folder."""
        for folder, _, names in os.walk(self.root / prefix):
            for name in names:
                path = Path(folder) / name
                key = path.relative_to(self.root).as_posix()
                if key > after and not name.startswith(TEMPORARY):
                    with contextlib.suppress(FileNotFoundError):
                        yield ObjectInfo(key, path.stat().st_size)

    def reader(self) -> Any:
        """Return an obstore ``LocalStore`` on the folder."""
        if not self.root.is_dir():
            raise ObjectNotFoundError(f"{self.root}: no such folder")
        return obstore.store.LocalStore(prefix=str(self.root))

    def _write_temporary(self, path: Path, data: bytes) -> Path:
        _make_folder(path.parent)
        temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


class BucketObjects:
    """Objects in an S3 or GCS bucket; credentials come from the environment or the provider's own files."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = open_bucket(url)

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        return _read(self.reader, key)

    def get_tail(self, key: str, length: int) -> bytes:
        """Return the end of an object."""
        return _read(self.reader, key, {"range": {"suffix": length}})

    def create(self, key: str, data: bytes) -> bool:
        """Send one PUT with ``If-None-Match: *``, never a multipart upload."""
        try:
            obstore.put(self._store, key, data, mode="create", use_multipart=False)
        except obstore.exceptions.AlreadyExistsError:
            return False
        except obstore.exceptions.BaseError as error:
            raise storage_error(f"{self.url}/{key}: cannot be created", error) from None
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Send one PUT."""
        try:
            obstore.put(self._store, key, data, use_multipart=False)
        except obstore.exceptions.BaseError as error:
            raise storage_error(f"{self.url}/{key}: cannot be written", error) from None

    def delete(self, key: str) -> None:
        """Remove an object."""
        with contextlib.suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
            obstore.delete(self._store, key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """List the objects below a prefix that ends at a slash."""
        try:
            for page in obstore.list(self._store, prefix=prefix, offset=after or None):
                for entry in page:
                    yield ObjectInfo(entry["path"], entry["size"])
        except obstore.exceptions.BaseError as error:
            raise storage_error(f"{self.url}/{prefix}: cannot be listed", error) from None

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
    """
    return obstore.store.from_url(url, **_bucket_options(url), **options)


def storage_error(message: str, error: Exception) -> StorageError:
    """Make a `StorageError` whose text keeps the cause's first line and nothing that could be a secret."""
    cause = re.sub(r"(?i)(x-amz-[a-z-]+|authorization|signature|credential)[=:]\S+", r"\1=…", str(error))
    return StorageError(f"{message}: {cause.splitlines()[0][:300] if cause else type(error).__name__}")


def _bucket_options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if urlsplit(url).scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            options["endpoint"] = endpoint
            options["client_options"] = {"allow_http": endpoint.startswith("http://")}
    return options


def _read(reader: Callable[[], Any], key: str, options: Any = None) -> bytes:
    try:
        return bytes(obstore.get(reader(), key, options=options).bytes())
    except (FileNotFoundError, NotADirectoryError, obstore.exceptions.NotFoundError):
        raise ObjectNotFoundError(f"{key}: no such object") from None
    except (OSError, obstore.exceptions.BaseError) as error:
        raise storage_error(f"{key}: cannot be read", error) from None


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _sync_folder(new.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
