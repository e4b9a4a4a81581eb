"""Publication: the snapshot, then the tables that everybody reads, each replaced atomically."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import Objects
from us8k_batch.store import parquet
from us8k_batch.store.layout import (
    ARRAY,
    FAILURES,
    FORMAT,
    GROUP,
    POOLED,
    StoreInfo,
    snapshot_key,
)
from us8k_batch.store.plans import list_plans, read_record
from us8k_batch.store.shards import array_metadata, group_metadata
from us8k_batch.store.state import (
    SnapshotRecord,
    State,
    newest_snapshot,
    read_snapshot,
    settled_through,
)
from us8k_batch.store.vectors import read_vectors

FAILURE_COLUMNS = ["clip_id", "stage", "error", "detail"]
RESULT_COLUMNS = ["row", "n_frames", "duration", "digest"]


def publish(
    objects: Objects,
    info: StoreInfo,
    state: State,
    table: pa.Table,
    pending: int,
    metadata_columns: tuple[str, ...],
) -> SnapshotRecord | None:
    """Create the next snapshot from a publication, unless it says nothing new, then replace the tables.

    Returns
    -------
    SnapshotRecord or None
        What is published; None if another run created a snapshot first: load the state and decide anew.
    """
    previous = state.snapshot
    record = SnapshotRecord(
        number=previous.number if previous else 0,
        snapshot_id=_snapshot_id(info, table, pending, metadata_columns),
        plans=state.plans,
        settled=settled_through(state, info),
        abandoned=state.abandoned,
        complete=pending == 0,
        pending=pending,
        metadata_columns=metadata_columns,
    )
    if record != previous or state.published is None or not table.equals(state.published):
        record = replace(record, number=record.number + 1)
        if not objects.create(snapshot_key(record.number), parquet.encode(table, record.to_dict())):
            return None
    while True:
        publish_tables(objects, info, record, table)
        newest = newest_snapshot(objects)
        if newest <= record.number:
            return record
        record, table = read_snapshot(objects, newest)


def publish_tables(objects: Objects, info: StoreInfo, record: SnapshotRecord, table: pa.Table) -> None:
    """Replace the published tables with those of a snapshot; readers see the old ones or the new ones."""
    _cover_all_rows(objects, info)
    if published_id(objects, FAILURES) != record.snapshot_id:
        failures = table.filter(pc.is_in(table["state"], pa.array(["failed", "missing"])))
        metadata = {"format": FORMAT, "snapshot_id": record.snapshot_id}
        objects.replace(FAILURES, parquet.encode(failures.select(FAILURE_COLUMNS), metadata))
    if published_id(objects, POOLED) != record.snapshot_id:
        objects.replace(POOLED, _pooled(objects, info, record, table))
    # A plan that was made meanwhile may have handed out rows that the array does not cover yet.
    _cover_all_rows(objects, info)


def published_id(objects: Objects, key: str) -> str | None:
    """Return the snapshot id in a published table's footer; None if it is missing or damaged."""
    try:
        value = parquet.read_metadata(objects, key).get("snapshot_id")
    except (ObjectNotFoundError, DamageError):
        return None
    return str(value)


def tables_current(objects: Objects, info: StoreInfo, state: State) -> bool:
    """Tell whether the published tables are the newest snapshot's and the array covers every row."""
    if state.snapshot is None:
        return False
    return (
        published_id(objects, POOLED) == state.snapshot.snapshot_id
        and published_id(objects, FAILURES) == state.snapshot.snapshot_id
        and array_rows(objects) == state.end_row(info)
    )


def array_rows(objects: Objects) -> int | None:
    """Return the length of the clip axis; None if the array is missing or its metadata damaged."""
    try:
        return int(json.loads(objects.get(ARRAY))["shape"][0])
    except (ObjectNotFoundError, ValueError, KeyError, TypeError, IndexError):
        return None


def live_table(table: pa.Table, metadata_columns: tuple[str, ...]) -> pa.Table:
    """Return the live rows of a snapshot with the columns that are published, but for the pooled vector."""
    live = table.filter(pc.equal(table["state"], "live"))
    ours = ("clip_id", "fold", "label")
    others = [name for name in metadata_columns if name not in ours]
    return live.select(["clip_id", *others, "fold", "label", *RESULT_COLUMNS])


def _snapshot_id(info: StoreInfo, table: pa.Table, pending: int, metadata_columns: tuple[str, ...]) -> str:
    failures = table.filter(pc.is_in(table["state"], pa.array(["failed", "missing"])))
    parts = (
        info.to_bytes(),
        parquet.encode(live_table(table, metadata_columns), {"pending": pending}),
        parquet.encode(failures.select(FAILURE_COLUMNS), {}),
    )
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _pooled(objects: Objects, info: StoreInfo, record: SnapshotRecord, table: pa.Table) -> bytes:
    live = live_table(table, record.metadata_columns)
    vectors = read_vectors(objects, info, live["row"].to_numpy(), live["digest"])
    for name, values in zip(info.config.pooled_names, vectors.T, strict=True):
        live = live.append_column(name, pa.array(values, pa.float32()))
    used = pc.unique(table.filter(pc.equal(table["state"], "live"))["plan"]).to_pylist()
    metadata: dict[str, Any] = {
        "format": FORMAT,
        "snapshot_id": record.snapshot_id,
        "complete": record.complete,
        "pending": record.pending,
        "config": info.config.to_dict(),
        "frames": info.frames,
        "versions": _distinct([plan.versions for plan in record.plans if plan.number in used]),
    }
    return parquet.encode(live, metadata)


def _distinct(versions: list[dict[str, str]]) -> list[dict[str, str]]:
    return [v for i, v in enumerate(versions) if v not in versions[:i]]


def _cover_all_rows(objects: Objects, info: StoreInfo) -> None:
    """Make the array as long as the highest row that any plan handed out; never shorter than it is."""
    plans = list_plans(objects)
    end = read_record(objects, plans[-1]).end_row(info) if plans else 0
    rows = max(end, array_rows(objects) or 0)
    objects.create(GROUP, group_metadata())
    wanted = array_metadata(info, rows)
    try:
        if objects.get(ARRAY) == wanted:
            return
    except ObjectNotFoundError:
        pass
    objects.replace(ARRAY, wanted)
