"""Start the command as a process of its own, and SIGKILL it once something has happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds until something that should happen has failed to."""


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """Start ``us8k`` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "us8k_batch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill_when(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and all that it started as soon as something has happened."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never happened"
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
