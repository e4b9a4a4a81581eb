"""The same bytes from any number of workers, with nannies or without, and the same numbers from any shard size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from clusters import HandStarted
from datasets import make_manifest
from failpoints import Bench, Inline
from runs import Runner, published
from stores import files

from us8k_batch.run import session

WORKERS = (1, 2, 4)
SIZES = (1, 16, 64)


def test_the_bytes_do_not_depend_on_who_computes_them(
    tmp_path: Path, record_property: Callable[[str, object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, or on one, two and four workers: file by file; between shard sizes: digest by digest."""
    dataset = make_manifest(tmp_path / "data", clips=64, seconds=0.2)
    stores = {}

    def run(name: str, runner: Runner) -> None:
        for size in SIZES:
            store = tmp_path / f"{name}-{size}"
            runner.extract(dataset, store, clips_per_shard=size)
            stores[name, size] = store

    for nanny in (True, False):
        with HandStarted(folder=tmp_path / f"dask-{nanny}", nanny=nanny) as hand:
            hand.start_scheduler()
            for number in WORKERS:
                hand.start_workers(number - len(hand.workers)).wait_for_workers(number)
                run(f"{number} {'nannies' if nanny else 'workers'}", Runner(hand.address))
    with monkeypatch.context() as patched:
        from contextlib import nullcontext

        patched.setattr(session, "connect", lambda *_: nullcontext(Inline(Bench())))
        run("here", Runner("tcp://127.0.0.1:1"))
    first = published(stores["here", 1])
    assert len(first) == 64
    for (name, size), store in stores.items():
        assert files(store) == files(stores["here", size]), (name, size)
        assert published(store) == first
    record_property("figure", f"{len(stores)} stores: equal")
