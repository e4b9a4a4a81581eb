"""Give shards up whose results cannot be had again: a snapshot without their rows, then their abandonment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.objects import Objects
from us8k_batch.repair.aside import forget, put_in_place
from us8k_batch.repair.records import GIVEN_UP, Snapshot
from us8k_batch.store import parquet
from us8k_batch.store.commits import encode_abandonment
from us8k_batch.store.layout import StoreInfo, commit_key, shard_key, snapshot_key
from us8k_batch.store.publish import digest_publication, find


def give_up(
    objects: Objects, info: StoreInfo, snapshot: Snapshot, shards: Iterable[int], settled: int | None = None
) -> list[str] | None:
    """Let a shard's clips be planned anew.

    Parameters
    ----------
    objects, info
        The store.
    snapshot : SnapshotRecord and table
        The newest one.
    shards : iterable of int
        Those that are given up, whether or not the snapshot knows rows of them.
    settled : int
        Shard below which nothing is left to be settled, if that is more than the snapshot says.

    Returns
    -------
    list of str or None
        Clips that were published, or recorded as failed, and are to be computed again; None if another run
        created a snapshot first: look again.

    Notes
    -----
    The snapshot decides. After it the shard's rows are no clip's any more, whether its commit says so already or
    is still what it was: a repair that is killed in between is finished by the next one, because what an
    abandonment must say is known from its digest.
    """
    record, table = snapshot
    abandonments = {shard: encode_abandonment(info, shard, GIVEN_UP) for shard in sorted(set(shards))}
    rows = pc.fill_null(table["row"], -1).to_numpy()
    lost = np.isin(rows // info.clips_per_shard, list(abandonments)) & (rows >= 0)
    clips = table.filter(pa.array(lost)).filter(pc.is_in(pc.field("state"), pa.array(["live", "failed"])))["clip_id"]
    kept = table.filter(pa.array(~lost)).combine_chunks()
    pending = record.pending + len(clips)
    newer = replace(
        record,
        number=record.number + 1,
        snapshot_id=digest_publication(info, kept, pending, record.metadata_columns),
        settled=record.settled if settled is None else settled,
        abandoned=record.abandoned | {n: hashlib.sha256(data).hexdigest() for n, data in abandonments.items()},
        complete=pending == 0,
        pending=pending,
    )
    if not objects.create(snapshot_key(newer.number), parquet.encode(kept, newer.to_dict())):
        return None
    for shard, data in abandonments.items():
        put_in_place(objects, commit_key(shard), data)
        if find(objects, shard_key(shard)) is not None:
            forget(objects, shard_key(shard))
    given: list[str] = clips.to_pylist()
    return given
