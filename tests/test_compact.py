"""Compact: a new store of the live and failed rows, as a fresh extraction would have made it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import (
    VERSIONS,
    WRITES,
    Clip,
    Fuse,
    KilledError,
    TinyRun,
    change,
    copy,
    files,
    live,
    make_clips,
    make_info,
    run,
    stamps,
    states,
    stop,
    without,
)

from us8k_batch.errors import DamageError, StoreError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store import compact as module
from us8k_batch.store.compact import compact
from us8k_batch.store.layout import COMMITS, FAILURES, INFO, POOLED, commit_key, create_info, shard_key
from us8k_batch.store.reader import open_store
from us8k_batch.store.verify import verify

CLIPS = [*make_clips(10), Clip(clip_id="bad", content="bad sound", fold=2), Clip(clip_id="gone", missing=True)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with a long history that ends at `CLIPS`."""
    folder = tmp_path_factory.mktemp("base") / "store"
    run(folder, make_clips(7))
    run(folder, change(CLIPS, "c003", content="a longer sound"))
    run(folder, [*without(CLIPS, "c001"), Clip(clip_id="passing", fold=2)])
    run(folder, change(CLIPS, "c005", content="bad as well"))
    run(folder, change(CLIPS, "c002", label="cat", fold=3))
    run(folder, CLIPS)
    return folder


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what a fresh extraction of `CLIPS` writes."""
    folder = tmp_path_factory.mktemp("fresh") / "store"
    run(folder, CLIPS)
    return files(folder)


def test_a_compacted_store_is_a_fresh_one(base: Path, fresh: dict[str, bytes], tmp_path: Path) -> None:
    """Byte for byte what extracting the live and failed clips anew would write; the old store stays as it is."""
    before = stamps(base)
    told: list[str] = []
    done = compact(str(base), str(tmp_path / "new"), told.append)
    assert files(tmp_path / "new") == fresh
    assert stamps(base) == before
    assert (done.store, done.rows_before, done.rows) == (str(tmp_path / "new"), 14, 11)
    assert done.snapshot_id == open_store(str(tmp_path / "new")).snapshot_id
    assert told == ["copying 11 rows"]
    assert verify(str(tmp_path / "new")).findings == []
    assert verify(str(tmp_path / "new")).orphans == []
    assert TinyRun(store=str(tmp_path / "new"), clips=CLIPS).plan().nothing_to_do


HISTORY: list[Callable[[list[Clip]], list[Clip]]] = [
    lambda clips: without(clips, "c002"),
    lambda clips: change(clips, "c003", content="a longer sound", mtime_ns=7),
    lambda clips: change(clips, "c001", content="sound 999", mtime_ns=8),
    lambda clips: change(clips, "c001", content="bad", mtime_ns=9),
    lambda clips: change(clips, "c004", mtime_ns=10),
    lambda clips: change(clips, "c000", label="cat", fold=9),
    lambda clips: change(clips, "c005", missing=True),
    lambda clips: [*clips, Clip(clip_id=f"new {sum(clip.clip_id.startswith('new') for clip in clips)}", fold=3)],
]


@settings(max_examples=6)
@given(st.lists(st.sampled_from(HISTORY), max_size=3))
def test_whatever_the_history_a_compacted_store_is_a_fresh_one(
    tmp_path_factory: pytest.TempPathFactory, history: list[Callable[[list[Clip]], list[Clip]]]
) -> None:
    """Removed, changed, touched, relabelled, failed, missing and new clips, in any order."""
    folder = tmp_path_factory.mktemp("history")
    clips = make_clips(6)
    run(folder / "old", clips)
    for alter in history:
        clips = alter(clips)
        run(folder / "old", clips)
    compact(str(folder / "old"), str(folder / "new"))
    run(folder / "fresh", clips)
    assert files(folder / "new") == files(folder / "fresh")


def test_rows_of_several_versions_keep_them(base: Path, tmp_path: Path) -> None:
    """One plan for each: which numbers were computed with what stays known."""
    old = copy(base, tmp_path / "old")
    newer = {**VERSIONS, "numpy": "2.1"}
    clips = change(CLIPS, "c003", content="the newest sound")
    run(old, clips, versions=newer)
    compact(old, str(tmp_path / "new"))
    one, two = open_store(old), open_store(str(tmp_path / "new"))
    assert two.versions == [VERSIONS, newer]
    frames = {name: one.mfcc[i].tobytes() for i, name in enumerate(one.pooled["clip_id"])}
    assert {name: two.mfcc[i].tobytes() for i, name in enumerate(two.pooled["clip_id"])} == frames
    assert verify(str(tmp_path / "new")).findings == []
    for used in (VERSIONS, newer):
        assert TinyRun(store=str(tmp_path / "new"), clips=clips, versions=used).plan().nothing_to_do


def test_columns_and_what_is_waited_for_travel_too(tmp_path: Path) -> None:
    """A store that is not complete stays so, with its other columns; extracting into the new one completes it."""
    extra = {"x": lambda clip: math.nan if clip.fold == 1 else 0.5}
    run(tmp_path / "old", CLIPS, extra=extra)
    changed = change(CLIPS, "c003", content="a longer sound")
    TinyRun(store=str(tmp_path / "old"), clips=changed, extra=extra).publish()
    compact(str(tmp_path / "old"), str(tmp_path / "new"))
    one, two = open_store(str(tmp_path / "old")), open_store(str(tmp_path / "new"))
    assert (two.complete, two.pending, len(two)) == (False, 1, 9)
    shown = [store.pooled[["clip_id", "x", "label", "fold"]].sort_values("clip_id") for store in (one, two)]
    assert shown[0].to_csv(index=False) == shown[1].to_csv(index=False)
    assert run(tmp_path / "new", changed, extra=extra).extracted == ["c003"]
    assert open_store(str(tmp_path / "new")).complete


def test_a_store_of_nothing_is_compacted_to_nothing(tmp_path: Path) -> None:
    """All clips left: a store without rows, which is published."""
    run(tmp_path / "old", make_clips(5))
    run(tmp_path / "old", [Clip(clip_id="gone", missing=True)])
    done = compact(str(tmp_path / "old"), str(tmp_path / "new"))
    assert (done.rows_before, done.rows) == (5, 0)
    assert states(tmp_path / "new") == [("gone", "missing")]
    assert verify(str(tmp_path / "new")).findings == []


def test_buckets_are_compacted_too(base: Path, fresh: dict[str, bytes], s3: str) -> None:
    """From a disk to a bucket, and from one bucket to another."""
    compact(str(base), f"{s3}/one")
    compact(f"{s3}/one", f"{s3}/two")
    assert files(f"{s3}/one") == files(f"{s3}/two") == fresh


# --- stopped, and refused ----------------------------------------------------------------------------------------


def test_a_compaction_stopped_at_any_step_is_finished_by_the_next(
    base: Path, fresh: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was written last, the same command ends with the same bytes."""

    def seen_through(fuse: Fuse, new: str) -> Callable[[str], Objects]:
        return lambda url: fuse(open_objects(url)) if url == new else open_objects(url)

    for at in range(100):
        new = str(tmp_path / str(at))
        fuse = Fuse(at, stop, uses=WRITES)
        with monkeypatch.context() as patch, contextlib.suppress(KilledError):
            patch.setattr(module, "open_objects", seen_through(fuse, new))
            compact(str(base), new)
        compact(str(base), new)
        assert files(new) == fresh, at
        if not fuse.blown:
            return
    raise AssertionError("compacting takes ever more steps")


def test_a_store_whose_last_run_stopped_at_any_write_is_compacted(tmp_path: Path) -> None:
    """Even between a snapshot and the tables, when the array's metadata do not cover its last rows yet."""
    run(tmp_path / "base", make_clips(6))
    clips = [*make_clips(6), *(Clip(clip_id=f"later {i}") for i in range(6))]
    for at in range(30):
        store = copy(tmp_path / "base", tmp_path / f"{at}")
        fuse = Fuse(at, stop, uses=WRITES)
        with contextlib.suppress(KilledError):
            TinyRun(store=store, clips=clips, watch=fuse).run()
        done = compact(store, f"{store}-new")
        assert verify(done.store).findings == []
        assert set(live(done.store)) == set(live(store))
        if not fuse.blown:
            return
    raise AssertionError("a run takes ever more steps")


def test_compacting_again_changes_nothing(base: Path, tmp_path: Path) -> None:
    """A new store that is finished stays, file by file."""
    done = compact(str(base), str(tmp_path / "new"))
    before = stamps(tmp_path / "new")
    assert compact(str(base), str(tmp_path / "new")) == done
    assert stamps(tmp_path / "new") == before


@pytest.mark.parametrize(
    "fill",
    [
        lambda new: run(new, make_clips(3)),
        lambda new: run(new, CLIPS, info=make_info(clips_per_shard=5)),
        lambda new: run(new, change(CLIPS, "c003", mtime_ns=5)),
        lambda new: run(new, CLIPS, versions={"engine": "other"}),
        lambda new: run(new, [*CLIPS, Clip(clip_id="later", fold=9)]),
        lambda new: (run(new, CLIPS), run(new, change(CLIPS, "c003", content="a longer sound"))),
        lambda new: (new.mkdir(), (new / "precious.txt").write_text("mine")),
        lambda new: (new.mkdir(), (new / "pooled.parquet").write_text("mine")),
    ],
)
def test_another_store_or_folder_is_refused_and_left_alone(
    base: Path, tmp_path: Path, fill: Callable[[Path], object]
) -> None:
    """Whatever stands there and is not this compaction's own beginning is not written to."""
    new = tmp_path / "new"
    fill(new)
    before = stamps(new)
    with pytest.raises(StoreError, match=r"is there already; choose an empty place"):
        compact(str(base), str(new))
    assert {key: stamp for key, stamp in stamps(new).items() if not key.startswith("lease")} == before


def test_a_store_without_a_publication_is_refused(tmp_path: Path) -> None:
    """There is nothing to copy; nothing is written."""
    with pytest.raises(StoreError, match="no store here"):
        compact(str(tmp_path / "old"), str(tmp_path / "new"))
    create_info(open_objects(str(tmp_path / "old")), make_info())
    with pytest.raises(StoreError, match="nothing was published here yet"):
        compact(str(tmp_path / "old"), str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_store_is_not_compacted_into_itself(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However its path is written."""
    before = stamps(base)
    monkeypatch.chdir(base.parent)
    for path in (str(base), "store", base.as_uri(), "../" + base.parent.name + "/store"):
        with pytest.raises(StoreError, match=r"must be another one|choose an empty place"):
            compact(str(base), path)
    assert stamps(base) == before


# --- damage ------------------------------------------------------------------------------------------------------


def test_a_damaged_row_is_not_copied(base: Path, tmp_path: Path) -> None:
    """A live clip whose frames are not what was committed stops it, and its shard gets no commit."""
    for make in (
        lambda _: b"",
        lambda data: data[:-9],
        lambda data: bytes([*data[:40], data[40] ^ 1, *data[41:]]),
    ):
        old = Path(copy(base, tmp_path / f"old {len(list(tmp_path.iterdir()))}"))
        path = old / shard_key(0)
        path.write_bytes(make(path.read_bytes()))
        new = tmp_path / f"new of {old.name}"
        with pytest.raises(DamageError, match="c000"):
            compact(str(old), str(new))
        assert list(open_objects(str(new)).list(COMMITS)) == []
        # Mended, it goes on.
        path.write_bytes((base / shard_key(0)).read_bytes())
        compact(str(old), str(new))


def test_a_damaged_vector_is_not_copied(base: Path, fresh: dict[str, bytes], tmp_path: Path) -> None:
    """A damaged table is not needed; a damaged commit is, if the table is gone."""
    old = Path(copy(base, tmp_path / "old"))
    (old / POOLED).write_bytes((old / POOLED).read_bytes()[:-30])
    (old / FAILURES).unlink()
    compact(str(old), str(tmp_path / "new"))
    assert files(tmp_path / "new") == fresh
    (old / commit_key(0)).write_bytes(b"")
    with pytest.raises(DamageError, match=commit_key(0)):
        compact(str(old), str(tmp_path / "other"))
    assert (tmp_path / "other" / INFO).exists()
    assert not (tmp_path / "other" / POOLED).exists()


def test_touched_clips_are_copied_as_they_were_seen_last(tmp_path: Path) -> None:
    """A new time that was noted travels, so that nothing is hashed again."""
    clips = make_clips(5)
    run(tmp_path / "old", clips)
    later = [replace(clip, mtime_ns=clip.mtime_ns + 99) for clip in clips]
    run(tmp_path / "old", later)
    compact(str(tmp_path / "old"), str(tmp_path / "new"))
    assert TinyRun(store=str(tmp_path / "new"), clips=later).plan().nothing_to_do
