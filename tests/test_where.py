"""Which cluster a run is to use, and where a run may not begin."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

import us8k_batch
from us8k_batch.errors import RequestError


def test_a_worker_that_imports_the_script_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a guard a worker comes to the script's call again, and would wait for the lease of the first one."""
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(RequestError, match='if __name__ == "__main__":'):
        us8k_batch.extract(tmp_path / "dataset", tmp_path / "store")
    assert not list(tmp_path.iterdir())
