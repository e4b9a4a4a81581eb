"""Feature sets: the published vectors, or pooled from frames once and kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_stores import CONFIG, make_features_store
from numpy.typing import NDArray

from us8k_batch.errors import RequestError, StoreError
from us8k_batch.store.frames import Frames
from us8k_batch.training.data import Dataset, load_dataset
from us8k_batch.training.featuresets import FEATURE_SETS, load_features, parse_statistics, pooled_batches


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Load a store of 60 clips."""
    return load_dataset(str(make_features_store(tmp_path_factory.mktemp("featuresets") / "store")))


class Counted:
    """Frames that count how often they are read."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.shape = frames.shape
        self.reads: list[int] = []

    def batches(self, clips: int) -> Any:
        """Read as the frames do."""
        for batch in self.frames.batches(clips):
            self.reads.append(len(batch))
            yield batch


def test_published_statistics_are_the_published_numbers(data: Dataset) -> None:
    """Sets that the store has are its own vectors, and no frame is read for them."""
    unread = replace(data, frames=None)  # type: ignore[arg-type]  # reading would fail
    assert np.array_equal(load_features(unread, "mean+std").values, data.vectors)
    assert np.array_equal(load_features(unread, "mean").values, data.vectors[:, : CONFIG.n_mfcc])


@pytest.mark.parametrize("name", ["salamon14", "all"])
def test_pooled_again_agrees_with_what_was_published(data: Dataset, name: str) -> None:
    """Means from the frames are those that extraction computed, to the last bits of float32."""
    features = load_features(data, name)
    assert features.values.shape == (60, len(FEATURE_SETS[name]) * CONFIG.n_mfcc)
    columns = [features.columns.index(f"mfcc_mean_{i:02d}") for i in range(CONFIG.n_mfcc)]
    np.testing.assert_allclose(features.values[:, columns], data.vectors[:, : CONFIG.n_mfcc], rtol=1e-6, atol=1e-6)


def test_every_fold_looks_at_one_memory_that_nobody_can_change(data: Dataset) -> None:
    """The values are contiguous and read-only."""
    values = load_features(data, "mean").values
    assert values.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1.0


def test_what_was_pooled_is_kept_by_snapshot(data: Dataset, tmp_path: Path) -> None:
    """The second time no frame is read; another snapshot does not get these numbers."""
    counted = Counted(data.frames)
    watched = replace(data, frames=counted)  # type: ignore[arg-type]  # what pooling needs of them
    first = load_features(watched, "salamon14", tmp_path / "cache")
    reads = len(counted.reads)
    again = load_features(watched, "salamon14", tmp_path / "cache")
    assert reads > 0
    assert len(counted.reads) == reads
    assert np.array_equal(first.values, again.values)
    load_features(replace(watched, snapshot_id=data.snapshot_id[:16] + "0" * 48), "salamon14", tmp_path / "cache")
    assert len(counted.reads) == 2 * reads


def test_a_damaged_cache_is_computed_again(data: Dataset, tmp_path: Path) -> None:
    """A flipped byte in what was kept costs time, and changes no number."""
    first = load_features(data, "salamon14", tmp_path)
    (file,) = tmp_path.glob("*.parquet")
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    file.write_bytes(damaged)
    assert np.array_equal(load_features(data, "salamon14", tmp_path).values, first.values)
    assert file.read_bytes() != bytes(damaged)


def test_reading_is_bounded(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are read a few clips at a time, whatever the number of clips, and the numbers are the same."""
    whole = np.concatenate(list(pooled_batches(data.frames, data.n_frames, ("skewness",))))
    clip_bytes = 4 * data.frames.shape[1] * data.frames.shape[2]
    monkeypatch.setattr("us8k_batch.training.featuresets.READ_BYTES", 7 * clip_bytes)
    counted: Any = Counted(data.frames)
    parts: list[NDArray[np.float32]] = list(pooled_batches(counted, data.n_frames, ("skewness",)))
    assert counted.reads == [7] * 8 + [4]
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_vector_that_is_not_finite_is_refused(data: Dataset) -> None:
    """NaN in a published vector names its clip."""
    vectors = data.vectors.copy()
    vectors[3, 2] = np.nan
    with pytest.raises(StoreError, match=rf"{data.clip_ids[3]}: mfcc_mean_02 is nan"):
        load_features(replace(data, vectors=vectors), "mean")


def test_an_unknown_set_is_refused(data: Dataset) -> None:
    """The error lists the sets."""
    with pytest.raises(RequestError, match="expected one of mean, mean\\+std, salamon14, all"):
        load_features(data, "wavelets")


def test_sets_and_statistics_can_be_named_together() -> None:
    """A set's name in a list of statistics stands for its own."""
    assert parse_statistics("mean+std, p10") == ("mean", "std", "p10")
