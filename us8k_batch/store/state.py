"""What a store holds now: the newest snapshot, and what was planned and committed after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.documents import natural
from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects
from us8k_batch.objects.retry import Threads
from us8k_batch.store import parquet
from us8k_batch.store.commits import read_commit
from us8k_batch.store.layout import (
    COMMITS,
    INDEX_SCHEMA,
    PLAN_SCHEMA,
    PLANS,
    RESULT_SCHEMA,
    SNAPSHOTS,
    StoreInfo,
    commit_key,
    numbers,
    snapshot_key,
)
from us8k_batch.store.plans import PlanRecord, list_plans, read_plan
from us8k_batch.store.spool import gather

Item = TypeVar("Item")
Result = TypeVar("Result")

FRESH_BYTES = 32 << 20
"""Bytes of pooled vectors that are kept until they are published, which spares reading their commits again."""
READERS = 8
"""Objects read at the same time; they are small, and a bucket answers each in tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """What a snapshot's footer tells."""

    number: int
    """Place in the sequence of snapshots, from 1."""
    snapshot_id: str
    """Digest of what is published from it; the published tables carry the same."""
    plans: tuple[PlanRecord, ...]
    """The plans that it knows, from the first on."""
    settled: int
    """Every shard below this one is committed or abandoned."""
    plan_sha256: dict[int, str]
    """Hex sha256 of those plans, by number."""
    abandoned: dict[int, str]
    """Abandoned shards, with the hex sha256 of their commits."""
    complete: bool
    """Whether every clip of the dataset had its result."""
    pending: int
    """Number of clips whose result was not there yet."""
    metadata_columns: tuple[str, ...]
    """The dataset's columns, in its order."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON that is stored; the number is the key's alone."""
        return {
            "snapshot_id": self.snapshot_id,
            "plans": [plan.to_dict() for plan in self.plans],
            "settled": self.settled,
            "plan_sha256": {str(number): digest for number, digest in sorted(self.plan_sha256.items())},
            "abandoned": {str(shard): digest for shard, digest in sorted(self.abandoned.items())},
            "complete": self.complete,
            "pending": self.pending,
            "metadata_columns": list(self.metadata_columns),
        }

    @classmethod
    def from_dict(cls, number: int, values: Mapping[str, Any]) -> SnapshotRecord:
        """Build from stored JSON."""
        return cls(
            number,
            str(values["snapshot_id"]),
            tuple(PlanRecord.from_dict(plan) for plan in values["plans"]),
            natural(values["settled"]),
            {natural(int(plan)): str(digest) for plan, digest in values["plan_sha256"].items()},
            {natural(int(shard)): str(digest) for shard, digest in values["abandoned"].items()},
            bool(values["complete"]),
            natural(values["pending"]),
            tuple(str(name) for name in values["metadata_columns"]),
        )


@dataclass(frozen=True, slots=True)
class State:
    """What is committed and what is still to be settled."""

    snapshot: SnapshotRecord | None
    """The newest snapshot; None before the first publication."""
    published: pa.Table | None
    """That snapshot's whole table."""
    index: pa.Table
    """Every committed row, in `INDEX_SCHEMA`, ascending; `state` is null if committed since the snapshot."""
    pending: pa.Table
    """Rows handed out in shards that are not committed: a plan's columns and `plan`, ascending."""
    plans: tuple[PlanRecord, ...]
    """All plans, from the first on."""
    plan_sha256: dict[int, str] = field(default_factory=dict)
    """Hex sha256 of the plans, by number."""
    abandoned: dict[int, str] = field(default_factory=dict)
    """Abandoned shards, with the hex sha256 of their commits."""
    fresh: dict[int, pa.Array] = field(default_factory=dict)
    """Pooled vectors of shards that were committed since the snapshot, of as many as fit `FRESH_BYTES`."""

    def end_row(self, info: StoreInfo) -> int:
        """Return one past the highest row that any plan handed out."""
        return self.plans[-1].end_row(info) if self.plans else 0

    @property
    def snapshot_number(self) -> int:
        """Number of the newest snapshot, or 0."""
        return self.snapshot.number if self.snapshot else 0

    @property
    def versions(self) -> dict[int, dict[str, str]]:
        """Engine and library versions by plan number."""
        return {plan.number: plan.versions for plan in self.plans}


def newest_snapshot(objects: Objects) -> int:
    """Return the number of the newest snapshot, or 0."""
    return max(numbers(objects, SNAPSHOTS), default=0)


def read_snapshot(objects: Objects, number: int) -> tuple[SnapshotRecord, pa.Table]:
    """Read a snapshot; of a long one, memory holds only what is looked at."""
    key = snapshot_key(number)
    with objects.open(key) as file:
        pieces = parquet.Pieces(file, key)
        try:
            record = SnapshotRecord.from_dict(number, parquet.metadata_of(pieces.schema, key))
            table = gather(pieces.schema.remove_metadata(), pieces)
            if not table.select(INDEX_SCHEMA.names).schema.equals(INDEX_SCHEMA):
                raise ValueError("its columns have other types")
        except (KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
            raise DamageError(f"{key}: not a snapshot of this format ({error}); run us8k verify") from error
    return record, table


def load_state(objects: Objects, info: StoreInfo, earlier: State | None = None) -> State:
    """Read the newest snapshot, and the plans and commits that it does not know.

    Parameters
    ----------
    objects, info
        The store.
    earlier : State, optional
        What was found before. Snapshots and commits never change, so that those it knows are not read again; unless
        there is a newer snapshot, which may know better.
    """
    number = newest_snapshot(objects)
    if earlier is not None and number == earlier.snapshot_number:
        snapshot, published, index = earlier.snapshot, earlier.published, earlier.index
        abandoned, fresh = dict(earlier.abandoned), dict(earlier.fresh)
    else:
        snapshot, published = read_snapshot(objects, number) if number else (None, None)
        index = committed_rows(published) if published is not None else INDEX_SCHEMA.empty_table()
        abandoned, fresh = dict(snapshot.abandoned) if snapshot else {}, {}
    known = snapshot.plans if snapshot else ()
    settled = snapshot.settled if snapshot else 0

    after = commit_key(settled - 1) if settled else ""
    committed = numbers(objects, COMMITS, after)
    open_plans = [plan.number for plan in known if plan.end_shard(info) > settled]
    new_plans = [plan for plan in list_plans(objects) if plan > len(known)]
    read = dict(in_parallel(lambda n: (n, read_plan(objects, n)), [*open_plans, *new_plans]))
    if sorted(read) != open_plans + list(range(len(known) + 1, len(known) + len(new_plans) + 1)):
        raise DamageError(f"{PLANS}: a plan is missing; run us8k verify")
    planned = _join_plans([(number, table) for number, (_, table, _) in sorted(read.items())])
    plan_sha256 = {number: digest for number, (_, _, digest) in read.items()}
    plan_sha256.update(snapshot.plan_sha256 if snapshot else {})

    indexed = set(_shards_from(index, settled, info)) | set(abandoned)
    new = [shard for shard in committed if shard >= settled and shard not in indexed]
    rows = gather(INDEX_SCHEMA, _read_commits(objects, info, new, planned, abandoned, fresh))
    index = _merge(index, rows)
    # A shard whose rows the snapshot knows is not open, even if its commit got lost: that is damage.
    closed = pa.array(sorted(indexed.union(committed)), pa.int64())
    is_open = pc.and_(
        pc.greater_equal(planned["shard"], settled), pc.invert(pc.is_in(planned["shard"], value_set=closed))
    )
    plans = (*known, *(read[number][0] for number in new_plans))
    return State(snapshot, published, index, planned.filter(is_open), plans, plan_sha256, abandoned, fresh)


def committed_rows(published: pa.Table) -> pa.Table:
    """Return a snapshot's committed rows, without what it says of clips that have none; those come last."""
    return published.select(INDEX_SCHEMA.names).slice(0, len(published) - published["row"].null_count)


def settled_through(state: State, info: StoreInfo) -> int:
    """Return the shard below which every shard is committed or abandoned."""
    if len(state.pending):
        return int(pc.min(state.pending["shard"]).as_py())
    return state.plans[-1].end_shard(info) if state.plans else 0


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Call a function that waits for storage on every item, a few at a time, in order."""
    items = list(items)
    if len(items) < 2:  # starting a thread takes as long as reading a small file
        return [function(item) for item in items]
    with Threads(min(READERS, len(items))) as pool:
        return list(pool.map(function, items))


def _read_commits(
    objects: Objects,
    info: StoreInfo,
    shards: list[int],
    planned: pa.Table,
    abandoned: dict[int, str],
    fresh: dict[int, pa.Array],
) -> Iterator[pa.Table]:
    """Read commits, some at a time: the rows of those that are no abandonment; others are added to `abandoned`."""
    planned_rows = planned["row"].to_numpy()
    room = FRESH_BYTES // (4 * info.vector_length * info.clips_per_shard)
    kept = frozenset(shards[: max(0, room - len(fresh))])

    def read(shard: int) -> pa.Table:
        metadata, table, digest = read_commit(objects, info, shard)
        if metadata.get("state") == "abandoned":
            abandoned[shard] = digest
            return INDEX_SCHEMA.empty_table()
        first, last = np.searchsorted(planned_rows, np.array([shard, shard + 1]) * info.clips_per_shard)
        seen = planned.slice(int(first), int(last - first))
        if shard in kept:
            fresh[shard] = table["pooled"].combine_chunks()
        return _index_rows(table, seen, metadata, digest, commit_key(shard))

    at_once = max(1, parquet.ROW_GROUP_ROWS // info.clips_per_shard)
    for start in range(0, len(shards), at_once):
        yield pa.concat_tables(in_parallel(read, shards[start : start + at_once]))


def _merge(old: pa.Table, new: pa.Table) -> pa.Table:
    """Put two tables together whose rows ascend, without copying them."""
    place = np.searchsorted(old["row"].to_numpy(), new["row"].to_numpy())
    starts = np.flatnonzero(np.diff(place, prepend=-1)).tolist()
    parts, taken = [], 0
    for start, end in zip(starts, [*starts[1:], len(new)][: len(starts)], strict=True):
        parts += [old.slice(taken, place[start] - taken), new.slice(start, end - start)]
        taken = place[start]
    return pa.concat_tables([*parts, old.slice(taken)])


def _join_plans(plans: list[tuple[int, pa.Table]]) -> pa.Table:
    schema = PLAN_SCHEMA.append(pa.field("plan", pa.int64()))
    tables = [
        table.append_column("plan", pa.repeat(pa.scalar(number, pa.int64()), len(table))) for number, table in plans
    ]
    return pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()


def _shards_from(index: pa.Table, settled: int, info: StoreInfo) -> list[int]:
    rows = index["row"].filter(pc.greater_equal(index["row"], settled * info.clips_per_shard))
    shards: list[int] = pc.unique(pc.divide(rows, info.clips_per_shard)).to_pylist()
    return shards


def _index_rows(commit: pa.Table, seen: pa.Table, metadata: Mapping[str, Any], digest: str, key: str) -> pa.Table:
    """Join one commit's results with what its plan saw of the clips."""
    if not seen.select(["row", "clip_id"]).equals(commit.select(["row", "clip_id"])):
        raise DamageError(f"{key}: its rows are not those that a plan handed out; run us8k verify")
    n = len(commit)
    columns = {name: commit[name] for name in RESULT_SCHEMA.names}
    columns["state"] = pa.nulls(n, pa.string())
    for name in ("size", "mtime_ns", "etag", "plan"):
        columns[name] = seen[name]
    columns["shard_sha256"] = pa.array([metadata.get("shard_sha256")] + [None] * (n - 1), pa.string())
    columns["commit_sha256"] = pa.array([digest] + [None] * (n - 1), pa.string())
    return pa.table({name: columns[name] for name in INDEX_SCHEMA.names}, schema=INDEX_SCHEMA)
