"""Tasks of shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from us8k_batch.config import FeatureConfig
from us8k_batch.objects import open_objects
from us8k_batch.shard_task import Job, ShardTask
from us8k_batch.store.layout import create_info, new_info
from us8k_batch.workshop import Needs

CONFIG = FeatureConfig(sample_rate=8000, n_fft=512, hop_length=256, n_mels=32, n_mfcc=8, max_seconds=1.0)
LIMIT = 1 << 20
"""Largest source that is read, in bytes."""


def make_job(tmp_path: Path, root: str) -> Job:
    """Describe what all shards of a run have in common."""
    store = str(tmp_path / "store")
    info = create_info(open_objects(store), new_info(CONFIG, 16))
    needs = Needs(CONFIG, "auto", clip_memory=2 << 30, clip_seconds=30.0)
    return Job(root=root, store=store, info=info, needs=needs, source_bytes=LIMIT)


def task(job: Job, *names: str, shard: int = 0, **options: Any) -> ShardTask:
    """Make the task of a shard; clips are named as their files."""
    return ShardTask(job, shard, tuple((name, name) for name in names), **options)
