"""Shards: one Zarr object encoded whole, the same bytes for the same frames, and every flipped bit noticed."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import CONFIG, flips, make_clips, make_frames, make_info, run

import us8k_batch
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import DamageError
from us8k_batch.objects import open_objects
from us8k_batch.store.layout import StoreInfo, new_info, shard_key
from us8k_batch.store.shards import Frames, array_metadata, decode_shard, encode_shard, group_metadata, n_shards


@st.composite
def shards(draw: st.DrawFn) -> tuple[StoreInfo, list[Frames | None]]:
    """Draw a store's description and the frames of one shard, some rows without, none too long."""
    config = FeatureConfig(n_mfcc=draw(st.integers(1, 5)), max_seconds=draw(st.floats(0.01, 0.3)))
    info = new_info(config, draw(st.integers(1, 20)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def frames(n: int | None) -> Frames | None:
        return None if n is None else rng.normal(size=(config.n_mfcc, n)).astype(np.float32)

    lengths = st.one_of(st.none(), st.integers(1, info.frames))
    drawn = draw(st.lists(lengths, min_size=1, max_size=info.clips_per_shard))
    return info, [frames(n) for n in drawn]


def padded(info: StoreInfo, clips: list[Frames | None]) -> Frames:
    """Return what is to be read back: NaN where there is no frame."""
    block = np.full((len(clips), info.config.n_mfcc, info.frames), np.nan, np.float32)
    for row, clip in enumerate(clips):
        if clip is not None:
            block[row, :, : clip.shape[1]] = clip
    return block


@settings(max_examples=50)
@given(shards())
def test_frames_survive_a_round_trip(shard: tuple[StoreInfo, list[Frames | None]]) -> None:
    """Every value comes back bit by bit, NaN where there is no frame, for any shape of shard."""
    info, clips = shard
    data = encode_shard(info, clips)
    np.testing.assert_array_equal(decode_shard(info, data, len(clips), "key"), padded(info, clips))


@settings(max_examples=30)
@given(shards())
def test_the_same_frames_have_the_same_bytes(shard: tuple[StoreInfo, list[Frames | None]]) -> None:
    """Neither memory order nor the clips' own arrays show in the bytes."""
    info, clips = shard
    others = [clip if clip is None else np.asfortranarray(clip) for clip in clips]
    assert encode_shard(info, others) == encode_shard(info, clips)


def test_a_shard_is_what_zarr_itself_would_write(tmp_path: Path) -> None:
    """The object that we encode in memory is byte for byte what Zarr writes for the same values."""
    info = make_info(clips_per_shard=16)
    clips: list[Frames | None] = [*(make_frames(str(i)) for i in range(8)), *[None] * 8]
    folder = tmp_path / "mfcc.zarr" / "mfcc"
    folder.mkdir(parents=True)
    (folder / "zarr.json").write_bytes(array_metadata(info, 32))
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.open_array(folder, mode="r+")
        array[:16] = padded(info, clips)
    assert (tmp_path / shard_key(0)).read_bytes() == encode_shard(info, clips)


def test_a_row_without_a_result_is_stored_all_the_same() -> None:
    """A shard in which nothing could be decoded is an object too, or a lost one would look like it."""
    info = make_info()
    data = encode_shard(info, [None, None])
    assert len(data) > 0
    assert np.isnan(decode_shard(info, data, 2, "key")).all()


def test_every_flipped_bit_is_noticed() -> None:
    """A flipped bit is refused, or does not reach a single value: Zarr's own default reads it as other numbers."""
    info = make_info(clips_per_shard=16)
    clips: list[Frames | None] = [make_frames(str(i)) for i in range(13)]
    data = encode_shard(info, clips)
    good = padded(info, clips)
    refused = 0
    for _, damaged in flips(data, most=500):
        try:
            read = decode_shard(info, damaged, 13, "c/0/0/0")
        except DamageError as error:
            assert str(error).startswith("c/0/0/0: ")
            refused += 1
        else:
            np.testing.assert_array_equal(read, good)
    # Some bits of a compressed frame's header mean nothing.
    assert refused > 490


@pytest.mark.parametrize("keep", [0, 1, 10, 100, -100, -1])
def test_a_cut_off_shard_is_refused(keep: int) -> None:
    """Half a shard is damage; an empty one, which Zarr reads as NaN, too."""
    info = make_info()
    data = encode_shard(info, [make_frames(str(i)) for i in range(4)])
    with pytest.raises(DamageError, match="c/7/0/0: "):
        decode_shard(info, data[:keep], 4, "c/7/0/0")


def test_every_flipped_bit_is_noticed_by_the_reader(tmp_path: Path) -> None:
    """Reading a row through our reader gives the committed values or an error that names the clip."""
    run(tmp_path / "store", make_clips(4))
    path = tmp_path / "store" / shard_key(0)
    data = path.read_bytes()
    good = us8k_batch.open_store(str(tmp_path / "store")).mfcc[:]
    refused = 0
    for _, damaged in flips(data, most=200, seed=1):
        path.write_bytes(damaged)
        store = us8k_batch.open_store(str(tmp_path / "store"))
        try:
            read = store.mfcc[:]
        except DamageError as error:
            assert "c00" in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(read, good)
    assert refused > 190


@pytest.mark.parametrize("rows", [0, 1, 4, 11])
def test_the_metadata_open_everywhere_without_a_warning(tmp_path: Path, rows: int) -> None:
    """Zarr and xarray open the array as it is described, whatever its length, and warn of nothing."""
    info = make_info()
    objects = open_objects(str(tmp_path))
    objects.create("mfcc.zarr/zarr.json", group_metadata())
    objects.create("mfcc.zarr/mfcc/zarr.json", array_metadata(info, rows))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open(tmp_path / "mfcc.zarr", mode="r")
        array = group["mfcc"]
        dataset = xarray.open_zarr(tmp_path / "mfcc.zarr", consolidated=False)
    assert array.shape == (rows, CONFIG.n_mfcc, CONFIG.frames)
    assert array.shards == (4, CONFIG.n_mfcc, CONFIG.frames)
    assert array.chunks == (4, CONFIG.n_mfcc, CONFIG.frames)
    assert array.dtype == np.float32
    assert math.isnan(array.fill_value)
    assert dataset["mfcc"].dims == ("clip", "coefficient", "frame")
    assert dataset["mfcc"].attrs["feature_fingerprint"] == CONFIG.fingerprint


def test_the_metadata_are_what_zarr_makes_of_them(tmp_path: Path) -> None:
    """Zarr reads the metadata and would write nothing else: no field is missing, none unknown."""
    (tmp_path / "zarr.json").write_bytes(array_metadata(make_info(), 10))
    array = zarr.open_array(tmp_path, mode="r")
    assert json.loads(json.dumps(array.metadata.to_dict(), default=str)) | {"fill_value": "NaN"} == json.loads(
        array_metadata(make_info(), 10)
    )


def test_metadata_are_a_pure_function_of_the_description_and_the_rows() -> None:
    """Only the length of the clip axis differs between two states of one store."""
    short, long = (json.loads(array_metadata(make_info(), rows)) for rows in (3, 5000))
    assert array_metadata(make_info(), 3) == array_metadata(make_info(), 3)
    assert short | {"shape": long["shape"]} == long
    assert (short["shape"][0], long["shape"][0]) == (3, 5000)


@given(st.integers(0, 10_000), st.integers(1, 500))
def test_shards_hold_all_rows_and_no_shard_is_empty(rows: int, size: int) -> None:
    """The number of shards is the least that holds the rows."""
    n = n_shards(StoreInfo(CONFIG, size, 1), rows)
    assert n * size >= rows
    assert n == 0 or (n - 1) * size < rows


@settings(max_examples=30)
@given(shards())
def test_a_shard_of_any_shape_is_what_zarr_would_write(shard: tuple[StoreInfo, list[Frames | None]]) -> None:
    """Our encoder makes Zarr's bytes, for any shape of shard; another one would be a format of our own."""
    info, clips = shard
    stored: dict[str, object] = {}
    memory = zarr.storage.MemoryStore(stored)
    metadata = json.loads(array_metadata(info, len(clips)))
    array = zarr.Array(zarr.AsyncArray(metadata, zarr.storage.StorePath(memory), config={"write_empty_chunks": True}))
    array[:] = padded(info, clips)
    assert stored["c/0/0/0"].to_bytes() == encode_shard(info, clips)
