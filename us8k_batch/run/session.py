"""One run that holds the lease: extract what the plan says, publish, leave a record."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.cluster.connect import connect
from us8k_batch.errors import JobError, StorageError, Us8kError
from us8k_batch.extract import Job, Workshop
from us8k_batch.plan.snapshot import make_publication
from us8k_batch.preflight import Check
from us8k_batch.run.interrupt import asked_to_stop
from us8k_batch.run.options import Options, Progress, Summary
from us8k_batch.run.prepare import Prepared, guard_removal, look_again, summarise, versions
from us8k_batch.run.record import Tally, new_run_id, without_secrets, write_record
from us8k_batch.run.work import Crew, planned_shards
from us8k_batch.store.commits import abandon_shard
from us8k_batch.store.layout import StoreInfo, create_info, new_info
from us8k_batch.store.lease import hold, this_process
from us8k_batch.store.plans import create_plan
from us8k_batch.store.probe import probe
from us8k_batch.store.publish import publish
from us8k_batch.store.state import load_state
from us8k_batch.timing import timed

ROUNDS = 8
"""Times that a run looks again, because another run created a plan, or a shard was abandoned."""


def hold_and_work(options: Options, progress: Progress, found: Prepared, started: float) -> Summary:
    """Make sure that the store keeps its promise, take the lease, and carry the run out.

    Raises
    ------
    RequestError, JobError
        As `us8k_batch.run.extract.extract` does.
    """
    probe(found.objects)
    run_id = new_run_id()
    with (
        hold(found.objects, this_process(run_id), force=options.force, tell=progress.tell),
        asked_to_stop(progress.tell) as stop,
    ):
        return _Run(options, progress, run_id, stop, started, datetime.now(UTC)).carry_out(found)


@dataclass(slots=True)
class _Run:
    """One run that holds the lease."""

    options: Options
    progress: Progress
    run_id: str
    stop: Callable[[], bool]
    started: float
    began: datetime
    workers: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    """Time by phase of the run, in seconds."""
    hashed: pa.Table | None = None

    def carry_out(self, found: Prepared) -> Summary:
        """Extract what the plan says, publish, and leave a record, whatever happens."""
        tally = Tally()
        # Another run may have worked on the store until this one got the lease.
        found = look_again(self.options, found.catalog, found.objects, found.info)
        guard_removal(self.options, found.plan)
        counts = found.plan.counts()
        outcome = "failed"
        try:
            try:
                if found.info is None or len(found.plan.hash) or found.plan.n_extract:
                    found = self._extract(found, tally)
            except JobError:
                # What is committed is worth publishing, and the table says that it is not complete.
                with contextlib.suppress(Us8kError, OSError):
                    self._publish(found)
                raise
            with timed(self.phases, "publish"):
                found = self._publish(found)
            outcome = "interrupted" if self.stop() else "done"
        except OSError as error:
            raise JobError(
                f"{found.objects.url}: {error.strerror or error}; what is committed stays: mend the storage, "
                "then run the same command again"
            ) from error
        finally:
            self.progress.finish()
            self._record(found, counts, tally, outcome)
        summary = summarise(found, counts, self.started)
        seconds = time.monotonic() - self.started
        return replace(
            summary,
            run_id=self.run_id,
            extracted=tally.extracted,
            failed=tally.failed,
            audio_seconds=round(tally.audio_seconds, 3),
            clips_per_second=round((tally.extracted + tally.failed) / seconds, 2),
            workers=self.workers,
            interrupted=self.stop() and not found.plan.nothing_to_do,
        )

    def _extract(self, found: Prepared, tally: Tally) -> Prepared:
        with contextlib.ExitStack() as stack:
            with timed(self.phases, "connect"):
                cluster = stack.enter_context(connect(self.options.where, self.options.settings, Workshop))
                cluster.wait_for_workers()
            crew = Crew(cluster, self.options, self.run_id, self.progress, tally, self.stop)
            crew.preflight(self._check(found))
            self.workers = len(cluster.workers())
            self.progress.tell(f"{self.workers} workers; dashboard {cluster.dashboard_link}")
            with cluster.performance_report(self.options.performance_report):
                found = self._work(found, crew)
            if self.options.performance_report:
                self._keep_report(found, self.options.performance_report)
        return found

    def _work(self, found: Prepared, crew: Crew) -> Prepared:
        job = self._job(found, found.info or new_info(self.options.config.with_max_seconds(1.0)))
        if found.info is None:
            with timed(self.phases, "measure"):
                found = self._create(found, crew, job)
            job = self._job(found, _known(found.info))
            crew.preflight(self._check(found))
        if len(found.plan.hash):
            with timed(self.phases, "hash"):
                self.hashed = crew.hash(job, found.plan)
            found = self._look(found, again=True)
        self.progress.start(found.plan.n_extract)
        for turn in range(ROUNDS):
            if self.stop():
                return found
            handed_out = self._hand_out(found)
            if handed_out is not None:
                with timed(self.phases, "extract"):
                    abandoned = crew.extract(job, handed_out)
                if not abandoned:
                    return found
            found = self._look(found, again=turn == 0 and handed_out is None)
        raise JobError(f"{found.objects.url}: other runs keep changing it; run the same command again alone")

    def _create(self, found: Prepared, crew: Crew, job: Job) -> Prepared:
        """Create the store's description, with room for the longest clip."""
        config = self.options.config
        if config.max_seconds is None:
            readable = found.catalog.clips.filter(pc.is_null(found.catalog.clips["error"]))
            config = config.with_max_seconds(crew.longest_clip(job, readable))
        info = create_info(found.objects, new_info(config, self.options.clips_per_shard))
        return replace(found, info=info)

    def _hand_out(self, found: Prepared) -> Iterator[tuple[int, pa.Table]] | None:
        """Give up what cannot be finished, then hand out rows; None if another run was faster."""
        info, plan, state = _known(found.info), found.plan, found.state
        for shard, reason in plan.abandon.items():
            abandon_shard(found.objects, info, shard, reason)
        parts = [plan.resume.select(["row", "clip_id"])]
        places = [plan.resume["place"].combine_chunks()]
        if len(plan.compute):
            wanted = pa.array(plan.compute)
            previous = state.plans[-1] if state and state.plans else None
            clips = found.catalog.clips.take(wanted)
            used = versions(self.options, info.config)
            created = create_plan(found.objects, info, previous, clips, used)
            if created is None:
                return None
            parts.append(created[1].select(["row", "clip_id"]))
            places.append(wanted)
        paths = found.catalog.clips["path"].take(pa.chunked_array(places))
        return planned_shards(info, pa.concat_tables(parts).combine_chunks(), paths)

    def _publish(self, found: Prepared) -> Prepared:
        info = found.info
        # A touched clip that was not hashed yet would look as if its result were gone.
        if info is None or len(found.plan.hash):
            return found
        for _ in range(ROUNDS):
            state = load_state(found.objects, info)
            made = make_publication(found.catalog.clips, state.index, self.hashed)
            if publish(found.objects, info, state, made.table, made.pending, made.metadata_columns):
                return self._look(found, again=False)
        raise JobError(f"{found.objects.url}: other runs keep publishing; run the same command again alone")

    def _look(self, found: Prepared, *, again: bool) -> Prepared:
        return look_again(self.options, found.catalog, found.objects, found.info, self.hashed, again=again)

    def _job(self, found: Prepared, info: StoreInfo) -> Job:
        settings = self.options.settings
        return Job(
            root=found.catalog.root,
            store=found.objects.url,
            info=info,
            engine=self.options.engine,
            clip_memory=settings.clip_memory,
            clip_seconds=settings.clip_seconds,
            source_bytes=settings.source_bytes,
        )

    def _check(self, found: Prepared) -> Check:
        clips = found.catalog.clips
        readable = clips.filter(pc.is_null(clips["error"]))["path"].slice(0, 3).to_pylist()
        config = found.info.config if found.info else self.options.config
        described = hashlib.sha256(found.info.to_bytes()).hexdigest() if found.info else None
        return Check(
            versions=versions(self.options, config),
            config=config,
            engine=self.options.engine,
            root=found.catalog.root,
            samples=tuple(readable),
            store=found.objects.url,
            info_sha256=described,
        )

    def _keep_report(self, found: Prepared, file: str) -> None:
        with open(file, "rb") as written:  # noqa: PTH123  # one read of a file that Dask has just written
            found.objects.create(f"runs/{self.run_id}.html", written.read())

    def _record(self, found: Prepared, counts: dict[str, int], tally: Tally, outcome: str) -> None:
        values = {
            "outcome": outcome,
            "dataset": without_secrets(self.options.dataset),
            "engine": self.options.engine,
            "versions": versions(self.options, found.info.config if found.info else self.options.config),
            "workers": self.workers,
            "planned": counts,
            "extracted": tally.extracted,
            "failed": tally.failed,
            "failures": dict(tally.failures.most_common()),
            "shards": tally.shards,
            "abandoned_shards": tally.abandoned,
            "audio_seconds": round(tally.audio_seconds, 3),
            "read_bytes": tally.read_bytes,
            "seconds": round(time.monotonic() - self.started, 3),
            "phases": {phase: round(spent, 3) for phase, spent in self.phases.items()},
            "worker_seconds": {stage: round(spent, 3) for stage, spent in tally.seconds.items()},
        }
        # A record is worth nothing that its lack would end a run for.
        with contextlib.suppress(StorageError, OSError):
            if found.info is not None:
                write_record(found.objects, self.run_id, self.began, values)


def _known(info: StoreInfo | None) -> StoreInfo:
    if info is None:
        raise JobError("the store has no description yet")
    return info
