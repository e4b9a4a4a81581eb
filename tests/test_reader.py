"""Reader: one publication, pinned, indexed like an array, every row checked; and the same store without our code."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import CONFIG, VERSIONS, Clip, TinyRun, change, copy, make_clips, make_result, run, without

import us8k_batch
from us8k_batch.errors import DamageError, StoreError
from us8k_batch.objects import open_objects
from us8k_batch.store.layout import ARRAY, FAILURES, POOLED, commit_key, create_info, shard_key, snapshot_key
from us8k_batch.store.reader import Store, open_store

CLIPS = [*make_clips(11), Clip(clip_id="bad", content="bad sound", fold=2), Clip(clip_id="gone", missing=True)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish a store with superseded and failed rows, to be read or copied."""
    folder = tmp_path_factory.mktemp("base") / "store"
    run(folder, change(CLIPS, "c003", content="an earlier sound"))
    run(folder, CLIPS)
    return folder


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """Copy the store, to be damaged or written."""
    return Path(copy(base, tmp_path / "store"))


@pytest.fixture(scope="module")
def whole(base: Path) -> np.ndarray:
    """Return what all live clips' frames are to be, in the order of the published table."""
    table = pd.read_parquet(base / POOLED)
    contents = {clip.clip_id: clip for clip in CLIPS}
    block = np.full((len(table), CONFIG.n_mfcc, CONFIG.frames), np.nan, np.float32)
    for i, name in enumerate(table["clip_id"]):
        frames = make_result(contents[name], 0).frames
        assert frames is not None
        block[i, :, : frames.shape[1]] = frames
    return block


# --- what is published -------------------------------------------------------------------------------------------


def test_a_store_tells_what_it_is(base: Path) -> None:
    """Configuration, versions, clips, failures, vectors, and where each result came from."""
    store = us8k_batch.open_store(str(base))
    assert (len(store), store.config, store.complete, store.pending) == (11, CONFIG, True, 0)
    assert (store.url, store.versions, store.pooled_names) == (str(base), [VERSIONS], CONFIG.pooled_names)
    assert repr(store) == f"<us8k store {base}: 11 live clips, complete, snapshot {store.snapshot_id[:12]}>"
    assert list(store.failures["clip_id"]) == ["bad", "gone"]
    assert store.pooled["clip_id"].tolist()[-1] == "c003"
    contents = {clip.clip_id: clip for clip in CLIPS}
    for i, name in enumerate(store.pooled["clip_id"]):
        assert store.source_sha256(i) == contents[name].sha256
        np.testing.assert_array_equal(store.vectors()[i], make_result(contents[name], 0).pooled)
    assert store.vectors().dtype == np.float32
    assert store.vectors().shape == (11, len(CONFIG.pooled_names))
    np.testing.assert_array_equal(store.pooled[store.pooled_names].to_numpy(), store.vectors())


def test_a_store_that_waits_says_so(folder: Path) -> None:
    """A publication without some results is opened, and says how many are not there."""
    TinyRun(store=str(folder), clips=change(CLIPS, "c001", content="a longer sound")).publish()
    store = open_store(str(folder))
    assert (store.complete, store.pending, len(store)) == (False, 1, 10)
    assert "1 clips pending" in repr(store)


def test_a_store_opens_from_a_bucket(s3: str) -> None:
    """A bucket is only another URL: the same table, frames and failures."""
    run(s3, CLIPS)
    store = open_store(s3)
    assert (len(store), store.url) == (11, s3)
    assert store.mfcc[[0, -1]].shape == (2, CONFIG.n_mfcc, CONFIG.frames)
    assert list(store.failures["clip_id"]) == ["bad", "gone"]
    assert store.to_xarray()["mfcc"].shape == store.mfcc.shape


@pytest.mark.parametrize("case", ["nothing", "described", "committed"])
def test_a_store_without_a_publication_is_refused(tmp_path: Path, case: str) -> None:
    """The message says whether there is no store or nothing published, and what to do."""
    tiny = TinyRun(store=str(tmp_path / "store"), clips=CLIPS)
    if case != "nothing":
        create_info(tiny.objects, tiny.info)
    if case == "committed":
        shards = tiny.hand_out(tiny.plan())
        assert shards is not None
        tiny.extract(shards)
    expected = "no store here" if case == "nothing" else "nothing was published here yet"
    with pytest.raises(StoreError, match=f"{expected}.*us8k extract"):
        open_store(str(tmp_path / "store"))


def test_a_publication_of_no_clips_can_be_read(folder: Path) -> None:
    """All clips left: the tables and frames are there, and empty."""
    run(folder, [Clip(clip_id="gone", missing=True)])
    store = open_store(str(folder))
    assert (len(store), store.mfcc.shape) == (0, (0, CONFIG.n_mfcc, CONFIG.frames))
    assert store.mfcc[:].shape == store.mfcc.shape
    assert store.vectors().shape == (0, len(CONFIG.pooled_names))
    assert list(store.mfcc.batches()) == []


# --- frames ------------------------------------------------------------------------------------------------------

bounds = st.one_of(st.none(), st.integers(-15, 15))
keys = st.one_of(
    st.integers(-11, 10),
    st.integers(-11, 10).map(np.int32),
    st.builds(slice, bounds, bounds, st.sampled_from([None, 1, 2, -1, -3])),
    st.lists(st.integers(-11, 10), max_size=15),
    st.lists(st.integers(-11, 10), max_size=15).map(lambda key: np.array(key, np.int64)),
    st.lists(st.booleans(), min_size=11, max_size=11),
    st.lists(st.booleans(), min_size=11, max_size=11).map(np.array),
)


@settings(max_examples=150)
@given(keys)
def test_frames_are_indexed_as_an_array_is(base: Path, whole: np.ndarray, key: Any) -> None:
    """For any number, slice, list or mask, what is read is what NumPy takes from the whole array."""
    read = open_store(str(base)).mfcc[key]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, whole[key])


@pytest.mark.parametrize(
    "key", [11, -12, np.int64(11), [0, 11], [-12], [True] * 10, 1.5, "c001", (0, 1), [[0, 1]], None]
)
def test_what_indexes_no_clips_is_refused(base: Path, key: Any) -> None:
    """Out of range, of the wrong length or kind, or more than one axis: an error as NumPy's, and nothing is read."""
    with pytest.raises(IndexError):
        open_store(str(base)).mfcc[key]


@pytest.mark.parametrize("key", [[[0, 1]], None, np.array(3)])
def test_clips_are_chosen_along_one_axis(base: Path, key: Any) -> None:
    """What would make another number of axes is refused by saying what can be asked for."""
    with pytest.raises(IndexError, match="a list or mask of one dimension"):
        open_store(str(base)).mfcc[key]


def test_frames_are_an_array_to_numpy(base: Path, whole: np.ndarray) -> None:
    """Length, shape and type are told without reading; np.asarray reads all; batches follow each other."""
    mfcc = open_store(str(base)).mfcc
    assert (len(mfcc), mfcc.shape, mfcc.dtype) == (11, whole.shape, whole.dtype)
    np.testing.assert_array_equal(np.asarray(mfcc), whole)
    assert np.asarray(mfcc, dtype=np.float64).dtype == np.float64
    batches = list(mfcc.batches(4))
    assert [len(batch) for batch in batches] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(batches), whole)


def test_frames_of_live_clips_are_aligned_with_xarray(base: Path, whole: np.ndarray) -> None:
    """The dataset has the live clips in the order of the table, labelled, and is read when it is used."""
    dataset = open_store(str(base)).to_xarray()
    assert dataset["mfcc"].dims == ("clip", "coefficient", "frame")
    assert set(dataset.coords) == {"clip_id", "label", "fold", "n_frames"}
    np.testing.assert_array_equal(dataset["mfcc"].to_numpy(), whole)
    assert dataset.sel(clip=dataset["clip_id"] == "c003")["fold"].item() == 2
    dogs = dataset.where(dataset["label"] == "dog", drop=True)
    assert set(dogs["label"].to_numpy()) == {"dog"}


# --- pinned ------------------------------------------------------------------------------------------------------


def everything(store: Store) -> tuple[Any, ...]:
    """Read all that a store shows."""
    frames = store.mfcc[:]
    return store.snapshot_id, store.pooled.to_csv(), store.failures.to_csv(), frames.tobytes(), len(store)


def test_an_open_store_stays_as_it_was(folder: Path) -> None:
    """Whatever runs publish meanwhile, an open store shows the publication that it was opened on, failures too."""
    before = everything(open_store(str(folder)))
    early, late = open_store(str(folder)), open_store(str(folder))
    early.failures  # noqa: B018  # read now, the other's later
    for clips in (
        without(CLIPS, "c001"),
        change(CLIPS, "bad", content="a good sound"),
        [*change(CLIPS, "c005", content="bad again and again"), Clip(clip_id="new", fold=9)],
    ):
        run(folder, clips)
    assert everything(early) == before
    assert everything(late) == before
    assert everything(open_store(str(folder))) != before


def test_a_store_opened_between_the_two_tables_shows_one_publication(folder: Path) -> None:
    """A publisher that replaced the failures and not yet the pooled table: both shown are of the older one."""
    before = everything(open_store(str(folder)))
    old = (folder / POOLED).read_bytes()
    run(folder, change(CLIPS, "c005", content="bad again and again"))
    (folder / POOLED).write_bytes(old)
    store = open_store(str(folder))
    assert "c005" not in set(store.failures["clip_id"])
    assert everything(store) == before
    (folder / FAILURES).unlink()
    assert everything(open_store(str(folder))) == before


def test_failures_that_no_snapshot_knows_are_damage(folder: Path) -> None:
    """If neither the table nor any snapshot is of the publication, that is said."""
    store = open_store(str(folder))
    (folder / FAILURES).unlink()
    shutil.rmtree(folder / "snapshots")
    with pytest.raises(DamageError, match="no snapshot matches the published tables"):
        store.failures  # noqa: B018  # reading it is what fails


# --- damage ------------------------------------------------------------------------------------------------------


def swap(folder: Path) -> None:
    """Put one shard in place of another."""
    (folder / shard_key(0)).write_bytes((folder / shard_key(1)).read_bytes())


def empty(folder: Path) -> None:
    """Make a shard empty: Zarr reads NaN, and says nothing."""
    (folder / shard_key(0)).write_bytes(b"")


def cut(folder: Path) -> None:
    """Cut a shard off."""
    data = (folder / shard_key(0)).read_bytes()
    (folder / shard_key(0)).write_bytes(data[: len(data) // 2])


def lose(folder: Path) -> None:
    """Remove a shard: Zarr reads NaN, and says nothing."""
    (folder / shard_key(0)).unlink()


def shrink(folder: Path) -> None:
    """Make the array shorter than the rows that are published."""
    text = (folder / ARRAY).read_text()
    assert "    13," in text
    (folder / ARRAY).write_text(text.replace("    13,", "    2,", 1))


@pytest.mark.parametrize("damage", [swap, empty, cut, lose])
def test_a_damaged_shard_is_named_by_its_clip(
    folder: Path, whole: np.ndarray, damage: Callable[[Path], None]
) -> None:
    """Whoever reads a clip of it gets an error that names the clip; the other shards are read as ever."""
    damage(folder)
    mfcc = open_store(str(folder)).mfcc
    first = [i for i, row in enumerate(open_store(str(folder)).pooled["row"]) if row < 4]
    for i in range(len(mfcc)):
        if i in first:
            with pytest.raises(DamageError, match=open_store(str(folder)).pooled["clip_id"][i]):
                mfcc[i]
        else:
            np.testing.assert_array_equal(mfcc[i], whole[i])
    with pytest.raises(DamageError, match="c000"):
        mfcc[:]


def test_an_array_that_is_too_short_is_damage(folder: Path) -> None:
    """Rows beyond the end of the array are not read as something else."""
    shrink(folder)
    with pytest.raises(DamageError):
        open_store(str(folder)).mfcc[-1]


@pytest.mark.parametrize("key", [ARRAY, POOLED, commit_key(0)])
def test_what_is_missing_or_damaged_is_an_error_of_ours(folder: Path, key: str) -> None:
    """The array's metadata, the table or a commit: cut off or gone, never a foreign error."""
    for broken in (b"{", None):
        if broken is None:
            (folder / key).unlink()
        else:
            (folder / key).write_bytes(broken)
        with pytest.raises((DamageError, StoreError)):
            store = open_store(str(folder))
            store.mfcc[0]
            try:
                store.source_sha256(0)
            except us8k_batch.errors.ObjectNotFoundError as error:
                raise DamageError("found") from error


# --- without our code --------------------------------------------------------------------------------------------


@pytest.fixture
def no_warning() -> Any:
    """Turn every warning into an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("no_warning")
def test_everybodys_tools_read_the_store(base: Path, whole: np.ndarray) -> None:
    """Pandas, Zarr, xarray, DuckDB and pyarrow open it as it lies there, and warn of nothing."""
    table = pd.read_parquet(base / POOLED)
    assert len(table) == 11
    frames = zarr.open(str(base / "mfcc.zarr"), mode="r")["mfcc"]
    np.testing.assert_array_equal(frames[:][table["row"]], whole)
    dataset = xarray.open_zarr(base / "mfcc.zarr", consolidated=False)
    np.testing.assert_array_equal(dataset["mfcc"].to_numpy()[table["row"]], whole)
    pooled = duckdb.read_parquet(str(base / POOLED))
    assert pooled.aggregate("label, count(*) as n").order("label").fetchall() == [("dog", 6), ("rain", 5)]
    assert len(duckdb.read_parquet(f"{base}/commits/*.parquet").fetchall()) == 13
    assert pyarrow.dataset.dataset(base / POOLED).count_rows() == 11
    assert pd.read_parquet(base / FAILURES)["clip_id"].tolist() == ["bad", "gone"]
    assert pd.read_parquet(base / snapshot_key(2))["state"].tolist().count("superseded") == 1


@pytest.mark.usefixtures("no_warning")
def test_our_reader_warns_of_nothing(base: Path) -> None:
    """Opening and reading all that a store shows."""
    store = open_store(str(base))
    everything(store)
    store.to_xarray()["mfcc"].load()


def test_a_row_without_a_result_is_nan_to_everybody(base: Path) -> None:
    """The array has a row for a clip that failed, all NaN."""
    index = TinyRun(store=str(base), clips=[]).state().index
    row = index["row"][index["clip_id"].to_pylist().index("bad")].as_py()
    assert math.isnan(zarr.open_array(str(base / "mfcc.zarr/mfcc"), mode="r")[row].max())
    assert open_objects(str(base)).get(shard_key(row // 4))
