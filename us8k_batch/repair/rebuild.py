"""Make one shard's Zarr object and commit again, from what is left of them, the snapshot, and the audio."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from us8k_batch.errors import DamageError, Failure, ObjectNotFoundError
from us8k_batch.features.pooling import pool
from us8k_batch.objects import Objects
from us8k_batch.repair.recompute import Recompute
from us8k_batch.repair.recorded import Recorded
from us8k_batch.repair.records import with_digest
from us8k_batch.repair.salvage import salvage
from us8k_batch.store import parquet
from us8k_batch.store.commits import ClipResult, digest_frames, make_commit, read_commit
from us8k_batch.store.layout import StoreInfo, commit_key, shard_key
from us8k_batch.store.publish import find
from us8k_batch.store.shards import encode_shard

Vectors = dict[tuple[int, str], NDArray[np.float32]]
"""Pooled vectors by row and digest of the frames."""


def rebuild(objects: Objects, info: StoreInfo, recorded: Recorded, recompute: Recompute) -> dict[str, bytes] | str:
    """Make what is damaged of a shard again.

    Returns
    -------
    dict of str to bytes, or str
        The objects that are not what was recorded, by key, as they were; or why that cannot be: a clip whose
        frames are gone, or other bytes than were recorded. Then the whole shard is given up.

    Raises
    ------
    StorageError
        If the dataset's storage does not answer.
    """
    wanted = {shard_key(recorded.shard): recorded.shard_sha256, commit_key(recorded.shard): recorded.commit_sha256}
    there = {key: find(objects, key) for key in wanted}
    damaged = [key for key, data in there.items() if data is None or _sha256(data) != wanted[key]]
    if not damaged:
        return {}
    results = _results(objects, info, recorded, there[shard_key(recorded.shard)] or b"", recompute)
    if isinstance(results, str):
        return results
    commits = parquet.encodings(*make_commit(info, recorded.shard, results, recorded.shard_sha256))
    candidates: dict[str, Iterable[bytes]] = {
        shard_key(recorded.shard): [encode_shard(info, [result.frames for result in results])],
        commit_key(recorded.shard): commits,
    }
    made: dict[str, bytes] = {}
    for key in damaged:
        right = with_digest(candidates[key], wanted[key])
        if right is None:
            return f"{key}: the libraries that are here make other bytes of the same results"
        made[key] = right
    return made


def _results(
    objects: Objects, info: StoreInfo, recorded: Recorded, data: bytes, recompute: Recompute
) -> list[ClipResult] | str:
    """Gather every row's result: its frames from the store if they are whole there, from the audio otherwise."""
    left = salvage(info, data, len(recorded.rows))
    vectors = _vectors(objects, info, recorded.shard)
    results = []
    for row, block in zip(recorded.rows.to_pylist(), left, strict=True):
        result = _failed(row) or _stored(info, row, block, vectors) or _computed(row, recorded, recompute)
        if isinstance(result, str):
            return result
        results.append(result)
    return results


def _failed(row: dict[str, Any]) -> ClipResult | None:
    if row["digest"] is not None:
        return None
    failure = Failure(row["stage"], row["error"], row["detail"])
    return ClipResult(row["row"], row["clip_id"], row["source_sha256"], failure=failure)


def _stored(
    info: StoreInfo, row: dict[str, Any], block: NDArray[np.float32] | None, vectors: Vectors
) -> ClipResult | None:
    if block is None:
        return None
    frames = block[:, : row["n_frames"]]
    if digest_frames(frames) != row["digest"]:
        return None
    vector = vectors.get((row["row"], row["digest"]))
    if vector is None:
        vector = pool(frames, info.config.statistics)
    return ClipResult(row["row"], row["clip_id"], row["source_sha256"], frames, vector, row["duration"])


def _computed(row: dict[str, Any], recorded: Recorded, recompute: Recompute) -> ClipResult | str:
    again = recompute(row["clip_id"], row["source_sha256"], recorded.versions)
    if isinstance(again, str):
        return again
    if digest_frames(again.mfcc) != row["digest"]:
        return f"{row['clip_id']}: the same audio gives other numbers here than were committed"
    return ClipResult(row["row"], row["clip_id"], row["source_sha256"], again.mfcc, again.pooled, row["duration"])


def _vectors(objects: Objects, info: StoreInfo, shard: int) -> Vectors:
    """Find the pooled vectors in the commit, if it can be read; they follow from the frames otherwise."""
    with contextlib.suppress(DamageError, ObjectNotFoundError):
        commit = read_commit(objects, info, shard)[1].filter(pc.field("digest").is_valid())
        values = np.array(commit["pooled"].to_pylist(), dtype=np.float32).reshape(len(commit), -1)
        return dict(
            zip(zip(commit["row"].to_pylist(), commit["digest"].to_pylist(), strict=True), values, strict=True)
        )
    return {}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
