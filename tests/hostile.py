"""What a stranger might hand us: bombs, and a child process with little memory to open them in."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MEMORY = 1536 << 20
"""Memory that a child may take, in bytes, with all its libraries."""


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    """Write a table as anybody would."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", **options)
    return bytes(sink.getvalue())


def repeated(value: str, times: int) -> bytes:
    """Make a file in which one long text is stored once and repeated."""
    indices = pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([value]))
    return parquet_bytes(pa.table({"path": indices}))


def us8k_within(memory: int, *arguments: object) -> tuple[int, str]:
    """Run the command in a process that may take so much memory; return exit status and what it said."""

    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "us8k_batch", *map(str, arguments)],
        capture_output=True, text=True, timeout=250, check=False, env=environment, preexec_fn=confine,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def edit_json(path: Path, **changes: Any) -> None:
    """Change a JSON document's fields."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
