"""Prove a store: every digest, Zarr against commits against the published tables, and orphans."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store import parquet
from us8k_batch.store.commits import digest_frames, read_commit
from us8k_batch.store.layout import (
    ARRAY,
    FAILURES,
    GROUP,
    INFO,
    POOLED,
    StoreInfo,
    commit_key,
    plan_key,
    read_info,
    shard_key,
    split_by_shard,
)
from us8k_batch.store.plans import list_plans, read_plan
from us8k_batch.store.publish import FAILURE_COLUMNS, array_rows, live_table
from us8k_batch.store.shards import array_metadata, decode_shard, group_metadata
from us8k_batch.store.state import State, in_parallel, load_state

CLIPS_NAMED = 10
"""Clips that a finding names; it counts the others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written."""

    key: str
    """Which object."""
    problem: str
    """What is wrong with it."""
    clips: tuple[str, ...] = ()
    """Clips that it concerns, the first of them."""

    def __str__(self) -> str:
        """Say it in one line."""
        named = f" (clips {', '.join(self.clips)})" if self.clips else ""
        return f"{self.key}: {self.problem}{named}"


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
    info = read_info(objects)
    done = Verification(objects.url)
    try:
        state = load_state(objects, info)
    except DamageError as error:
        done.findings.append(Finding(str(error).partition(":")[0], str(error)))
        done.findings.extend(_unreadable(objects))
        return done
    _verify_plans(objects, info, state, done)
    shards = _shards(state, info)
    tell(f"verifying {len(shards)} shards, {len(state.index)} rows")
    for start in range(0, len(shards), 256):
        part = shards[start : start + 256]
        for findings, rows in in_parallel(lambda s: _verify_shard(objects, info, *s), part):
            done.findings.extend(findings)
            done.shards += 1
            done.rows += rows
    for shard, digest in state.abandoned.items():
        if _sha256(objects, commit_key(shard)) != digest:
            done.findings.append(Finding(commit_key(shard), "not the abandonment that was recorded"))
    done.findings.extend(_verify_published(objects, info, state))
    done.orphans.extend(_orphans(objects, info, state))
    return done


def _shards(state: State, info: StoreInfo) -> list[tuple[int, pa.Table]]:
    split = split_by_shard(state.index["row"].to_numpy(), info.clips_per_shard)
    return [(shard, state.index.slice(start, end - start)) for shard, start, end in split]


def _verify_shard(objects: Objects, info: StoreInfo, shard: int, index: pa.Table) -> tuple[list[Finding], int]:
    """Compare a shard's commit and frames with the index, row by row."""
    clips = _named(index["clip_id"].to_pylist())
    columns = ["row", "clip_id", "source_sha256", "n_frames", "digest", "error"]
    try:
        metadata, commit, digest = read_commit(objects, info, shard)
    except (DamageError, ObjectNotFoundError) as error:
        return [Finding(commit_key(shard), str(error), clips)], 0
    expected = index["commit_sha256"][0].as_py()
    if digest != expected or not commit.select(columns).equals(index.select(columns)):
        return [Finding(commit_key(shard), "not the commit that the snapshot records", clips)], 0
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
    findings = [Finding(key, f"{len(wrong)} rows are not what was committed", _named(wrong))] if wrong else []
    if not wrong and hashlib.sha256(data).hexdigest() != metadata["shard_sha256"]:
        findings.append(Finding(key, "other bytes than were committed, though every row decodes the same"))
    return findings, len(commit)


def _verify_plans(objects: Objects, info: StoreInfo, state: State, done: Verification) -> None:
    end = 0
    for number in list_plans(objects):
        try:
            record, table = read_plan(objects, number)
        except DamageError as error:
            done.findings.append(Finding(plan_key(number), str(error)))
            continue
        rows = table["row"].to_numpy()
        first = record.first_shard * info.clips_per_shard
        agrees = record == state.plans[number - 1] and record.first_shard == end
        if not agrees or not np.array_equal(rows, np.arange(first, first + record.n_clips)):
            done.findings.append(Finding(plan_key(number), "hands out other rows than its place allows"))
        end = record.end_shard(info)


def _verify_published(objects: Objects, info: StoreInfo, state: State) -> Iterator[Finding]:
    if _get(objects, INFO) != info.to_bytes():
        yield Finding(INFO, "other bytes than this program writes for the same description")
    if state.snapshot is None or state.published is None:
        return
    if _get(objects, GROUP) != group_metadata():
        yield Finding(GROUP, "not the metadata of the group; run us8k extract to mend it")
    if array_rows(objects) != state.end_row(info) or _get(objects, ARRAY) != array_metadata(
        info, state.end_row(info)
    ):
        yield Finding(ARRAY, "does not cover the rows that plans handed out; run us8k extract to mend it")
    failures = state.published.filter(pc.is_in(state.published["state"], pa.array(["failed", "missing"])))
    live = live_table(state.published, state.snapshot.metadata_columns)
    for key, expected in ((FAILURES, failures.select(FAILURE_COLUMNS)), (POOLED, live)):
        try:
            table = parquet.decode(objects.get(key), key)
            record = parquet.metadata_of(table, key)
        except (DamageError, ObjectNotFoundError) as error:
            yield Finding(key, f"{error}; run us8k extract to mend it")
            continue
        if record.get("snapshot_id") != state.snapshot.snapshot_id:
            yield Finding(key, "not the newest snapshot's; run us8k extract to mend it")
        elif not set(expected.column_names) <= set(table.column_names) or not table.select(
            expected.column_names
        ).replace_schema_metadata(None).equals(expected):
            yield Finding(key, "not what the snapshot says")
        elif key == POOLED:
            yield from _verify_vectors(objects, info, table)


def _verify_vectors(objects: Objects, info: StoreInfo, table: pa.Table) -> Iterator[Finding]:
    rows = table["row"].to_numpy()
    for shard, start, end in split_by_shard(rows, info.clips_per_shard):
        part = table.slice(start, end - start)
        try:
            _, commit, _ = read_commit(objects, info, shard)
        except (DamageError, ObjectNotFoundError):
            continue  # said by the shard's own check
        pooled = commit["pooled"].combine_chunks().take(pa.array(rows[start:end] - commit["row"][0].as_py()))
        committed = pooled.flatten().to_numpy().reshape(len(part), -1)
        published = np.column_stack([part[name].to_numpy() for name in info.config.pooled_names])
        wrong = np.flatnonzero((committed != published).any(axis=1))
        if len(wrong):
            clips = _named(part["clip_id"].take(pa.array(wrong)).to_pylist())
            yield Finding(POOLED, f"{len(wrong)} pooled vectors are not those that were committed", clips)


def _orphans(objects: Objects, info: StoreInfo, state: State) -> Iterator[str]:
    """List what nothing refers to."""
    committed = {shard for shard, _ in _shards(state, info)}
    known = {INFO, GROUP, ARRAY, POOLED, FAILURES, *(plan_key(plan.number) for plan in state.plans)}
    pending = set(pc.unique(state.pending["shard"]).to_pylist())
    for stored in objects.list(""):
        folder, _, name = stored.key.partition("/")
        shard = _shard_of(stored.key)
        if stored.key in known or folder in ("runs", "lease", "damaged"):
            continue
        if folder in ("commits", "snapshots", "plans") and name.endswith(".parquet"):
            continue
        if shard is not None and (shard in committed or shard in pending):
            continue
        yield stored.key


def _shard_of(key: str) -> int | None:
    number = key.removeprefix("mfcc.zarr/mfcc/c/").partition("/")[0]
    return int(number) if number.isdigit() and key == shard_key(int(number)) else None


def _unreadable(objects: Objects) -> Iterator[Finding]:
    """Name every plan, commit and snapshot that cannot be read, when the state cannot be loaded."""
    for stored in objects.list(""):
        if stored.key.endswith(".parquet"):
            try:
                parquet.decode(objects.get(stored.key), stored.key)
            except DamageError as error:
                yield Finding(stored.key, str(error))


def _get(objects: Objects, key: str) -> bytes | None:
    try:
        return objects.get(key)
    except ObjectNotFoundError:
        return None


def _sha256(objects: Objects, key: str) -> str | None:
    data = _get(objects, key)
    return hashlib.sha256(data).hexdigest() if data is not None else None


def _named(clips: list[str]) -> tuple[str, ...]:
    more = len(clips) - CLIPS_NAMED
    return (*clips[:CLIPS_NAMED], f"and {more} more") if more > 0 else tuple(clips)
