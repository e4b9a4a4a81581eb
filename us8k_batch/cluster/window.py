"""A bounded window of tasks on a cluster whose workers come and go."""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from distributed import Client, KilledWorker, WorkerPlugin, get_worker, performance_report

from us8k_batch.errors import JobError, MissingExtraError
from us8k_batch.settings import Settings

Payload = TypeVar("Payload")
Result = TypeVar("Result")

PLUGIN = "us8k-workshop"
TICK_SECONDS = 0.5
_END: Any = object()


class Workshop(Protocol):
    """What a worker keeps between tasks."""

    def close(self) -> None:
        """Give everything back."""


class WorkshopPlugin(WorkerPlugin):  # type: ignore[misc]
    """Gives every worker a workshop, which tasks find by name."""

    name = PLUGIN
    idempotent = True  # a second run on the same workers uses the same workshop

    def __init__(self, make: Callable[[], Workshop], interruptible: bool) -> None:
        self._make = make
        self._interruptible = interruptible

    def setup(self, worker: Any) -> None:  # noqa: ARG002  # the signature is Dask's
        """Make the workshop; keep a local worker from dying of the Ctrl-C that is meant for the run."""
        self.workshop = self._make()
        if not self._interruptible and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Any) -> None:  # noqa: ARG002
        """Close the workshop."""
        self.workshop.close()


def _on_worker(function: Callable[[Any, Any], Any], payload: Any) -> Any:
    return function(get_worker().plugins[PLUGIN].workshop, payload)


def _in_loop(function: Callable[[Any, Any], Any], payload: Any, dask_worker: Any) -> Any:
    return function(dask_worker.plugins[PLUGIN].workshop, payload)


class Cluster:
    """A connection to a cluster whose workers have a workshop."""

    def __init__(self, client: Client, settings: Settings, make: Callable[[], Workshop], local: bool) -> None:
        self._client = client
        self._settings = settings
        self._plugin = (make, not local)
        client.register_plugin(WorkshopPlugin(*self._plugin))

    @property
    def dashboard_link(self) -> str:
        """URL of the dashboard."""
        return str(self._client.dashboard_link)

    @contextlib.contextmanager
    def performance_report(self, file: str | None) -> Iterator[None]:
        """Write Dask's performance report of the block to a file, if one is given.

        Raises
        ------
        MissingExtraError
            If bokeh, which draws it, is not installed.
        """
        if file is None:
            yield
            return
        if importlib.util.find_spec("bokeh") is None:
            raise MissingExtraError("--performance-report: install us8k-batch[dashboard]")
        with performance_report(filename=file):
            yield

    def workers(self) -> dict[str, int]:
        """Return the number of threads of every worker, by address; empty while there is no scheduler."""
        try:
            return dict(self._client.nthreads())
        except (OSError, TimeoutError, RuntimeError, ValueError):
            return {}

    def wait_for_workers(self) -> None:
        """Wait for the first worker.

        Raises
        ------
        JobError
            If none comes before the deadline.
        """
        try:
            self._client.wait_for_workers(1, timeout=self._settings.worker_deadline)
        except TimeoutError as error:
            raise self._no_workers() from error

    def on_each_worker(self, function: Callable[[Any, Any], Result], payload: Any) -> dict[str, Result]:
        """Call ``function(workshop, payload)`` once on every worker."""
        return dict(self._client.run(_in_loop, function, payload))

    def run(
        self,
        name: str,
        function: Callable[[Any, Payload], Result],
        payloads: Iterator[Payload],
        stop: Callable[[], bool] = lambda: False,
        idle: Callable[[], None] = lambda: None,
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
            Once it returns true, no payload is taken any more; those submitted are finished.
        idle : callable
            Called at least twice a second.

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
        running: dict[str, tuple[Payload, int, Any]] = {}
        numbers = iter(range(1 << 62))

        def submit(payload: Payload, number: int, attempt: int) -> None:
            key = f"{name}-{number}-{attempt}"
            future = self._client.submit(_on_worker, function, payload, key=key, pure=False, retries=0)
            running[key] = (payload, attempt, future)
            future.add_done_callback(done.put)

        def fill() -> None:
            room = self._settings.shards_per_thread * max(1, sum(self.workers().values()))
            while len(running) < room and not stop():
                payload = next(payloads, _END)
                if payload is _END:
                    return
                submit(payload, next(numbers), 1)

        fill()
        while running:
            try:
                future = done.get(timeout=TICK_SECONDS)
            except queue.Empty:
                idle()
                self._check_workers()
                continue
            idle()
            payload, attempt, _ = running.pop(future.key, (None, 0, None))
            if not attempt:
                continue
            if future.status == "finished":
                result = future.result()
                future.release()
                yield payload, result  # type: ignore[misc]
                fill()
            else:
                self._consider(future, attempt)
                submit(payload, int(future.key.rsplit("-", 2)[1]), attempt + 1)  # type: ignore[arg-type]

    def _consider(self, future: Any, attempt: int) -> None:
        """Return once a lost task may be submitted again; raise if it should not be."""
        if future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker):
                raise JobError(f"{future.key}: {type(error).__name__}: {error}") from error
            if attempt >= self._settings.attempts:
                raise JobError(
                    f"{future.key}: its worker died {attempt} times (out of memory?); look at the workers' "
                    "logs, give them more memory or use smaller shards, and run the same command again"
                ) from error
        self._recover()

    def _recover(self) -> None:
        deadline = time.monotonic() + self._settings.worker_deadline
        pause = threading.Event()
        while not self.workers():
            if time.monotonic() > deadline:
                raise self._no_workers()
            if self._client.status == "closed":
                self._reconnect()
            pause.wait(TICK_SECONDS)
        self._client.register_plugin(WorkshopPlugin(*self._plugin))

    def _reconnect(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self._client = Client(self._client.scheduler.address, timeout=5)

    def _check_workers(self) -> None:
        if not self.workers():
            self._recover()

    def _no_workers(self) -> JobError:
        return JobError(
            f"no worker for {self._settings.worker_deadline:g} s; what is committed stays: start workers "
            "(and the scheduler), then run the same command again"
        )
