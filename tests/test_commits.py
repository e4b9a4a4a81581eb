"""Commits: idempotent, exclusive with abandonment, and never of other frames than those that are there."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import Clip, Fuse, KilledError, change, make_clips, make_frames, make_info, results, stamps, stop

from us8k_batch.errors import DamageError, Failure, ObjectNotFoundError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store import parquet
from us8k_batch.store.commits import (
    ClipResult,
    Outcome,
    abandon_shard,
    commit_shard,
    digest_frames,
    read_commit,
    read_outcome,
)
from us8k_batch.store.layout import commit_key, shard_key

INFO = make_info()


@pytest.fixture(params=["local", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """Open an empty root: a folder, and a bucket."""
    return open_objects(str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3"))


def agrees(objects: Objects, shard: int) -> Outcome:
    """Check that a shard's commit and frames belong together; return what the commit says."""
    metadata, table, _ = read_commit(objects, INFO, shard)
    if metadata["state"] == "abandoned":
        assert len(table) == 0
        return Outcome.ABANDONED
    assert hashlib.sha256(objects.get(shard_key(shard))).hexdigest() == metadata["shard_sha256"]
    return Outcome.COMMITTED


def test_a_commit_is_read_back(objects: Objects) -> None:
    """What was found of each clip comes back: frames' digest and number, vector, duration, or the failure."""
    clips = [Clip(clip_id="a"), Clip(clip_id="b", content="bad"), Clip(clip_id="c", content="lost")]
    made = results(clips, first_row=8)
    assert commit_shard(objects, INFO, 2, made) is Outcome.COMMITTED
    metadata, table, digest = read_commit(objects, INFO, 2)
    assert digest == hashlib.sha256(objects.get(commit_key(2))).hexdigest()
    assert (metadata["shard"], metadata["state"]) == (2, "committed")
    assert table["row"].to_pylist() == [8, 9, 10]
    assert table["clip_id"].to_pylist() == ["a", "b", "c"]
    assert table["source_sha256"].to_pylist() == [clips[0].sha256, clips[1].sha256, None]
    assert made[0].frames is not None
    assert table["n_frames"].to_pylist() == [made[0].frames.shape[1], None, None]
    assert table["digest"].to_pylist() == [digest_frames(made[0].frames), None, None]
    assert table["error"].to_pylist() == [None, "not_decodable", "unreadable"]
    assert table["stage"].to_pylist() == [None, "decode", "storage"]
    np.testing.assert_array_equal(np.array(table["pooled"][0].as_py(), np.float32), made[0].pooled)
    assert table["pooled"].to_pylist()[1:] == [None, None]


def test_committing_again_changes_nothing(tmp_path: Path) -> None:
    """A task that runs twice finds its own commit, and no file is written anew."""
    objects = open_objects(str(tmp_path))
    made = results(make_clips(4))
    assert commit_shard(objects, INFO, 0, made) is Outcome.COMMITTED
    before = stamps(tmp_path)
    assert commit_shard(objects, INFO, 0, made) is Outcome.COMMITTED
    assert stamps(tmp_path) == before


def test_the_frames_are_there_before_the_commit_is(tmp_path: Path) -> None:
    """A writer that is killed between the two leaves frames that nothing refers to, and its successor commits."""
    objects = open_objects(str(tmp_path))
    made = results(make_clips(4))

    with pytest.raises(KilledError):
        commit_shard(Fuse(1, stop)(objects), INFO, 0, made)
    assert [info.key for info in objects.list("")] == [shard_key(0)]
    assert commit_shard(objects, INFO, 0, made) is Outcome.COMMITTED
    assert agrees(objects, 0) is Outcome.COMMITTED


def test_an_abandoned_shard_cannot_be_committed(objects: Objects) -> None:
    """Whoever commits after it is told to find new rows; the abandonment says why, and has no rows."""
    assert abandon_shard(objects, INFO, 3, "a clip left the dataset: c001") is Outcome.ABANDONED
    assert commit_shard(objects, INFO, 3, results(make_clips(4), first_row=12)) is Outcome.ABANDONED
    metadata, table, _ = read_commit(objects, INFO, 3)
    assert metadata == {"shard": 3, "state": "abandoned", "reason": "a clip left the dataset: c001"}
    assert len(table) == 0
    assert read_outcome(objects, 3) is Outcome.ABANDONED


def test_a_committed_shard_cannot_be_abandoned(objects: Objects) -> None:
    """Whoever gives it up after it was committed is told that it is committed."""
    commit_shard(objects, INFO, 0, results(make_clips(4)))
    before = objects.get(commit_key(0))
    assert abandon_shard(objects, INFO, 0, "too late") is Outcome.COMMITTED
    assert objects.get(commit_key(0)) == before


def test_a_shard_of_other_bytes_is_abandoned(objects: Objects) -> None:
    """If something else stands where the frames belong, they get no commit, and nothing is overwritten."""
    objects.create(shard_key(0), b"something else")
    assert commit_shard(objects, INFO, 0, results(make_clips(4))) is Outcome.ABANDONED
    assert objects.get(shard_key(0)) == b"something else"
    assert read_commit(objects, INFO, 0)[0]["reason"] == "its Zarr object holds other bytes"


def interleavings(first: Callable[[Objects], Any], second: Callable[[Objects], Any], root: Path) -> Iterator[Objects]:
    """Let one writer act before each step of another, in turn; yield the store after each, before any check."""
    at = 0
    while True:
        objects = open_objects(str(root / str(at)))
        outcomes: list[Any] = []
        fuse = Fuse(at, lambda objects=objects, outcomes=outcomes: outcomes.append(second(objects)))
        outcomes.append(first(fuse(objects)))
        if not fuse.blown:
            outcomes.append(second(objects))
        # Both must have been told the same, and what the store says.
        assert set(outcomes) == {agrees(objects, 0)}, at
        yield objects
        if not fuse.blown:
            return
        at += 1


MADE = results(make_clips(4))
OTHERS = results(change(make_clips(4), "c002", content="other sound"))
WRITERS: dict[str, Callable[[Objects], Any]] = {
    "commits": lambda objects: commit_shard(objects, INFO, 0, MADE),
    "commits other frames": lambda objects: commit_shard(objects, INFO, 0, OTHERS),
    "commits another failure": lambda objects: commit_shard(
        objects,
        INFO,
        0,
        [dataclasses.replace(MADE[0], frames=None, pooled=None, failure=Failure("decode", "x", "y"))],
    ),
    "abandons": lambda objects: abandon_shard(objects, INFO, 0, "reason"),
}


@pytest.mark.parametrize("first", WRITERS)
@pytest.mark.parametrize("second", WRITERS)
def test_two_writers_of_one_shard_end_alike_in_every_interleaving(tmp_path: Path, first: str, second: str) -> None:
    """At whatever step of the first the second acts: both are told the same, and a commit has its own frames."""
    steps = list(interleavings(WRITERS[first], WRITERS[second], tmp_path))
    assert len(steps) >= 3
    same = first == second
    if same:
        expected = Outcome.ABANDONED if first == "abandons" else Outcome.COMMITTED
        assert {agrees(objects, 0) for objects in steps} == {expected}


def test_attempts_that_fail_otherwise_commit_one_of_them(tmp_path: Path) -> None:
    """Two attempts with the same frames and another failure: the first commit counts, and both are told so."""
    objects = open_objects(str(tmp_path))
    slow = [ClipResult(0, "a", "00", failure=Failure("decode", "timeout", "30 s"))]
    fat = [ClipResult(0, "a", "00", failure=Failure("decode", "memory", "2 GiB"))]
    assert commit_shard(objects, INFO, 0, slow) is Outcome.COMMITTED
    assert commit_shard(objects, INFO, 0, fat) is Outcome.COMMITTED
    assert read_commit(objects, INFO, 0)[1]["error"].to_pylist() == ["timeout"]


def test_a_commit_holds_results_only(tmp_path: Path) -> None:
    """Neither clock, host, run, path nor metadata get into a commit: its columns are known, and so is its footer."""
    objects = open_objects(str(tmp_path))
    commit_shard(objects, INFO, 0, results(make_clips(4)))
    metadata, table, _ = read_commit(objects, INFO, 0)
    assert set(metadata) == {"shard", "state", "shard_sha256"}
    assert table.schema.equals(INFO.commit_schema)


def test_what_is_not_the_commit_of_a_shard_is_damage(tmp_path: Path) -> None:
    """Another shard's commit, or one of another configuration, is refused by its key."""
    objects = open_objects(str(tmp_path))
    commit_shard(objects, INFO, 0, results(make_clips(4)))
    objects.create(commit_key(1), objects.get(commit_key(0)))
    wider = make_info(dataclasses.replace(INFO.config, n_mfcc=5))
    objects.create(commit_key(2), parquet.encode(wider.commit_schema.empty_table(), {"shard": 2}))
    objects.create(commit_key(3), b"PAR1")
    for shard in (1, 2, 3):
        with pytest.raises(DamageError, match=commit_key(shard)):
            read_commit(objects, INFO, shard)
    with pytest.raises(ObjectNotFoundError):
        read_commit(objects, INFO, 4)


def test_a_digest_is_of_the_values_not_of_their_memory() -> None:
    """Fortran order, a slice, or big-endian floats of the same values have the same digest; other values another."""
    frames = make_frames("sound")
    digest = digest_frames(frames)
    assert digest == hashlib.sha256(frames.astype("<f4").tobytes()).hexdigest()
    assert digest_frames(np.asfortranarray(frames)) == digest
    assert digest_frames(np.pad(frames, ((0, 0), (0, 3)))[:, : frames.shape[1]]) == digest
    assert digest_frames(frames.astype(">f4")) == digest
    other = frames.copy()
    other[-1, -1] = np.nextafter(other[-1, -1], np.float32(np.inf))
    assert digest_frames(other) != digest


def test_an_outcome_survives_the_way_back_from_a_worker() -> None:
    """Outcomes are compared by identity after unpickling too."""
    for outcome in Outcome:
        assert pickle.loads(pickle.dumps(outcome)) is outcome  # noqa: S301  # our own bytes
