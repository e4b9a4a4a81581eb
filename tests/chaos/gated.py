"""A worker's preload with a gate before each commit, so that a run goes as far as a test wants it to."""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path
from typing import Any

GATE = "US8K_TEST_GATE"
"""Names a file that holds how many commits there may be."""


def open_gate(file: Path, commits: int) -> None:
    """Let there be so many commits; written so that nobody reads half a number."""
    file.with_suffix(".new").write_text(str(commits))
    file.with_suffix(".new").replace(file)


def dask_setup(_: Any) -> None:
    """Put the gate into this worker."""
    from us8k_batch import shard_task

    commit, file = shard_task.create_commit, Path(os.environ[GATE])

    @functools.wraps(commit)
    def gated(objects: Any, *arguments: Any, **options: Any) -> Any:
        pause = threading.Event()
        while sum(1 for _ in objects.list("commits")) >= int(file.read_text()):
            pause.wait(0.1)
        return commit(objects, *arguments, **options)

    shard_task.create_commit = gated
