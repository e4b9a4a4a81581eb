"""A bounded window of tasks on a cluster whose workers come and go."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from distributed import Client, KilledWorker

from us8k_batch.cluster.client import open_client
from us8k_batch.cluster.report import performance_report
from us8k_batch.cluster.workshop import (
    MakeWorkshop,
    OnCompiling,
    WorkshopMissingError,
    WorkshopPlugin,
    call_in_loop,
    call_on_worker,
    heed_compiling,
)
from us8k_batch.errors import JobError, RequestError
from us8k_batch.objects import retry
from us8k_batch.settings import Settings

Payload = TypeVar("Payload")
Result = TypeVar("Result")

TICK_SECONDS = 0.5
ANSWER_SECONDS = 5.0
"""How long the scheduler may take to answer; if it lost its connections, Dask would wait for half a minute."""
LOST = (CancelledError, OSError, RuntimeError, ValueError, AttributeError)
"""What a client raises whose scheduler is gone, in whatever state that left it; TimeoutError is an OSError."""


@dataclass(slots=True)
class _Task(Generic[Payload]):
    """A payload that is submitted and not answered."""

    payload: Payload
    number: int
    attempt: int = 1
    deaths: int = 0
    """Times that its worker died of it, as far as the scheduler can tell."""
    future: Any = None


class Cluster:
    """A connection to a cluster whose workers have a workshop."""

    def __init__(
        self, client: Client, settings: Settings, make: MakeWorkshop, local: bool, on_compiling: OnCompiling
    ) -> None:
        """Give every worker a workshop.

        Raises
        ------
        RequestError
            If a worker cannot make it.
        """
        self._client = client
        self._address = client.scheduler.address
        self._settings = settings
        self._plugin = (make, not local)
        self._on_compiling = on_compiling
        try:
            self._equip()
        except (CancelledError, OSError) as error:
            self.close()
            raise self._no_scheduler(error) from error
        except Exception as error:  # whatever a worker's imports raise
            self.close()
            raise RequestError(
                f"a worker cannot be used ({type(error).__name__}: {error}); install the same lock everywhere"
            ) from error

    def close(self) -> None:
        """Disconnect."""
        # Dask tells, as an error and with a traceback, that it gives up looking for a scheduler that was lost.
        dask = logging.getLogger("distributed.client")
        level = dask.level
        dask.setLevel(logging.CRITICAL)
        try:
            with contextlib.suppress(*LOST):
                self._client.close(ANSWER_SECONDS)
        finally:
            dask.setLevel(level)

    @property
    def dashboard_link(self) -> str:
        """URL of the dashboard."""
        return str(self._client.dashboard_link)

    def performance_report(self, file: str | None) -> AbstractContextManager[None]:
        """Write Dask's performance report of the block to a file; see `report.performance_report`."""
        return performance_report(lambda: self._client, file)

    def workers(self) -> dict[str, int]:
        """Return the number of threads of every worker, by address; empty while there is no scheduler."""
        try:
            return dict(self._client.nthreads(callback_timeout=ANSWER_SECONDS))
        except LOST:
            return {}

    def wait_for_workers(self) -> None:
        """Wait for the first worker.

        Raises
        ------
        JobError
            If none comes before the deadline.
        """
        # An adaptive cluster starts workers only when there is something to do.
        bell = self._client.submit(int, pure=False)
        self._await_workers(lambda: False)
        bell.release()

    def on_each_worker(self, function: Callable[[Any, Any], Result], payload: Any) -> dict[str, Result | Exception]:
        """Call ``function(workshop, payload)`` once on every worker; an error is returned in place of a result."""
        try:
            return dict(self._client.run(call_in_loop, function, payload, on_error="return"))
        except LOST as error:
            raise self._no_scheduler(error) from error

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

        def submit(tasks: list[_Task[Payload]]) -> None:
            # Together, because the scheduler takes longer to accept a graph than a task.
            keys = [f"{name}-{task.number}-{task.attempt}" for task in tasks]
            payloads = [task.payload for task in tasks]
            futures = self._client.map(
                call_on_worker, [function] * len(keys), payloads, key=keys, pure=False, retries=0
            )
            for key, task, future in zip(keys, tasks, futures, strict=True):
                task.future = future
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
                if not self.workers() and not self._await_workers(stop):
                    return
                continue
            task = running.pop(key)
            answer = self._fetch(task)
            if answer:
                yield task.payload, answer[0]
                fill()
            elif self._await_workers(stop):
                submit([replace(task, attempt=task.attempt + 1)])
            else:
                return

    def _fetch(self, task: _Task[Any]) -> list[Any]:
        """Return a task's result in a list, or an empty one if it is to be submitted again."""
        future = task.future
        try:
            if future.status == "finished":
                result = future.result(timeout=ANSWER_SECONDS)
                future.release()
                return [result]
            if future.status == "error":
                self._judge(task, future.exception(timeout=ANSWER_SECONDS))
        except JobError:
            raise
        except (CancelledError, OSError):
            pass  # the result lay on a worker that is gone, or the scheduler is gone
        except Exception as error:  # it lay on a worker that is gone, and computing it again failed
            self._judge(task, error)
        return []

    def _judge(self, task: _Task[Any], error: BaseException) -> None:
        """Return if a task that failed may be submitted again.

        Raises
        ------
        JobError
            If it should not be.
        """
        key = task.future.key
        if isinstance(error, KilledWorker):
            task.deaths += 1
            if task.deaths >= self._settings.attempts:
                raise JobError(
                    f"{key}: its worker died {task.deaths} times (out of memory?); look at the workers' logs, "
                    "give them more memory or use smaller shards, and run the same command again"
                ) from error
        elif not isinstance(error, WorkshopMissingError):
            raise JobError(f"{key}: {type(error).__name__}: {error}") from error

    def _await_workers(self, stop: Callable[[], bool]) -> bool:
        """Wait until there are workers, and equip them; return false if the run is asked to stop before."""
        deadline = time.monotonic() + self._settings.worker_deadline
        pause = threading.Event()
        while True:
            if self.workers():
                # A scheduler that was started anew knows nothing of the workshop; another one does nothing.
                with contextlib.suppress(*LOST):
                    self._equip()
                    return True
            if stop():
                return False
            if time.monotonic() > deadline:
                raise self._no_workers()
            if self._client.status == "closed":
                with contextlib.suppress(*LOST):
                    self._client = open_client(self._address, timeout=ANSWER_SECONDS)
            pause.wait(TICK_SECONDS)

    def _equip(self) -> None:
        heed_compiling(self._client, self._on_compiling)
        self._client.register_plugin(WorkshopPlugin(*self._plugin))
        # What workers wait for is said where the run is watched.
        self._client.forward_logging(retry.logger.name)

    def _no_scheduler(self, error: BaseException) -> JobError:
        return JobError(
            f"{self._address}: the scheduler does not answer any more ({error}); run the same command again"
        )

    def _no_workers(self) -> JobError:
        return JobError(
            f"no worker for {self._settings.worker_deadline:g} s; what is committed stays: start workers "
            "(and the scheduler), then run the same command again"
        )
