"""One extraction run from beginning to end, on workers that were started by hand."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from clusters import HandStarted, make_settings, wait_until
from datasets import change_rows, make_manifest, read_rows
from runs import SMALL, Heard, Runner, assert_same_files, assert_sound, copy, failed, make_options, published
from stores import files

from us8k_batch.errors import ConfigError, JobError, RequestError, StoreError
from us8k_batch.objects import open_objects
from us8k_batch.objects.local import LocalObjects
from us8k_batch.run.extract import extract
from us8k_batch.run.prepare import prepare
from us8k_batch.run.session import hold_and_work
from us8k_batch.store.layout import create_info, new_info, read_info
from us8k_batch.store.reader import open_store

CLIPS = 40
OTHER_SOXR = "import importlib.metadata as m; v = m.version; m.version = lambda n: '0.0.1' if n == 'soxr' else v(n)"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a manifest of forty clips: ten shards."""
    return make_manifest(tmp_path_factory.mktemp("data"), clips=CLIPS, formats=("WAV", "FLAC"))


@pytest.fixture(scope="module")
def reference(runner: Runner, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract that dataset without any disturbance."""
    store = tmp_path_factory.mktemp("reference") / "store"
    runner.extract(dataset, store)
    return store


@pytest.fixture
def own(dataset: Path, tmp_path: Path) -> Path:
    """Copy the dataset, to be changed."""
    return copy(dataset.parent, tmp_path / "own") / dataset.name


def records(store: Path) -> list[dict[str, object]]:
    """Read the run records, oldest first."""
    return [json.loads(path.read_bytes()) for path in sorted((store / "runs").glob("*.json"))]


def commits(store: Path) -> int:
    """Count the shards that are committed."""
    return len(list((store / "commits").glob("*.parquet")))


# A fresh store


def test_a_fresh_store_holds_every_clip_in_order(reference: Path) -> None:
    """Row i of mfcc is row i of pooled.parquet, ordered by fold, then clip_id; everything proves sound."""
    store = open_store(str(reference))
    pooled = store.pooled
    assert len(pooled) == CLIPS
    assert pooled["row"].tolist() == list(range(CLIPS))
    assert pooled[["fold", "clip_id"]].equals(pooled[["fold", "clip_id"]].sort_values(["fold", "clip_id"]))
    array = zarr.open_array(str(reference / "mfcc.zarr"), path="mfcc", mode="r")
    assert array.shape == store.mfcc.shape
    for row, n_frames in enumerate(pooled["n_frames"]):
        means = array[row][:, :n_frames].mean(axis=1, dtype=np.float64)
        np.testing.assert_allclose(pooled.filter(like="mfcc_mean").iloc[row], means, rtol=1e-5)
    assert store.complete
    assert_sound(reference)


def test_the_summary_counts_what_was_done(runner: Runner, dataset: Path, tmp_path: Path) -> None:
    """Planned, extracted, failed and live clips, workers, audio and time; and the record says the same."""
    heard = Heard()
    summary = runner.extract(dataset, tmp_path / "store", heard)
    assert summary.planned == dict.fromkeys(summary.planned, 0) | {"new": CLIPS}
    assert (summary.extracted, summary.failed, summary.failures, summary.live) == (CLIPS, 0, 0, CLIPS)
    assert (summary.workers, summary.exit_status) == (2, 0)
    assert summary.audio_seconds == pytest.approx(0.25 * CLIPS, rel=0.01)
    assert summary.clips_per_second == pytest.approx(CLIPS / summary.seconds, rel=0.05)
    assert sum(report.n_extracted for report in heard.reports) == CLIPS
    (record,) = records(tmp_path / "store")
    assert record["run_id"] == summary.run_id
    assert (record["outcome"], record["extracted"], record["shards"]) == ("done", CLIPS, 10)


def test_each_commit_is_read_once_and_most_while_others_are_worked_on(
    runner: Runner, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all shards are handed out, what is committed is read for the publication, which reads only the rest."""
    events: list[str] = []
    get = LocalObjects.get

    def noted(self: LocalObjects, key: str) -> bytes:
        if key.startswith("commits/"):
            events.append(key)
        return get(self, key)

    monkeypatch.setattr(LocalObjects, "get", noted)
    runner.extract(dataset, tmp_path / "store", Heard(on_shard=lambda: events.append("")))
    read = sorted(filter(None, events))
    assert read == sorted(f"commits/{path.name}" for path in (tmp_path / "store/commits").iterdir())
    last_answer = len(events) - events[::-1].index("")
    assert sum(map(bool, events[:last_answer])) >= len(read) // 2


def test_room_is_made_for_the_longest_clip(runner: Runner, dataset: Path, tmp_path: Path) -> None:
    """Without max_seconds the headers are read, and the longest is rounded up to a second."""
    summary = runner.extract(dataset, tmp_path / "store", assignments=SMALL[:-1])
    assert summary.extracted == CLIPS
    assert open_store(str(tmp_path / "store")).config.max_seconds == 1.0


def test_a_dataset_without_a_readable_header_is_refused(runner: Runner, own: Path, tmp_path: Path) -> None:
    """The longest clip cannot be known; the message says how to go on, and no store is made."""
    for clip in (own.parent / "audio").iterdir():
        clip.write_bytes(b"no sound at all")
    with pytest.raises(RequestError, match=r"no clip's header can be read.*--set max_seconds=4"):
        runner.extract(own, tmp_path / "store", assignments=SMALL[:-1])
    assert files(tmp_path / "store") == {}


def test_a_dataset_of_which_every_clip_is_missing_is_published_as_that(
    runner: Runner, own: Path, tmp_path: Path
) -> None:
    """Missing clips are facts of the catalog: no row, no task, all of them in failures.parquet."""
    for clip in (own.parent / "audio").iterdir():
        clip.unlink()
    heard = Heard()
    summary = runner.extract(own, tmp_path / "store", heard)
    assert (summary.live, summary.failures, summary.exit_status) == (0, CLIPS, 3)
    assert not heard.reports
    assert commits(tmp_path / "store") == 0
    assert_sound(tmp_path / "store")


@pytest.mark.parametrize("where", ["one worker", "a local cluster"])
def test_the_bytes_do_not_depend_on_the_workers(dataset: Path, reference: Path, tmp_path: Path, where: str) -> None:
    """Any number of workers, started by hand or here, makes the same store, file by file."""
    store = tmp_path / "store"
    if where == "a local cluster":
        extract(make_options(dataset, store, scheduler=None, settings=make_settings(workers=2)), Heard())
    else:
        with HandStarted(folder=tmp_path / "dask") as hand:
            hand.start_scheduler().start_workers(1).wait_for_workers(1)
            assert Runner(hand.address).extract(dataset, store).workers == 1
    assert_same_files(store, reference)


# What goes wrong with clips


def test_a_bad_clip_costs_only_itself(runner: Runner, own: Path, reference: Path, tmp_path: Path) -> None:
    """Garbage, nothing, and a clip that is missing: listed with their reasons; all others are as they would be."""
    bad = {"audio/clip003.flac": b"no sound at all", "audio/clip020.wav": b""}
    for path, data in bad.items():
        (own.parent / path).write_bytes(data)
    (own.parent / "audio/clip030.wav").unlink()
    summary = runner.extract(own, tmp_path / "store")
    assert (summary.extracted, summary.failed, summary.failures, summary.exit_status) == (CLIPS - 3, 2, 3, 3)
    gone = ("read", "missing")
    assert failed(tmp_path / "store") == {
        "audio/clip003.flac": ("decode", "not_decodable"),
        "audio/clip020.wav": ("extract", "empty"),
        "audio/clip030.wav": gone,
    }
    others = {clip: row for clip, row in published(reference).items() if clip not in failed(tmp_path / "store")}
    assert published(tmp_path / "store") == others
    assert_sound(tmp_path / "store")


def test_a_lone_clip_that_vanishes_in_mid_run_is_recorded(
    runner: Runner, own: Path, reference: Path, tmp_path: Path
) -> None:
    """Nothing else is to be read in this run; that others of the dataset can be, shows whose fault it is."""
    store = copy(reference, tmp_path / "store")
    clip = own.parent / "audio/clip005.flac"
    clip.write_bytes((own.parent / "audio/clip007.flac").read_bytes())
    summary = runner.extract(own, store, Heard(on_start=clip.unlink))
    assert (summary.failed, summary.exit_status) == (1, 3)
    assert failed(store) == {"audio/clip005.flac": ("read", "missing")}


def test_a_dataset_that_vanishes_in_mid_run_fails_nothing(
    runner: Runner, own: Path, reference: Path, tmp_path: Path
) -> None:
    """A lost mount: the run ends with exit 1 and says so; once it is back, the store is as if nothing had been."""
    store, audio, away = tmp_path / "store", own.parent / "audio", own.parent / "away"
    heard = Heard(on_start=lambda: audio.rename(away))
    with pytest.raises(JobError, match=r"10 shards could not be read at all.*no such file.*storage up\?") as error:
        runner.extract(own, store, heard)
    assert error.value.exit_status == 1
    assert commits(store) == 0
    away.rename(audio)
    runner.extract(own, store)
    assert_same_files(store, reference)


# Runs that end early


def test_a_hopeless_run_stops_early_and_publishes_what_it_has(runner: Runner, own: Path, tmp_path: Path) -> None:
    """--max-failures, in the very first run of a store: exit 1, an incomplete table; without it, it is finished."""
    for number in (0, 1, 2, 3):
        next((own.parent / "audio").glob(f"clip{number:03d}.*")).write_bytes(b"no sound at all")
    store = tmp_path / "store"
    with pytest.raises(JobError, match=r"of \d+ clips failed \(\d not_decodable\), more than --max-failures 1;"):
        runner.extract(own, store, max_failures="1", settings=make_settings(shards_per_thread=1))
    assert 0 < commits(store) < 10
    table = open_store(str(store))
    assert (table.complete, len(table)) == (False, CLIPS - table.pending - len(table.failures))
    assert [record["outcome"] for record in records(store)] == ["failed"]
    assert runner.extract(own, store).exit_status == 3
    runner.extract(own, tmp_path / "undisturbed")
    assert_same_files(store, tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("limit", "failed", "done", "hopeless"),
    [
        (None, 1000, 1000, False),
        ("0", 1, 1, True),
        ("0", 0, 500, False),
        ("50", 50, 50, False),
        ("50", 51, 900, True),
        ("5%", 99, 99, False),
        ("5%", 5, 100, False),
        ("5%", 6, 100, True),
        ("2.5%", 26, 1000, True),
        ("0%", 1, 100, True),
    ],
)
def test_a_limit_is_a_number_or_a_share_of_at_least_a_hundred(
    limit: str | None, failed: int, done: int, hopeless: bool
) -> None:
    """More than N failed, or more than P percent once that says something."""
    options = make_options("d", "s", scheduler=None, max_failures=limit)
    assert options.too_many_failures(failed, done) is hopeless


@pytest.mark.parametrize("limit", ["", "%", "many", "x%", "-1", "-5%", "5 %", "1.5", "nan%", "1e3%", "٣"])
def test_a_limit_that_is_neither_is_refused_before_anything_is_done(limit: str) -> None:
    """Not in the middle of a run that took hours."""
    with pytest.raises(ConfigError, match=r"--max-failures .*expected a number such as 50, or 5%"):
        make_options("d", "s", scheduler=None, max_failures=limit)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_what_is_in_hand_and_publishes_it(
    runner: Runner, dataset: Path, reference: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C or SIGTERM: exit 130, the shards in hand are committed and published; the next run does the rest."""
    store = tmp_path / "store"
    heard = Heard(on_shard=lambda: len(heard.reports) == 1 and signal.raise_signal(number))
    summary = runner.extract(dataset, store, heard, settings=make_settings(shards_per_thread=1))
    assert summary.exit_status == 130
    assert 1 <= len(heard.reports) == commits(store) <= 3
    assert (summary.extracted, summary.live) == (4 * commits(store), 4 * commits(store))
    assert any(line.startswith("stopping:") for line in heard.lines)
    assert not open_store(str(store)).complete
    assert_sound(store)
    again = runner.extract(dataset, store)
    assert (again.exit_status, again.extracted) == (0, CLIPS - summary.extracted)
    assert_same_files(store, reference)
    assert [record["outcome"] for record in records(store)] == ["interrupted", "done"]


def test_a_second_signal_stops_at_once_and_loses_nothing(
    runner: Runner, dataset: Path, reference: Path, tmp_path: Path
) -> None:
    """Ctrl-C twice: nothing more is waited for; what is committed stays, and the next run does the rest."""
    store = tmp_path / "store"

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        runner.extract(dataset, store, Heard(on_shard=twice), settings=make_settings(shards_per_thread=1))
    assert [record["outcome"] for record in records(store)] == ["interrupted"]
    runner.extract(dataset, store)
    assert_same_files(store, reference)


def test_a_signal_while_workers_are_waited_for_ends_the_run_at_once(dataset: Path, tmp_path: Path) -> None:
    """Nothing is in hand yet: one Ctrl-C is enough, and the lease is given back."""
    store = tmp_path / "store"

    def interrupt() -> None:
        wait_until(lambda: list((store / "lease").glob("epoch-*")), "the lease")
        wait_until(lambda: "Receive client" in (tmp_path / "dask/log.txt").read_text(), "the client")
        os.kill(os.getpid(), signal.SIGINT)

    with HandStarted(folder=tmp_path / "dask") as hand:
        hand.start_scheduler()
        finger = threading.Thread(target=interrupt)
        finger.start()
        with pytest.raises(KeyboardInterrupt):
            Runner(hand.address).extract(dataset, store, settings=make_settings(worker_deadline=200))
        finger.join()
    assert "released" in next((store / "lease").glob("beat-*")).read_text()
    assert files(store) == {}


def test_a_signal_after_the_work_is_done_is_no_interruption(runner: Runner, dataset: Path, tmp_path: Path) -> None:
    """When nothing is left to do, the run is done, whatever it was asked meanwhile."""
    heard = Heard(on_shard=lambda: len(heard.reports) == 10 and signal.raise_signal(signal.SIGINT))
    assert runner.extract(dataset, tmp_path / "store", heard).exit_status == 0


def test_killed_workers_change_no_byte(dataset: Path, reference: Path, tmp_path: Path) -> None:
    """SIGKILL of both workers in the middle; others come, and the store is the undisturbed one."""
    store = tmp_path / "store"
    with HandStarted(folder=tmp_path / "dask") as hand:
        hand.start_scheduler().start_workers(2).wait_for_workers(2)

        def strike() -> None:
            if len(heard.reports) == 3:
                hand.kill_workers()
                hand.start_workers(1)

        heard = Heard(on_shard=strike)
        assert Runner(hand.address).extract(dataset, store, heard).exit_status == 0
    assert_same_files(store, reference)


# What is refused


def test_other_parameters_than_the_stores_are_refused_by_name(runner: Runner, dataset: Path, reference: Path) -> None:
    """A store holds one configuration: every difference is named with both values, and nothing is touched."""
    before = files(reference, but=())
    asked = ("n_mfcc=12", "res_type=kaiser_fast", "hop_length=256")
    with pytest.raises(StoreError) as error:
        runner.extract(dataset, reference, assignments=asked)
    assert "n_mfcc is 8, but 12 was asked for" in str(error.value)
    assert "res_type is 'soxr_hq', but 'kaiser_fast' was asked for" in str(error.value)
    assert "hop_length" not in str(error.value)
    with pytest.raises(RequestError, match="has 4 clips per shard"):
        runner.extract(dataset, reference, clips_per_shard=8)
    assert files(reference, but=()) == before


def test_parameters_that_were_not_asked_for_are_the_stores(runner: Runner, dataset: Path, reference: Path) -> None:
    """The command that made the store may be repeated without its options."""
    assert runner.extract(dataset, reference, assignments=(), clips_per_shard=None).run_id is None


@pytest.mark.parametrize("size", [0, -1])
def test_a_shard_without_clips_is_refused(size: int) -> None:
    """Before a cluster is started for it."""
    with pytest.raises(ConfigError, match=rf"--clips-per-shard {size}: expected 1 or more"):
        make_options("d", "s", scheduler=None, clips_per_shard=size)


def test_a_shard_that_does_not_fit_memory_is_refused_before_the_first_write(
    runner: Runner, dataset: Path, tmp_path: Path
) -> None:
    """When max_seconds is given, the size of a shard is known without looking at any clip."""
    with pytest.raises(ConfigError, match="--clips-per-shard 1000000: expected 1 to"):
        runner.extract(dataset, tmp_path / "store", clips_per_shard=1_000_000)
    assert not (tmp_path / "store").exists()


def test_a_store_that_was_made_meanwhile_with_other_parameters_is_refused(
    runner: Runner, dataset: Path, tmp_path: Path
) -> None:
    """Between looking and getting the lease another run made the store; its configuration is not ours."""
    options = make_options(dataset, tmp_path / "store", scheduler=runner.scheduler)
    found = prepare(options)
    create_info(open_objects(options.store), new_info(replace(options.config, n_mfcc=4), 4))
    with pytest.raises(StoreError, match="n_mfcc is 4, but 8 was asked for"):
        hold_and_work(options, Heard(), found.catalog, found.objects, 0.0)


def test_a_store_that_was_filled_meanwhile_is_not_filled_again(
    runner: Runner, dataset: Path, reference: Path, tmp_path: Path
) -> None:
    """Between looking and getting the lease another run did all the work: no worker is even asked for."""
    options = make_options(dataset, tmp_path / "store", scheduler="tcp://127.0.0.1:1")
    found = prepare(options)
    runner.extract(dataset, tmp_path / "store")
    assert hold_and_work(options, Heard(), found.catalog, found.objects, 0.0).extracted == 0
    assert_same_files(tmp_path / "store", reference)


# Workers that do not fit


@pytest.fixture
def misfit(tmp_path: Path) -> Iterator[HandStarted]:
    """Start a scheduler without workers."""
    with HandStarted(folder=tmp_path / "dask") as hand:
        yield hand.start_scheduler()


def test_a_worker_with_other_versions_is_refused_before_the_first_write(
    misfit: HandStarted, dataset: Path, tmp_path: Path
) -> None:
    """Exit 2, naming worker and package; the store was not made."""
    misfit.start_workers(1, program=OTHER_SOXR).wait_for_workers(1)
    with pytest.raises(RequestError, match=r"worker tcp://127.0.0.1:\d+: has other versions: soxr 0.0.1 \(client:"):
        Runner(misfit.address).extract(dataset, tmp_path / "new/store")
    assert not (tmp_path / "new").exists()


def test_a_worker_that_does_not_fit_once_the_store_is_made_fails_the_job(
    misfit: HandStarted, dataset: Path, tmp_path: Path
) -> None:
    """Exit 1, because 2 promises that nothing was touched, and the store is made when workers are inspected again."""
    misfit.start_workers(1).wait_for_workers(1)

    def replace_worker(line: str) -> None:
        if "dashboard" in line:
            misfit.kill_workers()
            misfit.start_workers(1, program=OTHER_SOXR)

    with pytest.raises(JobError, match=r"worker \S+: has other versions: soxr 0.0.1"):
        Runner(misfit.address).extract(dataset, tmp_path / "store", Heard(on_line=replace_worker))
    assert (tmp_path / "store/us8k.json").exists()


def test_a_worker_with_other_versions_that_comes_later_computes_nothing(
    misfit: HandStarted, dataset: Path, reference: Path, runner: Runner, tmp_path: Path
) -> None:
    """It was not there when workers were inspected: it is inspected before its first task, and ends the run."""
    store = tmp_path / "store"
    misfit.start_workers(1).wait_for_workers(1)

    def replace_worker() -> None:
        if len(heard.reports) == 2:
            misfit.kill_workers()
            misfit.start_workers(1, program=OTHER_SOXR)

    heard = Heard(on_shard=replace_worker)
    with pytest.raises(JobError, match=r"a worker on \S+: has other versions: soxr 0.0.1"):
        Runner(misfit.address).extract(dataset, store, heard)
    runner.extract(dataset, store)
    assert_same_files(store, reference)


# Extras


def test_the_performance_report_is_written_and_kept(runner: Runner, dataset: Path, tmp_path: Path) -> None:
    """--performance-report: Dask's page, in the file that was named and beside the run's record."""
    pytest.importorskip("bokeh")
    report = tmp_path / "report.html"
    summary = runner.extract(dataset, tmp_path / "store", performance_report=str(report))
    assert "Dask Performance Report" in report.read_text()
    assert (tmp_path / f"store/runs/{summary.run_id}.html").read_bytes() == report.read_bytes()


def test_a_performance_report_that_cannot_be_written_is_refused_before_the_work(
    runner: Runner, dataset: Path, tmp_path: Path
) -> None:
    """Not after it."""
    pytest.importorskip("bokeh")
    with pytest.raises(RequestError, match=r"--performance-report .*No such file or directory"):
        runner.extract(dataset, tmp_path / "store", performance_report=str(tmp_path / "none/report.html"))
    assert files(tmp_path / "store") == {}


def test_rows_are_handed_out_by_fold_then_clip(runner: Runner, own: Path, tmp_path: Path) -> None:
    """Whatever the order of the metadata."""
    change_rows(own, lambda rows: rows[::-1])
    runner.extract(own, tmp_path / "store")
    wanted = sorted((int(row["fold"]), row["path"]) for row in read_rows(own))
    pooled = open_store(str(tmp_path / "store")).pooled
    assert list(zip(pooled["fold"], pooled["clip_id"], strict=True)) == wanted
    assert read_info(open_objects(str(tmp_path / "store"))).clips_per_shard == 4
