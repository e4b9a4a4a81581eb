"""Run a program where it believes to be on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess


def on_a_terminal(*command: object) -> tuple[int, str]:
    """Run a program with a terminal of 100 columns as its stderr; return its exit status and what it showed."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    )
    os.close(theirs)
    parts = [b""]
    with contextlib.suppress(OSError):  # Linux says so when the last writer is gone
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    return process.wait(60), b"".join(parts).decode()
