"""Rows read straight from shard objects: what Zarr reads, or an error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from stores import CONFIG, make_clips, run

from us8k_batch.errors import DamageError, ObjectNotFoundError, StorageError
from us8k_batch.objects import open_objects
from us8k_batch.store import chunks
from us8k_batch.store.chunks import Chunks
from us8k_batch.store.layout import ARRAY, StoreInfo, shard_key

INFO = StoreInfo(CONFIG, 12, 3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store of two shards, 12 and 5 clips, in chunks of 3."""
    folder = tmp_path_factory.mktemp("base") / "store"
    run(folder, make_clips(17), info=INFO)
    return folder


def read(store: Path, shard: int, at: list[int]) -> np.ndarray:
    """Read rows of a shard."""
    out = np.zeros((len(at), CONFIG.n_mfcc, CONFIG.frames), np.float32)
    Chunks(open_objects(str(store)), INFO).read(shard, np.array(at), out)
    return out


@given(
    at=st.lists(st.integers(0, 11), min_size=1, max_size=20).map(sorted), fetch=st.sampled_from([1, 2500, 1 << 20])
)
def test_rows_are_what_zarr_reads(store: Path, at: list[int], fetch: int) -> None:
    """For any rows of a shard, some asked for twice, however many chunks are held at a time."""
    array = zarr.open_array(str(store / "mfcc.zarr/mfcc"), mode="r")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "FETCH_BYTES", fetch)
        np.testing.assert_array_equal(read(store, 0, at), array[:12][at])


def test_the_last_shard_has_the_rows_that_were_handed_out(store: Path) -> None:
    """A chunk that no plan reached is not there, and said to be missing; rows of one that it reached are NaN."""
    assert np.isnan(read(store, 1, [5])).all()
    with pytest.raises(DamageError, match="chunk 2 is missing"):
        read(store, 1, [6])
    with pytest.raises(DamageError, match="has no chunk 4"):
        read(store, 1, [12])


def test_the_array_is_as_long_as_its_metadata_says(store: Path) -> None:
    """The length is read once; a document that stores rows in another way is refused, another level is not."""
    objects = open_objects(str(store))
    assert Chunks(objects, INFO).n_rows() == 17
    document = json.loads((store / ARRAY).read_text())
    document["codecs"][0]["configuration"]["codecs"][1]["configuration"]["level"] = 9
    assert chunks._length_of(json.dumps(document).encode(), INFO) == 17
    document["data_type"] = "float64"
    with pytest.raises(DamageError, match="does not describe the array"):
        chunks._length_of(json.dumps(document).encode(), INFO)
    for broken in (b"", b"{}", b"[]", b'{"shape": []}', b'{"shape": ["x"]}', b'{"shape": [3], "codecs": 1}'):
        with pytest.raises(DamageError, match="not the description"):
            chunks._length_of(broken, INFO)


def test_every_flipped_bit_of_an_index_is_noticed(store: Path) -> None:
    """An index with one bit changed, or cut, is damage and never other places in the shard."""
    data = (store / shard_key(0)).read_bytes()[-(4 * 16 + 4) :]
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamageError, match="index is damaged"):
            chunks._read_index(bytes(flipped), 4, "key")
    with pytest.raises(DamageError, match="index is damaged"):
        chunks._read_index(data[1:], 4, "key")


def test_indexes_are_kept_up_to_a_limit(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading many shards does not fill the memory with their indexes."""
    monkeypatch.setattr(chunks, "INDEXES", 1)
    reader = Chunks(open_objects(str(store)), INFO)
    out = np.empty((1, CONFIG.n_mfcc, CONFIG.frames), np.float32)
    for shard in (0, 1, 0, 1):
        reader.read(shard, np.array([0]), out)
        assert len(reader._indexes) == 1


@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_parts_of_an_object_are_read(place: str, tmp_path: Path, s3: str) -> None:
    """Ranges come back in the order asked for; beyond the end is an error, and so is no object."""
    objects = open_objects(str(tmp_path / "root") if place == "disk" else s3)
    objects.create("folder/name", bytes(range(100)))
    parts = objects.get_ranges("folder/name", [(90, 100), (0, 2), (50, 51)])
    assert [bytes(part) for part in parts] == [bytes(range(90, 100)), b"\0\1", b"2"]
    with pytest.raises(StorageError):
        objects.get_ranges("folder/name", [(1000, 1010)])
    with pytest.raises(ObjectNotFoundError):
        objects.get_ranges("folder/other", [(0, 1)])
