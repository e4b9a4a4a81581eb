"""The scheduler is killed in the middle: it comes back on its address, or it does not."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from clusters import kill, wait_until
from disturbed import CLIPS, CLIPS_PER_SHARD, Site, differing, ended, until_committed

Record = Callable[[str, object], None]
DEADLINE = 20
SHARDS = CLIPS // CLIPS_PER_SHARD


@pytest.mark.parametrize("seed", range(3))
def test_a_scheduler_that_comes_back_finds_its_client_at_work(
    seed: int, site: Site, undisturbed: dict[str, bytes], record_property: Record
) -> None:
    """On the same address, with new workers: the run goes on by itself, and ends equal."""
    point = random.Random(seed).randrange(1, SHARDS * 3 // 4)
    with site.hand() as hand:
        hand.start_scheduler().start_workers(2).wait_for_workers(2)
        client = site.client("--scheduler", hand.address)
        assert until_committed(site, point, client)
        assert hand.scheduler is not None
        kill(hand.scheduler)
        # Dask's workers leave without their scheduler; who supervises them starts others.
        if seed == 0:
            wait_until(lambda: all(worker.poll() is not None for worker in hand.workers), "the workers' leaving")
        hand.start_scheduler().start_workers(2)
        ended(client, site, 0)
    assert differing(site.store, undisturbed) == []
    work = site.work()
    record_property("figure", f"back after {point} commits: equal, {work.share_again:.1%} computed again")


def test_without_a_scheduler_the_run_ends_and_can_be_resumed(
    site: Site, undisturbed: dict[str, bytes], record_property: Record
) -> None:
    """Exit 1 soon after the deadline; it says what to do, and the next run does the rest."""
    site.environment = {"DASK_US8K__WORKER_DEADLINE": str(DEADLINE)}
    with site.hand() as hand:
        hand.start_scheduler().start_workers(2).wait_for_workers(2)
        client = site.client("--scheduler", hand.address)
        assert until_committed(site, SHARDS // 4, client)
        assert hand.scheduler is not None
        kill(hand.scheduler)
        began = time.monotonic()
        ended(client, site, 1)
        seconds = time.monotonic() - began
    assert f"no worker for {DEADLINE} s; what is committed stays: start workers (and the scheduler)" in site.said()
    assert seconds <= 60
    before = site.commits()
    with site.hand(name="other") as hand:
        hand.start_scheduler().start_workers(2).wait_for_workers(2)
        ended(site.client("--scheduler", hand.address), site, 0)
    assert differing(site.store, undisturbed) == []
    assert site.work().committed_again == 0
    record_property("figure", f"not back: exit 1 after {seconds:.0f} s, {before} shards kept; resumed, equal")
