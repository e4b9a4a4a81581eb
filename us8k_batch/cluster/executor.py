"""The workers of a running cluster as a `concurrent.futures.Executor`, for those who need not know Dask."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from distributed import KilledWorker
from distributed.protocol.pickle import dumps

from us8k_batch.cluster.connect import named_scheduler, reach
from us8k_batch.cluster.link import LOST, TICK_SECONDS, Link
from us8k_batch.cluster.where import Where
from us8k_batch.cluster.workshop import packed, unpacked
from us8k_batch.errors import JobError, RequestError
from us8k_batch.settings import load_settings


@contextlib.contextmanager
def open_executor(where: Where, tell: Callable[[str], None] = lambda _: None) -> Iterator[tuple[Executor, int]]:
    """Connect to a scheduler; give an executor, and the number of threads that its workers have now.

    Parameters
    ----------
    where : Where
        With a scheduler or a scheduler file. Workers need this package and what the tasks import.
    tell : callable
        Told what is waited for.

    Raises
    ------
    RequestError
        If no scheduler answers there, or it has no worker.
    """
    asked = named_scheduler(where)
    if asked is None:
        raise RequestError("no cluster was named; expected --scheduler or --scheduler-file")
    with contextlib.closing(Link(reach(asked, asked), load_settings(), tell)) as link:
        threads = sum(link.client.nthreads().values())
        if not threads:
            raise RequestError(f"{asked}: the scheduler has no worker; start one with dask worker")
        with ClusterExecutor(link) as executor:
            yield executor, threads


class ClusterExecutor(Executor):
    """Runs functions on workers; what is lost with a worker or the scheduler is submitted again, as shards are.

    The first argument is shipped once for all tasks that follow one another with the same one. Otherwise each fit of
    a search would carry its own copy of the features to the scheduler.

    Parameters
    ----------
    link : Link
        To the scheduler.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._shipped: tuple[Any, Any] = (None, None)
        self._numbers = itertools.count()
        self._pending: set[Future[Any]] = set()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        """Run a function on a worker.

        The future fails with what the function raised; or with `JobError`, if there is no worker for too long or the
        task's worker died again and again. It may be cancelled at any time.
        """
        future: Future[Any] = Future()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        # A thread waits for each task: as many as the caller wants to run at the same time.
        threading.Thread(target=self._work, args=(future, function, arguments, more), daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks."""
        for future in list(self._pending):
            if cancel_futures:
                future.cancel()
            if wait:
                with contextlib.suppress(BaseException):
                    future.result()

    def _work(self, future: Future[Any], function: Callable[..., Any], arguments: Any, more: Any) -> None:
        try:
            result = self._result(future.cancelled, function, arguments, more)
        except BaseException as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(result)

    def _result(
        self, cancelled: Callable[[], bool], function: Callable[..., Any], arguments: Any, more: dict[str, Any]
    ) -> Any:
        name = f"us8k-{getattr(function, '__name__', 'task')}-{next(self._numbers)}"
        deaths = 0
        while self._link.await_workers(cancelled):
            try:
                task, allowed = self._start(function, arguments, more)
            except LOST:  # the scheduler went meanwhile; whether it comes back is for the deadline to decide
                threading.Event().wait(TICK_SECONDS)
                continue
            if not self._wait(task, allowed, cancelled):
                break
            try:
                answer = self._link.fetch(task)
            except KilledWorker as error:
                deaths += 1
                if deaths >= self._link.settings.attempts:
                    raise self._link.died(name, deaths, "give them more memory") from error
                continue
            except ModuleNotFoundError as error:
                if not self._link.avoid_strangers(allowed):
                    raise JobError(f"a worker cannot be used ({error}); install the same lock everywhere") from error
                continue
            if answer:
                return answer[0]
        raise CancelledError

    def _start(
        self, function: Callable[..., Any], arguments: Any, more: dict[str, Any]
    ) -> tuple[Any, list[str] | None]:
        """Submit a task; return its future and the workers that it is restricted to."""
        first = [self._ship(arguments[0])] if arguments else []
        allowed = self._link.allowed()
        call = packed(function, *arguments[1:], **more)
        # The same model and parameters may be wanted twice: a result must be of the call that asked for it.
        return self._link.client.submit(unpacked(), call, *first, pure=False, workers=allowed), allowed

    def _ship(self, argument: Any) -> Any:
        """Return an argument as the workers have it; told apart by identity, so it is kept here too."""
        with self._lock:
            kept, shipped = self._shipped
            if kept is not argument or shipped.status != "finished" or shipped.client is not self._link.client:
                # On every worker: one that dies takes nothing along.
                shipped = self._link.client.scatter(bytes(dumps(argument)), broadcast=True, hash=False)
                self._shipped = argument, shipped
            return shipped

    def _wait(self, task: Any, allowed: list[str] | None, cancelled: Callable[[], bool]) -> bool:
        """Wait until a task has ended or is lost; return false, and cancel it, if nobody wants it any more."""
        ended = threading.Event()
        task.add_done_callback(lambda _: ended.set())
        while not task.done() and not self._link.is_lost(allowed):
            if cancelled():
                with contextlib.suppress(*LOST):
                    task.cancel()
                return False
            if not ended.wait(TICK_SECONDS) and not self._link.workers():
                self._link.await_workers(cancelled)
        return True
