"""A bucket behind a bad network, and runs that are killed at their requests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket_runs import BucketRuns, undisturbed
from datasets import make_manifest
from failpoints import RunServer
from fault_proxy import FAULTS, FaultProxy, at_random
from s3_servers import S3_ENVIRONMENT
from stores import files

from us8k_batch.objects import open_objects
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
