"""Stored clips computed again from their audio with librosa itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from audio_files import write_audio
from datasets import change_rows, make_manifest
from runs import Runner, copy

from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.errors import DatasetError, StoreError
from us8k_batch.features.engine import make_engine
from us8k_batch.objects import open_objects
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.recheck import TOLERANCE, recheck
from us8k_batch.store.commits import ClipResult, commit_shard
from us8k_batch.store.layout import create_info, read_info
from us8k_batch.store.plans import create_plan
from us8k_batch.store.publish import publish
from us8k_batch.store.reader import open_store
from us8k_batch.store.state import load_state
from us8k_batch.store.verify import verify

CLIPS = 8


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a manifest of eight clips in four formats."""
    return make_manifest(tmp_path_factory.mktemp("data"), clips=CLIPS)


@pytest.fixture(scope="module")
def store(runner: Runner, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract it."""
    store = tmp_path_factory.mktemp("base") / "store"
    runner.extract(dataset, store)
    return store


@pytest.fixture
def own(dataset: Path, tmp_path: Path) -> Path:
    """Copy the dataset, to be changed."""
    return copy(dataset.parent, tmp_path / "own") / dataset.name


def test_what_is_stored_is_what_librosa_makes(store: Path, dataset: Path) -> None:
    """As many clips as asked for, in every format, within the tolerance; the largest difference is named."""
    done = recheck(str(store), str(dataset), sample=CLIPS - 1)
    assert (done.compared, done.changed, done.problems) == (CLIPS - 1, 0, [])
    assert 0 < done.largest_difference < TOLERANCE
    assert done.worst_clip in set(open_store(str(store)).pooled["clip_id"])


def test_what_cannot_be_compared_is_told_apart(store: Path, own: Path) -> None:
    """A source that changed is counted, one that is gone or no longer named is a problem; the others are compared."""
    write_audio(own.parent / "audio/clip004.wav", seed=9)
    (own.parent / "audio/clip000.wav").unlink()
    change_rows(own, lambda rows: [row for row in rows if row["path"] != "audio/clip001.flac"])
    done = recheck(str(store), str(own), sample=CLIPS)
    assert (done.compared, done.changed) == (CLIPS - 3, 1)
    assert sorted(done.problems) == [
        "audio/clip000.wav: no such file",
        "audio/clip001.flac: the dataset has no such clip any more",
    ]


def falsify(store: Path, dataset: Path, target: Path) -> str:
    """Copy a store's results with other numbers, and with digests that fit them; return the copy's path."""
    honest = open_store(str(store))
    info = read_info(open_objects(str(store)))
    objects = open_objects(str(target))
    create_info(objects, info)
    clips = open_catalog(str(dataset)).clips
    assert create_plan(objects, info, None, clips, honest.versions[0]) is not None
    results = []
    librosa = make_engine(info.config, "librosa")  # so that the difference to it is known exactly
    for i, row in enumerate(honest.pooled.itertuples()):
        exact = librosa((dataset.parent / row.path).read_bytes()).mfcc
        frames = exact + np.float32(1.5 * TOLERANCE if i else 0)
        kept = frames[:, : row.n_frames - (i == 1)]
        pooled = np.zeros(info.vector_length, np.float32)
        sha256 = honest.source_sha256(i)
        results.append(ClipResult(row.row, row.clip_id, sha256, kept, pooled, row.duration))
    for shard in range(CLIPS // info.clips_per_shard):
        first = shard * info.clips_per_shard
        commit_shard(objects, info, shard, results[first : first + info.clips_per_shard])
    state = load_state(objects, info)
    made = make_publication(clips, state.index)
    assert publish(objects, info, state, made.table, made.pending, made.metadata_columns)
    return str(target)


def test_other_numbers_than_librosas_are_found(store: Path, dataset: Path, tmp_path: Path) -> None:
    """Digests cannot tell that the numbers were wrong from the beginning; librosa can, clip by clip."""
    path = falsify(store, dataset, tmp_path / "false")
    assert not verify(path).findings
    done = recheck(path, str(dataset), sample=CLIPS)
    ids = open_store(path).pooled["clip_id"].tolist()
    assert done.largest_difference == pytest.approx(1.5 * TOLERANCE, rel=0.1)
    assert [problem.partition(":")[0] for problem in done.problems] == ids[1:]
    assert "is stored, librosa makes" in done.problems[0]
    assert f"differs from librosa by 0.003, at most {TOLERANCE}" in done.problems[1]


def test_what_cannot_be_opened_is_refused(store: Path, dataset: Path, tmp_path: Path) -> None:
    """No store, or no dataset: a bad request."""
    with pytest.raises(StoreError):
        recheck(str(tmp_path / "none"), str(dataset), sample=1)
    with pytest.raises(DatasetError):
        recheck(str(store), str(tmp_path / "none"), sample=1)
