"""What is recorded of a shard: its rows and digests, in the newest snapshot or else in its commit."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import Objects
from us8k_batch.repair.records import Snapshot
from us8k_batch.store.commits import read_commit
from us8k_batch.store.layout import RESULT_SCHEMA, StoreInfo
from us8k_batch.store.plans import PlanRecord, list_plans, read_plan


@dataclass(frozen=True, slots=True)
class Recorded:
    """A shard that was committed."""

    shard: int
    rows: pa.Table
    """Its rows, in the columns of `RESULT_SCHEMA`, from its first row on."""
    shard_sha256: str
    """Hex sha256 of its Zarr object."""
    commit_sha256: str
    """Hex sha256 of its commit."""
    versions: Mapping[str, str]
    """Engine and library versions that it was computed with."""


def published_shard(info: StoreInfo, shard: int, snapshot: Snapshot | None) -> Recorded | None:
    """Return what a snapshot says of a shard; None if it has no rows of it."""
    if snapshot is None:
        return None
    record, table = snapshot
    first = shard * info.clips_per_shard
    mine = pc.and_(pc.greater_equal(table["row"], first), pc.less(table["row"], first + info.clips_per_shard))
    rows = table.filter(mine)
    if not len(rows):
        return None
    plan = rows["plan"][0].as_py()
    versions = next((one.versions for one in record.plans if one.number == plan), {})
    shard_sha256, commit_sha256 = (str(rows[name][0].as_py()) for name in ("shard_sha256", "commit_sha256"))
    return Recorded(shard, rows.select(RESULT_SCHEMA.names), shard_sha256, commit_sha256, versions)


def committed_shard(objects: Objects, info: StoreInfo, shard: int) -> Recorded | None:
    """Return what a commit that no publication knows yet says of its shard; None if no plan handed it out."""
    for record, _ in readable_plans(objects):
        if record.first_shard <= shard < record.end_shard(info):
            metadata, rows, digest = read_commit(objects, info, shard)
            shard_sha256 = str(metadata.get("shard_sha256"))
            return Recorded(shard, rows.select(RESULT_SCHEMA.names), shard_sha256, digest, record.versions)
    return None


def planned_clips(objects: Objects, shard: int) -> list[str]:
    """Return the clips that a shard was handed out to, as far as plans can be read."""
    tables = [table.filter(pc.field("shard") == shard) for _, table in readable_plans(objects)]
    return [clip for table in tables for clip in table["clip_id"].to_pylist()]


def readable_plans(objects: Objects) -> list[tuple[PlanRecord, pa.Table]]:
    """Read the plans that can be read, in order."""
    found = []
    for number in list_plans(objects):
        with contextlib.suppress(DamageError, ObjectNotFoundError):
            found.append(read_plan(objects, number)[:2])
    return found
