"""Carry out a plan on a cluster: preflight, measure, hash, hand out rows, extract shard by shard."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from us8k_batch.cluster.window import Cluster
from us8k_batch.errands import Measured, any_readable, count_clips, hash_clips, measure_clips
from us8k_batch.errors import JobError, RequestError
from us8k_batch.planning.plan import Plan
from us8k_batch.preflight import Check, inspect_worker
from us8k_batch.run.options import Options, Progress
from us8k_batch.run.record import Tally
from us8k_batch.shard_task import Job, ShardTask, extract_shard
from us8k_batch.store.commits import Outcome
from us8k_batch.store.layout import StoreInfo, split_by_shard
from us8k_batch.workshop import Workshop

Result = TypeVar("Result")

CLIPS_TRIED = 4
"""Clips that are tried to find out whether the storage or the clips are at fault."""
CLIPS_PER_GLANCE = (64, 1024)
"""Least and most clips of a task that only hashes them or measures their headers; else there are two a thread."""


@dataclass(frozen=True, slots=True)
class _Errand(Generic[Result]):
    """A task, and what makes a worker fit for it."""

    check: Check
    function: Callable[[Workshop, ShardTask], Result]
    task: ShardTask


def _inspect(workshop: Workshop, check: Check) -> str:
    problem = inspect_worker(check)
    if not problem:
        workshop.fit_for.append(check)
    return problem


def _run_errand(workshop: Workshop, errand: _Errand[Result]) -> Result:
    # A worker that joined in mid-run was not there when the others were inspected.
    problem = "" if errand.check in workshop.fit_for else _inspect(workshop, errand.check)
    if problem:
        raise JobError(f"a worker on {socket.gethostname()}: {problem}")
    return errand.function(workshop, errand.task)


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
    any_read: bool = False
    """Whether any clip of any shard could be read."""
    check: Check | None = None
    """What makes a worker fit."""

    def preflight(self, check: Check) -> None:
        """Make sure that every worker has our versions and sees our dataset and store.

        Raises
        ------
        RequestError
            Naming the worker and what differs.
        JobError
            Naming a worker that does not answer.
        """
        self.check = check
        self.cluster.wait_for_workers()
        for address, problem in sorted(self.cluster.on_each_worker(_inspect, check).items()):
            if isinstance(problem, JobError):
                raise JobError(f"worker {address} {problem}") from problem
            if isinstance(problem, OSError):
                continue  # it died meanwhile; the one in its place is inspected before its first task
            if problem:
                raise RequestError(f"worker {address}: {problem}")

    def measure(self, job: Job, clips: pa.Table) -> Measured:
        """Measure clips by their headers, in the order of the table."""
        parts = {task.shard: found for task, found in self._run("measure", measure_clips, self._glances(job, clips))}
        ordered = [parts[number] for number in sorted(parts)]
        return Measured(
            np.concatenate([part.seconds for part in ordered] or [np.empty(0)]),
            np.concatenate([part.sure for part in ordered] or [np.empty(0, np.bool_)]),
        )

    def count(self, job: Job, clips: pa.Table) -> NDArray[np.float64]:
        """Decode clips to find out how long they are, in seconds; see `count_clips`."""
        parts = {task.shard: found for task, found in self._run("count", count_clips, self._glances(job, clips))}
        return np.concatenate([parts[number] for number in sorted(parts)] or [np.empty(0)])

    def hash(self, job: Job, plan: Plan) -> pa.Table:
        """Hash touched clips; return clip_id and source_sha256, empty where a clip cannot be read now."""
        self.progress.tell(f"hashing {len(plan.hash)} touched clips")
        tasks = self._glances(job, plan.clips.take(pa.array(plan.hash)))
        pairs = [pair for _, found in self._run("hash", hash_clips, tasks) for pair in found]
        return pa.table(
            {
                "clip_id": pa.array([clip_id for clip_id, _ in pairs], pa.string()),
                "source_sha256": pa.array([digest for _, digest in pairs], pa.string()),
            }
        )

    def extract(self, job: Job, rows: Iterable[tuple[int, pa.Table]], clips: pa.Table) -> bool:
        """Extract shards; return whether any was found abandoned, so that its clips need a new plan.

        Parameters
        ----------
        job : Job
            What they have in common.
        rows : iterable of int and pa.Table
            Shards, and their clips' clip_id and path.
        clips : pa.Table
            The catalog.

        Raises
        ------
        JobError
            If the store cannot be written, nothing can be read, or too many clips fail.
        """
        tasks = (ShardTask(job, shard, _pairs(part)) for shard, part in rows)
        left: list[ShardTask] = []
        abandoned = self._extract(tasks, left)
        if left and not self.stop():
            if not (self.any_read or self._others_can_be_read(job, left, clips) or self.stop()):
                raise JobError(
                    f"{len(left)} shards could not be read at all, and no other clip either "
                    f"({self.trouble}); is the dataset's storage up? Run the same command again once it is"
                )
            again = iter([replace(task, record_unreadable=True) for task in left])
            abandoned |= self._extract(again, [])
        return abandoned

    def _others_can_be_read(self, job: Job, left: list[ShardTask], clips: pa.Table) -> bool:
        """Try a few clips that are not in these shards."""
        places = np.unique(np.linspace(0, len(clips) - 1, num=64, dtype=np.int64))
        some = clips.select(["clip_id", "path", "error"]).take(pa.array(places))
        known = {clip_id for task in left for clip_id, _ in task.clips}
        others = [pair for pair in _pairs(some.filter(pc.is_null(some["error"]))) if pair[0] not in known]
        task = ShardTask(job, 0, tuple(others[:CLIPS_TRIED]))
        return any(found for _, found in self._run("try", any_readable, iter([task])))

    def _extract(self, tasks: Iterator[ShardTask], left: list[ShardTask]) -> bool:
        abandoned = False
        for task, report in self._run("shard", extract_shard, tasks):
            self.tally.starts.extend(report.starts)
            if report.outcome is None and not report.unreadable:
                raise JobError(f"{report.message}; what is committed stays: run the same command again")
            if report.unreadable:
                self.trouble = report.message
                left.append(task)
                continue
            self.any_read = True
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

    def _glances(self, job: Job, clips: pa.Table) -> Iterator[ShardTask]:
        least, most = CLIPS_PER_GLANCE
        threads = max(1, sum(self.cluster.workers().values()))
        n_clips = min(most, max(least, -(-len(clips) // (2 * threads))))
        for number, start in enumerate(range(0, len(clips), n_clips)):
            yield ShardTask(job, number, _pairs(clips.slice(start, n_clips)))

    def _run(
        self, kind: str, function: Callable[[Workshop, ShardTask], Result], tasks: Iterator[ShardTask]
    ) -> Iterator[tuple[ShardTask, Result]]:
        if self.check is None:
            raise JobError("the workers were not inspected yet")
        check = self.check
        errands = (_Errand(check, function, task) for task in tasks)
        for errand, result in self.cluster.run(f"us8k-{self.run_id}-{kind}", _run_errand, errands, stop=self.stop):
            yield errand.task, result


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


def _pairs(clips: pa.Table) -> tuple[tuple[str, str], ...]:
    return tuple(zip(clips["clip_id"].to_pylist(), clips["path"].to_pylist(), strict=True))
