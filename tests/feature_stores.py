"""Make stores and datasets of made-up features, without any audio, for what reads stores only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.features.pooling import pool
from us8k_batch.objects import open_objects
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.store.commits import ClipResult, commit_shard
from us8k_batch.store.layout import create_info, new_info, read_info
from us8k_batch.store.plans import create_plan
from us8k_batch.store.publish import publish
from us8k_batch.store.state import load_state
from us8k_batch.training.data import Dataset

CONFIG = FeatureConfig(sample_rate=8000, n_mfcc=6, n_mels=16, n_fft=256, hop_length=128, max_seconds=0.25)


def make_features_store(
    folder: Path,
    *,
    clips: int = 60,
    classes: int = 3,
    folds: int = 3,
    per_recording: int = 2,
    config: FeatureConfig = CONFIG,
    seed: int = 0,
    table: pa.Table | None = None,
    uncommitted: int = 0,
) -> Path:
    """Write a published store of clips whose class can be told from their frames; return its folder.

    Every recording has `per_recording` clips, all in one fold and of one class. `table` replaces the catalog; the
    last `uncommitted` clips of it stay without a result.
    """
    catalog = make_catalog(clips, classes, folds, per_recording) if table is None else table
    catalog = catalog.sort_by([("fold", "ascending"), ("clip_id", "ascending")])
    objects = open_objects(str(folder))
    info = create_info(objects, new_info(config, 16))
    made = create_plan(objects, info, None, catalog, {"engine": "made up"})
    assert made is not None
    rng = np.random.default_rng(seed)
    labels = sorted(set(catalog["label"].to_pylist()))
    results = []
    for row, label in enumerate(catalog["label"].to_pylist()):
        n_frames = int(rng.integers(1, info.frames + 1))
        centre = 3.0 * np.cos(np.arange(config.n_mfcc) * (labels.index(label) + 1))
        frames = (centre[:, None] + rng.normal(size=(config.n_mfcc, n_frames))).astype(np.float32)
        clip_id = catalog["clip_id"][row].as_py()
        results.append(
            ClipResult(row, clip_id, f"{row:064x}", frames, pool(frames, config.statistics), n_frames / 62.5)
        )
    for first in range(0, len(results) - uncommitted, 16):
        commit_shard(objects, info, first // 16, results[first : first + 16])
    publish_again(folder, catalog)
    return folder


def publish_again(folder: Path, catalog: pa.Table) -> None:
    """Publish what a store holds of a catalog, as a run does when labels or folds were changed."""
    objects = open_objects(str(folder))
    info = read_info(objects)
    state = load_state(objects, info)
    catalog = catalog.sort_by([("fold", "ascending"), ("clip_id", "ascending")])
    publication = make_publication(catalog, state.index)
    publish(objects, info, state, publication.table, publication.pending, publication.metadata_columns)


def make_catalog(
    clips: int, classes: int, folds: int, per_recording: int = 2, columns: dict[str, Any] | None = None
) -> pa.Table:
    """Make a catalog's table; `columns` replaces or adds some."""
    recording = np.arange(clips) // per_recording
    values: dict[str, Any] = {
        "clip_id": [f"clip-{i:04d}.wav" for i in range(clips)],
        "path": [f"audio/clip-{i:04d}.wav" for i in range(clips)],
        "group": [f"recording-{i}" for i in recording],
        "fold": pa.array(recording // classes % folds + 1, pa.int32()),
        "label": [f"class-{i % classes}" for i in recording],
        **(columns or {}),
        "size": pa.array([1] * clips, pa.int64()),
        "mtime_ns": pa.array([1] * clips, pa.int64()),
        "etag": pa.nulls(clips, pa.string()),
        "stage": pa.nulls(clips, pa.string()),
        "error": pa.nulls(clips, pa.string()),
        "detail": pa.nulls(clips, pa.string()),
    }
    return pa.table(values)


def make_dataset(
    *,
    y: Sequence[int],
    folds: Sequence[int],
    groups: Sequence[int],
    group_names: Sequence[str] | None = None,
    columns: Sequence[str] = ("clip_id",),
    vectors: NDArray[np.float32] | None = None,
) -> Dataset:
    """Make a dataset in memory; recording -1 is unknown."""
    codes = np.array(groups, dtype=np.int64)
    names = group_names or [f"recording-{i}" for i in range(int(codes.max(initial=-1)) + 1)]
    labels = np.array(y, dtype=np.int64)
    return Dataset(
        url="store",
        snapshot_id="0" * 64,
        config=CONFIG,
        store_versions=(),
        clip_ids=np.array([f"clip-{i:04d}" for i in range(len(labels))], dtype=object),
        classes=tuple(f"class-{i}" for i in range(int(labels.max(initial=0)) + 1)),
        y=labels,
        folds=np.array(folds, dtype=np.int64),
        groups=codes,
        group_names=tuple(names),
        columns=frozenset(columns),
        vectors=np.zeros((len(labels), 2), np.float32) if vectors is None else vectors,
        n_frames=np.ones(len(labels), np.int64),
        frames=cast("Any", None),
    )
