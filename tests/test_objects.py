"""Objects: created once or not at all, replaced whole, listed without what is being written."""

from __future__ import annotations

import mmap
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import obstore
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.errors import ObjectNotFoundError, RequestError, StorageError
from us8k_batch.objects import (
    TEMPORARY,
    LocalObjects,
    Objects,
    is_bucket,
    local_path,
    open_objects,
    storage_error,
)

RACER = """
import sys
from us8k_batch.objects import open_objects
objects = open_objects(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for key in range(40):
    if objects.create(f"plans/{key}", sys.argv[2].encode() * 1000):
        print(key)
"""

KILLED = """
import os, signal, sys
from us8k_batch.objects import open_objects

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def dies_after(function):
    def call(*arguments):
        function(*arguments)
        die()
    return call

url, method, name, when = sys.argv[1:]
setattr(os, name, die if when == "before" else dies_after(getattr(os, name)))
getattr(open_objects(url), method)("a/b/object", b"new" * 100_000)
"""


@pytest.fixture(params=["local", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """Open an empty root: a folder that is still to be made, and a prefix in a bucket."""
    if request.param == "local":
        return open_objects(str(tmp_path / "root"))
    return open_objects(request.getfixturevalue("s3") + "/some/prefix")


def test_what_is_created_is_read_back(objects: Objects) -> None:
    """An object has the bytes that it was created with, whole and at its end; the first key makes the root."""
    assert objects.create("folder/key", b"0123456789")
    assert objects.get("folder/key") == b"0123456789"
    assert objects.get_tail("folder/key", 3) == b"789"
    assert objects.get_tail("folder/key", 300) == b"0123456789"


def test_an_open_object_stays_what_it_was(objects: Objects) -> None:
    """It is read piece by piece, from any place, and a replacement does not show."""
    objects.replace("key", b"0123456789")
    with objects.open("key") as file:
        objects.replace("key", b"another")
        assert (file.read(2), file.seek(-3, os.SEEK_END), file.read()) == (b"01", 7, b"789")
    with pytest.raises(ObjectNotFoundError, match="nothing/here: no such"):
        objects.open("nothing/here")


def test_an_object_can_be_made_of_a_mapped_file(objects: Objects) -> None:
    """What is too long for memory is written from its pages."""
    with tempfile.TemporaryFile() as file:
        file.write(b"mapped" * 10_000)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            assert objects.create("key", data)
            assert not objects.create("key", data)
            objects.replace("other", data)
    assert objects.get("key") == objects.get("other") == b"mapped" * 10_000


def test_an_empty_object_is_an_object(objects: Objects) -> None:
    """An empty object is read as no bytes, its end too, though S3 has no range to answer with."""
    objects.create("empty", b"")
    assert objects.get("empty") == b""
    assert objects.get_tail("empty", 10) == b""


def test_an_object_is_created_only_once(objects: Objects) -> None:
    """The second create is told so, and changes nothing."""
    assert objects.create("key", b"first")
    assert not objects.create("key", b"second")
    assert objects.get("key") == b"first"


def test_replace_puts_new_bytes_in_place(objects: Objects) -> None:
    """Replacing works whether or not there was an object, and leaves nothing else."""
    objects.replace("a/key", b"first")
    objects.replace("a/key", b"second, longer")
    assert objects.get("a/key") == b"second, longer"
    assert [info.key for info in objects.list("")] == ["a/key"]
    assert list(objects.leftovers()) == []


def test_what_is_not_there_says_so(objects: Objects) -> None:
    """Reading what is not there names the key; removing it is no error; listing nothing is empty."""
    for _ in range(2):
        with pytest.raises(ObjectNotFoundError, match="no such"):
            objects.get("nothing/here")
        with pytest.raises(ObjectNotFoundError, match="no such"):
            objects.get_tail("nothing/here", 10)
        objects.delete("nothing/here")
        assert list(objects.list("nothing")) == []
        objects.create("something", b"")


def test_delete_removes_one_object(objects: Objects) -> None:
    """What is removed is gone, its neighbour is not."""
    objects.create("a/1", b"")
    objects.create("a/2", b"")
    objects.delete("a/1")
    assert [info.key for info in objects.list("a")] == ["a/2"]


def test_a_listing_tells_keys_and_sizes_below_a_folder(objects: Objects) -> None:
    """Only whole path segments count: ``plans`` does not list ``plans-old``."""
    for key in ("plans/000001.parquet", "plans/sub/2", "plans-old/1", "plan", "x/plans/1"):
        objects.create(key, b"x" * len(key))
    listed = {info.key: info.size for info in objects.list("plans")}
    assert listed == {key: len(key) for key in ("plans/000001.parquet", "plans/sub/2")}
    assert len(list(objects.list(""))) == 5


def test_a_listing_can_start_after_a_key(objects: Objects) -> None:
    """Keys that sort after the given one are listed, the given one is not."""
    keys = [f"commits/{number:08d}.parquet" for number in range(12)]
    for key in keys:
        objects.create(key, b"")
    assert sorted(info.key for info in objects.list("commits", after=keys[7])) == keys[8:]
    assert sorted(info.key for info in objects.list("commits", after="commits/00000007")) == keys[7:]


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.integers(1, 300))
def test_the_end_of_an_object_is_the_end_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, datas: list[bytes], length: int
) -> None:
    """``get_tail(n)`` equals the last n bytes of ``get``, for any n and any size."""
    objects = open_objects(str(tmp_path_factory.mktemp("tail")))
    for number, data in enumerate(datas):
        objects.create(str(number), data)
        assert objects.get_tail(str(number), length) == objects.get(str(number))[-length:]


# --- exclusiveness -----------------------------------------------------------------------------------------------


def test_of_eight_processes_one_creates_each_object(tmp_path: Path) -> None:
    """When eight processes create the same keys, every key is created once, whole, by the one who was told so."""
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    racers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in "abcdefgh"
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = {name: racer.communicate()[0].split() for name, racer in zip("abcdefgh", racers, strict=True)}
    assert sorted(int(key) for keys in won.values() for key in keys) == list(range(40))
    objects = open_objects(str(tmp_path))
    for name, keys in won.items():
        for key in keys:
            assert objects.get(f"plans/{key}") == name.encode() * 1000
    assert list(objects.leftovers()) == []


def test_of_eight_writers_one_creates_each_object_of_a_bucket(s3: str) -> None:
    """In a bucket the storage itself decides between writers."""
    won: list[tuple[int, int]] = []
    barrier = threading.Barrier(8)

    def race(name: int) -> None:
        objects = open_objects(s3)
        barrier.wait()
        won.extend((key, name) for key in range(5) if objects.create(f"plans/{key}", bytes([name]) * 100))

    threads = [threading.Thread(target=race, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key for key, _ in won) == list(range(5))
    for key, name in won:
        assert open_objects(s3).get(f"plans/{key}") == bytes([name]) * 100


def test_a_create_that_lost_its_answer_knows_its_own_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS may say "exists" of a link that it made itself; the object is ours all the same."""
    link = os.link

    def link_twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    assert open_objects(str(tmp_path)).create("key", b"ours")


def test_one_that_lost_the_race_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process links the name first, after we looked, our bytes go nowhere."""
    link = os.link

    def link_late(source: Path, target: Path) -> None:
        target.write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", link_late)
    objects = open_objects(str(tmp_path))
    assert not objects.create("key", b"ours")
    assert objects.get("key") == b"theirs"
    assert list(objects.leftovers()) == []


# --- durability --------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the calls that make a write durable, and what they were made on, in order."""
    log: list[str] = []

    def record(name: str, describe: Callable[..., str]) -> None:
        original = getattr(os, name)

        def call(*arguments: object) -> object:
            log.append(describe(*arguments))
            return original(*arguments)

        monkeypatch.setattr(os, name, call)

    def kind(descriptor: int) -> str:
        found = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(found.st_mode) else f"file of {found.st_size}"
        return f"fsync {what}: {Path(f'/proc/self/fd/{descriptor}').readlink().name[:5]}"

    record("fsync", kind)
    record("link", lambda source, target: f"link {Path(source).name[:5]} {Path(target).name}")
    record("rename", lambda source, target: f"rename {Path(source).name[:5]} {Path(target).name}")
    record("replace", lambda source, target: f"rename {Path(source).name[:5]} {Path(target).name}")
    return log


def test_an_object_is_durable_before_it_is_visible_and_its_name_before_create_returns(
    tmp_path: Path, calls: list[str]
) -> None:
    """The order is: folder durable in its parent, bytes durable, name linked, name durable."""
    open_objects(str(tmp_path)).create("plan/key", b"12345")
    assert calls == [
        f"fsync folder: {tmp_path.name[:5]}",
        "fsync file of 5: .tmp-",
        "link .tmp- key",
        "fsync folder: plan",
    ]


def test_a_replacement_is_durable_before_it_is_visible(tmp_path: Path, calls: list[str]) -> None:
    """The order is: bytes durable, renamed over the old one, name durable."""
    objects = open_objects(str(tmp_path))
    objects.replace("key", b"old")
    calls.clear()
    objects.replace("key", b"newer")
    assert calls == ["fsync file of 5: .tmp-", "rename .tmp- key", f"fsync folder: {tmp_path.name[:5]}"]


def test_an_object_that_was_there_already_is_durable_too(tmp_path: Path, calls: list[str]) -> None:
    """A commit may follow a shard that another, killed attempt had linked: its name must not get lost after it."""
    objects = open_objects(str(tmp_path))
    objects.create("c/key", b"12345")
    calls.clear()
    assert not objects.create("c/key", b"12345")
    assert calls == ["fsync folder: c"]


STEPS = [("create", step) for step in ("mkdir", "fsync", "link", "unlink")] + [
    ("replace", step) for step in ("mkdir", "fsync", "replace")
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("method", "step"), STEPS)
def test_a_killed_writer_leaves_all_of_an_object_or_nothing(
    tmp_path: Path, method: str, step: str, when: str
) -> None:
    """Whatever step a writer is killed at, readers and listings see a whole object or none; the next one works."""
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), method, step, when]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    objects = open_objects(str(tmp_path))
    listed = [info.key for info in objects.list("")]
    assert set(listed) <= {"a/b/object"}
    for key in listed:
        assert objects.get(key) == b"new" * 100_000
    assert all(TEMPORARY in key for key in objects.leftovers())
    assert objects.create("a/b/object", b"again") is not bool(listed)


def test_folders_of_ours_are_forgotten_if_they_are_empty(tmp_path: Path) -> None:
    """What was there before, and what somebody wrote into one, stays."""
    (tmp_path / "theirs").mkdir()

    def there() -> list[str]:
        return sorted(path.relative_to(tmp_path / "theirs").as_posix() for path in (tmp_path / "theirs").rglob("*"))

    objects = open_objects(str(tmp_path / "theirs/store/deep"))
    for key in ("a/one", "b/two"):
        objects.create(key, b"")
    objects.delete("a/one")
    objects.forget_folders()
    assert there() == ["store", "store/deep", "store/deep/b", "store/deep/b/two"]
    objects.delete("b/two")
    objects.forget_folders()
    assert there() == ["store", "store/deep", "store/deep/b"], "what it kept once is no longer its own"
    again = open_objects(str(tmp_path / "theirs/store/deep/new"))
    again.create("key", b"")
    again.delete("key")
    again.forget_folders()
    assert there() == ["store", "store/deep", "store/deep/b"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told as it is, and leaves no temporary file."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    objects = open_objects(str(tmp_path))
    objects.create("before", b"")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        objects.create("key", b"bytes")
    assert [info.key for info in objects.list("")] == ["before"]
    assert list(objects.leftovers()) == []


def test_leftover_temporary_files_are_listed_apart(tmp_path: Path) -> None:
    """A listing leaves out what is being written, or was when its writer died; `leftovers` names it."""
    objects = open_objects(str(tmp_path))
    objects.create("plans/000001.parquet", b"")
    for key in (f"plans/{TEMPORARY}1", f"{TEMPORARY}2"):
        (tmp_path / key).write_bytes(b"half")
    assert [info.key for info in objects.list("")] == ["plans/000001.parquet"]
    assert sorted(objects.leftovers()) == [f"{TEMPORARY}2", f"plans/{TEMPORARY}1"]


# --- faults and places -------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_read_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing that fails is an error: an empty one would look as if nothing had been committed."""
    objects = open_objects(str(tmp_path))
    objects.create("commits/00000000.parquet", b"")
    scandir = os.scandir

    def broken(path: str) -> object:
        if str(path).endswith("commits"):
            raise OSError(5, "Input/output error", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", broken)
    with pytest.raises(StorageError, match="commits: cannot be listed"):
        list(objects.list("commits"))


def test_a_file_system_without_hard_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``link`` is not permitted, the message says what the store needs, and nothing is left."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    objects = open_objects(str(tmp_path))
    with pytest.raises(RequestError, match="no hard links"):
        objects.create("key", b"")
    assert list(objects.leftovers()) == []


def test_a_bucket_that_is_not_there_is_a_storage_error(s3: str) -> None:
    """Writing to or listing a bucket that does not exist names the place and the cause."""
    objects = open_objects("s3://no-such-bucket-anywhere/p")
    for attempt in (
        lambda: objects.create("key", b""),
        lambda: objects.replace("key", b""),
        lambda: list(objects.list("plans")),
    ):
        with pytest.raises(StorageError, match=r"s3://no-such-bucket-anywhere/p.*404"):
            attempt()


def test_file_urls_and_paths_name_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``file://`` with an escaped path, an absolute and a relative path open one root."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "with space"
    for url in (folder.as_uri(), str(folder), "with space", f"file://localhost{tmp_path}/with%20space"):
        assert open_objects(url).url == str(folder)
        assert isinstance(open_objects(url), LocalObjects)
    assert local_path(folder.as_uri()) == folder


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host/data", "expected a local path, file://, s3:// or gs://"),
        ("hdfs://host/data", "expected a local path"),
        ("file://host/data", "file:///"),
        ("s3:/bucket", "expected s3://BUCKET"),
        ("s3://", "expected s3://BUCKET"),
        ("gs:///prefix", "expected gs://BUCKET"),
        ("s3://bucket/p?versionId=3", r"no \? or #"),
        ("s3://bucket/p#part", r"no \? or #"),
    ],
)
def test_a_url_that_names_no_root_is_refused(url: str, expected: str) -> None:
    """Unknown schemes and half URLs are a bad request that says what was expected."""
    with pytest.raises(RequestError, match=expected):
        open_objects(url)


def test_buckets_are_told_from_paths() -> None:
    """Only ``s3://`` and ``gs://`` are buckets."""
    assert is_bucket("s3://b/p")
    assert is_bucket("gs://b")
    assert not is_bucket("s3")
    assert not is_bucket("/data/s3")
    assert not is_bucket("file:///s3")


@pytest.mark.parametrize(
    "url", ["s3://AKIA:hush@bucket/p", "https://me:hush@host/p", "s3://bucket/p?X-Amz-Signature=hush"]
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    """Credentials belong into the environment; the message does not repeat them."""
    with pytest.raises(RequestError) as caught:
        open_objects(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "GET https://b/k?X-Amz-Signature=hush&X-Amz-Credential=hush failed",
        "Authorization: Bearer hush",
        "authorization: AWS4-HMAC-SHA256 Credential=hush/20260101, Signature=hush",
        '{"access_token": "hush"}',
        "aws_secret_access_key = hush",
        "x-amz-security-token:hush",
        "password=hush",
        "403: <?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>hush</AWSAccessKeyId>"
        "<StringToSign>hush</StringToSign><SignatureProvided>hush</SignatureProvided></Error>",
        "the key AKIAHUSHHUSHHUSH1234 is unknown",
    ],
)
def test_a_secret_in_a_cause_is_left_out(text: str) -> None:
    """Whatever a library says of a request, its signature, token or key does not get into our message."""
    error = storage_error("s3://bucket/key: cannot be read", RuntimeError(text + "\nmore hush"))
    assert "hush" not in str(error).lower()
    assert str(error).startswith("s3://bucket/key: cannot be read: ")


def test_of_a_server_s_answer_code_and_message_are_told() -> None:
    """What S3 says is wrong is what a person needs; the document around it is not."""
    answer = (
        '403 Forbidden: <?xml version="1.0"?>\n<Error><Code>RequestTimeTooSkewed</Code>'
        "<Message>The difference is too large.</Message><HostId>x</HostId></Error>"
    )
    told = "b/k: cannot be read: 403 Forbidden: RequestTimeTooSkewed, The difference is too large."
    assert str(storage_error("b/k: cannot be read", RuntimeError(answer))) == told


def test_without_credentials_it_is_said_where_they_were_looked_for() -> None:
    """Obstore asks a metadata server last, and tells only that server's address."""
    error = RuntimeError("Error performing PUT http://169.254.169.254/latest/api/token in 1 ms")
    assert "no credentials, neither in the environment nor" in str(storage_error("b/k: cannot be read", error))


def test_credentials_of_the_environment_stay_out_of_messages(monkeypatch: pytest.MonkeyPatch, s3: str) -> None:
    """A server that refuses a request, and repeats all of it, does not make us print how it was signed."""

    class Refusing(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = f"<Error>{self.headers}</Error>".replace("\n", " ").encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAHUSH")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "hush-token")
        with pytest.raises(StorageError, match="403") as caught:
            open_objects("s3://bucket/p").create("key", b"")
        server.shutdown()
    assert "hush" not in str(caught.value).lower()


def test_an_object_reads_through_the_reader(objects: Objects) -> None:
    """Libraries that read through obstore see the same bytes."""
    objects.create("a/b", b"bytes")
    assert bytes(objects.reader().get("a/b").bytes()) == b"bytes"


def test_zarr_reads_a_bucket_as_the_readme_says(s3: str) -> None:
    """Also where the endpoint is plain http, which obstore has to be allowed."""
    objects = open_objects(f"{s3}/features")
    memory = zarr.storage.MemoryStore()
    zarr.create_array(memory, name="mfcc", data=np.arange(6, dtype=np.float32).reshape(1, 2, 3))
    for key, value in memory._store_dict.items():
        objects.create(f"mfcc.zarr/{key}", value.to_bytes())
    url = f"{s3}/features/mfcc.zarr"
    assert os.environ["AWS_ENDPOINT_URL"].startswith("http://")
    store = obstore.store.from_url(url, client_options={"allow_http": True})
    found = zarr.open(zarr.storage.ObjectStore(store, read_only=True), mode="r")["mfcc"]
    assert found[0, 1, 2] == 5
