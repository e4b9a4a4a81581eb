"""Make stores of real audio without a cluster: each clip decoded and computed here, then published as a run does."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from feature_stores import publish_again

from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.catalog.source import open_source
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError, Failure
from us8k_batch.features.audio import decode
from us8k_batch.features.mfcc import compute_mfcc
from us8k_batch.features.pooling import pool
from us8k_batch.objects import open_objects
from us8k_batch.store.commits import ClipResult, commit_shard
from us8k_batch.store.layout import create_info, new_info
from us8k_batch.store.plans import create_plan

CONFIG = FeatureConfig(sample_rate=8000, n_fft=512, hop_length=256, n_mels=32, n_mfcc=8, max_seconds=2.0, fmin=20.0)
"""Parameters with which a clip takes a millisecond."""


def make_audio_store(dataset: Path, folder: Path, *, config: FeatureConfig = CONFIG) -> str:
    """Extract a small dataset and publish it; return the store's path."""
    catalog = open_catalog(str(dataset))
    there = catalog.clips.filter(catalog.clips["error"].is_null())
    source, objects = open_source(catalog.root), open_objects(str(folder))
    info = create_info(objects, new_info(config, 16))
    assert create_plan(objects, info, None, there, {"engine": "plain"}) is not None
    results = [
        _extract(source, row, clip["clip_id"], clip["path"], config) for row, clip in enumerate(there.to_pylist())
    ]
    for first in range(0, len(results), 16):
        commit_shard(objects, info, first // 16, results[first : first + 16])
    publish_again(folder, catalog.clips)
    return str(folder)


def _extract(source: Any, row: int, clip_id: str, path: str, config: FeatureConfig) -> ClipResult:
    data = source.read(path, 1 << 30)
    digest = hashlib.sha256(data).hexdigest()
    try:
        audio = decode(data, config)
        frames = compute_mfcc(audio.samples, config)
    except ClipError as error:
        return ClipResult(row, clip_id, digest, failure=Failure(error.stage, error.error, str(error)))
    return ClipResult(row, clip_id, digest, frames, pool(frames, config.statistics), audio.duration)
