"""Paths taken apart by folder, and put together again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog.listing import FINE, SEEN_SCHEMA, by_folder, seen_table, split_paths
from us8k_batch.catalog.unreadable import FAULTS, FOLDER

PARTS = st.lists(st.sampled_from(["a", "b", "c.wav", "ü"]), min_size=1, max_size=4)
PATHS = st.lists(PARTS.map("/".join), max_size=30)


@given(PATHS)
def test_paths_split_at_their_last_slash(paths):
    """As str.rpartition does."""
    folders, names = split_paths(pa.chunked_array([pa.array(paths, pa.string())]))
    expected = [path.rpartition("/") for path in paths]
    assert folders.to_pylist() == [folder for folder, _, _ in expected]
    assert names.to_pylist() == [name for _, _, name in expected]


@given(PATHS)
def test_every_clip_is_looked_for_in_one_folder(paths):
    """Folders are distinct, and their clips together are all clips."""
    folders, _ = split_paths(pa.array(paths, pa.string()))
    groups = list(by_folder(folders))
    assert len({folder for folder, _ in groups}) == len(groups)
    assert sorted(np.concatenate([rows for _, rows in groups]).tolist() if groups else []) == list(range(len(paths)))
    assert all(folders[int(row)].as_py() == folder for folder, rows in groups for row in rows)


def test_a_clip_is_either_seen_or_at_fault():
    """Size and time stand where there is no fault, the reason where there is one."""
    faults = np.array([FINE, FAULTS.index(FOLDER)], np.int16)
    seen = seen_table(np.array([5, 6]), np.array([7, 8]), pa.nulls(2, pa.string()), faults)
    assert seen.schema == SEEN_SCHEMA
    assert seen.to_pylist() == [
        {"size": 5, "mtime_ns": 7, "etag": None, "stage": None, "error": None, "detail": None},
        {"size": None, "mtime_ns": None, "etag": None, "stage": "read", "error": "not_a_file", "detail": FOLDER.text},
    ]
