"""The body of one task: read, hash, decode and commit one shard; knows nothing of the cluster it runs on."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pyarrow.compute as pc

from us8k_batch.audio.opening import ClipFile, extension_of
from us8k_batch.catalog.source import open_source
from us8k_batch.catalog.unreadable import MissingClipError, PermissionDeniedError
from us8k_batch.errors import ClipError, DamageError, Failure, ObjectNotFoundError, StorageError
from us8k_batch.features.decoder import Decoder
from us8k_batch.features.engine import Features
from us8k_batch.features.fast.sha256 import LARGE, Hasher
from us8k_batch.features.line import AHEAD
from us8k_batch.features.process import ChildStart
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store.commits import ClipResult, Encoded, Outcome, create_commit, encode_results, read_commit
from us8k_batch.store.layout import StoreInfo
from us8k_batch.timing import timed
from us8k_batch.workshop import Needs, Workshop

UNANSWERED = 3
"""Clips of a shard whose storage did not answer, before any did, after which the shard is left for later."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all shards of a run have in common."""

    root: str
    """What clip paths are relative to."""
    store: str
    """The store's path or URL."""
    info: StoreInfo
    """The store's description."""
    needs: Needs
    """What a decoder is made for."""
    source_bytes: int
    """Largest source that is read into memory, in bytes."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard's work."""

    job: Job
    shard: int
    clips: tuple[tuple[str, str], ...]
    """clip_id and path, in the order of their rows, from the shard's first row on."""
    record_unreadable: bool = False
    """Commit although nothing of the shard can be read, because others of the dataset can be."""


@dataclass(slots=True)
class ShardReport:
    """What became of a shard: counts and times, never arrays."""

    shard: int
    outcome: Outcome | None = None
    """None if the shard was left uncommitted."""
    message: str = ""
    """Why it was left uncommitted."""
    unreadable: bool = False
    """Whether it was left because nothing of it could be read."""
    n_extracted: int = 0
    n_failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Failed clips by error."""
    audio_seconds: float = 0.0
    read_bytes: int = 0
    starts: list[ChildStart] = field(default_factory=list)
    """Decoder children that were started for it, or before it."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time by stage, in seconds; ``decode`` and ``compute`` are the child's, the others the worker's own, of which
    ``write`` and ``commit`` pass beside the next shard's."""


def extract_shard(workshop: Workshop, task: ShardTask) -> ShardReport:
    """Compute every clip of a shard and commit them together, unless that was done before.

    Parameters
    ----------
    workshop : Workshop
        This worker's.
    task : ShardTask
        The shard.

    Returns
    -------
    ShardReport
        A clip without a result is a failure in the commit. If no clip can be read, or the store
        cannot be written, nothing is committed and the report says why.
    """
    job, objects = task.job, open_objects(task.job.store)
    done_before = _committed_before(objects, task)
    if done_before is not None:
        return done_before
    report = ShardReport(task.shard)
    with workshop.bench(job.needs) as bench:
        with timed(report.seconds, "start"):
            bench.decoder.start()
            hasher = workshop.hasher()
        encoded = _compute(task, report, bench.decoder, hasher)
        if encoded is None:
            return report
        with timed(report.seconds, "hold"):
            bench.behind.acquire()
    try:
        # The next shard is read and computed while this one is written: to a disk that syncs, or a bucket far away.
        workshop.step_aside()
        report.outcome = create_commit(objects, job.info, task.shard, encoded, report.seconds)
    except (StorageError, OSError) as error:
        report.message = f"{job.store}: shard {task.shard} cannot be written ({error})"
    finally:
        bench.behind.release()
    return report


def _compute(task: ShardTask, report: ShardReport, decoder: Decoder, hasher: Hasher) -> Encoded | None:
    """Read, hash, decode and encode a shard's clips; None if the shard is to be left, and the report says why."""
    reading = _Reading(task, report, decoder, hasher)
    results: list[ClipResult] = []
    extracted = decoder.extract_many(reading.sources())
    start = time.perf_counter()
    for outcome in extracted:
        results.extend(reading.unreadable_before())
        results.append(reading.result(outcome))
    results.extend(reading.unreadable_before())
    waited = time.perf_counter() - start
    report.starts = decoder.take_starts()
    report.seconds["wait"] = max(0.0, waited - report.seconds["read"] - report.seconds["sha256"])
    if not (reading.answered or task.record_unreadable):
        report.unreadable = True
        report.message = reading.trouble
        return None
    for result in results:
        _count(report, result)
    with timed(report.seconds, "encode"):
        return encode_results(task.job.info, task.shard, results, hasher.digests)


def _committed_before(objects: Objects, task: ShardTask) -> ShardReport | None:
    """Report a shard that is settled already: a worker may have died, or been cut off, before it could say so."""
    try:
        metadata, rows, _ = read_commit(objects, task.job.info, task.shard)
    except (ObjectNotFoundError, StorageError, DamageError):
        return None
    abandoned = metadata.get("state") == "abandoned"
    report = ShardReport(task.shard, Outcome.ABANDONED if abandoned else Outcome.COMMITTED)
    report.failures.update(error for error in rows["error"].to_pylist() if error is not None)
    report.n_failed = report.failures.total()
    report.n_extracted = len(rows) - report.n_failed
    report.audio_seconds = pc.sum(rows["duration"]).as_py() or 0.0
    return report


class _Reading:
    """Reads a shard's clips in order, while earlier ones are being decoded."""

    def __init__(self, task: ShardTask, report: ShardReport, decoder: Decoder, hasher: Hasher) -> None:
        self._source = open_source(task.job.root)
        self._decoder = decoder
        self._hasher = hasher
        self._task = task
        self._report = report
        self._read: deque[ClipResult] = deque()
        self.answered = False
        """Whether the storage gave any clip's bytes, or said for certain that they are no clip's."""
        self.trouble = ""
        report.seconds.update(read=0.0, sha256=0.0)

    def sources(self) -> Iterator[ClipFile]:
        """Yield the clips that can be read; note the others."""
        first = self._task.shard * self._task.job.info.clips_per_shard
        unanswered = 0
        noted: list[tuple[int, str, Failure | None]] = []
        sources: list[ClipFile] = []
        for i, (clip_id, path) in enumerate(self._task.clips):
            found = self._look(path, len(sources))
            if isinstance(found, memoryview):
                noted.append((first + i, clip_id, None))
                sources.append(ClipFile(found, extension_of(path)))
                if len(sources) == AHEAD or len(found) >= LARGE:
                    yield from self._hash(noted, sources)
                    noted, sources = [], []
                continue
            noted.append((first + i, clip_id, found))
            self.trouble = self.trouble or found.detail
            unanswered += found.stage == "storage"
            # Every attempt waits for a storage that may be down; the run will ask again for the whole shard.
            if not (self.answered or self._task.record_unreadable) and unanswered == UNANSWERED:
                break
        yield from self._hash(noted, sources)

    def _look(self, path: str, ahead: int) -> memoryview | Failure:
        """Read one clip."""
        limit = self._task.job.source_bytes
        try:
            with timed(self._report.seconds, "read"):
                data = self._source.read_into(path, limit, partial(self._decoder.room, ahead=ahead))
        except ClipError as error:
            # A lost mount or an expired login looks as if every clip were missing or forbidden.
            self.answered |= not isinstance(error, MissingClipError | PermissionDeniedError)
            return Failure(error.stage, error.error, str(error))
        except StorageError as error:
            return Failure("storage", "unreadable", str(error))
        self.answered = True
        self._report.read_bytes += len(data)
        return data

    def _hash(self, noted: list[tuple[int, str, Failure | None]], sources: list[ClipFile]) -> Iterator[ClipFile]:
        """Hash clips and yield them; all that were noted are known from then on."""
        with timed(self._report.seconds, "sha256"):
            digests = iter(self._hasher.digests([clip.data for clip in sources]))
        for row, clip_id, failure in noted:
            self._read.append(ClipResult(row, clip_id, None if failure else next(digests), failure=failure))
        yield from sources

    def unreadable_before(self) -> Iterator[ClipResult]:
        """Take the noted clips without bytes that come before the next clip with bytes."""
        while self._read and self._read[0].failure is not None:
            yield self._read.popleft()

    def result(self, outcome: Features | Failure) -> ClipResult:
        """Join what was decoded with the clip whose bytes were sent."""
        clip = self._read.popleft()
        if isinstance(outcome, Failure):
            return ClipResult(clip.row, clip.clip_id, clip.source_sha256, failure=outcome)
        for stage, spent in outcome.seconds.items():
            self._report.seconds[stage] = self._report.seconds.get(stage, 0.0) + spent
        return ClipResult(clip.row, clip.clip_id, clip.source_sha256, outcome.mfcc, outcome.pooled, outcome.duration)


def _count(report: ShardReport, result: ClipResult) -> None:
    if result.failure is not None:
        report.n_failed += 1
        report.failures[result.failure.error] += 1
    else:
        report.n_extracted += 1
        report.audio_seconds += result.duration or 0.0
