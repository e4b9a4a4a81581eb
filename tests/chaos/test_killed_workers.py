"""Workers that are killed again and again: the run costs more time, and ends as if nothing had been."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

from clusters import HandStarted, wait_until
from disturbed import CLIPS, CLIPS_PER_SHARD, Site, differing, ended, start_up_seconds, until_committed, worker_pids
from stores import files

Record = Callable[[str, object], None]


def kill_one(hand: HandStarted, dice: random.Random) -> int:
    """SIGKILL one worker; its nanny starts another."""
    wait_until(lambda: worker_pids(hand), "a worker to kill")
    pid = dice.choice(worker_pids(hand))
    os.kill(pid, signal.SIGKILL)
    return pid


def test_workers_are_killed_while_they_compute(sounds: Path, tmp_path: Path, record_property: Record) -> None:
    """With librosa at work a random worker dies every 8 s, or thrice its start-up: equal, and little done twice.

    On a machine that would be done too soon, one dies whenever another sixth is committed.
    """
    program = ("noting_child.py", "real")
    options = ("--engine", "librosa")
    straight = Site(tmp_path / "straight", sounds, child=program, options=options)
    ended(straight.client("--workers", 2), straight, 0)
    undisturbed = files(straight.store)
    site = Site(tmp_path / "site", sounds, child=program, options=options)
    dice, kills, shards = random.Random(1), 0, CLIPS // CLIPS_PER_SHARD
    with site.hand() as hand:
        hand.start_scheduler()
        interval = max(8.0, 3 * start_up_seconds(hand, 2))
        client = site.client("--scheduler", hand.address)
        going = until_committed(site, 2, client)
        while going:
            kill_one(hand, dice)
            kills += 1
            going = until_committed(site, site.commits() + max(1, shards // 6), client, within=interval)
        ended(client, site, 0)
    work = site.work()
    assert kills >= max(1, min(3, CLIPS // 600))
    assert differing(site.store, undisturbed) == []
    assert work.committed_again == 0
    assert work.share_again <= 0.3
    record_property(
        "figure", f"{kills} kills, one per {interval:.0f} s or sixth; equal; {work.share_again:.1%} computed again"
    )


def test_many_workers_are_killed(site: Site, undisturbed: dict[str, bytes], record_property: Record) -> None:
    """One dies whenever a few more shards are committed: at least twenty, on a scheduler with Dask's own settings."""
    dice, kills = random.Random(2), 0
    with site.hand() as hand:
        hand.start_scheduler().start_workers(2).wait_for_workers(2)
        client = site.client("--scheduler", hand.address)
        while until_committed(site, site.commits() + dice.randrange(2, 6), client):
            kill_one(hand, dice)
            kills += 1
        ended(client, site, 0)
    work = site.work()
    assert kills >= min(20, CLIPS // CLIPS_PER_SHARD // 6)
    assert differing(site.store, undisturbed) == []
    assert work.committed_again == 0
    record_property("figure", f"{kills} kills; equal; {work.share_again:.1%} computed again")
