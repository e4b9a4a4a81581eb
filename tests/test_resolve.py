"""Resolve: which committed row holds each clip's present result, decided as a person would, clip by clip."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import Clip, calls_of, make_catalog, make_clips, make_index

from us8k_batch.planning.resolve import HAS_RESULT, Resolution, Status, Wish, resolve

V1 = Clip(clip_id="c", content="version 1", mtime_ns=1)
V2 = replace(V1, content="version 2", mtime_ns=2)
LONG = replace(V1, content="a longer version", mtime_ns=3)


def hashes(*clips: Clip) -> pa.Table:
    """Return what hashing these clips in this run would."""
    ids = pa.array([clip.clip_id for clip in clips], pa.string())
    return pa.table({"clip_id": ids, "source_sha256": pa.array([clip.sha256 for clip in clips], pa.string())})


def found(
    now: Clip, then: list[Clip], states: list[str | None] | None = None, *, hashed: bool = False, **wish: object
) -> tuple[Status, int]:
    """Resolve one clip against rows of its own, among those of another; return its status and row."""
    others = [Clip(clip_id="a"), Clip(clip_id="z")]
    index = make_index(
        [others[0], *then, others[1]],
        states=["live", *(states or ["live"] * len(then)), "live"],
        plans=range(1, len(then) + 3),
    )
    resolution = resolve(
        make_catalog([others[0], now, others[1]]),
        index,
        hashes(now) if hashed else None,
        Wish(**wish) if wish else None,
    )
    assert resolution.status[[0, 2]].tolist() == [Status.UNCHANGED, Status.UNCHANGED]
    place = int(resolution.place[1])
    return Status(int(resolution.status[1])), place - 1 if place >= 0 else place


def test_a_clip_without_a_row_is_new() -> None:
    """Nothing was ever committed for it."""
    assert found(V1, []) == (Status.NEW, -1)


def test_a_clip_that_looks_the_same_is_unchanged() -> None:
    """Size, time and ETag as they were: nobody reads it. No ETag is the same as an empty one."""
    assert found(V1, [V1]) == (Status.UNCHANGED, 0)
    assert found(replace(V1, etag=""), [V1]) == (Status.UNCHANGED, 0)
    assert found(replace(V1, label="cat", fold=1), [V1]) == (Status.UNCHANGED, 0)


@pytest.mark.parametrize("touched", [replace(V1, mtime_ns=9), replace(V1, etag="x")])
def test_a_touched_clip_is_hashed_before_it_counts_as_changed(touched: Clip) -> None:
    """Another time or ETag, and the same size: its hash decides."""
    assert found(touched, [V1]) == (Status.TOUCHED, 0)
    assert found(touched, [V1], hashed=True) == (Status.CONFIRMED, 0)
    assert found(replace(touched, content=V2.content), [V1], hashed=True) == (Status.CHANGED, 0)


def test_a_clip_of_another_size_is_changed_without_a_hash() -> None:
    """No bytes have to be read to know."""
    assert found(LONG, [V1]) == (Status.CHANGED, 0)


def test_a_missing_clip_is_missing_whatever_was_committed() -> None:
    """It has no file now: neither new nor changed nor unchanged."""
    for then in ([], [V1], [V1, V2]):
        assert found(replace(V1, missing=True), then)[0] is Status.MISSING


def test_of_several_rows_the_newest_counts() -> None:
    """Rows that were committed since the last publication come first, the highest of them."""
    assert found(V2, [V1, V2], ["live", None]) == (Status.UNCHANGED, 1)
    assert found(V2, [V1, V2, V2], ["superseded", "live", None]) == (Status.UNCHANGED, 2)
    assert found(V1, [V1, V2], ["live", "superseded"]) == (Status.UNCHANGED, 0)


@pytest.mark.parametrize("states", [["superseded", "live"], ["live", None]])
def test_an_earlier_version_is_found_again(states: list[str | None]) -> None:
    """By its time at once, or by its hash; in either case nothing is computed."""
    assert found(V1, [V1, V2], states) == (Status.RETURNED, 0)
    later = replace(V1, mtime_ns=99)
    assert found(later, [V1, V2], states)[0] is Status.TOUCHED
    assert found(later, [V1, V2], states, hashed=True) == (Status.CONFIRMED, 0)
    longer = replace(LONG, mtime_ns=99)
    assert found(longer, [LONG, V2], states)[0] is Status.TOUCHED
    assert found(longer, [LONG, V2], states, hashed=True) == (Status.CONFIRMED, 0)


def test_a_removed_clip_that_returns_is_told_from_an_unchanged_one() -> None:
    """It has to be published again."""
    assert found(V1, [V1], ["removed"]) == (Status.RETURNED, 0)
    assert found(replace(V1, mtime_ns=9), [V1], ["removed"]) == (Status.TOUCHED, 0)
    assert found(V2, [V1, V2], ["superseded", "removed"]) == (Status.RETURNED, 1)


def test_a_clip_that_was_changed_for_a_while_is_told_from_an_unchanged_one() -> None:
    """If only the change was published, and not computed, its row is superseded, and has to be published again."""
    assert found(V1, [V1], ["superseded"]) == (Status.RETURNED, 0)


def test_failed_clips_are_tried_again_if_asked_for() -> None:
    """An unchanged clip that failed stays failed, unless it is to be retried; a good one is never retried."""
    bad = replace(V1, content="bad sound")
    assert found(bad, [bad], ["failed"]) == (Status.UNCHANGED, 0)
    assert found(bad, [bad], ["failed"], retry_failed=True) == (Status.RETRY, 0)
    assert found(replace(bad, mtime_ns=9), [bad], ["failed"], hashed=True, retry_failed=True) == (Status.RETRY, 0)
    assert found(V1, [V1], retry_failed=True) == (Status.UNCHANGED, 0)
    assert found(replace(V1, mtime_ns=9), [bad], ["failed"])[0] is Status.TOUCHED


def test_failures_of_storage_are_always_tried_again() -> None:
    """It was not the clip's fault; a clip that the scan sees and a worker did not is such a case too."""
    lost = replace(V1, content="lost sound")
    assert found(lost, [lost], ["failed"]) == (Status.RETRY, 0)
    assert found(lost, [lost], ["failed"], retry_storage=False) == (Status.UNCHANGED, 0)
    gone = replace(V1, missing=True)
    resolution = resolve(make_catalog([V1]), seen_as(make_index([gone], states=["failed"]), V1))
    assert resolution.status.tolist() == [Status.RETRY]


def seen_as(index: pa.Table, clip: Clip) -> pa.Table:
    """Return an index row that its plan saw as this clip, though a worker found none."""
    for name in ("size", "mtime_ns"):
        values = pa.array([len(clip.content) if name == "size" else clip.mtime_ns], pa.int64())
        index = index.set_column(index.column_names.index(name), name, values)
    return index


def test_a_clip_that_could_not_be_read_has_no_hash_to_compare() -> None:
    """Touched after it could not be read: it counts as changed."""
    lost = replace(V1, content="lost sound")
    assert found(replace(lost, mtime_ns=9), [lost], ["failed"]) == (Status.CHANGED, 0)
    assert found(replace(lost, mtime_ns=9), [lost], ["failed"], hashed=True) == (Status.CHANGED, 0)


def test_clips_of_other_versions_are_computed_again_if_asked_for() -> None:
    """Rows of the named plans are stale; a newer row of a good plan is not. A touched clip is no way around it."""
    assert found(V1, [V1], refresh=frozenset({2})) == (Status.REFRESH, 0)
    assert found(V1, [V1], ["removed"], refresh=frozenset({2})) == (Status.REFRESH, 0)
    assert found(replace(V1, mtime_ns=9), [V1], hashed=True, refresh=frozenset({2})) == (Status.REFRESH, 0)
    assert found(V1, [V1, V1], ["superseded", "live"], refresh=frozenset({2})) == (Status.UNCHANGED, 1)
    assert found(LONG, [V1], refresh=frozenset({2})) == (Status.CHANGED, 0)


def test_a_clip_that_cannot_be_hashed_now_counts_as_changed() -> None:
    """Extracting it will say why it cannot be read."""
    unreadable = pa.table({"clip_id": pa.array(["c"]), "source_sha256": pa.array([""])})
    index = make_index([V1], states=["live"])
    assert resolve(make_catalog([replace(V1, mtime_ns=9)]), index, unreadable).status.tolist() == [Status.CHANGED]


# --- laws --------------------------------------------------------------------------------------------------------

VERSIONS = [
    Clip(clip_id="?", content=content, mtime_ns=mtime)
    for content, mtime in (("one", 1), ("two", 2), ("one", 3), ("three", 4), ("bad 1", 5), ("bad 2", 6), ("lost?", 7))
]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Clip], list[Clip], list[str | None], list[str]]:
    """Draw a dataset, committed rows with their states, and the touched clips that were hashed."""
    ids = draw(st.lists(st.sampled_from("abcdef"), unique=True))
    clips = [
        replace(draw(st.sampled_from(VERSIONS)), clip_id=name, missing=draw(st.sampled_from([False] * 5 + [True])))
        for name in ids
    ]
    rows = [
        replace(draw(st.sampled_from(VERSIONS)), clip_id=draw(st.sampled_from("abcdefgh")))
        for _ in range(draw(st.integers(0, 9)))
    ]
    states = [draw(st.sampled_from([None, "live", "superseded", "removed", "failed"])) for _ in rows]
    return clips, rows, states, draw(st.lists(st.sampled_from("abcdef"), unique=True))


def by_hand(  # noqa: PLR0911  # one line per case reads best
    clip: Clip, rows: list[Clip], states: list[str | None], hashed: bool
) -> tuple[Status, int]:
    """Decide one clip in plain words."""
    mine = [i for i, row in enumerate(rows) if row.clip_id == clip.clip_id]
    mine.sort(key=lambda i: (states[i] == "superseded", -i))
    newest = mine[0] if mine else -1
    if clip.missing:
        return Status.MISSING, newest
    if not mine:
        return Status.NEW, -1
    digests = [None if row.content.startswith("lost") else row.sha256 for row in rows]

    def looks_same(i: int) -> bool:
        return (len(rows[i].content), rows[i].mtime_ns) == (len(clip.content), clip.mtime_ns)

    def again(status: Status, i: int) -> tuple[Status, int]:
        return (Status.RETRY if rows[i].content.startswith("lost") else status), i

    if looks_same(newest):
        return again(Status.RETURNED if states[newest] in ("removed", "superseded") else Status.UNCHANGED, newest)
    if hashed and digests[newest] == clip.sha256:
        return Status.CONFIRMED, newest
    for i in mine:
        if looks_same(i):
            return again(Status.RETURNED, i)
        if hashed and digests[i] == clip.sha256:
            return Status.CONFIRMED, i
    if not hashed and any(digests[i] and len(rows[i].content) == len(clip.content) for i in mine):
        return Status.TOUCHED, newest
    return Status.CHANGED, newest


def resolve_history(history: tuple[list[Clip], list[Clip], list[str | None], list[str]]) -> Resolution:
    """Resolve a drawn history."""
    clips, rows, states, hashed = history
    digests = hashes(*(clip for clip in clips if clip.clip_id in hashed))
    return resolve(make_catalog(clips), make_index(rows, states=states), digests)


@settings(max_examples=300)
@given(histories())
def test_whole_columns_decide_as_clip_by_clip(
    history: tuple[list[Clip], list[Clip], list[str | None], list[str]],
) -> None:
    """The decision over tables equals the one that a person makes for each clip, for any history."""
    clips, rows, states, hashed = history
    resolution = resolve_history(history)
    clips = sorted(clips, key=lambda clip: clip.clip_id)
    expected = [by_hand(clip, rows, states, clip.clip_id in hashed) for clip in clips]
    assert [(Status(int(s)), int(p)) for s, p in zip(resolution.status, resolution.place, strict=True)] == expected


@given(histories())
def test_every_clip_has_one_status_and_a_row_of_its_own(
    history: tuple[list[Clip], list[Clip], list[str | None], list[str]],
) -> None:
    """Statuses tile the catalog; a result is in a row of the same clip; each clip has one newest row."""
    clips, rows, _, _ = history
    resolution = resolve_history(history)
    parts = [resolution.where(status) for status in Status]
    assert sorted(place for part in parts for place in part.tolist()) == list(range(len(clips)))
    names = sorted(clip.clip_id for clip in clips)
    for i in resolution.where(*HAS_RESULT).tolist():
        assert rows[resolution.place[i]].clip_id == names[i]
    current = [rows[i].clip_id for i in range(len(rows)) if resolution.is_current[i]]
    assert sorted(current) == sorted({row.clip_id for row in rows})


def test_deciding_takes_no_python_object_per_clip() -> None:
    """As many calls for a hundred clips as for three thousand, unchanged, touched, new, changed or failed."""

    def calls(n: int) -> int:
        then = [replace(clip, content="bad" if i % 7 == 0 else clip.content) for i, clip in enumerate(make_clips(n))]
        now = [replace(clip, mtime_ns=0) if i % 5 == 0 else clip for i, clip in enumerate(then)]
        now = [replace(clip, clip_id=f"new {i}") if i % 11 == 0 else clip for i, clip in enumerate(now)]
        catalog, index = make_catalog(now), make_index(then, states=["live"] * n)
        return calls_of(lambda: resolve(catalog, index))

    assert calls(3000) == calls(100)
