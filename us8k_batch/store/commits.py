"""Commits: the records that make a shard's results real, or say that it was abandoned."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from us8k_batch.errors import DamageError, Failure
from us8k_batch.objects import Objects
from us8k_batch.store import parquet
from us8k_batch.store.layout import StoreInfo, commit_key, shard_key
from us8k_batch.store.shards import Frames, encode_shard
from us8k_batch.timing import timed

OTHER_BYTES = "its Zarr object holds other bytes"
"""Why a shard is abandoned whose frames were written by an attempt that found something else."""


class Outcome(StrEnum):
    """How the attempt to commit a shard ended."""

    COMMITTED = "committed"
    """The commit is there and says what this attempt found, whoever wrote it."""
    ABANDONED = "abandoned"
    """The shard's clips need new rows."""


@dataclass(frozen=True, slots=True)
class ClipResult:
    """What is committed of one clip: its frames, or why there are none."""

    row: int
    """Place along the clip axis."""
    clip_id: str
    source_sha256: str | None
    """Hex digest of the bytes that were decoded; None if they could not be read."""
    frames: Frames | None = None
    """MFCC frames, float32, shape (n_mfcc, n_frames)."""
    pooled: NDArray[np.float32] | None = None
    """Statistics over the frames, float32."""
    duration: float | None = None
    """Length of the source, in seconds."""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """The two objects of a shard, as they are written."""

    frames: bytes
    """The shard of the Zarr array."""
    commit: bytes
    """What refers to it."""


Commit = tuple[pa.Table, dict[str, Any]]
"""Rows and metadata of a commit: `parquet.encode` makes the same bytes of the same ones."""
Digests = Callable[[Sequence[memoryview]], list[str]]
"""Hashes several sources: the hex sha256 of each."""


def digest_each(sources: Sequence[memoryview]) -> list[str]:
    """Hash sources one after the other."""
    return [hashlib.sha256(source).hexdigest() for source in sources]


def digest_frames(frames: Frames) -> str:
    """Return the hex sha256 of a clip's MFCC bytes: float32, little-endian, coefficient by coefficient."""
    return digest_each([_bytes_of(frames)])[0]


def _bytes_of(frames: Frames) -> memoryview:
    return np.ascontiguousarray(frames, dtype="<f4").data.cast("B")


def encode_results(
    info: StoreInfo, shard: int, results: Sequence[ClipResult], digests: Digests = digest_each
) -> Encoded:
    """Encode a shard's results; `digests` hashes the frames."""
    frames = encode_shard(info, [result.frames for result in results])
    commit = make_commit(info, shard, results, hashlib.sha256(frames).hexdigest(), digests)
    return Encoded(frames, parquet.encode(*commit))


def create_commit(
    objects: Objects, info: StoreInfo, shard: int, encoded: Encoded, seconds: MutableMapping[str, float] | None = None
) -> Outcome:
    """Create a shard's frames, then its commit; idempotent, and exclusive with abandonment.

    The order of the writes is the transaction: frames that no commit refers to are an orphan that nobody
    reads, and a commit is created only when its frames are durable. `seconds` is told how long each step took.
    """
    seconds = {} if seconds is None else seconds
    with timed(seconds, "write"):
        same = _create_or_equal(objects, shard_key(shard), encoded.frames)
    if not same:
        return abandon_shard(objects, info, shard, OTHER_BYTES)
    with timed(seconds, "commit"):
        same = _create_or_equal(objects, commit_key(shard), encoded.commit)
    return Outcome.COMMITTED if same else read_outcome(objects, shard)


def commit_shard(objects: Objects, info: StoreInfo, shard: int, results: Sequence[ClipResult]) -> Outcome:
    """Encode a shard's results and commit them."""
    return create_commit(objects, info, shard, encode_results(info, shard, results))


def abandon_shard(objects: Objects, info: StoreInfo, shard: int, reason: str) -> Outcome:
    """Create a commit with no rows, unless the shard was committed meanwhile."""
    objects.create(commit_key(shard), encode_abandonment(info, shard, reason))
    return read_outcome(objects, shard)


def make_abandonment(info: StoreInfo, shard: int, reason: str) -> Commit:
    """Make the commit that says that a shard was abandoned, and why."""
    return info.commit_schema.empty_table(), {"shard": shard, "state": "abandoned", "reason": reason}


def encode_abandonment(info: StoreInfo, shard: int, reason: str) -> bytes:
    """Return that commit as it is written."""
    return parquet.encode(*make_abandonment(info, shard, reason))


def read_outcome(objects: Objects, shard: int) -> Outcome:
    """Return what the commit of a shard says."""
    metadata = parquet.read_metadata(objects, commit_key(shard))
    return Outcome.ABANDONED if metadata.get("state") == "abandoned" else Outcome.COMMITTED


def read_commit(objects: Objects, info: StoreInfo, shard: int) -> tuple[dict[str, Any], pa.Table, str]:
    """Read a commit: its metadata, its rows, and the hex sha256 of the object."""
    key = commit_key(shard)
    data = objects.get(key)
    table = parquet.decode(data, key)
    metadata = parquet.metadata_of(table, key)
    if metadata.get("shard") != shard or not table.schema.equals(info.commit_schema):
        raise DamageError(f"{key}: not the commit of shard {shard} of this store; run us8k verify")
    return metadata, table.replace_schema_metadata(None), hashlib.sha256(data).hexdigest()


def _create_or_equal(objects: Objects, key: str, data: bytes) -> bool:
    return objects.create(key, data) or objects.get(key) == data


def make_commit(
    info: StoreInfo, shard: int, results: Sequence[ClipResult], shard_sha256: str, digests: Digests = digest_each
) -> Commit:
    """Make the commit of a shard whose Zarr object has this digest."""

    def column(values: list[Any], name: str) -> pa.Array:
        return pa.array(values, info.commit_schema.field(name).type)

    failures = [result.failure for result in results]
    hashed = iter(digests([_bytes_of(result.frames) for result in results if result.frames is not None]))
    columns: dict[str, list[Any]] = {
        "row": [result.row for result in results],
        "clip_id": [result.clip_id for result in results],
        "source_sha256": [result.source_sha256 for result in results],
        "n_frames": [None if result.frames is None else result.frames.shape[1] for result in results],
        "duration": [result.duration for result in results],
        "digest": [None if result.frames is None else next(hashed) for result in results],
        "stage": [failure and failure.stage for failure in failures],
        "error": [failure and failure.error for failure in failures],
        "detail": [failure and failure.detail for failure in failures],
        "pooled": [result.pooled for result in results],
    }
    table = pa.table(
        [column(values, name) for name, values in columns.items()],
        schema=info.commit_schema,
    )
    return table, {"shard": shard, "state": "committed", "shard_sha256": shard_sha256}
