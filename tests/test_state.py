"""State: what a store holds, from its newest snapshot and what came after it, and from nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import VERSIONS, Fuse, TinyRun, Watched, change, make_clips, make_info, results, run

from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store import parquet
from us8k_batch.store import state as state_module
from us8k_batch.store.commits import abandon_shard, commit_shard
from us8k_batch.store.layout import INDEX_SCHEMA, commit_key, create_info, plan_key, shard_key, snapshot_key
from us8k_batch.store.plans import PlanRecord, read_plan
from us8k_batch.store.state import (
    SnapshotRecord,
    in_parallel,
    load_state,
    newest_snapshot,
    read_snapshot,
    settled_through,
)

INFO = make_info()


@pytest.fixture
def tiny(tmp_path: Path) -> TinyRun:
    """Prepare a run into a store that is described and empty."""
    tiny = TinyRun(store=str(tmp_path), clips=make_clips())
    create_info(tiny.objects, INFO)
    return tiny


def hand_out(tiny: TinyRun) -> list[tuple[int, list[str]]]:
    """Plan, hand out rows, and return the shards."""
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    return shards


class Noting(Watched):
    """Objects that note every key that is read."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects, Fuse(10**9, lambda: None))
        self.read: list[str] = []

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        self.read.append(key)
        return super().get(key)

    def open(self, key: str) -> BinaryIO:
        """Open an object."""
        self.read.append(key)
        return super().open(key)


def test_an_empty_store_holds_nothing(tiny: TinyRun) -> None:
    """No snapshot, no rows, no plans, and the clip axis has no length."""
    state = tiny.state()
    assert (state.snapshot, state.published, len(state.index), len(state.pending), state.plans) == (
        None,
        None,
        0,
        0,
        (),
    )
    assert (state.end_row(INFO), settled_through(state, INFO), newest_snapshot(tiny.objects)) == (0, 0, 0)


def test_rows_are_pending_until_their_shard_is_committed(tiny: TinyRun) -> None:
    """A plan's rows are pending shard by shard; a committed shard's rows are in the index, with what the plan saw."""
    shards = hand_out(tiny)
    assert tiny.state().pending["row"].to_pylist() == list(range(12))
    tiny.extract(shards[1:2])
    state = tiny.state()
    assert state.pending["shard"].to_pylist() == [0] * 4 + [2] * 4
    assert state.pending["plan"].to_pylist() == [1] * 8
    assert state.index["row"].to_pylist() == [4, 5, 6, 7]
    assert state.index["state"].to_pylist() == [None] * 4
    assert state.index.schema.equals(INDEX_SCHEMA)
    planned = read_plan(tiny.objects, 1)[1].slice(4, 4)
    for name in ("clip_id", "size", "mtime_ns", "etag"):
        assert state.index[name].to_pylist() == planned[name].to_pylist()
    assert [value is None for value in state.index["commit_sha256"].to_pylist()] == [False, True, True, True]
    assert (state.versions, state.end_row(INFO), settled_through(state, INFO)) == ({1: VERSIONS}, 12, 0)


def test_an_abandoned_shard_is_neither_pending_nor_in_the_index(tiny: TinyRun) -> None:
    """It is remembered with the digest of its commit."""
    tiny.extract(hand_out(tiny)[:1])
    abandon_shard(tiny.objects, INFO, 1, "reason")
    state = tiny.state()
    assert state.index["row"].to_pylist() == [0, 1, 2, 3]
    assert state.pending["row"].to_pylist() == [8, 9, 10, 11]
    assert list(state.abandoned) == [1]
    assert settled_through(state, INFO) == 2


def test_a_published_state_is_read_from_the_snapshot(tiny: TinyRun) -> None:
    """The same rows come from the snapshot as came from the commits, but for the state that it decided."""
    tiny.extract(hand_out(tiny))
    before = tiny.state()
    tiny.publish()
    after = tiny.state()
    assert after.index.drop_columns("state").equals(before.index.drop_columns("state"))
    assert after.index["state"].to_pylist() == ["live"] * 12
    assert (after.plans, after.abandoned, after.plan_sha256) == (before.plans, before.abandoned, before.plan_sha256)
    assert after.snapshot is not None
    assert (after.snapshot.settled, after.snapshot.complete, after.snapshot.pending) == (3, True, 0)


def test_only_the_newest_snapshot_and_what_came_after_it_is_read(tmp_path: Path) -> None:
    """However long a store's history, planning reads one snapshot, open plans and new commits."""
    clips = make_clips()
    for turn in range(4):
        clips = change(clips, "c004", content=f"another sound {turn}" + "." * turn)
        run(tmp_path, clips)
    noting = Noting(open_objects(str(tmp_path)))
    load_state(noting, INFO)
    assert noting.read == [snapshot_key(4)]
    tiny = TinyRun(store=str(tmp_path), clips=change(clips, "c004", content="longer " * 9))
    shards = hand_out(tiny)
    tiny.extract(shards)
    noting.read.clear()
    load_state(noting, INFO)
    assert noting.read == [snapshot_key(4), plan_key(5), commit_key(shards[0][0])]


def test_what_was_seen_before_is_not_read_again(tmp_path: Path) -> None:
    """Within a run, only new plans and commits are; a newer snapshot is, because it may know better."""
    clips = make_clips()
    run(tmp_path, clips)
    noting = Noting(open_objects(str(tmp_path)))
    tiny = TinyRun(store=str(tmp_path), clips=change(change(clips, "c001", content="long"), "c004", content="longer"))
    shards = hand_out(tiny)
    first = load_state(noting, INFO)
    tiny.extract(shards[:1])
    noting.read.clear()
    second = load_state(noting, INFO, first)
    assert noting.read == [plan_key(2), commit_key(shards[0][0])]
    abandon_shard(tiny.objects, INFO, shards[-1][0] + 1, "nobody works on it")
    noting.read.clear()
    third = load_state(noting, INFO, second)
    assert commit_key(shards[0][0]) not in noting.read
    assert third == load_state(noting, INFO)
    tiny.publish()
    assert load_state(noting, INFO, third) == load_state(noting, INFO)


def test_new_vectors_are_kept_until_they_are_published(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of as many shards as there is room for; also of those that an earlier look found."""
    shards = hand_out(tiny)
    tiny.extract(shards[:1])
    first = tiny.state()
    tiny.extract(shards[1:2])
    second = load_state(tiny.objects, INFO, first)
    assert (list(first.fresh), list(second.fresh)) == ([0], [0, 1])
    assert second.fresh[0].equals(first.fresh[0])
    assert second.fresh[1].type == INFO.commit_schema.field("pooled").type
    monkeypatch.setattr(state_module, "FRESH_BYTES", 2 * second.fresh[0].nbytes)
    tiny.extract(shards[2:])
    assert sorted(load_state(tiny.objects, INFO, second).fresh) == [0, 1]
    assert len(tiny.state().fresh) == 2
    tiny.publish()
    assert tiny.state().fresh == {}


def test_a_plan_that_is_not_settled_is_read_again(tiny: TinyRun) -> None:
    """A snapshot that was made while shards were pending knows their plan, not what became of them."""
    shards = hand_out(tiny)
    tiny.extract(shards[1:2])
    tiny.publish()
    state = tiny.state()
    assert state.snapshot is not None
    assert (state.snapshot.settled, state.snapshot.pending) == (0, 8)
    assert state.pending["row"].to_pylist() == [0, 1, 2, 3, 8, 9, 10, 11]
    tiny.extract(shards[:1])
    state = tiny.state()
    assert state.index["row"].to_pylist() == list(range(8))
    assert state.index["state"].to_pylist() == [None] * 4 + ["live"] * 4
    assert state.pending["row"].to_pylist() == [8, 9, 10, 11]


def test_what_is_settled_of_a_plan_is_not_pending_again(tiny: TinyRun) -> None:
    """A plan is read again for its later shards; the ones before them are committed, though no listing names them."""
    shards = hand_out(tiny)
    tiny.extract(shards[:1])
    abandon_shard(tiny.objects, INFO, 1, "reason")
    tiny.publish()
    state = tiny.state()
    assert state.snapshot is not None
    assert state.snapshot.settled == 2
    assert state.pending["row"].to_pylist() == [8, 9, 10, 11]
    assert state.index["row"].to_pylist() == [0, 1, 2, 3]


def test_a_state_can_be_read_at_any_moment_of_a_run(tmp_path: Path) -> None:
    """Whatever a run writes between two reads, the state is one that the store was in, and never damage."""
    clips = make_clips()
    for at in range(40):
        store = tmp_path / str(at)
        run(store, clips[:6])
        writing = TinyRun(store=str(store), clips=change(clips, "c001", content="longer sound"))
        fuse = Fuse(at, writing.run)
        state = load_state(fuse(open_objects(str(store))), INFO)
        rows = state.index["row"].to_pylist()
        assert rows == sorted(set(rows))
        assert not set(rows) & set(state.pending["row"].to_pylist())
        assert {plan.number for plan in state.plans} in ({1}, {1, 2})
        assert set(range(6)) <= set(rows)
        if not fuse.blown:
            return
    raise AssertionError("reading a state takes ever more steps")


def test_strays_beside_the_real_objects_change_nothing(tiny: TinyRun) -> None:
    """Copies and temporary files in the folders are no plans, commits or snapshots."""
    tiny.run()
    before = tiny.state()
    for key in (
        "snapshots/7.parquet",
        "snapshots/old/000009.parquet",
        "plans/2.parquet",
        "commits/9.parquet",
        "plans/x",
    ):
        tiny.objects.create(key, b"stray")
    after = tiny.state()
    assert after.snapshot == before.snapshot
    assert after.index.equals(before.index)
    assert after.plans == before.plans


# --- damage ------------------------------------------------------------------------------------------------------


def damage(tiny: TinyRun, expected: str) -> None:
    """Expect that the state cannot be loaded, because of the object named."""
    with pytest.raises(DamageError, match=expected):
        tiny.state()


def test_a_plan_that_is_missing_is_damage(tiny: TinyRun) -> None:
    """Its rows could be anybody's: nothing is planned on top of it."""
    hand_out(tiny)
    tiny.clips = make_clips(15)
    hand_out(tiny)
    tiny.objects.delete(plan_key(1))
    damage(tiny, "plans: a plan is missing; run us8k verify")


@pytest.mark.parametrize("key", [plan_key(1), commit_key(0), snapshot_key(1)])
def test_what_cannot_be_read_is_named(tiny: TinyRun, key: str) -> None:
    """A damaged plan, commit or snapshot is named by its key."""
    if key == snapshot_key(1):
        tiny.run()
    else:
        tiny.extract(hand_out(tiny)[:1])
    data = tiny.objects.get(key)
    for broken in (b"", data[: len(data) // 2], b"x" * len(data)):
        tiny.objects.replace(key, broken)
        damage(tiny, key)


def test_a_snapshot_of_another_kind_is_damage(tiny: TinyRun) -> None:
    """Readable Parquet that is not a snapshot is refused by its key."""
    tiny.run()
    record, table = read_snapshot(tiny.objects, 1)
    good = record.to_dict()
    for metadata, broken in (
        ({}, table),
        ({**good, "plans": 3}, table),
        ({**good, "abandoned": []}, table),
        (good, table.drop_columns("digest")),
    ):
        tiny.objects.replace(snapshot_key(1), parquet.encode(broken, metadata))
        damage(tiny, f"{snapshot_key(1)}: not a snapshot of this format")


def test_a_commit_of_other_rows_than_were_handed_out_is_damage(tiny: TinyRun) -> None:
    """Too few rows, other clips, or a shard that no plan handed out, are refused by the commit's key."""
    hand_out(tiny)
    by_id = tiny.by_id
    good = [by_id[name] for name in ("c000", "c001", "c006", "c007")]
    for case, (shard, clips) in enumerate(
        ((0, good[:3]), (0, good[::-1]), (0, [replace(good[0], clip_id="x"), *good[1:]]), (9, good))
    ):
        objects = open_objects(f"{tiny.store}-{case}")
        objects.create(plan_key(1), tiny.objects.get(plan_key(1)))
        commit_shard(objects, INFO, shard, results(clips, first_row=shard * 4))
        with pytest.raises(DamageError, match=f"{commit_key(shard)}: its rows are not those that a plan handed out"):
            load_state(objects, INFO)


@pytest.mark.parametrize("later", [False, True])
def test_a_commit_that_got_lost_is_not_taken_for_work_to_do(tiny: TinyRun, later: bool) -> None:
    """Its rows are in the snapshot: that is damage, which verify names, and no reason to write there again."""
    shards = hand_out(tiny)
    tiny.extract(shards if later else shards[1:])
    tiny.publish()
    tiny.objects.delete(commit_key(1))
    tiny.objects.delete(shard_key(1))
    state = tiny.state()
    assert state.pending["shard"].unique().to_pylist() == ([] if later else [0])
    assert set(range(4, 8)) <= set(state.index["row"].to_pylist())


# --- small laws --------------------------------------------------------------------------------------------------

plans = st.builds(
    PlanRecord, st.integers(1, 9), st.integers(0, 9), st.integers(1, 9), st.dictionaries(st.text(), st.text())
)
records = st.builds(
    SnapshotRecord,
    number=st.integers(1, 99),
    snapshot_id=st.text(),
    plans=st.lists(plans).map(tuple),
    settled=st.integers(0, 99),
    plan_sha256=st.dictionaries(st.integers(1, 9), st.text()),
    abandoned=st.dictionaries(st.integers(0, 99), st.text()),
    complete=st.booleans(),
    pending=st.integers(0, 99),
    metadata_columns=st.lists(st.text()).map(tuple),
)


@given(records)
def test_a_snapshots_record_survives_a_round_trip(record: SnapshotRecord) -> None:
    """What its footer says gives the same record; the number is the key's alone."""
    values = record.to_dict()
    assert "number" not in values
    assert SnapshotRecord.from_dict(record.number, values) == record


@given(st.lists(st.integers(), max_size=30))
def test_work_in_parallel_keeps_its_order(items: list[int]) -> None:
    """Results come in the order of the items, from other threads."""
    assert in_parallel(lambda item: (item, threading.get_ident()), items) is not None
    assert [item for item, _ in in_parallel(lambda item: (item, None), items)] == items


def test_an_error_in_parallel_work_is_raised() -> None:
    """One object that cannot be read is not passed over."""

    def fail(item: int) -> Any:
        if item == 3:
            raise DamageError("three")
        return item

    def items() -> Iterator[int]:
        yield from range(5)

    with pytest.raises(DamageError, match="three"):
        in_parallel(fail, items())
