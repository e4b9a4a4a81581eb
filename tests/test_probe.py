"""Probe: a storage that cannot keep the promise is found before the first write."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from stores import Fuse, KilledError, stop

from us8k_batch.errors import RequestError, StorageError, StoreError
from us8k_batch.objects import LocalObjects, open_objects
from us8k_batch.store.probe import probe


class Storage(ThreadingHTTPServer):
    """A storage that speaks enough S3 for one object at a time, and does with a precondition what it is told to."""

    answer_to_precondition = 200
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.held: dict[str, bytes] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Storage

    def do_PUT(self) -> None:
        """Store the body, or refuse to."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        exists = self.path in self.server.held
        refuse = exists and self.headers["If-None-Match"] == "*" and self.server.answer_to_precondition != 200
        status = self.server.answer_to_precondition if refuse else self.server.status
        if status == 200:
            self.server.held[self.path] = body
        self._answer(status)

    def do_GET(self) -> None:
        """Give what is held."""
        held = self.server.held.get(self.path)
        self._answer(404 if held is None else 200, held or b"")

    def do_HEAD(self) -> None:
        """Tell whether something is held."""
        self._answer(200 if self.path in self.server.held else 404)

    def do_POST(self) -> None:
        """Forget what is named."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        keys = re.findall("<Key>(.*?)</Key>", body)
        for key in keys:
            self.server.held.pop(f"{self.path.partition('?')[0]}/{key}", None)
        gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Length", str(len(body))),
            ("ETag", '"x"'),
            ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """Start a storage, and point the environment at it."""
    server = Storage()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield server
    server.shutdown()
    server.server_close()


def test_a_local_folder_keeps_the_promise(tmp_path: Path) -> None:
    """Nothing is left of the probe but an empty folder."""
    objects = open_objects(str(tmp_path / "store"))
    probe(objects)
    probe(objects)
    assert list(objects.list("")) == []


def test_a_bucket_keeps_the_promise(s3: str) -> None:
    """Nothing is left of the probe."""
    objects = open_objects(s3)
    probe(objects)
    assert list(objects.list("")) == []


def test_a_storage_that_ignores_the_precondition_is_refused(storage: Storage) -> None:
    """It overwrites what was to be created once: the message says so, and the probe's object is removed."""
    with pytest.raises(StoreError, match=r"s3://bucket/p: .*overwrites.*If-None-Match is ignored.*use another one"):
        probe(open_objects("s3://bucket/p"))
    assert storage.held == {}


@pytest.mark.parametrize("status", [412, 409])
def test_a_storage_that_heeds_the_precondition_is_accepted(storage: Storage, status: int) -> None:
    """Both answers that S3 gives to a second creation mean that the first one stands."""
    storage.answer_to_precondition = status
    probe(open_objects("s3://bucket/p"))
    assert storage.held == {}


def test_a_storage_that_cannot_be_written_is_refused(storage: Storage) -> None:
    """Without permission to write the message names the store and the cause."""
    storage.status = 403
    with pytest.raises(StoreError, match=r"s3://bucket/p: cannot be written and read back.*403"):
        probe(open_objects("s3://bucket/p"))


class Forgetful(LocalObjects):
    """Objects that say they were created, and are not there."""

    def create(self, key: str, data: bytes) -> bool:
        """Pretend."""
        return LocalObjects.create(self, key, data) and not (self.root / key).unlink()


class Overwriting(LocalObjects):
    """Objects that are overwritten, though it is said that they are not."""

    def create(self, key: str, data: bytes) -> bool:
        """Replace what is there."""
        there = (self.root / key).exists()
        self.replace(key, data)
        return not there


class Truthful(LocalObjects):
    """Objects that are overwritten, as is said."""

    def create(self, key: str, data: bytes) -> bool:
        """Replace what is there."""
        self.replace(key, data)
        return True


class Boastful(LocalObjects):
    """Objects that are said to be new, whether or not they are."""

    def create(self, key: str, data: bytes) -> bool:
        """Create, and say that it was not there."""
        LocalObjects.create(self, key, data)
        return True


class Answerless(LocalObjects):
    """Objects whose creation is said to have failed when its first answer got lost."""

    def create(self, key: str, data: bytes) -> bool:
        """Create, and say that it was there."""
        LocalObjects.create(self, key, data)
        return False


@pytest.mark.parametrize("kind", [Forgetful, Overwriting, Truthful, Boastful])
def test_a_storage_that_lies_is_refused(tmp_path: Path, kind: type[LocalObjects]) -> None:
    """What counts is what is read back, and that the second creation was refused."""
    with pytest.raises(StoreError):
        probe(kind(tmp_path))
    assert list(open_objects(str(tmp_path)).list("")) == []


def test_a_storage_that_lost_an_answer_is_accepted(tmp_path: Path) -> None:
    """What was created stands, though a repeated request was told that it exists."""
    probe(Answerless(tmp_path))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file in the store's place, or storage that fails, is told before anything is planned."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        probe(open_objects(str(tmp_path / "file")))

    def fail() -> None:
        raise StorageError("disk on fire")

    with pytest.raises(StoreError, match="disk on fire"):
        probe(Fuse(0, fail)(open_objects(str(tmp_path))))


def test_a_file_system_without_links_is_refused_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is the one about links, not about overwriting."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(RequestError, match="no hard links"):
        probe(open_objects(str(tmp_path)))


def test_a_probe_that_is_interrupted_cleans_up(tmp_path: Path) -> None:
    """At whatever step, its object does not stay, unless it is killed outright."""
    for at in range(3):
        with pytest.raises(KilledError):
            probe(Fuse(at, stop)(open_objects(str(tmp_path))))
        assert list(open_objects(str(tmp_path)).list("")) == []
