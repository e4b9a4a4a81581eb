"""Where the time of an extraction went: the worker's line adds up to its time, whatever passes beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from us8k_batch.objects import LocalObjects
from us8k_batch.store.run_records import seal
from us8k_batch.store.timings import timings

LINE = {"start": 0.5, "read": 2.0, "sha256": 1.0, "wait": 8.0, "encode": 1.5}
BESIDE = {"write": 3.0, "commit": 1.0}
CHILD = {"decode": 0.5, "compute": 9.0}


def stages(folder: Path, spent: dict[str, float]) -> dict[str, tuple[str, float]]:
    """Return where and how long, in ms, of a run of 1,000 clips by two workers in 10 s."""
    record = {"run_id": "1", "extracted": 990, "failed": 10, "workers": 2, "phases": {"extract": 10.0}}
    LocalObjects(folder).create("runs/1.json", seal({**record, "worker_seconds": spent}))
    found = timings(str(folder))
    assert found is not None
    assert (found["clips"], found["clips_per_second"]) == (1000, 100.0)
    return {row["stage"]: (row["where"], row["ms_per_clip"]) for row in found["stages"]}


def test_what_passes_beside_the_next_shard_is_no_part_of_the_workers_line(tmp_path: Path) -> None:
    """Idle is what the worker's own stages leave of its time; writing is told, but leaves it as it is."""
    found = stages(tmp_path, {**LINE, "hold": 0.5, **BESIDE, **CHILD})
    assert found["idle"] == ("worker", 6.5)
    assert sum(ms for where, ms in found.values() if where == "worker") == pytest.approx(20.0)
    assert {stage for stage, (where, _) in found.items() if where == "beside"} == {"write", "commit"}
    assert {stage for stage, (where, _) in found.items() if where == "child"} == {"decode", "compute"}


def test_runs_that_wrote_before_they_read_on_are_told_as_they_were(tmp_path: Path) -> None:
    """In records without a hold, writing and committing are stages of the worker."""
    found = stages(tmp_path, {**LINE, **BESIDE, **CHILD})
    assert found["idle"] == ("worker", 3.0)
    assert found["write"] == ("worker", 3.0)
    assert "beside" not in {where for where, _ in found.values()}


def test_a_store_that_no_run_extracted_for_has_none(tmp_path: Path) -> None:
    """Nothing is made up."""
    assert timings(str(tmp_path)) is None
