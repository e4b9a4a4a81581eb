"""Mending: whatever was damaged is as it was, or its clips are computed again; nothing else is touched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
from mending import FromContents, mend
from stores import (
    WRITES,
    Clip,
    Fuse,
    KilledError,
    TinyRun,
    change,
    copy,
    files,
    flips,
    live,
    make_catalog,
    make_clips,
    make_history,
    make_info,
    run,
    stamps,
    stop,
)

from us8k_batch.errors import StorageError
from us8k_batch.features.engine import Features
from us8k_batch.objects import open_objects
from us8k_batch.repair.mender import Mender
from us8k_batch.repair.repair import mend_until_sound
from us8k_batch.store.layout import (
    ARRAY,
    DAMAGED,
    FAILURES,
    GROUP,
    POOLED,
    commit_key,
    plan_key,
    shard_key,
    snapshot_key,
)
from us8k_batch.store.verify import verify

CLIPS = [*make_clips(9), Clip(clip_id="bad", content="bad sound", fold=2), Clip(clip_id="gone", missing=True)]
NOW = CLIPS
KEYS = (
    GROUP,
    ARRAY,
    POOLED,
    FAILURES,
    plan_key(1),
    plan_key(3),
    commit_key(0),
    commit_key(1),
    commit_key(3),
    commit_key(4),
    shard_key(0),
    shard_key(1),
    snapshot_key(3),
)
"""Objects of every kind that can be made again."""
DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "lost": lambda _: None,
    "empty": lambda _: b"",
    "cut off": lambda good: good[: len(good) * 2 // 3],
    "longer": lambda good: good + b" ",
    "flipped": lambda good: next(iter(flips(good, most=1, seed=len(good))))[1],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with a history: superseded rows, an abandoned shard, failures, three snapshots."""
    return make_history(tmp_path_factory.mktemp("base") / "store", CLIPS)


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """Copy the store, to be damaged."""
    return Path(copy(base, tmp_path / "store"))


def damage(path: Path, how: str) -> None:
    """Damage an object."""
    data = DAMAGE[how](path.read_bytes())
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def whole(store: Path) -> dict[str, bytes]:
    """Return all objects but for those set aside."""
    return files(store, but=("runs", "lease", DAMAGED))


@pytest.mark.parametrize(("key", "how"), list(zip(KEYS, cycle(DAMAGE))))
def test_what_is_damaged_is_again_what_it_was(base: Path, folder: Path, key: str, how: str) -> None:
    """An object of whatever kind, lost, emptied, cut off, made longer or flipped: every byte is as it was."""
    bad = None
    damage(folder / key, how)
    if how != "lost":
        bad = (folder / key).read_bytes()
    done = mend(folder, NOW)
    assert (done.left, done.clips) == ([], [])
    assert key in done.mended
    assert whole(folder) == whole(base)
    if bad is not None:
        assert (folder / DAMAGED / key).read_bytes() == bad


def test_everything_damaged_at_once_is_mended(base: Path, folder: Path) -> None:
    """Damage that hides other damage: round by round all of it is found and mended."""
    # One table keeps its footer: it says which publication the lost snapshot was.
    for i, key in enumerate((GROUP, ARRAY, FAILURES, plan_key(1), commit_key(0), shard_key(1), snapshot_key(3))):
        damage(folder / key, list(DAMAGE)[i % 5])
    done = mend(folder, NOW)
    assert (done.left, done.clips) == ([], [])
    assert whole(folder) == whole(base)


def test_a_sound_store_is_not_touched(folder: Path) -> None:
    """Nothing is found, nothing done."""
    before = stamps(folder)
    done = mend(folder, NOW)
    assert (done.left, done.mended, done.given_up, done.clips) == ([], [], [], [])
    assert stamps(folder) == before


def test_only_what_the_store_has_lost_is_computed_again(folder: Path) -> None:
    """Clips whose chunk is whole come from the shard that is left; a clip that failed is not tried."""
    recompute = FromContents(NOW)
    damage(folder / shard_key(0), "longer")  # only the way to its chunks is lost
    assert mend(folder, NOW, recompute=recompute).left == []
    assert recompute.computed == []
    damage(folder / commit_key(1), "lost")
    assert mend(folder, NOW, recompute=recompute).left == []
    assert recompute.computed == []
    (folder / shard_key(1)).unlink()
    assert mend(folder, NOW, recompute=recompute).left == []
    assert recompute.computed == ["c002", "c003", "c008"]


def test_a_clip_that_cannot_be_computed_again_costs_its_shard_new_rows(base: Path, folder: Path) -> None:
    """The source changed meanwhile: the shard's clips leave the tables, and the next run computes just those."""
    clips = change(NOW, "c002", content="quite another sound")
    damage(folder / shard_key(1), "lost")
    done = mend(folder, clips)
    assert done.left == []
    assert done.clips == ["bad", "c002", "c003", "c008"]
    assert done.given_up == [f"{shard_key(1)}: c002: its source is another one now"]
    assert done.pending == 4
    assert live(folder) == [clip for clip in live(base) if clip not in done.clips]
    again = run(folder, clips)
    assert sorted(again.extracted) == done.clips
    assert verify(str(folder)).findings == []
    assert sorted(live(folder)) == sorted(live(base))


def test_a_lost_row_that_no_clip_needs_costs_no_clip(base: Path, folder: Path) -> None:
    """A superseded row is gone with its source; its shard is given up, and every clip stays published."""
    damage(folder / shard_key(4), "empty")
    done = mend(folder, NOW)
    assert (done.left, done.clips, done.pending) == ([], [], 0)
    assert done.given_up == [f"{shard_key(4)}: c003: its source is another one now"]
    assert live(folder) == live(base)
    assert (folder / POOLED).read_bytes() == (base / POOLED).read_bytes()
    assert TinyRun(store=str(folder), clips=NOW).plan().nothing_to_do


@pytest.mark.parametrize("key", [plan_key(2), snapshot_key(1), snapshot_key(2)])
@pytest.mark.parametrize("how", ["lost", "empty"])
def test_history_that_cannot_be_made_again_is_written_off(base: Path, folder: Path, key: str, how: str) -> None:
    """Of a settled plan or an older snapshot nothing depends any more: it is said once, and no clip is concerned."""
    damage(folder / key, how)
    done = mend(folder, NOW)
    assert (done.left, done.clips, [line.partition(":")[0] for line in done.given_up]) == ([], [], [key])
    assert mend(folder, NOW).given_up == []
    before, after = whole(base), whole(folder)
    del before[key]
    assert after == before
    assert TinyRun(store=str(folder), clips=NOW).plan().nothing_to_do
    assert verify(copy(folder, folder.parent / "copy")).findings == []


def test_a_lost_publication_of_another_dataset_is_left_to_the_next_run(folder: Path) -> None:
    """The newest snapshot is lost, and the dataset changed: its tables are whole, so they stay until the next run."""
    damage(folder / snapshot_key(3), "lost")
    clips = change(NOW, "c001", label="wolf")
    tables = [(folder / key).read_bytes() for key in (POOLED, FAILURES)]
    done = mend(folder, clips)
    assert {finding.key for finding in done.left} == {POOLED, FAILURES}
    assert [(folder / key).read_bytes() for key in (POOLED, FAILURES)] == tables
    run(folder, clips)
    assert verify(str(folder)).findings == []


def test_no_snapshot_is_left(base: Path, folder: Path) -> None:
    """All of them are gone: the last publication comes out of catalog and commits again."""
    for number in (1, 2, 3):
        damage(folder / snapshot_key(number), "lost")
    done = mend(folder, NOW)
    assert (done.left, done.mended) == ([], [snapshot_key(1), FAILURES, POOLED])
    assert files(folder, but=("snapshots", DAMAGED)) == files(base, but=("snapshots",))


# --- what is not published yet ------------------------------------------------------------------------------------


@pytest.fixture
def unpublished(folder: Path) -> Path:
    """Leave a run that was killed before it published: a plan with two shards committed and one not."""
    clips = [*NOW, *(Clip(clip_id=f"n{i:03d}", content=f"new sound {i}") for i in range(12))]
    tiny = TinyRun(store=str(folder), clips=clips)
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    tiny.extract(shards[:2])
    return folder


NEW = [*NOW, *(Clip(clip_id=f"n{i:03d}", content=f"new sound {i}") for i in range(12))]


@pytest.mark.parametrize("key", [commit_key(5), commit_key(6), plan_key(4), shard_key(5)])
@pytest.mark.parametrize("how", ["lost", "empty"])
def test_work_that_was_not_published_is_finished_as_if_nothing_had_been(
    unpublished: Path, key: str, how: str
) -> None:
    """A commit, plan or shard of a run that did not end: mended, and after the next run all is as it would be."""
    undisturbed = copy(unpublished, unpublished.parent / "undisturbed")
    run(undisturbed, NEW)
    damage(unpublished / key, how)
    done = mend(unpublished, NEW)
    assert (done.left, done.clips) == ([], [])
    run(unpublished, NEW)
    assert verify(str(unpublished)).findings == []
    assert files(unpublished, but=(DAMAGED, "snapshots")) == files(undisturbed, but=("snapshots",))


def test_an_unpublished_shard_that_cannot_be_made_again_is_abandoned(unpublished: Path) -> None:
    """Its clips get new rows by the next run; no snapshot has to change."""
    damage(unpublished / shard_key(5), "lost")
    clips = change(NEW, "n001", content="another")
    done = mend(unpublished, clips)
    assert (done.left, done.given_up) == ([], [f"{shard_key(5)}: n001: its source is another one now"])
    run(unpublished, clips)
    assert verify(str(unpublished)).findings == []
    assert {"n000", "n001", "n002", "n003"} <= set(live(unpublished))


def test_a_published_plan_that_is_not_settled_is_given_up_where_it_is_open(unpublished: Path) -> None:
    """An interrupted run published; then its plan is lost: which clips the open shards were for nobody knows."""
    tiny = TinyRun(store=str(unpublished), clips=NEW)
    assert tiny.publish() is not None
    damage(unpublished / plan_key(4), "lost")
    done = mend(unpublished, NEW)
    assert (done.left, done.clips) == ([], [])
    again = run(unpublished, NEW)
    assert sorted(again.extracted) == ["n008", "n009", "n010", "n011"]
    assert verify(str(unpublished)).findings == []


# --- killed, or not alone -----------------------------------------------------------------------------------------


def test_a_repair_that_is_killed_is_finished_by_the_next(folder: Path, tmp_path: Path) -> None:
    """At whatever write: the next repair ends with a sound store and the same clips in it."""
    clips = change(NOW, "c002", content="quite another sound")
    for key in (shard_key(1), POOLED, commit_key(0), commit_key(3), plan_key(1)):
        damage(folder / key, "empty")
    whole_repair = Path(copy(folder, tmp_path / "whole"))
    mend(whole_repair, clips)
    for at in range(0, 100, 3):
        store = Path(copy(folder, tmp_path / str(at)))
        fuse = Fuse(at, stop, uses=WRITES)
        with contextlib.suppress(KilledError):
            mend(store, clips, watch=fuse)
        if not fuse.blown:
            return
        assert mend(store, clips).left == [], at
        assert live(store) == live(whole_repair), at
        run(store, clips)
        assert verify(str(store)).findings == [], at
        assert len(live(store)) == 9, at
    raise AssertionError("a repair takes ever more steps")


def test_a_run_in_the_middle_of_a_repair_loses_nothing(folder: Path, tmp_path: Path) -> None:
    """A run that was forced onto the store meanwhile: at the end all clips are there, and the store is sound."""
    clips = change(NOW, "c002", content="quite another sound")
    for key in (shard_key(1), commit_key(0)):
        damage(folder / key, "empty")
    for at in range(0, 60, 9):
        store = Path(copy(folder, tmp_path / str(at)))
        fuse = Fuse(at, lambda store=store: run(store, clips), uses=WRITES)
        mend(store, clips, watch=fuse)
        mend(store, clips)
        run(store, clips)
        assert verify(str(store)).findings == [], at
        assert len(live(store)) == 9, at
        if not fuse.blown:
            return


def test_nothing_is_given_up_while_the_storage_does_not_answer(base: Path, folder: Path) -> None:
    """Other objects are mended, and what needs the audio waits for it."""

    def unanswered(clip_id: str, *_: object) -> Features:
        raise StorageError(f"{clip_id}: no answer")

    damage(folder / shard_key(1), "lost")
    damage(folder / commit_key(0), "lost")
    mender = Mender(open_objects(str(folder)), make_info(), make_catalog(NOW), unanswered)
    with pytest.raises(StorageError, match="c002: no answer"):
        mend_until_sound(open_objects(str(folder)), make_info(), mender)
    assert (mender.mended, mender.given_up) == ([commit_key(0)], [])
    assert mend(folder, NOW).left == []
    assert whole(folder) == whole(base)


def test_a_store_in_a_bucket_is_mended_too(s3: str) -> None:
    """A bucket is only another URL."""
    run(s3, CLIPS)
    before = files(s3)
    objects = open_objects(s3)
    objects.delete(shard_key(0))
    objects.replace(commit_key(1), b"rotten")
    objects.delete(POOLED)
    done = mend(s3, CLIPS)
    assert (done.left, done.clips) == ([], [])
    assert files(s3, but=("lease", DAMAGED, "snapshots")) == before
    assert objects.get(f"{DAMAGED}/{commit_key(1)}") == b"rotten"
