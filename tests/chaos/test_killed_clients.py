"""Clients that are killed at points that a seed decides, and machines on which everything dies at once."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from clusters import wait_until
from disturbed import CLIPS, CLIPS_PER_SHARD, Site, differing, ended, kill_group, until_committed
from stores import stamps

KILLS = 20
SHARDS = CLIPS // CLIPS_PER_SHARD
Record = Callable[[str, object], None]


def kept(site: Site) -> dict[str, tuple[int, int, int]]:
    """Return when commits and the frames that they speak of were written."""
    there = stamps(site.store) if site.store.exists() else {}
    shards = {int(key[8:16]) for key in there if key.startswith("commits/") and key.endswith(".parquet")}
    keys = {f"commits/{shard:08d}.parquet" for shard in shards} | {f"mfcc.zarr/mfcc/c/{n}/0/0" for n in shards}
    return {key: stamp for key, stamp in there.items() if key in keys}


@pytest.mark.parametrize("dies", ["the client", "the machine"])
def test_a_run_that_is_killed_goes_on_where_it_was(
    dies: str, site: Site, undisturbed: dict[str, bytes], record_property: Record
) -> None:
    """SIGKILL of twenty clients, whose workers live on; or of everything at once: equal, and nothing done twice.

    Between two kills there is one shard more at least, so that there is an end.
    """
    points = sorted(random.Random(dies).sample(range(SHARDS), min(KILLS, SHARDS // 2)))
    before: dict[str, tuple[int, int, int]] = {}
    kills = 0
    with site.hand() as hand:
        where: tuple[object, ...] = ("--workers", 2)
        if dies == "the client":
            hand.start_scheduler().start_workers(2).wait_for_workers(2)
            where = ("--scheduler", hand.address)
        for point in points:
            client = site.client(*where)
            # The first one may die before anything is committed, as soon as rows are handed out.
            wait_until((site.store / "plans/000001.parquet").exists, "a plan")
            if not until_committed(site, max(point, site.commits() + (point > 0)), client):
                break
            kill_group(client)
            kills += 1
            now = kept(site)
            assert now.items() >= before.items(), "what was committed was written again"
            before = now
        ended(site.client(*where), site, 0)
    assert kept(site).items() >= before.items()
    assert differing(site.store, undisturbed) == []
    work = site.work()
    assert work.committed_again == 0
    assert kills >= min(KILLS, SHARDS // 2) // 2
    record_property(
        "figure", f"{dies}: {kills} kills, committed shards computed again: {work.committed_again}; equal"
    )
