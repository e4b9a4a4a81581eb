"""Make a store's small records again out of each other: its description, plans and abandonments."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.config import FeatureConfig
from us8k_batch.documents import natural, read_document
from us8k_batch.errors import ConfigError, DamageError, ObjectNotFoundError, StoreError, Us8kError
from us8k_batch.objects import Objects
from us8k_batch.store import parquet
from us8k_batch.store.commits import OTHER_BYTES, make_abandonment
from us8k_batch.store.layout import (
    ARRAY,
    PLAN_SCHEMA,
    POOLED,
    SNAPSHOTS,
    StoreInfo,
    commit_key,
    find_info,
    new_info,
    numbers,
    plan_key,
)
from us8k_batch.store.plans import PlanRecord
from us8k_batch.store.publish import find, is_publication
from us8k_batch.store.shards import array_metadata
from us8k_batch.store.state import SnapshotRecord, read_snapshot

SNAPSHOTS_TRIED = 16
"""Snapshots that are asked what a plan saw: the oldest that know it say it best."""
GIVEN_UP = "what it held was damaged and could not be made again"
"""Why a repair abandons a shard."""
REASONS = (GIVEN_UP, OTHER_BYTES, "engine or numeric library versions are no longer those of its plan")
REASONS_OF_CLIPS = ("a clip left the dataset: ", "a clip is no longer as its plan saw it: ")

Snapshot = tuple[SnapshotRecord, pa.Table]


def readable_snapshots(objects: Objects) -> Iterator[Snapshot]:
    """Yield the snapshots that can be read, newest first."""
    for number in reversed(numbers(objects, SNAPSHOTS)):
        with contextlib.suppress(DamageError, ObjectNotFoundError):
            yield read_snapshot(objects, number)


def mend_info(objects: Objects) -> bytes | None:
    """Return what ``us8k.json`` should be, if it is not; None if it is right, or nothing says what is.

    It is right if the array's metadata are those of its parameters, or the newest snapshot's id is.
    """
    there = None
    with contextlib.suppress(StoreError):
        there = find_info(objects)
    snapshot = next(readable_snapshots(objects), None)
    candidates = [there] if there else []
    candidates.extend(_described(objects))
    for info in candidates:
        if _is_proved(objects, info, snapshot):
            return info.to_bytes() if info != there else None
    return None


def fits_array(objects: Objects, info: StoreInfo) -> bool:
    """Tell whether the array's metadata are those that a description makes, whatever the number of rows."""
    there = find(objects, ARRAY)
    if there is None:
        return False
    try:
        rows = natural(read_document(there)["shape"][0])
    except (ValueError, KeyError, IndexError, TypeError):
        return False
    return there == array_metadata(info, rows)


def mend_plan(
    objects: Objects, info: StoreInfo, record: PlanRecord, digest: str, snapshots: Iterable[Snapshot]
) -> bytes | None:
    """Make a published plan again; None if what comes out has not the recorded digest.

    Parameters
    ----------
    objects, info
        The store.
    record : PlanRecord
        What the newest snapshot says of it.
    digest : str
        Hex sha256 that the plan had.
    snapshots : iterable of SnapshotRecord and table
        Those that know it, oldest first: sizes and times are the plan's as long as no clip was touched.
    """
    for table in _planned(objects, info, record, snapshots):
        with contextlib.suppress(pa.ArrowException, ValueError):
            found = with_digest(parquet.encodings(table.cast(PLAN_SCHEMA), record.to_dict()), digest)
            if found is not None:
                return found
    return None


def mend_abandonment(
    objects: Objects, info: StoreInfo, shard: int, digest: str, clips: Iterable[str]
) -> bytes | None:
    """Make a shard's abandonment again, whichever of the known reasons it gives; `clips` may be named in it."""
    reasons = [*REASONS, *(why + clip for clip in clips for why in REASONS_OF_CLIPS)]
    with contextlib.suppress(DamageError, ObjectNotFoundError):
        reasons.append(str(parquet.read_metadata(objects, commit_key(shard)).get("reason")))
    made = (parquet.encodings(*make_abandonment(info, shard, reason)) for reason in reasons)
    return with_digest(itertools.chain.from_iterable(made), digest)


def _described(objects: Objects) -> Iterator[StoreInfo]:
    """Yield what other objects say that the description is."""
    try:
        config = FeatureConfig.from_dict(parquet.read_metadata(objects, POOLED)["config"])
    except (Us8kError, KeyError, TypeError, AttributeError):
        return
    with contextlib.suppress(ConfigError):
        yield new_info(config)
    with contextlib.suppress(ObjectNotFoundError, ValueError, KeyError, IndexError, TypeError, ConfigError):
        grid = read_document(objects.get(ARRAY))["chunk_grid"]["configuration"]["chunk_shape"]
        yield new_info(config, natural(grid[0]))
    with contextlib.suppress(DamageError, ObjectNotFoundError, KeyError, ConfigError, TypeError):
        planned = parquet.decode(objects.get(plan_key(1)), plan_key(1))
        second = pc.index(planned["shard"], 1).as_py()
        if second > 0:
            yield new_info(config, second)


def _is_proved(objects: Objects, info: StoreInfo, snapshot: Snapshot | None) -> bool:
    if snapshot is not None:
        record, table = snapshot
        if is_publication(info, record, table):
            return True
    return fits_array(objects, info)


def _planned(
    objects: Objects, info: StoreInfo, record: PlanRecord, snapshots: Iterable[Snapshot]
) -> Iterator[pa.Table]:
    """Yield tables that may be the plan's: its own, if only its wrapping is damaged, then what snapshots tell."""
    with contextlib.suppress(DamageError, ObjectNotFoundError):
        yield parquet.decode(objects.get(plan_key(record.number)), plan_key(record.number))
    first, end = record.first_shard * info.clips_per_shard, record.end_row(info)
    for tried, (_, table) in enumerate(snapshots):
        mine = pc.and_(pc.greater_equal(table["row"], first), pc.less(table["row"], end))
        rows = table.filter(mine).sort_by("row")
        if len(rows) == record.n_clips:
            yield pa.table(
                {
                    "row": rows["row"],
                    "shard": pc.divide(rows["row"], info.clips_per_shard),
                    **{name: rows[name] for name in ("clip_id", "size", "mtime_ns", "etag")},
                }
            )
        if tried + 1 == SNAPSHOTS_TRIED:
            return


def with_digest(candidates: Iterable[bytes], digest: str) -> bytes | None:
    """Return the first of some bytes that have this hex sha256; None if none have."""
    return next((data for data in candidates if hashlib.sha256(data).hexdigest() == digest), None)
