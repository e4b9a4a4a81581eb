"""A bucket behind a bad network, and runs that are killed at their requests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from bucket_runs import BucketRuns, undisturbed
from datasets import make_manifest
from failpoints import RunServer
from fault_proxy import FAULTS, FaultProxy, at_random
from s3_servers import S3_ENVIRONMENT
from stores import files

from us8k_batch.catalog.bucket import BucketSource
from us8k_batch.objects import bucket, open_objects, retry
from us8k_batch.objects.retry import SERVER_PAUSES
from us8k_batch.store.verify import verify

CLIPS = 10


@pytest.fixture(scope="module")
def runs() -> BucketRuns:
    """Start what starts runs."""
    return BucketRuns(RunServer(), S3_ENVIRONMENT)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset on this disk."""
    return make_manifest(tmp_path_factory.mktemp("dataset"), clips=CLIPS, seconds=0.1, formats=("WAV",))


@pytest.fixture(scope="module")
def reference(runs: BucketRuns, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of the same run on this disk."""
    return files(undisturbed(runs, dataset, tmp_path_factory.mktemp("reference") / "store"))


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    """Put a network before the bucket."""
    with FaultProxy(s3_endpoint) as proxy:
        yield proxy


@pytest.mark.parametrize("fault", FAULTS)
def test_any_fault_of_one_request_is_none_of_ours(
    s3: str, proxy: FaultProxy, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Create, replace, read, list, delete: each is asked again, and its answer is the truth."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    objects = open_objects(f"{s3}/store")
    faulty: list[str] = []

    def once(method: str, path: str) -> str | None:
        return fault if not faulty and not faulty.append(method) else None

    proxy.decide = once
    # What was created by a request whose answer is lost exists: the caller, who compares, must know either.
    assert objects.create("key", b"x" * 1000) == (not fault.startswith("answer"))
    for call, expected in (
        (lambda: objects.get("key"), b"x" * 1000),
        (lambda: objects.get_tail("key", 10), b"x" * 10),
        (lambda: [info.key for info in objects.list("")], ["key"]),
        (lambda: objects.create("key", b"other"), False),
        (lambda: objects.replace("key", b"new"), None),
        (lambda: objects.get("key"), b"new"),
        (lambda: objects.delete("key"), None),
        (lambda: list(objects.list("")), []),
    ):
        faulty.clear()
        assert call() == expected
        assert faulty
    assert proxy.faults == {fault: 9}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_is_outlasted(
    s3: str, proxy: FaultProxy, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every request fails for as many pauses as a minute has: dataset and store go on, and say what they wait for."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    # A thousandth of the real pauses, so that the outage that they outlast is one of a twentieth of a second.
    monkeypatch.setattr(bucket, "SERVER_PAUSES", tuple(pause / 1000 for pause in SERVER_PAUSES))
    monkeypatch.setattr(retry, "TOLD_SECONDS", retry.TOLD_SECONDS / 1000)
    monkeypatch.setattr(retry, "_last_told", [-1e9])
    objects, source = open_objects(f"{s3}/store"), BucketSource(s3)
    objects.create("there", b"x" * 1000)
    left = 0

    def outage(method: str, path: str) -> str | None:
        nonlocal left
        left -= 1
        return fault if left >= 0 else None

    proxy.decide = outage
    for call, expected in (
        (lambda: objects.create(f"new {fault}", b"y" * 1000), not fault.startswith("answer")),
        (lambda: objects.replace("other", b"z" * 1000), None),
        (lambda: objects.get("there"), b"x" * 1000),
        (lambda: [bytes(part) for part in objects.get_ranges("there", [(0, 9)])], [b"x" * 9]),
        (lambda: len(list(objects.list(""))), 3),
        (lambda: source.read("store/there", 1000), b"x" * 1000),
        (lambda: list(source.scan(pa.array(["store/there"]))["size"]), [pa.scalar(1000)]),
    ):
        left = len(SERVER_PAUSES)
        assert call() == expected
        assert left < 0
    assert objects.get(f"new {fault}") == b"y" * 1000
    assert "asking again for another" in caplog.text


@pytest.mark.parametrize("seed", range(2))
def test_a_run_behind_a_bad_network_is_an_undisturbed_one(
    seed: int, s3: str, proxy: FaultProxy, runs: BucketRuns, dataset: Path, reference: dict[str, bytes]
) -> None:
    """One request of twenty is refused, reset or loses its answer: the store is the same, byte for byte."""
    proxy.decide = at_random(0.05, seed)
    assert runs.run(dataset, f"{s3}/store", proxy).status == 0
    assert proxy.faults.total() >= 2, proxy.requests
    assert files(f"{s3}/store") == reference


def test_a_run_that_is_killed_at_a_request_is_finished_by_the_next(
    s3: str, proxy: FaultProxy, runs: BucketRuns, dataset: Path, reference: dict[str, bytes]
) -> None:
    """At seeded writes, before the server did it: the same store, and no committed shard again."""
    for at in random.Random(1).sample(range(16), 4):
        store = f"{s3}/at-{at}"
        assert runs.run_and_kill(dataset, store, proxy, at=at, before=True)
        rows = sum(name.startswith("commits/") for name in files(store)) * 2
        told = runs.run(dataset, store, proxy)
        assert told.status == 0, told
        assert told.decoded == CLIPS - rows
        assert files(store) == reference
        assert verify(store).findings == []
