"""Layout: keys and numbers, shards and rows, and the description that is created with a store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import CONFIG, flips, make_info

from us8k_batch.catalog.columns import PUBLISHED_NAMES
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ConfigError, StoreError, Us8kError
from us8k_batch.objects import open_objects
from us8k_batch.store.layout import (
    CLIPS_PER_CHUNK,
    COMMITS,
    DEFAULT_CLIPS_PER_SHARD,
    INDEX_SCHEMA,
    INFO,
    PLANS,
    SHARD_BYTES,
    check_same,
    commit_key,
    create_info,
    find_info,
    new_info,
    number_of,
    numbers,
    plan_key,
    read_info,
    snapshot_key,
    split_by_shard,
)


@given(st.integers(0, 99_999_999))
def test_a_number_is_found_again_in_its_key(number: int) -> None:
    """The key of a plan, commit or snapshot gives its number back."""
    for make in (plan_key, commit_key, snapshot_key):
        assert number_of(make(number)) == number


@given(st.lists(st.integers(0, 99_999_999), min_size=2, max_size=9, unique=True))
def test_commits_sort_as_their_numbers_do(shards: list[int]) -> None:
    """A listing that starts after a commit's key has exactly the later shards."""
    assert sorted(shards, key=commit_key) == sorted(shards)


@pytest.mark.parametrize(
    "key",
    [
        "plans/1.parquet",
        "plans/000001.parquet.bak",
        "plans/000001.json",
        "plans/old/000001.parquet",
        "plans/00000001.parquet",
        "plans/-00001.parquet",
        "plans/.parquet",
        "plans/00000\u0661.parquet",
        "snapshots/7.parquet",
        "elsewhere/000001.parquet",
        "000001.parquet",
        "commits/000001.parquet",
    ],
)
def test_a_stray_file_has_no_number(key: str) -> None:
    """A copy that somebody left beside the real ones is not taken for one of them."""
    assert number_of(key) is None


def test_numbers_are_listed_ascending_without_strays(tmp_path: Path) -> None:
    """Only the very keys count, and each once."""
    objects = open_objects(str(tmp_path))
    for key in (plan_key(2), plan_key(10), plan_key(1), "plans/7.parquet", "plans/x/000009.parquet", commit_key(5)):
        objects.create(key, b"")
    assert numbers(objects, PLANS) == [1, 2, 10]
    assert numbers(objects, COMMITS) == [5]
    assert numbers(objects, COMMITS, after=commit_key(5)) == []


@given(st.lists(st.integers(0, 200), unique=True, max_size=60), st.integers(1, 30))
def test_rows_are_split_by_shard_without_gap_or_overlap(rows: list[int], size: int) -> None:
    """The parts follow each other from 0 to the end; each lies in one shard, and no two in the same."""
    ascending = np.array(sorted(rows), dtype=np.int64)
    parts = split_by_shard(ascending, size)
    assert [start for _, start, _ in parts] == [0, *(end for _, _, end in parts)][: len(parts)]
    assert (parts[-1][2] if parts else 0) == len(rows)
    for shard, start, end in parts:
        assert set(ascending[start:end] // size) == {shard}
    assert len({shard for shard, _, _ in parts}) == len(parts)


@given(st.one_of(st.none(), st.integers(1, 5000)), st.floats(0.1, 4000), st.integers(1, 128))
def test_a_shard_fits_its_memory_and_its_chunks(size: int | None, seconds: float, n_mfcc: int) -> None:
    """Whatever is asked for: a shard takes at most 64 MB and is whole chunks, or the request is refused."""
    config = FeatureConfig(n_mfcc=n_mfcc, max_seconds=seconds)
    try:
        info = new_info(config, size)
    except ConfigError:
        clip = 4 * n_mfcc * config.frames
        assert clip > SHARD_BYTES or (size is not None and size * clip > SHARD_BYTES)
        return
    assert info.clips_per_shard * 4 * n_mfcc * info.frames <= SHARD_BYTES
    assert info.clips_per_shard == (size or min(DEFAULT_CLIPS_PER_SHARD, info.clips_per_shard))
    assert info.clips_per_shard % info.clips_per_chunk == 0
    assert 1 <= info.clips_per_chunk <= CLIPS_PER_CHUNK


def test_a_clip_that_is_too_long_for_any_shard_is_refused() -> None:
    """The message names the setting, what it would take, and what to do."""
    with pytest.raises(ConfigError, match=r"max_seconds = 86400.*64 MB.*truncate"):
        new_info(FeatureConfig(max_seconds=86_400.0))
    with pytest.raises(ConfigError, match="--clips-per-shard 0: expected 1 to"):
        new_info(CONFIG, 0)


def test_a_description_is_created_once_and_read_back(tmp_path: Path) -> None:
    """Whoever comes second gets what is stored, not what it wanted."""
    objects = open_objects(str(tmp_path))
    assert find_info(objects) is None
    with pytest.raises(StoreError, match=r"no store here.*us8k extract"):
        read_info(objects)
    info = make_info()
    assert create_info(objects, info) == info
    assert create_info(objects, make_info(clips_per_shard=8)) == info
    assert read_info(objects) == info
    assert objects.get(INFO) == info.to_bytes()


@given(
    st.builds(
        FeatureConfig,
        n_mfcc=st.integers(1, 40),
        hop_length=st.integers(1, 4000),
        fmax=st.one_of(st.none(), st.floats(1, 11025)),
        top_db=st.floats(1, 400),
        truncate=st.booleans(),
        statistics=st.sampled_from([("mean",), ("std", "mean"), ("min", "max", "median")]),
        max_seconds=st.floats(0.01, 10),
    )
)
def test_a_description_survives_a_round_trip(tmp_path_factory: pytest.TempPathFactory, config: FeatureConfig) -> None:
    """What is stored gives the same description, and the same bytes again."""
    info = new_info(config)
    objects = open_objects(str(tmp_path_factory.mktemp("store")))
    assert create_info(objects, info) == info
    assert read_info(objects).to_bytes() == objects.get(INFO)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 2}, "store format 2, this program reads 1"),
        ({"format": "1"}, "store format '1'"),
        ({"frames": 10}, "contradict each other"),
        ({"clips_per_shard": 7}, "contradict each other"),
        ({"clips_per_shard": "many"}, "not the description of a store"),
        ({"clips_per_chunk": 0}, "contradict each other"),
        ({"config": {}}, "max_seconds is not known"),
        ({"config": {"n_mfcc": 4, "max_seconds": 0.2, "bogus": 1}}, "bogus"),
        ({"config": []}, "not the description of a store"),
    ],
)
def test_a_description_that_cannot_be_right_is_refused(tmp_path: Path, changes: dict, expected: str) -> None:
    """Another format, or numbers that contradict each other, are refused by what is wrong."""
    document = json.loads(make_info().to_bytes()) | changes
    (tmp_path / INFO).write_text(json.dumps(document))
    with pytest.raises(StoreError, match=expected):
        read_info(open_objects(str(tmp_path)))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"3", b"\xff\xfe", b'{"format": 1}', b"{"])
def test_what_is_no_description_is_refused(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no JSON object of ours are refused as such."""
    (tmp_path / INFO).write_bytes(data)
    with pytest.raises(StoreError, match=r"us8k\.json: not the description of a store"):
        read_info(open_objects(str(tmp_path)))


def test_a_damaged_description_never_ends_in_a_foreign_error(tmp_path: Path) -> None:
    """Any flipped bit is refused with an error of ours, or describes another store, whose bytes are not these."""
    good = make_info().to_bytes()
    objects = open_objects(str(tmp_path))
    for _, data in flips(good, most=300):
        (tmp_path / INFO).write_bytes(data)
        try:
            info = read_info(objects)
        except Us8kError:
            continue
        assert info.to_bytes() != good


def test_only_what_was_asked_for_is_compared(tmp_path: Path) -> None:
    """A store of another configuration is refused with every difference that was asked for, and no other."""
    info = make_info()
    wanted = FeatureConfig(n_mfcc=13, hop_length=256)
    check_same(info, wanted, set(), "store")
    check_same(info, CONFIG, {"n_mfcc", "hop_length"}, "store")
    with pytest.raises(StoreError, match=r"n_mfcc is 4, but 13.*hop_length is 512, but 256") as caught:
        check_same(info, wanted, {"n_mfcc", "hop_length"}, "store")
    assert "max_seconds" not in str(caught.value)


def test_no_column_of_a_dataset_can_have_a_name_of_the_index() -> None:
    """A snapshot holds the dataset's columns beside its own: opening a dataset refuses every name of ours."""
    assert set(INDEX_SCHEMA.names) <= set(PUBLISHED_NAMES)
