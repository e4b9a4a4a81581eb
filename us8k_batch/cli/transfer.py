"""Progress of a download: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from us8k_batch.cli.base import Output
from us8k_batch.cli.progress import LINE_SECONDS

if TYPE_CHECKING:
    from rich.progress import Progress


class TerminalTransfer:
    """Tells a person how a download gets on, on stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Progress | None = None
        self._what = ""
        self._total = 0
        self._told = 0.0

    def start(self, what: str, total: int) -> None:
        """Begin to count."""
        self._what, self._total, self._told = what, total, time.monotonic()
        if self._output.quiet:
            return
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn() if what == "downloading" else TextColumn("{task.completed:.0f} of {task.total:.0f}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.add_task(what, total=total)
            self._bar.start()
        else:
            self._output.say(f"{what} {self._of(total)}")

    def count(self, done: int) -> None:
        """Say how many there are."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done)
        elif now - self._told >= LINE_SECONDS:
            self._told = now
            self._output.say(f"{self._what}: {self._of(done)} of {self._of(self._total)}")

    def finish(self) -> None:
        """Stop counting."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _of(self, number: int) -> str:
        return f"{number / 1e6:.0f} MB" if self._what == "downloading" else f"{number} files"
