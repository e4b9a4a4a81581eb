"""Objects that nothing refers to: harmless, left by writers that were killed or given up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow.compute as pc

from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects
from us8k_batch.store.layout import (
    ARRAY,
    COMMITS,
    DAMAGED,
    FAILURES,
    GROUP,
    INFO,
    LEASE,
    PLANS,
    POOLED,
    RUNS,
    SNAPSHOTS,
    StoreInfo,
    number_of,
    shard_of,
    split_by_shard,
)
from us8k_batch.store.plans import list_plans, read_record
from us8k_batch.store.state import State

KEPT = (RUNS, LEASE, DAMAGED)
"""Folders whose objects nothing has to refer to."""


def find_orphans(objects: Objects, info: StoreInfo, state: State) -> Iterator[str]:
    """List what nothing refers to, temporary files too; those of a run at work are among them for a moment.

    Parameters
    ----------
    objects, info
        The store.
    state : State
        What was loaded before; what a run adds meanwhile is no orphan.
    """
    stored = sorted(found.key for found in objects.list(""))
    meanwhile: set[int] = set()
    for newer in list_plans(objects)[len(state.plans) :]:
        with contextlib.suppress(DamageError):
            plan = read_record(objects, newer)
            meanwhile.update(range(plan.first_shard, plan.end_shard(info)))
    committed = {shard for shard, _, _ in split_by_shard(state.index["row"].to_numpy(), info.clips_per_shard)}
    expected = committed.union(pc.unique(state.pending["shard"]).to_pylist(), meanwhile)
    decided = expected.union(state.abandoned)
    for key in stored:
        folder = key.partition("/")[0]
        number = number_of(key)
        shard = shard_of(key)
        if not (
            key in (INFO, GROUP, ARRAY, POOLED, FAILURES)
            or folder in KEPT
            or (folder in (PLANS, SNAPSHOTS) and number is not None)
            or (folder == COMMITS and number in decided)
            or shard in expected
        ):
            yield key
    yield from objects.leftovers()
