"""Verify: whatever is flipped, cut off, lost or exchanged is found and named, and a clean store is clean."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
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
    make_clips,
    make_history,
    make_info,
    run,
    stamps,
    stop,
)

from us8k_batch.errors import StoreError
from us8k_batch.objects import TEMPORARY, open_objects
from us8k_batch.store import parquet, shards
from us8k_batch.store.finding import CLIPS_NAMED, Finding, named
from us8k_batch.store.layout import (
    ARRAY,
    FAILURES,
    GROUP,
    INFO,
    POOLED,
    commit_key,
    create_info,
    plan_key,
    shard_key,
    snapshot_key,
)
from us8k_batch.store.run_records import seal
from us8k_batch.store.shards import decode_shard, encode_shard
from us8k_batch.store.state import read_snapshot
from us8k_batch.store.verify import Verification, verify

CLIPS = [*make_clips(9), Clip(clip_id="bad", content="bad sound", fold=2), Clip(clip_id="gone", missing=True)]
KEYS = (
    INFO,
    GROUP,
    ARRAY,
    POOLED,
    FAILURES,
    plan_key(1),
    plan_key(2),
    plan_key(3),
    commit_key(0),
    commit_key(3),
    commit_key(4),
    shard_key(0),
    shard_key(4),
    snapshot_key(1),
    snapshot_key(2),
    snapshot_key(3),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with a history: superseded rows, an abandoned shard, failures, three snapshots."""
    return make_history(tmp_path_factory.mktemp("base") / "store", CLIPS)


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """Copy the store, to be damaged."""
    return Path(copy(base, tmp_path / "store"))


def writers_name(data: bytes) -> range:
    """Return the bits of a Parquet object that name its writer: another one's bytes cannot be compared."""
    start = data.find(b"parquet-cpp")
    return range(8 * (start - 2), 8 * (start + 40))


def keys(done: Verification) -> list[str]:
    """Name the objects that something was found about."""
    return sorted({finding.key for finding in done.findings})


# --- clean stores ------------------------------------------------------------------------------------------------


def test_a_clean_store_has_no_findings(base: Path) -> None:
    """All rows are compared, superseded ones too; nothing is found, and nothing is an orphan."""
    done = verify(str(base))
    assert (done.findings, done.orphans) == ([], [])
    assert (done.store, done.shards, done.rows) == (str(base), 4, 11)
    assert list(json.loads(json.dumps(done.to_dict()))) == ["store", "shards", "rows", "findings", "orphans"]


def test_verifying_changes_nothing(folder: Path) -> None:
    """Nothing is written by proving."""
    before = stamps(folder)
    verify(str(folder))
    assert stamps(folder) == before


def test_a_store_in_a_bucket_is_proved_too(s3: str) -> None:
    """A bucket is only another URL."""
    run(s3, CLIPS)
    done = verify(s3)
    assert (done.findings, done.orphans, done.rows) == ([], [], 10)
    open_objects(s3).delete(shard_key(0))
    assert keys(verify(s3)) == [shard_key(0)]


def test_it_says_how_far_it_is(base: Path) -> None:
    """Whoever waits is told how much there is."""
    told: list[str] = []
    verify(str(base), told.append)
    assert told == ["verifying 4 shards, 11 rows"]


@pytest.mark.parametrize("extra", [{}, {"x": lambda clip: float("nan") if clip.fold == 1 else 0.5}])
def test_stores_of_all_kinds_are_clean(tmp_path: Path, extra: dict[str, Callable[[Clip], float]]) -> None:
    """Nothing live, only failures, columns with NaN, clips that are waited for: all is as it was committed."""
    for case, clips in enumerate(
        (
            [Clip(clip_id="gone", missing=True)],
            [Clip(clip_id="bad", content="bad")],
            [Clip(clip_id="bad", content="bad"), Clip(clip_id="gone", missing=True)],
            make_clips(5),
        )
    ):
        store = str(tmp_path / str(case))
        run(store, clips, extra=extra)
        assert verify(store).findings == []
        TinyRun(store=store, clips=[*clips, Clip(clip_id="new")], extra=extra).publish()
        assert verify(store).findings == []


def test_a_store_is_clean_wherever_its_run_was_killed(base: Path, tmp_path: Path) -> None:
    """Work that is not finished is no damage; only tables that are not the newest snapshot's are told."""
    clips = change(CLIPS, "c001", content="a longer sound")
    for at in range(100):
        store = str(tmp_path / str(at))
        copy(base, store)
        fuse = Fuse(at, stop, uses=WRITES)
        with contextlib.suppress(KilledError):
            TinyRun(store=store, clips=clips, watch=fuse).run()
        findings = verify(store).findings
        assert all("us8k extract mends it" in finding.problem for finding in findings), at
        assert {finding.key for finding in findings} <= {POOLED, FAILURES, ARRAY}
        assert not findings or Path(store, snapshot_key(4)).exists(), at
        if not fuse.blown:
            assert findings == []
            return
    raise AssertionError("a run takes ever more steps")


def test_a_store_that_is_only_described_is_clean(tmp_path: Path) -> None:
    """Nothing was handed out or published yet."""
    create_info(open_objects(str(tmp_path)), make_info())
    assert verify(str(tmp_path)).findings == []


def test_a_place_without_a_store_is_refused(tmp_path: Path) -> None:
    """There is nothing to prove."""
    with pytest.raises(StoreError, match="no store here"):
        verify(str(tmp_path))


def test_a_store_can_be_proved_while_a_run_is_writing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever step a run goes on, its new objects are neither damage nor orphans."""
    from us8k_batch.store import verify as module

    for at in range(0, 90, 7):
        store = copy(base, tmp_path / str(at))
        fuse = Fuse(at, TinyRun(store=store, clips=make_clips(14)).run)
        monkeypatch.setattr(module, "open_objects", lambda url, fuse=fuse: fuse(open_objects(url)))
        done = verify(store)
        assert done.orphans == [], at
        # Tables may be newer than the snapshot that was read first.
        assert set(keys(done)) <= {POOLED, FAILURES, ARRAY}, at


# --- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
def test_every_flipped_bit_is_found(folder: Path, key: str) -> None:
    """Whatever bit of whatever object: something is found, or the description itself is refused."""
    path = folder / key
    good = path.read_bytes()
    missed = []
    for bit, damaged in flips(good, most=13, seed=len(key)):
        path.write_bytes(damaged)
        try:
            found = keys(verify(str(folder)))
        except StoreError:
            assert key == INFO
            continue
        if not found:
            missed.append(bit)
        elif key != INFO:
            assert key in found or any(problem.startswith("snapshots/") for problem in found)
    assert [bit for bit in missed if bit not in writers_name(good)] == []


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("case", ["lost", "empty", "cut off", "longer"])
def test_everything_lost_or_cut_off_is_found_by_its_key(folder: Path, key: str, case: str) -> None:
    """An object that is gone, empty, half there, or has more than it should."""
    path = folder / key
    good = path.read_bytes()
    if case == "lost":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut off": good[: len(good) * 2 // 3], "longer": good + b" "}[case])
    if key == INFO and case != "longer":
        with pytest.raises(StoreError):
            verify(str(folder))
        return
    found = keys(verify(str(folder)))
    if key == snapshot_key(3) and case == "lost":
        # Then snapshot 2 is the newest, and the tables are not its.
        assert found == [FAILURES, POOLED]
    else:
        assert key in found


@pytest.mark.parametrize("key", [shard_key(0), commit_key(0), plan_key(1)])
def test_findings_name_the_clips_that_they_concern(folder: Path, key: str) -> None:
    """A person learns at once whose result is damaged."""
    (folder / key).write_bytes((folder / key).read_bytes()[:-1] + b"x")
    (finding,) = [finding for finding in verify(str(folder)).findings if finding.key == key]
    if key == plan_key(1):
        assert finding.clips == ()  # it cannot be read
    else:
        assert finding.clips == ("c000", "c001", "c006", "c007")
        assert str(finding).endswith("(clips c000, c001, c006, c007)")
    assert str(finding).startswith(f"{key}: ")
    assert str(finding).count(key) == 1


def test_only_the_damaged_rows_of_a_shard_are_named(folder: Path) -> None:
    """A shard that decodes, with one row of other numbers: that row's clip."""
    info = make_info()
    tiny = TinyRun(store=str(folder), clips=CLIPS)
    frames = decode_shard(info, (folder / shard_key(0)).read_bytes(), 4, "")
    index = tiny.state().index.slice(0, 4)
    clips = [frames[i, :, :n] for i, n in enumerate(index["n_frames"].to_pylist())]
    clips[2] = clips[2] + np.float32(1)
    (folder / shard_key(0)).write_bytes(encode_shard(info, clips))
    (finding,) = verify(str(folder)).findings
    assert (finding.key, finding.clips) == (shard_key(0), ("c006",))
    assert finding.problem == "1 rows are not what was committed"


def test_numbers_where_a_clip_has_no_frame_are_found(folder: Path) -> None:
    """A row that failed has NaN and nothing else."""
    info = make_info()
    index = TinyRun(store=str(folder), clips=CLIPS).state().index
    row = index["row"][index["clip_id"].to_pylist().index("bad")].as_py()
    shard, at = divmod(row, info.clips_per_shard)
    data = (folder / shard_key(shard)).read_bytes()
    n = len([r for r in index["row"].to_pylist() if r // 4 == shard])
    block = decode_shard(info, data, n, "")
    block[at] = 0
    (folder / shard_key(shard)).write_bytes(encode_shard(info, list(block)))
    (finding,) = verify(str(folder)).findings
    assert (finding.problem, finding.clips) == ("1 rows are not what was committed", ("bad",))


def test_a_shard_of_other_bytes_and_the_same_values_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers are not harmed; it is not the object that was committed all the same."""
    info = make_info()
    frames = decode_shard(info, (folder / shard_key(0)).read_bytes(), 4, "")
    with monkeypatch.context() as patch:
        patch.setattr(shards, "ZSTD_LEVEL", 19)
        (folder / shard_key(0)).write_bytes(encode_shard(info, list(frames)))
    (finding,) = verify(str(folder)).findings
    assert finding.problem == "other bytes than were committed, though every row decodes the same"
    assert finding.clips == ("c000", "c001", "c006", "c007")


def test_shards_and_commits_exchanged_for_each_other_are_found(folder: Path) -> None:
    """Every object is good, and none is where it belongs."""
    for make in (shard_key, commit_key):
        store = Path(copy(folder, folder.parent / make.__name__))
        one, two = (store / make(0)).read_bytes(), (store / make(1)).read_bytes()
        (store / make(0)).write_bytes(two)
        (store / make(1)).write_bytes(one)
        assert keys(verify(str(store))) == [make(0), make(1)]


def test_an_abandonment_that_was_exchanged_is_found(folder: Path) -> None:
    """An abandoned shard's commit is proved like any other."""
    (folder / commit_key(3)).write_bytes((folder / commit_key(4)).read_bytes())
    assert commit_key(3) in keys(verify(str(folder)))


def test_a_store_of_another_configuration_is_found(folder: Path) -> None:
    """A description that was edited afterwards does not fit the array nor the tables."""
    document = json.loads((folder / INFO).read_text())
    document["config"]["top_db"] = 60.0
    (folder / INFO).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    assert {ARRAY, snapshot_key(3)} <= set(keys(verify(str(folder))))


def rewrite(folder: Path, key: str, alter: Callable[[pa.Table], pa.Table], **metadata: object) -> None:
    """Write a table anew, as a program with a fault would."""
    table = parquet.decode((folder / key).read_bytes(), key)
    (folder / key).write_bytes(parquet.encode(alter(table), {**parquet.metadata_of(table, key), **metadata}))


def with_column(name: str, values: list[object]) -> Callable[[pa.Table], pa.Table]:
    """Return what replaces a column."""
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))


@pytest.mark.parametrize(
    ("alter", "metadata"),
    [
        (with_column("label", ["cat"] * 9), {}),
        (with_column("mfcc_mean_00", [0.5] * 9), {}),
        (lambda table: table.slice(1), {}),
        (lambda table: table.drop_columns("label"), {}),
        (lambda table: table.append_column("more", pa.array([1] * 9)), {}),
        (lambda table: table, {"complete": False}),
        (lambda table: table, {"config": {}}),
        (lambda table: table, {"snapshot_id": "0" * 64}),
    ],
)
def test_a_pooled_table_that_says_something_else_is_found(
    folder: Path, alter: Callable[[pa.Table], pa.Table], metadata: dict[str, object]
) -> None:
    """Well-formed, and not what was committed: another label, vector, row, column, or footer."""
    rewrite(folder, POOLED, alter, **metadata)
    assert keys(verify(str(folder))) == [POOLED]


def test_pooled_vectors_are_compared_with_the_commits(folder: Path) -> None:
    """The finding names the clips whose vectors differ."""
    table = parquet.decode((folder / POOLED).read_bytes(), POOLED)
    values = table["mfcc_std_03"].to_pylist()
    values[4] = 0.25
    rewrite(folder, POOLED, with_column("mfcc_std_03", values))
    (finding,) = verify(str(folder)).findings
    assert finding.clips == (table["clip_id"][4].as_py(),)
    assert "1 pooled vectors are not those that were committed" in finding.problem


def test_failures_that_say_something_else_are_found(folder: Path) -> None:
    """Another reason, or a clip fewer."""
    rewrite(folder, FAILURES, with_column("detail", ["all is well"] * 2))
    assert keys(verify(str(folder))) == [FAILURES]
    rewrite(folder, FAILURES, lambda table: table.slice(1))
    assert keys(verify(str(folder))) == [FAILURES]


@pytest.mark.parametrize(
    "name", ["source_sha256", "duration", "detail", "state", "shard_sha256", "commit_sha256", "label"]
)
def test_a_snapshot_that_says_something_else_is_found(folder: Path, name: str) -> None:
    """Well-formed, and not what was committed or published."""
    column = read_snapshot(open_objects(str(folder)), 3)[1][name]
    values = column.to_pylist()
    values[0] = 99.0 if name == "duration" else "else"
    rewrite(folder, snapshot_key(3), with_column(name, values))
    assert verify(str(folder)).findings


def test_a_snapshot_of_another_pyarrow_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id is a digest of bytes that the pyarrow which is here would write otherwise."""
    monkeypatch.setattr("us8k_batch.store.publish.digest_publication", lambda *_: "0" * 64)
    assert keys(verify(str(folder))) == [snapshot_key(1), snapshot_key(2), snapshot_key(3)]
    version = pa.__version__.encode()
    for number in (1, 2, 3):
        path = folder / snapshot_key(number)
        path.write_bytes(path.read_bytes().replace(version, version[:-1] + b"9"))
    assert verify(str(folder)).findings == []


def test_tables_without_any_snapshot_are_found(folder: Path) -> None:
    """If all snapshots are gone, what is published stands on nothing."""
    for number in (1, 2, 3):
        (folder / snapshot_key(number)).unlink()
    assert keys(verify(str(folder))) == [FAILURES, POOLED]


def test_a_commit_that_no_snapshot_knows_is_proved_too(tmp_path: Path) -> None:
    """Committed and not yet published: its bytes are those that its rows are written as."""
    tiny = TinyRun(store=str(tmp_path), clips=CLIPS)
    create_info(tiny.objects, tiny.info)
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    tiny.extract(shards)
    assert verify(str(tmp_path)).findings == []
    path = tmp_path / commit_key(1)
    good = path.read_bytes()
    for bit, damaged in flips(good, most=15):
        path.write_bytes(damaged)
        assert keys(verify(str(tmp_path))) == [commit_key(1)] or bit in writers_name(good)
    path.write_bytes(b"")
    (finding,) = verify(str(tmp_path)).findings
    assert (finding.key, finding.clips) == (commit_key(1), ("bad", "c002", "c003", "c008"))
    path.write_bytes(good)
    (tmp_path / plan_key(1)).write_bytes(b"")
    assert plan_key(1) in keys(verify(str(tmp_path)))
    (tmp_path / plan_key(1)).unlink()
    assert keys(verify(str(tmp_path))) == [commit_key(0)]  # of rows that nobody handed out


def test_many_clips_are_counted_after_the_first() -> None:
    """A finding stays one line, whatever it concerns."""
    clips = [f"c{i:03d}" for i in range(CLIPS_NAMED + 3)]
    assert named(clips) == (*clips[:CLIPS_NAMED], "and 3 more")
    assert named(clips[:CLIPS_NAMED]) == tuple(clips[:CLIPS_NAMED])
    assert str(Finding("key", "problem", named(clips))).endswith("c009, and 3 more)")


# --- orphans -----------------------------------------------------------------------------------------------------


def test_what_nothing_refers_to_is_an_orphan(folder: Path) -> None:
    """Frames of an abandoned shard, strays, and files that a killed writer left; what is of use is none."""
    strays = [
        f"commits/{TEMPORARY}1",
        shard_key(3),
        shard_key(77),
        "commits/1.parquet",
        "plans/copy of 000001.parquet",
        "mfcc.zarr/mfcc/c/0/0/1",
        "notes.txt",
    ]
    kept = ["runs/20260101.html", "lease/epoch-000001.json", "damaged/x"]
    before = verify(str(folder)).orphans
    for key in (*strays, *kept):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(b"stray")
    done = verify(str(folder))
    assert sorted(done.orphans) == sorted({*before, *strays})
    assert done.findings == []


def test_a_record_of_a_run_that_rotted_is_found(folder: Path) -> None:
    """Nothing depends on it, and it says who computed what."""
    (folder / "runs").mkdir(exist_ok=True)
    (folder / "runs/1.json").write_bytes(seal({"run_id": "1"}))
    (folder / "runs/2.json").write_bytes(seal({"run_id": "2"})[:-5])
    assert keys(verify(str(folder))) == ["runs/2.json"]


def test_a_commit_of_a_shard_that_no_plan_handed_out_is_damage(folder: Path) -> None:
    """It is no harmless stray: rows that nobody handed out were committed."""
    (folder / commit_key(77)).write_bytes((folder / commit_key(0)).read_bytes())
    assert keys(verify(str(folder))) == [commit_key(77)]


def test_frames_that_are_about_to_be_committed_are_no_orphans(tmp_path: Path) -> None:
    """A shard that was handed out may have its frames before its commit."""
    tiny = TinyRun(store=str(tmp_path), clips=CLIPS, watch=Fuse(3, stop, uses=WRITES))
    with pytest.raises(KilledError):
        tiny.run()
    assert shard_key(0) in files(tmp_path)
    assert commit_key(0) not in files(tmp_path)
    assert verify(str(tmp_path)).orphans == []
