"""Tasks for workers; a module of its own, because workers import what they are to call."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from us8k_batch.objects import retry


class Bench:
    """A workshop: notes in a folder what becomes of it."""

    def __init__(self, step_aside: Callable[[], None], on_compiling: Callable[[float], object]) -> None:
        self.step_aside = step_aside
        self.on_compiling = on_compiling

    def close_idle(self) -> None:
        """Nothing to give back."""

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True)
class Work:
    """One payload."""

    folder: str
    number: int
    wait_for: str = ""
    """A file in the folder without which the task does not end."""

    def note(self) -> None:
        """Leave a file that says the task began."""
        (Path(self.folder) / f"{self.number}.{os.getpid()}").touch()


def answer(bench: Bench, work: Work) -> int:
    """Answer at once, or when the file is there."""
    work.note()
    pause = threading.Event()
    while work.wait_for and not (Path(work.folder) / work.wait_for).exists():
        pause.wait(0.01)
    return work.number


def answer_aside(bench: Bench, work: Work) -> int:
    """Give the thread to the next task, then answer when the file is there."""
    bench.step_aside()
    return answer(bench, work)


def die(bench: Bench, work: Work) -> int:
    """Take the worker along."""
    work.note()
    os.kill(os.getpid(), signal.SIGKILL)
    return work.number


def complain(bench: Bench, work: Work) -> int:
    """Fail as no task of ours should."""
    raise ZeroDivisionError(f"task {work.number}")


def compile_here(bench: Bench, work: Work) -> int:
    """Say that kernels are compiled."""
    bench.on_compiling(12.0)
    return work.number


def where_am_i(bench: Bench, work: Work) -> int:
    """Tell the worker's process id."""
    return os.getpid()


def wait_for_storage(bench: Bench, work: Work) -> int:
    """Say what a storage that does not answer is asked for."""
    retry.logger.warning("clip %d: no answer; asking again", work.number)
    return work.number


def answer_later(_: object, work: Work) -> int:
    """Answer without a workshop, as a fit of a search does, when the file is there."""
    return answer(Bench(lambda: None, lambda _: None), work)


def fail_with_os_error(_: object) -> None:
    """Fail as a lost connection would look, by a fault of the task's own."""
    raise OSError("no such parameter")
