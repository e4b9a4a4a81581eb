"""A store of any number of clips from the frames of a few, written by the functions that a run writes with."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.objects import open_objects
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.store.commits import ClipResult, commit_shard
from us8k_batch.store.layout import StoreInfo, create_info, new_info
from us8k_batch.store.plans import create_plan
from us8k_batch.store.publish import publish
from us8k_batch.store.state import load_state


def make_catalog(clips: int) -> pa.Table:
    """Describe clips of ten folds and classes; rows are in the order of a plan."""
    ids = [f"clip-{i:06d}" for i in range(clips)]
    nothing = pa.nulls(clips, pa.string())
    return pa.table(
        {
            "clip_id": ids,
            "path": [f"audio/{name}.wav" for name in ids],
            "fold": pa.array([1 + i * 10 // clips for i in range(clips)], pa.int32()),
            "label": [f"class {i % 10}" for i in range(clips)],
            "group": [f"recording {i // 7}" for i in range(clips)],
            "size": pa.array([705_644] * clips, pa.int64()),
            "mtime_ns": pa.array(range(clips), pa.int64()),
            "etag": nothing,
            "stage": nothing,
            "error": nothing,
            "detail": nothing,
        }
    )


def make_store(
    url: str, frames: NDArray[np.float32], clips: int, *, clips_per_shard: int | None = None, seconds: float = 4.0
) -> StoreInfo:
    """Write and publish a store whose clips have the frames given, in turn, shape (n, n_mfcc, n_frames)."""
    objects, info = open_objects(url), new_info(FeatureConfig(max_seconds=seconds), clips_per_shard)
    create_info(objects, info)
    catalog = make_catalog(clips)
    assert create_plan(objects, info, None, catalog, {"engine": "none"}) is not None
    pooled = np.concatenate([frames.mean(axis=2), frames.std(axis=2)], axis=1)
    ids = catalog["clip_id"].to_pylist()
    for start in range(0, clips, info.clips_per_shard):
        results = [
            ClipResult(
                i,
                ids[i],
                hashlib.sha256(ids[i].encode()).hexdigest(),
                frames[i % len(frames)],
                pooled[i % len(frames)],
                frames.shape[2] * info.config.hop_length / info.config.sample_rate,
            )
            for i in range(start, min(start + info.clips_per_shard, clips))
        ]
        commit_shard(objects, info, start // info.clips_per_shard, results)
    state = load_state(objects, info)
    made = make_publication(catalog, state.index, None)
    publish(objects, info, state, made.table, made.pending, made.metadata_columns)
    return info
