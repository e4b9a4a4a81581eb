"""Look at dataset and store, and plan: everything that a run does before its first write."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.dataset import Catalog, open_catalog
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import RequestError
from us8k_batch.features.engine import numeric_versions
from us8k_batch.objects import Objects, open_objects
from us8k_batch.planning.plan import Known, Plan, Request, make_plan
from us8k_batch.run.apart import refuse_one_in_the_other
from us8k_batch.run.options import Options, Summary
from us8k_batch.store.layout import INDEX_SCHEMA, PLAN_SCHEMA, StoreInfo, check_same, find_info, new_info
from us8k_batch.store.publish import tables_current
from us8k_batch.store.state import State, load_state


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run found."""

    catalog: Catalog
    objects: Objects
    info: StoreInfo | None
    """The store's description; None if it is still to be created."""
    state: State | None
    plan: Plan


def prepare(options: Options) -> Prepared:
    """Read the dataset's metadata and the store's newest snapshot, and plan; nothing is written.

    Raises
    ------
    RequestError
        If the dataset or the store cannot be used as asked.
    """
    catalog = open_catalog(options.dataset, options.columns)
    refuse_one_in_the_other(catalog, options.store)
    if not len(catalog.clips):
        raise RequestError(f"{options.dataset}: the dataset has no clips; expected at least one row")
    objects = open_objects(options.store)
    info = find_store(options, objects)
    if info is None and options.config.max_seconds is not None:
        new_info(options.config, options.clips_per_shard)  # refuses what does not fit a shard
    return look_again(options, catalog, objects, info)


def find_store(options: Options, objects: Objects) -> StoreInfo | None:
    """Read a store's description, or return None where there is no store.

    Raises
    ------
    RequestError
        If it was made with other parameters than those asked for.
    """
    info = find_info(objects)
    if info is not None:
        check_same(info, options.config, set(options.given), objects.url)
        if options.clips_per_shard not in (None, info.clips_per_shard):
            raise RequestError(
                f"{objects.url}: has {info.clips_per_shard} clips per shard, fixed when it was created; "
                "leave --clips-per-shard out, or extract into a new store"
            )
    return info


def look_again(
    options: Options,
    catalog: Catalog,
    objects: Objects,
    info: StoreInfo | None,
    hashed: pa.Table | None = None,
    *,
    again: bool = True,
    earlier: State | None = None,
) -> Prepared:
    """Read the store's present state and plan; `again` is false once this run has retried what it should.

    `earlier` is what was found of the store before, which spares reading it again.
    """
    state = load_state(objects, info, earlier) if info else None
    request = Request(
        versions=versions(options, info.config if info else options.config),
        retry_failed=options.retry_failed and again,
        refresh_versions=options.refresh_versions,
        retry_storage=again,
    )
    known = what_is_known(objects, info, state)
    return Prepared(catalog, objects, info, state, make_plan(catalog.clips, known, request, hashed))


def versions(options: Options, config: FeatureConfig) -> dict[str, str]:
    """Return the engine and library versions that decide the numbers."""
    return numeric_versions(config, options.engine)


def guard_removal(options: Options, plan: Plan) -> None:
    """Refuse to unpublish more than a tenth of the live clips.

    Raises
    ------
    RequestError
        Saying how many, and what to do.
    """
    if plan.unpublished * 10 > plan.live and not options.allow_removal:
        counts = plan.counts()
        raise RequestError(
            f"{plan.unpublished} of {plan.live} live clips would leave the published tables "
            f"({plan.removed} no longer in the metadata, {counts['missing']} files missing now). "
            f"Is {options.dataset} mounted, and the right dataset for {options.store}? "
            "If so, use --allow-removal"
        )


def summarise(found: Prepared, counts: dict[str, int], started: float) -> Summary:
    """Say what is published; what the run did is for the run to add."""
    failures = 0
    if found.state is not None and found.state.published is not None:
        states = found.state.published["state"]
        failures = int(pc.sum(pc.is_in(states, pa.array(["failed", "missing"]))).as_py() or 0)
    return Summary(
        run_id=None,
        store=found.objects.url,
        planned=counts,
        failures=failures,
        live=found.plan.live,
        seconds=round(time.monotonic() - started, 3),
    )


def what_is_known(objects: Objects, info: StoreInfo | None, state: State | None) -> Known:
    """Return what planning needs of a store's state; without a store, nothing is known."""
    if info is None or state is None:
        pending = PLAN_SCHEMA.append(pa.field("plan", pa.int64())).empty_table()
        return Known(INDEX_SCHEMA.empty_table(), pending, None, {})
    snapshot = state.snapshot
    return Known(
        index=state.index,
        pending=state.pending,
        published=state.published,
        versions=state.versions,
        published_columns=snapshot.metadata_columns if snapshot else (),
        published_pending=snapshot.pending if snapshot else 0,
        unsettled=snapshot is not None
        and (
            bool(state.index["state"].null_count)
            or state.abandoned != snapshot.abandoned
            or state.plans != snapshot.plans
        ),
        tables_current=snapshot is None or tables_current(objects, info, state),
    )
