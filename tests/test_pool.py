"""Pooling into a Parquet file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from feature_stores import CONFIG, make_features_store

from us8k_batch.errors import DamageError, RequestError
from us8k_batch.store.parquet import metadata_of
from us8k_batch.store.reader import open_store
from us8k_batch.training.pool import pool


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store of 60 clips."""
    return make_features_store(tmp_path_factory.mktemp("pool") / "store")


def test_the_file_is_the_published_table_with_other_statistics(store: Path, tmp_path: Path) -> None:
    """Pandas opens it: the same clips in the same order with the same columns, then the statistics."""
    done = pool(str(store), str(tmp_path / "out.parquet"), ["max", "mean"])
    table, published = pd.read_parquet(tmp_path / "out.parquet"), open_store(str(store)).pooled
    own = [name for name in published if name not in CONFIG.pooled_names]
    pd.testing.assert_frame_equal(table[own], published[own])
    assert list(table)[len(own) :] == [f"mfcc_{s}_{i:02d}" for s in ("max", "mean") for i in range(6)]
    np.testing.assert_allclose(table["mfcc_mean_03"], published["mfcc_mean_03"], rtol=1e-6)
    assert (table.dtypes.iloc[len(own) :] == "float32").all()
    assert (done.clips, done.columns) == (60, 12)


def test_the_file_says_what_it_was_made_from(store: Path, tmp_path: Path) -> None:
    """Its metadata holds the snapshot, the configuration and the statistics."""
    pool(str(store), str(tmp_path / "out.parquet"), ["p90"])
    said = metadata_of(pq.read_schema(tmp_path / "out.parquet"), "out.parquet")
    assert said["snapshot_id"] == open_store(str(store)).snapshot_id
    assert said["config"] == CONFIG.to_dict()
    assert (said["statistics"], said["complete"]) == (["p90"], True)


def test_small_batches_make_the_same_table(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading seven clips at a time gives the rows that reading all at once gives."""
    pool(str(store), str(tmp_path / "whole.parquet"), ["std", "kurtosis"])
    monkeypatch.setattr("us8k_batch.training.featuresets.READ_BYTES", 7 * 4 * 6 * CONFIG.frames)
    seen: list[int] = []
    pool(str(store), str(tmp_path / "parts.parquet"), ["std", "kurtosis"], seen.append)
    parts, whole = (pd.read_parquet(tmp_path / name) for name in ("parts.parquet", "whole.parquet"))
    pd.testing.assert_frame_equal(parts, whole)
    assert seen == [7, 14, 21, 28, 35, 42, 49, 56, 60]


def test_a_failure_leaves_what_was_there(store: Path, tmp_path: Path) -> None:
    """A damaged store ends the work; the old file stays as it was and nothing half-written remains."""
    damaged = make_features_store(tmp_path / "damaged")
    shard = damaged / "mfcc.zarr" / "mfcc" / "c" / "1" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-40])
    out = tmp_path / "out" / "pooled.parquet"
    out.parent.mkdir()
    out.write_bytes(b"before")
    with pytest.raises(DamageError):
        pool(str(damaged), str(out), ["mean"], force=True)
    assert [(file.name, file.read_bytes()) for file in out.parent.iterdir()] == [("pooled.parquet", b"before")]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("s3://bucket/out.parquet", "expected a local path"),
        ("{store}/new.parquet", "lies in the store"),
        ("{tmp}", "is a folder"),
        ("{tmp}/out.csv", "expected a name that ends in .parquet"),
        ("{tmp}/none/out.parquet", "expected a folder that exists"),
    ],
)
def test_places_that_cannot_be_written_are_refused(store: Path, tmp_path: Path, out: str, message: str) -> None:
    """Each error says what was expected; the store is never written to."""
    before = sorted(store.rglob("*"))
    with pytest.raises(RequestError, match=message):
        pool(str(store), out.format(store=store, tmp=tmp_path), ["mean"])
    assert sorted(store.rglob("*")) == before


def test_a_file_that_is_there_is_replaced_only_by_force(store: Path, tmp_path: Path) -> None:
    """Without --force it is refused and stays as it is."""
    out = tmp_path / "pooled.parquet"
    out.write_bytes(b"before")
    with pytest.raises(RequestError, match="is there already; choose another name, or add --force"):
        pool(str(store), str(out), ["mean"])
    assert out.read_bytes() == b"before"
    assert pool(str(store), str(out), ["mean"], force=True).clips == len(pd.read_parquet(out))
