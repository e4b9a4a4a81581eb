"""Plan: what one run will do, counted clip by clip, and why something is to be published."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import (
    VERSIONS,
    Clip,
    TinyRun,
    arrow_peak,
    calls_of,
    change,
    live,
    make_catalog,
    make_clips,
    make_index,
    run,
    states,
    without,
)

from us8k_batch.objects import open_objects
from us8k_batch.planning.plan import Known, Plan, Request, make_plan, metadata_columns
from us8k_batch.store.commits import read_commit
from us8k_batch.store.layout import PLAN_SCHEMA, create_info

COUNTED = ("new", "changed", "touched", "relabelled", "retried", "missing", "unchanged")
NOTHING = dict.fromkeys((*COUNTED, "removed"), 0)
FRESH = Known(
    index=make_index([]),
    pending=PLAN_SCHEMA.append(pa.field("plan", pa.int64())).empty_table(),
    published=None,
    versions={},
)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Bring a store up to date with `make_clips()`; return where it is."""
    run(tmp_path / "store", make_clips())
    return str(tmp_path / "store")


def plan(store: str, clips: list[Clip], **options: Any) -> Plan:
    """Plan a run of these clips."""
    return TinyRun(store=store, clips=clips, **options).plan()


def ids(found: Plan, places: Any) -> list[str]:
    """Name the clips at some places of a plan's catalog."""
    return found.clips["clip_id"].take(pa.array(places)).to_pylist()


# --- one clip after another --------------------------------------------------------------------------------------


def test_a_fresh_store_computes_everything_in_order() -> None:
    """Every clip is new, and rows are handed out by fold, then clip_id."""
    found = make_plan(make_catalog(make_clips(8)), FRESH, Request(VERSIONS))
    assert found.counts() == NOTHING | {"new": 8}
    assert ids(found, found.compute) == ["c000", "c001", "c006", "c007", "c002", "c003", "c004", "c005"]
    assert found.publish == ("nothing was published yet",)
    assert found.n_extract == 8
    assert found.read_bytes == sum(len(clip.content) for clip in make_clips(8))


def test_a_second_run_has_nothing_to_do(store: str) -> None:
    """Planning against the commits of a full run finds no work."""
    found = plan(store, make_clips())
    assert found.nothing_to_do
    assert found.counts() == NOTHING | {"unchanged": 12}
    assert (found.n_extract, found.read_bytes, found.live) == (0, 0, 12)


def test_a_touched_clip_is_hashed_and_no_more(store: str) -> None:
    """Its bytes are read, nothing is computed, and afterwards there is nothing to do."""
    clips = change(make_clips(), "c004", mtime_ns=5)
    found = plan(store, clips)
    assert found.counts() == NOTHING | {"touched": 1, "unchanged": 11}
    assert ids(found, found.hash) == ["c004"]
    assert (found.n_extract, found.read_bytes, found.publish) == (0, 9, ())
    assert run(store, clips).extracted == []
    assert plan(store, clips).nothing_to_do


def test_a_changed_clip_is_computed(store: str) -> None:
    """Whether its size tells or only its hash; the others are left alone."""
    for content in ("a longer sound", "sound 99x"):
        clips = change(make_clips(), "c004", content=content, mtime_ns=len(content))
        assert run(store, clips).extracted == ["c004"]
        assert plan(store, clips).nothing_to_do
    assert states(store).count(("c004", "superseded")) == 2


def test_a_clip_that_goes_back_to_an_earlier_version_is_not_computed(store: str) -> None:
    """Its old row is published again, found by time or by hash."""
    first = make_clips()
    run(store, change(first, "c004", content="a longer sound", mtime_ns=7))
    found = plan(store, first)
    assert found.counts() == NOTHING | {"relabelled": 1, "unchanged": 11}
    assert found.publish == ("metadata changed, or clips came back",)
    assert run(store, first).extracted == []
    assert live(store) == ids(found, range(12))

    run(store, change(first, "c004", content="a longer sound", mtime_ns=7))
    later = change(first, "c004", mtime_ns=99)
    assert plan(store, later).counts() == NOTHING | {"touched": 1, "unchanged": 11}
    assert run(store, later).extracted == []
    assert plan(store, later).nothing_to_do


def test_a_removed_clip_leaves_and_returns_without_being_computed(store: str) -> None:
    """It is counted, published away, and comes back by its row."""
    fewer = without(make_clips(), "c004", "c005")
    found = plan(store, fewer)
    assert found.counts() == NOTHING | {"removed": 2, "unchanged": 10}
    assert (found.publish, found.unpublished) == (("clips left the dataset",), 2)
    assert run(store, fewer).extracted == []
    assert len(live(store)) == 10
    assert plan(store, fewer).nothing_to_do
    back = plan(store, make_clips())
    assert back.counts() == NOTHING | {"relabelled": 2, "unchanged": 10}
    assert run(store, make_clips()).extracted == []
    assert len(live(store)) == 12


@pytest.mark.parametrize("changes", [{"label": "cat"}, {"fold": 3}, {"group": "r9"}, {"group": None}])
def test_metadata_change_without_decoding(store: str, changes: dict[str, Any]) -> None:
    """Another label, fold or recording is published; no audio is read."""
    clips = change(make_clips(), "c000", **changes)
    found = plan(store, clips)
    assert found.counts() == NOTHING | {"relabelled": 1, "unchanged": 11}
    assert (found.n_extract, len(found.hash), found.publish) == (0, 0, ("metadata changed, or clips came back",))
    assert run(store, clips).extracted == []
    assert plan(store, clips).nothing_to_do


COLUMNS: dict[str, Callable[[Clip], Any]] = {
    "text": lambda clip: clip.clip_id * 2,
    "some": lambda clip: None if clip.fold == 2 else clip.fold,
    "number": lambda clip: clip.fold / 7,
    "with NaN": lambda clip: math.nan if clip.fold == 1 else 1.5,
    "half": lambda clip: np.float16(clip.fold),
    "nothing": lambda _: None,
    "flag": lambda clip: clip.fold == 1,
    "bytes": lambda clip: b"\xff" * clip.fold,
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_that_is_added_or_removed_is_published_once(store: str, name: str) -> None:
    """An unrelated column, of whatever type, means: publish, decode nothing; and then nothing more."""
    extra = {name: COLUMNS[name]}
    found = plan(store, make_clips(), extra=extra)
    assert found.counts() == NOTHING | {"relabelled": 12}
    assert run(store, make_clips(), extra=extra).extracted == []
    assert plan(store, make_clips(), extra=extra).nothing_to_do
    assert run(store, make_clips()).extracted == []
    assert plan(store, make_clips()).nothing_to_do


def test_a_value_that_changes_in_any_column_is_published(store: str) -> None:
    """From a number to NaN, to null, or to another type: the clips that it concerns are counted."""
    run(store, make_clips(), extra={"x": lambda _: 1.0})
    for value, count in ((math.nan, 4), (None, 4), (2.0, 4), (1.0, 0)):
        extra = {"x": lambda clip, value=value: value if clip.fold == 1 else 1.0}
        assert plan(store, make_clips(), extra=extra).counts()["relabelled"] == count
    assert plan(store, make_clips(), extra={"x": lambda _: 1}).counts()["relabelled"] == 12
    assert plan(store, make_clips(), extra={"y": lambda _: 1.0}).counts()["relabelled"] == 12


def test_the_order_of_columns_is_published_too(store: str) -> None:
    """Columns travel in the dataset's order; another order is another table."""
    one, two = (lambda _: 1), (lambda _: 2)
    run(store, make_clips(), extra={"a": one, "b": two})
    assert plan(store, make_clips(), extra={"a": one, "b": two}).nothing_to_do
    assert plan(store, make_clips(), extra={"b": two, "a": one}).publish == ("metadata changed, or clips came back",)


def test_a_missing_clip_is_published_as_missing_and_costs_no_task(store: str) -> None:
    """Missing from the start it has no row; gone missing it is unpublished; back again it needs no computing."""
    clips = change(make_clips(), "c004", missing=True)
    found = plan(store, clips)
    assert found.counts() == NOTHING | {"missing": 1, "unchanged": 11}
    assert (found.publish, found.unpublished, found.n_extract) == (("other clips are missing than before",), 1, 0)
    run(store, clips)
    assert ("c004", "missing") in states(store)
    assert ("c004", "removed") in states(store)
    assert plan(store, clips).nothing_to_do
    assert run(store, make_clips()).extracted == []
    assert len(live(store)) == 12

    never = [*make_clips(), Clip(clip_id="n", missing=True)]
    assert plan(store, never).unpublished == 0
    assert run(store, never).extracted == []
    assert plan(store, never).nothing_to_do
    assert plan(store, make_clips()).counts()["removed"] == 1
    assert run(store, change(never, "n", missing=False)).extracted == ["n"]


def test_failed_clips_wait_until_they_change_or_are_asked_for(tmp_path: Path) -> None:
    """A clip that cannot be decoded is not tried by every run; with --retry-failed it is, once."""
    store = str(tmp_path / "store")
    clips = change(make_clips(), "c004", content="bad sound", mtime_ns=5)
    run(store, clips)
    assert plan(store, clips).nothing_to_do
    assert plan(store, clips, retry_failed=True).counts() == NOTHING | {"retried": 1, "unchanged": 11}
    assert run(store, clips, retry_failed=True).extracted == ["c004"]
    assert [state for clip, state in states(store) if clip == "c004"] == ["superseded", "failed"]
    assert run(store, make_clips()).extracted == ["c004"]
    assert len(live(store)) == 12


def test_failures_of_storage_are_tried_by_every_run(tmp_path: Path) -> None:
    """It was not the clip's fault; once it can be read it is live."""
    store = str(tmp_path / "store")
    clips = change(make_clips(), "c004", content="lost sound")
    run(store, clips)
    for _ in range(2):
        assert plan(store, clips).counts() == NOTHING | {"retried": 1, "unchanged": 11}
        assert run(store, clips).extracted == ["c004"]
    assert run(store, change(clips, "c004", content="good sound")).extracted == ["c004"]
    assert len(live(store)) == 12


def test_other_versions_count_only_if_asked_for(store: str) -> None:
    """New library versions change nothing by themselves; --refresh versions computes all again, once."""
    newer = {**VERSIONS, "numpy": "2.1"}
    assert plan(store, make_clips(), versions=newer).nothing_to_do
    assert plan(store, make_clips(), versions=VERSIONS, refresh_versions=True).nothing_to_do
    found = plan(store, make_clips(), versions=newer, refresh_versions=True)
    assert found.counts() == NOTHING | {"changed": 12}
    assert len(run(store, make_clips(), versions=newer, refresh_versions=True).extracted) == 12
    assert plan(store, make_clips(), versions=newer, refresh_versions=True).nothing_to_do
    touched = [replace(clip, mtime_ns=0) for clip in make_clips()]
    assert len(run(store, touched, versions={"engine": "third"}, refresh_versions=True).extracted) == 12


# --- publications that waited ------------------------------------------------------------------------------------


def stopped_before_computing(store: str, clips: list[Clip]) -> None:
    """Publish what is known, as a run does that could not compute anything."""
    TinyRun(store=store, clips=clips).publish()


def test_a_change_that_is_undone_before_it_was_computed_is_published_again(store: str) -> None:
    """The clip left the tables when its change was seen; when the old file is back, so is the row."""
    stopped_before_computing(store, change(make_clips(), "c004", content="a longer sound"))
    assert "c004" not in live(store)
    found = plan(store, make_clips())
    assert found.publish
    assert run(store, make_clips()).extracted == []
    assert len(live(store)) == 12
    assert plan(store, make_clips()).nothing_to_do


@pytest.mark.parametrize("waiting", [Clip(clip_id="new"), replace(make_clips()[4], content="a longer sound")])
def test_a_clip_that_leaves_before_it_was_computed_is_waited_for_no_longer(store: str, waiting: Clip) -> None:
    """The tables said that they are not complete; once the clip has left the dataset, they say that they are."""
    rest = without(make_clips(), waiting.clip_id)
    stopped_before_computing(store, [*rest, waiting])
    found = plan(store, rest)
    assert "the clips that the last publication waited for left, or are back" in found.publish
    run(store, rest)
    snapshot = TinyRun(store=store, clips=rest).state().snapshot
    assert snapshot is not None
    assert snapshot.complete
    assert plan(store, rest).nothing_to_do


# --- earlier plans -----------------------------------------------------------------------------------------------


def killed(store: str, clips: list[Clip], *, after: int = 1) -> TinyRun:
    """Run until so many shards are committed, and stop there for good."""
    tiny = TinyRun(store=store, clips=clips)
    create_info(tiny.objects, tiny.info)
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    tiny.extract(shards[:after])
    return tiny


def test_what_an_earlier_run_left_is_finished_under_its_rows(tmp_path: Path) -> None:
    """Shards that are not committed are resumed as they are: nothing is computed twice, no row handed out anew."""
    store = str(tmp_path / "store")
    done = killed(store, make_clips(), after=1).extracted
    found = plan(store, make_clips())
    assert found.counts() == NOTHING | {"new": 8, "unchanged": 4}
    assert (len(found.compute), len(found.resume), found.abandon) == (0, 8, {})
    assert found.resume["row"].to_pylist() == list(range(4, 12))
    assert ids(found, found.resume["place"].to_numpy()) == found.resume["clip_id"].to_pylist()
    assert (found.n_extract, found.read_bytes) == (8, 72)
    assert sorted(done + run(store, make_clips()).extracted) == [clip.clip_id for clip in make_clips()]
    assert len(TinyRun(store=store, clips=[]).state().plans) == 1


def test_what_was_committed_after_a_publication_is_published(tmp_path: Path) -> None:
    """A clip that is tried again is waited for by nobody; once its new result is there, it is published."""
    store = str(tmp_path / "store")
    clips = change(make_clips(), "c004", content="bad sound")
    run(store, clips)
    again = TinyRun(store=store, clips=clips, retry_failed=True)
    shards = again.hand_out(again.plan())
    assert shards is not None
    again.publish()
    again.extract(shards)
    found = plan(store, clips)
    assert found.publish == ("results were committed after the last publication",)
    run(store, clips)
    assert [state for clip, state in states(store) if clip == "c004"] == ["superseded", "failed"]
    assert plan(store, clips).nothing_to_do


CHANGES: dict[str, tuple[Callable[[list[Clip]], list[Clip]], str]] = {
    "gone": (lambda clips: without(clips, "c003"), "a clip left the dataset: c003"),
    "longer": (lambda clips: change(clips, "c003", content="a longer sound"), "no longer as its plan saw it: c003"),
    "touched": (lambda clips: change(clips, "c003", mtime_ns=5), "no longer as its plan saw it: c003"),
    "tagged": (lambda clips: change(clips, "c003", etag="x"), "no longer as its plan saw it: c003"),
    "missing": (lambda clips: change(clips, "c003", missing=True), "no longer as its plan saw it: c003"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_shard_that_cannot_be_finished_is_given_up_and_its_clips_get_new_rows(tmp_path: Path, case: str) -> None:
    """One clip that is not as its plan saw it gives up its shard, and no other; the reason names it."""
    store = str(tmp_path / "store")
    killed(store, make_clips(), after=1)
    alter, reason = CHANGES[case]
    clips = alter(make_clips())
    found = plan(store, clips)
    assert list(found.abandon) == [1]
    assert found.abandon[1].endswith(reason)
    assert found.resume["shard"].to_pylist() == [2] * 4
    planned = {*ids(found, found.compute), *found.resume["clip_id"].to_pylist()}
    there = {clip.clip_id for clip in clips if not clip.missing}
    assert planned == there - {"c000", "c001", "c006", "c007"}
    run(store, clips)
    assert sorted(live(store)) == sorted(there)
    assert read_commit(open_objects(store), TinyRun(store=store, clips=[]).info, 1)[0]["reason"] == found.abandon[1]
    assert plan(store, clips).nothing_to_do


def test_shards_of_other_versions_are_given_up(tmp_path: Path) -> None:
    """Numbers of two engines or library versions never stand under one plan."""
    store = str(tmp_path / "store")
    killed(store, make_clips(), after=1)
    newer = {**VERSIONS, "numpy": "2.1"}
    found = plan(store, make_clips(), versions=newer)
    assert found.abandon == dict.fromkeys(
        (1, 2), "engine or numeric library versions are no longer those of its plan"
    )
    assert (len(found.compute), len(found.resume)) == (8, 0)
    assert len(run(store, make_clips(), versions=newer).extracted) == 8
    assert plan(store, make_clips(), versions=newer).nothing_to_do


def test_a_relabelled_clip_is_no_reason_to_give_up_a_shard(tmp_path: Path) -> None:
    """A plan holds no metadata: another label or fold leaves its rows as they are."""
    store = str(tmp_path / "store")
    killed(store, make_clips(), after=1)
    found = plan(store, change(make_clips(), "c003", label="cat", fold=9))
    assert (found.abandon, len(found.resume), len(found.compute)) == ({}, 8, 0)


def test_a_shard_that_is_found_abandoned_is_planned_anew(tmp_path: Path) -> None:
    """If the Zarr object of a shard holds other bytes, its clips get new rows in the same run."""
    store = str(tmp_path / "store")
    killed(store, make_clips(), after=0)
    (tmp_path / "store/mfcc.zarr/mfcc/c/1/0").mkdir(parents=True)
    (tmp_path / "store/mfcc.zarr/mfcc/c/1/0/0").write_bytes(b"something else")
    run(store, make_clips())
    assert sorted(live(store)) == [clip.clip_id for clip in make_clips()]
    state = TinyRun(store=store, clips=[]).state()
    assert (list(state.abandoned), len(state.plans), len(state.pending)) == ([1], 2, 0)


def test_nothing_is_planned_for_a_dataset_of_no_clips(store: str) -> None:
    """An empty catalog removes everything, and does not break planning."""
    found = plan(store, [])
    assert (found.removed, found.unpublished, found.n_extract) == (12, 12, 0)
    assert plan(store, []).counts() == NOTHING | {"removed": 12}


# --- laws --------------------------------------------------------------------------------------------------------

VARIANTS: list[Callable[[Clip], Clip | None]] = [
    lambda clip: clip,
    lambda _: None,
    lambda clip: replace(clip, mtime_ns=0),
    lambda clip: replace(clip, content="a longer sound"),
    lambda clip: replace(clip, label="cat"),
    lambda clip: replace(clip, missing=True),
    lambda clip: replace(clip, clip_id=f"{clip.clip_id}-new"),
    lambda clip: replace(clip, label="cat", mtime_ns=0),
]


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a store that is published, and in which a second run was killed half way; return where it is."""
    store = str(tmp_path_factory.mktemp("half"))
    run(store, [*make_clips(8), Clip(clip_id="bad", content="bad"), Clip(clip_id="lost", content="lost")])
    killed(store, make_clips(17), after=1)
    return store


@settings(max_examples=60)
@given(st.lists(st.sampled_from(VARIANTS), min_size=17, max_size=17), st.booleans(), st.booleans(), st.booleans())
def test_a_plan_tiles_the_catalog(
    half_done: str, variants: list[Callable[[Clip], Clip | None]], retry: bool, refresh: bool, newer: bool
) -> None:
    """Each clip is counted once, and each that needs a result is computed or resumed once, never both."""
    altered = [variant(clip) for variant, clip in zip(variants, make_clips(17), strict=True)]
    clips = [clip for clip in altered if clip is not None]
    clips.append(Clip(clip_id="bad", content="bad"))
    found = plan(
        half_done,
        clips,
        retry_failed=retry,
        refresh_versions=refresh,
        versions={**VERSIONS, "numpy": "9"} if newer else VERSIONS,
    )
    counts = found.counts()
    assert min(counts.values()) >= 0
    assert sum(counts[name] for name in COUNTED) == len(clips)
    resumed = found.resume["clip_id"].to_pylist()
    computed = ids(found, found.compute)
    hashed = ids(found, found.hash)
    assert len({*resumed, *computed, *hashed}) == len(resumed) + len(computed) + len(hashed)
    assert counts["new"] + counts["changed"] + counts["retried"] == len(computed) + len(resumed)
    assert not {*found.resume["shard"].to_pylist()} & set(found.abandon)
    assert found.n_extract == len(computed) + len(resumed)
    assert found.unpublished <= found.live


def test_planning_takes_no_python_object_per_clip() -> None:
    """As many calls for a hundred clips as for three thousand: ten million stay a matter of columns."""

    def calls(n: int) -> int:
        clips = make_clips(n)
        now = [replace(clip, mtime_ns=0) if i % 5 == 0 else clip for i, clip in enumerate(clips)]
        now = [replace(clip, label="cat") if i % 3 == 0 else clip for i, clip in enumerate(now)]
        catalog = make_catalog(now, extra={"x": lambda _: 0.5})
        before = make_catalog(clips, extra={"x": lambda _: 1.5})
        index = make_index(clips, states=["live"] * n)
        published = index
        for name in metadata_columns(before):
            if name != "clip_id":
                published = published.append_column(name, before[name])
        pending = pa.table(
            {
                "row": pa.array(range(n, 2 * n), pa.int64()),
                "shard": pa.array([0] * n, pa.int64()),
                **{name: before[name] for name in ("clip_id", "size", "mtime_ns", "etag")},
                "plan": pa.array([2] * n, pa.int64()),
            }
        )
        known = Known(index, pending, published, {1: VERSIONS, 2: VERSIONS}, tuple(metadata_columns(catalog)))
        return calls_of(lambda: make_plan(catalog, known, Request(VERSIONS)))

    assert calls(3000) == calls(100)


def test_planning_holds_one_column_of_the_metadata_at_a_time() -> None:
    """Sixteen columns of text are compared in the memory that two take."""

    def peak(columns: int) -> int:
        extra = {f"x{i:02d}": lambda clip: 10 * clip.clip_id for i in range(columns)}
        clips = sorted(make_clips(3000, folds=1), key=lambda clip: clip.clip_id)
        catalog = make_catalog(clips, extra=extra)
        index = published = make_index(clips, states=["live"] * len(clips))
        for name in metadata_columns(catalog)[1:]:
            published = published.append_column(name, catalog[name])
        nothing = PLAN_SCHEMA.append(pa.field("plan", pa.int64())).empty_table()
        known = Known(index, nothing, published, {1: VERSIONS}, tuple(metadata_columns(catalog)))
        assert make_plan(catalog, known, Request(VERSIONS)).nothing_to_do
        return arrow_peak(lambda: make_plan(catalog, known, Request(VERSIONS)))

    assert peak(16) < 1.1 * peak(2)


def test_only_the_datasets_own_columns_are_published() -> None:
    """What the scan saw is no metadata."""
    names = metadata_columns(make_catalog(make_clips(2), extra={"x": lambda _: 1}))
    assert names == ["clip_id", "path", "fold", "label", "group", "x"]
