"""Readers that read ten times a second while workers die, two runs fight, and a store is compacted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import change_rows, read_rows
from disturbed import RATE, Site, ended, make_sounds, until_committed, worker_pids
from reading import Reader

from us8k_batch.store.verify import verify

Record = Callable[[str, object], None]


@pytest.fixture
def changed(tmp_path: Path) -> Site:
    """Extract four hundred clips; then change every fifth, remove the first ten, and relabel some."""
    site = Site(tmp_path / "site", make_sounds(tmp_path / "data", clips=400))
    ended(site.client("--workers", 2), site, 0)
    rng = np.random.default_rng(9)
    for row in read_rows(site.dataset)[::5]:
        soundfile.write(site.dataset.parent / row["path"], rng.normal(scale=0.1, size=RATE // 5), RATE)
    change_rows(
        site.dataset, lambda rows: [row | {"label": "snow" if i % 7 else "dog"} for i, row in enumerate(rows[10:])]
    )
    return site


def test_readers_see_no_seam(changed: Site, record_property: Record) -> None:
    """Through our reader, pandas, zarr and xarray: no error and no other digest, whatever goes on."""
    site = changed
    dice, kills, before = random.Random(5), 0, site.commits()
    copy = Site(site.folder / "twice", site.dataset)
    shutil.copytree(site.store, copy.store)
    with Reader(site.store) as first, Reader(copy.store) as second:
        with site.hand() as hand:
            hand.start_scheduler().start_workers(2).wait_for_workers(2)
            client = site.client("--scheduler", hand.address)
            while until_committed(site, site.commits() + 2, client):
                if pids := worker_pids(hand):
                    os.kill(dice.choice(pids), signal.SIGKILL)
                    kills += 1
            ended(client, site, 0)
        clients = [copy.client("--workers", 1, "--force") for _ in range(2)]
        assert [client.wait(600) for client in clients] == [0, 0], copy.said()[-3000:]
        new = site.folder / "compacted"
        with Reader(new) as third:
            subprocess.run(
                [sys.executable, "-m", "us8k_batch", "compact", str(site.store), str(new)],
                check=True, capture_output=True,
            )  # fmt: skip
    for reader in (first, second, third):
        assert reader.trouble is None, reader.trouble
    assert len(first.seen) == len({*first.seen}) >= 2
    assert first.seen == second.seen
    assert site.commits() > before
    assert kills
    for store in (site.store, copy.store, new):
        assert verify(str(store)).findings == []
    reads = first.reads + second.reads + third.reads
    record_property("figure", f"{reads} reads, {kills} kills, 2 runs by force, 1 compaction: 0 errors, 0 mismatches")
