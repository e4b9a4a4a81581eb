"""Where the time of the last extraction went, from its run record."""

from __future__ import annotations

from typing import Any

from us8k_batch.store.status import last_runs

CHILD = ("decode", "compute")
"""Stages of the decoder child; they pass while the worker reads, hashes and waits."""
ORDER = ("start", "read", "sha256", "wait", "encode", "write", "commit")
"""Stages of the worker, one after the other."""


def timings(path: str) -> dict[str, Any] | None:
    """Break the newest extraction down by stage.

    Parameters
    ----------
    path : str
        Local path or URL of the store.

    Returns
    -------
    dict or None
        JSON values: ``run_id``, ``clips``, ``workers``, ``clips_per_second`` (while extracting), ``phases`` (seconds
        by phase of the run), ``warm_up`` (decoder children: how many, how many of them compiled the kernels, seconds
        until they were ready) and ``stages``: ``stage``, ``where`` (worker or child), ``ms_per_clip``, and ``share``
        of the workers' time. ``wait`` is the worker waiting for its child, ``idle`` what no stage accounts for. None
        if no run has extracted anything.
    """
    for record in last_runs(path, most=50):
        clips = record.get("extracted", 0) + record.get("failed", 0)
        wall = record.get("phases", {}).get("extract", 0.0) * record.get("workers", 0)
        if clips and wall:
            return _break_down(record, clips, wall)
    return None


def _break_down(record: dict[str, Any], clips: int, wall: float) -> dict[str, Any]:
    spent: dict[str, float] = record["worker_seconds"]
    stages = [(stage, "worker", spent.get(stage, 0.0)) for stage in ORDER]
    stages.append(("idle", "worker", max(0.0, wall - sum(seconds for _, _, seconds in stages))))
    stages.extend((stage, "child", spent.get(stage, 0.0)) for stage in CHILD)
    return {
        "run_id": record["run_id"],
        "clips": clips,
        "workers": record["workers"],
        "clips_per_second": round(clips * record["workers"] / wall, 2),
        "phases": record["phases"],
        "warm_up": record.get("warm_up"),
        "stages": [
            {"stage": stage, "where": where, "ms_per_clip": round(1e3 * s / clips, 4), "share": round(s / wall, 4)}
            for stage, where, s in stages
        ],
    }
