"""What a run does again and what it leaves alone, clip by clip."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clusters import make_settings, wait_until_idle
from datasets import Row, change_rows, make_manifest, make_urbansound8k, read_rows, write_rows, write_tone
from stores import files

from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.cluster.where import Where
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ConfigError, JobError, RequestError, StoreError
from us8k_batch.features.engine import numeric_versions
from us8k_batch.objects import open_objects
from us8k_batch.planning.plan import Request, make_plan
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.run.describe import describe
from us8k_batch.run.extract import extract
from us8k_batch.run.options import Options, Summary
from us8k_batch.run.prepare import what_is_known
from us8k_batch.run.work import planned_shards
from us8k_batch.shard_task import Job, ShardTask, extract_shard
from us8k_batch.store.compact import compact
from us8k_batch.store.layout import StoreInfo, create_info, read_info
from us8k_batch.store.plans import create_plan
from us8k_batch.store.publish import publish
from us8k_batch.store.state import load_state
from us8k_batch.store.verify import verify
from us8k_batch.workshop import Needs, Workshop

NOBODY = "tcp://127.0.0.1:1"
"""A scheduler that is not there: a run that submits a task fails."""
AUDIO = (".wav", ".flac", ".ogg", ".mp3")
CLIPS_PER_SHARD = 4
SETTINGS = make_settings()


class Unheard:
    """Progress that nobody follows."""

    def tell(self, message: str) -> None:
        """Say one line."""

    def start(self, clips: int) -> None:
        """Begin to count clips."""

    def advance(self, report: object) -> None:
        """Count a shard."""

    def finish(self) -> None:
        """Stop counting."""


@dataclass(kw_only=True)
class History:
    """A dataset and its store, changed and brought up to date step by step."""

    dataset: Path
    store: Path
    scheduler: str
    workshop: Workshop
    decoded: list[str] = field(default_factory=list)
    """Clips that the last run decoded, in the order of their rows."""

    def options(self, **options: Any) -> Options:
        """Ask as the command does."""
        values = {"where": Where(scheduler=self.scheduler), "clips_per_shard": CLIPS_PER_SHARD, "settings": SETTINGS}
        return Options(dataset=str(self.dataset), store=str(self.store), **values | options)

    def extract(self, **options: Any) -> Summary:
        """Bring the store up to date; what ``us8k plan`` says beforehand is what is then reported."""
        asked = self.options(**options)
        foreseen = describe(asked).values
        before = self.commits()
        summary = extract(asked, Unheard())
        self.decoded = [clip for key, ids in self.commits().items() if key not in before for clip in ids]
        planned = summary.planned
        assert planned == foreseen["planned"]
        assert foreseen["nothing_to_do"] == (summary.run_id is None)
        assert sum(planned.values()) - planned["removed"] == len(read_rows(self.dataset))
        assert summary.extracted + summary.failed == len(self.decoded)
        if not planned["touched"]:
            assert planned["new"] + planned["changed"] + planned["retried"] == len(self.decoded)
        assert summary.live == len(self.pooled)
        assert summary.failures == len(self.failures)
        return summary

    def explain(self, clip: str, **options: Any) -> str:
        """Say what would happen to one clip."""
        return str(describe(self.options(**options), clip).values["explained"])

    def commits(self) -> dict[str, list[str]]:
        """Return the clips of each commit."""
        return {
            path.name: pq.read_table(path, columns=["clip_id"])["clip_id"].to_pylist()
            for path in sorted(self.store.glob("commits/*.parquet"))
        }

    @property
    def pooled(self) -> pd.DataFrame:
        """The published table, by clip."""
        return pd.read_parquet(self.store / "pooled.parquet").set_index("clip_id")

    @property
    def failures(self) -> dict[str, str]:
        """The published failures: each clip's error."""
        table = pd.read_parquet(self.store / "failures.parquet")
        return dict(zip(table["clip_id"], table["error"], strict=True))

    @property
    def record(self) -> dict[str, Any]:
        """The newest run's record."""
        newest = max((self.store / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        found: dict[str, Any] = json.loads(newest.read_text())
        return found

    def audio(self, clip: str) -> Path:
        """Return where a clip's audio is."""
        return self.dataset.parent / clip

    def clip(self, number: int) -> str:
        """Return a clip's name."""
        return read_rows(self.dataset)[number]["path"]

    def prove(self) -> None:
        """Show that the store is sound, has nothing left to do, and compacted is what a fresh extraction makes."""
        assert self.nothing_to_do()
        found = verify(str(self.store))
        assert (found.findings, found.orphans) == ([], [])
        compacted, fresh = self.store.with_name("compacted"), self.store.with_name("fresh")
        for folder in (compacted, fresh):
            shutil.rmtree(folder, ignore_errors=True)
        compact(str(self.store), str(compacted))
        extract_here(self.workshop, self.dataset, fresh, read_info(open_objects(str(self.store))))
        assert_same(compacted, fresh)

    def nothing_to_do(self, **options: Any) -> bool:
        """Run again without any cluster; tell whether that did nothing at all."""
        before = everything(self.store)
        summary = self.extract(**{"where": Where(scheduler=NOBODY)} | options)
        return summary.run_id is None and not self.decoded and everything(self.store) == before


def extract_here(workshop: Workshop, dataset: Path, store: Path, info: StoreInfo) -> None:
    """Extract a dataset into a new store in this process, shard by shard."""
    catalog, objects = open_catalog(str(dataset)), open_objects(str(store))
    create_info(objects, info)
    versions = numeric_versions(info.config, "auto")
    known = what_is_known(objects, info, load_state(objects, info))
    clips = catalog.clips.take(pa.array(make_plan(catalog.clips, known, Request(versions)).compute))
    created = create_plan(objects, info, None, clips, versions)
    assert created is not None
    needs = Needs(info.config, "auto", SETTINGS.clip_memory, SETTINGS.clip_seconds)
    job = Job(catalog.root, str(store), info, needs, 1 << 30)
    for shard, part in planned_shards(info, created[1].select(["row", "clip_id"]), clips["path"].combine_chunks()):
        pairs = zip(part["clip_id"].to_pylist(), part["path"].to_pylist(), strict=True)
        extract_shard(workshop, ShardTask(job, shard, tuple(pairs), record_unreadable=True))
    state = load_state(objects, info)
    made = make_publication(catalog.clips, state.index)
    assert publish(objects, info, state, made.table, made.pending, made.metadata_columns) is not None


def assert_same(one: Path, other: Path) -> None:
    """Compare two stores, file by file, but for what may differ."""
    here, there = files(one), files(other)
    assert sorted(here) == sorted(there)
    assert [key for key in here if here[key] != there[key]] == []


def everything(folder: Path) -> dict[str, tuple[int, int, bytes | None]]:
    """Return inode, time and bytes of everything in a folder, folders and itself among it."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted([folder, *folder.rglob("*")])
    }


def touch(path: Path, *, mtime_ns: int | None = None) -> None:
    """Give a file another time, or this one."""
    at = path.stat().st_mtime_ns + 1_000 if mtime_ns is None else mtime_ns
    os.utime(path, ns=(at, at))


@contextlib.contextmanager
def unopened(dataset: Path) -> Iterator[None]:
    """Let every clip look as before and be something else: a run that opens one commits it as a failure."""
    kept = []
    for path in (path for path in dataset.rglob("*") if path.suffix in AUDIO):
        seen, data = path.stat(), path.read_bytes()
        path.write_bytes(b"x" * seen.st_size)
        touch(path, mtime_ns=seen.st_mtime_ns)
        kept.append((path, data, seen.st_mtime_ns))
    yield
    for path, data, mtime_ns in kept:
        path.write_bytes(data)
        touch(path, mtime_ns=mtime_ns)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, scheduler: str, workshop: Workshop) -> History:
    """Extract twelve clips of four formats in three folds; every history begins with a copy."""
    folder = tmp_path_factory.mktemp("first_run")
    manifest = make_manifest(folder / "dataset", seconds=0.1, columns={"note": lambda i: f"note {i}"})
    history = History(dataset=manifest, store=folder / "store", scheduler=scheduler, workshop=workshop)
    summary = history.extract()
    assert (summary.extracted, summary.failed, summary.exit_status) == (12, 0, 0)
    return history


@pytest.fixture
def history(first_run: History, tmp_path: Path) -> History:
    """Copy the dataset and its store, with all times."""
    return copy(first_run, tmp_path)


def copy(history: History, folder: Path) -> History:
    """Copy a dataset and its store, with all times."""
    shutil.copytree(history.dataset.parent, folder / "dataset")
    shutil.copytree(history.store, folder / "store")
    return History(
        dataset=folder / "dataset" / history.dataset.name,
        store=folder / "store",
        scheduler=history.scheduler,
        workshop=history.workshop,
    )


def where_clip(rows: list[Row], clip: str) -> Row:
    """Find a clip's row."""
    return next(row for row in rows if row["path"] == clip)


def set_value(clip: str, column: str, value: str) -> Callable[[list[Row]], list[Row]]:
    """Change one value of one clip's metadata."""

    def change(rows: list[Row]) -> list[Row]:
        where_clip(rows, clip)[column] = value
        return rows

    return change


def without(*clips: str) -> Callable[[list[Row]], list[Row]]:
    """Leave clips out of the metadata."""
    return lambda rows: [row for row in rows if row["path"] not in clips]


def counts(summary: Summary) -> dict[str, int]:
    """Return what was planned, but for zeros."""
    return {name: n for name, n in summary.planned.items() if n}


def test_a_first_run_equals_a_plain_loop_in_one_process(first_run: History, tmp_path: Path) -> None:
    """The bytes do not depend on Dask; max_seconds is the longest header's, rounded up to whole seconds."""
    info = read_info(open_objects(str(first_run.store)))
    assert (info.config.max_seconds, info.clips_per_shard) == (1.0, CLIPS_PER_SHARD)
    extract_here(first_run.workshop, first_run.dataset, tmp_path / "loop", info)
    assert_same(first_run.store, tmp_path / "loop")


def test_nothing_changed(history: History) -> None:
    """No scheduler is asked, no audio opened; no file or folder of the store has other bytes, time or inode."""
    with unopened(history.dataset.parent):
        assert history.nothing_to_do()
        assert history.explain(history.clip(0)) == "will not run: row 0 holds it, and its source looks the same"
    assert describe(history.options()).text.splitlines()[-1] == "to publish: nothing"
    history.prove()


def test_a_store_behind_a_name_that_was_written_otherwise_is_the_same(history: History, monkeypatch: Any) -> None:
    """Relative paths, trailing slashes and file:// name the same dataset and store."""
    monkeypatch.chdir(history.store.parent)
    before = everything(history.store)
    for dataset, store in (
        ("dataset/manifest.csv", "store/"),
        (f"file://{history.dataset}", f"file://{history.store}"),
    ):
        options = history.options(where=Where(scheduler=NOBODY))
        asked = Options(dataset=dataset, store=store, settings=options.settings, where=options.where)
        assert extract(asked, Unheard()).run_id is None
    assert everything(history.store) == before


def test_a_touched_clip_is_hashed_once(history: History) -> None:
    """A new time is noted in a new snapshot, and nothing else changes; the next run has nothing to do."""
    clip = history.clip(5)
    before = everything(history.store)
    touch(history.audio(clip))
    assert history.explain(clip).startswith("will be hashed, and run only if its bytes differ from row")
    summary = history.extract()
    assert counts(summary) == {"touched": 1, "unchanged": 11}
    assert (history.record["shards"], "hash" in history.record["phases"]) == (0, True)
    new = {key for key, found in everything(history.store).items() if before.get(key) != found}
    assert {key for key in new if not key.startswith(("runs", "lease"))} - {"."} == {
        "snapshots",
        "snapshots/000002.parquet",
    }
    history.prove()


@pytest.mark.parametrize("seconds", [0.1, 0.2], ids=["same size", "other size"])
def test_changed_content_decodes_exactly_that_clip(history: History, seconds: float) -> None:
    """One clip with other content is computed, hashed before if its size is the same; its neighbours are not."""
    clip = history.clip(4)
    old = history.pooled.loc[clip]
    size = history.audio(clip).stat().st_size
    write_tone(history.audio(clip), frequency=3000.0, seconds=seconds)
    same_size = history.audio(clip).stat().st_size == size
    assert same_size == (seconds == 0.1)
    what = "will be hashed" if same_size else "will run: its source is another one than in row"
    assert history.explain(clip).startswith(what)
    summary = history.extract()
    assert counts(summary) == {"touched" if same_size else "changed": 1, "unchanged": 11}
    assert history.decoded == [clip]
    new = history.pooled.loc[clip]
    assert (new["row"], new["digest"] != old["digest"]) == (12, True)
    history.prove()


def test_an_added_clip_is_the_only_one_decoded(history: History) -> None:
    """A new row of the metadata gets a row in a new shard."""
    write_tone(history.audio("audio/new.wav"), frequency=1234.0, seconds=0.1)
    added = {"path": "audio/new.wav", "label": "dog", "fold": "1", "group": "new", "note": ""}
    change_rows(history.dataset, lambda rows: [added, *rows])
    assert history.explain("audio/new.wav") == "will run: no row was ever committed for it"
    assert counts(history.extract()) == {"new": 1, "unchanged": 12}
    assert history.decoded == ["audio/new.wav"]
    assert history.pooled.index[history.pooled["fold"] == 1][-1] == "audio/new.wav"
    history.prove()


def test_a_removed_clip_leaves_and_returns_without_decoding(history: History) -> None:
    """A clip that left the metadata leaves the tables; back again and unchanged, it is published, not opened."""
    clip, table = history.clip(3), (history.store / "pooled.parquet").read_bytes()
    rows = read_rows(history.dataset)
    write_rows(history.dataset, without(clip)(rows))
    with unopened(history.dataset.parent):
        assert counts(history.extract(where=Where(scheduler=NOBODY))) == {"removed": 1, "unchanged": 11}
    assert clip not in history.pooled.index
    history.prove()
    write_rows(history.dataset, rows)
    assert "and it is back unchanged" in history.explain(clip)
    with unopened(history.dataset.parent):
        assert counts(history.extract(where=Where(scheduler=NOBODY))) == {"relabelled": 1, "unchanged": 11}
    assert (history.store / "pooled.parquet").read_bytes() == table
    history.prove()


def test_a_clip_that_returns_changed_is_decoded(history: History) -> None:
    """Away and back with other content: computed anew."""
    clip, rows = history.clip(4), read_rows(history.dataset)
    write_rows(history.dataset, without(clip)(rows))
    history.extract()
    write_tone(history.audio(clip), frequency=3000.0, seconds=0.2)
    write_rows(history.dataset, rows)
    assert counts(history.extract()) == {"changed": 1, "unchanged": 11}
    assert history.decoded == [clip]
    history.prove()


def test_a_renamed_clip_is_a_removal_and_a_new_clip(history: History) -> None:
    """A manifest without clip_id names clips by their paths."""
    clip = history.clip(0)
    history.audio(clip).rename(history.audio("audio/renamed.wav"))
    change_rows(history.dataset, set_value(clip, "path", "audio/renamed.wav"))
    assert counts(history.extract()) == {"new": 1, "removed": 1, "unchanged": 11}
    assert history.decoded == ["audio/renamed.wav"]
    assert clip not in history.pooled.index
    history.prove()


def reorder(rows: list[Row]) -> list[Row]:
    """Write the columns and the rows in another order."""
    return [dict(reversed(row.items())) for row in reversed(rows)]


METADATA = {
    "moved to another fold": lambda clip: set_value(clip, "fold", "7"),
    "relabelled": lambda clip: set_value(clip, "label", "siren"),
    "another recording": lambda clip: set_value(clip, "group", "elsewhere"),
    "another value of another column": lambda clip: set_value(clip, "note", "otherwise"),
}


@pytest.mark.parametrize("change", METADATA.values(), ids=METADATA)
def test_changed_metadata_of_a_clip_is_published_without_opening_audio(
    history: History, change: Callable[[str], Callable[[list[Row]], list[Row]]]
) -> None:
    """The tables say what the metadata say; no scheduler is asked, no clip opened, every number stays."""
    clip, before = history.clip(6), history.pooled
    change_rows(history.dataset, change(clip))
    assert history.explain(clip).endswith("; its metadata changed and will be published")
    with unopened(history.dataset.parent):
        assert counts(history.extract(where=Where(scheduler=NOBODY))) == {"relabelled": 1, "unchanged": 11}
    assert (history.record["shards"], history.record["workers"]) == (0, 0)
    check_table(history, before)
    history.prove()


COLUMNS = {
    "added": lambda rows: [row | {"loudness": str(i / 2)} for i, row in enumerate(rows)],
    "removed": lambda rows: [{name: value for name, value in row.items() if name != "note"} for row in rows],
    "of another type": lambda rows: [row | {"note": str(i)} for i, row in enumerate(rows)],
    "renamed": lambda rows: [
        dict(zip(["path", "label", "fold", "group", "remark"], row.values(), strict=True)) for row in rows
    ],
    "beside another": lambda rows: [row | {"a": "1", "b": "2"} for row in rows],
}


@pytest.mark.parametrize("change", COLUMNS.values(), ids=COLUMNS)
def test_changed_columns_are_published_without_opening_audio(
    history: History, change: Callable[[list[Row]], list[Row]]
) -> None:
    """Every clip is published anew with the dataset's present columns; none is opened."""
    before = history.pooled
    change_rows(history.dataset, change)
    with unopened(history.dataset.parent):
        assert counts(history.extract(where=Where(scheduler=NOBODY))) == {"relabelled": 12}
    check_table(history, before)
    history.prove()


def test_reordered_columns_are_published_and_reordered_rows_are_not(history: History) -> None:
    """Columns keep the metadata's order; rows are ordered by fold and clip_id, however they stand there."""
    before = history.pooled
    change_rows(history.dataset, lambda rows: rows[::-1])
    assert history.nothing_to_do()
    change_rows(history.dataset, lambda rows: [row | {"more": "1"} for row in rows])
    history.extract(where=Where(scheduler=NOBODY))
    change_rows(history.dataset, reorder)
    with unopened(history.dataset.parent):
        assert counts(history.extract(where=Where(scheduler=NOBODY))) == {"relabelled": 12}
    published = list(history.pooled.columns)
    assert published.index("more") < published.index("note")
    check_table(history, before)
    history.prove()


def check_table(history: History, before: pd.DataFrame) -> None:
    """Compare the published table with the metadata, and its numbers with those of before."""
    now, clips = history.pooled, {row["path"]: row for row in read_rows(history.dataset)}
    assert now["row"].is_monotonic_increasing
    assert sorted(now.index) == sorted(clips)
    for name in next(iter(clips.values())):
        assert [str(value) for value in now[name]] == [clips[clip][name] for clip in now.index]
    numbers = [name for name in before if name.startswith("mfcc_")] + ["row", "n_frames", "duration", "digest"]
    pd.testing.assert_frame_equal(now.loc[before.index, numbers], before[numbers])


def test_a_clip_of_urbansound8k_moves_to_another_fold_with_its_file(
    tmp_path: Path, scheduler: str, workshop: Workshop
) -> None:
    """A fold is a folder there: file and row move together, and nothing is decoded."""
    folder = make_urbansound8k(tmp_path / "dataset", clips=10, seconds=0.1)
    history = History(dataset=folder, store=tmp_path / "store", scheduler=scheduler, workshop=workshop)
    assert history.extract().exit_status == 0
    row = read_rows(folder)[0]
    name, fold = row["slice_file_name"], 1 + int(row["fold"]) % 10
    (folder / f"audio/fold{row['fold']}" / name).rename(folder / f"audio/fold{fold}" / name)
    change_rows(folder, lambda rows: [r | {"fold": str(fold)} if r["slice_file_name"] == name else r for r in rows])
    with unopened(folder):
        assert counts(history.extract(where=Where(scheduler=NOBODY))) == {"relabelled": 1, "unchanged": 9}
    assert history.pooled.loc[name, "fold"] == fold
    history.prove()


def test_a_failed_clip_is_tried_again_when_its_source_changes_or_when_asked(history: History) -> None:
    """Broken: a failure. Unchanged: left alone, or tried with --retry-failed. Repaired: tried by itself."""
    clip, path = history.clip(8), history.audio(history.clip(8))
    whole = path.read_bytes()
    path.write_bytes(b"no sound")
    summary = history.extract()
    assert (counts(summary), summary.failed, summary.exit_status) == ({"changed": 1, "unchanged": 11}, 1, 3)
    assert history.failures == {clip: "not_decodable"}
    assert clip not in history.pooled.index
    history.prove()

    assert "as a failure: decode/not_decodable" in history.explain(clip)
    assert history.explain(clip).startswith("will not run")
    assert history.nothing_to_do()
    assert history.explain(clip, retry_failed=True).startswith("will run again: committed in row 12 as a failure")
    summary = history.extract(retry_failed=True)
    assert (counts(summary), summary.failed, history.decoded) == ({"retried": 1, "unchanged": 11}, 1, [clip])
    history.prove()

    path.write_bytes(whole)
    summary = history.extract()
    assert counts(summary) == {"touched": 1, "unchanged": 11}
    assert (history.decoded, summary.exit_status, history.failures) == ([], 0, {})
    history.prove()


def test_a_failed_clip_that_is_repaired_is_decoded(history: History) -> None:
    """A clip that never could be decoded gets its first result when its source is another one."""
    path = history.audio("audio/new.wav")
    path.write_bytes(b"")
    added = {"path": "audio/new.wav", "label": "dog", "fold": "1", "group": "new", "note": ""}
    change_rows(history.dataset, lambda rows: [*rows, added])
    assert history.extract().exit_status == 3
    assert list(history.failures) == ["audio/new.wav"]
    write_tone(path, seconds=0.1)
    assert counts(history.extract()) == {"changed": 1, "unchanged": 12}
    assert (history.decoded, history.failures) == (["audio/new.wav"], {})
    history.prove()


def test_a_relabelled_failure_is_published_and_not_tried_again(history: History) -> None:
    """New metadata are no reason to try a failed clip again."""
    clip = history.clip(8)
    history.audio(clip).write_bytes(b"no sound")
    history.extract()
    change_rows(history.dataset, set_value(clip, "label", "siren"))
    history.extract(where=Where(scheduler=NOBODY))
    assert history.decoded == []
    history.prove()


def test_a_missing_file_is_a_fact_of_the_catalog_until_it_appears(history: History) -> None:
    """It gets no row and costs no task; it is listed as a failure; it is new once it is there."""
    added = {"path": "audio/late.wav", "label": "dog", "fold": "1", "group": "new", "note": ""}
    change_rows(history.dataset, lambda rows: [*rows, added])
    assert history.explain("audio/late.wav") == "will not run: missing (no such file)"
    summary = history.extract(where=Where(scheduler=NOBODY))
    assert (counts(summary), summary.exit_status) == ({"missing": 1, "unchanged": 12}, 3)
    assert history.failures == {"audio/late.wav": "missing"}
    history.prove()
    write_tone(history.audio("audio/late.wav"), seconds=0.1)
    assert counts(history.extract()) == {"new": 1, "unchanged": 12}
    assert (history.decoded, history.failures) == (["audio/late.wav"], {})
    history.prove()


def test_a_file_that_vanishes_and_returns_unchanged_is_not_decoded(history: History) -> None:
    """Gone: a failure `missing`. Back as it was: published again, and no audio opened."""
    clip, table = history.clip(9), (history.store / "pooled.parquet").read_bytes()
    away = history.dataset.with_name("away")
    history.audio(clip).rename(away)
    summary = history.extract(where=Where(scheduler=NOBODY))
    assert (counts(summary), summary.exit_status) == ({"missing": 1, "unchanged": 11}, 3)
    assert history.failures == {clip: "missing"}
    assert history.explain(clip).startswith("will not run: missing (")
    history.prove()
    away.rename(history.audio(clip))
    with unopened(history.dataset.parent):
        summary = history.extract(where=Where(scheduler=NOBODY))
    assert (counts(summary), summary.exit_status) == ({"relabelled": 1, "unchanged": 11}, 0)
    assert (history.store / "pooled.parquet").read_bytes() == table
    history.prove()


@pytest.mark.parametrize("seconds", [0.1, 0.2], ids=["same size", "other size"])
@pytest.mark.parametrize("time", ["its old time", "a new time"])
def test_content_that_goes_back_to_an_earlier_version_is_not_decoded(
    history: History, time: str, seconds: float
) -> None:
    """The earlier version's row is live again, found by its time, or by its hash."""
    clip, path, table = history.clip(4), history.audio(history.clip(4)), history.pooled
    data, mtime_ns = path.read_bytes(), path.stat().st_mtime_ns
    write_tone(path, frequency=3000.0, seconds=seconds)
    history.extract()
    assert history.decoded == [clip]
    path.write_bytes(data)
    if time == "its old time":
        touch(path, mtime_ns=mtime_ns)
        with unopened(history.dataset.parent):
            assert counts(history.extract(where=Where(scheduler=NOBODY))) == {"relabelled": 1, "unchanged": 11}
    else:
        assert counts(history.extract()) == {"touched": 1, "unchanged": 11}
    assert history.decoded == []
    pd.testing.assert_frame_equal(history.pooled, table)
    history.prove()


def test_a_run_that_would_unpublish_more_than_a_tenth_writes_nothing(history: History) -> None:
    """Two of twelve gone: refused with both numbers; one of twelve, or --allow-removal: done."""
    clips, before = [history.clip(2), history.clip(3)], everything(history.store)
    rows = read_rows(history.dataset)
    history.audio(clips[1]).rename(history.dataset.with_name("away"))
    write_rows(history.dataset, without(clips[0])(rows))
    told = r"2 of 12 live clips .*1 no longer in the metadata, 1 files missing now.*--allow-removal"
    with pytest.raises(RequestError, match=told) as refused:
        history.extract()
    assert refused.value.exit_status == 2
    assert everything(history.store) == before
    summary = history.extract(allow_removal=True)
    assert counts(summary) == {"removed": 1, "missing": 1, "unchanged": 10}
    history.prove()


def test_another_dataset_by_mistake_is_refused(history: History, tmp_path: Path) -> None:
    """A dataset that shares no clip with the store would remove them all: refused, nothing written."""
    before = everything(history.store)
    history.dataset = make_urbansound8k(tmp_path / "other", clips=5, seconds=0.1)
    with pytest.raises(RequestError, match="12 of 12 live clips would leave the published tables"):
        history.extract()
    assert everything(history.store) == before


def test_failures_and_missing_clips_do_not_count_as_removals(history: History) -> None:
    """The guard is for clips with results: those that were failures or missing may go."""
    lost = [{"path": f"audio/lost{i}.wav", "label": "x", "fold": "1", "group": "", "note": ""} for i in range(5)]
    change_rows(history.dataset, lambda rows: [*rows, *lost])
    history.extract(where=Where(scheduler=NOBODY))
    change_rows(history.dataset, without(*(row["path"] for row in lost)))
    assert counts(history.extract(where=Where(scheduler=NOBODY))) == {"removed": 5, "unchanged": 12}
    history.prove()


def test_refresh_versions_computes_only_what_other_versions_computed(
    tmp_path: Path, scheduler: str, workshop: Workshop
) -> None:
    """Rows of another engine are left alone by a plain run, and computed anew with --refresh versions."""
    manifest = make_manifest(tmp_path / "dataset", clips=4, seconds=0.1, formats=("WAV",))
    rows = read_rows(manifest)
    write_rows(manifest, rows[:2])
    history = History(dataset=manifest, store=tmp_path / "store", scheduler=scheduler, workshop=workshop)
    history.extract(engine="librosa")
    write_rows(manifest, rows)
    assert counts(history.extract()) == {"new": 2, "unchanged": 2}
    assert history.nothing_to_do()
    old = rows[0]["path"]
    assert history.explain(old, refresh_versions=True) == "will run again: row 0 was computed with other versions"
    assert counts(history.extract(refresh_versions=True)) == {"changed": 2, "unchanged": 2}
    assert history.decoded == [row["path"] for row in rows[:2]]
    assert history.nothing_to_do(refresh_versions=True)
    history.prove()


def test_other_parameters_are_refused_and_the_same_are_accepted(history: History) -> None:
    """The differences are named with both values; what was given again as it is does not matter."""
    before = everything(history.store)

    def asked(**values: Any) -> dict[str, Any]:
        return {"config": FeatureConfig.from_dict(values), "given": frozenset(values)}

    told = r"n_mfcc is 40, but 20 was asked for; top_db is 80.0, but 60.0 was asked for"
    with pytest.raises(StoreError, match=told) as refused:
        history.extract(**asked(n_mfcc=20, top_db=60, hop_length=512))
    assert refused.value.exit_status == 2
    with pytest.raises(StoreError, match=r"max_seconds is 1\.0, but 4.0 was asked for"):
        history.extract(**asked(max_seconds=4))
    with pytest.raises(RequestError, match="has 4 clips per shard, fixed when it was created"):
        history.extract(clips_per_shard=8)
    assert everything(history.store) == before
    assert history.nothing_to_do(**asked(n_mfcc=40, max_seconds=1, statistics=["mean", "std"]))
    assert history.nothing_to_do(clips_per_shard=None)


def broken_clips(folder: Path, n: int) -> Path:
    """Make a manifest of empty files."""
    rows = [{"path": f"{i:03d}.wav", "label": "x", "fold": "1"} for i in range(n)]
    write_rows(folder / "manifest.csv", rows)
    for row in rows:
        (folder / row["path"]).touch()
    return folder / "manifest.csv"


@pytest.mark.parametrize(
    ("limit", "clips", "done"),
    [("11", 120, 12), ("100", 120, 101), ("50%", 120, 100), ("0", 5, 1)],
)
def test_a_hopeless_run_ends_early(
    tmp_path: Path, scheduler: str, workshop: Workshop, limit: str, clips: int, done: int
) -> None:
    """--max-failures N ends a run after N failed clips, P% once 100 clips are done; the same command goes on."""
    manifest = broken_clips(tmp_path / "dataset", clips)
    config: dict[str, Any] = {"config": FeatureConfig(max_seconds=1.0), "given": frozenset({"max_seconds"})}
    history = History(dataset=manifest, store=tmp_path / "store", scheduler=scheduler, workshop=workshop)
    asked = history.options(max_failures=limit, settings=make_settings(shards_per_thread=1), **config)
    with pytest.raises(JobError, match=rf"clips failed \(\d+ \w+\), more than --max-failures {limit}") as ended:
        extract(asked, Unheard())
    assert ended.value.exit_status == 1
    record = history.record
    assert (record["outcome"], record["extracted"]) == ("failed", 0)
    assert done <= record["failed"] < done + CLIPS_PER_SHARD
    wait_until_idle(scheduler)  # a shard that was in its hands is committed still
    summary = history.extract(**config)
    assert (summary.failures, summary.exit_status) == (clips, 3)
    assert sum(map(len, history.commits().values())) == clips
    history.prove()


@pytest.mark.parametrize("limit", ["", "x", "-1", "5 %", "%", "1.5", "nan%", "-5%"])
def test_a_limit_that_is_no_number_is_refused(limit: str) -> None:
    """--max-failures takes a whole number, or a percentage."""
    with pytest.raises(ConfigError, match=r"--max-failures .*expected a number such as 50, or 5%"):
        Options(dataset="d", store="s", settings=SETTINGS, max_failures=limit)


@pytest.mark.parametrize(("seconds", "limit"), [(1.0, 1.0), (1.001, 2.0)])
def test_there_is_room_for_the_longest_header_in_whole_seconds(
    tmp_path: Path, scheduler: str, workshop: Workshop, seconds: float, limit: float
) -> None:
    """A new store has room for its longest clip, rounded up to a second, be it the last one or of any format."""
    manifest = make_manifest(tmp_path / "dataset", clips=2, seconds=0.1)
    write_tone(tmp_path / "dataset/audio/clip001.flac", seconds=seconds, format="FLAC", rate=8000)
    history = History(dataset=manifest, store=tmp_path / "store", scheduler=scheduler, workshop=workshop)
    assert history.extract().exit_status == 0
    assert read_info(open_objects(str(history.store))).config.max_seconds == limit
    history.prove()


def test_a_longer_clip_than_the_store_has_room_for_fails_as_too_long(history: History) -> None:
    """The store's length is fixed when it is created; the failure says what to do, and goes with a shorter clip."""
    path = history.audio("audio/new.wav")
    write_tone(path, seconds=1.5)
    added = {"path": "audio/new.wav", "label": "dog", "fold": "1", "group": "new", "note": ""}
    change_rows(history.dataset, lambda rows: [*rows, added])
    assert history.extract().exit_status == 3
    assert history.failures == {"audio/new.wav": "too_long"}
    detail = pd.read_parquet(history.store / "failures.parquet")["detail"][0]
    assert "truncate" in detail
    assert "new store" in detail
    history.prove()
    write_tone(path, seconds=1.0)
    assert history.extract().exit_status == 0
    history.prove()


def test_many_changes_at_once(history: History) -> None:
    """Every kind of change in one run: each clip is treated as if it were the only one."""
    names = [history.clip(i) for i in range(12)]
    rows = read_rows(history.dataset)
    write_tone(history.audio(names[0]), frequency=3000.0, seconds=0.1)
    write_tone(history.audio(names[1]), frequency=3000.0, seconds=0.2, format="FLAC")
    touch(history.audio(names[2]))
    history.audio(names[3]).unlink()
    history.audio(names[4]).write_bytes(b"no sound")
    rows[5]["label"] = "siren"
    rows[6]["fold"] = "9"
    touch(history.audio(names[6]))
    write_tone(history.audio("audio/new.wav"), seconds=0.1)
    rows.append({"path": "audio/new.wav", "label": "dog", "fold": "1", "group": "new", "note": "n"})
    rows.append({"path": "audio/lost.wav", "label": "dog", "fold": "1", "group": "new", "note": "n"})
    write_rows(history.dataset, without(names[7])(rows))
    summary = history.extract(allow_removal=True)
    assert counts(summary) == {
        "new": 1, "changed": 2, "touched": 3, "relabelled": 1, "removed": 1, "missing": 2, "unchanged": 4
    }  # fmt: skip
    assert sorted(history.decoded) == sorted([names[0], names[1], names[4], "audio/new.wav"])
    assert history.failures == {names[3]: "missing", names[4]: "not_decodable", "audio/lost.wav": "missing"}
    assert history.pooled.loc[names[6], "fold"] == 9
    history.prove()


def test_explaining_a_clip_that_nobody_knows(history: History) -> None:
    """A name that neither dataset nor store has is refused; one that only the store has is explained."""
    with pytest.raises(RequestError, match=r"--explain CLIP000\.wav: .*case-sensitive"):
        history.explain("CLIP000.wav")
    clip = history.clip(0)
    change_rows(history.dataset, without(clip))
    assert history.explain(clip) == (
        "will not run: the dataset does not name it any more; row 0 will leave the published tables"
    )
    history.extract()
    assert history.explain(clip).startswith("will not run: it left the dataset; row 0 is kept")


def test_the_real_recordings_of_urbansound8k(real_data: Path, tmp_path: Path, scheduler: str) -> None:
    """Ten clips are there and done, 8,722 are missing and cost no task each; then there is nothing to do."""
    options = Options(
        dataset=str(real_data / "UrbanSound8K"),
        store=str(tmp_path / "store"),
        settings=SETTINGS,
        where=Where(scheduler=scheduler),
    )
    summary = extract(options, Unheard())
    assert (counts(summary), summary.exit_status) == ({"new": 10, "missing": 8722}, 3)
    assert (summary.extracted, summary.failed, summary.live, summary.failures) == (10, 0, 10, 8722)
    assert verify(str(tmp_path / "store")).findings == []
    before = everything(tmp_path / "store")
    again = extract(options, Unheard())
    assert (again.run_id, again.exit_status, counts(again)) == (None, 3, {"missing": 8722, "unchanged": 10})
    assert everything(tmp_path / "store") == before


def test_the_real_recordings_of_esc_10(real_data: Path, tmp_path: Path, scheduler: str) -> None:
    """Four hundred Ogg clips in five folds: all done."""
    dataset, store = str(real_data / "ESC-10/manifest.csv"), str(tmp_path / "store")
    options = Options(dataset=dataset, store=store, settings=SETTINGS, where=Where(scheduler=scheduler))
    summary = extract(options, Unheard())
    assert (summary.extracted, summary.failed, summary.exit_status) == (400, 0, 0)
    pooled = pd.read_parquet(tmp_path / "store/pooled.parquet")
    assert set(pooled.groupby("fold").size()) == {80}
    assert extract(options, Unheard()).run_id is None
