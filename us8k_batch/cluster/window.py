"""A bounded window of tasks on a cluster whose workers come and go."""

from __future__ import annotations

import contextlib
import itertools
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from distributed import Client, KilledWorker

from us8k_batch.cluster.link import ANSWER_SECONDS, LOST, TICK_SECONDS, Link
from us8k_batch.cluster.report import performance_report
from us8k_batch.cluster.workshop import (
    InterruptsIgnored,
    MakeWorkshop,
    OnCompiling,
    WorkerCall,
    close_idle,
    heed_compiling,
    packed,
    unpacked,
)
from us8k_batch.errors import JobError, RequestError
from us8k_batch.objects import retry
from us8k_batch.settings import Settings

Payload = TypeVar("Payload")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Task(Generic[Payload]):
    """A payload that is submitted and not answered."""

    payload: Payload
    number: int
    attempt: int = 1
    deaths: int = 0
    """Times that its worker died of it, as far as the scheduler can tell."""
    future: Any = None
    allowed: list[str] | None = None
    """Workers that it was given to; None means any."""


class Cluster:
    """A connection to a cluster whose workers have a workshop."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        make: MakeWorkshop,
        local: bool,
        tell: Callable[[str], None] = lambda _: None,
        on_compiling: OnCompiling = lambda _seconds, _machine: None,
    ) -> None:
        """Make sure that every worker can have a workshop.

        Parameters
        ----------
        client : distributed.Client
            Connected.
        settings : Settings
            Deadlines, attempts and the window.
        make : callable
            Makes a worker's workshop.
        local : bool
            Whether the workers are ours alone, on this machine.
        tell : callable
            Told what is waited for.
        on_compiling : callable
            Told that kernels are compiled.

        Raises
        ------
        RequestError
            If a worker cannot make it.
        """
        self._link = Link(client, settings, tell)
        self._settings = settings
        self._make = make
        self._local = local
        self._on_compiling = on_compiling
        try:
            if local:
                client.register_plugin(InterruptsIgnored())
            for address, answer in self.on_each_worker(_is_there, None).items():
                if isinstance(answer, JobError):
                    raise JobError(f"worker {address} {answer}") from answer
                if isinstance(answer, Exception) and not isinstance(answer, OSError):  # it died meanwhile
                    raise RequestError(
                        f"worker {address} cannot be used ({type(answer).__name__}: {answer}); install the same lock "
                        "everywhere"
                    ) from answer
            self._hear_of_waits()
        except BaseException as error:
            self._link.close()
            if isinstance(error, LOST):
                raise self._link.no_scheduler(error) from error
            raise

    def close(self) -> None:
        """End what workers keep for the next task, and disconnect."""
        # Those of our own clusters are ended in a moment themselves. Dask's plugin for its logs stays if it is let.
        if not self._local and self._link.client.status == "running":
            with contextlib.suppress(Exception):
                self._link.client.unforward_logging(retry.logger.name)
            with contextlib.suppress(Exception):
                self._link.client.sync(
                    self._link.client._run, close_idle, on_error="ignore", callback_timeout=ANSWER_SECONDS
                )
        self._link.close()

    @property
    def dashboard_link(self) -> str:
        """URL of the dashboard."""
        return str(self._link.client.dashboard_link)

    def performance_report(self, file: str | None) -> AbstractContextManager[None]:
        """Write Dask's performance report of the block to a file; see `report.performance_report`."""
        return performance_report(lambda: self._link.client, file)

    def workers(self) -> dict[str, int]:
        """Return the number of threads of every worker that takes our tasks, by address; see `Link.workers`."""
        return self._link.workers()

    def wait_for_workers(self) -> None:
        """Wait for the first worker.

        Raises
        ------
        JobError
            If none comes before the deadline.
        """
        # An adaptive cluster starts workers only when there is something to do.
        bell = self._link.client.submit(int, pure=False)
        self._link.await_workers(lambda: False)
        bell.release()

    def on_each_worker(self, function: Callable[[Any, Any], Result], payload: Any) -> dict[str, Result | Exception]:
        """Call ``function(workshop, payload)`` once on every worker; see `Link.on_each_worker`."""
        return self._link.on_each_worker(WorkerCall(self._make, function).beside_tasks, payload)

    def run(
        self,
        name: str,
        function: Callable[[Any, Payload], Result],
        payloads: Iterator[Payload],
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Payload, Result]]:
        """Call ``function(workshop, payload)`` for every payload, a bounded number at a time.

        A payload whose worker, or the scheduler, is lost is submitted again when workers return.

        Parameters
        ----------
        name : str
            Start of the tasks' keys; unique to the run.
        function, payloads
            What to call; payloads are taken as room becomes free.
        stop : callable
            Once it returns true, no payload is taken any more; those submitted are finished if there are workers.

        Yields
        ------
        tuple of payload and result
            In the order in which they finish.

        Raises
        ------
        JobError
            If there is no worker for too long, or one payload is lost again and again.
        """
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        running: dict[str, _Task[Payload]] = {}
        numbers = itertools.count()
        call = WorkerCall(self._make, function).in_task

        def submit(tasks: list[_Task[Payload]]) -> None:
            # Together, because the scheduler takes longer to accept a graph than a task.
            keys = [f"{name}-{task.number}-{task.attempt}" for task in tasks]
            calls = [packed(call, task.payload) for task in tasks]
            allowed = self._link.allowed()
            futures = self._link.client.map(unpacked(), calls, key=keys, pure=False, retries=0, workers=allowed)
            for key, task, future in zip(keys, tasks, futures, strict=True):
                task.future, task.allowed = future, allowed
                running[key] = task
                future.add_done_callback(done.put)

        room, counted = 0, -math.inf

        def fill() -> None:
            nonlocal room, counted
            # The scheduler's answer takes milliseconds, in which nothing is submitted.
            if time.monotonic() > counted + TICK_SECONDS:
                room = self._settings.shards_per_thread * max(1, sum(self.workers().values()))
                counted = time.monotonic()
            # The scheduler takes as long to accept one task as two, and there is time: others are waiting.
            if room - len(running) < min(2, room / 2):
                return
            while not stop():
                wanted = itertools.islice(payloads, max(0, room - len(running)))
                more = [_Task(payload, next(numbers)) for payload in wanted]
                if not more:
                    return
                submit(more)

        fill()
        while running:
            try:
                key = done.get(timeout=TICK_SECONDS).key
            except queue.Empty:
                # Dask tells it in a thread that it starts for this; where a limit forbids threads, nobody is told.
                key = next((key for key, task in running.items() if self._is_over(task)), "")
                if not key and not self.workers() and not self._link.await_workers(stop):
                    return
            task = running.pop(key, None)
            if task is None:
                continue
            answer = self._fetch(task)
            if answer:
                yield task.payload, answer[0]
                fill()
            elif self._link.await_workers(stop):
                with contextlib.suppress(RuntimeError):  # no more threads are allowed
                    # Every worker has to answer, and one that was stopped never does.
                    threading.Thread(target=self._hear_of_waits, daemon=True).start()
                submit([replace(task, attempt=task.attempt + 1)])
            else:
                return

    def _hear_of_waits(self) -> None:
        """Have what workers wait for said where the run is watched; a scheduler that was started anew forgot it."""
        with contextlib.suppress(*LOST):
            heed_compiling(self._link.client, self._on_compiling)
            self._link.client.forward_logging(retry.logger.name)

    def _is_over(self, task: _Task[Any]) -> bool:
        """Tell whether a task has ended, or has no worker left that may take it."""
        return task.future.done() or self._link.is_lost(task.allowed)

    def _fetch(self, task: _Task[Any]) -> list[Any]:
        """Return a task's result in a list, or an empty one if it is to be submitted again.

        Raises
        ------
        JobError
            If it should not be.
        """
        key = task.future.key
        try:
            return self._link.fetch(task.future)
        except KilledWorker as error:
            task.deaths += 1
            if task.deaths >= self._settings.attempts:
                remedy = "give them more memory or use smaller shards"
                raise self._link.died(key, task.deaths, remedy) from error
        except ModuleNotFoundError as error:
            if not self._link.avoid_strangers(task.allowed):
                raise JobError(f"{key}: {type(error).__name__}: {error}") from error
        except Exception as error:
            raise JobError(f"{key}: {type(error).__name__}: {error}") from error
        return []


def _is_there(workshop: Any, payload: Any) -> None:
    """Show that a worker can have a workshop."""
