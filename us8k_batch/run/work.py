"""Carry out a plan on a cluster: preflight, measure, hash, hand out rows, extract shard by shard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa

from us8k_batch.cluster.window import Cluster
from us8k_batch.errors import JobError, RequestError, RunInterruptedError
from us8k_batch.extract import Job, ShardTask, Workshop, extract_shard, hash_clips, longest_clip
from us8k_batch.plan.plan import Plan
from us8k_batch.preflight import Check, inspect_worker
from us8k_batch.run.options import Options, Progress
from us8k_batch.run.record import Tally
from us8k_batch.store.commits import Outcome
from us8k_batch.store.layout import StoreInfo, split_by_shard

Result = TypeVar("Result")

CLIPS_PER_GLANCE = 256
"""Clips of one task that only hashes them or measures their headers."""


@dataclass(slots=True)
class Crew:
    """A cluster at work for one run."""

    cluster: Cluster
    options: Options
    run_id: str
    progress: Progress
    tally: Tally
    stop: Callable[[], bool]
    trouble: str = ""
    """Why a shard could not be read, of the last one that could not."""

    def preflight(self, check: Check) -> None:
        """Make sure that every worker has our versions and sees our dataset and store.

        Raises
        ------
        RequestError
            Naming the worker and what differs.
        """
        self.cluster.wait_for_workers()
        for address, problem in sorted(self.cluster.on_each_worker(inspect_worker, check).items()):
            if isinstance(problem, OSError):
                continue  # it died meanwhile; the one in its place is inspected before its first task
            if problem:
                raise RequestError(f"worker {address}: {problem}")

    def longest_clip(self, job: Job, clips: pa.Table) -> float:
        """Return the longest duration that a clip's header tells, in whole seconds, rounded up.

        Raises
        ------
        RequestError
            If no header can be read.
        """
        self.progress.tell(f"reading {len(clips)} headers for the longest clip")
        tasks = _glances(job, clips)
        longest = max((found for _, found in self._run("measure", longest_clip, tasks)), default=0.0)
        if self.stop():
            raise RunInterruptedError("interrupted while the headers were read; nothing was written")
        if not longest:
            raise RequestError(
                "no clip's header can be read, so the longest is not known; look with us8k check, "
                "or use --set max_seconds=4"
            )
        return float(math.ceil(longest))

    def hash(self, job: Job, plan: Plan) -> pa.Table:
        """Hash touched clips; return clip_id and source_sha256, empty where a clip cannot be read now."""
        self.progress.tell(f"hashing {len(plan.hash)} touched clips")
        tasks = _glances(job, plan.clips.take(pa.array(plan.hash)))
        pairs = [pair for _, found in self._run("hash", hash_clips, tasks) for pair in found]
        return pa.table(
            {
                "clip_id": pa.array([clip_id for clip_id, _ in pairs], pa.string()),
                "source_sha256": pa.array([digest for _, digest in pairs], pa.string()),
            }
        )

    def extract(self, job: Job, rows: Iterable[tuple[int, pa.Table]]) -> bool:
        """Extract shards; return whether any was found abandoned, so that its clips need a new plan.

        Raises
        ------
        JobError
            If the store cannot be written, nothing can be read, or too many clips fail.
        """
        tasks = (ShardTask(job, shard, _pairs(clips)) for shard, clips in rows)
        read_before = self.tally.read_bytes
        left: list[ShardTask] = []
        abandoned = self._extract(tasks, left)
        if left and not self.stop():
            if self.tally.read_bytes == read_before:
                raise JobError(
                    f"{len(left)} shards could not be read at all, and no other clip either "
                    f"({self.trouble}); is the dataset's storage up? Run the same command again once it is"
                )
            again = iter([replace(task, record_unreadable=True) for task in left])
            abandoned |= self._extract(again, [])
        return abandoned

    def _extract(self, tasks: Iterator[ShardTask], left: list[ShardTask]) -> bool:
        abandoned = False
        for task, report in self._run("shard", extract_shard, tasks):
            if report.outcome is None and not report.unreadable:
                raise JobError(f"{report.message}; what is committed stays: run the same command again")
            if report.unreadable:
                self.trouble = report.message
                left.append(task)
                continue
            abandoned |= report.outcome is Outcome.ABANDONED
            if report.outcome is Outcome.COMMITTED:
                self.tally.add(report)
                self.progress.advance(report)
            else:
                self.tally.abandoned += 1
            self._give_up_if_hopeless()
        return abandoned

    def _give_up_if_hopeless(self) -> None:
        done = self.tally.extracted + self.tally.failed
        if self.options.too_many_failures(self.tally.failed, done):
            worst = ", ".join(f"{n} {error}" for error, n in self.tally.failures.most_common(3))
            raise JobError(
                f"{self.tally.failed} of {done} clips failed ({worst}), more than --max-failures "
                f"{self.options.max_failures}; what is committed stays"
            )

    def _run(
        self, kind: str, function: Callable[[Workshop, ShardTask], Result], tasks: Iterator[ShardTask]
    ) -> Iterator[tuple[ShardTask, Result]]:
        return self.cluster.run(f"us8k-{self.run_id}-{kind}", function, tasks, stop=self.stop)


def planned_shards(info: StoreInfo, rows: pa.Table, paths: pa.Array) -> Iterator[tuple[int, pa.Table]]:
    """Split rows that were handed out into shards.

    Parameters
    ----------
    info : StoreInfo
        Shard size.
    rows : pa.Table
        row and clip_id, ascending.
    paths : pa.Array
        Each clip's path.

    Yields
    ------
    tuple of int and pa.Table
        Shard, and its clips' clip_id and path in the order of their rows.
    """
    table = rows.select(["row", "clip_id"]).append_column("path", paths)
    for shard, start, end in split_by_shard(rows["row"].to_numpy(), info.clips_per_shard):
        yield shard, table.slice(start, end - start)


def _glances(job: Job, clips: pa.Table) -> Iterator[ShardTask]:
    for number, start in enumerate(range(0, len(clips), CLIPS_PER_GLANCE)):
        yield ShardTask(job, number, _pairs(clips.slice(start, CLIPS_PER_GLANCE)))


def _pairs(clips: pa.Table) -> tuple[tuple[str, str], ...]:
    return tuple(zip(clips["clip_id"].to_pylist(), clips["path"].to_pylist(), strict=True))
