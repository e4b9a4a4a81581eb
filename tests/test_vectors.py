"""Vectors: pooled vectors by row, from the published table where it has them, from the commits otherwise."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import Clip, TinyRun, change, make_clips, make_info, make_result, run

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store import parquet
from us8k_batch.store import vectors as vectors_module
from us8k_batch.store.layout import POOLED, StoreInfo, commit_key
from us8k_batch.store.vectors import Vectors

INFO = make_info()
CLIPS = [*make_clips(9), Clip(clip_id="bad", content="bad"), Clip(clip_id="late", fold=9)]


@pytest.fixture(scope="module", params=[3, parquet.ROW_GROUP_ROWS])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Publish a store in row groups of so many rows, and commit two more shards to it; return where it is."""
    store = str(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP_ROWS", request.param)
        run(store, CLIPS)
    tiny = TinyRun(store=store, clips=change(CLIPS, "c004", content="a longer sound"))
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    tiny.extract(shards)
    return store


def read_vectors(objects: Objects, info: StoreInfo, rows: np.ndarray, digests: pa.ChunkedArray) -> np.ndarray:
    """Read the vectors of some rows at once."""
    with Vectors(objects, info) as vectors:
        return vectors.read(rows, digests)


def live_rows(store: str) -> pa.Table:
    """Return all rows with a result."""
    index = TinyRun(store=store, clips=[]).state().index
    return index.filter(pc.is_valid(index["digest"]))


def expected(store: str, rows: pa.Table) -> np.ndarray:
    """Return what was pooled of these rows' clips."""
    contents = {clip.clip_id: clip for clip in CLIPS}
    newer = {
        row: contents[name] for row, name in zip(rows["row"].to_pylist(), rows["clip_id"].to_pylist(), strict=True)
    }
    last = live_rows(store)["row"][-1].as_py()
    if last in newer:
        newer[last] = Clip(clip_id="c004", content="a longer sound")
    return np.array([make_result(clip, 0).pooled for clip in newer.values()]).reshape(len(rows), INFO.vector_length)


@settings(max_examples=40)
@given(st.data())
def test_vectors_of_any_rows_are_those_that_were_committed(store: str, data: st.DataObject) -> None:
    """Published rows, rows committed since, superseded ones: any choice of them, in their order."""
    rows = live_rows(store)
    chosen = sorted(data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True)))
    part = rows.take(pa.array(chosen, pa.int64()))
    vectors = read_vectors(open_objects(store), INFO, part["row"].to_numpy(), part["digest"])
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, expected(store, part))


@pytest.fixture
def published(tmp_path: Path) -> TinyRun:
    """Publish a store of its own."""
    return run(tmp_path, make_clips())


def all_vectors(tiny: TinyRun) -> np.ndarray:
    """Read the vectors of all rows."""
    rows = tiny.state().index
    return read_vectors(tiny.objects, INFO, rows["row"].to_numpy(), rows["digest"])


def test_a_published_table_saves_reading_commits(published: TinyRun) -> None:
    """What is published is not read from the commits again."""
    good = all_vectors(published)
    for shard in range(3):
        published.objects.delete(commit_key(shard))
    np.testing.assert_array_equal(all_vectors(published), good)


def test_vectors_that_were_just_read_are_not_read_again(tmp_path: Path) -> None:
    """What a state holds of new shards is taken from it, and the rest from the commits."""
    tiny = TinyRun(store=str(tmp_path), clips=make_clips())
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    tiny.extract(shards)
    state = tiny.state()
    rows = state.index
    good = all_vectors(tiny)
    tiny.objects.delete(commit_key(1))
    fresh = {shard: vectors for shard, vectors in state.fresh.items() if shard == 1}
    with Vectors(tiny.objects, INFO, fresh) as vectors:
        np.testing.assert_array_equal(vectors.read(rows["row"].to_numpy(), rows["digest"]), good)
    missing = pa.nulls(len(fresh[1]), fresh[1].type)
    with (
        Vectors(tiny.objects, INFO, {1: missing}) as vectors,
        pytest.raises(DamageError, match=f"{commit_key(1)}: has no result for a live row"),
    ):
        vectors.read(rows["row"].to_numpy(), rows["digest"])


def test_a_row_group_of_which_little_is_wanted_is_not_read(
    published: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row of twelve is taken from its commit if that is less than is worth it, else from the table."""
    rows = published.state().index.slice(5, 1)
    published.objects.delete(commit_key(1))
    for worth in (12, 11):
        monkeypatch.setattr(vectors_module, "WORTH", worth)
        with contextlib.ExitStack() as stack:
            if worth == 11:
                stack.enter_context(pytest.raises(ObjectNotFoundError, match=commit_key(1)))
            read_vectors(published.objects, INFO, rows["row"].to_numpy(), rows["digest"])


def test_vectors_asked_for_a_few_at_a_time_are_those_of_all(published: TinyRun) -> None:
    """In any order of the parts; a part that was read before is not asked for again."""
    rows = published.state().index
    with Vectors(published.objects, INFO) as vectors:
        for shard in range(3):
            published.objects.delete(commit_key(shard))
        parts = [rows.slice(start, 5) for start in (5, 0, 10)]
        read = [vectors.read(part["row"].to_numpy(), part["digest"]) for part in parts]
    np.testing.assert_array_equal(np.concatenate([read[1], read[0], read[2]]), all_vectors(published))


@pytest.mark.parametrize("case", ["missing", "empty", "cut off", "foreign", "other columns", "no rows"])
def test_a_published_table_that_cannot_be_used_costs_nothing_else(published: TinyRun, case: str) -> None:
    """Whatever stands in its place, the vectors come from the commits."""
    good = all_vectors(published)
    data = published.objects.get(POOLED)
    table = parquet.decode(data, POOLED)
    broken = {
        "missing": None,
        "empty": b"",
        "cut off": data[:-20],
        "foreign": parquet.encode(pa.table({"a": [1]}), {}),
        "other columns": parquet.encode(table.drop_columns("mfcc_std_03"), {}),
        "no rows": parquet.encode(table.slice(0, 0), {}),
    }[case]
    published.objects.delete(POOLED)
    if broken is not None:
        published.objects.create(POOLED, broken)
    np.testing.assert_array_equal(all_vectors(published), good)


def test_a_published_vector_of_other_frames_is_not_taken(published: TinyRun) -> None:
    """If row or digest differ, the published vector is another result's."""
    good = all_vectors(published)
    table = parquet.decode(published.objects.get(POOLED), POOLED)
    wrong = pa.array(np.full(12, 7, np.float32))
    place = table.column_names.index("mfcc_mean_00")
    table = table.set_column(place, "mfcc_mean_00", wrong)
    other = table.set_column(table.column_names.index("digest"), "digest", pa.array(["0" * 64] * 12))
    moved = table.set_column(table.column_names.index("row"), "row", pc.add(table["row"], 100))
    for broken in (other, moved):
        published.objects.replace(POOLED, parquet.encode(broken, {}))
        np.testing.assert_array_equal(all_vectors(published), good)


def test_a_live_row_without_a_vector_is_damage(published: TinyRun) -> None:
    """A commit that has no such row, or a failure there, is named."""
    published.objects.delete(POOLED)
    good = parquet.decode(published.objects.get(commit_key(1)), "")
    metadata = parquet.metadata_of(good, "")
    nothing = good.set_column(good.column_names.index("pooled"), "pooled", pa.nulls(4, good["pooled"].type))
    for broken in (good.slice(0, 3), nothing):
        published.objects.replace(commit_key(1), parquet.encode(broken, metadata))
        with pytest.raises(DamageError, match=f"{commit_key(1)}: has no result for a live row"):
            all_vectors(published)


def test_no_rows_have_no_vectors(published: TinyRun) -> None:
    """Nothing asked for is nothing read, of the right shape."""
    none = read_vectors(published.objects, INFO, np.array([], np.int64), pa.chunked_array([], pa.string()))
    assert none.shape == (0, INFO.vector_length)
