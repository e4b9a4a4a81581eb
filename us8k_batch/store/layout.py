"""Where everything stands in a store of format 1, and the description that is created with it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.documents import natural, read_document
from us8k_batch.errors import ConfigError, ObjectNotFoundError, StoreError
from us8k_batch.objects import Objects

FORMAT = 1
INFO = "us8k.json"
GROUP = "mfcc.zarr/zarr.json"
ARRAY = "mfcc.zarr/mfcc/zarr.json"
POOLED = "pooled.parquet"
FAILURES = "failures.parquet"
PLANS, COMMITS, SNAPSHOTS, RUNS, LEASE = "plans", "commits", "snapshots", "runs", "lease"
DAMAGED = "damaged"
"""Folder of what a repair set aside, under the keys that it had."""
DOCUMENT_BYTES = 1 << 20
"""Largest description of a store or of its array, in bytes."""
SHARD_BYTES = 64 << 20
"""Most that one shard's frames may take in memory, in bytes."""
DEFAULT_CLIPS_PER_SHARD = 128
CLIPS_PER_CHUNK = 8

PLAN_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("shard", pa.int64()),
        ("clip_id", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("etag", pa.string()),
    ]
)
RESULT_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("clip_id", pa.string()),
        ("source_sha256", pa.string()),
        ("n_frames", pa.int32()),
        ("duration", pa.float64()),
        ("digest", pa.string()),
        ("stage", pa.string()),
        ("error", pa.string()),
        ("detail", pa.string()),
    ]
)
"""A commit's columns but for the pooled vector, whose length depends on the configuration."""

INDEX_SCHEMA = pa.schema(
    [
        *RESULT_SCHEMA,
        ("state", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("etag", pa.string()),
        ("plan", pa.int64()),
        ("shard_sha256", pa.string()),
        ("commit_sha256", pa.string()),
    ]
)
"""What a snapshot says of a committed row; the objects' digests stand on a shard's first row only."""


def plan_key(number: int) -> str:
    """Return the key of a plan."""
    return f"{PLANS}/{number:06d}.parquet"


def commit_key(shard: int) -> str:
    """Return the key of a shard's commit."""
    return f"{COMMITS}/{shard:08d}.parquet"


def shard_key(shard: int) -> str:
    """Return the key of a shard's Zarr object."""
    return f"mfcc.zarr/mfcc/c/{shard}/0/0"


def snapshot_key(number: int) -> str:
    """Return the key of a snapshot."""
    return f"{SNAPSHOTS}/{number:06d}.parquet"


def damaged_key(key: str) -> str:
    """Return where an object is set aside that cannot be used any more."""
    return f"{DAMAGED}/{key}"


def written_off_key(key: str) -> str:
    """Return what says that an object was lost for good, and that nothing depends on it."""
    return f"{damaged_key(key)}.lost"


def shard_of(key: str) -> int | None:
    """Return the shard whose Zarr object has this key, or None if it is not one."""
    number = key.removeprefix("mfcc.zarr/mfcc/c/").partition("/")[0]
    return int(number) if number.isascii() and number.isdigit() and key == shard_key(int(number)) else None


def number_of(key: str) -> int | None:
    """Return the number in a plan's, commit's or snapshot's key, or None if it is not one of those."""
    folder, _, name = key.rpartition("/")
    make = {PLANS: plan_key, COMMITS: commit_key, SNAPSHOTS: snapshot_key}.get(folder)
    stem = name.partition(".")[0]
    if make is None or not (stem.isascii() and stem.isdigit()):
        return None
    # Nothing but the very key counts, or a stray 7.parquet would be taken for the newest snapshot.
    return int(stem) if make(int(stem)) == key else None


def split_by_shard(rows: NDArray[np.int64], clips_per_shard: int) -> list[tuple[int, int, int]]:
    """Return shard, start and end of each run of rows that lie in one shard; `rows` ascend."""
    shards = rows // clips_per_shard
    starts = np.flatnonzero(np.diff(shards, prepend=-1)).tolist()
    return [(int(shards[a]), a, b) for a, b in zip(starts, [*starts[1:], len(rows)][: len(starts)], strict=True)]


def numbers(objects: Objects, prefix: str, after: str = "") -> list[int]:
    """List the numbers of a kind of object, ascending."""
    found = (number_of(info.key) for info in objects.list(prefix, after))
    return sorted(number for number in found if number is not None)


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What is fixed when a store is created: ``us8k.json``."""

    config: FeatureConfig
    """What is computed, with `max_seconds` known."""
    clips_per_shard: int
    """Rows of one shard."""
    clips_per_chunk: int
    """Rows of one chunk; divides `clips_per_shard`."""

    @property
    def frames(self) -> int:
        """Length of the frame axis."""
        return self.config.frames

    @property
    def vector_length(self) -> int:
        """Length of the pooled vector."""
        return len(self.config.statistics) * self.config.n_mfcc

    @property
    def commit_schema(self) -> pa.Schema:
        """Columns of a commit."""
        # Parquet's own name for a list's values, so that what is read is written as the same bytes again.
        value = pa.field("element", pa.float32())
        return RESULT_SCHEMA.append(pa.field("pooled", pa.list_(value, self.vector_length)))

    def to_bytes(self) -> bytes:
        """Return the JSON that is stored."""
        document = {
            "format": FORMAT,
            "config": self.config.to_dict(),
            "frames": self.frames,
            "clips_per_shard": self.clips_per_shard,
            "clips_per_chunk": self.clips_per_chunk,
        }
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def new_info(config: FeatureConfig, clips_per_shard: int | None = None) -> StoreInfo:
    """Choose shard and chunk size for a new store.

    Raises
    ------
    ConfigError
        If one clip, or the number of clips asked for, does not fit the memory of one shard.
    """
    clip_bytes = 4 * config.n_mfcc * config.frames
    fitting = SHARD_BYTES // clip_bytes
    if fitting < 1:
        raise ConfigError(
            f"max_seconds = {config.max_seconds:g}: one clip would take {clip_bytes >> 20} MB, and a shard "
            f"has {SHARD_BYTES >> 20} MB; set max_seconds lower, with truncate=true to cut longer clips"
        )
    size = min(DEFAULT_CLIPS_PER_SHARD, fitting) if clips_per_shard is None else clips_per_shard
    if not 1 <= size <= fitting:
        raise ConfigError(f"--clips-per-shard {size}: expected 1 to {fitting} for clips of {clip_bytes} bytes")
    return StoreInfo(config, size, max(n for n in range(1, CLIPS_PER_CHUNK + 1) if size % n == 0))


def most_seconds(config: FeatureConfig, clips_per_shard: int | None = None) -> float:
    """Return the most whole seconds that `max_seconds` may be so that `new_info` accepts it."""
    frames = SHARD_BYTES // (clips_per_shard or 1) // (4 * config.n_mfcc)
    seconds = ((frames - 1) * config.hop_length - 1) // config.sample_rate
    return float(min(max(seconds, 0), 86_400))


def find_info(objects: Objects) -> StoreInfo | None:
    """Read ``us8k.json``, or return None where there is no store."""
    try:
        return _parse(objects.get_tail(INFO, DOCUMENT_BYTES + 1), objects.url)
    except ObjectNotFoundError:
        return None


def read_info(objects: Objects) -> StoreInfo:
    """Read ``us8k.json``.

    Raises
    ------
    StoreError
        If there is no store, or one of another format.
    """
    info = find_info(objects)
    if info is None:
        raise StoreError(f"{objects.url}: no store here ({INFO} is missing); create one with us8k extract")
    return info


def create_info(objects: Objects, info: StoreInfo) -> StoreInfo:
    """Create ``us8k.json`` unless it is there, and return what is stored."""
    objects.create(INFO, info.to_bytes())
    return read_info(objects)


def check_same(stored: StoreInfo, config: FeatureConfig, given: set[str], url: str) -> None:
    """Refuse parameters that a store was not made with; only those in `given` were asked for.

    Raises
    ------
    StoreError
        Naming every difference.
    """
    differences = [
        line for line in stored.config.differences(config) if line.partition(" ")[0] in given
    ]  # fmt: skip
    if differences:
        raise StoreError(
            f"{url}: made with other parameters: {'; '.join(differences)}. "
            "A store holds one configuration: extract into a new store, or leave these out"
        )


def _parse(data: bytes, url: str) -> StoreInfo:
    try:
        document = read_document(data, DOCUMENT_BYTES)
        if document["format"] != FORMAT:
            raise StoreError(f"{url}: store format {document['format']!r}, this program reads {FORMAT}")
        config = FeatureConfig.from_dict(document["config"])
        info = StoreInfo(config, natural(document["clips_per_shard"]), natural(document["clips_per_chunk"]))
        consistent = document["frames"] == info.frames and new_info(config, info.clips_per_shard)
        if not consistent or info.clips_per_chunk < 1 or info.clips_per_shard % info.clips_per_chunk:
            raise StoreError(f"{url}/{INFO}: its frames, shard and chunk sizes contradict each other")
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise StoreError(f"{url}/{INFO}: not the description of a store ({error})") from error
    return info
