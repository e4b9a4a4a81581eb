"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from us8k_batch.cli.base import Output
from us8k_batch.objects.retry import logger as waiting

if TYPE_CHECKING:
    from rich.progress import Progress

    from us8k_batch.shard_task import ShardReport

LINE_SECONDS = 5.0
"""Least time between two plain lines."""
WIDE = 140
"""Columns of a terminal that has room for the stages too."""
_STAGES = {
    "start": "starting", "read": "reading", "sha256": "hashing", "wait": "computing", "encode": "encoding",
    "hold": "held up by the store", "write": "writing", "commit": "committing",
}  # fmt: skip
"""A worker's stages; it waits while its child computes, and writes beside the next shard's."""


class _Teller(logging.Handler):
    """Says what is waited for between the other lines, or above the bar."""

    def __init__(self, progress: TerminalProgress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        self._progress.tell(record.getMessage())


class TerminalProgress:
    """Tells a person how a run gets on, on stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Progress | None = None
        self._done = self._failed = self._total = 0
        self._started = self._told = 0.0
        self._spent: Counter[str] = Counter()
        self._handler = _Teller(self)

    def tell(self, message: str) -> None:
        """Say one line."""
        if self._bar is not None:
            self._bar.console.print(message, highlight=False, markup=False)
        else:
            self._output.say(message)

    def start(self, clips: int) -> None:
        """Begin to count clips."""
        self._total, self._started = clips, time.monotonic()
        self._told = self._started
        waiting.addHandler(self._handler)
        waiting.propagate = False
        if self._output.quiet or not clips:
            return
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            console = Console(stderr=True)
            # On a narrow terminal what is done and what failed come first.
            stages = [TextColumn("{task.fields[stages]}", style="dim")] if console.width >= WIDE else []
            self._bar = Progress(
                TextColumn("extracting"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]:.0f} clips/s, {task.fields[failed]} failed"),
                *stages,
                TimeRemainingColumn(),
                console=console,
            )
            self._bar.add_task("extract", total=clips, rate=0.0, failed=0, stages="")
            self._bar.start()
        else:
            self._output.say(f"extracting {clips} clips")

    def advance(self, report: ShardReport) -> None:
        """Count a shard."""
        self._done += report.n_extracted + report.n_failed
        self._failed += report.n_failed
        self._spent.update(report.seconds)
        now = time.monotonic()
        rate = self._done / max(now - self._started, 1e-9)
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0], completed=self._done, rate=rate, failed=self._failed, stages=self._stages()
            )
        elif now - self._told >= LINE_SECONDS:
            self._told = now
            left = (self._total - self._done) / rate
            self._output.say(
                f"{self._done} of {self._total} clips, {self._failed} failed, {rate:.0f} clips/s, {left:.0f} s left; "
                f"{self._stages()}"
            )

    def finish(self) -> None:
        """Stop counting."""
        waiting.removeHandler(self._handler)
        waiting.propagate = True
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _stages(self) -> str:
        """Say where the workers' time goes, largest share first."""
        spent = Counter({name: self._spent[stage] for stage, name in _STAGES.items()})
        whole = spent.total() or 1.0
        return ", ".join(f"{name} {100 * seconds / whole:.0f} %" for name, seconds in spent.most_common(4) if seconds)
