"""A cluster on this machine that cannot be started: the first cause in a sentence, and what to do."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import dask.config
import pytest
from clusters import make_settings

from us8k_batch.cluster.local_cluster import start_local, why_not_started
from us8k_batch.errors import RequestError

SCRIPT = """
from us8k_batch.cluster.local_cluster import start_local
from us8k_batch.settings import load_settings
try:
    start_local(load_settings({"workers": 1, "dashboard": "127.0.0.1:0"}))
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""


def run(folder: Path, *command: str, given: str | None = None) -> str:
    """Run Python in a folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, input=given, capture_output=True, text=True, check=False, timeout=100
    )
    return done.stdout


def test_a_daemonic_process_is_told_what_works_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery, Airflow and Pool run tasks in processes that may have no children."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(RequestError, match=r"this process is daemonic.*--scheduler.*processes: false"):
        start_local(make_settings(workers=1))


def test_settings_that_demand_encryption_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """They are the user's, and stay as they are: the message says how to satisfy or to lift them."""
    with (
        dask.config.set({"distributed.comm.require-encryption": True}),
        pytest.raises(RequestError, match=r"require encryption and name no certificates.*cluster/tls"),
    ):
        start_local(make_settings(workers=1))
    assert not caplog.records


def test_a_script_through_stdin_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    """Workers would look for a file of the name <stdin>."""
    assert "RequestError a local cluster cannot be started from a script that came through stdin" in run(
        tmp_path, "-", given=SCRIPT
    )


def test_a_script_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    """Each worker imports the script, and would start a cluster of its own: the first one says what is missing."""
    (tmp_path / "script.py").write_text(SCRIPT)
    *_, last = run(tmp_path, "script.py").splitlines()
    assert last.startswith("RequestError a local cluster cannot be started here")
    assert 'if __name__ == "__main__":' in last


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "ulimit -u"),
        (MemoryError(), "ulimit -v"),
        (OSError(12, "Cannot allocate memory"), "ulimit -v"),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (ZeroDivisionError("something else\nand more"), "ZeroDivisionError: something else"),
    ],
    ids=repr,
)
def test_the_first_cause_is_told_and_not_dask_s_own(cause: Exception, told: str) -> None:
    """However often it was wrapped, with a cause or while it was handled."""
    try:
        try:
            try:
                raise cause
            except Exception:
                raise AssertionError("Status.starting")  # noqa: B904  # as Dask does
        except AssertionError as error:
            raise RuntimeError("Nanny failed to start.") from error
    except RuntimeError as error:
        assert told in why_not_started(error)
        assert "Nanny" not in why_not_started(error)
