"""Download one large file over HTTP, resuming where an earlier try ended, and prove it by its checksum."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import obstore
import obstore.exceptions
import obstore.store

from us8k_batch.errors import JobError, RequestError, StorageError
from us8k_batch.objects.process import use_obstore
from us8k_batch.objects.retry import retry

STEP = 8 << 20
"""Bytes asked for at a time: what a cut connection can cost."""
FAULTS = (obstore.exceptions.BaseError, OSError)

Count = Callable[[int], None]
"""Told how many bytes are there, now and then."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on an HTTP server, as the server describes it."""

    url: str
    size: int
    """Bytes."""
    etag: str | None
    modified: str

    @property
    def name(self) -> str:
        """Last part of the URL's path."""
        return urlsplit(self.url).path.rpartition("/")[2]


def look(url: str) -> Remote:
    """Ask the server for a file's size.

    Raises
    ------
    RequestError
        If the URL is no HTTP URL of a file, or there is no such file.
    JobError
        If the server does not answer.
    """
    store, name = _open(url)
    try:
        told = obstore.head(store, name)
    except FileNotFoundError:
        raise RequestError(f"{url}: the server has no such file") from None
    except FAULTS as error:
        raise JobError(f"{url}: the server does not answer ({_first_line(error)}); try again later") from None
    return Remote(url, told["size"], told["e_tag"], told["last_modified"].isoformat())


def part_of(target: Path) -> Path:
    """Return where the bytes lie that are there already."""
    return target.with_name(f"{target.name}.part")


def bytes_there(remote: Remote, target: Path) -> int:
    """Return how many bytes of a file an earlier try has left, if the server's file is still the same."""
    part = part_of(target)
    with contextlib.suppress(OSError, ValueError):
        if json.loads(_notes(part).read_text()) == asdict(remote):
            return min(part.stat().st_size, remote.size)
    return 0


def download(
    remote: Remote, target: Path, md5: str, count: Count, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Download a file; what is there already is not asked for again.

    Parameters
    ----------
    remote : Remote
    target : Path
        Where the file goes once it is whole and has the right checksum.
    md5 : str
        Hex digest that it must have.
    count : callable
        Told the number of bytes that are there.
    sleep : callable
        Waits between attempts, in seconds.

    Raises
    ------
    JobError
        If the server stops answering, which the same call resumes; or if the checksum is another one, and then what
        was downloaded is removed.
    RequestError
        If another process is downloading the same file.
    """
    part = part_of(target)
    with _alone(part) as file:
        have = bytes_there(remote, target)
        file.truncate(have)
        _notes(part).write_text(json.dumps(asdict(remote)))
        digest = hashlib.md5(usedforsecurity=False)
        for piece in iter(lambda: file.read(STEP), b""):
            digest.update(piece)
        try:
            for piece in _pieces(remote, have, sleep):
                file.write(piece)
                digest.update(piece)
                have += len(piece)
                count(have)
        except StorageError as error:
            raise JobError(f"{error}; {have} of {remote.size} bytes are there: the same command goes on") from None
        if digest.hexdigest() != md5 or have != remote.size:
            part.unlink()
            _notes(part).unlink()
            raise JobError(
                f"{remote.url}: {have} bytes with md5 {digest.hexdigest()}, expected {md5}; they were removed: "
                "run the same command again"
            )
        file.flush()
        os.fsync(file.fileno())
        part.replace(target)
        _notes(part).unlink()


def stream(url: str) -> Generator[bytes, None, None]:
    """Yield a file's bytes from its beginning, as far as they are taken.

    Raises
    ------
    JobError
        If the server stops answering.
    """
    store, name = _open(url)
    try:
        for piece in obstore.get(store, name).stream():
            yield bytes(piece)
    except FAULTS as error:
        raise JobError(f"{url}: the server stopped answering ({_first_line(error)}); try again") from None


def _pieces(remote: Remote, have: int, sleep: Callable[[float], None]) -> Iterator[bytes]:
    """Yield the bytes from `have` on; a server that knows no ranges starts at the beginning again."""
    store, name = _open(remote.url)

    def piece(start: int) -> bytes:
        try:
            return bytes(obstore.get_range(store, name, start=start, end=min(start + STEP, remote.size)))
        except obstore.exceptions.NotSupportedError:
            raise
        except FAULTS as error:
            raise StorageError(f"{remote.url}: the server stopped answering ({_first_line(error)})") from None

    try:
        while have < remote.size:
            got = retry(lambda start=have: piece(start), remote.url, sleep)  # type: ignore[misc]
            yield got
            have += len(got)
    except obstore.exceptions.NotSupportedError:
        yield from _rest_of_stream(remote, have)


def _rest_of_stream(remote: Remote, have: int) -> Iterator[bytes]:
    passed = 0
    try:
        for piece in stream(remote.url):
            passed += len(piece)
            if passed > have:
                yield piece[max(0, len(piece) - (passed - have)) :]
                have = passed
    except JobError as error:
        raise StorageError(str(error)) from None


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    """Open the part for reading and writing, and keep others out as long as it is open."""
    part.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RequestError(f"{part}: another process is downloading it; wait for that one") from None
        yield file


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _open(url: str) -> tuple[Any, str]:
    parts = urlsplit(url)
    folder, _, name = url.rpartition("/")
    if parts.scheme not in ("http", "https") or not parts.netloc or not name or parts.query or parts.fragment:
        raise RequestError(f"{url}: expected an http:// or https:// URL that ends with a file's name")
    options = {"allow_http": parts.scheme == "http", "timeout": "120s"}
    use_obstore()
    # Our own retries stand in for obstore's: what is there already must not be asked for again.
    return obstore.store.HTTPStore.from_url(folder, client_options=options, retry_config={"max_retries": 0}), name


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
