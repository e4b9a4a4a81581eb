"""Freed memory: what a process keeps of it for the next shard."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from us8k_batch.heap import keep_freed_memory

SHARDS = """
import resource, sys
from us8k_batch.heap import keep_freed_memory
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
