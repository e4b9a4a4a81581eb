"""Plans: created once each, handing out rows that no other plan hands out."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import CONFIG, VERSIONS, make_catalog, make_clips, make_info

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store import parquet
from us8k_batch.store.layout import PLAN_SCHEMA, StoreInfo, plan_key
from us8k_batch.store.plans import PlanRecord, create_plan, list_plans, read_plan, read_record


def hand_out(objects: Objects, info: StoreInfo, sizes: list[int]) -> list[tuple[PlanRecord, pa.Table]]:
    """Create one plan after another, each of so many clips."""
    made: list[tuple[PlanRecord, pa.Table]] = []
    for size in sizes:
        created = create_plan(objects, info, made[-1][0] if made else None, make_catalog(make_clips(size)), VERSIONS)
        assert created is not None
        made.append(created)
    return made


@settings(max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 9))
def test_successive_plans_share_neither_row_nor_shard(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], clips_per_shard: int
) -> None:
    """Each plan's rows follow each other from a fresh shard on, and end before the next plan's first."""
    info = StoreInfo(CONFIG, clips_per_shard, 1)
    made = hand_out(open_objects(str(tmp_path_factory.mktemp("store"))), info, sizes)
    next_shard = 0
    for number, (size, (record, table)) in enumerate(zip(sizes, made, strict=True), start=1):
        first = next_shard * clips_per_shard
        assert record == PlanRecord(number, next_shard, size, VERSIONS)
        assert table["row"].to_pylist() == list(range(first, first + size))
        assert table["shard"].to_pylist() == [row // clips_per_shard for row in range(first, first + size)]
        assert record.end_row(info) == first + size
        next_shard = table["shard"][-1].as_py() + 1
        assert record.end_shard(info) == next_shard


def test_a_plan_is_read_back(tmp_path: Path) -> None:
    """Record and rows come back as they were created, the record from the footer alone too."""
    objects, info = open_objects(str(tmp_path)), make_info()
    catalog = make_catalog(make_clips(7))
    for record, table in hand_out(objects, info, [7, 7]):
        assert read_plan(objects, record.number)[:2] == (record, table)
        assert read_record(objects, record.number) == record
        assert table["clip_id"].to_pylist() == catalog["clip_id"].to_pylist()
        for name in ("size", "mtime_ns", "etag"):
            assert table[name].to_pylist() == catalog[name].to_pylist()
    assert list_plans(objects) == [1, 2]


def test_the_same_plan_has_the_same_bytes(tmp_path: Path) -> None:
    """Whoever hands the same rows to the same clips writes the same object, from whatever chunks."""
    info = make_info()
    whole = make_catalog(make_clips(7))
    pieces = pa.concat_tables([whole.slice(0, 3), whole.slice(3)])
    for name, clips in (("a", whole), ("b", pieces)):
        create_plan(open_objects(str(tmp_path / name)), info, None, clips, VERSIONS)
    assert (tmp_path / "a" / plan_key(1)).read_bytes() == (tmp_path / "b" / plan_key(1)).read_bytes()


def test_of_racing_creators_one_wins(tmp_path: Path) -> None:
    """Eight runs hand out rows after the same plan: one gets them, the others are told to look again."""
    info = make_info()
    (first, _), *_ = hand_out(open_objects(str(tmp_path)), info, [5])
    barrier = threading.Barrier(8)
    outcomes: list[tuple[int, object]] = []

    def race(size: int) -> None:
        clips = make_catalog(make_clips(size))
        barrier.wait()
        outcomes.append((size, create_plan(open_objects(str(tmp_path)), info, first, clips, VERSIONS)))

    threads = [threading.Thread(target=race, args=(size,)) for size in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [size for size, created in outcomes if created is not None]
    assert len(outcomes) == 8
    assert len(winners) == 1
    assert read_record(open_objects(str(tmp_path)), 2).n_clips == winners[0]


def test_a_later_plan_does_not_touch_an_earlier_one(tmp_path: Path) -> None:
    """A number that is taken is not written again, whatever is wanted."""
    objects, info = open_objects(str(tmp_path)), make_info()
    hand_out(objects, info, [5])
    before = objects.get(plan_key(1))
    assert create_plan(objects, info, None, make_catalog(make_clips(3)), VERSIONS) is None
    assert objects.get(plan_key(1)) == before


def test_what_is_not_a_plan_is_damage(tmp_path: Path) -> None:
    """A plan under another's number, of other columns, or without a record, is refused by its key."""
    objects, info = open_objects(str(tmp_path)), make_info()
    (record, table), *_ = hand_out(objects, info, [5])
    broken = {
        2: objects.get(plan_key(1)),
        3: parquet.encode(table, {}),
        4: parquet.encode(table, {**record.to_dict(), "number": 4, "versions": [1]}),
        5: parquet.encode(table.slice(1), {**record.to_dict(), "number": 5}),
        6: parquet.encode(table.drop_columns("etag"), {**record.to_dict(), "number": 6}),
        7: b"",
    }
    for number, data in broken.items():
        objects.create(plan_key(number), data)
        with pytest.raises(DamageError, match=plan_key(number)):
            read_plan(objects, number)
    for number in (2, 3, 4, 7):
        with pytest.raises(DamageError, match=plan_key(number)):
            read_record(objects, number)
    with pytest.raises(ObjectNotFoundError):
        read_plan(objects, 8)


def test_a_plan_holds_nothing_but_its_columns(tmp_path: Path) -> None:
    """A dataset's other columns, paths among them, do not get into a plan."""
    created = create_plan(open_objects(str(tmp_path)), make_info(), None, make_catalog(make_clips(3)), VERSIONS)
    assert created is not None
    assert created[1].schema.equals(PLAN_SCHEMA)
