"""Clips in a bucket: found by listing, read in one request, and told apart from a storage in trouble."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import boto3
import obstore
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog import bucket
from us8k_batch.catalog.bucket import MOST_PREFIXES, BucketSource, prefixes
from us8k_batch.catalog.unreadable import MissingClipError, PermissionDeniedError, TooLargeError
from us8k_batch.errors import StorageError, StorageRefusedError
from us8k_batch.objects import open_bucket, open_objects
from us8k_batch.objects.retry import SERVER_PAUSES, pauses

FOLDERS = st.sets(st.lists(st.sampled_from(["a", "b", "a b", "a-"]), max_size=3).map("/".join), max_size=12)
RESET = 0
"""In place of a status: the connection is cut in the middle of the answer."""


class ScriptedServer:
    """An S3 server that answers as it is told, and counts what it is asked."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.error = b"<Error><Code>AsTold</Code></Error>"
        self.requests: list[str] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                script.requests.append(self.path)
                status = script.statuses.pop(0) if len(script.statuses) > 1 else script.statuses[0]
                body = script.error if status not in (RESET, 200) else b"12345"
                self.send_response(status or 200)
                self.send_header("Content-Length", str(len(body) + (100 if status == RESET else 0)))
                self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
                self.send_header("ETag", '"x"')
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """Yield a server that the environment points to."""
    scripted = ScriptedServer()
    monkeypatch.setenv("AWS_ENDPOINT_URL", scripted.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-that-is-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield scripted
    scripted.close()


@given(FOLDERS)
def test_every_folder_is_listed_once(folders):
    """Each folder lies at or below exactly one prefix, and no prefix is listed that holds no folder."""
    chosen = prefixes(folders)
    for folder in folders:
        assert sum(not prefix or folder == prefix or folder.startswith(f"{prefix}/") for prefix in chosen) == 1
    assert set(chosen) <= folders


def test_very_many_folders_are_listed_by_what_they_share():
    """A request for each would take longer than listing what lies beside them."""
    assert prefixes(f"clips/{i:04d}" for i in range(MOST_PREFIXES)) != ["clips"]
    assert prefixes(f"clips/{i:04d}" for i in range(MOST_PREFIXES + 1)) == ["clips"]


def test_a_scan_sees_what_lies_in_the_bucket(s3):
    """Size, time and ETag of what is there, also under odd names; missing for what is not."""
    store = open_bucket(f"{s3}/some/folder")
    there = ["a.wav", "fold1/b c#1.wav", "fold1/ü%20+~.wav", "fold1/sub/d.wav"]
    for name in there:
        obstore.put(store, name, name.encode())
    obstore.put(store, "fold10/e.wav", b"beside")
    wanted = [*there, "fold1/e.wav", "fold2/a.wav", "fold1/sub", "fold1/b c#1.wav"]
    rows = BucketSource(f"{s3}/some/folder/").scan(pa.chunked_array([pa.array(wanted)])).to_pylist()
    assert [row["error"] for row in rows] == [None] * 4 + ["missing"] * 3 + [None]
    assert [row["size"] for row in rows[:4]] == [len(name.encode()) for name in there]
    assert rows[7] == rows[1]
    for name, row in zip(there, rows, strict=False):
        meta = obstore.head(store, name)
        assert row["etag"] == meta["e_tag"]
        # A listing may tell fractions of a second, a header cannot.
        assert row["mtime_ns"] // 10**9 == int(meta["last_modified"].timestamp())


def test_more_objects_than_one_answer_holds_are_all_seen(s3, monkeypatch):
    """A listing goes on over as many pages as there are."""
    monkeypatch.setattr(bucket, "PAGE", 3)
    store = open_bucket(s3)
    for i in range(10):
        obstore.put(store, f"x/{i}.wav", b".")
    seen = BucketSource(s3).scan(pa.array([f"x/{i}.wav" for i in range(11)]))
    assert seen["error"].to_pylist() == [None] * 10 + ["missing"]


def test_a_clip_is_read_whole_or_in_part(s3):
    """All bytes, the first bytes with the size, also of an empty object."""
    store = open_bucket(s3)
    obstore.put(store, "a b#%.wav", b"12345")
    obstore.put(store, "empty.wav", b"")
    source = BucketSource(s3)
    assert source.read("a b#%.wav", 5) == b"12345"
    assert source.read_head("a b#%.wav", 2) == (b"12", 5)
    assert source.read_head("a b#%.wav", 9) == (b"12345", 5)
    assert source.read("empty.wav", 5) == b""
    assert source.read_head("empty.wav", 5) == (b"", 0)


def test_a_clip_that_is_too_large_or_missing_fails_at_once(s3):
    """The message names the clip, and what was found and expected."""
    obstore.put(open_bucket(s3), "a.wav", b"12345")
    source = BucketSource(s3, sleep=pytest.fail)
    with pytest.raises(TooLargeError, match=r"^a\.wav: holds 5 bytes, expected at most 4$"):
        source.read("a.wav", 4)
    for call in (source.read, source.read_head):
        with pytest.raises(MissingClipError, match=r"^b\.wav: no such file$"):
            call("b.wav", 4)


def test_a_bucket_that_is_gone_is_no_missing_clip(s3):
    """A 404 for the bucket itself must not become ten thousand missing clips."""
    source = BucketSource(f"{s3}-gone/folder", pytest.fail)
    with pytest.raises(StorageError, match="the bucket does not exist"):
        source.read("a.wav", 10)
    with pytest.raises(StorageError, match="cannot be listed: the bucket does not exist"):
        source.scan(pa.array(["x/a.wav"]))


def test_a_forbidden_clip_fails_at_once(server):
    """403 is the clip's own fault, and not asked for again."""
    server.statuses = [403]
    with pytest.raises(PermissionDeniedError, match=r"^a\.wav: may not be read$"):
        BucketSource("s3://bucket", sleep=pytest.fail).read("a.wav", 10)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503, RESET])
def test_a_busy_server_is_asked_again(server, status):
    """Throttling, errors of the server and cut connections are retried with pauses until there is an answer."""
    server.statuses = [status, status, 200]
    slept: list[float] = []
    assert BucketSource("s3://bucket", slept.append).read("a.wav", 1000) == b"12345"
    assert tuple(slept) == pauses("a.wav", SERVER_PAUSES)[:2]
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 503, RESET])
def test_a_server_that_stays_in_trouble_is_no_fault_of_the_clip(server, status):
    """The error is a StorageError whose text, which may be recorded, holds no address, key or signature."""
    server.statuses = [status]
    slept: list[float] = []
    with pytest.raises(StorageError) as caught:
        BucketSource("s3://bucket", slept.append).read("a.wav", 1000)
    assert tuple(slept) == pauses("a.wav", SERVER_PAUSES)
    cause = r"the server answered \d{3}, AsTold|no answer from the server"
    assert re.fullmatch(rf"a\.wav: cannot be read: ({cause})", str(caught.value))
    assert caught.value.__cause__ is None


def test_a_server_that_is_not_there_is_no_fault_of_the_clip(server):
    """A refused connection is retried, too."""
    server.close()
    slept: list[float] = []
    with pytest.raises(StorageError, match="no answer from the server"):
        BucketSource("s3://bucket", slept.append).read("a.wav", 10)
    assert tuple(slept) == pauses("a.wav", SERVER_PAUSES)


ELSEWHERE = {
    "AuthorizationHeaderMalformed": (400, "the region 'us-east-1' is wrong; expecting 'eu-west-1'"),
    "IllegalLocationConstraintException": (400, "The us-east-1 location constraint is incompatible"),
    "PermanentRedirect": (301, ""),
}


@pytest.mark.parametrize("code", ELSEWHERE)
def test_a_bucket_in_another_region_says_so_at_once(server, code):
    """The server's own words, as far as it gave any, and what to do; nothing is asked twice."""
    status, message = ELSEWHERE[code]
    server.statuses = [status]
    server.error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    source = BucketSource("s3://bucket", sleep=pytest.fail)
    for call in (lambda: source.scan(pa.array(["x/a.wav"])), lambda: source.read("x/a.wav", 10)):
        server.requests.clear()
        with pytest.raises(StorageRefusedError, match="AWS_REGION") as caught:
            call()
        assert len(server.requests) == 1
        assert message in str(caught.value)
    with pytest.raises(StorageRefusedError, match="AWS_REGION"):
        open_objects("s3://bucket").get("key")


def test_what_is_refused_is_not_asked_for_again(server):
    """Keys that are not known, or have expired, will not be known in a minute either."""
    server.statuses = [401]
    with pytest.raises(StorageRefusedError, match="the server answered 401, AsTold"):
        BucketSource("s3://bucket", sleep=pytest.fail).read("a.wav", 1000)
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["x/sub//b", "x//b", "x/./b", "x/../b", "x//", "x/\1"])
def test_a_stray_key_costs_no_clip(s3, key, caplog):
    """Keys that obstore cannot say are named, and what lies beside them is seen as without them."""
    store = open_bucket(s3)
    clips = ["x/a.wav", "x/z.wav", "x/sub/b.wav", "x/y/c.wav"]
    for name in clips:
        obstore.put(store, name, name.encode())
    wanted = pa.array([*clips, "x/missing.wav", "x/y/missing.wav"])
    before = BucketSource(s3, sleep=pytest.fail).scan(wanted)
    boto3.client("s3").put_object(Bucket=s3.removeprefix("s3://"), Key=key, Body=b"1")
    seen = BucketSource(s3, sleep=pytest.fail).scan(wanted)
    assert seen.drop_columns("mtime_ns") == before.drop_columns("mtime_ns")  # a header has whole seconds
    assert seen["error"].to_pylist() == [None] * 4 + ["missing"] * 2
    named = repr(key.rstrip("/"))[1:-1]
    assert any(named in record.getMessage() for record in caplog.records)


def test_a_time_beyond_64_bits_of_nanoseconds_is_the_nearest_that_they_hold():
    """Other storages that speak S3 tell whatever time their disk has."""
    times = [datetime(year, 1, 1, tzinfo=UTC) for year in (1600, 1970, 2400)]
    found = bucket.nanoseconds(pa.array(times, pa.timestamp("us", "UTC")).cast(pa.int64())).to_pylist()
    assert found[1] == 0
    assert -(1 << 63) <= found[0] < -9_223_372_036_000_000_000
    assert 9_223_372_036_000_000_000 < found[2] < 1 << 63
    assert bucket.nanoseconds(pa.array([None], pa.int64())).to_pylist() == [None]
