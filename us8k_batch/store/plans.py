"""Plans: the records that hand out rows, each created once, numbered without gaps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.documents import natural
from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects
from us8k_batch.store import parquet
from us8k_batch.store.layout import PLAN_SCHEMA, PLANS, StoreInfo, numbers, plan_key


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """What a plan's footer tells."""

    number: int
    """Place in the sequence of plans, from 1."""
    first_shard: int
    """First shard that it handed out."""
    n_clips: int
    """Number of rows that it handed out, from the first row of `first_shard` on."""
    versions: dict[str, str]
    """Engine and numeric library versions that its clips are to be computed with."""

    def end_row(self, info: StoreInfo) -> int:
        """Return one past the highest row that it handed out."""
        return self.first_shard * info.clips_per_shard + self.n_clips

    def end_shard(self, info: StoreInfo) -> int:
        """Return one past the last shard that it handed out."""
        return self.first_shard + -(-self.n_clips // info.clips_per_shard)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON that is stored."""
        return {
            "number": self.number,
            "first_shard": self.first_shard,
            "n_clips": self.n_clips,
            "versions": self.versions,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PlanRecord:
        """Build from stored JSON."""
        return cls(
            natural(values["number"]),
            natural(values["first_shard"]),
            natural(values["n_clips"]),
            {str(name): str(version) for name, version in values["versions"].items()},
        )


def list_plans(objects: Objects) -> list[int]:
    """List the numbers of the plans in a store, ascending."""
    return numbers(objects, PLANS)


def read_plan(objects: Objects, number: int) -> tuple[PlanRecord, pa.Table, str]:
    """Read a plan whole: its record, its rows, and the hex sha256 of the object.

    Raises
    ------
    DamageError
        If it is not a plan.
    """
    key = plan_key(number)
    data = objects.get(key)
    table = parquet.decode(data, key)
    record = _record(parquet.metadata_of(table, key), number)
    if not table.schema.equals(PLAN_SCHEMA) or len(table) != record.n_clips:
        raise DamageError(f"{key}: does not hold the rows of a plan; run us8k verify")
    return record, table.replace_schema_metadata(None), hashlib.sha256(data).hexdigest()


def read_record(objects: Objects, number: int) -> PlanRecord:
    """Read a plan's record, from its footer alone."""
    return _record(parquet.read_metadata(objects, plan_key(number)), number)


def create_plan(
    objects: Objects,
    info: StoreInfo,
    previous: PlanRecord | None,
    clips: pa.Table,
    versions: dict[str, str],
) -> tuple[PlanRecord, pa.Table] | None:
    """Hand out rows to clips by creating the next plan.

    Parameters
    ----------
    objects, info
        The store.
    previous : PlanRecord or None
        The newest plan there is.
    clips : pa.Table
        Columns clip_id, size, mtime_ns, etag, in the order in which rows are to be handed out.
    versions : dict of str to str
        Engine and numeric library versions.

    Returns
    -------
    tuple of PlanRecord and pa.Table, or None
        The new plan; None if another run created one with this number first: look again, then plan anew.
    """
    first_shard = previous.end_shard(info) if previous else 0
    record = PlanRecord(previous.number + 1 if previous else 1, first_shard, len(clips), versions)
    start = first_shard * info.clips_per_shard
    rows = pa.array(np.arange(start, start + len(clips), dtype=np.int64))
    table = pa.table(
        {
            "row": rows,
            "shard": pc.divide(rows, info.clips_per_shard),
            **{name: clips[name] for name in ("clip_id", "size", "mtime_ns", "etag")},
        },
        schema=PLAN_SCHEMA,
    )
    created = objects.create(plan_key(record.number), parquet.encode(table, record.to_dict()))
    return (record, table) if created else None


def _record(values: Mapping[str, Any], number: int) -> PlanRecord:
    try:
        record = PlanRecord.from_dict(values)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DamageError(f"{plan_key(number)}: not the record of a plan ({error}); run us8k verify") from error
    if record.number != number:
        raise DamageError(f"{plan_key(number)}: is plan {record.number}; run us8k verify")
    return record
