"""Rewrite a store without its superseded and removed rows, as a fresh extraction would have made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.errors import DamageError, Failure, StoreError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store.commits import ClipResult, Outcome, commit_shard
from us8k_batch.store.frames import Frames
from us8k_batch.store.layout import LEASE, StoreInfo, create_info, find_info, read_info
from us8k_batch.store.plans import PlanRecord, create_plan, read_plan
from us8k_batch.store.probe import probe
from us8k_batch.store.publish import publish
from us8k_batch.store.state import SnapshotRecord, load_state
from us8k_batch.store.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was rewritten."""

    store: str
    """The new store."""
    rows_before: int
    """Rows of the old store, live or not."""
    rows: int
    """Rows of the new one."""
    snapshot_id: str


def compact(path: str, new_path: str, tell: Callable[[str], None] = lambda _: None) -> Compacted:
    """Copy the live and failed rows of a store into a new one, ordered by fold, then clip_id.

    Parameters
    ----------
    path, new_path : str
        Local paths or URLs. The new store is absent, or was left by the same command when it was stopped.
    tell : callable
        Told how far it is.

    Raises
    ------
    StoreError
        If there is nothing to copy, or another store is there already.
    DamageError
        If a row is not what was committed; nothing damaged is copied.
    """
    old, new = open_objects(path), open_objects(new_path)
    info = read_info(old)
    state = load_state(old, info)
    if state.snapshot is None or state.published is None:
        raise StoreError(f"{old.url}: nothing was published here yet; run us8k extract until it is done")
    if old.url == new.url:
        raise StoreError(f"{new.url}: the new store must be another one")
    if find_info(new) is None and any(not found.key.startswith(f"{LEASE}/") for found in new.list("")):
        raise StoreError(f"{new.url}: something is there already; choose an empty place")
    probe(new)
    if create_info(new, info) != info:
        raise StoreError(f"{new.url}: another store is there already; choose an empty place")
    kept = state.published.filter(pc.is_in(state.published["state"], pa.array(["live", "failed"])))
    record: PlanRecord | None = None
    parts = []
    for versions, rows in _by_versions(kept, state.versions):
        wanted = rows.take(pc.sort_indices(rows, sort_keys=[("fold", "ascending"), ("clip_id", "ascending")]))
        record, planned = _hand_out(new, info, record, wanted, versions)
        parts.append(wanted)
        tell(f"copying {len(wanted)} rows")
        with Vectors(old, info) as vectors:
            _copy(old, new, info, wanted, planned, vectors, state.end_row(info))
    copied = pa.concat_tables(parts).combine_chunks() if parts else kept
    snapshot_id = _publish(new, info, copied, state.published, state.snapshot)
    return Compacted(new.url, len(state.index), len(copied), snapshot_id)


def _by_versions(kept: pa.Table, versions: dict[int, dict[str, str]]) -> Iterator[tuple[dict[str, str], pa.Table]]:
    """Group rows by the versions that computed them: one plan each."""
    groups: list[tuple[dict[str, str], list[int]]] = []
    for number in sorted(pc.unique(kept["plan"]).to_pylist()):
        for used, numbers in groups:
            if used == versions[number]:
                numbers.append(number)
                break
        else:
            groups.append((versions[number], [number]))
    for used, numbers in groups:
        yield used, kept.filter(pc.is_in(kept["plan"], pa.array(numbers, pa.int64())))


def _hand_out(
    new: Objects, info: StoreInfo, previous: PlanRecord | None, wanted: pa.Table, versions: dict[str, str]
) -> tuple[PlanRecord, pa.Table]:
    number = previous.number + 1 if previous else 1
    created = create_plan(new, info, previous, wanted, versions)
    record, planned = created or read_plan(new, number)[:2]
    columns = ["clip_id", "size", "mtime_ns", "etag"]
    same = planned.select(columns).equals(wanted.select(columns).combine_chunks())
    if not same or record.versions != versions:
        raise StoreError(f"{new.url}: another store is there already; choose an empty place")
    return record, planned


def _copy(
    old: Objects,
    new: Objects,
    info: StoreInfo,
    wanted: pa.Table,
    planned: pa.Table,
    pooled: Vectors,
    end_row: int,
) -> None:
    for start in range(0, len(wanted), info.clips_per_shard):
        rows = wanted.slice(start, info.clips_per_shard)
        shard = planned["shard"][start].as_py()
        live = rows.filter(pc.is_null(rows["error"]))
        order = pc.sort_indices(live, sort_keys=[("row", "ascending")])
        live = live.take(order)
        # A run may have stopped between a snapshot and the array's metadata, which then lack its last rows.
        frames = Frames(old, info, live, end_row)
        vectors = pooled.read(live["row"].to_numpy(), live["digest"])
        place = {row: i for i, row in enumerate(live["row"].to_pylist())}
        results = [
            _result(planned["row"][start + i].as_py(), row, place, frames, vectors)
            for i, row in enumerate(rows.to_pylist())
        ]
        if commit_shard(new, info, shard, results) is not Outcome.COMMITTED:
            raise DamageError(f"{new.url}: shard {shard} was abandoned; choose an empty place")


def _result(number: int, row: dict[str, Any], place: dict[int, int], frames: Frames, vectors: Any) -> ClipResult:
    if row["error"] is not None:
        failure = Failure(row["stage"], row["error"], row["detail"])
        return ClipResult(number, row["clip_id"], row["source_sha256"], failure=failure)
    at = place[row["row"]]
    return ClipResult(
        number,
        row["clip_id"],
        row["source_sha256"],
        frames[at][:, : row["n_frames"]],
        vectors[at],
        row["duration"],
    )


def _publish(new: Objects, info: StoreInfo, copied: pa.Table, published: pa.Table, snapshot: SnapshotRecord) -> str:
    state = load_state(new, info)
    missing = published.filter(pc.equal(published["state"], "missing"))
    table = state.index
    if len(table) != len(copied) or not table["clip_id"].equals(copied["clip_id"]):
        raise StoreError(f"{new.url}: another store is there already; choose an empty place")
    for name in ("state", *(name for name in copied.column_names if name not in table.column_names)):
        column = copied[name]
        table = (
            table.set_column(table.column_names.index(name), name, column)
            if name in table.column_names
            else table.append_column(name, column)
        )
    table = pa.concat_tables([table, missing.select(table.column_names)]).combine_chunks()
    done = publish(new, info, state, table, snapshot.pending, snapshot.metadata_columns)
    if done is None:
        raise StoreError(f"{new.url}: another run is publishing there; choose an empty place")
    return done.snapshot_id
