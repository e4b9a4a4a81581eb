from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import stores
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.errors import RequestError
from us8k_batch.training import frames
from us8k_batch.training.data import Dataset, load_dataset
from us8k_batch.training.frames import STEP, ClipFrames, frames_of, load_frames


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Return ten clips in a store."""
    stores.run(tmp_path / "store", stores.make_clips(10))
    return load_dataset(str(tmp_path / "store"))


def made(seed: int, n: int = 9, *, width: int = 40) -> ClipFrames:
    """Make clips of 1 to `width` frames, with NaN past their ends."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, width + 1, n)
    values = rng.normal(-200, 50, (n, 3, width)).astype(np.float32)
    values[(np.arange(width) >= lengths[:, np.newaxis])[:, np.newaxis].repeat(3, axis=1)] = np.nan
    return frames_of(values, lengths)


@given(st.integers(0, 1000), st.lists(st.integers(0, 8), min_size=1))
def test_a_batch_holds_each_clip_frame_by_frame_and_nothing_else(seed, chosen):
    """Every clip of a batch is its own frames, then zeros; the mask says which is which."""
    clips = made(seed)
    batch, mask = clips.batch(np.array(chosen))
    assert batch.dtype == mask.dtype == np.float32
    assert batch.shape == (*mask.shape, 3)
    assert batch.shape[1] % STEP == 0
    for clip, said, there in zip(chosen, batch, mask, strict=True):
        length = clips.n_frames[clip]
        np.testing.assert_array_equal(there, np.arange(len(there)) < length)
        np.testing.assert_array_equal(said[:length], clips.values[clip, :, :length].T)
        assert not said[length:].any()


def test_another_process_gets_the_chosen_clips_alone():
    """Frames of clips that were not chosen, such as those of a test fold, are not in what is pickled."""
    clips = made(0)[[5, 2]]
    arrived = pickle.loads(pickle.dumps(clips))  # noqa: S301  # our own
    assert len(arrived.values) == len(arrived) == 2
    for said, meant in zip(arrived.batch(slice(None)), clips.batch(slice(None)), strict=True):
        np.testing.assert_array_equal(said, meant)


@given(st.integers(0, 1000), st.lists(st.integers(0, 8), min_size=1, unique=True))
def test_moments_are_those_of_the_chosen_clips_frames_alone(seed, chosen):
    """Mean and variance count each frame of the chosen clips once, and no padding or other clip."""
    clips = made(seed)
    everything = np.concatenate([clips.values[i, :, : clips.n_frames[i]] for i in chosen], axis=1).astype(np.float64)
    mean, variance = clips[chosen].moments()
    np.testing.assert_allclose(mean, everything.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(variance, everything.var(axis=1), rtol=1e-6, atol=1e-6)


def test_choosing_clips_copies_no_frame_and_counts_from_what_was_chosen():
    """A choice of a choice looks at the same memory."""
    clips = made(0)
    some = clips[np.array([7, 2, 5])][1:]
    assert some.values is clips.values
    assert some.places.tolist() == [2, 5]
    np.testing.assert_array_equal(some.batch(np.array([1]))[0], clips.batch(np.array([5]))[0])


def test_frames_through_the_cache_are_those_of_the_store(data, tmp_path):
    """With and without a cache, at first and again, every clip has the frames that the store has."""
    direct = load_frames(data)
    for clips in (direct, load_frames(data, tmp_path / "cache"), load_frames(data, tmp_path / "cache")):
        for i, length in enumerate(data.n_frames):
            np.testing.assert_array_equal(clips.values[i, :, :length], data.frames[i][:, :length])


def test_the_store_is_read_once(data, tmp_path, monkeypatch):
    """A second run of the same snapshot reads no frame of the store, and maps the file."""
    load_frames(data, tmp_path)
    monkeypatch.setattr(frames, "_read", None)
    assert isinstance(load_frames(data, tmp_path).values, np.memmap)


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "proof", "no proof"])
def test_a_cache_that_is_not_what_was_written_is_made_anew(data, tmp_path, damage):
    """One flipped bit, a cut or longer file, and a proof of something else are all noticed."""
    load_frames(data, tmp_path)
    file, proof = next(tmp_path.glob("*.f32")), next(tmp_path.glob("*.json"))
    good = bytearray(file.read_bytes())
    if damage == "flip":
        good[len(good) // 2] ^= 1
    if damage in ("flip", "cut", "grow"):
        file.write_bytes({"cut": good[:-4], "grow": good + b"1234"}.get(damage, good))
    elif damage == "proof":
        proof.write_text("[]")
    else:
        proof.unlink()
    clips = load_frames(data, tmp_path)
    np.testing.assert_array_equal(clips.batch(slice(None))[0], load_frames(data).batch(slice(None))[0])
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.is_file()) == [".f32", ".json"]


def test_a_cache_that_cannot_be_written_is_refused(data, tmp_path):
    """The message says what to choose otherwise."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="choose another --out"):
        load_frames(data, tmp_path / "file" / "cache")
