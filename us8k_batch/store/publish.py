"""Publication: the snapshot, then the tables that everybody reads, each replaced atomically."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
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
from us8k_batch.store.spool import spooled
from us8k_batch.store.state import (
    SnapshotRecord,
    State,
    newest_snapshot,
    read_snapshot,
    settled_through,
)
from us8k_batch.store.vectors import Vectors

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
        snapshot_id=digest_publication(info, table, pending, metadata_columns),
        plans=state.plans,
        plan_sha256=state.plan_sha256,
        settled=settled_through(state, info),
        abandoned=state.abandoned,
        complete=pending == 0,
        pending=pending,
        metadata_columns=metadata_columns,
    )
    if record != previous or state.published is None or not parquet.same(table, state.published):
        record = replace(record, number=record.number + 1)
        with spooled(lambda file: parquet.write(file, table.schema, [table], record.to_dict())) as snapshot:
            if not objects.create(snapshot_key(record.number), snapshot):
                return None
    while True:
        publish_tables(objects, info, record, table, state.fresh)
        newest = newest_snapshot(objects)
        if newest <= record.number:
            return record
        record, table = read_snapshot(objects, newest)


def publish_tables(
    objects: Objects,
    info: StoreInfo,
    record: SnapshotRecord,
    table: pa.Table,
    fresh: Mapping[int, pa.Array] | None = None,
) -> None:
    """Replace the published tables with those of a snapshot; readers see the old ones or the new ones.

    `fresh` has the pooled vectors of some shards, as `State.fresh` does.
    """
    _cover_all_rows(objects, info, record)
    if published_id(objects, FAILURES) != record.snapshot_id:
        objects.replace(FAILURES, parquet.encode(failure_table(table), failure_metadata(record)))
    if published_id(objects, POOLED) != record.snapshot_id:
        with (
            Vectors(objects, info, fresh) as vectors,
            spooled(lambda file: _write_pooled(file, info, record, table, vectors)) as pooled,
        ):
            objects.replace(POOLED, pooled)
    # A plan that was made meanwhile may have handed out rows that the array does not cover yet.
    _cover_all_rows(objects, info, record)


def published_id(objects: Objects, key: str) -> str | None:
    """Return the snapshot id in a published table's footer; None if it is missing or damaged."""
    try:
        value = parquet.read_metadata(objects, key).get("snapshot_id")
    except (ObjectNotFoundError, DamageError):
        return None
    return value if isinstance(value, str) else None


def published_rows(objects: Objects, key: str) -> int:
    """Return the number of rows of a published table; 0 if nothing was published."""
    try:
        return parquet.read_length(objects, key)
    except ObjectNotFoundError:
        return 0


def tables_current(objects: Objects, info: StoreInfo, state: State) -> bool:
    """Tell whether the published tables are the newest snapshot's, and the array's metadata what they should be."""
    if state.snapshot is None:
        return False
    return (
        published_id(objects, POOLED) == state.snapshot.snapshot_id
        and published_id(objects, FAILURES) == state.snapshot.snapshot_id
        and find(objects, ARRAY) == array_metadata(info, state.end_row(info))
        and find(objects, GROUP) == group_metadata()
    )


def find(objects: Objects, key: str) -> bytes | None:
    """Return an object's bytes, or None if there is none."""
    try:
        return objects.get(key)
    except ObjectNotFoundError:
        return None


def live_table(table: pa.Table, metadata_columns: tuple[str, ...]) -> pa.Table:
    """Return the live rows of a snapshot with the columns that are published, but for the pooled vector."""
    return pa.concat_tables(live_pieces(table, metadata_columns))


def live_pieces(table: pa.Table, metadata_columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Give the rows of `live_table`, a row group at a time, and at least an empty piece."""
    ours = ("clip_id", "fold", "label")
    others = [name for name in metadata_columns if name not in ours]
    wanted = table.select(["clip_id", *others, "fold", "label", *RESULT_COLUMNS])
    live = np.flatnonzero(pc.equal(table["state"], "live").to_numpy())
    for start in range(0, max(1, len(live)), parquet.ROW_GROUP_ROWS):
        places = live[start : start + parquet.ROW_GROUP_ROWS]
        first, end = (places[0], places[-1] + 1) if len(places) else (0, 0)
        yield wanted.slice(first, end - first).take(pa.array(places - first))


def failure_table(table: pa.Table) -> pa.Table:
    """Return what a snapshot publishes of clips without a result."""
    return table.select(FAILURE_COLUMNS).filter(pc.is_in(table["state"], pa.array(["failed", "missing"])))


def failure_metadata(record: SnapshotRecord) -> dict[str, Any]:
    """Return what the footer of ``failures.parquet`` says."""
    return {"format": FORMAT, "snapshot_id": record.snapshot_id}


def pooled_metadata(info: StoreInfo, record: SnapshotRecord, table: pa.Table) -> dict[str, Any]:
    """Return what the footer of ``pooled.parquet`` says."""
    used = pc.unique(table["plan"].filter(pc.equal(table["state"], "live"))).to_pylist()
    return {
        "format": FORMAT,
        "snapshot_id": record.snapshot_id,
        "complete": record.complete,
        "pending": record.pending,
        "config": info.config.to_dict(),
        "frames": info.frames,
        "versions": _distinct([plan.versions for plan in record.plans if plan.number in used]),
    }


def digest_publication(
    info: StoreInfo, table: pa.Table, pending: int, metadata_columns: tuple[str, ...], manner: int = parquet.NOW
) -> str:
    """Return the id of a publication: hex sha256 of all that its readers see, written in a manner of `parquet`'s."""
    live, failures = live_pieces(table, metadata_columns), failure_table(table)
    first = next(live)
    parts = (
        hashlib.sha256(info.to_bytes()).digest(),
        parquet.digest(first.schema, itertools.chain([first], live), {"pending": pending}, manner),
        parquet.digest(failures.schema, [failures], {}, manner),
    )
    return hashlib.sha256(b"".join(parts)).hexdigest()


def is_publication(info: StoreInfo, record: SnapshotRecord, table: pa.Table) -> bool:
    """Tell whether a snapshot's id is that of what it publishes, in whatever manner that was written."""
    return any(
        digest_publication(info, table, record.pending, record.metadata_columns, manner) == record.snapshot_id
        for manner in parquet.MANNERS
    )


def _write_pooled(file: BinaryIO, info: StoreInfo, record: SnapshotRecord, table: pa.Table, vectors: Vectors) -> None:
    def with_vectors(live: pa.Table) -> pa.Table:
        values = vectors.read(live["row"].to_numpy(), live["digest"])
        for name, column in zip(info.config.pooled_names, values.T, strict=True):
            live = live.append_column(name, pa.array(column, pa.float32()))
        return live

    pieces = map(with_vectors, live_pieces(table, record.metadata_columns))
    first = next(pieces)
    parquet.write(file, first.schema, itertools.chain([first], pieces), pooled_metadata(info, record, table))


def _distinct(versions: list[dict[str, str]]) -> list[dict[str, str]]:
    return [v for i, v in enumerate(versions) if v not in versions[:i]]


def _cover_all_rows(objects: Objects, info: StoreInfo, record: SnapshotRecord) -> None:
    """Make the array as long as the highest row that any plan handed out; never shorter than a snapshot needs.

    A plan comes before the metadata that cover it. A publisher that a plan overtakes looks until nothing changes.
    """
    if find(objects, GROUP) != group_metadata():
        objects.replace(GROUP, group_metadata())
    while True:
        there = find(objects, ARRAY)
        listed = [read_record(objects, number) for number in list_plans(objects)[-1:]]
        rows = max((plan.end_row(info) for plan in (*record.plans[-1:], *listed)), default=0)
        wanted = array_metadata(info, rows)
        if there == wanted:
            return
        objects.replace(ARRAY, wanted)
