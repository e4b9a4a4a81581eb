"""Publish: a snapshot, then the tables, so that readers see one publication or another and the newest wins."""

from __future__ import annotations

import contextlib
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from stores import (
    CONFIG,
    VERSIONS,
    WRITES,
    Clip,
    Fuse,
    KilledError,
    TinyRun,
    arrow_peak,
    change,
    copy,
    files,
    make_clips,
    make_info,
    make_result,
    run,
    stamps,
    stop,
    without,
)

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.planning import snapshot
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.store import parquet, spool
from us8k_batch.store.layout import (
    ARRAY,
    FAILURES,
    GROUP,
    POOLED,
    SNAPSHOTS,
    create_info,
    numbers,
    plan_key,
    snapshot_key,
)
from us8k_batch.store.plans import list_plans
from us8k_batch.store.publish import digest_publication, publish, published_id, published_rows, tables_current
from us8k_batch.store.reader import open_store
from us8k_batch.store.shards import array_metadata, group_metadata
from us8k_batch.store.state import load_state, read_snapshot

INFO = make_info()
CLIPS = [*make_clips(10), Clip(clip_id="bad", content="bad sound"), Clip(clip_id="gone", missing=True)]


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Publish a store of ten live clips, a failed one and a missing one; return where it is."""
    run(tmp_path / "store", CLIPS)
    return str(tmp_path / "store")


def ids(store: str) -> tuple[str | None, str | None, str]:
    """Return the snapshot ids of the pooled table, of the failures, and of the newest snapshot."""
    objects = open_objects(store)
    newest, _ = read_snapshot(objects, numbers(objects, SNAPSHOTS)[-1])
    return published_id(objects, POOLED), published_id(objects, FAILURES), newest.snapshot_id


def rows_covered(store: str) -> int:
    """Return the length of the array's clip axis, whatever else its metadata say."""
    data = open_objects(store).get(ARRAY)
    return next(n for n in range(1000) if array_metadata(INFO, n) == data)


# --- what is published -------------------------------------------------------------------------------------------


def test_the_pooled_table_opens_with_pandas(store: str) -> None:
    """One row per live clip: its name, the dataset's columns, fold and label, where it stands, its flat vector."""
    table = pd.read_parquet(Path(store, POOLED))
    ours = ["fold", "label", "row", "n_frames", "duration", "digest"]
    assert list(table.columns) == ["clip_id", "path", "group", *ours, *CONFIG.pooled_names]
    assert len(table) == 10
    assert set(table[CONFIG.pooled_names].dtypes.astype(str)) == {"float32"}
    contents = {clip.clip_id: clip for clip in CLIPS}
    for _, line in table.iterrows():
        result = make_result(contents[line["clip_id"]], line["row"])
        assert (line["label"], line["fold"]) == (contents[line["clip_id"]].label, contents[line["clip_id"]].fold)
        assert result.frames is not None
        assert (line["n_frames"], line["duration"]) == (result.frames.shape[1], result.duration)
        np.testing.assert_array_equal(line[CONFIG.pooled_names].to_numpy(np.float32), result.pooled)
    assert table["row"].is_monotonic_increasing


def test_the_failures_say_why(store: str) -> None:
    """Failed and missing clips, with stage, error and detail, and of the same publication."""
    assert pd.read_parquet(Path(store, FAILURES)).to_dict("records") == [
        {"clip_id": "bad", "stage": "decode", "error": "not_decodable", "detail": "bad sound"},
        {"clip_id": "gone", "stage": "read", "error": "missing", "detail": "no such file"},
    ]
    assert len(set(ids(store))) == 1


def test_the_footer_says_how_it_was_made(store: str) -> None:
    """Configuration, versions, and whether anything is missing, in the file's metadata."""
    found = parquet.read_metadata(open_objects(store), POOLED)
    assert found.pop("snapshot_id") == ids(store)[2]
    assert found == {
        "format": 1,
        "complete": True,
        "pending": 0,
        "config": CONFIG.to_dict(),
        "frames": CONFIG.frames,
        "versions": [VERSIONS],
    }


def test_a_publication_that_waits_says_so(store: str) -> None:
    """A changed clip that is not computed yet is absent, and the table is not complete."""
    TinyRun(store=store, clips=change(CLIPS, "c004", content="a longer sound")).publish()
    found = parquet.read_metadata(open_objects(store), POOLED)
    assert (found["complete"], found["pending"]) == (False, 1)
    assert "c004" not in set(pd.read_parquet(Path(store, POOLED))["clip_id"])


def test_versions_are_those_of_live_rows(store: str) -> None:
    """What was computed with other versions and is live no more is not named; each version is named once."""
    newer = {**VERSIONS, "numpy": "2.1"}
    run(store, change(CLIPS, "c004", content="a longer sound"), versions=newer)
    assert parquet.read_metadata(open_objects(store), POOLED)["versions"] == [VERSIONS, newer]
    run(store, without(CLIPS, "c004"))
    assert parquet.read_metadata(open_objects(store), POOLED)["versions"] == [VERSIONS]


def test_other_content_has_another_id(store: str) -> None:
    """The id is a digest of all that readers see: values, names, order, what is pending, the configuration."""
    tiny = TinyRun(store=store, clips=CLIPS)
    state = tiny.state()

    def digest(clips: list[Clip], *, info: Any = INFO, pending: int = 0, **extra: Callable[[Clip], Any]) -> str:
        made = make_publication(TinyRun(store=store, clips=clips, extra=extra).catalog, state.index)
        return digest_publication(info, made.table, pending, made.metadata_columns)

    one, two = (lambda _: 1), (lambda _: 2)
    digests = [
        digest(CLIPS),
        digest(change(CLIPS, "c004", label="cat")),
        digest(change(CLIPS, "c004", fold=9)),
        digest(without(CLIPS, "c004")),
        digest(without(CLIPS, "gone")),
        digest(CLIPS, pending=1),
        digest(CLIPS, info=make_info(clips_per_shard=5)),
        digest(CLIPS, a=one),
        digest(CLIPS, a=two),
        digest(CLIPS, b=one),
        digest(CLIPS, a=one, b=two),
        digest(CLIPS, b=two, a=one),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == ids(store)[2]
    # Nobody sees a clip's time: it is not in the tables.
    assert digest([replace(clip, group=clip.group) for clip in CLIPS]) == digests[0]


# --- once and not again ------------------------------------------------------------------------------------------


def test_publishing_the_same_again_changes_no_file(store: str) -> None:
    """A publication that says nothing new makes no snapshot and touches nothing."""
    before = stamps(Path(store))
    record = TinyRun(store=store, clips=CLIPS).publish()
    assert record is not None
    assert record.number == 1
    assert stamps(Path(store)) == before


def test_a_column_with_nan_is_published_once(store: str) -> None:
    """NaN equals NaN: publishing it again makes no snapshot."""
    extra = {"x": lambda clip: math.nan if clip.fold == 1 else 1.0}
    run(store, CLIPS, extra=extra)
    before = stamps(Path(store))
    TinyRun(store=store, clips=CLIPS, extra=extra).publish()
    assert stamps(Path(store)) == before


def test_a_touched_clip_makes_a_snapshot_and_no_table(store: str) -> None:
    """The new time is noted in a new snapshot; the tables, which do not show it, stay the very files."""
    before = stamps(Path(store))
    run(store, change(CLIPS, "c004", mtime_ns=5))
    after = stamps(Path(store))
    assert set(after) - set(before) == {snapshot_key(2)}
    assert {key: after[key] for key in before} == before


def test_a_number_that_is_taken_is_not_published_under(store: str) -> None:
    """If another run made the next snapshot meanwhile, this one is told to look again."""
    mine = TinyRun(store=store, clips=without(CLIPS, "c004"))
    state = mine.state()
    made = make_publication(mine.catalog, state.index)
    run(store, without(CLIPS, "c005"))
    before = files(store, but=())
    assert publish(mine.objects, INFO, state, made.table, made.pending, made.metadata_columns) is None
    assert files(store, but=()) == before


# --- killed, and raced -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish a small store, to be copied."""
    folder = tmp_path_factory.mktemp("base") / "store"
    run(folder, SMALL)
    return folder


SMALL = [*make_clips(5), Clip(clip_id="bad", content="bad sound"), Clip(clip_id="gone", missing=True)]
STEPS = 100
"""More steps than anything here takes."""


def test_a_publisher_killed_at_any_step_is_mended_by_the_next(tmp_path: Path, base: Path) -> None:
    """Wherever it stops, each table is a whole one, and the next run ends with the bytes of an undisturbed run."""
    clips = [Clip(clip_id="other", missing=True), *change(SMALL, "c004", label="cat", fold=2)]
    run(copy(base, tmp_path / "straight"), clips)
    expected = files(tmp_path / "straight")
    for at in range(STEPS):
        store = copy(base, tmp_path / str(at))
        fuse = Fuse(at, stop, uses=WRITES)
        with contextlib.suppress(KilledError):
            TinyRun(store=store, clips=clips, watch=fuse).publish()
        for key in (POOLED, FAILURES):
            assert parquet.is_as_written(Path(store, key).read_bytes(), key)
        pooled, failures, newest = ids(store)
        assert failures == newest or pooled != newest, "the pooled table is the last to be replaced"
        tiny = TinyRun(store=store, clips=clips)
        assert tiny.plan().nothing_to_do == (files(store) == expected)
        tiny.run()
        assert files(store) == expected
        assert tiny.plan().nothing_to_do
        if not fuse.blown:
            assert at == 3  # snapshot, failures, pooled
            return
    raise AssertionError("publishing takes ever more steps")


def test_a_first_run_killed_at_any_step_is_finished_by_the_next(tmp_path: Path) -> None:
    """Whatever was written last, what is published can be read, and the next run ends as an undisturbed one."""
    run(tmp_path / "straight", SMALL)
    expected = files(tmp_path / "straight")
    for at in range(STEPS):
        store = tmp_path / str(at)
        fuse = Fuse(at, stop, uses=WRITES)
        with contextlib.suppress(KilledError):
            TinyRun(store=str(store), clips=SMALL, watch=fuse).run()
        if (store / POOLED).exists():
            assert len(open_store(str(store)).mfcc[:]) == 5
        run(store, SMALL)
        assert files(store) == expected, at
        if not fuse.blown:
            return
    raise AssertionError("a run takes ever more steps")


@pytest.mark.parametrize(
    "clips",
    [
        change(SMALL, "c003", content="a longer sound"),
        change(SMALL, "c003", mtime_ns=5),
        [*without(change(SMALL, "c003", content="a longer sound"), "c001"), Clip(clip_id="new", fold=9)],
    ],
    ids=["changed", "touched", "changed, removed and new"],
)
def test_a_later_run_killed_at_any_step_is_finished_by_the_next(
    tmp_path: Path, base: Path, clips: list[Clip]
) -> None:
    """Whatever was written last of changed, new and removed clips, the next run ends as an undisturbed one."""
    run(copy(base, tmp_path / "straight"), clips)
    expected = files(tmp_path / "straight")
    for at in range(STEPS):
        store = copy(base, tmp_path / str(at))
        fuse = Fuse(at, stop, uses=WRITES)
        with contextlib.suppress(KilledError):
            TinyRun(store=store, clips=clips, watch=fuse).run()
        run(store, clips)
        assert files(store) == expected, at
        if not fuse.blown:
            return
    raise AssertionError("a run takes ever more steps")


def test_of_two_publishers_the_newest_snapshot_wins(tmp_path: Path, base: Path) -> None:
    """At whatever step of one the other publishes, the tables end as the newest snapshot's, and nobody's half."""
    early, late = change(SMALL, "c004", label="early"), change(SMALL, "c004", label="late")
    for at in range(STEPS):
        store = copy(base, tmp_path / str(at))
        fuse = Fuse(at, TinyRun(store=store, clips=late).publish)
        TinyRun(store=store, clips=early, watch=fuse).publish()
        if not fuse.blown:
            return
        assert len(set(ids(store))) == 1, at
        assert tables_current(open_objects(store), INFO, load_state(open_objects(store), INFO))
    raise AssertionError("publishing takes ever more steps")


def test_a_newer_snapshot_is_published_by_whoever_sees_it(tmp_path: Path) -> None:
    """If another run was killed after its snapshot, a slower publisher puts that one's tables in place."""
    store = str(tmp_path)
    run(store, CLIPS)

    def make_snapshot_and_die() -> None:
        with pytest.raises(KilledError):
            TinyRun(store=store, clips=without(CLIPS, "c005"), watch=Fuse(1, stop, uses=WRITES)).publish()

    first = TinyRun(store=store, clips=without(CLIPS, "c004"))
    state = first.state()
    made = make_publication(first.catalog, state.index)

    class Slow:
        """Objects through which the other run is seen to act once our snapshot is there."""

        def __init__(self, objects: Objects) -> None:
            self._objects = objects

        def __getattr__(self, name: str) -> Any:
            return getattr(self._objects, name)

        def create(self, key: str, data: bytes) -> bool:
            """Create, then let the other act."""
            created = self._objects.create(key, data)
            if key == snapshot_key(2):
                make_snapshot_and_die()
            return created

    record = publish(Slow(first.objects), INFO, state, made.table, made.pending, made.metadata_columns)
    assert record is not None
    assert record.number == 3
    assert len(set(ids(store))) == 1
    assert set(pd.read_parquet(Path(store, POOLED))["clip_id"]) == {clip.clip_id for clip in make_clips(10)} - {
        "c005"
    }


# --- the array's metadata ----------------------------------------------------------------------------------------


def test_the_array_grows_with_the_plans_and_never_shrinks(tmp_path: Path) -> None:
    """Clips that come, change and leave only ever make it longer, up to the highest row handed out."""
    covered = []
    for clips in (
        make_clips(5),
        make_clips(9),
        make_clips(3),
        change(make_clips(9), "c001", content="a longer sound"),
        make_clips(1),
        make_clips(9),
    ):
        run(tmp_path, clips)
        covered.append(rows_covered(str(tmp_path)))
    assert covered == [5, 12, 12, 13, 13, 13]


def test_a_plan_made_during_a_publication_is_covered(tmp_path: Path, base: Path) -> None:
    """At whatever step of a publisher another run hands out rows and publishes, the array covers them at the end."""
    for at in range(STEPS):
        store = copy(base, tmp_path / str(at))
        fuse = Fuse(at, TinyRun(store=store, clips=make_clips(9)).run)
        TinyRun(store=store, clips=without(SMALL, "c001"), watch=fuse).publish()
        if not fuse.blown:
            return
        assert rows_covered(store) == 12, at
    raise AssertionError("publishing takes ever more steps")


def test_rows_that_are_handed_out_during_a_publication_are_covered(tmp_path: Path, base: Path) -> None:
    """A plan made after the array was looked at, and before the last table was replaced, is not forgotten."""
    store = copy(base, tmp_path / "store")
    other = TinyRun(store=store, clips=make_clips(9))
    fuse = Fuse(2, lambda: other.hand_out(other.plan()), uses=WRITES)
    TinyRun(store=store, clips=change(SMALL, "bad", missing=True), watch=fuse).publish()
    assert fuse.used == 4  # snapshot, failures, pooled, and the array again
    assert rows_covered(store) == 12


def test_rows_that_a_snapshot_knows_stay_covered_though_their_plan_got_lost(store: str) -> None:
    """A plan that somebody removed is damage, and no reason to hide its rows from readers."""
    for number in list_plans(open_objects(store)):
        open_objects(store).delete(plan_key(number))
    run(store, change(CLIPS, "c004", label="cat"))
    assert rows_covered(store) == 11


@pytest.mark.parametrize("key", [ARRAY, GROUP, POOLED, FAILURES])
@pytest.mark.parametrize("case", ["missing", "empty", "cut off", "longer"])
def test_what_is_derived_is_mended_by_the_next_run(store: str, key: str, case: str) -> None:
    """Metadata and tables that got lost or damaged at their end are made anew by a run without work."""
    good = files(store)
    objects = open_objects(store)
    if case == "missing":
        objects.delete(key)
    else:
        broken = {"empty": b"", "cut off": good[key][:-9], "longer": good[key].replace(b"11,", b"99,") + b" "}[case]
        objects.replace(key, broken)
    tiny = TinyRun(store=store, clips=CLIPS)
    assert tiny.plan().publish == ("the published tables are not the newest snapshot's",)
    tiny.run()
    assert files(store) == good
    assert tiny.extracted == []
    assert numbers(objects, SNAPSHOTS) == [1]
    assert tiny.plan().nothing_to_do


def test_the_metadata_are_those_of_the_plans(store: str) -> None:
    """After a publication the array is exactly as long as the rows handed out, and the group is described."""
    assert open_objects(store).get(ARRAY) == array_metadata(INFO, 11)
    assert open_objects(store).get(GROUP) == group_metadata()


def test_a_table_that_is_not_there_has_no_id(store: str) -> None:
    """Neither a missing nor a damaged table is taken for a published one."""
    objects = open_objects(store)
    objects.delete(POOLED)
    assert published_id(objects, POOLED) is None
    objects.create(POOLED, parquet.encode(pa.table({"a": [1]}), {}))
    assert published_id(objects, POOLED) is None
    with pytest.raises(ObjectNotFoundError):
        objects.get("nothing")


# --- tables that are longer than memory ----------------------------------------------------------------------------


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything that is done piece by piece take many pieces, each on disk."""
    monkeypatch.setattr(snapshot, "PIECE_ROWS", 3)
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 5)
    monkeypatch.setattr(spool, "HELD_BYTES", 1)


def live_through(store: Path) -> None:
    """Publish three times: of a fresh store, of a part of what changed, and of all that changed."""
    run(store, CLIPS)
    later = [*change(CLIPS, "c004", content="a longer sound"), *make_clips(20)[10:]]
    tiny = TinyRun(store=str(store), clips=without(later, "c001", "gone"))
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    tiny.extract(shards[1:])
    tiny.publish()
    tiny.run()


def test_a_publication_in_pieces_is_the_one_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_pieces: None
) -> None:
    """All objects, snapshots too, are the same bytes whatever memory held while they were made."""
    live_through(tmp_path / "pieces")
    monkeypatch.undo()
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 5)  # which shows in a table's bytes, so it is a constant
    live_through(tmp_path / "whole")
    assert files(tmp_path / "pieces", but=("lease",)) == files(tmp_path / "whole", but=("lease",))
    monkeypatch.undo()
    live_through(tmp_path / "usual")
    for key in (POOLED, FAILURES):
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / "pieces" / key), pd.read_parquet(tmp_path / "usual" / key)
        )


def test_publishing_holds_a_row_group_and_not_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve row groups more take less than half the memory of their vectors: what the footer says of each."""
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 256)
    monkeypatch.setattr(spool, "HELD_BYTES", 1)
    info = make_info(replace(CONFIG, n_mfcc=40), clips_per_shard=256)

    def most(n: int) -> int:
        """Return the most bytes that publishing so many clips takes, of Arrow's and of Python's."""
        tiny = TinyRun(store=str(tmp_path / str(n)), clips=make_clips(n), info=info)
        create_info(tiny.objects, info)
        tiny.extract(tiny.hand_out(tiny.plan()) or [])
        state = tiny.state()
        made = make_publication(tiny.catalog, state.index, gather=spool.gather)
        tracemalloc.start()
        try:
            arrow = arrow_peak(
                lambda: publish(tiny.objects, info, state, made.table, made.pending, made.metadata_columns)
            )
            return arrow + tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most(256)  # imports and caches
    assert most(4096) - most(1024) < 3072 * 4 * info.vector_length / 2


def test_the_number_of_published_rows_stands_in_the_footer(store: str, tmp_path: Path) -> None:
    """Known without reading the table; none where nothing was published."""
    assert (published_rows(open_objects(store), POOLED), published_rows(open_objects(store), FAILURES)) == (10, 2)
    assert published_rows(open_objects(str(tmp_path / "nothing")), POOLED) == 0
    open_objects(store).replace(POOLED, b"PAR1 \x05\0\0\0PAR1")
    with pytest.raises(DamageError, match="its footer cannot be read"):
        published_rows(open_objects(store), POOLED)
