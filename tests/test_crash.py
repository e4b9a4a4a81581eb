"""A run that is disturbed, at every write and by every means, and the run after it: the same store, byte for byte."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
import zarr
from clusters import wait_until
from datasets import change_rows, make_manifest, read_rows, write_tone
from failpoints import Ended, Fault, RunServer
from faulty import start
from stores import files, stamps

import us8k_batch
from us8k_batch.errors import StoreError
from us8k_batch.objects import open_objects
from us8k_batch.store.layout import SNAPSHOTS, numbers
from us8k_batch.store.state import read_snapshot

DONE = 3
"""Exit status of a run that is done: one clip of each dataset is no sound."""
AT_ONCE = 2
"""Broken runs that go on at the same time."""


def make_dataset(folder: Path, *, clips: int) -> Path:
    """Make a dataset of very short clips, the last of which cannot be decoded."""
    manifest = make_manifest(folder, clips=clips, seconds=0.1, formats=("WAV",))
    (folder / f"audio/clip{clips - 1:03d}.wav").write_bytes(b"no sound at all" * 100)
    return manifest


@dataclass(frozen=True)
class Story:
    """What a run is to do, and how it ends when nothing disturbs it."""

    dataset: Path
    base: Path | None
    """The store that it finds; None if it makes one."""
    end: dict[str, bytes]
    """What it leaves."""
    told: Ended

    def begin(self, store: Path) -> Path:
        """Make the store that a run finds."""
        shutil.rmtree(store, ignore_errors=True)
        if self.base is not None:
            shutil.copytree(self.base, store)
        return store

    @property
    def clip_ids(self) -> set[str]:
        """The dataset's clips."""
        return {row["path"] for row in read_rows(self.dataset)}


@pytest.fixture(scope="module")
def server() -> RunServer:
    """Start what starts runs."""
    return RunServer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder for this module."""
    return tmp_path_factory.mktemp("crash")


def make_story(server: RunServer, dataset: Path, store: Path, base: Path | None) -> Story:
    """Carry a run out that nothing disturbs."""
    story = Story(dataset, base, {}, Ended(DONE))
    told = server.run(dataset, story.begin(store))
    assert told.status == DONE, told
    return Story(dataset, base, files(store), told)


@pytest.fixture(scope="module")
def first(server: RunServer, folder: Path) -> Story:
    """Tell of a run that makes a store."""
    return make_story(server, make_dataset(folder / "v1", clips=5), folder / "store1", None)


@pytest.fixture(scope="module")
def second(server: RunServer, folder: Path, first: Story) -> Story:
    """Tell of a run that finds one clip changed, one gone, one new and one relabelled."""
    shutil.copytree(first.dataset.parent, folder / "v2")
    dataset = folder / "v2/manifest.csv"
    write_tone(folder / "v2/audio/clip001.wav", frequency=3000, seconds=0.1)
    write_tone(folder / "v2/audio/clip009.wav", frequency=4000, seconds=0.1)

    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        rows[3]["label"] = "snow"
        return [*rows[1:], rows[0] | {"path": "audio/clip009.wav"}]

    change_rows(dataset, change)
    return make_story(server, dataset, folder / "store2", folder / "store1")


def committed(store: Path) -> dict[str, tuple[int, int, int]]:
    """Return the commits and their shards, and when they were written."""
    shards = [int(path.stem) for path in (store / "commits").glob("*.parquet")]
    keys = {f"commits/{shard:08d}.parquet" for shard in shards} | {f"mfcc.zarr/mfcc/c/{n}/0/0" for n in shards}
    return {key: stamp for key, stamp in stamps(store).items() if key in keys}


def rows_committed(store: Path) -> int:
    """Count the rows of all commits."""
    return sum(pq.read_metadata(path).num_rows for path in (store / "commits").glob("*.parquet"))


def look(store: Path, story: Story) -> str | None:
    """Read what is published as a reader would; return its snapshot's id, or None if nothing is."""
    try:
        reader = us8k_batch.open_store(str(store))
    except StoreError:
        assert story.base is None, "what was published is gone"
        return None
    live, failed = list(reader.pooled["clip_id"]), list(reader.failures["clip_id"])
    assert reader.mfcc[:].shape[0] == len(live)  # every row is compared with its digest
    assert len({*live, *failed}) == len(live) + len(failed)
    assert pd.read_parquet(store / "pooled.parquet").equals(reader.pooled)
    assert (reader.pooled["row"] < zarr.open_array(store / "mfcc.zarr/mfcc", mode="r").shape[0]).all()
    known = story.clip_ids if story.base is None else story.clip_ids | {"audio/clip000.wav"}
    assert {*live, *failed} <= known
    objects = open_objects(str(store))
    assert reader.snapshot_id in [read_snapshot(objects, n)[0].snapshot_id for n in numbers(objects, SNAPSHOTS)]
    assert not reader.complete or len(live) + len(failed) == len(story.clip_ids)
    return reader.snapshot_id


def temporary(store: Path) -> dict[str, bytes]:
    """Return the store's files that the promise is about."""
    return files(store) if store.exists() else {}


def check_and_finish(server: RunServer, story: Story, store: Path, fault: Fault, told: Ended) -> None:
    """Look at what a broken run left, have the next run finish it, and compare."""
    before = files(story.base) if story.base else {}
    if fault.how == "killed":
        assert told.status == -signal.SIGKILL
    elif fault.how == "surprised":
        assert told.status in (DONE, -1)
    else:
        assert told.status in (DONE, 1, 2), told.message
    if told.status == 2:
        # The description is needed by the last inspection of the workers.
        assert temporary(store).keys() <= before.keys() | {"us8k.json"}, "a bad request touched the store"
    if told.status == DONE:
        assert temporary(store) == story.end, "a run that says that it is done is not"
    look(store, story)
    kept = committed(store)
    found = rows_committed(store) - (rows_committed(story.base) if story.base else 0)
    again = server.run(story.dataset, store)
    assert again.status == DONE, again.message
    assert again.decoded == story.told.decoded - found, "what was committed was computed again"
    assert committed(store).items() >= kept.items(), "what was committed was written again"
    end = files(store)
    assert end.keys() == story.end.keys()
    assert [key for key in end if end[key] != story.end[key]] == []
    assert look(store, story) is not None


def faults(story: Story, how: str) -> list[Fault]:
    """Return every fault of a kind that can make a difference."""
    without_difference = {
        "killed": "fsync .*",  # as before the step after it
        "disk full": "(?!write).*",  # it stays full, and hardly anything else needs room
        "answer lost": "fsync .*tmp",  # as after the step before it
    }.get(how, "nothing")
    # One probe is like another, and a store that is there already is probed and held like one that is made.
    known = "[a-z]+ lease.*" if story.base else "[a-z]+ lease/probe"
    return [
        Fault(at, how)
        for at, step in enumerate(story.told.steps)
        if not (re.fullmatch(without_difference, step) or re.fullmatch(known, step))
    ]


def break_every(server: RunServer, story: Story, folder: Path, every: list[Fault]) -> None:
    """Break a run in each of these ways; after the next run the store is the undisturbed one's."""
    for start_at in range(0, len(every), AT_ONCE):
        begun = [
            (fault, store, server.begin(story.dataset, story.begin(store), fault))
            for fault in every[start_at : start_at + AT_ONCE]
            for store in [folder / f"broken-{fault.at % AT_ONCE}-{fault.at}"]
        ]
        for fault, store, going in begun:
            told = going.end()
            try:
                check_and_finish(server, story, store, fault, told)
            except AssertionError as error:
                error.add_note(f"{fault} was {story.told.steps[fault.at]!r}; the run ended with {told}")
                raise
            shutil.rmtree(store)


@pytest.mark.timeout(900)  # hundreds of runs, on machines that may be busy
@pytest.mark.parametrize(
    ("how", "steps"),
    # The other answers may be lost in ``make chaos``; these are to writes that somebody else can see.
    [("killed", ".*"), ("disk full", ".*"), ("answer lost", "(link|replace) .*")],
)
@pytest.mark.parametrize("run", ["first", "second"])
def test_a_run_may_break_at_any_write(
    run: str,
    how: str,
    steps: str,
    server: RunServer,
    folder: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """After a kill, a full disk or a lost answer at any write, the next run leaves what an undisturbed one does.

    In between, readers see a publication or none; nothing that is committed is computed again.
    """
    story: Story = request.getfixturevalue(run)
    every = [fault for fault in faults(story, how) if re.fullmatch(steps, story.told.steps[fault.at])]
    assert len(every) >= 5
    break_every(server, story, folder, every)
    record_property("figure", f"{run} run {how}: {len(every)}/{len(every)}")


@pytest.fixture(scope="module")
def long(server: RunServer, folder: Path) -> Story:
    """Tell of a run of eight shards."""
    return make_story(server, make_dataset(folder / "long", clips=16), folder / "store3", None)


def go_on(folder: Path, story: Story, *, at: str = "", how: str = "", workers: int = 1) -> subprocess.Popen[bytes]:
    """Start a run of the real thing on the store of a folder."""
    store = folder / "store"
    options = ("--workers", str(workers), "--clips-per-shard", "2", "--json")
    return start(folder, "extract", story.dataset, store, *options, at=at, how=how, store=store)


def ended(run: subprocess.Popen[bytes], folder: Path, status: int) -> str:
    """Wait until a run has ended, see that nothing of it is left, and return what it said."""
    try:
        found = run.wait(60)
    finally:
        kill_group(run)
    said = (folder / "log.txt").read_text()
    assert found == status, said
    assert "Traceback" not in said
    return said


def kill_group(run: subprocess.Popen[bytes]) -> None:
    """Kill whatever a run has left; usually nothing."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def gone(run: subprocess.Popen[bytes]) -> bool:
    """Tell whether no process of a run is left but zombies."""
    return not [
        process
        for process in psutil.process_iter(["status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and group_of(process.pid) == run.pid
    ]


def group_of(pid: int) -> int | None:
    """Return the process group of a process, if it is still there."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def test_the_real_thing_is_killed_again_and_again(long: Story, tmp_path: Path) -> None:
    """Client, workers and children die at once, four times: each run goes on where the last one was."""
    store = tmp_path / "store"
    kept: dict[str, tuple[int, int, int]] = {}
    for at, workers in (
        ("link plans/000001.parquet", 1),
        ("link mfcc.zarr/mfcc/c/2/0/0", 2),
        ("unlink commits/.tmp", 1),
        ("replace pooled.parquet", 2),
    ):
        run = go_on(tmp_path, long, at=at, how="all killed", workers=workers)
        ended(run, tmp_path, -signal.SIGKILL)
        assert (tmp_path / "once").exists()
        look(store, long)
        assert committed(store).items() >= kept.items()
        kept = committed(store)
    assert len(kept) == 2 * 8
    ended(go_on(tmp_path, long), tmp_path, DONE)
    assert committed(store) == kept
    assert files(store) == long.end


def test_a_full_disk_ends_the_run_and_says_so(long: Story, tmp_path: Path) -> None:
    """A worker that cannot write its shard: exit 1, the cause in words, and a publication that is not complete."""
    run = go_on(tmp_path, long, at="write mfcc.zarr/mfcc/c/5/0/.tmp", how="disk full")
    said = ended(run, tmp_path, 1)
    assert "shard 5 cannot be written" in said
    assert "No space left on device" in said
    assert look(tmp_path / "store", long) is not None
    assert not us8k_batch.open_store(str(tmp_path / "store")).complete
    ended(go_on(tmp_path, long), tmp_path, DONE)
    assert files(tmp_path / "store") == long.end


def test_a_worker_that_dies_costs_nothing_but_time(long: Story, tmp_path: Path) -> None:
    """One worker is killed between its shard and its commit: the same run finishes, and nothing is missing."""
    run = go_on(tmp_path, long, at="link commits/00000001.parquet", how="killed", workers=2)
    ended(run, tmp_path, DONE)
    assert (tmp_path / "once").exists()
    assert files(tmp_path / "store") == long.end


def test_a_run_can_be_asked_to_stop(long: Story, tmp_path: Path) -> None:
    """Ctrl-C or SIGTERM: what is in hand is finished and published, exit 130; a second Ctrl-C ends it at once."""
    store = tmp_path / "store"
    waits = "link commits/.*"

    def stopping() -> bool:
        return "stopping" in (tmp_path / "log.txt").read_text()

    n_committed = 0
    for ask in (lambda run: os.killpg(run.pid, signal.SIGINT), lambda run: run.terminate()):
        run = go_on(tmp_path, long, at=waits, how="waits")
        wait_until((tmp_path / "there").exists, "the first commit")
        ask(run)
        wait_until(stopping, "an answer")
        (tmp_path / "go").touch()
        assert "interrupted" in ended(run, tmp_path, 130)
        assert n_committed < rows_committed(store) < 16
        n_committed = rows_committed(store)
        reader = us8k_batch.open_store(str(store))
        assert look(store, long) is not None
        assert not reader.complete
        assert len(reader) + len(reader.failures) + reader.pending == 16

    run = go_on(tmp_path, long, at=waits, how="waits")
    wait_until((tmp_path / "there").exists, "a commit")
    os.killpg(run.pid, signal.SIGINT)
    wait_until(stopping, "an answer")
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(10) == 130
    wait_until(lambda: gone(run), "the end of all its processes")
    ended(run, tmp_path, 130)
    assert rows_committed(store) == n_committed

    ended(go_on(tmp_path, long), tmp_path, DONE)
    assert files(store) == long.end
