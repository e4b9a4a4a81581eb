"""Objects as files, written so that a kill or a power cut leaves all of an object or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

import obstore.store

from us8k_batch.errors import ObjectNotFoundError, RequestError, StorageError
from us8k_batch.objects.base import Data, ObjectInfo, storage_error
from us8k_batch.objects.process import use_obstore

TEMPORARY = ".tmp-"
"""Prefix of a local file that is being written; a leftover one is an orphan that nothing refers to."""


def local_path(url: str) -> Path:
    """Return the local path that a plain path or ``file://`` URL names.

    Raises
    ------
    RequestError
        If the scheme is another one, or the URL names another host.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise RequestError(f"{url}: expected three slashes and an absolute path, such as file:///data")
        return Path(unquote(parts.path)).absolute()
    if "://" in url:
        plain = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
        raise RequestError(f"{plain}: expected a local path, file://, s3:// or gs://")
    return Path(url).absolute()


@dataclass(slots=True)
class LocalObjects:
    """Objects as files; every write is durable before it is visible."""

    root: Path
    """Absolute folder; made by the first write."""
    _made: list[Path] = field(default_factory=list, compare=False, repr=False)
    """The root, what leads to it, and folders directly below it, that this instance made; outer ones first."""

    @property
    def url(self) -> str:
        """The folder's path."""
        return str(self.root)

    def get(self, key: str) -> bytes:
        """Return a file's bytes."""
        with self._read(key) as file:
            return file.read()

    def get_tail(self, key: str, length: int) -> bytes:
        """Return the end of a file."""
        with self._read(key) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - length))
            return file.read()

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[Any]:
        """Return parts of a file."""
        with self._read(key) as file:
            parts = [os.pread(file.fileno(), end - start, start) for start, end in ranges]
        for part, (start, end) in zip(parts, ranges, strict=True):
            if len(part) < end - start:
                raise StorageError(f"{key}: cannot be read: ends at byte {start + len(part)}, expected {end}")
        return parts

    def open(self, key: str) -> BinaryIO:
        """Open a file; one that is put in its place does not change what is read."""
        path = self.root / key
        try:
            # A pipe, opened plainly, would block for ever.
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectNotFoundError(f"{key}: no such object") from None
        except OSError as error:
            raise storage_error(f"{key}: cannot be read", error) from None
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise StorageError(f"{key}: cannot be read: not a regular file")
        return file

    def create(self, key: str, data: Data) -> bool:
        """Write to a temporary name, fsync, ``link``, fsync the folder: all or nothing, only once."""
        path = self.root / key
        if path.exists():
            # Whoever linked it may have been killed before its name was durable.
            _sync_folder(path.parent)
            return False
        temporary = self._write_temporary(path, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            # NFS says so too when the answer to a first try of ours was lost; then the two names are one file.
            return temporary.stat().st_nlink > 1
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

    def replace(self, key: str, data: Data) -> None:
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
        for key in self._files(prefix):
            if key > after and not _is_temporary(key):
                with contextlib.suppress(FileNotFoundError):
                    yield ObjectInfo(key, (self.root / key).stat().st_size)

    def forget_folders(self) -> None:
        """Remove the root and the folders directly below it that this instance made and that hold nothing."""
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._made.clear()

    def leftovers(self) -> Iterator[str]:
        """List the temporary files."""
        return filter(_is_temporary, self._files(""))

    def reader(self) -> Any:
        """Return an obstore ``LocalStore`` on the folder."""
        if not self.root.is_dir():
            raise ObjectNotFoundError(f"{self.root}: no such folder")
        use_obstore()
        return obstore.store.LocalStore(prefix=str(self.root))

    def zarr_store(self) -> Any:
        """Return a Zarr store on the folder."""
        from zarr.storage import LocalStore

        return LocalStore(self.root, read_only=True)

    @contextlib.contextmanager
    def _read(self, key: str) -> Iterator[BinaryIO]:
        with self.open(key) as file:
            try:
                yield file
            except OSError as error:
                raise storage_error(f"{key}: cannot be read", error) from None

    def _files(self, prefix: str) -> Iterator[str]:
        # Without `onerror` a folder that cannot be read would look like an empty one.
        for folder, _, names in os.walk(self.root / prefix, onerror=_refuse):
            for name in names:
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def _write_temporary(self, path: Path, data: Data) -> Path:
        self._make_folder(path.parent)
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

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                new.mkdir()
                if new.parent == self.root or self.root.is_relative_to(new):  # of each shard's, there may be millions
                    self._made.append(new)
        for new in reversed(missing):  # together, because the file system then writes once for all
            _sync_folder(new.parent)


def _is_temporary(key: str) -> bool:
    return key.rpartition("/")[2].startswith(TEMPORARY)


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise storage_error(f"{error.filename}: cannot be listed", error) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
