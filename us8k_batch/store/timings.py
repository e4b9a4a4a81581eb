"""Where the time of the last extraction went, from its run record."""

from __future__ import annotations

from typing import Any

from us8k_batch.store.status import last_runs

CHILD = ("decode", "compute")
"""Stages of the decoder child; they pass while the worker reads, hashes and waits."""
ORDER = ("start", "read", "sha256", "wait", "encode", "hold")
"""Stages of the worker, one after the other."""
BESIDE = ("write", "commit")
"""Stages of the worker that pass while it is at the next shard; in runs that know no ``hold``, after ``encode``."""

MEANWHILE = (
    "A decoder child decodes and computes while its worker reads, hashes and waits for it; "
    "a shard is written and committed beside the next one's work."
)
"""What the table cannot say."""


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
        until they were ready) and ``stages``: ``stage``, ``where`` (worker, beside or child), ``ms_per_clip``, and
        ``share`` of the workers' time. ``wait`` is the worker waiting for its child, ``hold`` for the store to take
        the shard before, ``idle`` what none of its stages accounts for. None if no run has extracted anything.
    """
    for record in last_runs(path, most=50):
        clips = record.get("extracted", 0) + record.get("failed", 0)
        wall = record.get("phases", {}).get("extract", 0.0) * record.get("workers", 0)
        if clips and wall:
            return _break_down(record, clips, wall)
    return None


def _break_down(record: dict[str, Any], clips: int, wall: float) -> dict[str, Any]:
    spent: dict[str, float] = record["worker_seconds"]
    in_line = ORDER if "hold" in spent else (*ORDER, *BESIDE)
    stages = [(stage, "worker", spent.get(stage, 0.0)) for stage in in_line]
    stages.append(("idle", "worker", max(0.0, wall - sum(seconds for _, _, seconds in stages))))
    stages.extend((stage, "beside", spent.get(stage, 0.0)) for stage in BESIDE if stage not in in_line)
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
