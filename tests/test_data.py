"""Loading a store for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feature_stores import CONFIG, make_catalog, make_features_store, publish_again

from us8k_batch.errors import StoreError
from us8k_batch.store.reader import open_store
from us8k_batch.training.data import load_dataset, refuse_not_finite


def test_arrays_are_the_published_table(tmp_path: Path) -> None:
    """Every array says of each clip what the published table says, in its order."""
    store = make_features_store(tmp_path / "store")
    data, table = load_dataset(str(store)), open_store(str(store)).pooled
    assert list(data.clip_ids) == list(table["clip_id"])
    assert [data.classes[code] for code in data.y] == list(table["label"])
    assert [data.group_names[code] for code in data.groups] == list(table["group"])
    assert list(data.folds) == list(table["fold"])
    assert np.array_equal(data.vectors, table[CONFIG.pooled_names].to_numpy())
    assert data.warnings == ()


def test_a_publication_that_follows_changes_nothing(tmp_path: Path) -> None:
    """What was loaded stays the publication that it was, and its frames can still be read."""
    store = make_features_store(tmp_path / "store")
    data = load_dataset(str(store))
    publish_again(store, make_catalog(60, 3, 3, columns={"label": ["class-0", "class-1"] * 30}))
    assert load_dataset(str(store)).snapshot_id != data.snapshot_id
    assert len(load_dataset(str(store)).classes) == 2
    assert len(data.classes) == 3
    assert data.frames[:].shape == (60, 6, CONFIG.frames)


def test_a_store_without_a_live_clip_is_refused(tmp_path: Path) -> None:
    """An empty table is an error that says where to look, not an empty run."""
    store = make_features_store(tmp_path / "store", table=make_catalog(4, 2, 2), uncommitted=4)
    with pytest.raises(StoreError, match=r"no live clip.*us8k status"):
        load_dataset(str(store), allow_incomplete=True)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """The error says what is missing and what makes a store."""
    with pytest.raises(StoreError, match="us8k extract"):
        load_dataset(str(tmp_path))


def test_an_incomplete_publication_needs_permission(tmp_path: Path) -> None:
    """Clips without results are refused, or allowed with a warning that counts them."""
    store = make_features_store(tmp_path / "store", uncommitted=12)
    with pytest.raises(StoreError, match=r"12 clips still lack.*--allow-incomplete"):
        load_dataset(str(store))
    data = load_dataset(str(store), allow_incomplete=True)
    assert len(data) == 48
    assert "12 clips" in data.warnings[0]


def test_unknown_recordings_are_a_leak_unknown(tmp_path: Path) -> None:
    """A dataset that does not name recordings never says that there is no leak."""
    groups = pa.nulls(60, pa.string())
    none = make_features_store(tmp_path / "none", table=make_catalog(60, 3, 3, columns={"group": groups}))
    data = load_dataset(str(none))
    assert data.ungrouped == 60
    assert data.warnings[0].startswith("leak unknown: ")
    some = [None, *(f"recording-{i}" for i in range(59))]
    store = make_features_store(tmp_path / "some", table=make_catalog(60, 3, 3, columns={"group": some}))
    assert load_dataset(str(store)).warnings[0].startswith("leak unknown for 1 clips")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused_by_name(bad: float) -> None:
    """The first clip and feature that are not finite are named, and what to do."""
    values = np.zeros((3, 2), np.float32)
    values[1, 1] = bad
    with pytest.raises(StoreError, match=r"clip-b: second is .*us8k verify"):
        refuse_not_finite(values, ["first", "second"], np.array(["clip-a", "clip-b", "clip-c"], object), "store")


def test_labels_and_recordings_that_look_alike_are_warned_of(tmp_path: Path) -> None:
    """A model would learn them as several, and a split would leak without a word."""
    labels = ["dog", "dog ", "rain"] * 20
    groups = ["tape", "Tape", "other"] * 20
    store = make_features_store(
        tmp_path / "store", table=make_catalog(60, 3, 3, columns={"label": labels, "group": groups})
    )
    data = load_dataset(str(store))
    assert len(data.classes) == 3
    assert "look like one class" in data.warnings[0]
    assert "look like one recording" in data.warnings[1]
