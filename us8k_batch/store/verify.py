"""Prove a store: every digest, Zarr against commits against the published tables, and orphans."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from us8k_batch.errors import DamageError, ObjectNotFoundError, Us8kError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store import parquet
from us8k_batch.store.commits import digest_frames, read_commit
from us8k_batch.store.finding import Finding, named
from us8k_batch.store.layout import (
    COMMITS,
    DAMAGED,
    PLANS,
    RESULT_SCHEMA,
    StoreInfo,
    commit_key,
    number_of,
    plan_key,
    read_info,
    shard_key,
    split_by_shard,
    written_off_key,
)
from us8k_batch.store.orphans import find_orphans
from us8k_batch.store.plans import list_plans, read_plan
from us8k_batch.store.publish import find
from us8k_batch.store.run_records import verify_runs
from us8k_batch.store.shards import decode_shard
from us8k_batch.store.state import State, in_parallel, load_state
from us8k_batch.store.verify_published import verify_published

SHARDS_AT_ONCE = 256
"""Shards between two looks at how far it is."""


@dataclass(slots=True)
class Verification:
    """What was proved, and what was found."""

    store: str
    shards: int = 0
    """Shards whose every row was compared with its digest."""
    rows: int = 0
    """Rows compared."""
    findings: list[Finding] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    """Objects that nothing refers to; harmless, left by runs that were stopped."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def verify(path: str, tell: Callable[[str], None] = lambda _: None) -> Verification:
    """Read every object of a store and compare it with what was committed.

    Parameters
    ----------
    path : str
        Local path or URL.
    tell : callable
        Told how far it is.

    Raises
    ------
    StoreError
        If there is no store, or one of another format.
    """
    objects = open_objects(path)
    return verify_objects(objects, read_info(objects), tell)


def verify_objects(objects: Objects, info: StoreInfo, tell: Callable[[str], None] = lambda _: None) -> Verification:
    """Prove a store that is open already."""
    done = Verification(objects.url)
    try:
        state = load_state(objects, info)
    except (DamageError, ObjectNotFoundError) as error:
        done.findings.extend(_unreadable(objects, info, error))
        return done
    done.findings.extend(_verify_plans(objects, info, state))
    shards = [
        (shard, state.index.slice(start, end - start))
        for shard, start, end in split_by_shard(state.index["row"].to_numpy(), info.clips_per_shard)
    ]
    tell(f"verifying {len(shards)} shards, {len(state.index)} rows")
    for start in range(0, len(shards), SHARDS_AT_ONCE):
        part = shards[start : start + SHARDS_AT_ONCE]
        for findings, rows in in_parallel(lambda s: _verify_shard(objects, info, *s), part):
            done.findings.extend(findings)
            done.shards += not findings
            done.rows += rows
    for shard, digest in state.abandoned.items():
        data = find(objects, commit_key(shard))
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            done.findings.append(Finding(commit_key(shard), "not the abandonment that was recorded"))
    done.findings.extend(verify_published(objects, info, state))
    done.findings.extend(verify_runs(objects))
    done.orphans.extend(find_orphans(objects, info, state))
    return done


def _verify_plans(objects: Objects, info: StoreInfo, state: State) -> Iterator[Finding]:
    recorded = state.snapshot.plan_sha256 if state.snapshot else {}
    end = 0
    for known in state.plans:
        key = plan_key(known.number)
        first = known.first_shard * info.clips_per_shard
        try:
            record, table, digest = read_plan(objects, known.number)
            expected = recorded.get(known.number)
            as_recorded = digest == expected if expected else parquet.is_as_written(objects.get(key), key)
        except ObjectNotFoundError as error:
            # What a settled plan handed out stands in commits; if it is lost for good, that was said once.
            settled = state.snapshot is not None and known.end_shard(info) <= state.snapshot.settled
            if not (settled and find(objects, written_off_key(key)) is not None):
                yield Finding(key, str(error))
        except DamageError as error:
            yield Finding(key, str(error))
        else:
            if record != known or not as_recorded:
                yield Finding(key, "not the plan that was recorded", named(table["clip_id"].to_pylist()))
            elif known.first_shard != end or not np.array_equal(
                table["row"].to_numpy(), np.arange(first, first + known.n_clips)
            ):
                yield Finding(key, "hands out other rows than its place allows", named(table["clip_id"].to_pylist()))
        end = known.end_shard(info)


def _verify_shard(objects: Objects, info: StoreInfo, shard: int, index: pa.Table) -> tuple[list[Finding], int]:
    """Compare a shard's commit and frames with the index, row by row."""
    clips = named(index["clip_id"].to_pylist())
    key = commit_key(shard)
    try:
        metadata, commit, digest = read_commit(objects, info, shard)
        is_known = index["state"].null_count == 0
        as_recorded = is_known or parquet.is_as_written(objects.get(key), key)
    except (DamageError, ObjectNotFoundError) as error:
        return [Finding(key, str(error), clips)], 0
    names = RESULT_SCHEMA.names
    expected = {"commit_sha256": digest, "shard_sha256": metadata.get("shard_sha256")}
    as_recorded &= all(index[name][0].as_py() == value for name, value in expected.items())
    if not as_recorded or not commit.select(names).equals(index.select(names)):
        return [Finding(key, "not the commit that was recorded", clips)], 0
    key = shard_key(shard)
    try:
        data = objects.get(key)
        frames = decode_shard(info, data, len(commit), key)
    except (DamageError, ObjectNotFoundError) as error:
        return [Finding(key, str(error), clips)], 0
    wrong = []
    for i, row in enumerate(commit.select(["clip_id", "n_frames", "digest"]).to_pylist()):
        there = frames[i, :, : row["n_frames"] or 0]
        rest = frames[i, :, row["n_frames"] or 0 :]
        if (row["digest"] is not None and digest_frames(there) != row["digest"]) or not np.isnan(rest).all():
            wrong.append(row["clip_id"])
    findings = [Finding(key, f"{len(wrong)} rows are not what was committed", named(wrong))] if wrong else []
    if not wrong and hashlib.sha256(data).hexdigest() != metadata["shard_sha256"]:
        findings.append(Finding(key, "other bytes than were committed, though every row decodes the same", clips))
    return findings, len(commit)


def _unreadable(objects: Objects, info: StoreInfo, error: Us8kError) -> Iterator[Finding]:
    """Name every object that cannot be read, when that keeps the state from being loaded."""
    clips: dict[int, list[str]] = {}
    seen = False
    for number in list_plans(objects):
        try:
            table = read_plan(objects, number)[1]
        except DamageError as fault:
            seen |= str(fault) == str(error)
            yield Finding(plan_key(number), str(fault))
        else:
            for shard, clip in zip(table["shard"].to_pylist(), table["clip_id"].to_pylist(), strict=True):
                clips.setdefault(shard, []).append(clip)
    for stored in sorted(found.key for found in objects.list("") if found.key.endswith(".parquet")):
        if stored.startswith(f"{DAMAGED}/"):
            continue
        shard = number_of(stored) if stored.startswith(f"{COMMITS}/") else None
        try:
            if shard is None:
                parquet.decode(objects.get(stored), stored)
            else:
                read_commit(objects, info, shard)
        except DamageError as fault:
            if not stored.startswith(f"{PLANS}/"):
                seen |= str(fault) == str(error)
                yield Finding(stored, str(fault), named(clips.get(shard, [])) if shard is not None else ())
    if not seen:
        yield Finding(str(error).partition(":")[0], str(error))
