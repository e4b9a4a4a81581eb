"""Tell whoever waits that kernels are being compiled, which takes long on a busy machine and happens once on each."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = 5.0
"""Least time between two lines about one machine."""


class CompilingNotice:
    """Makes lines of what decoders of any machine tell while they wait for kernels."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._told: dict[str, float] = {}

    def __call__(self, seconds: float, machine: str = "this machine") -> None:
        """Say how long a decoder has been waiting, in seconds, unless that was said a moment ago."""
        now = time.monotonic()
        if now - self._told.get(machine, -_SECONDS) >= _SECONDS:
            self._told[machine] = now
            self._tell(f"compiling kernels, once on {machine}: {seconds:.0f} s so far")
