"""The body of a shard's task, without a cluster: every clip ends as a result or a failure, or the shard is left."""

from __future__ import annotations

import hashlib
import os
import resource
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_files import make_audio, write_audio
from failpoints import Bench
from shard_tasks import CONFIG, LIMIT, make_job, task
from stores import files

from us8k_batch.audio.opening import ClipFile
from us8k_batch.errors import Failure
from us8k_batch.features.engine import Features, make_engine
from us8k_batch.objects import open_objects
from us8k_batch.shard_task import Job, ShardReport, extract_shard
from us8k_batch.store.commits import Outcome, abandon_shard, digest_frames, read_commit, read_outcome
from us8k_batch.store.layout import shard_key
from us8k_batch.store.shards import decode_shard
from us8k_batch.workshop import Workshop


def committed(job: Job, shard: int = 0) -> list[dict[str, Any]]:
    """Return the rows of a commit."""
    rows: list[dict[str, Any]] = read_commit(open_objects(job.store), job.info, shard)[1].to_pylist()
    return rows


def test_every_kind_of_clip_becomes_a_row_and_costs_only_itself(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """In one shard: good clips before, between and after every kind of bad one; all rows, in their order."""
    data = tmp_path / "data"
    write_audio(data / "first.wav", seed=1)
    (data / "folder").mkdir()
    os.mkfifo(data / "pipe")
    write_audio(tmp_path / "elsewhere.wav")
    (data / "leaves.wav").symlink_to(tmp_path / "elsewhere.wav")
    (data / "loop.wav").symlink_to(data / "loop.wav")
    write_audio(data / "between.flac", format="FLAC", seed=2)
    (data / "large.wav").write_bytes(b"\0" * (LIMIT + 1))
    (data / "noise.wav").write_bytes(b"no sound at all")
    (data / "nothing.wav").write_bytes(b"")
    write_audio(data / "empty.wav", n_samples=0)
    write_audio(data / "nan.wav", np.full(800, np.nan, np.float32), subtype="FLOAT")
    write_audio(data / "long.wav", seconds=1.5)
    write_audio(data / "last.wav", seed=3)
    expected = {
        "first.wav": None,
        "missing.wav": ("read", "missing"),
        "folder": ("read", "not_a_file"),
        "pipe": ("read", "not_a_file"),
        "leaves.wav": ("read", "outside_root"),
        "loop.wav": ("read", "not_a_file"),
        "between.flac": None,
        "large.wav": ("read", "too_large"),
        "noise.wav": ("decode", "not_decodable"),
        "nothing.wav": ("extract", "empty"),
        "empty.wav": ("extract", "empty"),
        "nan.wav": ("extract", "not_finite"),
        "long.wav": ("extract", "too_long"),
        "last.wav": None,
    }
    report = extract_shard(workshop, task(job, *expected))
    assert report.outcome is Outcome.COMMITTED
    assert (report.n_extracted, report.n_failed) == (3, len(expected) - 3)
    assert report.failures.total() == report.n_failed
    rows = committed(job)
    assert [row["row"] for row in rows] == list(range(len(expected)))
    assert {row["clip_id"]: row["error"] and (row["stage"], row["error"]) for row in rows} == expected
    for row in rows:
        # What could be read has the digest of what was read, whether or not it could be decoded.
        source = data / row["clip_id"]
        digest = None if row["stage"] == "read" else hashlib.sha256(source.read_bytes()).hexdigest()
        assert row["source_sha256"] == digest
        assert row["detail"] is None or str(tmp_path) not in row["detail"]


def test_what_is_committed_is_what_the_engine_makes(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """Frames, pooled vector, duration, digests and Zarr object agree with the engine called here."""
    data = {name: make_audio(seed=seed, seconds=0.3 + seed / 10) for seed, name in enumerate("abc")}
    for name, content in data.items():
        (tmp_path / "data" / name).write_bytes(content)
    report = extract_shard(workshop, task(job, *data, shard=2))
    engine = make_engine(CONFIG, "auto")
    zarr = decode_shard(job.info, open_objects(job.store).get(shard_key(2)), 3, shard_key(2))
    for i, row in enumerate(committed(job, 2)):
        here = engine(data[row["clip_id"]])
        assert row["row"] == 2 * 16 + i
        assert (row["n_frames"], row["duration"]) == (here.n_frames, here.duration)
        assert row["digest"] == digest_frames(here.mfcc)
        assert row["pooled"] == here.pooled.tolist()
        np.testing.assert_array_equal(zarr[i, :, : here.n_frames], here.mfcc)
        assert np.isnan(zarr[i, :, here.n_frames :]).all()
    assert report.audio_seconds == pytest.approx(0.3 + 0.4 + 0.5)
    assert report.read_bytes == sum(map(len, data.values()))


def test_the_same_shard_twice_is_the_same_and_once(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """A second execution, whose worker may have died before it could answer, computes nothing and says the same."""
    write_audio(tmp_path / "data/a.wav")
    (tmp_path / "data/b.wav").write_bytes(b"no sound at all")
    first = extract_shard(workshop, task(job, "a.wav", "b.wav", "gone.wav"))
    assert first.outcome is Outcome.COMMITTED
    before = files(job.store)
    (tmp_path / "data/a.wav").unlink()
    second = extract_shard(workshop, task(job, "a.wav", "b.wav", "gone.wav"))
    spent = {"seconds": first.seconds, "read_bytes": first.read_bytes, "starts": first.starts}
    assert replace(second, **spent) == first
    assert second.read_bytes == 0
    assert files(job.store) == before


def test_a_shard_that_was_given_up_stays_given_up(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """Commit and abandonment exclude each other: whoever comes second is told."""
    write_audio(tmp_path / "data/a.wav")
    abandon_shard(open_objects(job.store), job.info, 0, "for a test")
    assert extract_shard(workshop, task(job, "a.wav")).outcome is Outcome.ABANDONED
    assert committed(job) == []


def test_a_clip_that_changed_since_an_unfinished_attempt_gives_the_shard_up(
    workshop: Workshop, job: Job, tmp_path: Path
) -> None:
    """The Zarr object of the first attempt is there with other bytes: it is not overwritten, and never believed."""
    write_audio(tmp_path / "data/a.wav", seed=1)
    extract_shard(workshop, task(job, "a.wav"))
    objects = open_objects(job.store)
    objects.delete("commits/00000000.parquet")
    before = objects.get(shard_key(0))
    write_audio(tmp_path / "data/a.wav", seed=2)
    assert extract_shard(workshop, task(job, "a.wav")).outcome is Outcome.ABANDONED
    assert objects.get(shard_key(0)) == before


@pytest.mark.parametrize("names", [("gone.wav", "lost.wav"), ("mem",), ("mem", "gone.wav")])
def test_a_shard_of_which_nothing_can_be_read_is_left(
    workshop: Workshop, job: Job, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """Missing or not answering, all of them: the storage may be at fault, so that nothing is committed."""
    job = make_job(tmp_path, "/proc/self")  # where reading ``mem`` from its start is an I/O error
    report = extract_shard(workshop, task(job, *names))
    assert (report.outcome, report.unreadable) == (None, True)
    assert names[0] in report.message
    assert [key for key in files(job.store) if key != "us8k.json"] == []


def test_when_others_of_the_dataset_can_be_read_it_is_recorded(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """Told that the storage answers for others, the task records what it found."""
    job = make_job(tmp_path, "/proc/self")
    report = extract_shard(workshop, task(job, "mem", "gone.wav", record_unreadable=True))
    assert report.outcome is Outcome.COMMITTED
    assert [(row["stage"], row["error"]) for row in committed(job)] == [
        ("storage", "unreadable"),
        ("read", "missing"),
    ]


def test_a_clip_whose_storage_does_not_answer_is_recorded_among_readable_neighbours(
    workshop: Workshop, job: Job, tmp_path: Path
) -> None:
    """One I/O error beside clips that can be read is that clip's, with stage storage."""
    job = make_job(tmp_path, "/proc/self")
    report = extract_shard(workshop, task(job, "mem", "status"))
    assert report.outcome is Outcome.COMMITTED
    assert [row["stage"] for row in committed(job)] == ["storage", "decode"]


@pytest.mark.parametrize("kind", ["folder", "large.wav"])
def test_a_clip_that_is_certainly_none_needs_no_neighbours(
    workshop: Workshop, job: Job, tmp_path: Path, kind: str
) -> None:
    """A folder or a source that is too large is an answer: alone in its shard it is recorded, not left for ever."""
    (tmp_path / "data/folder").mkdir()
    (tmp_path / "data/large.wav").write_bytes(b"\0" * (LIMIT + 1))
    assert extract_shard(workshop, task(job, kind)).outcome is Outcome.COMMITTED


def test_a_full_disk_is_reported_and_leaves_nothing_half_done(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """A store that cannot be written is no clip's fault: the report names store and shard, and a retry succeeds."""
    write_audio(tmp_path / "data/a.wav")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        report = extract_shard(workshop, task(job, "a.wav"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (report.outcome, report.unreadable) == (None, False)
    assert report.message.startswith(f"{job.store}: shard 0 cannot be written (")
    assert [path for path in Path(job.store).rglob("*") if path.is_file()] == [Path(job.store) / "us8k.json"]
    assert extract_shard(workshop, task(job, "a.wav")).outcome is Outcome.COMMITTED


def test_a_shard_is_written_beside_the_next_one_and_no_more_than_one(job: Job, tmp_path: Path) -> None:
    """The next shard is computed meanwhile; it steps aside when the one before is committed, not earlier."""
    for i in range(2):
        write_audio(tmp_path / f"data/{i}.wav", seed=i)
    bench, objects = Bench(), open_objects(job.store)
    computed, stepped, committed_first = threading.Event(), threading.Event(), []

    def compute(clips: Iterable[ClipFile], extract_many: Any = bench.extract_many) -> Iterator[Features | Failure]:
        yield from extract_many(clips)
        if bench.decoded == 2:
            computed.set()

    def next_shard() -> None:
        extract_shard(bench, task(job, "1.wav", shard=1))

    second = threading.Thread(target=next_shard)

    def step_aside() -> None:
        if threading.current_thread() is second:
            committed_first.append(read_outcome(objects, 0))
            stepped.set()
            return
        second.start()
        assert computed.wait(30)
        assert not stepped.wait(0.2)

    bench.extract_many, bench.step_aside = compute, step_aside  # type: ignore[method-assign]
    assert extract_shard(bench, task(job, "0.wav")).outcome is Outcome.COMMITTED
    second.join(30)
    assert committed_first == [Outcome.COMMITTED]
    assert read_outcome(objects, 1) is Outcome.COMMITTED


def test_a_report_is_small(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """Counts and times travel through the scheduler, never arrays."""
    write_audio(tmp_path / "data/a.wav")
    report = extract_shard(workshop, task(job, "a.wav"))
    values = [getattr(report, name) for name in ShardReport.__slots__]
    assert not any(isinstance(value, np.ndarray | bytes) for value in values)
