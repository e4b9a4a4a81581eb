"""Snapshot: what is published, a pure function of the catalog and the committed rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import (
    CLIPS_PER_SHARD,
    Clip,
    TinyRun,
    calls_of,
    change,
    files,
    make_catalog,
    make_clips,
    make_index,
    run,
    without,
)

from us8k_batch.planning.snapshot import Publication, make_publication
from us8k_batch.store.layout import INDEX_SCHEMA, create_info


def publication(
    now: list[Clip], then: list[Clip], states: list[str | None] | None = None, **extra: Any
) -> Publication:
    """Decide what is published of a dataset, given committed rows."""
    return make_publication(make_catalog(now, extra=extra), make_index(then, states=states))


def rows(made: Publication, *names: str) -> list[tuple[Any, ...]]:
    """Return some columns of a publication, row by row."""
    return list(zip(*(made.table[name].to_pylist() for name in names), strict=True))


def test_every_committed_row_gets_a_state() -> None:
    """Live, failed, superseded, removed; and one line for each missing clip."""
    a, b, bad, gone = Clip(clip_id="a"), Clip(clip_id="b"), Clip(clip_id="bad", content="bad"), Clip(clip_id="gone")
    newer = replace(a, content="a longer sound")
    missing = Clip(clip_id="missing", missing=True)
    made = publication([newer, b, bad, missing], [a, b, bad, gone, newer])
    assert rows(made, "row", "clip_id", "state") == [
        (0, "a", "superseded"),
        (1, "b", "live"),
        (2, "bad", "failed"),
        (3, "gone", "removed"),
        (4, "a", "live"),
        (None, "missing", "missing"),
    ]
    assert rows(made, "error")[2:] == [("not_decodable",), (None,), (None,), ("missing",)]
    assert made.pending == 0


def test_a_changed_clip_without_its_new_result_is_in_no_live_row() -> None:
    """It counts as pending: an old result beside a new file would be a lie."""
    clips = make_clips(3)
    made = publication([*change(clips, "c001", content="a longer sound"), Clip(clip_id="new")], clips, ["live"] * 3)
    assert rows(made, "clip_id", "state") == [("c000", "live"), ("c001", "superseded"), ("c002", "live")]
    assert made.pending == 2


def test_a_touched_clip_is_live_only_once_it_was_hashed() -> None:
    """Its hash decides; the row then notes its new time, so that it is not hashed again."""
    clips = make_clips(2)
    now = make_catalog(change(clips, "c001", mtime_ns=5))
    index = make_index(clips, states=["live"] * 2)
    assert make_publication(now, index).pending == 1
    hashed = pa.table({"clip_id": ["c001"], "source_sha256": [clips[1].sha256]})
    made = make_publication(now, index, hashed)
    assert rows(made, "state", "mtime_ns") == [("live", 1_000_000), ("live", 5)]
    assert made.pending == 0


def test_live_rows_have_the_present_metadata_and_the_others_none() -> None:
    """Labels, folds and the dataset's own columns are the catalog's; a row that is not live has none."""
    clips = make_clips(3)
    now = [replace(clips[0], label="cat", fold=7), clips[1]]
    made = publication(now, clips, size_in_words=lambda clip: len(clip.content.split()))
    assert made.metadata_columns == ("clip_id", "path", "fold", "label", "group", "size_in_words")
    assert made.table.column_names == [*INDEX_SCHEMA.names, "path", "fold", "label", "group", "size_in_words"]
    assert rows(made, "clip_id", "fold", "label", "group", "size_in_words") == [
        ("c000", 7, "cat", "r0", 2),
        ("c001", 1, "rain", "r0", 2),
        ("c002", None, None, None, None),
    ]


def test_a_row_that_is_not_live_keeps_what_its_plan_saw() -> None:
    """Size and time of a removed or superseded row are how it is found again."""
    clips = make_clips(2)
    made = publication([clips[0]], clips, ["live"] * 2)
    assert rows(made, "size", "mtime_ns") == [(9, 1_000_000), (9, 1_000_001)]


def test_a_clip_that_went_missing_keeps_its_row() -> None:
    """It is told as missing, and its row as removed, so that it can come back."""
    clips = make_clips(2)
    made = publication(change(clips, "c001", missing=True), clips, ["live"] * 2)
    assert rows(made, "row", "clip_id", "state") == [
        (0, "c000", "live"),
        (1, "c001", "removed"),
        (None, "c001", "missing"),
    ]
    back = make_publication(make_catalog(clips), made.table.slice(0, 2).select(INDEX_SCHEMA.names))
    assert rows(back, "row", "state") == [(0, "live"), (1, "live")]


def test_nothing_is_published_of_nothing() -> None:
    """No clips, no rows, or neither: a table without live rows, of the same columns."""
    clips = make_clips(2)
    for now, then, expected in (([], [], []), ([], clips, ["removed"] * 2), (clips, [], [])):
        made = publication(now, then)
        assert made.table["state"].to_pylist() == expected
        assert made.table.column_names[: len(INDEX_SCHEMA.names)] == INDEX_SCHEMA.names
        assert made.pending == len(now)


@settings(max_examples=60)
@given(
    st.permutations(range(6)),
    st.lists(st.sampled_from(["same", "gone", "longer", "missing"]), min_size=6, max_size=6),
)
def test_neither_the_order_of_the_dataset_nor_publishing_twice_changes_anything(
    order: list[int], cases: list[str]
) -> None:
    """A publication made from its own index says the same again, whatever order the clips were listed in."""
    then = make_clips(6)
    variants = {
        "same": lambda clip: clip,
        "gone": lambda _: None,
        "longer": lambda clip: replace(clip, content="a longer sound"),
        "missing": lambda clip: replace(clip, missing=True),
    }
    altered = [variants[case](clip) for clip, case in zip(then, cases, strict=True)]
    now = [clip for clip in altered if clip is not None]
    made = publication(now, then)
    assert publication([now[i] for i in order if i < len(now)], then).table.equals(made.table)
    committed = made.table.slice(0, 6)
    again = make_publication(make_catalog(now), committed.select(INDEX_SCHEMA.names))
    assert again.table.equals(made.table)
    assert again.pending == made.pending


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_in_which_shards_arrive_does_not_show(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Committed in any order, published after each, by one run or by three: the same bytes in every object."""
    clips = [*make_clips(11), Clip(clip_id="bad", content="bad", fold=9), Clip(clip_id="gone", missing=True)]
    run(tmp_path / "straight", clips)
    tiny = TinyRun(store=str(tmp_path / "crooked"), clips=clips)
    create_info(tiny.objects, tiny.info)
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    for shard in order:
        tiny.extract([shards[shard]])
        tiny.publish()
    assert files(tmp_path / "crooked") == files(tmp_path / "straight")


def test_a_fresh_store_without_failures_counts_like_its_table(tmp_path: Path) -> None:
    """Row i of the array is row i of the published table, by fold, then clip_id."""
    tiny = run(tmp_path, make_clips(3 * CLIPS_PER_SHARD - 1))
    published = tiny.state().published
    assert published is not None
    live = published.sort_by([("fold", "ascending"), ("clip_id", "ascending")])
    assert live["row"].to_pylist() == list(range(len(tiny.clips)))


def test_deciding_takes_no_python_object_per_row() -> None:
    """As many calls for a hundred rows as for three thousand."""

    def calls(n: int) -> int:
        clips = make_clips(n)
        catalog = make_catalog(without(clips, "c001")[n // 3 :])
        index = make_index(clips, states=["live"] * n)
        return calls_of(lambda: make_publication(catalog, index))

    assert calls(3000) == calls(100)
