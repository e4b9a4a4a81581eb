"""A bucket through whatever happens to its users: kills at each request, two at once, and many that want to read."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obstore
import pandas as pd
import pytest
import xarray
import zarr
from bucket_runs import WRITES, BucketRuns
from datasets import write_tone
from fault_proxy import FaultProxy, never
from stores import files
from test_bucket_faults import CLIPS, dataset, proxy, reference, runs  # noqa: F401  # fixtures
from test_bucket_run import Place, place  # noqa: F401  # a fixture

import us8k_batch
from us8k_batch.errors import Us8kError
from us8k_batch.objects import open_objects
from us8k_batch.store.verify import verify

Record = Callable[[str, object], None]
ORDERS = 6


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_may_be_killed_at_any_request(
    when: str,
    s3: str,
    proxy: FaultProxy,  # noqa: F811
    runs: BucketRuns,  # noqa: F811
    dataset: Path,  # noqa: F811
    reference: dict[str, bytes],  # noqa: F811
    record_property: Record,
) -> None:
    """At each write, before the server did it, or after, before the run knew: no committed shard again, and equal."""
    at = 0
    while True:
        store = f"{s3}/at-{at}"
        if not runs.run_and_kill(dataset, store, proxy, at=at, before=when == "before"):
            break
        there = files(store)
        rows = sum(name.startswith("commits/") for name in there) * 2
        told = runs.run(dataset, store, proxy)
        assert told.status == 0, (at, told)
        assert told.decoded == CLIPS - rows, at
        after = files(store)
        assert after == reference, at
        assert [key for key in there if key.startswith(("commits/", "plans/")) and there[key] != after[key]] == []
        assert verify(store).findings == []
        at += 1
    assert at >= 15
    record_property("figure", f"killed {when} each of {at} writes, {at} equal")


def test_two_runs_on_one_bucket_each_killed_once(
    s3: str,
    s3_endpoint: str,
    runs: BucketRuns,  # noqa: F811
    dataset: Path,  # noqa: F811
    reference: dict[str, bytes],  # noqa: F811
    record_property: Record,
) -> None:
    """Both are at work by force; each in turn dies after a write that the server did: nothing is lost or doubled."""
    for seed in range(ORDERS):
        store = f"{s3}/{seed}"
        points = random.Random(seed).choices(range(2, 14), k=2)
        with FaultProxy(s3_endpoint) as first, FaultProxy(s3_endpoint) as second:
            begun = []
            for point, ours in zip(points, (first, second), strict=True):
                begun.append(runs.begin(dataset, store, ours, force=True))
                ours.answered = killer(begun[-1].process.pid, point)
            statuses = [run.end().status for run in begun]
            first.answered = never  # a process with that number would be somebody else's
            assert -signal.SIGKILL in statuses, statuses
            assert {*statuses} <= {0, 1, -signal.SIGKILL}
            assert runs.run(dataset, store, first).status == 0
        assert files(store) == reference, seed
        assert verify(store).findings == []
    record_property("figure", f"two runs {ORDERS} times, each killed once: equal")


def killer(pid: int, at: int) -> Callable[[str, str], None]:
    """Make what SIGKILLs a process at its n-th write that was done, heartbeats and the probe aside."""
    writes = iter(range(at))

    def answered(method: str, path: str) -> None:
        if method in WRITES and "/lease/" not in path and next(writes, None) is None:
            with contextlib.suppress(ProcessLookupError):  # of what it sent when it was killed, an answer comes late
                os.kill(pid, signal.SIGKILL)

    return answered


def test_a_bucket_is_read_and_learnt_from_as_documented(
    place: Place,  # noqa: F811
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Extract, change a clip, verify, and read with pandas, zarr and xarray what our reader reads; train."""
    assert place.extract("--set", "statistics=mean,std")["extracted"] == 6
    write_tone(place.manifest.parent / "audio/clip000.wav", frequency=5000, seconds=0.1)
    place.put("audio/clip000.wav")
    assert place.extract()["extracted"] == 1
    assert "all is as it was committed" in place.us8k("verify", place.store, "--against", place.dataset)

    store = us8k_batch.open_store(place.store)
    table = pd.read_parquet(f"{place.store}/pooled.parquet")
    assert table.equals(store.pooled)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    objects = zarr.storage.ObjectStore(obstore.store.from_url(f"{place.store}/mfcc.zarr"), read_only=True)
    rows = table["row"].to_numpy()
    expected = store.mfcc[:]
    np.testing.assert_array_equal(zarr.open(objects, mode="r")["mfcc"].oindex[rows], expected)
    named = xarray.open_zarr(objects, consolidated=False)["mfcc"]
    np.testing.assert_array_equal(named[rows].to_numpy(), expected)

    told = place.us8k(
        "train", place.store, "--model", "dummy", "--features", "mean", "--out", str(place.folder / "run")
    )
    assert "dummy" in told
    record_property("figure", "extract, again, verify, train; pandas, zarr, xarray read it")


def test_whatever_goes_wrong_no_credential_is_told(
    place: Place,  # noqa: F811
    s3_endpoint: str,
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server in trouble, a bucket that is not there, keys that are wrong: not in output, logs, or exceptions.

    Nor in what stands behind an exception, which a debugger or a log of tracebacks would show.
    """
    assert place.extract()["extracted"] == 6
    excuses = 0

    def fail(url: str) -> None:
        nonlocal excuses
        for attempt in (
            lambda: us8k_batch.open_store(url),
            lambda: us8k_batch.plan(place.dataset, url),
            lambda: open_objects(url).create("key", b""),
            lambda: verify(url),
        ):
            try:
                attempt()
            except Us8kError as error:
                excuses += 1
                place.assert_untold(everything(error).encode(), url)

    fail("s3://no-such-bucket-at-all/store")
    for number, name in enumerate(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")):
        with monkeypatch.context() as patched:
            patched.setenv(name, place.keys[number][:-1])
            fail(place.store)
    with FaultProxy(s3_endpoint) as proxy, monkeypatch.context() as patched:  # noqa: F811
        patched.setenv("AWS_ENDPOINT_URL", proxy.url)
        for fault in ("reset", "answer cut"):
            proxy.decide = lambda *_, fault=fault: fault  # type: ignore[misc]
            fail(place.store)
    assert excuses >= 10  # moto looks at no key
    for path in place.folder.glob("**/*.txt"):
        place.assert_untold(path.read_bytes(), str(path))
    record_property("figure", f"{excuses} errors, none tells a key or token")


def everything(error: BaseException) -> str:
    """Return all that can be learnt from an exception, and from those behind it, even where they are hidden."""
    told = ["".join(traceback.format_exception(error))]
    behind: BaseException | None = error
    while behind is not None:
        told += [repr(behind), str(behind), repr(behind.args)]
        behind = behind.__cause__ or behind.__context__
    return "\n".join(told)
