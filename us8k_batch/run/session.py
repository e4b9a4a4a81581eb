"""One run that holds the lease: extract what the plan says, publish, leave a record."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.dataset import Catalog
from us8k_batch.cluster.connect import connect
from us8k_batch.errors import JobError, RequestError, RunInterruptedError, StorageError, Us8kError
from us8k_batch.features.compiling import CompilingNotice
from us8k_batch.objects import Objects
from us8k_batch.planning.resolve import SEEN
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.preflight import Check
from us8k_batch.run.interrupt import Stop, asked_to_stop
from us8k_batch.run.measure import choose_max_seconds
from us8k_batch.run.options import Options, Progress, Summary
from us8k_batch.run.prepare import Prepared, find_store, guard_removal, look_again, summarise, versions
from us8k_batch.run.record import Tally, keep_report, new_run_id, without_secrets, write_record
from us8k_batch.run.work import Crew, planned_shards
from us8k_batch.shard_task import Job
from us8k_batch.store.commits import abandon_shard
from us8k_batch.store.layout import FAILURES, POOLED, StoreInfo, create_info, new_info
from us8k_batch.store.lease import hold, this_process
from us8k_batch.store.plans import create_plan
from us8k_batch.store.probe import probe
from us8k_batch.store.publish import publish, published_rows
from us8k_batch.store.spool import gather
from us8k_batch.store.state import State, load_state
from us8k_batch.timing import timed
from us8k_batch.version import __version__
from us8k_batch.workshop import Needs, Workshop

ROUNDS = 8
"""Times that a run looks again, because another run created a plan, or a shard was abandoned."""


def hold_and_work(
    options: Options,
    progress: Progress,
    catalog: Catalog,
    objects: Objects,
    started: float,
    seen: State | None = None,
) -> Summary:
    """Probe the store, take the lease, and carry the run out; `seen` was found of the store without the lease.

    Raises
    ------
    RequestError, JobError
        As `us8k_batch.run.extract.extract` does.
    """
    run_id = new_run_id()
    try:
        probe(objects)
        with (
            hold(objects, this_process(run_id), force=options.force, tell=progress.tell),
            asked_to_stop(progress.tell) as stop,
        ):
            # Another run may have worked on the store, or made it, until this one got the lease.
            return _Run(
                options,
                progress,
                run_id,
                stop,
                look_again(options, catalog, objects, find_store(options, objects), earlier=seen),
                started,
            ).carry_out()
    except RequestError:
        objects.forget_folders()
        raise
    except OSError as error:
        raise JobError(
            f"{objects.url}: {error.strerror or error}; what is committed stays: mend the storage, "
            "then run the same command again"
        ) from error


@dataclass(slots=True)
class _Run:
    """One run that holds the lease."""

    options: Options
    progress: Progress
    run_id: str
    stop: Stop
    found: Prepared
    """What it found when it looked last."""
    started: float
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    planned: dict[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    workers: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    """Time by phase of the run, in seconds."""
    hashed: pa.Table | None = None

    def carry_out(self) -> Summary:
        """Extract what the plan says, publish, and leave a record, whatever happens."""
        guard_removal(self.options, self.found.plan)
        self.planned = self.found.plan.counts()
        outcome: str | None = "failed"
        try:
            try:
                if self.found.info is None or len(self.found.plan.hash) or self.found.plan.n_extract:
                    self._extract()
            except JobError:
                # What is committed is worth publishing, and the table says that it is not complete.
                with contextlib.suppress(Us8kError, OSError):
                    self._publish()
                raise
            with timed(self.phases, "publish"):
                self._publish()
            outcome = "interrupted" if self.stop() else "done"
        except RequestError:
            outcome = None
            raise
        except (KeyboardInterrupt, RunInterruptedError):
            outcome = "interrupted"
            raise
        finally:
            self.progress.finish()
            if outcome is not None:
                self._record(outcome)
        if self.stop():
            self._look(again=False)
        objects = self.found.objects
        seconds = time.monotonic() - self.started
        return replace(
            summarise(self.found, self.planned, self.started),
            run_id=self.run_id,
            live=published_rows(objects, POOLED),
            failures=published_rows(objects, FAILURES),
            extracted=self.tally.extracted,
            failed=self.tally.failed,
            audio_seconds=round(self.tally.audio_seconds, 3),
            clips_per_second=round((self.tally.extracted + self.tally.failed) / seconds, 2),
            workers=self.workers,
            interrupted=self.stop() and not self.found.plan.nothing_to_do,
        )

    def _extract(self) -> None:
        with contextlib.ExitStack() as stack:
            with self.stop.at_once(), timed(self.phases, "connect"):
                how, tell = self.options, self.progress.tell
                cluster = stack.enter_context(connect(how.where, how.settings, Workshop, tell, CompilingNotice(tell)))
                crew = Crew(cluster, self.options, self.run_id, self.progress, self.tally, self.stop)
                crew.preflight(self._check())
            self.workers = len(cluster.workers())
            self.progress.tell(f"{self.workers} workers; dashboard {cluster.dashboard_link}")
            with cluster.performance_report(self.options.performance_report):
                self._work(crew)
        if self.options.performance_report:
            keep_report(self.found.objects, self.run_id, self.options.performance_report)

    def _work(self, crew: Crew) -> None:
        if self.found.info is None:
            with timed(self.phases, "measure"):
                self._create(crew)
            try:
                with self.stop.at_once():
                    crew.preflight(self._check())
            except RequestError as error:  # the store is there now, so the run was not refused
                raise JobError(str(error)) from error
        job = self._job(_known(self.found.info))
        if len(self.found.plan.hash):
            with timed(self.phases, "hash"):
                self.hashed = crew.hash(job, self.found.plan)
            self._look(again=True)
        self.progress.start(self.found.plan.n_extract)
        for turn in range(ROUNDS):
            if self.stop():
                return
            handed_out = self._hand_out()
            if handed_out is not None:
                with timed(self.phases, "extract"):
                    abandoned = crew.extract(job, handed_out, self.found.catalog.clips)
                if not abandoned:
                    return
            self._look(again=turn == 0 and handed_out is None)
        raise JobError(f"{self.found.objects.url}: other runs keep changing it; run the same command again alone")

    def _create(self, crew: Crew) -> None:
        """Create the store's description, with room for the longest clip."""
        config, objects = self.options.config, self.found.objects
        if config.max_seconds is None:
            clips = self.found.catalog.clips
            job = self._job(new_info(config.with_max_seconds(1.0)))
            there = clips.filter(pc.is_null(clips["error"]))
            longest = choose_max_seconds(crew, job, there, config, self.options.clips_per_shard)
            config = config.with_max_seconds(longest)
        create_info(objects, new_info(config, self.options.clips_per_shard))
        self.found = replace(self.found, info=find_store(self.options, objects))

    def _hand_out(self) -> Iterator[tuple[int, pa.Table]] | None:
        """Give up what cannot be finished, then hand out rows; None if another run was faster."""
        found, objects, info = self.found, self.found.objects, _known(self.found.info)
        plan, state, clips = found.plan, found.state, found.catalog.clips
        for shard, reason in plan.abandon.items():
            abandon_shard(objects, info, shard, reason)
        parts = [plan.resume.select(["row", "clip_id"])]
        places = [plan.resume["place"].combine_chunks()]
        if len(plan.compute):
            wanted = pa.array(plan.compute)
            previous = state.plans[-1] if state and state.plans else None
            seen = clips.select(["clip_id", *SEEN]).take(wanted)
            created = create_plan(objects, info, previous, seen, versions(self.options, info.config))
            if created is None:
                return None
            parts.append(created[1].select(["row", "clip_id"]))
            places.append(wanted)
        paths = clips["path"].take(pa.chunked_array(places))
        return self._then_look_ahead(planned_shards(info, pa.concat_tables(parts).combine_chunks(), paths))

    def _then_look_ahead(self, shards: Iterator[tuple[int, pa.Table]]) -> Iterator[tuple[int, pa.Table]]:
        """Hand out shards; then read what is committed, for the publication, while the last ones are worked on."""
        yield from shards
        # What is wrong with a commit shows again when it is published.
        with contextlib.suppress(Us8kError, OSError):
            if self.tally.shards:
                state = load_state(self.found.objects, _known(self.found.info), self.found.state)
                self.found = replace(self.found, state=state)

    def _publish(self) -> None:
        objects, info = self.found.objects, self.found.info
        # A touched clip that was not hashed yet would look as if its result were gone.
        if info is None or len(self.found.plan.hash):
            return
        state, self.found = self.found.state, replace(self.found, state=None)
        for _ in range(ROUNDS):
            state = load_state(objects, info, state)
            made = make_publication(self.found.catalog.clips, state.index, self.hashed, gather)
            if publish(objects, info, state, made.table, made.pending, made.metadata_columns):
                return
        raise JobError(f"{objects.url}: other runs keep publishing; run the same command again alone")

    def _look(self, *, again: bool) -> None:
        found = self.found
        self.found = look_again(
            self.options, found.catalog, found.objects, found.info, self.hashed, again=again, earlier=found.state
        )

    def _job(self, info: StoreInfo) -> Job:
        settings = self.options.settings
        return Job(
            root=self.found.catalog.root,
            store=self.found.objects.url,
            info=info,
            needs=Needs(info.config, self.options.engine, settings.clip_memory, settings.clip_seconds),
            source_bytes=settings.source_bytes,
        )

    def _check(self) -> Check:
        clips, info = self.found.catalog.clips, self.found.info
        readable = clips.filter(pc.is_null(clips["error"]))["path"].slice(0, 3).to_pylist()
        config = info.config if info else self.options.config
        return Check(
            versions={"us8k_batch": __version__, **versions(self.options, config)},
            config=config,
            engine=self.options.engine,
            root=self.found.catalog.root,
            samples=tuple(readable),
            store=self.found.objects.url,
            info_sha256=hashlib.sha256(info.to_bytes()).hexdigest() if info else None,
        )

    def _record(self, outcome: str) -> None:
        info = self.found.info
        if info is None:
            return
        values = {
            "outcome": outcome,
            "dataset": without_secrets(self.options.dataset),
            **({"columns": dict(self.options.columns)} if self.options.columns else {}),
            "engine": self.options.engine,
            "versions": versions(self.options, info.config),
            "workers": self.workers,
            "planned": self.planned,
            **self.tally.to_dict(),
            "seconds": round(time.monotonic() - self.started, 3),
            "phases": {phase: round(spent, 3) for phase, spent in self.phases.items()},
        }
        # A record is worth nothing that its lack would end a run for.
        with contextlib.suppress(StorageError, OSError):
            write_record(self.found.objects, self.run_id, self.began, values)


def _known(info: StoreInfo | None) -> StoreInfo:
    if info is None:
        raise JobError("the store has no description yet")
    return info
