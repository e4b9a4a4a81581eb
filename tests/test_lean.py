"""Commands that need no pandas do not wait for it, and whoever needs it later gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from datasets import make_manifest
from stores import make_clips, run

LATER = """
import sys
from us8k_batch.cli import main
try:
    main({arguments!r})
except SystemExit as ended:
    assert not ended.code, ended.code
assert "pandas" not in sys.modules, "pandas was imported"
import pyarrow as pa
import pandas as pd
frame = pa.table({{"a": [1, None]}}).to_pandas()
assert isinstance(frame, pd.DataFrame)
assert pa.Table.from_pandas(frame)["a"].null_count == 1
"""


@pytest.mark.parametrize("command", ["status", "extract"])
def test_a_command_without_tables_imports_no_pandas(command: str, tmp_path: Path) -> None:
    """And pyarrow still makes tables of pandas' afterwards, and takes them."""
    manifest, store = make_manifest(tmp_path / "data", clips=1), str(tmp_path / "store")
    if command == "status":
        run(store, make_clips(3))
    arguments = ["status", store] if command == "status" else ["extract", str(manifest), store, "--dry-run"]
    subprocess.run([sys.executable, "-c", LATER.format(arguments=arguments)], check=True, stdout=subprocess.DEVNULL)


def test_whoever_only_passes_tasks_on_imports_no_llvm() -> None:
    """The scheduler unpickles every task, and so imports what the task is made of; it computes nothing."""
    program = "import sys, us8k_batch.run.session; sys.exit('llvmlite' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
