"""Progress of training and tuning: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from us8k_batch.cli.base import Output
from us8k_batch.cli.progress import LINE_SECONDS
from us8k_batch.training.progress import Count, few_words, whose, words

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from us8k_batch.training.epochs import Epoch
    from us8k_batch.training.evaluate import Fitted
    from us8k_batch.training.search import Tried


BAR = 10
"""Columns of a bar: words beside it tell more."""


class TerminalLearning:
    """Tells a person, on stderr, how training gets on."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Progress | None = None
        self._count = Count("", "", 0)
        self._rows: dict[str | int, TaskID] = {}
        self._over: set[str | int] = set()
        self._told = 0.0
        # Epochs come from a thread of their own.
        self._lock = threading.Lock()

    def tell(self, message: str) -> None:
        """Say one line."""
        if self._bar is not None:
            self._bar.console.print(message, highlight=False, markup=False)
        else:
            self._output.say(message)

    def start(self, what: str, unit: str, total: int, done: int = 0) -> None:
        """Begin to count."""
        self._count, self._told = Count(what, unit, total, done), time.monotonic()
        if self._output.quiet:
            return
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(BAR),
                MofNCompleteColumn(),
                TextColumn("{task.fields[more]}", markup=False),
                TimeElapsedColumn(),  # splits end several at a time: what is left would be guessed badly
                console=Console(stderr=True),
            )
            self._bar.add_task(what, total=total, completed=done, more=self._count.so_far)
            self._bar.start()
        else:
            self._output.say(
                f"{what}: {total - done} {unit}{'' if total - done == 1 else 's'}"
                + (f", {done} are there already" if done else "")
            )

    def learnt(self, epoch: Epoch) -> None:
        """Show how far a model has come: a bar of its own, or a line now and then."""
        with self._lock:
            if self._bar is not None:
                key = epoch.split if epoch.trial is None else epoch.trial
                if key in self._over:
                    return  # its last epoch was slower than its result
                shown: dict[str, Any] = {
                    "description": f"  {whose(epoch)}",
                    "total": epoch.of,
                    "completed": epoch.number,
                    "more": few_words(epoch),
                }
                if key in self._rows:
                    self._bar.update(self._rows[key], **shown)
                else:
                    self._rows[key] = self._bar.add_task(**shown)
            elif time.monotonic() - self._told >= LINE_SECONDS:
                self._told = time.monotonic()
                self._output.say(f"  {self._count.what}, {words(epoch)}")

    def tested(self, fitted: Fitted) -> None:
        """Count a split, and say how it did."""
        with self._lock:
            self.tell(self._count.tested(fitted))
            self._advance(fitted.split.name)

    def tried(self, trial: Tried) -> None:
        """Count a trial; on a terminal the best so far stands at the bar, and no line for each remains."""
        with self._lock:
            line = self._count.tried(trial)
            if self._bar is None:
                self._output.say(line)
            self._advance(trial.number)

    def finish(self) -> None:
        """Stop counting."""
        with self._lock:
            if self._bar is not None:
                for row in self._rows.values():
                    self._bar.remove_task(row)
                self._bar.stop()
            self._bar, self._rows, self._over = None, {}, set()

    def _advance(self, key: str | int) -> None:
        self._over.add(key)
        if self._bar is None:
            return
        if key in self._rows:
            self._bar.refresh()  # a model that is fitted between two pictures is seen all the same
            self._bar.remove_task(self._rows.pop(key))
        self._bar.update(self._bar.task_ids[0], completed=self._count.done, more=self._count.so_far)
