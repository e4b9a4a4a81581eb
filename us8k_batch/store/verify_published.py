"""Prove what is published against the snapshots and commits that it was made from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import Objects
from us8k_batch.store import parquet
from us8k_batch.store.commits import read_commit
from us8k_batch.store.finding import Finding, named
from us8k_batch.store.layout import (
    ARRAY,
    FAILURES,
    GROUP,
    INFO,
    POOLED,
    SNAPSHOTS,
    StoreInfo,
    numbers,
    snapshot_key,
    split_by_shard,
    written_off_key,
)
from us8k_batch.store.publish import (
    failure_metadata,
    failure_table,
    find,
    is_publication,
    live_table,
    pooled_metadata,
)
from us8k_batch.store.shards import array_metadata, group_metadata
from us8k_batch.store.state import SnapshotRecord, State, read_snapshot

MEND = "us8k extract mends it"
ANEW = "remove it, and us8k extract makes it anew"


def verify_published(objects: Objects, info: StoreInfo, state: State) -> Iterator[Finding]:
    """Compare the description, the array's metadata, the snapshots and the published tables with what they say."""
    if find(objects, INFO) != info.to_bytes():
        yield Finding(INFO, "other bytes than this program writes for the same description")
    yield from _verify_snapshots(objects, info)
    if state.snapshot is None or state.published is None:
        for key in (POOLED, FAILURES):
            if find(objects, key) is not None:
                yield Finding(key, "is published, and there is no snapshot of it")
        return
    yield from _verify_array(objects, info, state, state.snapshot)
    yield from _verify_failures(objects, state.snapshot, state.published)
    yield from _verify_pooled(objects, info, state.snapshot, state.published)


def _verify_snapshots(objects: Objects, info: StoreInfo) -> Iterator[Finding]:
    found = numbers(objects, SNAPSHOTS)
    for number in sorted(set(range(1, max(found, default=0))) - set(found)):
        # Of an older one nothing depends on; if it is lost for good, that was said once.
        if find(objects, written_off_key(snapshot_key(number))) is None:
            yield Finding(snapshot_key(number), "is missing")
    for number in found:
        key = snapshot_key(number)
        try:
            record, table = read_snapshot(objects, number)
            data = objects.get(key)
            as_written = parquet.is_as_written(data, key)
        except (DamageError, ObjectNotFoundError) as error:
            yield Finding(key, str(error))
            continue
        # The id is a digest of Parquet bytes, which another pyarrow would write otherwise.
        if not as_written or (parquet.is_written_here(data) and not is_publication(info, record, table)):
            yield Finding(key, f"not the snapshot that was published, or {INFO} is not")


def _verify_array(objects: Objects, info: StoreInfo, state: State, snapshot: SnapshotRecord) -> Iterator[Finding]:
    if find(objects, GROUP) != group_metadata():
        yield Finding(GROUP, f"not the metadata of the group; {MEND}")
    # Rows of plans that came after the snapshot are covered by the next publication.
    plans = state.plans[max(0, len(snapshot.plans) - 1) :]
    ends = {plan.end_row(info) for plan in plans} or {0}
    if find(objects, ARRAY) not in {array_metadata(info, end) for end in ends}:
        yield Finding(ARRAY, f"does not cover the rows that plans handed out, or is damaged; {MEND}")


def _verify_failures(objects: Objects, snapshot: SnapshotRecord, published: pa.Table) -> Iterator[Finding]:
    table = _published_table(objects, FAILURES, snapshot)
    if isinstance(table, Finding):
        yield table
    elif parquet.metadata_of(table, FAILURES) != failure_metadata(snapshot) or not parquet.same(
        table.replace_schema_metadata(None), failure_table(published)
    ):
        yield Finding(FAILURES, f"not what the snapshot says; {ANEW}")


def _verify_pooled(
    objects: Objects, info: StoreInfo, snapshot: SnapshotRecord, published: pa.Table
) -> Iterator[Finding]:
    table = _published_table(objects, POOLED, snapshot)
    if isinstance(table, Finding):
        yield table
        return
    expected = live_table(published, snapshot.metadata_columns)
    names = [*expected.column_names, *info.config.pooled_names]
    if (
        table.column_names != names
        or parquet.metadata_of(table, POOLED) != pooled_metadata(info, snapshot, published)
        or not parquet.same(table.select(expected.column_names).replace_schema_metadata(None), expected)
    ):
        yield Finding(POOLED, f"not what the snapshot says; {ANEW}")
    else:
        yield from _verify_vectors(objects, info, table)


def _published_table(objects: Objects, key: str, snapshot: SnapshotRecord) -> pa.Table | Finding:
    try:
        data = objects.get(key)
        table = parquet.decode(data, key)
        record = parquet.metadata_of(table, key)
        as_written = parquet.is_as_written(data, key)
    except ObjectNotFoundError:
        return Finding(key, f"is missing; {MEND}")
    except DamageError as error:
        return Finding(key, f"{error}; {ANEW}")
    if record.get("snapshot_id") != snapshot.snapshot_id:
        return Finding(key, f"not the newest snapshot's; {MEND}")
    return table if as_written else Finding(key, f"other bytes than were written; {ANEW}")


def _verify_vectors(objects: Objects, info: StoreInfo, table: pa.Table) -> Iterator[Finding]:
    rows = table["row"].to_numpy()
    for shard, start, end in split_by_shard(rows, info.clips_per_shard):
        part = table.slice(start, end - start)
        try:
            _, commit, _ = read_commit(objects, info, shard)
        except (DamageError, ObjectNotFoundError):
            continue  # said by the shard's own check
        at = rows[start:end] - shard * info.clips_per_shard
        vectors = commit["pooled"].combine_chunks()
        if at[-1] >= len(commit) or vectors.take(pa.array(at)).null_count:
            continue  # the commit is not what was recorded, which was said as well
        committed = vectors.take(pa.array(at)).flatten().to_numpy().reshape(len(part), -1)
        published = np.column_stack([part[name].to_numpy() for name in info.config.pooled_names])
        wrong = np.flatnonzero((committed != published).any(axis=1))
        if len(wrong):
            clips = named(part["clip_id"].take(pa.array(wrong)).to_pylist())
            yield Finding(POOLED, f"{len(wrong)} pooled vectors are not those that were committed; {ANEW}", clips)
