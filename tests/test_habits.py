"""Habits: what a process keeps of freed memory, and whom it interrupts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from us8k_batch.habits import interrupt_nobody, keep_freed_memory

SHARDS = """
import resource, sys
from us8k_batch.habits import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)
def shard():
    chunks = [b"x" * 200_000 for _ in range(16)]
    return len(b"".join(chunks))
shard()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    shard()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Count the page faults of twenty shards in a process that is started as Dask's nanny starts workers."""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", SHARDS, how], check=False, env=environment, capture_output=True, text=True
    )
    if done.returncode == 3:
        pytest.skip("this C library has no mallopt")
    return int(done.stdout)


def test_a_worker_does_not_take_its_memory_anew_for_every_shard() -> None:
    """What encoding a shard needs stays: a tenth of the page faults are left, or fewer."""
    assert faults("kept") * 10 < faults("given back")


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no glibc nothing is called, and it says so."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False


def test_who_is_woken_waits_for_its_turn() -> None:
    """A thread that works in batches is scheduled so, and so is what it starts; this one stays as it was."""
    before = os.sched_getscheduler(0)
    seen = []

    def work() -> None:
        interrupt_nobody()
        seen.append(os.sched_getscheduler(0))
        later = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
        later.start()
        later.join()

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert seen == [os.SCHED_BATCH, os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before


def test_who_may_not_choose_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a container forbids it, or the system knows no such turn, all goes on as usual."""

    def forbid(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbid)
    interrupt_nobody()
    monkeypatch.delattr(os, "SCHED_BATCH")
    monkeypatch.delattr(os, "sched_setscheduler")
    interrupt_nobody()
