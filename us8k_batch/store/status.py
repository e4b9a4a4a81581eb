"""What is in a store, from its published tables, newest snapshot and run records."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.documents import read_document
from us8k_batch.errors import ObjectNotFoundError
from us8k_batch.objects import open_objects
from us8k_batch.store.layout import DOCUMENT_BYTES, RUNS, read_info
from us8k_batch.store.state import load_state

RUNS_SHOWN = 5


def status(path: str) -> dict[str, Any]:
    """Describe a store.

    Returns
    -------
    dict
        JSON values: ``store``, ``config``, ``frames``, ``clips_per_shard``, ``live``, ``complete``, ``pending``
        (at the last publication), ``uncommitted`` (rows handed out since), ``states`` (rows by state), ``folds``
        and ``labels`` (live clips by each), ``failures`` (by error), ``failed_clips`` (the first of them),
        ``versions``, ``snapshot`` and ``runs`` (the last ones).

    Raises
    ------
    StoreError
        If there is no store.
    """
    objects = open_objects(path)
    info = read_info(objects)
    state = load_state(objects, info)
    table = state.published
    live = table.filter(pc.equal(table["state"], "live")) if table is not None else None
    failed = table.filter(pc.is_in(table["state"], pa.array(["failed", "missing"]))) if table is not None else None
    used = set(pc.unique(live["plan"]).to_pylist()) if live is not None else set()
    return {
        "store": objects.url,
        "config": info.config.to_dict(),
        "frames": info.frames,
        "clips_per_shard": info.clips_per_shard,
        "live": len(live) if live is not None else 0,
        "complete": bool(state.snapshot and state.snapshot.complete and not len(state.pending)),
        "pending": state.snapshot.pending if state.snapshot else 0,
        "uncommitted": len(state.pending),
        "states": _count(table, "state"),
        "folds": _count(live, "fold"),
        "labels": _count(live, "label"),
        "failures": _count(failed, "error"),
        "failed_clips": failed.select(["clip_id", "stage", "error", "detail"]).slice(0, 10).to_pylist()
        if failed is not None
        else [],
        "versions": [plan.versions for plan in state.plans if plan.number in used],
        "snapshot": {"number": state.snapshot.number, "id": state.snapshot.snapshot_id} if state.snapshot else None,
        "runs": last_runs(path),
    }


def last_runs(path: str, most: int = RUNS_SHOWN) -> list[dict[str, Any]]:
    """Return the newest run records, newest first; damaged ones are left out."""
    objects = open_objects(path)
    keys = sorted((info.key for info in objects.list(RUNS) if info.key.endswith(".json")), reverse=True)
    records: list[dict[str, Any]] = []
    for key in keys:
        if len(records) == most:
            break
        try:
            records.append(read_document(objects.get_tail(key, DOCUMENT_BYTES + 1), DOCUMENT_BYTES))
        except (ObjectNotFoundError, ValueError):
            continue
    return records


def _count(table: pa.Table | None, column: str) -> dict[str, int]:
    if table is None:
        return {}
    counted = pc.value_counts(table[column]).to_pylist()
    pairs = sorted((item["values"], item["counts"]) for item in counted)
    return {str(value): int(count) for value, count in pairs}
