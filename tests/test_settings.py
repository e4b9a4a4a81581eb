"""Settings: which source wins, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dask.config
import pytest

from us8k_batch.errors import ConfigError
from us8k_batch.settings import load_settings

ASK = "from us8k_batch.settings import load_settings as l; import json, sys; s = l(json.loads(sys.argv[1]));"


def ask(folder: Path, command_line: str, **environment: str) -> str:
    """Return workers and attempts in a fresh process, whose Dask reads the configuration in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", ASK + "print(s.workers, s.attempts, s.clip_seconds)", command_line],
        env={**os.environ, "DASK_CONFIG": str(folder), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    """Each source overrides the next one, setting by setting."""
    assert ask(tmp_path, "{}") == "None 5 30"
    (tmp_path / "us8k.yaml").write_text("us8k: {workers: 2, attempts: 3, clip-seconds: 7}\n")
    assert ask(tmp_path, "{}") == "2 3 7"
    environment = {"DASK_US8K__WORKERS": "4", "DASK_US8K__CLIP_SECONDS": "1.5"}
    assert ask(tmp_path, "{}", **environment) == "4 3 1.5"
    assert ask(tmp_path, '{"workers": 6}', **environment) == "6 3 1.5"
    assert ask(tmp_path, '{"workers": null}', **environment) == "4 3 1.5"


def test_a_name_may_be_written_with_hyphens_or_underscores() -> None:
    """YAML files use hyphens, environment variables cannot."""
    with dask.config.set({"us8k.clip-memory": 12345, "us8k.shards_per_thread": 2}):
        settings = load_settings()
    assert (settings.clip_memory, settings.shards_per_thread) == (12345, 2)


def test_an_unknown_setting_is_named_with_the_known_ones() -> None:
    """A typo is refused, never ignored."""
    with dask.config.set({"us8k.wrokers": 3}), pytest.raises(ConfigError, match=r"us8k\.wrokers: known are attempts"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", -1),
        ("workers", 2.0),
        ("workers", True),
        ("workers", "two"),
        ("shards-per-thread", 0),
        ("shards-per-thread", 1.5),
        ("worker-deadline", 0),
        ("worker-deadline", "soon"),
        ("worker-deadline", float("nan")),
        ("attempts", 0),
        ("attempts", 0.5),
        ("attempts", None),
        ("clip-memory", -1),
        ("clip-memory", "2 GiB"),
        ("clip-seconds", False),
        ("source-bytes", 0),
        ("source-bytes", float("inf")),
        ("dashboard", 8787),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_name(name: str, value: object) -> None:
    """Wrong type, zero, negative, no number: the message names setting, value and what was expected."""
    with dask.config.set({f"us8k.{name}": value}), pytest.raises(ConfigError, match=rf"us8k\.{name} = .*expected"):
        load_settings()


def test_settings_that_are_no_mapping_are_refused() -> None:
    """``us8k: 4`` in a file says nothing."""
    with dask.config.set({"us8k": 4}), pytest.raises(ConfigError, match=r"us8k = 4: expected settings by name"):
        load_settings()


def test_an_endless_deadline_may_be_asked_for() -> None:
    """Infinity is a time, if not a number of attempts."""
    assert load_settings({"worker_deadline": float("inf")}).worker_deadline == float("inf")
